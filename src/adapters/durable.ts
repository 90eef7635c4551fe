/** Files written so that a power cut leaves old or new, most of them for pgo's user alone. Adapters share it. */

import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { chmod, lstat, mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Makes what is missing of a directory's path, durably, and itself 0700. */
export async function privateDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) === "ENOENT" && dirname(directory) !== directory) {
      await privateDirectory(dirname(directory));
      return privateDirectory(directory);
    }
    if (codeOf(error) !== "EEXIST") throw error;
    // It was there, and may be a parent that others have to enter: only the caller's own is made private.
    return;
  }
  await syncDirectory(dirname(directory));
}

/** Sets a directory's mode to 0700 where it is another one. */
export async function makePrivate(directory: string): Promise<void> {
  if (((await lstat(directory)).mode & 0o7777) !== 0o700) await chmod(directory, 0o700);
}

/** By a temporary name, fsync, rename, and fsync of the directory, which is there. `mode`: its owner's alone, unless another is given. */
export async function writeDurably(path: string, content: Uint8Array | string, mode = 0o600): Promise<void> {
  const interim = join(dirname(path), `.pgo-${randomBytes(12).toString("hex")}.tmp`);
  try {
    {
      await using file = await open(interim, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
      await file.writeFile(content);
      // Not by open: that one goes through the umask.
      await file.chmod(mode);
      await file.sync();
    }
    await rename(interim, path);
  } catch (error) {
    // Where that can't be removed either, the first reason is the one to tell.
    await removed(interim).catch(() => undefined);
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Removes what a crash left of `writeDurably`. `age`: only what is older, in milliseconds, where another process may be writing. */
export async function sweep(directory: string, age = 0): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!/^\.pgo-[0-9a-f]{24}\.tmp$/.test(name)) continue;
    const path = join(directory, name);
    if (age === 0 || Date.now() - (await lstat(path)).mtimeMs > age) await removed(path);
  }
}

export async function removed(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}

/** A name is durable only when its directory is (fsync(2)). */
export async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  await handle.sync();
}

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown error";
}

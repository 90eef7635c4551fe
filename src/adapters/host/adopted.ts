/** Files that a person placed and pgo takes over: read where they lie, moved to the backup, and put back just as they were. */

import { lstat, lutimes, mkdir, readFile, readdir, readlink, rename, rmdir, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import type { HandMade, OldFile } from "../../core/adopt.ts";
import { fileDigest } from "../../core/files.ts";
import { digestOf, type RelativePath } from "../../core/names.ts";
import type { Host } from "../../ports.ts";
import { absentAs, makeDirectories, privateDirectory, syncDirectory, sweep, temporary, unlinked, writeDurably } from "./files.ts";

/** Backups are below `backups/adopted/NAME/` of the state directory, each with its whole path, for pgo's user alone. */
export function openAdopted({ stateDirectory }: { readonly stateDirectory: string }): Pick<Host, "handMade" | "takeAway" | "putBack"> {
  const writing = new Set<string>();
  const copyOf = ({ path }: OldFile, backup: string) => join(stateDirectory, "backups", "adopted", backup, path);

  return {
    async handMade(unitFile, signal) {
      const main = await look(unitFile);
      if (main === undefined) return [];
      const dropIns: HandMade[] = [];
      for (const name of (await absentAs([], readdir(`${unitFile}.d`))).sort()) {
        signal.throwIfAborted();
        const found = await look(join(`${unitFile}.d`, name));
        if (found !== undefined) dropIns.push(found);
      }
      return [main, ...dropIns];
    },

    async takeAway(file, backup, signal) {
      signal.throwIfAborted();
      const copy = copyOf(file, backup);
      try {
        const isSaved = (await look(copy)) !== undefined;
        const now = await look(file.path);
        if (now === undefined && isSaved) return;
        if (now?.digest !== file.digest) {
          // Written over already by what takes its place.
          if (isSaved && file.as !== undefined) return;
          throw new Error(now === undefined ? "it is gone" : "it has changed meanwhile");
        }
        if (!isSaved) {
          await makeDirectories(
            stateDirectory,
            ["backups", "adopted", backup, ...dirname(file.path).split("/").slice(1)],
            privateDirectory,
          );
          await place(file, { from: file.path, to: copy, mode: 0o600 });
        }
        if (file.as !== undefined) return;
        await unlinked(file.path);
        await syncDirectory(dirname(file.path));
        await tidyDropIns(dirname(file.path));
      } catch (error) {
        throw new Error(`take ${file.path} away to ${copy}`, { cause: error });
      }
    },

    async putBack(file, backup, signal) {
      signal.throwIfAborted();
      const copy = copyOf(file, backup);
      try {
        if ((await look(copy)) === undefined) {
          if ((await look(file.path)) !== undefined) return;
          throw new Error("the copy is gone");
        }
        if (await mkdir(dirname(file.path), { recursive: true, mode: 0o755 })) await syncDirectory(dirname(dirname(file.path)));
        await place(file, { from: copy, to: file.path, mode: file.mode });
      } catch (error) {
        throw new Error(`put ${file.path} back from ${copy}`, { cause: error });
      }
    },
  };

  /** A symlink stays one, with the same target: what it leads to is not pgo's. */
  async function place(
    { target }: OldFile,
    { from, to, mode }: { readonly from: string; readonly to: string; readonly mode: number },
  ): Promise<void> {
    const directory = dirname(to);
    const { atime, mtime } = await lstat(from);
    if (target === undefined) {
      const content = await readFile(from);
      const whole = { path: to as RelativePath, mode, content, digest: fileDigest(mode, content) };
      await writeDurably({ directory, isShared: true }, basename(to), whole, writing);
    } else {
      await sweep(directory, writing);
      const interim = join(directory, temporary.name());
      await symlink(target, interim);
      await rename(interim, to);
    }
    // By it one sees whether a file was changed after its service had started.
    await lutimes(to, atime, mtime);
    await syncDirectory(directory);
  }
}

async function look(path: string): Promise<HandMade | undefined> {
  const stats = await absentAs(undefined, lstat(path));
  if (stats === undefined) return undefined;
  const [mode, changedAt] = [stats.mode & 0o7777, stats.mtime];
  if (stats.isSymbolicLink()) {
    const target = await readlink(path);
    const text = await readFile(path, "utf8").catch(() => undefined);
    return { path, mode, digest: digestOf("symlink", target), target, text, changedAt };
  }
  // A directory among drop-ins is read by nobody.
  if (!stats.isFile()) return undefined;
  const content = await readFile(path);
  return { path, mode, digest: fileDigest(mode, content), target: undefined, text: content.toString("utf8"), changedAt };
}

/** A drop-in directory with nothing left in it goes too. */
async function tidyDropIns(directory: string): Promise<void> {
  if (!directory.endsWith(".d")) return;
  try {
    await rmdir(directory);
    await syncDirectory(dirname(directory));
  } catch {
    // Something is in it still.
  }
}

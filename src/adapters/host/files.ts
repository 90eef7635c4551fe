/** The files of applications, each in its place (core/placing.ts): what is there, written so that a power cut leaves old or new, removed. */

import { randomBytes } from "node:crypto";
import { constants, type BigIntStats } from "node:fs";
import { chmod, lstat, mkdir, open, readdir, readlink, rename, rmdir, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { BundleFile } from "../../core/bundle.ts";
import { fileDigester } from "../../core/files.ts";
import { digestOf, type ApplicationId, type Digest, type RelativePath } from "../../core/names.ts";
import { marked, placeOf, type Place } from "../../core/placing.ts";
import type { Clock, Host, PlacedFile } from "../../ports.ts";

export interface FilesOptions {
  /** pgo's own below Podman's search path: `/etc/containers/systemd/pgo`. */
  readonly quadletDirectory: string;
  /** systemd's for the administrator's units: `/etc/systemd/system`. Only single files in it are pgo's. */
  readonly unitDirectory: string;
  readonly stateDirectory: string;
  readonly clock: Clock;
}

/**
 * Below these directories no symlink is followed: one in a directory's place is shown as a file of that name, is replaced
 * by a directory where a file must go into it, and what lies behind it is left alone.
 */
export function openFiles(options: FilesOptions): Pick<Host, "placed" | "write" | "overwrite" | "remove"> {
  const { clock } = options;
  /** Digests of the last look, by application and path. */
  const seen = new Map<ApplicationId, ReadonlyMap<string, Seen>>();
  /** Temporary files being written now: every other one is a crash's. */
  const writing = new Set<string>();

  const write: Host["write"] = async (application, file, signal) => {
    signal.throwIfAborted();
    const { place, path } = placeOf(file.path);
    const { top, parts } = siteOf(place, application, path, options);
    try {
      const directory = await makeDirectories(top, parts.slice(0, -1), place === "env" ? privateDirectory : openDirectory);
      await writeDurably({ directory, isShared: directory === options.unitDirectory }, parts.at(-1) ?? "", file, writing);
    } catch (error) {
      throw new Error(`write ${join(top, ...parts)}`, { cause: error });
    }
  };

  return {
    write,

    async overwrite(application, file, signal) {
      signal.throwIfAborted();
      const { place, path } = placeOf(file.path);
      const { top, parts } = siteOf(place, application, path, options);
      const directory = await lastDirectory(top, parts.slice(0, -1));
      const target = join(top, ...parts);
      try {
        if (directory === dirname(target) && (await overwritten(target, file, writing))) return;
      } catch (error) {
        throw new Error(`write into ${target}`, { cause: error });
      }
      await write(application, file, signal);
    },

    async placed(application, beside, signal) {
      const look: Look = { before: seen.get(application) ?? new Map(), now: new Map(), writing, clock, signal };
      const placed = new Map<RelativePath, PlacedFile>();
      for (const place of ["quadlet", "env"] as const) {
        const { top, parts } = siteOf(place, application, "", options);
        const root = join(top, ...parts);
        const found = new Map<RelativePath, PlacedFile>();
        if ((await lastDirectory(top, parts)) === root) await walk(root, "", look, found);
        for (const [path, file] of found) placed.set(place === "quadlet" ? path : marked(place, path), file);
      }
      for (const path of beside) {
        const { top, parts } = siteOf(placeOf(path).place, application, placeOf(path).path, options);
        const file = join(top, ...parts);
        const stats = await absentAs(undefined, lstat(file, { bigint: true }));
        const found = stats === undefined || stats.isDirectory() ? undefined : await placedFile(file, stats, look);
        if (found !== undefined) placed.set(path, found);
      }
      seen.set(application, look.now);
      return placed;
    },

    async remove(application, path, signal) {
      signal.throwIfAborted();
      const { place, path: name } = placeOf(path);
      const { top, parts } = siteOf(place, application, name, options);
      const file = join(top, ...parts);
      try {
        const directory = await lastDirectory(top, parts.slice(0, -1));
        // A directory in the file's place is not what pgo placed, and what lies behind a symlink neither.
        if (directory === dirname(file) && (await unlinked(file))) await syncDirectory(directory);
        await tidy(directory, top, writing);
      } catch (error) {
        throw new Error(`remove ${file}`, { cause: error });
      }
    },
  };
}

/** A place's directory, and the way from there to a file of an application's. */
function siteOf(
  place: Place,
  application: ApplicationId,
  path: string,
  { quadletDirectory, unitDirectory, stateDirectory }: FilesOptions,
): { readonly top: string; readonly parts: readonly string[] } {
  const below = path === "" ? [] : path.split("/");
  switch (place) {
    case "quadlet":
      return { top: quadletDirectory, parts: [...application.split("/"), ...below] };
    case "env":
      return { top: join(stateDirectory, "env"), parts: [...application.split("/"), ...below] };
    case "unit":
      return { top: unitDirectory, parts: below };
    case "secret":
      throw new Error(`${path} is a Podman secret, and no file`);
    case "self":
      return { top: join(dirname(quadletDirectory), "pgo-self"), parts: below };
  }
}

// ---- what is there ----

interface Seen {
  readonly stats: BigIntStats;
  readonly digest: Digest;
}

interface Look {
  readonly before: ReadonlyMap<string, Seen>;
  readonly now: Map<string, Seen>;
  readonly writing: ReadonlySet<string>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

async function walk(root: string, below: string, look: Look, placed: Map<RelativePath, PlacedFile>): Promise<void> {
  for (const name of await readdir(join(root, below))) {
    look.signal.throwIfAborted();
    const path = below === "" ? name : `${below}/${name}`;
    const file = join(root, path);
    if (isTemporary(name)) {
      if (!look.writing.has(file)) await unlinked(file);
      continue;
    }
    const stats = await absentAs(undefined, lstat(file, { bigint: true }));
    if (stats === undefined) continue;
    if (!stats.isDirectory()) {
      const found = await placedFile(file, stats, look);
      if (found !== undefined) placed.set(path as RelativePath, found);
      continue;
    }
    try {
      await walk(root, path, look, placed);
    } catch (error) {
      // A directory that a container made for itself. It is shown as what it is: not to be read, and not pgo's.
      if (isDenied(error))
        placed.set(path as RelativePath, { mode: Number(stats.mode), digest: digestOf("unreadable", String(stats.ino)) });
      else if (!isAbsent(error)) throw error;
    }
  }
}

/** Only a plain file's `mode` is mere permission bits, and only its digest can equal a bundle's. */
async function placedFile(file: string, stats: BigIntStats, look: Look): Promise<PlacedFile | undefined> {
  const type = Number(stats.mode);
  if (stats.isSymbolicLink()) {
    const target = await absentAs(undefined, readlink(file));
    return target === undefined ? undefined : { mode: type, digest: digestOf("symlink", target) };
  }
  if (!stats.isFile()) return { mode: type, digest: digestOf("special", String(type)) };
  const before = look.before.get(file);
  const mode = type & 0o7777;
  if (before !== undefined && isSame(before.stats, stats)) {
    look.now.set(file, before);
    return { mode, digest: before.digest };
  }
  try {
    const read = await digestOfFile(file, look.signal);
    // As in Git's index ("racy git"): a file changed within the same tick of the file system's clock would look the same, so
    // what changed just now is read once more the next time.
    const settled = look.clock.now().getTime() - Number(read.stats.ctimeMs) > 2000;
    if (settled) look.now.set(file, read);
    return { mode: Number(read.stats.mode) & 0o7777, digest: read.digest };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    // Somebody else's 0600 file, such as a container's data: pgo runs without the capability to read it.
    if (isDenied(error)) return { mode, digest: digestOf("unreadable", String(stats.ino)) };
    throw error;
  }
}

function isSame(one: BigIntStats, other: BigIntStats): boolean {
  return (["dev", "ino", "mode", "size", "mtimeNs", "ctimeNs"] as const).every((field) => one[field] === other[field]);
}

/** In pieces: a container may keep gigabytes in a directory of its application. */
async function digestOfFile(file: string, signal: AbortSignal): Promise<Seen> {
  await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const stats = await handle.stat({ bigint: true });
  const size = Number(stats.size);
  const digester = fileDigester(Number(stats.mode), size);
  const piece = Buffer.allocUnsafe(Math.min(size, 1 << 20));
  let done = 0;
  while (done < size) {
    signal.throwIfAborted();
    const { bytesRead } = await handle.read(piece, 0, Math.min(piece.length, size - done), done);
    // Cut short meanwhile: the digest is of no state that ever was, and so differs from all.
    if (bytesRead === 0) break;
    digester.add(piece.subarray(0, bytesRead));
    done += bytesRead;
  }
  return { stats, digest: digester.digest() };
}

// ---- changes ----

/**
 * The generator skips names that don't end in a quadlet's suffix, or in .conf for a drop-in; the digits are many, so that no
 * file of a bundle is taken for one.
 */
export const temporary = { name: () => `.pgo-${randomBytes(12).toString("hex")}.tmp`, pattern: /^\.pgo-[0-9a-f]{24}\.tmp$/ };

function isTemporary(name: string): boolean {
  return temporary.pattern.test(name);
}

/** `isShared`: the directory is not pgo's, and its mode nobody's to change. */
export async function writeDurably(
  { directory, isShared }: { readonly directory: string; readonly isShared: boolean },
  name: string,
  file: BundleFile,
  writing: Set<string>,
): Promise<void> {
  // Elsewhere a look at the application's files does it.
  if (isShared) await sweep(directory, writing);
  const interim = join(directory, temporary.name());
  writing.add(interim);
  try {
    await writeSynced(interim, file);
    if (isPrivate(file.mode) && !isShared) await setMode(directory, privateDirectory);
    await rename(interim, join(directory, name)).catch(async (error: unknown) => {
      // An empty directory in the file's place; one with something in it stays, and the rename's error tells.
      await rmdir(join(directory, name)).catch(() => Promise.reject(error as Error));
      await rename(interim, join(directory, name));
    });
    await syncDirectory(directory);
    if (!isPrivate(file.mode) && !isShared) await loosen(directory);
  } catch (error) {
    // Where that can't be removed either, the first reason is the one to tell; a later look does it.
    await unlinked(interim).catch(() => undefined);
    throw error;
  } finally {
    writing.delete(interim);
  }
}

/** Removes what a crash left of a file on its way; answers what else is there. */
export async function sweep(directory: string, writing: ReadonlySet<string>): Promise<readonly string[]> {
  const names = await readdir(directory);
  const stale = names.filter((name) => isTemporary(name) && !writing.has(join(directory, name)));
  for (const name of stale) await unlinked(join(directory, name));
  return names.filter((name) => !stale.includes(name));
}

/** False where there is no plain file. A copy is synced first: a disk that is full is known of before the file is touched. */
async function overwritten(path: string, file: BundleFile, writing: Set<string>): Promise<boolean> {
  if ((await absentAs(undefined, lstat(path)))?.isFile() !== true) return false;
  const interim = join(dirname(path), temporary.name());
  writing.add(interim);
  try {
    await writeSynced(interim, file);
    await using handle = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW);
    // Never empty meanwhile: most files that change keep most of their bytes.
    await handle.writeFile(file.content);
    await handle.truncate(file.content.length);
    await handle.chmod(file.mode);
    await handle.sync();
  } finally {
    await unlinked(interim);
    writing.delete(interim);
  }
  return true;
}

async function writeSynced(path: string, { mode, content }: BundleFile): Promise<void> {
  await using handle = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  await handle.writeFile(content);
  // Not by open: that one goes through the umask.
  await handle.chmod(mode);
  await handle.sync();
}

/**
 * Directories are 0755, so that a container's other users can read what is mounted from them; one that directly holds a 0600
 * file is 0700. The generator, systemd and Podman all run as the directory's owner (root, or the rootless user), and a mount's
 * source is looked up by that owner too: 0700 hides the names beside a secret and keeps nobody from work, but a container that
 * mounts that very directory and runs as another user.
 */
const openDirectory = 0o755;
export const privateDirectory = 0o700;

const isPrivate = (mode: number): boolean => (mode & 0o077) === 0;

async function setMode(directory: string, mode: number): Promise<void> {
  const now = (await lstat(directory)).mode & 0o7777;
  if (now !== mode) await chmod(directory, mode);
}

/** Opens a directory again whose last 0600 file is gone. */
async function loosen(directory: string): Promise<void> {
  if (((await lstat(directory)).mode & 0o7777) === openDirectory) return;
  const stats = await Promise.all((await readdir(directory)).map((name) => absentAs(undefined, lstat(join(directory, name)))));
  if (!stats.some((one) => one?.isFile() === true && isPrivate(one.mode))) await chmod(directory, openDirectory);
}

/** Makes what is missing below `root`, and `root` itself, each made durable before the next; gives the last one's path. */
export async function makeDirectories(root: string, parts: readonly string[], mode: number): Promise<string> {
  await makeRoot(root, mode);
  let directory = root;
  for (const part of parts) {
    const parent = directory;
    directory = join(parent, part);
    const stats = await absentAs(undefined, lstat(directory));
    if (stats?.isDirectory() === true) continue;
    if (stats?.isSymbolicLink() === true) await unlink(directory);
    else if (stats !== undefined) throw new Error(`${directory} is not a directory: move it away`);
    await mkdir(directory);
    await chmod(directory, mode);
    await syncDirectory(parent);
  }
  return directory;
}

/** Here symlinks are followed: `~/.config` may well be one. */
async function makeRoot(root: string, mode: number): Promise<void> {
  try {
    await mkdir(root);
  } catch (error) {
    if (codeOf(error) === "EEXIST") return;
    if (codeOf(error) !== "ENOENT" || dirname(root) === root) throw error;
    await makeRoot(dirname(root), mode);
    await mkdir(root);
  }
  await chmod(root, mode);
  await syncDirectory(dirname(root));
}

/** Removes a directory and its parents below `root`, as far as they are empty. */
async function tidy(directory: string, root: string, writing: ReadonlySet<string>): Promise<void> {
  if (directory === root) return;
  if ((await sweep(directory, writing)).length > 0) return loosen(directory);
  try {
    await rmdir(directory);
  } catch (error) {
    if (codeOf(error) === "ENOTEMPTY") return;
    throw error;
  }
  await syncDirectory(dirname(directory));
  await tidy(dirname(directory), root, writing);
}

/** How far the way from `root` goes over directories, none of them a symlink. */
async function lastDirectory(root: string, parts: readonly string[]): Promise<string> {
  let directory = root;
  for (const part of parts) {
    const next = join(directory, part);
    if ((await absentAs(undefined, lstat(next)))?.isDirectory() !== true) break;
    directory = next;
  }
  return directory;
}

export async function unlinked(file: string): Promise<boolean> {
  try {
    await unlink(file);
    return true;
  } catch (error) {
    if (isAbsent(error) || codeOf(error) === "EISDIR") return false;
    throw error;
  }
}

/** A name is durable only when its directory is (fsync(2)). */
export async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  await handle.sync();
}

export async function absentAs<Value, Other>(other: Other, work: Promise<Value>): Promise<Value | Other> {
  try {
    return await work;
  } catch (error) {
    if (isAbsent(error)) return other;
    throw error;
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;
const isAbsent = (error: unknown): boolean => codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR";
const isDenied = (error: unknown): boolean => codeOf(error) === "EACCES" || codeOf(error) === "EPERM";

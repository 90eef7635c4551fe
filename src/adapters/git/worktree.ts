/** A directory on disk as Git would have it if all of it were committed: for `pgo validate`, before there is a commit. */

import { lstat, readFile, readdir, readlink, realpath } from "node:fs/promises";
import type { Stats } from "node:fs";
import { dirname, join } from "node:path";

import type { TreeEntry } from "../../core/bundle.ts";
import { success, trouble, type Result } from "../../core/result.ts";
import { text, type Place } from "./process.ts";
import { refusal, treeEntries, treePaths, wanted, type TreeLine } from "./tree.ts";

export interface WorkTree {
  /** By path below the directory, as a commit would have them. */
  readonly entries: ReadonlyMap<string, TreeEntry>;
  /** Where the directory lies below its repository's root: "" or "deploy/". */
  readonly prefix: string;
  /** The URL of its remote `origin`. */
  readonly origin: string | undefined;
  /** Why git could not say which files are ignored, so that all were read; undefined where it could, or where there is no repository. */
  readonly unasked: string | undefined;
}

/**
 * Reads the files below the paths ("." for all): in a Git work tree those that are tracked or could be, ignored ones left out; elsewhere
 * all. Changes that are not committed are in it. The limits are those of a commit (tree.ts). The trouble says what can't be read, and why.
 * `environment`: of this process; only what finds git and the user's own ignore file is handed on.
 */
export async function readWorkTree(
  directory: string,
  paths: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<Result<WorkTree, string>> {
  const below = treePaths(paths);
  if (!below.ok) return below;
  try {
    if ((await existing(directory)) === undefined) return trouble(`${directory} is not there`);
    const root = await realpath(directory);
    for (const path of ["", ...below.value]) {
      const stats = await existing(join(root, path));
      if (stats?.isDirectory() !== true)
        return trouble(`${join(directory, path)} is ${stats === undefined ? "not there" : "no directory"}`);
    }
    const listed = await listing(root, below.value, environment, signal);
    if (!listed.ok) return listed;
    const { names, ...about } = listed.value;
    const entries = await read(root, names, signal);
    return entries.ok ? success({ entries: entries.value, ...about }) : entries;
  } catch (error) {
    const reason = unreadable(error);
    if (reason === undefined) throw error;
    return trouble(reason);
  }
}

type Listing = Omit<WorkTree, "entries"> & { readonly names: readonly string[] };

async function listing(
  directory: string,
  paths: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<Result<Listing, string>> {
  const everything = async (unasked: string | undefined): Promise<Result<Listing, string>> =>
    success({ names: await walk(directory, paths, signal), prefix: "", origin: undefined, unasked });
  if (!(await isInRepository(directory))) return everything(undefined);
  const place = placeOf(directory, environment);
  const prefix = await text(place, ["rev-parse", "--show-prefix"], signal);
  // A linked work tree, or a submodule, of which only the files are mounted into a container: its repository lies elsewhere.
  if (!prefix.ok) return everything(prefix.trouble.reason);
  const files = await text(place, ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ...paths], signal);
  if (!files.ok) return trouble(`list the files of ${directory}: ${files.trouble.reason}`);
  // An unmerged file is listed several times; a repository inside this one that is not a submodule yet ends with a slash.
  const names = [...new Set(files.value.split("\0").filter((name) => name !== ""))].map((name) => name.replace(/\/$/, ""));
  if (names.length === 0) return trouble(`git knows no files in ${directory}: all of them are ignored, or there are none`);
  const origin = await text(place, ["config", "--get", "remote.origin.url"], signal);
  return success({
    names,
    prefix: prefix.value.replace(/\n$/, ""),
    origin: origin.ok ? origin.value.trim() : undefined,
    unasked: undefined,
  });
}

async function isInRepository(directory: string): Promise<boolean> {
  for (let at = directory; ; at = dirname(at)) {
    if ((await existing(join(at, ".git"))) !== undefined) return true;
    if (at === dirname(at)) return false;
  }
}

/** The repository may be another user's, as a mounted one is, and is not trusted: nothing that its configuration names is run. */
function placeOf(directory: string, environment: Readonly<Record<string, string | undefined>>): Place {
  const about = {
    url: directory,
    host: "",
    port: "",
    branch: undefined,
    sshKey: undefined,
    knownHosts: undefined,
    secrets: [],
  };
  const config = { "safe.directory": "*", "core.fsmonitor": "false" };
  const handed = ["PATH", "HOME", "XDG_CONFIG_HOME"].flatMap((name) => {
    const value = environment[name];
    return value === undefined ? [] : [[name, value]];
  });
  return {
    cwd: directory,
    deadline: 60_000,
    about,
    environment: {
      ...(Object.fromEntries(handed) as Record<string, string>),
      LC_ALL: "C",
      GIT_LITERAL_PATHSPECS: "1",
      GIT_OPTIONAL_LOCKS: "0",
      GIT_CONFIG_COUNT: String(Object.keys(config).length),
      ...Object.fromEntries(
        Object.entries(config).flatMap(([key, value], at) => [
          [`GIT_CONFIG_KEY_${String(at)}`, key],
          [`GIT_CONFIG_VALUE_${String(at)}`, value],
        ]),
      ),
    },
  };
}

/** All files below the paths but Git's own. */
async function walk(directory: string, paths: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
  const names: string[] = [];
  const visit = async (below: string): Promise<void> => {
    signal.throwIfAborted();
    for (const entry of await readdir(join(directory, below), { withFileTypes: true })) {
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (entry.name === ".git") continue;
      if (entry.isDirectory()) await visit(path);
      else names.push(path);
    }
  };
  for (const path of paths.length === 0 ? [""] : paths) await visit(path);
  return names;
}

async function read(
  directory: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<Result<ReadonlyMap<string, TreeEntry>, string>> {
  const lines: TreeLine[] = [];
  const others = new Map<string, TreeEntry>();
  for (const path of names) {
    signal.throwIfAborted();
    // Its name can't be given back to the file system; the line alone says so.
    const stats = path.includes("\uFFFD") ? undefined : await existing(join(directory, path));
    if (stats === undefined && !path.includes("\uFFFD")) continue; // Deleted, but still in Git's index.
    const mode = stats === undefined ? "100644" : modeOf(stats);
    if (mode === undefined) others.set(path, { kind: "other", what: kindOf(stats) });
    else lines.push({ mode, object: path, size: stats?.size ?? 0, path });
  }
  const refused = refusal(lines, [], directory);
  if (refused !== undefined) return trouble(refused);
  const links = new Set(lines.filter(({ mode }) => mode === "120000").map(({ path }) => path));
  const contents = new Map<string, Uint8Array>();
  for (const path of wanted(lines)) {
    signal.throwIfAborted();
    contents.set(path, links.has(path) ? await readlink(join(directory, path), "buffer") : await readFile(join(directory, path)));
  }
  const entries = treeEntries(lines, contents);
  return entries.ok ? success(new Map([...entries.value, ...others])) : entries;
}

/** Git's mode; a directory that Git names is a repository of its own. */
function modeOf(stats: Stats): string | undefined {
  if (stats.isFile()) return (stats.mode & 0o100) === 0 ? "100644" : "100755";
  if (stats.isSymbolicLink()) return "120000";
  return stats.isDirectory() ? "160000" : undefined;
}

function kindOf(stats: Stats | undefined): string {
  if (stats?.isFIFO() === true) return "a FIFO";
  return stats?.isSocket() === true ? "a socket" : "a device";
}

async function existing(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return undefined;
    throw error;
  }
}

function unreadable(error: unknown): string | undefined {
  if (!(error instanceof Error && "code" in error && "path" in error && typeof error.path === "string")) return undefined;
  if (error.code !== "EACCES" && error.code !== "EPERM") return undefined;
  return `${error.path} can't be read: permission denied (a container on an SELinux host: podman run --security-opt label=disable)`;
}

/** Podman's search path for quadlets, seen as its generator sees it (podman-systemd.unit(5)), without pgo's own directory. */

import { realpath, readdir, stat } from "node:fs/promises";
import { extname, join, relative } from "node:path";

export interface SearchOptions {
  /** In Podman's order: of two quadlets with one name it takes that of the first directory. */
  readonly searchPath: readonly string[];
  readonly quadletDirectory: string;
  readonly mode: "rootful" | "rootless";
}

/** A quadlet, or a drop-in of one, that is not below pgo's directory. */
export interface ForeignFile {
  /** Which directory of the search path it is in, and where below that. */
  readonly search: number;
  readonly below: string;
  readonly name: string;
}

/** Whether the generator reads a file of this path: a quadlet, or a drop-in of one, or of all of a kind. */
export function isRead(path: string): boolean {
  const [directory = "", name = ""] = `/${path}`.split("/").slice(-2);
  if (!directory.endsWith(".d")) return isQuadlet(name);
  // `web.container.d`, `container.d`; not the `conf.d` of somebody's web server.
  return name.endsWith(".conf") && suffixes.some((suffix) => `.${directory}`.endsWith(`${suffix}.d`));
}

export function isQuadlet(name: string): boolean {
  return suffixes.includes(extname(name));
}

const suffixes: readonly string[] = [".container", ".volume", ".network", ".kube", ".image", ".build", ".pod", ".artifact", ".quadlets"];

/** In the generator's order: a directory's own files, then its subdirectories by name. What can't be read is left out, as there. */
export async function foreignFiles(
  { searchPath, quadletDirectory, mode }: SearchOptions,
  signal: AbortSignal,
): Promise<readonly ForeignFile[]> {
  const found: ForeignFile[] = [];
  // By their real names, as Podman does it: a symlink may lead in a circle, or to what was seen before.
  const visited = new Set<string>();
  const own = await realpath(quadletDirectory).catch(() => quadletDirectory);

  const visit = async (search: number, below: string): Promise<void> => {
    signal.throwIfAborted();
    const root = searchPath[search] ?? "";
    const directory = join(root, below);
    const real = await realpath(directory).catch(() => undefined);
    if (real === undefined || visited.has(real) || `${real}/`.startsWith(`${own}/`)) return;
    visited.add(real);
    const names = (await readdir(directory).catch(() => [])).sort();
    found.push(...names.filter((name) => isRead(join(directory, name))).map((name) => ({ search, below, name })));
    for (const name of names) {
      const deeper = join(below, name);
      if (isForOthers(root, deeper, mode) || !(await isDirectory(join(root, deeper)))) continue;
      await visit(search, deeper);
    }
  };

  for (const search of searchPath.keys()) await visit(search, "");
  return found;
}

/** All files at any depth by their paths; none where there is no such directory. */
export async function filesBelow(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => !entry.isDirectory()).map(({ parentPath, name }) => join(parentPath, name));
}

/** The administrator's directory for rootless generators is none of the system's own, and a number in it is another user's. */
function isForOthers(root: string, below: string, mode: SearchOptions["mode"]): boolean {
  return mode === "rootful" ? isShared(join(root, below)) : isShared(root) && /^\d+$/.test(below);
}

/** Whether other users' quadlets are below it, which only the search path's own rules keep out. */
export function isShared(directory: string): boolean {
  return directory.endsWith("/etc/containers/systemd/users");
}

export async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}

/** Which directory of the search path holds pgo's, and where below it; undefined if none does. */
export function placeOf({ searchPath, quadletDirectory }: SearchOptions): { readonly search: number; readonly below: string } | undefined {
  const places = searchPath.map((directory, search) => ({ search, below: relative(directory, quadletDirectory) }));
  return places.find(({ below }) => below !== "" && below.split("/")[0] !== "..");
}

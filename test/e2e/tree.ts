/** A directory of this checkout as a commit for a test host's repository. */

import { lstatSync, readFileSync, readdirSync, readlinkSync } from "node:fs";

import type { Change } from "../host/test-host.ts";

export type Tree = Readonly<Record<string, Change>>;

/** Every file below a directory by its path in it, with executable bits; symbolic links as such, also those to directories. */
export function tree(directory: string): Tree {
  return Object.fromEntries(below(directory, ""));
}

function below(root: string, path: string): readonly [string, Change][] {
  return readdirSync(`${root}/${path}`, { withFileTypes: true }).flatMap((entry): readonly [string, Change][] => {
    const name = `${path}${entry.name}`;
    const file = `${root}/${name}`;
    if (entry.isDirectory()) return below(root, `${name}/`);
    if (entry.isSymbolicLink()) return [[name, { symlink: readlinkSync(file) }]];
    const text = readFileSync(file, "utf8");
    return [[name, (lstatSync(file).mode & 0o111) === 0 ? text : { executable: text }]];
  });
}

/** Such a file's text. */
export function textOf(change: Change | undefined): string {
  if (typeof change === "object" && change !== null && "executable" in change) return change.executable;
  if (typeof change !== "string") throw new Error("no text");
  return change;
}

/** One file changed, for a commit; what is to be replaced must be there. */
export function changed(files: Tree, path: string, from: string, to: string): Tree {
  const before = textOf(files[path]);
  if (!before.includes(from)) throw new Error(`no "${from}" in ${path}`);
  const after = before.replace(from, () => to);
  return { [path]: typeof files[path] === "string" ? after : { executable: after } };
}

/** Symbolic links in Git: each is taken for what it leads to, as long as that is in the source. */

import type { TreeEntry } from "./bundle.ts";

/** As many as Linux follows (path_resolution(7)). */
const mostLinks = 40;
/** A few links can name each other's directories so that the files double with each; configuration is small. */
const mostFiles = 20_000;

/**
 * Entries with links replaced by what they lead to: a file's content under the link's name (an instance of a template is such a link),
 * a directory's files below it. One that leads out of the source, nowhere or in a circle stays a link, with the reason in its target's place.
 */
export function followLinks(entries: ReadonlyMap<string, TreeEntry>): ReadonlyMap<string, TreeEntry> {
  const links = [...entries].filter(([, entry]) => entry.kind === "symlink");
  if (links.length === 0) return entries;
  const followed = new Map([...entries].filter(([, entry]) => entry.kind !== "symlink"));
  for (const [path, entry] of links) {
    const target = resolve(path, entries);
    const file = target === undefined ? undefined : entries.get(target);
    const below = target === undefined ? [] : [...filesBelow(target, entries)];
    if (target === "" || path.startsWith(`${target ?? ""}/`) || (file === undefined && below.length === 0)) followed.set(path, entry);
    else if (file !== undefined) followed.set(path, file);
    else for (const [name, one] of below) followed.set(`${path}/${name}`, one);
    if (followed.size > mostFiles) return entries;
  }
  return followed;
}

/** Files at or below a directory by their path in it; links on the way are followed, those to a directory above are not. */
function* filesBelow(directory: string, entries: ReadonlyMap<string, TreeEntry>): Generator<[string, TreeEntry]> {
  for (const [path, entry] of entries) {
    if (!path.startsWith(`${directory}/`)) continue;
    const name = path.slice(directory.length + 1);
    if (entry.kind !== "symlink") yield [name, entry];
    else {
      const target = resolve(path, entries);
      const file = target === undefined ? undefined : entries.get(target);
      yield [name, file ?? entry];
    }
  }
}

/** Where a link leads in the end, below the root; undefined out of it, or in a circle. What is no link leads to itself. */
function resolve(path: string, entries: ReadonlyMap<string, TreeEntry>): string | undefined {
  let rest = path.split("/");
  let done: string[] = [];
  for (let links = 0; rest.length > 0;) {
    const [part = "", ...more] = rest;
    rest = more;
    if (part === "" || part === ".") continue;
    if (part === "..") {
      if (done.pop() === undefined) return undefined;
      continue;
    }
    const here = [...done, part].join("/");
    const entry = entries.get(here);
    if (entry?.kind !== "symlink") {
      done = [...done, part];
      continue;
    }
    links += 1;
    if (links > mostLinks || entry.target.startsWith("/")) return undefined;
    rest = [...entry.target.split("/"), ...rest];
  }
  return done.join("/");
}

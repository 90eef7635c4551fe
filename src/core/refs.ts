/** What a source follows other than a branch: a tag, the newest tag of a range of versions, or a commit. Pure. */

import semver from "semver";
import { z } from "zod";

import { revision, type Revision } from "./names.ts";

/** What does not move by itself, as a branch does. */
export type FixedRef =
  | { readonly kind: "tag"; readonly tag: string }
  /** `prefix`: what stands before the version in a tag's name, as in a repository that releases several things. */
  | { readonly kind: "semver"; readonly range: string; readonly prefix: string }
  | { readonly kind: "commit"; readonly revision: Revision };

/** A tag, and the commit that it names, also where there is a tag object between them. */
export interface Tag {
  readonly name: string;
  readonly revision: Revision;
}

/** Keys of a source in pgo.toml. */
export const fixedKeys = {
  tag: z
    .string()
    .refine(isTagName, 'must be a tag\'s name, without refs/tags/, such as "v1.2.3"')
    .optional()
    .describe("A tag, instead of a branch. One that is moved is followed, and told."),
  semver: z
    .string()
    .refine(
      (range) => range.trim() !== "" && semver.validRange(range) !== null,
      'must be a range of versions, such as ">=1.2 <2", "^1.4" or "*"',
    )
    .optional()
    .describe("The newest tag of a range, as npm writes them (`>=1.2 <2`), instead of a branch; `v1.2.3` and `1.2.3` are versions."),
  tag_prefix: z
    .string()
    .refine((prefix) => isTagName(`${prefix}1.0.0`), 'must be the beginning of tags\' names, such as "web-" or "web/"')
    .optional()
    .describe("With `semver`: what stands before the version in a tag's name, such as `web-`; other tags don't count."),
  commit: z
    .string()
    .regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/, "must be a commit's full hash, as `git rev-parse` prints it")
    .optional()
    .describe("A commit by its full hash, instead of a branch."),
};

/** The keys of one source, of which at most one of branch, tag, semver and commit is right. */
export interface RefKeys {
  readonly branch?: string | undefined;
  readonly tag?: string | undefined;
  readonly semver?: string | undefined;
  readonly tag_prefix?: string | undefined;
  readonly commit?: string | undefined;
}

/** What is wrong with them together, and at which key. */
export function strayRef(keys: RefKeys): { readonly key: keyof RefKeys; readonly message: string } | undefined {
  const [first, second] = (["branch", "tag", "semver", "commit"] as const).filter((key) => keys[key] !== undefined);
  if (first !== undefined && second !== undefined)
    return { key: second, message: `a source follows one of branch, tag, semver and commit: take out this or ${first}` };
  if (keys.tag_prefix !== undefined && keys.semver === undefined)
    return { key: "tag_prefix", message: 'goes with semver = "…": a tag is named in full' };
  return undefined;
}

/** Undefined: a branch. */
export function fixedRef(keys: RefKeys): FixedRef | undefined {
  if (keys.tag !== undefined) return { kind: "tag", tag: keys.tag };
  if (keys.semver !== undefined) return { kind: "semver", range: keys.semver, prefix: keys.tag_prefix ?? "" };
  return keys.commit === undefined ? undefined : { kind: "commit", revision: revision(keys.commit) };
}

/**
 * The tag that is followed. Of a range that with the highest version (semver.org, 11), of equal ones that with more behind a `+`, then the
 * first by name. A pre-release only where the range names one of the same version, as for npm.
 */
export function chosenTag(wanted: Exclude<FixedRef, { kind: "commit" }>, tags: readonly Tag[]): Tag | undefined {
  if (wanted.kind === "tag") return tags.find(({ name }) => name === wanted.tag);
  return versions(tags, wanted.prefix).find(({ version }) => semver.satisfies(version, wanted.range))?.tag;
}

/** Names to choose from when nothing was found, the newest version first, then those that are no versions. */
export function candidates(wanted: Exclude<FixedRef, { kind: "commit" }>, tags: readonly Tag[]): readonly string[] {
  const found = versions(tags, wanted.kind === "semver" ? wanted.prefix : "").map(({ tag }) => tag.name);
  if (wanted.kind === "semver") return found;
  return [
    ...found,
    ...tags
      .map(({ name }) => name)
      .filter((name) => !found.includes(name))
      .sort(),
  ];
}

function versions(tags: readonly Tag[], prefix: string) {
  return tags
    .flatMap((tag) => {
      const version = tag.name.startsWith(prefix) ? semver.parse(tag.name.slice(prefix.length)) : null;
      return version === null ? [] : [{ tag, version }];
    })
    .sort((a, b) => semver.compareBuild(b.version, a.version) || (a.tag.name < b.tag.name ? -1 : 1));
}

/** git-check-ref-format(1), as far as it is about a name below refs/tags/. */
function isTagName(name: string): boolean {
  if (/^(?:-|\/|refs\/tags\/)|\/\/|\.\.|@\{|[\0-\x20\x7f~^:?*[\\]|[./]$/.test(name)) return false;
  return name !== "" && name.split("/").every((part) => !part.startsWith(".") && !part.endsWith(".lock"));
}

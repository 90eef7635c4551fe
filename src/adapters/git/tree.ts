/** Reads what git prints of trees, blobs and commits. Pure. */

import { createHash } from "node:crypto";
import { posix } from "node:path";

import type { TreeEntry } from "../../core/bundle.ts";
import { revision as revisionOf, type Revision } from "../../core/names.ts";
import type { Tag } from "../../core/refs.ts";
import { success, trouble, type Result } from "../../core/result.ts";

/** A line of `git ls-tree -r -z`, with `-l` its size too. */
export interface TreeLine {
  readonly mode: string;
  readonly object: string;
  /** In bytes; undefined without `-l`, and for a submodule. */
  readonly size: number | undefined;
  readonly path: string;
}

export interface Commit {
  readonly author: string;
  readonly subject: string;
  /** All of it, the subject too. */
  readonly message: string;
  readonly committedAt: Date | undefined;
  readonly parents: readonly string[];
}

/** A file above this is not read, only named: configuration is small, and pgo runs on small machines. */
export const largestFile = 1024 * 1024;
const mostFiles = 20_000;
const mostBytes = 64 * 1024 * 1024;

/** A source's paths as git has them, `[]` for the whole tree: no `./`, no `/` at the ends, none that leads out of the repository. */
export function treePaths(paths: readonly string[]): Result<readonly string[], string> {
  const found: string[] = [];
  for (const path of paths) {
    const normal = posix.normalize(path).replace(/^\/+|\/+$/g, "");
    if (normal.split("/")[0] === "..") return trouble(`path "${path}" leads out of the repository`);
    if (normal === "." || normal === "") return success([]);
    found.push(normal);
  }
  return success(found);
}

export function treeLines(output: string): readonly TreeLine[] {
  return output
    .split("\0")
    .filter((line) => line !== "")
    .map((line) => {
      const [, mode, object, size, path] = /^(\d+) [a-z]+ ([0-9a-f]+)(?: +(\d+|-))?\t([^]*)$/.exec(line) ?? [];
      if (mode === undefined || object === undefined || path === undefined) throw new Error(`git ls-tree printed "${line}"`);
      return { mode, object, size: size === undefined || size === "-" ? undefined : Number(size), path };
    });
}

/** What forbids reading these lines: a path that isn't there, or too much of all. */
export function refusal(lines: readonly TreeLine[], paths: readonly string[], at: string): string | undefined {
  for (const path of paths) {
    if (lines.some((line) => line.path.startsWith(`${path}/`))) continue;
    const file = lines.some((line) => line.path === path);
    return file
      ? `path "${path}" is not a directory at ${at}`
      : `path "${path}" is not in the repository at ${at}: check paths in pgo.toml`;
  }
  const narrow = "name the directories of the applications in paths";
  if (lines.length > mostFiles) return `${String(lines.length)} files at ${at}, more than ${String(mostFiles)}: ${narrow}`;
  const bytes = lines.filter(readable).reduce((sum, { size }) => sum + (size ?? 0), 0);
  if (bytes > mostBytes) return `${mebibytes(bytes)} MiB of files at ${at}, more than ${mebibytes(mostBytes)}: ${narrow}`;
  return undefined;
}

/** Where symbolic links among the entries lead, inside the repository but not at or below `paths` (`[]`: all of it), each once. */
export function linkedPaths(entries: ReadonlyMap<string, TreeEntry>, paths: readonly string[]): readonly string[] {
  if (paths.length === 0) return [];
  const targets = [...entries].flatMap(([path, entry]) => {
    if (entry.kind !== "symlink" || entry.target.startsWith("/")) return [];
    const target = posix.join(posix.dirname(path), entry.target).replace(/\/+$/, "");
    return target === "." || target === ".." || target.startsWith("../") ? [] : [target];
  });
  return [...new Set(targets)].filter((target) => !paths.some((path) => target === path || target.startsWith(`${path}/`)));
}

/** The objects whose content makes up the entries, each once. */
export function wanted(lines: readonly TreeLine[]): readonly string[] {
  return [...new Set(lines.filter(readable).map(({ object }) => object))];
}

/** Lines with the content of their objects; an object that is not among the contents is a fault of the clone. */
export function treeEntries(
  lines: readonly TreeLine[],
  contents: ReadonlyMap<string, Uint8Array>,
): Result<ReadonlyMap<string, TreeEntry>, string> {
  const entries = new Map<string, TreeEntry>();
  for (const line of lines) {
    const content = contents.get(line.object);
    if (!readable(line)) entries.set(line.path, { kind: "other", what: unreadable(line) });
    else if (content === undefined) return trouble(`object ${line.object} of ${line.path} is missing`);
    else if (line.mode === "120000") entries.set(line.path, { kind: "symlink", target: Buffer.from(content).toString("utf8") });
    else entries.set(line.path, { kind: "file", executable: line.mode === "100755", content });
  }
  return success(entries);
}

/**
 * The output of `git cat-file --batch` (git-cat-file(1), BATCH OUTPUT) by object, each proved by its hash: git itself checks only
 * compressed data. A missing or altered object is a fault of the clone.
 */
export function objectContents(output: Buffer): Result<ReadonlyMap<string, Uint8Array>, string> {
  const contents = new Map<string, Uint8Array>();
  for (let at = 0; at < output.length;) {
    const end = output.indexOf("\n", at);
    const header = output.toString("utf8", at, end === -1 ? output.length : end);
    const [, object, type, digits] = /^([0-9a-f]+) ([a-z]+) (\d+)$/.exec(header) ?? [];
    if (object === undefined || type === undefined) return trouble(`git cat-file printed "${header}"`);
    const size = Number(digits);
    const content = output.subarray(end + 1, end + 1 + size);
    const hash = createHash(object.length === 64 ? "sha256" : "sha1").update(`${type} ${String(size)}\0`);
    if (content.length !== size || hash.update(content).digest("hex") !== object) return trouble(`object ${object} is damaged`);
    contents.set(object, content);
    at = end + 1 + size + 1;
  }
  return success(contents);
}

/** A commit object (its raw text, so that a shallow clone's boundary still names its parents). */
export function commitOf(content: Uint8Array): Commit {
  const bytes = Buffer.from(content);
  const header = (text: string, name: string) =>
    text
      .split("\n")
      .filter((line) => line.startsWith(`${name} `))
      .map((line) => line.slice(name.length + 1));
  const split = bytes.indexOf("\n\n");
  const end = split === -1 ? bytes.length : split;
  const encoding = header(bytes.toString("latin1", 0, end), "encoding")[0] ?? "utf-8";
  const head = decode(bytes.subarray(0, end), encoding);
  const message = decode(bytes.subarray(end), encoding);
  const author = header(head, "author")[0] ?? "";
  const committed = / (\d{1,12}) [+-]\d{4}$/.exec(header(head, "committer")[0] ?? "")?.[1];
  return {
    message: message.trimStart(),
    committedAt: committed === undefined ? undefined : new Date(Number(committed) * 1000),
    author: plain(author.replace(/ \d+ [+-]\d{4}$/, "")),
    subject: plain(message.trimStart().split("\n")[0] ?? ""),
    parents: header(head, "parent"),
  };
}

/** The objects that `git rev-list --objects --missing=print` marks. */
export function missingObjects(output: string): readonly string[] {
  return output
    .split("\n")
    .filter((line) => line.startsWith("?"))
    .map((line) => line.slice(1));
}

/** The commit that `git ls-remote` prints for exactly this ref: its patterns match the ends of names, so there may be others. */
export function remoteRef(output: string, ref: string): string | undefined {
  for (const line of output.split("\n")) {
    const [object, name] = line.split("\t");
    if (name === ref) return object;
  }
  return undefined;
}

/** Tags of `git ls-remote --tags`: an annotated one has a second line, `refs/tags/NAME^{}`, with what its tag object names (gitrevisions(7)). */
export function remoteTags(output: string): readonly Tag[] {
  const found = new Map<string, string>();
  for (const line of output.split("\n")) {
    const [, object, name, peeled] = /^([0-9a-f]+)\trefs\/tags\/(.+?)(\^\{\})?$/.exec(line) ?? [];
    if (object !== undefined && name !== undefined && (peeled !== undefined || !found.has(name))) found.set(name, object);
  }
  return [...found].map(([name, object]) => ({ name, revision: revisionOf(object) }));
}

/**
 * Whether `previous` is known not to be an ancestor of a commit, by the history that a deepened clone has of it.
 * `shallow`: commits whose parents were left out. `previousParents`: undefined where the old commit itself is not at hand.
 */
export function isRewritten(
  previous: Revision,
  history: ReadonlySet<string>,
  { shallow, previousParents }: { readonly shallow: readonly string[]; readonly previousParents: readonly string[] | undefined },
): boolean {
  if (history.has(previous)) return false;
  const complete = !shallow.some((commit) => history.has(commit));
  // Its parent is there and it is not: the branch was led another way from that parent.
  return complete || (previousParents?.some((parent) => history.has(parent)) ?? false);
}

function readable({ mode, size, path }: TreeLine): boolean {
  return mode !== "160000" && (size ?? 0) <= largestFile && !path.includes("\uFFFD");
}

function unreadable({ mode, path }: TreeLine): string {
  if (mode === "160000") return "a submodule";
  return path.includes("\uFFFD") ? "a file whose name is not UTF-8" : "larger than 1 MiB";
}

function decode(bytes: Uint8Array, encoding: string): string {
  try {
    return new TextDecoder(encoding).decode(bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return new TextDecoder("latin1").decode(bytes);
  }
}

/** No control characters: the text goes to logs and terminals. */
function plain(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ").trim();
}

function mebibytes(bytes: number): string {
  return String(Math.ceil(bytes / (1024 * 1024)));
}

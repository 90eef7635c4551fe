/** The clone of a source: small, bare, only a cache, from which a commit's files are read. */

import { mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { NameError, revision as revisionOf, short, type Revision, type SourceName } from "../../core/names.ts";
import { success, trouble, type Result } from "../../core/result.ts";
import type { GitTrouble, Snapshot } from "../../ports.ts";
import { catFile, text, type Place } from "./process.ts";
import * as tree from "./tree.ts";
import { notThere, spoken, type About, type GitFailure } from "./trouble.ts";

/** A commit's files, with what else its reading found out. */
interface Read {
  readonly snapshot: Snapshot;
  readonly parents: readonly string[];
}

/** A clone grows by a pack with each fetch, since git's own housekeeping is off; a fresh one is cheaper than a gc on a small machine. */
const mostPacks = 100;
/** How far back the history is looked at to tell a rewritten branch. */
const historyDepth = 50;
/** Links to files that are links again: one more reading of the tree each. */
const mostLinkRounds = 5;
/** The ref that holds the commit that was brought last. */
const headRef = "refs/pgo/head";
/** Names what a clone is of. */
const identityFile = "pgo-clone";

export interface AnyClone extends Place {
  readonly name: SourceName;
  /** Empty: all of it. */
  readonly paths: readonly string[];
  /** Whether one of them that a commit doesn't have is no trouble. */
  readonly optional: boolean;
  /** Without the contents of files that no path asks for. */
  readonly partial: boolean;
  /** Whether the messages of all commits since the previous one are wanted. */
  readonly trailers: boolean;
}

export interface Clone extends AnyClone {
  readonly revision: Revision;
  /** By which it was found, for a source that follows tags. */
  readonly tag?: string | undefined;
}

/** The commit that the branch names now. It is brought by the same connection into the clone that there is; without one it is only asked for. */
export async function newest(
  clone: AnyClone,
  { ask, deadline }: { readonly ask: () => Promise<Result<Revision, GitTrouble>>; readonly deadline: number },
  signal: AbortSignal,
): Promise<Result<Revision, GitTrouble>> {
  const present = await usable(clone);
  if (present === undefined) return ask();
  const moved = await bringRef({ ...present, deadline }, refOf(clone.about), 1, signal);
  if (moved.ok) return headOf(await headIn(present), clone.about);
  // The clone may be to blame, which shows when the commit is to be read from it; or there is much to bring, which takes its own time.
  const { fault, refused, late } = moved.trouble;
  return fault === "clone" || refused || late ? ask() : trouble(told(moved.trouble));
}

/** The commit's files from the clone that there is, or from a fresh one that then replaces it. */
export async function refreshed(clone: Clone, previous: Revision | undefined, signal: AbortSignal): Promise<Result<Snapshot, GitTrouble>> {
  const beside = join(clone.cwd, "..", `.${clone.name}.new`);
  await rm(beside, { recursive: true, force: true });
  const present = await usable(clone);
  if (present !== undefined) {
    const read = await brought(present, signal);
    if (read.ok) return success(await withHistory(present, read.value, previous, signal));
    if (read.trouble.fault !== "clone" && read.trouble.refused === undefined) return trouble(told(read.trouble));
  }
  try {
    let fresh = { ...clone, cwd: beside };
    let read = await cloned(fresh, signal);
    // Protocol 0 gives out no file by its hash. It is what an sshd speaks that does not accept the variable GIT_PROTOCOL (git(1)).
    if (!read.ok && read.trouble.refused !== undefined && fresh.partial) {
      fresh = { ...fresh, partial: false };
      read = await cloned(fresh, signal);
    }
    if (!read.ok) return trouble(told(read.trouble));
    await rm(clone.cwd, { recursive: true, force: true });
    await rename(beside, clone.cwd);
    return success(await withHistory({ ...fresh, cwd: clone.cwd }, read.value, previous, signal));
  } finally {
    await rm(beside, { recursive: true, force: true });
  }
}

/** The clone that is there, if it is of this URL, has what the paths need, and has not grown too big; removes what a killed git left of a pack. */
async function usable<Kind extends AnyClone & { readonly revision?: Revision }>(clone: Kind): Promise<Kind | undefined> {
  try {
    const found = await readFile(join(clone.cwd, identityFile), "utf8");
    const lengths = clone.revision === undefined ? [40, 64] : [clone.revision.length];
    const same = (clone.partial ? [true, false] : [false])
      .map((partial) => ({ ...clone, partial }))
      .find((kind) => lengths.some((length) => identity(kind, length) === found));
    if (same === undefined) return undefined;
    const packs = join(clone.cwd, "objects/pack");
    const files = await readdir(packs);
    for (const file of files.filter((name) => name.startsWith("tmp_"))) await rm(join(packs, file), { force: true });
    return files.filter((name) => name.endsWith(".pack")).length > mostPacks ? undefined : same;
  } catch {
    return undefined;
  }
}

/** `length`: of its commits' hashes, in digits. */
function identity({ about, partial }: AnyClone, length: number): string {
  return `${about.url}\n${partial ? "partial" : "whole"}\n${String(length)}\n`;
}

/** A clone made anew, whatever lies in its place. */
async function cloned(clone: Clone, signal: AbortSignal): Promise<Result<Read, GitFailure>> {
  await rm(clone.cwd, { recursive: true, force: true });
  await mkdir(clone.cwd, { recursive: true, mode: 0o700 });
  const made = await text(clone, ["init", "--bare", `--object-format=${clone.revision.length === 64 ? "sha256" : "sha1"}`], signal);
  if (!made.ok) return made;
  await writeFile(join(clone.cwd, identityFile), identity(clone, clone.revision.length));
  return brought(clone, signal);
}

/** The commit's files, after a fetch if the clone does not have it yet. */
async function brought(clone: Clone, signal: AbortSignal): Promise<Result<Read, GitFailure>> {
  if ((await headIn(clone)) !== clone.revision) {
    const fetched = await bring(clone, 1, signal);
    if (!fetched.ok) return fetched;
  }
  return readCommit(clone, signal);
}

async function headIn({ cwd }: Place): Promise<string | undefined> {
  try {
    return (await readFile(join(cwd, headRef), "utf8")).trim();
  } catch {
    return undefined;
  }
}

/**
 * Fetches the commit by its hash; or where the server gives none by hash (protocol 0 and 1), by its branch or tag if that is still there, or
 * with all there is.
 */
async function bring(clone: Clone, depth: number, signal: AbortSignal): Promise<Result<void, GitFailure>> {
  const { about, revision, tag } = clone;
  const exact = await bringRef(clone, revision, depth, signal);
  if (exact.ok || exact.trouble.refused === undefined) return exact;
  if (about.at?.kind === "commit") return bringAll(clone, exact.trouble, signal);
  const latest = await bringRef(clone, tag === undefined ? refOf(about) : `refs/tags/${tag}`, depth, signal);
  if (!latest.ok) return latest;
  if (tag !== undefined) await text(clone, ["update-ref", headRef, `${headRef}^{commit}`], signal);
  if ((await headIn(clone)) === revision) return success(undefined);
  const what = tag === undefined ? "the branch" : `tag ${tag}`;
  const reason = `${about.url} no longer gives out ${short(revision)}: ${what} has moved on, the next poll takes it from there`;
  return trouble({ reason: spoken(reason, about.secrets), transient: true, fault: "remote" });
}

/** The whole history of all branches and tags, in which a commit is that the server names nowhere itself. */
async function bringAll(clone: Clone, { absent }: GitFailure, signal: AbortSignal): Promise<Result<void, GitFailure>> {
  const { about, revision, partial } = clone;
  const missing = trouble<GitFailure>({ reason: spoken(notThere(about), about.secrets), transient: false, fault: "remote" });
  // To bring all would be no use, at each poll.
  if (absent) return missing;
  // As deep as it goes, also where the clone is shallow (git-fetch(1), --depth).
  const options = ["--no-progress", "--no-tags", "--no-write-fetch-head", "--depth=2147483647", ...(partial ? ["--filter=blob:none"] : [])];
  const refs = ["heads", "tags"].map((kind) => `+refs/${kind}/*:refs/pgo/${kind}/*`);
  const fetched = await text(clone, ["fetch", ...options, "origin", ...refs], signal);
  if (!fetched.ok) return fetched;
  const named = await text(clone, ["update-ref", headRef, revision], signal);
  return named.ok ? success(undefined) : missing;
}

/** `ref`: a commit's hash or the full name of a ref. What it names is the clone's head then. */
async function bringRef(clone: AnyClone, ref: string, depth: number, signal: AbortSignal): Promise<Result<void, GitFailure>> {
  // Not --quiet: simple-git waits 50 ms longer for a process that says nothing.
  const filter = clone.partial ? ["--filter=blob:none"] : [];
  const fetch = ["fetch", "--no-progress", "--no-tags", "--no-write-fetch-head", `--depth=${String(depth)}`, ...filter, "origin"];
  const fetched = await text(clone, [...fetch, `+${ref}:${headRef}`], signal);
  return fetched.ok ? success(undefined) : fetched;
}

async function readCommit(clone: Clone, signal: AbortSignal): Promise<Result<Read, GitFailure>> {
  const { revision, tag, optional } = clone;
  const files = await readFiles(clone, { required: optional ? [] : clone.paths, before: [] }, signal);
  if (!files.ok) return files;
  let { lines, entries } = files.value;
  const { author, subject, message, committedAt, parents } = tree.commitOf(files.value.commit);
  // What links of these lead to may lie beside the paths, as the code of a mono-repository beside its quadlets.
  for (let followed = clone.paths, round = 0; round < mostLinkRounds; round += 1) {
    const linked = tree.linkedPaths(entries, followed);
    if (linked.length === 0) break;
    followed = [...followed, ...linked];
    const more = await readFiles({ ...clone, paths: linked }, { required: [], before: lines }, signal);
    if (!more.ok) return more;
    lines = [...lines, ...more.value.lines];
    entries = new Map([...entries, ...more.value.entries]);
  }
  return success({ snapshot: { revision, tag, author, subject, messages: [message], committedAt, rewritten: false, entries }, parents });
}

interface Files {
  readonly commit: Uint8Array;
  readonly lines: readonly tree.TreeLine[];
  readonly entries: Snapshot["entries"];
}

/** All that lies at or below the clone's paths. `before`: what was read of the commit already, which counts for how much may be read. */
async function readFiles(
  clone: Clone,
  { required, before }: { readonly required: readonly string[]; readonly before: readonly tree.TreeLine[] },
  signal: AbortSignal,
): Promise<Result<Files, GitFailure>> {
  const { revision, paths } = clone;
  if (clone.partial) {
    const names = await text(clone, ["ls-tree", "-r", "-z", "--full-tree", revision, "--", ...paths], signal);
    if (!names.ok) return local(names.trouble);
    const there = tree.treeLines(names.value);
    const refused = tree.refusal(there, required, short(revision));
    if (refused !== undefined) return trouble({ reason: refused, transient: false, fault: "remote" });
    const present = paths.filter((path) => there.some((line) => line.path.startsWith(`${path}/`)));
    const files = there.filter((line) => paths.includes(line.path)).map(({ object }) => object);
    const complete = await bringContents({ ...clone, paths: present }, files, signal);
    if (!complete.ok) return complete;
  }
  const listed = await text(clone, ["ls-tree", "-r", "-l", "-z", "--full-tree", revision, "--", ...paths], signal);
  if (!listed.ok) return local(listed.trouble);
  const lines = tree.treeLines(listed.value);
  const refused = tree.refusal([...before, ...lines], required, short(revision));
  if (refused !== undefined) return trouble({ reason: refused, transient: false, fault: "remote" });
  const contents = await readObjects(clone, [revision, ...tree.wanted(lines)], signal);
  if (!contents.ok) return contents;
  const commit = contents.value.get(revision);
  const entries = tree.treeEntries(lines, contents.value);
  if (commit === undefined || !entries.ok)
    return trouble({ reason: entries.ok ? "the commit is missing" : entries.trouble, transient: true, fault: "clone" });
  return success({ commit, lines, entries: entries.value });
}

/** Brings the contents that a partial clone lacks below its paths, and those of `files`, all at once: git itself would fetch them one by one. */
async function bringContents(clone: Clone, files: readonly string[], signal: AbortSignal): Promise<Result<void, GitFailure>> {
  const trees = clone.paths.map((path) => `${clone.revision}:${path}`);
  const command = ["rev-list", "--objects", "--missing=print", "--no-object-names", ...trees];
  const listed = trees.length === 0 ? success("") : await text(clone, command, signal);
  if (!listed.ok) return local(listed.trouble);
  // rev-list calls a file itself a bad object where it is missing; to bring one that is there does no harm.
  const missing = [...tree.missingObjects(listed.value), ...files];
  if (missing.length === 0) return success(undefined);
  // As git does for itself (partial-clone design notes): no haves, or the server leaves out what it takes for known.
  const options = ["--no-progress", "--no-tags", "--no-write-fetch-head", "--filter=blob:none", "--stdin"];
  const fetched = await text(
    { ...clone, input: missing.join("\n") },
    ["-c", "fetch.negotiationAlgorithm=noop", "fetch", ...options, "origin"],
    signal,
  );
  return fetched.ok ? success(undefined) : fetched;
}

async function readObjects(clone: Clone, objects: readonly string[], signal: AbortSignal) {
  const output = await catFile({ ...clone, input: `${objects.join("\n")}\n` }, ["--batch"], signal);
  if (!output.ok) return local(output.trouble);
  const contents = tree.objectContents(output.value);
  return contents.ok
    ? contents
    : trouble<GitFailure>({ reason: `the clone is damaged: ${contents.trouble}`, transient: true, fault: "clone" });
}

/** Adds whether the branch was rewritten, and what the other new commits say. Not being able to tell is no trouble: the commit is here. */
async function withHistory(
  clone: Clone,
  { snapshot, parents }: Read,
  previous: Revision | undefined,
  signal: AbortSignal,
): Promise<Snapshot> {
  if (previous === undefined || previous === snapshot.revision) return snapshot;
  // A merge brings others with it.
  if (parents.includes(previous) && (parents.length === 1 || !clone.trailers)) return snapshot;
  // Two tags need not be of one line, nor two commits that a person names.
  const isBranch = clone.about.at === undefined;
  if (!isBranch && !clone.trailers) return snapshot;
  const deepened = await bring(clone, historyDepth, signal);
  const listed = deepened.ok ? await text(clone, ["rev-list", snapshot.revision], signal) : deepened;
  if (!listed.ok) return snapshot;
  const old = await readObjects(clone, [previous], signal);
  const commit = old.ok ? old.value.get(previous) : undefined;
  const shallow = await readFile(join(clone.cwd, "shallow"), "utf8").catch(() => "");
  const known = { shallow: linesOf(shallow), previousParents: commit === undefined ? undefined : tree.commitOf(commit).parents };
  const messages = clone.trailers ? await newMessages(clone, previous, signal) : [];
  return {
    ...snapshot,
    messages: messages.length > 0 ? messages : snapshot.messages,
    rewritten: isBranch && tree.isRewritten(previous, new Set(linesOf(listed.value)), known),
  };
}

/** Of the commits that came since the previous one, newest first; none where that is not to be found out. */
async function newMessages(clone: Clone, previous: Revision, signal: AbortSignal): Promise<readonly string[]> {
  const range = ["--topo-order", `--max-count=${String(historyDepth)}`, clone.revision, "--not", previous];
  const listed = await text(clone, ["rev-list", ...range], signal);
  if (!listed.ok) return [];
  const commits = linesOf(listed.value);
  const contents = await readObjects(clone, commits, signal);
  if (!contents.ok) return [];
  return commits.flatMap((commit) => {
    const content = contents.value.get(commit);
    return content === undefined ? [] : [tree.commitOf(content).message];
  });
}

/** What the branch names, as a revision; undefined: nothing. */
export function headOf(found: string | undefined, about: About): Result<Revision, GitTrouble> {
  if (found === undefined) return trouble({ reason: spoken(notThere(about), []), transient: false });
  try {
    return success(revisionOf(found));
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    return trouble({ reason: spoken(`${about.url} answers oddly: ${error.message}`, []), transient: true });
  }
}

/** Reading needs no network in a whole clone: what goes wrong there is the clone's fault, unless it is the disk's. */
function local(failure: GitFailure): { readonly ok: false; readonly trouble: GitFailure } {
  return trouble(failure.fault === "disk" ? failure : { ...failure, fault: "clone" });
}

/** A failure as others hear of it. */
export function told({ reason, transient }: GitFailure): GitTrouble {
  return { reason, transient };
}

function linesOf(output: string): readonly string[] {
  return output.split("\n").filter((line) => line !== "");
}

/** The full name of the ref that a source follows. */
export function refOf({ branch }: { readonly branch: string | undefined }): string {
  if (branch === undefined) return "HEAD";
  return branch.startsWith("refs/") ? branch : `refs/heads/${branch}`;
}

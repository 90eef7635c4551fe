/** The Git port: one ls-remote for a poll, and a small bare clone, only a cache, from which a commit's files are read. */

import { mkdir, readFile, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { SecretReference, Source } from "../../core/config.ts";
import { NameError, revision as revisionOf, short, type Revision, type SourceName } from "../../core/names.ts";
import { reasonOf, success, trouble, type Result } from "../../core/result.ts";
import type { Git, GitTrouble, Snapshot } from "../../ports.ts";
import { accessTo, addressOf, gitConfig, gitConfigFile } from "./access.ts";
import { catFile, text, type Place } from "./process.ts";
import * as tree from "./tree.ts";
import { spoken, type GitFailure } from "./trouble.ts";

export interface GitOptions {
  /** Where clones lie, one directory for each source, named after it; made when missing, 0700. */
  readonly directory: string;
  readonly secrets: (reference: SecretReference, signal: AbortSignal) => Promise<Result<string, string>>;
  /** pgo's own environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** In milliseconds, for one ls-remote and for each other git process; a slow link needs its time for a first clone. */
  readonly deadlines?: { readonly head: number; readonly fetch: number };
}

/** What all git processes of a source need. */
type Reach = Pick<Place, "environment" | "about">;

/** A commit's files, with what else its reading found out. */
interface Read {
  readonly snapshot: Snapshot;
  readonly parents: readonly string[];
}

/** A clone grows by a pack with each fetch, since git's own housekeeping is off; a fresh one is cheaper than a gc on a small machine. */
const mostPacks = 100;
/** How far back the history is looked at to tell a rewritten branch. */
const historyDepth = 50;
/** The ref that holds the commit that was brought last. */
const headRef = "refs/pgo/head";
/** Names what a clone is of. */
const identityFile = "pgo-clone";

/**
 * Git by the host's `git` and `ssh`, with nothing of their configuration but `directory`'s own.
 *
 * The clone of a source is a cache: when it is damaged, locked by a process that was killed, or of another URL, a new one is made beside it
 * and takes its place only after the commit was read from it, so that a remote that can't be reached costs nothing. Only Linux: an abort
 * finds git's children by /proc.
 */
export function openGit(options: GitOptions): Git {
  const deadlines = options.deadlines ?? { head: 30_000, fetch: 600_000 };
  const turns = new Map<SourceName, Promise<unknown>>();

  async function reachOf(source: Source, signal: AbortSignal): Promise<Result<Reach, GitTrouble>> {
    signal.throwIfAborted();
    await prepare(options.directory);
    const access = await accessTo(source, options, signal);
    if (!access.ok) return trouble({ reason: access.trouble, transient: false });
    const { url, host, port } = addressOf(source.url);
    const ssh = source.auth !== undefined && "ssh_key" in source.auth ? source.auth : undefined;
    const about = { url, host, port, branch: source.branch, sshKey: ssh?.ssh_key, knownHosts: ssh?.known_hosts };
    return success({ environment: access.value.environment, about: { ...about, secrets: access.value.secrets } });
  }

  async function fetchInTurn(source: Source, revision: Revision, previous: Revision | undefined, signal: AbortSignal) {
    const reach = await reachOf(source, signal);
    if (!reach.ok) return reach;
    const paths = tree.treePaths(source.paths);
    if (!paths.ok) return trouble({ reason: paths.trouble, transient: false });
    const place = { ...reach.value, deadline: deadlines.fetch, cwd: join(options.directory, source.name) };
    return refreshed({ ...place, name: source.name, paths: paths.value, partial: paths.value.length > 0, revision }, previous, signal);
  }

  return {
    async head(source, signal) {
      return guarded(options.directory, async () => {
        const reach = await reachOf(source, signal);
        if (!reach.ok) return reach;
        const ref = source.branch === undefined ? "HEAD" : branchRef(source.branch);
        const place = { ...reach.value, cwd: options.directory, deadline: deadlines.head };
        const listed = await text(place, ["ls-remote", "origin", ref], signal);
        if (!listed.ok) return trouble(told(listed.trouble));
        return headOf(tree.remoteRef(listed.value, ref), source, place.about.url);
      });
    },

    async fetch(source, revision, previous, signal) {
      // One at a time for each source: two would get into each other's clone.
      const before = turns.get(source.name) ?? Promise.resolve();
      const turn = before.then(() => guarded(options.directory, () => fetchInTurn(source, revision, previous, signal)));
      turns.set(
        source.name,
        turn.catch(() => undefined),
      );
      return turn;
    },
  };
}

function headOf(found: string | undefined, { branch }: Source, url: string): Result<Revision, GitTrouble> {
  if (found === undefined) {
    const reason =
      branch === undefined
        ? `${url} has no commit that its HEAD names: push one, or set branch in pgo.toml`
        : `branch "${branch}" is not in ${url}: push it, or change branch in pgo.toml`;
    return trouble({ reason: spoken(reason, []), transient: false });
  }
  try {
    return success(revisionOf(found));
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    return trouble({ reason: spoken(`${url} answers oddly: ${error.message}`, []), transient: true });
  }
}

// ---- The clone ----

interface Clone extends Place {
  readonly name: SourceName;
  readonly revision: Revision;
  /** Empty: all of it. */
  readonly paths: readonly string[];
  /** Without the contents of files that no path asks for. */
  readonly partial: boolean;
}

/** The commit's files from the clone that there is, or from a fresh one that then replaces it. */
async function refreshed(clone: Clone, previous: Revision | undefined, signal: AbortSignal): Promise<Result<Snapshot, GitTrouble>> {
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
async function usable(clone: Clone): Promise<Clone | undefined> {
  try {
    const found = await readFile(join(clone.cwd, identityFile), "utf8");
    const same = (clone.partial ? [true, false] : [false])
      .map((partial) => ({ ...clone, partial }))
      .find((kind) => identity(kind) === found);
    if (same === undefined) return undefined;
    const packs = join(clone.cwd, "objects/pack");
    const files = await readdir(packs);
    for (const file of files.filter((name) => name.startsWith("tmp_"))) await rm(join(packs, file), { force: true });
    return files.filter((name) => name.endsWith(".pack")).length > mostPacks ? undefined : same;
  } catch {
    return undefined;
  }
}

function identity({ about, partial, revision }: Clone): string {
  return `${about.url}\n${partial ? "partial" : "whole"}\n${String(revision.length)}\n`;
}

/** A clone made anew, whatever lies in its place. */
async function cloned(clone: Clone, signal: AbortSignal): Promise<Result<Read, GitFailure>> {
  await rm(clone.cwd, { recursive: true, force: true });
  await mkdir(clone.cwd, { recursive: true, mode: 0o700 });
  const made = await text(clone, ["init", "--bare", `--object-format=${clone.revision.length === 64 ? "sha256" : "sha1"}`], signal);
  if (!made.ok) return made;
  await writeFile(join(clone.cwd, identityFile), identity(clone));
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

async function headIn({ cwd }: Clone): Promise<string | undefined> {
  try {
    return (await readFile(join(cwd, headRef), "utf8")).trim();
  } catch {
    return undefined;
  }
}

/** Fetches the commit by its hash, or where the server gives none by hash (protocol 0 and 1), by its branch if that is still there. */
async function bring(clone: Clone, depth: number, signal: AbortSignal): Promise<Result<void, GitFailure>> {
  // Not --quiet: simple-git waits 50 ms longer for a process that says nothing.
  const filter = clone.partial ? ["--filter=blob:none"] : [];
  const fetch = ["fetch", "--no-progress", "--no-tags", "--no-write-fetch-head", `--depth=${String(depth)}`, ...filter, "origin"];
  const exact = await text(clone, [...fetch, `+${clone.revision}:${headRef}`], signal);
  if (exact.ok) return success(undefined);
  if (exact.trouble.refused === undefined) return exact;
  const { branch } = clone.about;
  const latest = await text(clone, [...fetch, `+${branch === undefined ? "HEAD" : branchRef(branch)}:${headRef}`], signal);
  if (!latest.ok) return latest;
  if ((await headIn(clone)) === clone.revision) return success(undefined);
  const reason = `${clone.about.url} no longer gives out ${short(clone.revision)}: the branch has moved on, the next poll takes it from there`;
  return trouble({ reason: spoken(reason, clone.about.secrets), transient: true, fault: "remote" });
}

async function readCommit(clone: Clone, signal: AbortSignal): Promise<Result<Read, GitFailure>> {
  const { revision, paths } = clone;
  if (clone.partial) {
    const names = await text(clone, ["ls-tree", "-r", "-z", "--full-tree", revision, "--", ...paths], signal);
    if (!names.ok) return local(names.trouble);
    const refused = tree.refusal(tree.treeLines(names.value), paths, short(revision));
    if (refused !== undefined) return trouble({ reason: refused, transient: false, fault: "remote" });
    const complete = await bringContents(clone, signal);
    if (!complete.ok) return complete;
  }
  const listed = await text(clone, ["ls-tree", "-r", "-l", "-z", "--full-tree", revision, "--", ...paths], signal);
  if (!listed.ok) return local(listed.trouble);
  const lines = tree.treeLines(listed.value);
  const refused = tree.refusal(lines, paths, short(revision));
  if (refused !== undefined) return trouble({ reason: refused, transient: false, fault: "remote" });
  const contents = await readObjects(clone, [revision, ...tree.wanted(lines)], signal);
  if (!contents.ok) return contents;
  const commit = contents.value.get(revision);
  const entries = tree.treeEntries(lines, contents.value);
  if (commit === undefined || !entries.ok)
    return trouble({ reason: entries.ok ? "the commit is missing" : entries.trouble, transient: true, fault: "clone" });
  const { author, subject, parents } = tree.commitOf(commit);
  return success({
    snapshot: { revision, author, subject, rewritten: false, entries: entries.value },
    parents,
  });
}

/** Brings the files' contents that a partial clone lacks, all at once: git itself would fetch them one by one. */
async function bringContents(clone: Clone, signal: AbortSignal): Promise<Result<void, GitFailure>> {
  const trees = clone.paths.map((path) => `${clone.revision}:${path}`);
  const listed = await text(clone, ["rev-list", "--objects", "--missing=print", "--no-object-names", ...trees], signal);
  if (!listed.ok) return local(listed.trouble);
  const missing = tree.missingObjects(listed.value);
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

/** Adds whether the branch was rewritten. Not being able to tell is no trouble: the commit is here. */
async function withHistory(
  clone: Clone,
  { snapshot, parents }: Read,
  previous: Revision | undefined,
  signal: AbortSignal,
): Promise<Snapshot> {
  if (previous === undefined || previous === snapshot.revision || parents.includes(previous)) return snapshot;
  const deepened = await bring(clone, historyDepth, signal);
  const listed = deepened.ok ? await text(clone, ["rev-list", snapshot.revision], signal) : deepened;
  if (!listed.ok) return snapshot;
  const old = await readObjects(clone, [previous], signal);
  const commit = old.ok ? old.value.get(previous) : undefined;
  const shallow = await readFile(join(clone.cwd, "shallow"), "utf8").catch(() => "");
  const known = { shallow: linesOf(shallow), previousParents: commit === undefined ? undefined : tree.commitOf(commit).parents };
  return { ...snapshot, rewritten: tree.isRewritten(previous, new Set(linesOf(listed.value)), known) };
}

// ---- Small things ----

async function prepare(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, gitConfigFile);
  const present = await readFile(path, "utf8").catch(() => undefined);
  if (present !== gitConfig) await writeFile(path, gitConfig, { mode: 0o600 });
}

/** A state directory that can't be used is a trouble of the source, not the end of pgo. */
async function guarded<Value>(directory: string, work: () => Promise<Result<Value, GitTrouble>>): Promise<Result<Value, GitTrouble>> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error) || !("syscall" in error)) throw error;
    return trouble({ reason: `keep clones in ${directory}: ${reasonOf(error)}`, transient: false });
  }
}

/** Reading needs no network in a whole clone: what goes wrong there is the clone's fault, unless it is the disk's. */
function local(failure: GitFailure): { readonly ok: false; readonly trouble: GitFailure } {
  return trouble(failure.fault === "disk" ? failure : { ...failure, fault: "clone" });
}

function told({ reason, transient }: GitFailure): GitTrouble {
  return { reason, transient };
}

function linesOf(output: string): readonly string[] {
  return output.split("\n").filter((line) => line !== "");
}

function branchRef(branch: string): string {
  return branch.startsWith("refs/") ? branch : `refs/heads/${branch}`;
}

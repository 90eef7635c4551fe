/** The Git port: one ls-remote for a poll, and a clone from which a commit's files are read. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import type { SecretReference, Source } from "../../core/config.ts";
import type { Revision, SourceName } from "../../core/names.ts";
import { chosenTag } from "../../core/refs.ts";
import { reasonOf, success, trouble, type Result } from "../../core/result.ts";
import type { Git, GitTrouble } from "../../ports.ts";
import { accessTo, addressOf, gitConfig, gitConfigFile } from "./access.ts";
import { headOf, newest, refOf, refreshed, told } from "./clone.ts";
import { text, type Place } from "./process.ts";
import * as tree from "./tree.ts";
import { notThere, spoken } from "./trouble.ts";

export interface GitOptions {
  /** Where clones lie, one directory for each source, named after it; made when missing, 0700. */
  readonly directory: string;
  readonly secrets: (reference: SecretReference, signal: AbortSignal) => Promise<Result<string, string>>;
  /** pgo's own environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** In milliseconds, for one ls-remote and for each other git process; a slow link needs its time for a first clone. */
  readonly deadlines?: { readonly head: number; readonly fetch: number };
}

/** A commit, and the tag by which it was found. */
interface Found {
  readonly revision: Revision;
  readonly tag?: string | undefined;
}

/** What all git processes of a source need. */
type Reach = Pick<Place, "environment" | "about">;

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
    const about = { url, host, port, branch: source.branch, at: source.at, sshKey: ssh?.ssh_key, knownHosts: ssh?.known_hosts };
    return success({ environment: access.value.environment, about: { ...about, secrets: access.value.secrets } });
  }

  async function ask(source: Source, reach: Reach, signal: AbortSignal): Promise<Result<Found, GitTrouble>> {
    const { at } = source;
    if (at?.kind === "commit") return success({ revision: at.revision });
    const ref = refOf(source);
    const question = at === undefined ? ["ls-remote", "origin", ref] : ["ls-remote", "--tags", "origin"];
    const listed = await text({ ...reach, cwd: options.directory, deadline: deadlines.head }, question, signal);
    if (!listed.ok) return trouble(told(listed.trouble));
    if (at === undefined) return found(headOf(tree.remoteRef(listed.value, ref), reach.about));
    const tags = tree.remoteTags(listed.value);
    const tag = chosenTag(at, tags);
    if (tag === undefined) return trouble({ reason: spoken(notThere(reach.about, tags), []), transient: false });
    return success({ revision: tag.revision, tag: tag.name });
  }

  async function fetchInTurn(source: Source, wanted: Revision | "newest", previous: Revision | undefined, signal: AbortSignal) {
    const reach = await reachOf(source, signal);
    if (!reach.ok) return reach;
    const paths = tree.treePaths(source.paths);
    if (!paths.ok) return trouble({ reason: paths.trouble, transient: false });
    const place = { ...reach.value, deadline: deadlines.fetch, cwd: join(options.directory, source.name) };
    const { name, optionalPaths: optional, at } = source;
    const clone = { ...place, name, paths: paths.value, optional, partial: paths.value.length > 0, trailers: source.trailers === true };
    const latest = { ask: async () => headIn(await ask(source, reach.value, signal)), deadline: deadlines.head };
    // Tags are asked for again, since which of them a commit goes by counts too.
    const branch = async () => found(wanted === "newest" ? await newest(clone, latest, signal) : success(wanted));
    const now = at === undefined ? await branch() : await ask(source, reach.value, signal);
    return now.ok ? refreshed({ ...clone, ...now.value }, previous, signal) : now;
  }

  return {
    async head(source, signal) {
      return guarded(options.directory, async () => {
        const reach = await reachOf(source, signal);
        if (!reach.ok) return reach;
        return headIn(await ask(source, reach.value, signal));
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

function found(head: Result<Revision, GitTrouble>): Result<Found, GitTrouble> {
  return head.ok ? success({ revision: head.value }) : head;
}

function headIn(one: Result<Found, GitTrouble>): Result<Revision, GitTrouble> {
  return one.ok ? success(one.value.revision) : one;
}

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

/** One pass over one source: ask Git, and when something is to be done, judge all its applications and deal with each in turn. */

import type { Bundle } from "../core/bundle.ts";
import type { Source } from "../core/config.ts";
import type { Candidate } from "../core/decide.ts";
import { layout, type Draft } from "../core/layout.ts";
import { partsOf, type ApplicationId, type Revision, type UnitName } from "../core/names.ts";
import { dependsOn, inOrder } from "../core/order.ts";
import type { ApplicationRecord, GitTrouble, Snapshot, SourceRecord } from "../ports.ts";
import { act, guarded, isSuspended, repair, type Case } from "./act.ts";
import { liveBundles, type Context } from "./context.ts";
import { judge } from "./judge.ts";
import { resume } from "./rollout.ts";

/** Why a pass is more than a look at Git. */
export interface Occasion {
  /** The host is looked at too. */
  readonly drift: boolean;
  /** A person asked: everything is looked at, held tries are not waited for. */
  readonly asked: boolean;
  /** An application to be tried again, or rolled back, by name of the cause. */
  readonly retry: ApplicationId | undefined;
}

/** Never throws for trouble of Git's or of a single application's; what is found is saved and told. Answers whether Git could be read. */
export async function pass(source: Source, occasion: Occasion, context: Context, signal: AbortSignal): Promise<boolean> {
  const began = context.clock.monotonic();
  await finishInterrupted(context, signal);
  const head = await timed("ls-remote", source, (inner) => context.git.head(source, inner), context, signal);
  let handled: ReadonlySet<ApplicationId> = new Set();
  let outcome: "in-sync" | "changed" | "source-failed" = "in-sync";
  if (!head.ok) {
    outcome = "source-failed";
    failed(source, head.trouble, context);
  } else if (!needsWork(source, head.value, occasion, context)) {
    checked(source, head.value, context);
  } else {
    const previous = context.store.source(source.name)?.revision;
    const fetched = await timed("fetch", source, (inner) => context.git.fetch(source, head.value, previous, inner), context, signal);
    if (!fetched.ok) {
      outcome = "source-failed";
      failed(source, fetched.trouble, context);
    } else {
      outcome = "changed";
      handled = await dealWith(source, fetched.value, occasion, context, signal);
    }
  }
  // With Git out of reach, what runs is kept as it was last good.
  if (occasion.drift || occasion.asked) {
    for (const { id } of context.store.applications())
      if (partsOf(id).source === source.name && !handled.has(id)) await guarded(id, () => repair(id, context, signal), context, signal);
    await countContainers(context, signal);
  }
  context.journal.tell({ type: "pass", source: source.name, outcome, ms: context.clock.monotonic() - began });
  return outcome !== "source-failed";
}

/** Rollouts that a crash, or trouble with systemd or Podman, left unfinished come before anything new. */
export async function finishInterrupted(context: Context, signal: AbortSignal): Promise<void> {
  for (const rollout of context.store.rollouts())
    await guarded(rollout.application, () => resume(rollout, context, signal), context, signal);
}

/** A revision's files as candidates, for a pass and for `ctl plan`. */
export async function candidatesOf(
  source: Source,
  snapshot: Snapshot,
  context: Context,
  signal: AbortSignal,
): Promise<{ readonly drafts: readonly Draft[]; readonly candidates: ReadonlyMap<ApplicationId, Candidate> }> {
  const drafts = layout(source.name, source.paths, snapshot.entries);
  const judged = new Map(await judge({ drafts, live: liveBundles(context) }, context, signal));
  for (const { id } of context.store.applications())
    if (partsOf(id).source === source.name && !judged.has(id)) judged.set(id, { kind: "absent" });
  return { drafts, candidates: judged };
}

/** Why a revision with nothing in it is not believed; undefined when it is. */
export function emptiness(source: Source, snapshot: Snapshot, { store }: Context): string | undefined {
  const there = store.applications().filter(({ id, lastGood }) => partsOf(id).source === source.name && lastGood !== undefined);
  if (source.allowEmpty || there.length === 0 || layout(source.name, source.paths, snapshot.entries).length > 0) return undefined;
  return `revision ${snapshot.revision.slice(0, 7)} holds no application where there ${there.length === 1 ? "was 1" : `were ${there.length}`}: nothing is removed; set allow_empty = true for this source if it is meant`;
}

function needsWork(source: Source, head: Revision, { drift, asked, retry }: Occasion, { store, clock }: Context): boolean {
  const record = store.source(source.name);
  if (asked || retry !== undefined || record?.revision !== head || record.state === "failed") return true;
  const own = store.applications().filter(({ id }) => partsOf(id).source === source.name);
  // What was refused may have needed something that the host has now; what was suspended may have changes waiting.
  return own.some(
    (one) =>
      (one.outcome === "held" &&
        !isSuspended(one, clock.now()) &&
        (one.held?.until === undefined ? drift : one.held.until <= clock.now())) ||
      (one.outcome === "rejected" && drift),
  );
}

async function dealWith(
  source: Source,
  snapshot: Snapshot,
  occasion: Occasion,
  context: Context,
  signal: AbortSignal,
): Promise<ReadonlySet<ApplicationId>> {
  const { store, journal } = context;
  if (snapshot.rewritten)
    journal.tell({
      type: "source",
      source: source.name,
      state: "rewritten",
      message: `history was rewritten: ${store.source(source.name)?.revision?.slice(0, 7) ?? "?"} is not an ancestor of ${snapshot.revision.slice(0, 7)}, which is followed`,
    });
  const empty = emptiness(source, snapshot, context);
  if (empty !== undefined) {
    failed(source, { reason: empty, transient: false }, context);
    return new Set();
  }
  const { drafts, candidates } = await candidatesOf(source, snapshot, context, signal);
  const commit = { revision: snapshot.revision, ref: source.branch ?? "HEAD", author: snapshot.author, subject: snapshot.subject };
  const troubled = new Map<ApplicationId, Bundle | undefined>();
  for (const application of rolloutOrder(candidates, context)) {
    const candidate = candidates.get(application);
    if (candidate === undefined) continue;
    const one: Case = {
      application,
      candidate,
      draft: drafts.find((draft) => draft.application === application),
      commit,
      asked: occasion.retry === application ? "retry" : occasion.asked ? "commit" : undefined,
      dependency: dependencyOf(candidate, troubled),
    };
    const done = await guarded(application, () => act(one, context, signal), context, signal);
    if (done !== true) troubled.set(application, nextBundle(candidate, store.application(application), context));
  }
  checked(source, snapshot.revision, context);
  store.trim(
    { deployments: context.config.state.keepDeployments, days: context.config.state.keepDays, good: context.config.state.keepGood },
    context.clock.now(),
  );
  context.bundles.keep(new Set(store.applications().flatMap(({ lastGood }) => lastGood ?? [])));
  return new Set(candidates.keys());
}

/** First what gives a unit up, then what takes it; first what is needed, then what needs it; what goes away goes after its users. */
function rolloutOrder(candidates: ReadonlyMap<ApplicationId, Candidate>, context: Context): readonly ApplicationId[] {
  const live = liveBundles(context);
  const next = (id: ApplicationId): Bundle | undefined => {
    const candidate = candidates.get(id);
    return candidate?.kind === "bundle" ? candidate.bundle : candidate?.kind === "absent" ? undefined : live.get(id);
  };
  const names = (bundle: Bundle | undefined) => new Set<UnitName>(bundle?.units.map((unit) => unit.name));
  const ids = [...candidates.keys()];
  return inOrder(
    ids,
    (id) => id,
    (id) =>
      ids.filter((other) => {
        if (other === id) return false;
        const [mine, theirs] = [names(next(id)), names(next(other))];
        const givesUp = [...names(live.get(other))].some((name) => !theirs.has(name) && mine.has(name));
        const isNeeded = needs(next(id), next(other));
        const usedUp = next(id) === undefined && needs(live.get(other), live.get(id));
        return givesUp || isNeeded || usedUp;
      }),
  );
}

function needs(bundle: Bundle | undefined, other: Bundle | undefined): boolean {
  return bundle?.units.some((unit) => other?.units.some((one) => dependsOn(unit, one))) === true;
}

/** The first application in trouble that this candidate needs something of. */
function dependencyOf(candidate: Candidate, troubled: ReadonlyMap<ApplicationId, Bundle | undefined>): ApplicationId | undefined {
  if (candidate.kind !== "bundle") return undefined;
  return [...troubled].find(([, bundle]) => needs(candidate.bundle, bundle))?.[0];
}

function nextBundle(candidate: Candidate, record: ApplicationRecord | undefined, { bundles }: Context): Bundle | undefined {
  if (candidate.kind === "bundle") return candidate.bundle;
  return record?.lastGood === undefined ? undefined : bundles.get(record.lastGood);
}

function checked(source: Source, revision: Revision, { store, journal, clock }: Context): void {
  const before = store.source(source.name);
  store.saveSource({ name: source.name, revision, checkedAt: clock.now(), state: "ok", message: undefined, failures: 0 });
  if (before?.state === "failed")
    journal.tell({ type: "source", source: source.name, state: "recovered", message: `can be read again, at ${revision.slice(0, 7)}` });
}

/** Told when it begins and when its reason changes, not at each poll. */
export function failed(source: Source, { reason, transient }: GitTrouble, { store, journal, clock }: Context): void {
  const before: SourceRecord | undefined = store.source(source.name);
  store.saveSource({
    name: source.name,
    revision: before?.revision,
    checkedAt: clock.now(),
    state: "failed",
    message: reason,
    failures: (before?.failures ?? 0) + 1,
  });
  if (before?.state !== "failed" || before.message !== reason)
    journal.tell({
      type: "source",
      source: source.name,
      state: "failed",
      message: transient ? `${reason}; what runs is kept, and it is tried again` : `${reason}; what runs is kept`,
    });
}

async function countContainers({ podman, journal }: Context, signal: AbortSignal): Promise<void> {
  const states: Record<string, number> = {};
  for (const { state } of await podman.containers(signal)) states[state] = (states[state] ?? 0) + 1;
  journal.tell({ type: "containers", states });
}

async function timed<Value extends { readonly ok: boolean }>(
  operation: "ls-remote" | "fetch",
  source: Source,
  work: (signal: AbortSignal) => Promise<Value>,
  { journal, clock }: Context,
  signal: AbortSignal,
): Promise<Value> {
  const began = clock.monotonic();
  const value = await work(signal);
  journal.tell({ type: "git", source: source.name, operation, result: value.ok ? "ok" : "failed", ms: clock.monotonic() - began });
  return value;
}

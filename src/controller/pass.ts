/** One pass over one source: ask Git, and when something is to be done, judge all its applications and deal with each in turn. */

import type { Source } from "../core/config.ts";
import { stillWaits } from "../core/decide.ts";
import { partsOf, type ApplicationId, type Revision } from "../core/names.ts";
import { pinOf } from "../core/pin.ts";
import type { Result } from "../core/result.ts";
import type { ApplicationRecord, GitTrouble, Snapshot, SourceRecord } from "../ports.ts";
import { guarded } from "./act.ts";
import { dropOldVersions } from "./backups.ts";
import { finishTogether } from "./atomic.ts";
import type { Context } from "./context.ts";
import { dealWithRevision } from "./revision.ts";
import { awaitsJudgement, takeFound } from "./heal.ts";
import { resume } from "./rollout.ts";
import { suspensionOf } from "./schedule.ts";
import { emptiness, type Seen } from "./seen.ts";
import { removeSuperseded } from "./superseded.ts";
import { repairAll } from "./survey.ts";
import { isTried } from "./tries.ts";
import { dropOldBackups } from "./volumes.ts";

/** Why a pass is more than a look at Git. */
export interface Occasion {
  /** The host is looked at too. */
  readonly drift: boolean;
  /** Registries are asked too, with `track_digests`. */
  readonly images: boolean;
  /** A person asked: everything is looked at, held tries are not waited for. */
  readonly asked: boolean;
  /** An application to be tried again, or rolled back, by name of the cause. */
  readonly retry: ApplicationId | undefined;
  /** What a person wants at once, whatever the schedule says; default: nothing. */
  readonly unbound?: ApplicationId | "all" | undefined;
}

/** Never throws for trouble of Git's or of a single application's; what is found is saved and told. Answers whether Git could be read. */
export async function pass(named: Source, occasion: Occasion, context: Context, signal: AbortSignal): Promise<boolean> {
  const began = context.clock.monotonic();
  await finishInterrupted(0, context, signal);
  const here = await context.rendering.placed(named, signal);
  const source = here.ok ? here.value : named;
  if (here.ok && context.config.quadlet.trackDigests && (occasion.images || occasion.asked))
    await context.images.look(source.name, context, signal);
  const found = here.ok ? await look(source, occasion, context, signal) : here;
  let touched: ReadonlySet<ApplicationId> = new Set();
  let outcome: "in-sync" | "changed" | "source-failed" = "in-sync";
  if (!found.ok) {
    outcome = "source-failed";
    failed(source, found.trouble, context);
  } else if (typeof found.value === "string") {
    checked(source, { revision: found.value, tag: context.store.source(source.name)?.tag }, context);
  } else {
    outcome = "changed";
    touched = await dealWith(source, found.value, occasion, context, signal);
  }
  // With Git out of reach, what runs is kept as it was last good.
  if ((occasion.drift || occasion.asked) && !awaitsJudgement(source.name, context)) {
    const own = context.store.applications().filter(({ id }) => partsOf(id).source === source.name && !touched.has(id));
    await repairAll(own, context, signal);
  }
  await context.copies.keep(context);
  context.journal.tell({ type: "pass", source: source.name, outcome, ms: context.clock.monotonic() - began });
  return outcome !== "source-failed";
}

/** Rollouts that a crash, or trouble with systemd or Podman, left unfinished come before anything new. */
export async function finishInterrupted(starts: 0 | 1, context: Context, signal: AbortSignal): Promise<void> {
  for (const rollout of context.store.rollouts()) await guarded(rollout, () => resume(rollout, starts, context, signal), context, signal);
  for (const together of context.store.together()) await finishTogether(together, context, signal);
}

/** What Git has: the files where something is to be done with them, else the commit alone. Whoever asked is not kept waiting by two connections. */
async function look(
  source: Source,
  occasion: Occasion,
  context: Context,
  signal: AbortSignal,
): Promise<Result<Revision | Snapshot, GitTrouble>> {
  const { git, store } = context;
  const previous = store.source(source.name)?.revision;
  let wanted: Revision | "newest" = "newest";
  if (!occasion.asked && occasion.retry === undefined) {
    const head = await timed("ls-remote", source, (inner) => git.head(source, inner), context, signal);
    if (!head.ok) return head;
    // A secret that changed on the host is a reason to judge the same revision again.
    const isStale = context.images.isStale(source.name) || (await context.rendering.isStale(source.name, signal));
    if (!needsWork(source, head.value, occasion, context) && !isStale) return head;
    wanted = head.value;
  }
  return timed("fetch", source, (inner) => git.fetch(source, wanted, previous, inner), context, signal);
}

function needsWork(source: Source, head: Revision, { drift }: Occasion, context: Context): boolean {
  const { store, clock, time } = context;
  const record = store.source(source.name);
  if (record?.revision !== head || record.state === "failed") return true;
  const own = store
    .applications()
    .filter((one) => partsOf(one.id).source === source.name && suspensionOf(one.id, store, clock.now()) === undefined);
  // When the date was set, the times until which something is held may be wrong.
  const wasSet = time.wasSet(source.name);
  // What was refused may have needed something that the host has now; what was suspended may have changes waiting.
  return own.some((one) =>
    isTried(one) && one.held?.until !== undefined
      ? !stillWaits(one.held, source.interval, clock.now()) || wasSet
      : drift && (one.outcome === "held" || one.outcome === "rejected" || isWaiting(one, context)),
  );
}

/** What runs is well, but Git wants something else, and nothing says that it shall not be tried: trouble with what runs came between. */
function isWaiting({ id, outcome, held, desired, lastGood, pinnedAgainst }: ApplicationRecord, { store, config }: Context): boolean {
  // One that is broken may have to wait for its window.
  const hasFailed = outcome === "rolled-back" || (outcome === "failed" && held === undefined);
  if (hasFailed || desired?.digest === lastGood || desired?.digest === pinnedAgainst) return false;
  if (pinOf(pinnedAgainst, config.quadlet.rollbackPin) === "anything") return false;
  return !store.quarantined(id).some(({ digest }) => digest === desired?.digest);
}

async function dealWith(
  source: Source,
  snapshot: Snapshot,
  occasion: Occasion,
  context: Context,
  signal: AbortSignal,
): Promise<ReadonlySet<ApplicationId>> {
  tellRewritten({ source, snapshot }, context);
  await takeFound({ source, snapshot }, context, signal);
  const empty = emptiness({ source, snapshot }, context);
  if (empty !== undefined) {
    failed(source, { reason: empty, transient: false }, context);
    return new Set();
  }
  const { asked, retry, unbound } = occasion;
  const { touched, seen } = await dealWithRevision({ source, snapshot, asked, retry, unbound }, context, signal);
  for (const one of seen) {
    if (one.source.name !== source.name) tellRewritten(one, context);
    checked(one.source, one.snapshot, context);
  }
  const { keepDeployments: deployments, keepDays: days, keepGood: good } = context.config.state;
  dropOldVersions(context);
  context.store.trim({ deployments, days, good }, context.clock.now());
  await dropOldBackups(context, signal);
  if (touched.size > 0) await removeSuperseded(context, signal);
  await context.sealed.keep(context.store.sealedInUse(), signal);
  context.bundles.keep(new Set(context.store.applications().flatMap(({ lastGood }) => lastGood ?? [])));
  return touched;
}

/** A branch that was led elsewhere, or a tag that names another commit than before: it should be for good. */
function tellRewritten({ source, snapshot: { revision, tag, rewritten } }: Seen, { store, journal }: Context): void {
  const last = store.source(source.name);
  const isMoved = tag !== undefined && last?.tag === tag && last.revision !== undefined && last.revision !== revision;
  if (!rewritten && !isMoved) return;
  const [before, now] = [last?.revision?.slice(0, 7) ?? "?", revision.slice(0, 7)];
  const message = isMoved
    ? `tag ${tag} was moved from ${before} to ${now}, which is followed: find out who did it, a tag should never move`
    : `${before} is no ancestor of ${now}, which is followed (a forced push)`;
  journal.tell({ type: "source", source: source.name, state: "rewritten", message });
}

function checked(source: Source, { revision, tag }: Pick<Snapshot, "revision" | "tag">, { store, journal, clock }: Context): void {
  const before = store.source(source.name);
  store.saveSource({ name: source.name, revision, tag, checkedAt: clock.now(), state: "ok", message: undefined, failures: 0 });
  if (before?.state === "failed")
    journal.tell({ type: "source", source: source.name, state: "recovered", message: `read again, at ${revision.slice(0, 7)}` });
}

/**
 * Told when it begins, not at each poll: a server that is away is so in changing words (reset, refused, no route), and that is one story. What
 * waiting can't mend is told when its reason changes.
 */
export function failed(source: Source, { reason, transient }: GitTrouble, { store, journal, clock }: Context): void {
  const before: SourceRecord | undefined = store.source(source.name);
  store.saveSource({
    name: source.name,
    revision: before?.revision,
    tag: before?.tag,
    checkedAt: clock.now(),
    state: "failed",
    message: reason,
    failures: (before?.failures ?? 0) + 1,
  });
  if (before?.state !== "failed" || (!transient && before.message !== reason))
    journal.tell({
      type: "source",
      source: source.name,
      state: "failed",
      message: transient ? `${reason}; what runs is kept, and it is tried again` : `${reason}; what runs is kept`,
    });
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

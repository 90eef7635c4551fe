/** Turns a decision about one application into what happens and what is remembered and told of it. */

import type { Bundle } from "../core/bundle.ts";
import { decide, type Candidate, type Decision } from "../core/decide.ts";
import { StateDamaged } from "../core/healing.ts";
import { differsByPins } from "../core/images.ts";
import type { Draft } from "../core/layout.ts";
import { problemText } from "../core/judgement.ts";
import type { ApplicationId, Revision, ServiceName } from "../core/names.ts";
import { pinOf } from "../core/pin.ts";
import { reasonOf } from "../core/result.ts";
import type { Cause, Outcome } from "../core/rollout.ts";
import type { ApplicationRecord, StoredBundle } from "../ports.ts";
import type { Context } from "./context.ts";
import { bringsSelf } from "../core/self-quadlet.ts";
import { HostAway } from "./reach.ts";
import { isUnfinished, rollOut, type Order } from "./rollout.ts";
import { boundOf, seenNow, suspensionOf } from "./schedule.ts";
import { triedAgain, waitsForTry } from "./tries.ts";

/** An application in one pass. */
export interface Case {
  readonly application: ApplicationId;
  readonly candidate: Candidate;
  readonly draft: Draft | undefined;
  readonly commit: Order["commit"];
  /** Set when a person asked: held tries are not waited for, and the cause is told. */
  readonly asked: Cause | undefined;
  /** An application that this one depends on and whose rollout did not succeed. */
  readonly dependency: ApplicationId | undefined;
  /** Why it is not its phase's turn yet. */
  readonly early: string | undefined;
  /** Services that it gives up and that an application whose turn comes later takes as they are. */
  readonly passedOn: ReadonlySet<ServiceName>;
  /** Set where others of its source's revision, with which it goes together, keep it back. */
  readonly together: ApplicationRecord["held"];
  /** A person wants it at once: no schedule binds it. */
  readonly unbound: boolean;
  /** Of the commits that are new in this pass. */
  readonly messages: readonly string[];
  /** Something has been passed on to it: now is the time, however long it was to wait. */
  readonly takes: boolean;
}

/** With `evenIfSuspended`, what would be decided if nobody had asked to be left in peace. */
export function decisionOf(
  {
    application,
    candidate,
    unbound = false,
    evenIfSuspended = false,
  }: Pick<Case, "application" | "candidate"> & { readonly unbound?: boolean; readonly evenIfSuspended?: boolean },
  context: Context,
): Decision {
  const { store, clock } = context;
  const record = store.application(application);
  const memory = {
    lastGood: record?.lastGood,
    isPlaced: store.inventory(application).size > 0,
    suspended: evenIfSuspended ? undefined : suspensionOf(application, store, clock.now()),
    bound: unbound ? undefined : boundOf(application, candidate, context),
    pinnedAgainst: pinOf(record?.pinnedAgainst, context.config.quadlet.rollbackPin),
    quarantined: new Map(store.quarantined(application).map(({ digest, reason }) => [digest, reason])),
  };
  return decide(candidate, memory, clock.now());
}

/** What became of an application's turn: what depends on it goes on after the first two, and the host was touched by the middle two. */
export type Acted = "as wanted" | "rolled out" | "undone" | "left";

/** Carries the decision out. */
export async function act(one: Case, context: Context, signal: AbortSignal): Promise<Acted> {
  const { application, candidate } = one;
  if (isUnfinished(application, context)) return "left";
  const decision = decisionOf(one, context);
  switch (decision.do) {
    case "leave":
      if (!differs(one, context)) return "as wanted";
      return keepBack(application, "held", { message: "suspended: a change in Git waits", until: decision.until, tries: 0 }, context);
    case "keep":
      keep(application, context);
      return isFailedVersion(application, context) ? "left" : "as wanted";
    case "reject":
      return keepBack(application, "rejected", { message: problemText(decision.problems) }, context);
    case "quarantine": {
      const record = context.store.application(application);
      const outcome = record?.lastGood === undefined ? "failed" : "rolled-back";
      // Its own rollout has told this already.
      if (record?.outcome === "failed" || (record?.outcome === outcome && record.message?.endsWith(decision.reason) === true))
        return "left";
      return keepBack(application, outcome, { message: `not tried again: ${decision.reason}` }, context);
    }
    case "hold":
      return keepBack(application, "held", { message: decision.why, until: decision.until, tries: 0 }, context);
    case "roll-out":
      if (one.together !== undefined) return keepBack(application, "held", { ...one.together, message: one.together.why }, context);
      if (one.dependency !== undefined) {
        const message = `it depends on ${one.dependency}, which is not as Git wants it`;
        return keepBack(application, "held", { message, until: undefined, tries: 0 }, context);
      }
      if (one.early !== undefined) return keepBack(application, "held", { message: one.early, until: undefined, tries: 0 }, context);
      return carryOut(one, decision.bundle, candidate.kind === "absent" ? undefined : one.draft, context, signal);
  }
}

/** What Git wants is kept back since the rest of its source's revision does not go. */
export function holdBack(application: ApplicationId, message: string, context: Context): void {
  keepBack(application, "held", { message, until: undefined, tries: 0 }, context);
}

/** What is live is what failed, and was left as it is: what depends on it waits. */
export function isFailedVersion(application: ApplicationId, { store }: Context): boolean {
  const record = store.application(application);
  return record !== undefined && isBroken(record) && store.quarantined(application).some(({ digest }) => digest === record.lastGood);
}

/** Notes why Git's version is not rolled out; but when what runs is in trouble itself, that comes first, and has been told. */
function keepBack(application: ApplicationId, outcome: Outcome, said: Note, context: Context): "left" {
  const record = context.store.application(application);
  if (record === undefined || !isBroken(record)) note(application, outcome, said, context);
  return "left";
}

/** The last good itself could not be put right: told, and tried again, until a look at the host finds it well. */
export function isBroken({ outcome, held }: ApplicationRecord): boolean {
  return outcome === "failed" && held !== undefined;
}

/**
 * Part of the loop that catches surprises: one application's must not keep the others from their turn. Where systemd or Podman does not
 * answer there is no turn for any: throws HostAway. A rollout that was under way is finished by a later pass.
 */
export async function guarded<Value>(
  { application, outcome = "held" }: { readonly application: ApplicationId; readonly outcome?: "held" | "failed" },
  work: () => Promise<Value>,
  context: Context,
  signal: AbortSignal,
): Promise<Value | undefined> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof HostAway || error instanceof StateDamaged) throw error;
    await context.reach.check(signal);
    note(application, outcome, { message: reasonOf(error), until: undefined, tries: outcome === "failed" ? 1 : 0 }, context);
    return undefined;
  }
}

/** Drift, if any, is for the look at the host that follows. */
function keep(application: ApplicationId, context: Context): void {
  const record = context.store.application(application);
  if (record === undefined) return;
  // Git has it no more and it never ran: nothing is left to tell of it.
  if (record.lastGood === undefined) context.store.forgetApplication(application);
  const settled: readonly Outcome[] = ["deployed", "repaired", "in-sync"];
  if (record.lastGood !== undefined && !settled.includes(record.outcome) && !isBroken(record))
    note(application, "in-sync", { message: undefined }, context);
}

async function carryOut(
  one: Case,
  bundle: Bundle | undefined,
  draft: Draft | undefined,
  context: Context,
  signal: AbortSignal,
): Promise<Acted> {
  const { application, candidate, commit } = one;
  const { store } = context;
  const record = store.application(application);
  if (waitsForTry(record, context) && one.asked === undefined && !one.takes) return "left";
  const stored = bundle === undefined ? undefined : storedOf(bundle, commit.revision, draft);
  const { passedOn } = one;
  const live = record?.lastGood === undefined ? undefined : context.bundles.get(record.lastGood);
  const moved = bundle !== undefined && one.asked !== "retry" && differsByPins(live, bundle);
  const cause = bringsSelf(bundle) ? "self-update" : moved ? "image" : (one.asked ?? "commit");
  const rolled = await rollOut({ application, bundle, stored, cause, commit, passedOn }, context, signal);
  switch (rolled.kind) {
    case "in-sync":
      if (bundle === undefined) store.forgetApplication(application);
      note(application, "in-sync", { message: undefined }, context);
      return "as wanted";
    case "held": {
      const { until, tries } = triedAgain(application, rolled.why, context);
      note(application, "held", { message: rolled.why, until, tries }, context);
      return "left";
    }
    case "conflicts":
      note(application, "rejected", { message: problemText(rolled.problems) }, context);
      return "left";
    case "settled":
      // Told with the rollout, and so once: a judgement is made at every try.
      for (const { file, message } of candidate.kind === "bundle" ? (candidate.warnings ?? []) : [])
        context.journal.tell({ type: "warning", subject: `${application}/${file}`, message });
      return rolled.settled.outcome === "deployed" ? "rolled out" : "undone";
  }
}

/** What is saved of a bundle: Git's files, and what they were rendered with; values of secrets are not among it. */
export function storedOf(bundle: Bundle, revision: Revision, draft: Draft | undefined): StoredBundle {
  const entries: StoredBundle["entries"] = new Map([...(draft?.files ?? [])].map(([path, { entry }]) => [path, entry]));
  const sealed: StoredBundle["sealed"] = new Map(
    bundle.files.flatMap(({ path, digest, sealed: content }) => (content === undefined ? [] : [[path, { sealed: content, digest }]])),
  );
  const pins: StoredBundle["pins"] = new Map(bundle.images.flatMap(({ path, pin }) => (pin === undefined ? [] : [[path, pin]])));
  return { digest: bundle.digest, application: bundle.application, revision, entries, vars: bundle.vars, sealed, pins };
}

interface Note {
  readonly message: string | undefined;
  readonly until?: Date | undefined;
  readonly tries?: number;
}

/** Remembers an outcome that left the host as it was, and tells it when it is news. */
export function note(
  application: ApplicationId,
  outcome: Outcome,
  { message, until, tries }: Note,
  { store, journal, clock }: Context,
): void {
  const record = store.application(application);
  if (record === undefined) return;
  const news = record.outcome !== outcome || (record.message !== message && outcome !== "in-sync");
  const held = tries === undefined ? undefined : { why: message ?? "", until, tries };
  store.saveApplication({ ...record, outcome, message, held, since: news ? clock.now() : record.since });
  if (news)
    journal.tell({
      type: "outcome",
      application,
      outcome,
      revision: record.desired?.revision,
      deployment: undefined,
      message: message ?? (record.desired?.digest === record.lastGood ? "as Git wants it" : "the last good version is as it should be"),
      ms: undefined,
    });
}

/** Saves what Git wants of it now, before anything else is known. */
export function remember({ application, candidate, commit, messages }: Case, context: Context): void {
  const { store, clock } = context;
  const seen = seenNow(application, candidate, messages, context);
  const record = store.application(application);
  const digest = candidate.kind === "bundle" ? candidate.bundle.digest : candidate.kind === "absent" ? undefined : candidate.digest;
  const desired = candidate.kind === "absent" ? undefined : { revision: commit.revision, digest };
  if (record !== undefined) {
    // New content is tried at once, however long the old one was to wait.
    const held = record.desired?.digest === digest ? record.held : undefined;
    // What a person went back from has been changed: Git is followed again, also when it comes back to that.
    const isHeld = pinOf(record.pinnedAgainst, context.config.quadlet.rollbackPin) === "anything" || record.pinnedAgainst === digest;
    const pinnedAgainst = isHeld ? record.pinnedAgainst : undefined;
    if (!isHeld && record.pinnedAgainst !== undefined) context.journal.tell({ type: "pinned", application, pinned: false });
    store.saveApplication({ ...record, desired, held, pinnedAgainst, seen });
  }
  const why = "its first turn has not come yet";
  if (record === undefined && candidate.kind !== "absent")
    store.saveApplication({
      id: application,
      revision: undefined,
      lastGood: undefined,
      desired,
      outcome: "held",
      since: clock.now(),
      message: why,
      health: "unknown",
      held: { why, until: undefined, tries: 0 },
      suspended: undefined,
      pinnedAgainst: undefined,
      seen,
    });
}

export function differs({ application, candidate }: Case, { store }: Context): boolean {
  const lastGood = store.application(application)?.lastGood;
  return candidate.kind === "absent" ? lastGood !== undefined : candidate.kind !== "bundle" || candidate.bundle.digest !== lastGood;
}

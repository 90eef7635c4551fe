/** One rollout, from the saved intention to its end: applied and verified, or undone and verified. The only way to change the host. */

import type { Bundle, Problem } from "../core/bundle.ts";
import { digestOf, partsOf, type ApplicationId, type Revision, type ServiceName } from "../core/names.ts";
import { hindrance, type Turn } from "../core/order.ts";
import { plan, type Goal, type Plan } from "../core/plan.ts";
import { pinText } from "../core/pin.ts";
import { found, targetOf } from "../core/plan-text.ts";
import {
  applied,
  applying,
  leftAsItIs,
  resumed,
  reverted,
  reverting,
  stuck,
  verified,
  type Applying,
  type Cause,
  type Reverting,
  type Rollout,
  type Settled,
  type Target,
  type Verifying,
} from "../core/rollout.ts";
import { success } from "../core/result.ts";
import { rollbackOf } from "../core/rollback.ts";
import type { Verdict } from "../core/verdict.ts";
import type { StoredBundle } from "../ports.ts";
import { pullImages } from "./apply.ts";
import { adoptionsOf, saveAdoptions } from "./adopt.ts";
import { bundleOf, liveBundles, type Context } from "./context.ts";
import { keepEvidence } from "./evidence.ts";
import { inheritance, takeOver } from "./inherit.ts";
import { exactFallback, noteRunning, releaseImages, secureImages } from "./images.ts";
import { applyTarget, prune, saveIntention, unprepared, verifyTarget, type Course } from "./course.ts";
import { observe } from "./observe.ts";
import { saveBefore, whatIsThere } from "./backups.ts";
import { preflight } from "./preflight.ts";
import { isUndoing, settle } from "./settle.ts";
import { unmetNeed, type Verification } from "./verify.ts";

/** What a rollout is for. */
export interface Order {
  readonly application: ApplicationId;
  /** Undefined: the application is to be taken away. */
  readonly bundle: Bundle | undefined;
  /** What Git had, to be saved with it; undefined when the database holds it already. */
  readonly stored: StoredBundle | undefined;
  readonly cause: Cause;
  /** Services that another application, whose turn comes next, takes as they are. */
  readonly passedOn?: ReadonlySet<ServiceName>;
  /** The last word before anything is touched: the reason against the plan, if any. */
  readonly permit?: (made: Plan) => string | undefined;
  /** Services that run and are not well, with the reason: what shall run is restarted for it. */
  readonly unwell?: ReadonlyMap<ServiceName, string>;
  /** Set when the last good is gone back from, to `bundle`, an earlier one: why. It is the end of a rollout that failed late. */
  readonly because?: string;
  readonly commit: { readonly revision: Revision; readonly ref: string; readonly author: string; readonly subject: string };
}

export type Rolled =
  /** The host shows the goal already, and the goal is the last good. */
  | { readonly kind: "in-sync" }
  /** Not begun: the host is untouched. */
  | { readonly kind: "held"; readonly why: string }
  | { readonly kind: "conflicts"; readonly problems: readonly Problem[] }
  | { readonly kind: "settled"; readonly settled: Settled };

/** Plans, prepares and carries out. */
export async function rollOut(order: Order, context: Context, signal: AbortSignal): Promise<Rolled> {
  const { store } = context;
  if (isUnfinished(order.application, context))
    return { kind: "held", why: "its last rollout is not finished yet: that is gone on with at the next pass" };
  const { passedOn = new Set<ServiceName>() } = order;
  const goal: Goal = { application: order.application, bundle: order.bundle, passedOn };
  const fallback: Target = store.application(order.application)?.lastGood ?? "absent";
  const target: Target = order.bundle?.digest ?? "absent";
  const hindered = target === fallback ? undefined : hindrance(turnTo(goal, fallback, context), liveBundles(context), passedOn);
  if (hindered !== undefined) return { kind: "held", why: hindered };
  const adopting = target === fallback || order.bundle === undefined ? [] : await adoptionsOf(order.bundle, context, signal);
  const inherited = inheritance(goal, context);
  const observation = await observe({ ...goal, adopting, inherited, unwell: order.unwell }, context, signal);
  const made = plan(goal, observation.observed);
  if (made.conflicts.length > 0) {
    for (const [service, record] of observation.remembered)
      if (observation.observed.services.get(service)?.ours === false) store.saveStarted(order.application, service, record);
    return { kind: "conflicts", problems: made.conflicts };
  }
  if (made.steps.length === 0 && target === fallback) return { kind: "in-sync" };
  const { bundle } = order;
  // It may not become healthy then, and would be gone back from.
  const need = bundle === undefined || target === fallback ? undefined : await unmetNeed({ bundle }, context, signal);
  if (need !== undefined) return { kind: "held", why: need };
  const lack = bundle && (await preflight({ plan: made, bundle, observation, isNew: target !== fallback }, context, signal));
  if (lack !== undefined) return { kind: "held", why: lack };
  const pulled = await pullImages(made, context, signal);
  if (!pulled.ok) return { kind: "held", why: pulled.trouble };
  const secured = bundle === undefined ? success(undefined) : await secureImages(bundle, context, signal);
  if (!secured.ok) return { kind: "held", why: secured.trouble };
  const against = order.permit?.(made);
  if (against !== undefined) return { kind: "held", why: against };

  if (target !== fallback) await noteRunning(bundleOf(fallback, context), context, signal);
  // Before the bundle that needs them is saved: what is sealed for nothing is swept, what is missing could not be made again.
  for (const { sealed, content } of order.bundle?.files ?? [])
    if (sealed !== undefined && digestOf(content) === sealed) await context.sealed.put(content, signal);
  const live = bundleOf(fallback, context);
  const before = await whatIsThere(made, { live, isNew: target !== fallback, observation }, context, signal);
  const startedAt = context.clock.now();
  const intention = store.atomically(() => {
    const { application, cause } = order;
    const reasons = [...made.steps, ...made.afterwards].map((step) => `${step.kind} ${targetOf(step)}: ${step.because}`);
    const ends = order.because === undefined ? { goal: target, fallback } : { goal: fallback, fallback: target };
    const deployment = store.beginDeployment({ application, ...order.commit, cause, goal: ends.goal, startedAt, reasons });
    const attempt = { deployment, application, revision: order.commit.revision, cause, ...ends, startedAt, recoveries: 0 };
    if (before !== undefined) saveBefore(before, { application, deployment, live }, context);
    // Last: of an application's bundles the newest is kept, whatever becomes of its rollout.
    if (order.stored !== undefined) store.saveBundle(order.stored);
    const begun = order.because === undefined ? applying(attempt) : reverting(applying(attempt), order.because);
    store.saveRollout(begun);
    if (begun.phase === "reverting") noteTurn(begun, context);
    saveAdoptions(adopting, attempt, context);
    takeOver(goal, inherited, context);
    saveIntention(made, goal, observation, context);
    return begun;
  });
  if (intention.phase === "reverting") {
    const bundles = [bundleOf(intention.goal, context), order.bundle].filter((one) => one !== undefined);
    await keepEvidence({ deployment: intention.deployment, services: [...(order.unwell?.keys() ?? [])], bundles }, context, signal);
  }
  return { kind: "settled", settled: await goOn(intention, { plan: made, passedOn }, context, signal) };
}

/** A rollout of it was interrupted, and could not be gone on with so far. Another one now would forget what that one has begun. */
export function isUnfinished(application: ApplicationId, { store }: Context): boolean {
  return store.rollouts().some((rollout) => rollout.application === application);
}

/** Goes on with a rollout that an earlier run of pgo left unfinished (one more start of pgo, then), or an earlier pass. */
export async function resume(rollout: Rollout, starts: 0 | 1, context: Context, signal: AbortSignal): Promise<Settled> {
  const again = resumed(rollout, starts);
  if (again.phase === "reverting" && rollout.phase !== "reverting" && goesBack(rollout, context) === "never")
    return leave(rollout, { because: again.because, need: undefined, verification: undefined }, context);
  context.store.saveRollout(again);
  return goOn(again, unprepared, context, signal);
}

/** Drives the phases to the end; each is saved before it begins. */
async function goOn(first: Applying | Reverting, course: Course, context: Context, signal: AbortSignal): Promise<Settled> {
  let rollout: Rollout = first;
  const ends = [first.fallback, first.goal].flatMap((target) => bundleOf(target, context) ?? []);
  for (;;) {
    const next: Rollout | Settled = await advance(rollout, course, context, signal);
    if (next.phase === "settled") {
      await releaseImages(ends, context, signal);
      return next;
    }
    save(next, rollout, context);
    rollout = next;
  }
}

function save(next: Rollout, before: Rollout, context: Context): void {
  const { store } = context;
  store.atomically(() => {
    store.saveRollout(next);
    if (next.phase === "reverting" && before.phase !== "reverting") noteTurn(next, context);
  });
}

/** In history it parts the steps there from those back. */
function noteTurn({ deployment, fallback, because }: Reverting, { store }: Context): void {
  const target = fallback === "absent" ? "nothing" : "last good";
  store.addStep(deployment, { kind: "go-back", target, because, ms: 0, error: null });
}

function advance(rollout: Rollout, course: Course, context: Context, signal: AbortSignal): Promise<Rollout | Settled> {
  switch (rollout.phase) {
    case "applying":
      return applyGoal(rollout, course, context, signal);
    case "verifying":
      return verifyGoal(rollout, course, context, signal);
    case "reverting":
      return goBack(rollout, context, signal);
  }
}

async function applyGoal(rollout: Applying, course: Course, context: Context, signal: AbortSignal): Promise<Rollout | Settled> {
  const done = await applyTarget(rollout, rollout.goal, course, context, signal);
  const now = context.clock.now();
  if (done === undefined) return applied(rollout, now);
  await keepTraces(rollout, done.verification, context, signal);
  const bundle = rollout.goal === rollout.fallback ? undefined : bundleOf(rollout.goal, context);
  const unmet = bundle === undefined || done.verification !== undefined ? undefined : await unmetNeed({ bundle }, context, signal);
  const because = unmet === undefined ? done.reason : `${done.reason}; ${unmet}`;
  return giveUp(rollout, { because, need: done.verification?.need ?? unmet, verification: done.verification }, context);
}

async function verifyGoal(rollout: Verifying, course: Course, context: Context, signal: AbortSignal): Promise<Rollout | Settled> {
  const verification = await verifyTarget(rollout, rollout.goal, rollout.since, context, signal);
  if (verification.trouble !== undefined) {
    await keepTraces(rollout, verification, context, signal);
    const { need, trouble } = verification;
    return giveUp(rollout, { because: need ?? trouble, need, verification }, context);
  }
  await noteRunning(bundleOf(rollout.goal, context), context, signal);
  await prune(rollout, course, context, signal);
  const now = context.clock.now();
  const took = `${Math.round(Math.max(0, now.getTime() - rollout.startedAt.getTime()) / 100) / 10} s`;
  const well = rollout.goal === "absent" ? "removed" : `${describeHealth(verification.verdicts)} after ${took}`;
  const said = {
    drift: () => `${found(context.store.deployment(rollout.deployment)?.steps ?? [])}; ${well}`,
    rollback: () => `${well}; ${backText(rollout, context)}`,
    other: () => well,
  }[rollout.cause === "drift" || rollout.cause === "rollback" ? rollout.cause : "other"]();
  return settle(verified(rollout, now, said), { verification, passedOn: course.passedOn }, context);
}

function backText({ application, goal }: Rollout, { store, config }: Context): string {
  if (isUndoing(application, store)) return "gone back with the rest of its source's revision";
  return goal === "absent" ? "gone" : pinText(application, config.quadlet.rollbackPin);
}

async function goBack(saved: Reverting, context: Context, signal: AbortSignal): Promise<Settled> {
  const rollout = await exactFallback(saved, context, signal);
  const wasAdopting = context.store.adoptions(rollout.application).length > 0;
  const failed = (await applyTarget(rollout, rollout.fallback, unprepared, context, signal))?.reason;
  const verification =
    failed === undefined ? await verifyTarget(rollout, rollout.fallback, context.clock.now(), context, signal) : undefined;
  // What another application's unit keeps from being healthy is back all the same.
  const trouble = failed ?? (verification?.need === undefined ? verification?.trouble : undefined);
  const now = context.clock.now();
  if (trouble !== undefined) {
    const said = `${rollout.because}; going back failed too: ${trouble}; mend the host or push a fix`;
    return settle(stuck(rollout, now, said), { verification }, context);
  }
  if (rollout.fallback === "absent" && rollout.cause === "self-update" && (await context.handovers.record())?.phase.at !== "undone") {
    const said = `${rollout.because}; it runs on, since Git has no earlier version of pgo to go back to: push a fix`;
    return settle(stuck(rollout, now, said), { verification }, context);
  }
  const said =
    rollout.fallback === "absent" && rollout.cause !== "self-update"
      ? `${rollout.because}; ${wasAdopting ? "it was taken away again, and what was there before it is back" : "there was nothing to go back to, so it was taken away again"}`
      : `${rollout.because}; back on the last good version`;
  const again = rollout.blameless ? "; it is tried again by itself" : "";
  return settle(reverted(rollout, now, `${said}${again}`), { verification }, context);
}

/** Of the units that failed, the worst first; without a verification that whose step failed. */
async function keepTraces(
  { deployment, goal, fallback }: Rollout,
  verification: Verification | undefined,
  context: Context,
  signal: AbortSignal,
): Promise<void> {
  const bundles = [bundleOf(goal, context), bundleOf(fallback, context)].filter((one) => one !== undefined);
  const failed = context.store.deployment(deployment)?.steps.flatMap(({ target, error }) => (error === null ? [] : [target])) ?? [];
  const units = bundles.flatMap((one) => one.units.map(({ service }) => service));
  const services = verification?.culprits ?? units.filter((service) => failed.includes(service));
  await keepEvidence({ deployment, services: [...new Set(services)], bundles }, context, signal);
}

/** The last good can't be undone: when drift repair fails there is no other version to go to. */
function giveUp(rollout: Applying | Verifying, failure: Shortfall, context: Context): Reverting | Settled {
  const { because, verification } = failure;
  if (rollout.goal === rollout.fallback) return settle(stuck(rollout, context.clock.now(), because), { verification }, context);
  if (goesBack(rollout, context) === "never") return leave(rollout, failure, context);
  return reverting(rollout, because, failure.need !== undefined && !isRepeated(rollout, context));
}

/** Why a goal was not reached. */
interface Shortfall {
  readonly because: string;
  /** What of another application is not healthy, where that is why. */
  readonly need: string | undefined;
  readonly verification: Verification | undefined;
}

/** Where this often in a row the same content was undone for want of another application's health, it may be what takes that away. */
const mostUndone = 3;

function isRepeated({ application, deployment, goal }: Rollout, { store }: Context): boolean {
  const before = store.deployments({ application, limit: mostUndone }).filter(({ id }) => id !== deployment);
  return before.length === mostUndone - 1 && before.every((one) => one.goal === goal && one.outcome === "rolled-back");
}

function goesBack({ goal, application, cause }: Rollout, context: Context): "auto" | "never" {
  // Another pgo is judged by what handed over to it, and a removal has changed no data.
  return goal === "absent" || cause === "self-update" ? "auto" : rollbackOf(application, bundleOf(goal, context), context.config);
}

function leave(rollout: Applying | Verifying, { because, need, verification }: Shortfall, context: Context): Settled {
  const name = partsOf(rollout.application).application;
  const said = `${because}; left as it is, since rollback = "never": mend it or push a fix; ctl rollback ${name} goes back all the same`;
  return settle(leftAsItIs(rollout, context.clock.now(), said, need !== undefined), { verification }, context);
}

function turnTo(goal: Goal, fallback: Target, context: Context): Turn {
  return { id: goal.application, live: bundleOf(fallback, context), next: goal.bundle };
}

function describeHealth(verdicts: readonly Verdict[]): string {
  const by = [...new Set(verdicts.map((verdict) => verdict.checkedBy))].join(", ");
  return verdicts.length === 0 ? "nothing to check" : `healthy by ${by}`;
}

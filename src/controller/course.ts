/** The course of a rollout to a target: planned from what the host shows, carried out, and looked at until it is healthy. */

import { unknownStart } from "../core/observe.ts";
import { plan, stopsMore, type Goal, type Plan } from "../core/plan.ts";
import { targetOf } from "../core/plan-text.ts";
import type { ServiceName } from "../core/names.ts";
import type { Rollout, Target, Verifying } from "../core/rollout.ts";
import { apply, pullImages, type Failure } from "./apply.ts";
import { bundleOf, liveBundles, type Context } from "./context.ts";
import { observe, type Observation } from "./observe.ts";
import { roomFor } from "./room.ts";
import { refreshedIn, verify, type Verification } from "./verify.ts";
import { objectRules } from "./volumes.ts";

/** What is known of a rollout beside what is saved of it: one that was interrupted goes on without. */
export interface Course {
  /** To the goal, made already. */
  readonly plan: Plan | undefined;
  readonly passedOn: ReadonlySet<ServiceName>;
}

export const unprepared: Course = { plan: undefined, passedOn: new Set() };

/**
 * Plans to a target from what the host shows now and carries it out; answers the trouble, if any. After a surprise (the bus went away while
 * a job ran, a disk is full) the host is looked at and the rest done once more; throws HostAway where it can't be, and a later pass does it.
 */
export async function applyTarget(
  rollout: Rollout,
  target: Target,
  { plan: prepared, passedOn }: Course,
  context: Context,
  signal: AbortSignal,
): Promise<Failure | undefined> {
  const isWayBack = rollout.phase === "reverting";
  const goal: Goal = { application: rollout.application, bundle: bundleOf(target, context), passedOn, isWayBack };
  const work = { deployment: rollout.deployment, bundle: goal.bundle };
  const carryOut = async (made: Plan): Promise<Failure | undefined> => {
    const [conflict] = made.conflicts;
    if (conflict !== undefined) return { reason: `${conflict.file}: ${conflict.message}`, surprise: undefined };
    const result = await apply(made, work, context, signal);
    if (!result.ok) return result.trouble;
    if (!stopsMore(made, goal.bundle?.units ?? [])) return undefined;
    const rest = await replan(goal, context, signal);
    const starts = rest.steps.filter(({ kind }) => kind === "start" || kind === "restart" || kind === "verify");
    const again = await apply({ ...rest, steps: starts }, work, context, signal);
    return again.ok ? undefined : again.trouble;
  };
  const made = prepared ?? (await replan(goal, context, signal));
  const first = await carryOut(made);
  if (first?.surprise === undefined) return first;
  await context.reach.check(signal, { room: roomFor(made, context.config), reload: first.surprise === "reload" });
  return carryOut(await replan(goal, context, signal));
}

/** Looks at a target's units, and at those of others that its rollout had to stop, until all are healthy, or one can't become so. */
export async function verifyTarget(
  { application, deployment }: Rollout,
  target: Target,
  since: Date,
  context: Context,
  signal: AbortSignal,
): Promise<Verification> {
  const bundle = bundleOf(target, context);
  if (bundle === undefined) return { verdicts: [], containers: new Map(), trouble: undefined, need: undefined, culprits: [] };
  // Those of other applications that stopped with a network which was made anew, and were started again.
  const steps = context.store.deployment(deployment)?.steps ?? [];
  const started = new Set(steps.flatMap((step) => (step.kind === "start" ? [step.target] : [])));
  const refreshed = refreshedIn(steps);
  const others = [...liveBundles(context)].flatMap(([id, live]) => (id === application ? [] : [live]));
  const dependents = new Set(others.flatMap((other) => other.units.flatMap(({ service }) => (started.has(service) ? [service] : []))));
  return verify({ bundle, others, dependents, refreshed }, since, context, signal);
}

/** What the new version no longer needs. It is well without that, so what can't be done is told, and stays. */
export async function prune(
  { application, goal, deployment }: Pick<Verifying, "application" | "goal" | "deployment">,
  { passedOn }: Pick<Course, "passedOn">,
  context: Context,
  signal: AbortSignal,
): Promise<void> {
  const aim: Goal = { application, bundle: bundleOf(goal, context), passedOn };
  if (objectRules(application, context).prune !== "all") return;
  const { afterwards } = plan(aim, (await observe(aim, context, signal)).observed);
  let failed: string | undefined;
  for (const step of afterwards) {
    const isGuarded = step.kind === "remove-volume" && failed === step.volume;
    if (isGuarded) continue;
    const done = await apply(
      { application, steps: [step], afterwards: [], conflicts: [] },
      { deployment, bundle: aim.bundle },
      context,
      signal,
    );
    if (done.ok) continue;
    failed = targetOf(step);
    context.journal.tell({
      type: "warning",
      subject: application,
      message: `${done.trouble.reason}: it is left on the host, remove it by hand`,
    });
  }
}

/** Before the first step: the inventory widened, what services run remembered, and that systemd will have to read again. */
export function saveIntention(made: Plan, goal: Goal, { observed, remembered }: Observation, { store }: Context): void {
  if (made.steps.length === 0) return;
  const widened = new Map(store.inventory(goal.application));
  for (const file of goal.bundle?.files ?? []) widened.set(file.path, file.digest);
  store.saveInventory(goal.application, widened);
  // What has passed to another application is that one's to remember.
  const known = store.started(goal.application);
  const wanted = new Set(goal.bundle?.units.map(({ service }) => service));
  for (const [service, record] of remembered) {
    const seen = observed.services.get(service);
    // What has been taken away in this rollout already stays forgotten.
    const isThere = seen?.loaded === true || known.has(service) || wanted.has(service);
    if (seen?.ours === true && isThere) store.saveStarted(goal.application, service, record);
  }
  // What is about to be made anew is known no more until it is.
  for (const step of made.steps) if (step.kind === "remove-network") store.saveStarted(goal.application, step.service, unknownStart);
  if (made.steps.some((step) => step.kind === "reload")) store.setReloadPending(true);
}

async function replan(goal: Goal, context: Context, signal: AbortSignal): Promise<Plan> {
  const observation = await observe(goal, context, signal);
  const made = plan(goal, observation.observed);
  // What going back needs has been there; where it is gone and can't be had, its start will fail and say so.
  await pullImages(made, context, signal);
  context.store.atomically(() => {
    saveIntention(made, goal, observation, context);
  });
  return made;
}

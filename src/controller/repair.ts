/** What runs is kept as it was last good: what differs is put right, and what is not well is dealt with as `watch` says. */

import type { Bundle } from "../core/bundle.ts";
import { backoff, repairLimit, stillWaits } from "../core/decide.ts";
import { problemText } from "../core/judgement.ts";
import type { Revision, ServiceName } from "../core/names.ts";
import { plan, type Plan } from "../core/plan.ts";
import { trouble, type Result } from "../core/result.ts";
import { rollbackOf } from "../core/rollback.ts";
import { watchingOf } from "../core/watch-config.ts";
import { answerTo, broughtAt } from "../core/watching.ts";
import { isUp } from "../core/verdict.ts";
import type { ApplicationRecord, ServiceState } from "../ports.ts";
import { isBroken, note } from "./act.ts";
import type { Context } from "./context.ts";
import { earlierGood } from "./earlier.ts";
import { keepHealth, type Sighted } from "./health.ts";
import { observe, servicesOf, type Survey } from "./observe.ts";
import { isUnfinished, rollOut, type Order, type Rolled } from "./rollout.ts";
import { suspensionOf } from "./schedule.ts";
import { acquit } from "./settle.ts";
import { lookAgain } from "./verify.ts";

/** Services that run and are not well, with the reason. */
type Unwell = ReadonlyMap<ServiceName, string>;

/**
 * Looks at an application that runs its last good bundle, and puts right what differs. With a survey that shows nothing to do, the host
 * is not asked again.
 */
export async function repair(record: ApplicationRecord, survey: Survey | undefined, context: Context, signal: AbortSignal): Promise<void> {
  const { id: application, lastGood } = record;
  if (!mayTouch(record, context)) return;
  const bundle = lastGood === undefined ? undefined : context.bundles.get(lastGood);
  if (survey !== undefined) {
    const { observed } = await observe({ application, bundle, survey }, context, signal);
    const made = plan({ application, bundle }, observed);
    if (made.steps.length === 0 && made.conflicts.length === 0) {
      isAsWanted(record, bundle, context);
      const sighted = await sight(record, survey, context, signal);
      if (sighted !== undefined) await answer(record, sighted, context, signal);
      return;
    }
  }
  await putRight({ record, bundle, unwell: new Map() }, context, signal);
}

/** What the units of an application look like, and the states that this is taken from. */
export async function sight(
  { id, lastGood }: ApplicationRecord,
  survey: Survey | undefined,
  context: Context,
  signal: AbortSignal,
): Promise<(Sighted & { readonly states: ReadonlyMap<ServiceName, ServiceState> }) | undefined> {
  if (lastGood === undefined) return undefined;
  const bundle = context.bundles.get(lastGood);
  const states = await servicesOf(
    bundle.units.map(({ service }) => service),
    survey,
    context.host,
    signal,
  );
  return { ...(await lookAgain({ bundle, survey, before: context.symptoms.failuresOf(id) }, context, signal)), states };
}

/** Deals with what a round of probes has shown. A service that is down is drift, like any other difference. */
export async function care(
  record: ApplicationRecord,
  { sighted, survey }: { readonly sighted: Awaited<ReturnType<typeof sight>>; readonly survey: Survey },
  context: Context,
  signal: AbortSignal,
): Promise<void> {
  if (sighted === undefined || !mayTouch(record, context)) return;
  const isDown = sighted.verdicts.some(({ service, health }) => health === "unhealthy" && !isRunning(sighted.states.get(service)));
  await (isDown ? repair(record, survey, context, signal) : answer(record, sighted, context, signal));
}

/** A rollout of it may be unfinished, a person may want it left in peace, and what could not be put right is tried again at its time. */
function mayTouch(record: ApplicationRecord, context: Context): boolean {
  const { store, clock } = context;
  const { id, lastGood, held } = record;
  if (isUnfinished(id, context) || suspensionOf(id, store, clock.now()) !== undefined) return false;
  // Without a last good there may still be what a failed first rollout could not take away again.
  if (lastGood === undefined && store.inventory(id).size === 0) return false;
  return !(isBroken(record) && held !== undefined && stillWaits(held, context.config.quadlet.driftInterval, clock.now()));
}

/** The host shows the last good, if there is one. */
function isAsWanted({ id }: ApplicationRecord, bundle: Bundle | undefined, { store }: Context): void {
  // A rollout that got stuck leaves the inventory wide; now that the host shows just this, it is this.
  store.saveInventory(id, new Map(bundle?.files.map((file) => [file.path, file.digest])));
  store.forgetAdoptions(id);
  store.forgetAsides(id);
}

/** What could not be put right, or failed and was left as it is, is a failure no more when it is found well. */
function keepHealthOf(record: ApplicationRecord, sighted: Sighted, context: Context): void {
  const { store } = context;
  const health = keepHealth(record, sighted, context);
  const now = store.application(record.id);
  if (now === undefined || !isBroken(now) || health !== "healthy") return;
  if (now.lastGood !== undefined) acquit(now.id, now.lastGood, store);
  note(now.id, "in-sync", { message: undefined }, context);
}

/** Remembers and tells what was seen, and does what `watch` says about what runs and is not well. */
async function answer(
  record: ApplicationRecord,
  sighted: NonNullable<Awaited<ReturnType<typeof sight>>>,
  context: Context,
  signal: AbortSignal,
): Promise<void> {
  const { store, clock, bundles, config } = context;
  const { id, lastGood } = record;
  keepHealthOf(record, sighted, context);
  const now = store.application(id);
  const ill = sighted.verdicts.filter((one) => one.health === "unhealthy" && isRunning(sighted.states.get(one.service)));
  if (now === undefined || lastGood === undefined || ill.length === 0) return;
  const unwell: Unwell = new Map(ill.map(({ service, message }) => [service, message ?? "no reason"]));
  const bundle = bundles.get(lastGood);
  const brought = broughtAt(store.deployments({ application: id, limit: 50 }), lastGood);
  const watching = watchingOf(id, config, bundle.settings);
  switch (answerTo(watching, brought, clock.now())) {
    case "report":
      return;
    case "rollback": {
      const gone = await goBack({ record: now, unwell, brought }, context, signal);
      if (gone.ok) return;
      const instead = [...unwell].map(([service, why]) => [service, `${why}; it can't be gone back from: ${gone.trouble}`] as const);
      return putRight({ record: now, bundle, unwell: new Map(instead) }, context, signal);
    }
    case "restart":
      return putRight({ record: now, bundle, unwell }, context, signal);
  }
}

/** The last good is it no more: the rollout that brought it ends now, as one whose health check failed. The trouble is why it can't be. */
async function goBack(
  { record, unwell, brought }: { readonly record: ApplicationRecord; readonly unwell: Unwell; readonly brought: Date | undefined },
  context: Context,
  signal: AbortSignal,
): Promise<Result<void, string>> {
  const present = record.lastGood === undefined ? undefined : context.bundles.get(record.lastGood);
  if (rollbackOf(record.id, present, context.config) === "never") return trouble('rollback = "never"');
  const earlier = await earlierGood(record, undefined, context, signal);
  if (!earlier.ok) return earlier;
  const ill = [...unwell].map(([service, why]) => `${service} is unhealthy: ${why}`).join("; ");
  const minutes = brought === undefined ? 0 : Math.round((context.clock.now().getTime() - brought.getTime()) / 60_000);
  const order: Order = {
    application: record.id,
    bundle: earlier.value.bundle,
    stored: undefined,
    cause: "recovery",
    unwell,
    because: `${ill}, ${String(minutes)} min after it was deployed`,
    commit: lastCommit(record, record.revision, context),
  };
  const rolled = await rollOut(order, context, signal);
  switch (rolled.kind) {
    case "settled":
      context.symptoms.forget(record.id);
      return { ok: true, value: undefined };
    case "in-sync":
      return trouble("the host shows the version before already");
    case "held":
      return trouble(rolled.why);
    case "conflicts":
      return trouble(problemText(rolled.problems));
  }
}

/** A rollout to the last good itself. */
async function putRight(
  { record, bundle, unwell }: { readonly record: ApplicationRecord; readonly bundle: Bundle | undefined; readonly unwell: Unwell },
  context: Context,
  signal: AbortSignal,
): Promise<void> {
  const { store, clock } = context;
  const { id: application } = record;
  // A version that has just failed and was left as it is, or that a person wants tried again, is tried once whatever went before.
  const isFirst = isBroken(record) && record.held?.tries === 0;
  const order: Order = {
    application,
    bundle,
    stored: undefined,
    cause: "drift",
    unwell,
    permit: (made) => againstRepair(made, { unwell, isFirst }, context),
    commit: lastCommit(record, record.revision, context),
  };
  const rolled: Rolled = await rollOut(order, context, signal);
  switch (rolled.kind) {
    case "in-sync": {
      isAsWanted(record, bundle, context);
      const sighted = await sight(record, undefined, context, signal);
      if (sighted !== undefined) keepHealthOf(record, sighted, context);
      return;
    }
    case "held":
      note(application, "failed", { message: rolled.why, until: undefined, tries: record.held?.tries ?? 1 }, context);
      return;
    case "conflicts":
      note(application, "failed", { message: problemText(rolled.problems), until: undefined, tries: record.held?.tries ?? 1 }, context);
      return;
    case "settled": {
      context.symptoms.forget(application);
      const after = store.application(application);
      if (rolled.settled.outcome !== "failed" || after === undefined) return;
      const tries = (record.held?.tries ?? 0) + 1;
      const until = new Date(clock.now().getTime() + backoff(tries, context.config.quadlet.driftInterval, clock.chance()));
      store.saveApplication({ ...after, held: { why: rolled.settled.description, until, tries } });
    }
  }
}

function isRunning(state: ServiceState | undefined): boolean {
  return state !== undefined && isUp(state);
}

/** Repairing a service again and again would only hide that it can't stay up, or well. */
function againstRepair(
  { steps }: Plan,
  { unwell, isFirst }: { readonly unwell: Unwell; readonly isFirst: boolean },
  { store, clock, logs }: Context,
): string | undefined {
  const now = clock.now();
  const since = new Date(now.getTime() - repairLimit.within);
  const services = steps.flatMap((step) => (step.kind === "start" || step.kind === "restart" ? [step.service] : []));
  const tired = services.find((service) => store.repairsBetween(service, since, now) >= repairLimit.times);
  if (tired !== undefined && !isFirst) {
    const what = unwell.has(tired) ? "well" : "up";
    return `${tired} does not stay ${what}: pgo has started it ${repairLimit.times} times in ${repairLimit.within / 60_000} min and waits now: see ${logs} ${tired}`;
  }
  for (const service of services) store.countRepair(service, now);
  return undefined;
}

/** Drift and rollback are told with the commit that what runs came of. */
export function lastCommit(record: ApplicationRecord, revision: Revision | undefined, { store }: Context): Order["commit"] {
  const past = store.deployments({ application: record.id, limit: 50 });
  const last = revision === undefined ? past[0] : past.find((one) => one.revision === revision);
  const known = revision ?? last?.revision;
  if (known === undefined) throw new Error(`put ${record.id} right: the history does not say what was deployed`);
  return { revision: known, ref: last?.ref ?? "", author: last?.author ?? "", subject: last?.subject ?? "" };
}

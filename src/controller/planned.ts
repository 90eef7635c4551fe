/** What would come of a decision, without doing it: the same plan that a rollout would carry out, printed. */

import type { Bundle, Problem } from "../core/bundle.ts";
import { wouldBeHeld } from "../core/atomic.ts";
import type { Decision } from "../core/decide.ts";
import { diffOf } from "../core/diff.ts";
import { partsOf, type ServiceName } from "../core/names.ts";
import { pinText } from "../core/pin.ts";
import { plan, type ObservedService } from "../core/plan.ts";
import { targetOf } from "../core/plan-text.ts";
import type { PlannedApplication } from "../core/report.ts";
import { adoptionsOf } from "./adopt.ts";
import { decisionOf, type Case } from "./act.ts";
import type { Context } from "./context.ts";
import { observe, type Survey } from "./observe.ts";
import { contentOf } from "./schedule.ts";
import { preflight, type HostAnswers } from "./preflight.ts";

/** An application in a plan of all. */
export interface Part extends Pick<Case, "application" | "candidate" | "passedOn"> {
  /** Services that another application would have passed on by then. */
  readonly taken: ReadonlySet<ServiceName>;
  /** What was asked for all of them at once. */
  readonly seen: { readonly survey: Survey; readonly answers: HostAnswers };
}

/** Of an application that is suspended, what waits. */
export async function planned(one: Part, context: Context, signal: AbortSignal): Promise<PlannedApplication> {
  const decision = decisionOf(one, context);
  if (decision.do === "hold" && one.candidate.kind !== "blocked") {
    const waiting = await planOf(one, decisionOf({ ...one, unbound: true }, context), context, signal);
    const until = decision.until === undefined ? "" : `, until ${decision.until.toISOString()}`;
    return { ...waiting, state: "held", message: `${decision.why}${until}. To go on now: ctl sync ${waiting.name} --now` };
  }
  if (decision.do !== "leave") return planOf(one, decision, context, signal);
  const waiting = await planOf(one, decisionOf({ ...one, unbound: true, evenIfSuspended: true }, context), context, signal);
  const message = `suspended${decision.until === undefined ? "" : ` until ${decision.until.toISOString()}`}. To go on now: ctl resume ${waiting.name}`;
  return { ...waiting, state: "held", message };
}

async function planOf(part: Part, decision: Decision, context: Context, signal: AbortSignal): Promise<PlannedApplication> {
  const { application } = part;
  const { source, application: name } = partsOf(application);
  const base = { name, source, message: null, steps: [], diff: "", problems: [] };
  const lastGood = context.store.application(application)?.lastGood;
  const live = lastGood === undefined ? undefined : context.bundles.get(lastGood);
  switch (decision.do) {
    case "reject":
      return {
        ...base,
        state: "rejected",
        problems: decision.problems.map(plannedProblem),
      };
    case "leave":
      return { ...base, state: "held" };
    case "hold":
      return { ...base, state: "held", message: decision.why };
    case "quarantine":
      return { ...base, state: "held", message: `in quarantine: ${decision.reason}. To try it again: ctl retry ${name}` };
    case "keep": {
      if (live === undefined) return { ...base, state: "in-sync" };
      const kept = await stepsTo(part, { goal: live, live }, context, signal);
      const { rollbackPin } = context.config.quadlet;
      const isPinned = context.store.application(application)?.pinnedAgainst !== undefined && contentOf(part.candidate) !== lastGood;
      return isPinned ? { ...kept, message: kept.message ?? `ctl rollback holds it: ${pinText(application, rollbackPin)}` } : kept;
    }
    case "roll-out": {
      // A plan pulls no image: what stood in the way last time may do so again.
      const last = context.store.application(application);
      const stood = last?.outcome === "held" && last.desired?.digest === decision.bundle?.digest ? last.held?.why : undefined;
      const steps = await stepsTo(part, { goal: decision.bundle, live }, context, signal);
      return stood === undefined || steps.message !== null ? steps : { ...steps, message: `held when last tried: ${stood}` };
    }
  }
}

async function stepsTo(
  { application, passedOn, taken, seen: { survey, answers } }: Part,
  { goal, live }: { readonly goal: Bundle | undefined; readonly live: Bundle | undefined },
  context: Context,
  signal: AbortSignal,
): Promise<PlannedApplication> {
  const { source, application: name } = partsOf(application);
  const adopting = goal === undefined || goal.digest === live?.digest ? [] : await adoptionsOf(goal, context, signal);
  const observation = await observe({ application, bundle: goal, adopting, survey }, context, signal);
  const { observed } = observation;
  const services = new Map(
    [...observed.services].map(([service, seen]): [ServiceName, ObservedService] => {
      const unit = taken.has(service) ? goal?.units.find((one) => one.service === service) : undefined;
      return [service, unit === undefined ? seen : { ...seen, loaded: false, ours: true, startedFrom: unit }];
    }),
  );
  const made = plan({ application, bundle: goal, passedOn }, { ...observed, services });
  const isNew = goal?.digest !== live?.digest;
  const lack = goal && (await preflight({ plan: made, bundle: goal, observation, isNew, answers }, context, signal));
  return {
    name,
    source,
    state: made.conflicts.length > 0 ? "rejected" : made.steps.length > 0 ? "pending" : "in-sync",
    message: lack === undefined ? null : `${wouldBeHeld}${lack}`,
    steps: [...made.steps, ...made.afterwards].map((step) => ({ kind: step.kind, target: targetOf(step), because: step.because })),
    diff: diffOf(made.steps, live),
    problems: made.conflicts.map(plannedProblem),
  };
}

function plannedProblem({ file, line, column, message }: Problem): PlannedApplication["problems"][number] {
  return { file, line: line ?? null, column: column ?? null, message };
}

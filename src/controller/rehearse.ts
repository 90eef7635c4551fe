/** What can be known to speak against a rollout before those of other applications that go together with it: nothing is touched but images. */

import type { Bundle } from "../core/bundle.ts";
import { problemText } from "../core/judgement.ts";
import type { ApplicationId, ServiceName } from "../core/names.ts";
import type { Turn } from "../core/order.ts";
import { plan, type ObservedService } from "../core/plan.ts";
import { adoptionsOf } from "./adopt.ts";
import { pullImages } from "./apply.ts";
import type { Context } from "./context.ts";
import { secureImages } from "./images.ts";
import { inheritance } from "./inherit.ts";
import { observe } from "./observe.ts";
import { preflight } from "./preflight.ts";
import { unmetNeed } from "./verify.ts";

/** A rollout that is to come, and the others that go together with it. */
export interface Rehearsal {
  readonly application: ApplicationId;
  /** Undefined: the application is to be taken away. */
  readonly bundle: Bundle | undefined;
  readonly company: readonly Turn[];
}

/** Why the rollout had better wait; undefined where it may go. Pulls its images. What it takes from another one is as if that had given it. */
export async function rehearse(
  { application, bundle, company }: Rehearsal,
  context: Context,
  signal: AbortSignal,
): Promise<string | undefined> {
  const goal = { application, bundle };
  const adopting = bundle === undefined ? [] : await adoptionsOf(bundle, context, signal);
  const observation = await observe({ ...goal, adopting, inherited: inheritance(goal, context) }, context, signal);
  const given = new Set(
    company.flatMap(({ live, next }) => (live?.units ?? []).filter(({ name }) => !has(next, name)).map(({ service }) => service)),
  );
  const services = new Map(
    [...observation.observed.services].map(([service, seen]): [ServiceName, ObservedService] =>
      given.has(service) ? [service, { ...seen, loaded: false, ours: true, startedFrom: undefined }] : [service, seen],
    ),
  );
  const made = plan(goal, { ...observation.observed, services });
  if (made.conflicts.length > 0) return problemText(made.conflicts);
  if (bundle === undefined) return undefined;
  const but = new Set(company.map(({ id }) => id));
  const lack =
    (await unmetNeed({ bundle, but }, context, signal)) ??
    (await preflight({ plan: made, bundle, observation, isNew: true, company }, context, signal));
  if (lack !== undefined) return lack;
  const pulled = await pullImages(made, context, signal);
  const secured = pulled.ok ? await secureImages(bundle, context, signal) : pulled;
  return secured.ok ? undefined : secured.trouble;
}

function has(bundle: Bundle | undefined, name: string): boolean {
  return bundle?.units.some((unit) => unit.name === name) === true;
}

/** What could not be done for the time being, and when it is tried again. */

import { backoff, stillWaits } from "../core/decide.ts";
import { partsOf, type ApplicationId } from "../core/names.ts";
import type { ApplicationRecord } from "../ports.ts";
import type { Context } from "./context.ts";

type Held = NonNullable<ApplicationRecord["held"]>;

/** The next try of what Git wants of an application: with a growing distance, from its source's interval. */
export function triedAgain(application: ApplicationId, why: string, { store, config, clock }: Context): Held {
  const record = store.application(application);
  const tries = (record !== undefined && isTried(record) ? (record.held?.tries ?? 0) : 0) + 1;
  return { why, until: new Date(clock.now().getTime() + backoff(tries, intervalOf(application, config), clock.chance())), tries };
}

/** Whether an application waits for its next try. What a schedule held (no tries) is let go by the schedule alone. */
export function waitsForTry(record: ApplicationRecord | undefined, { config, clock }: Context): boolean {
  if (record?.held === undefined || !isTried(record) || record.held.tries === 0) return false;
  return stillWaits(record.held, intervalOf(record.id, config), clock.now());
}

/** Whether what Git wants is tried again by itself: it is held, or was undone for want of what it needs of another application. */
export function isTried({ outcome, held }: ApplicationRecord): boolean {
  return outcome === "held" || (outcome === "rolled-back" && held !== undefined);
}

function intervalOf(application: ApplicationId, { sources, quadlet }: Context["config"]): number {
  return sources.find(({ name }) => name === partsOf(application).source)?.interval ?? quadlet.driftInterval;
}

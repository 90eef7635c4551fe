/** Flapping: a unit that turns unhealthy and healthy again and again is one story, told once. Pure, from the history of its health. */

import type { Health } from "./health.ts";
import type { ServiceName } from "./names.ts";

export interface HealthChange {
  readonly service: ServiceName;
  readonly health: Health;
  readonly at: Date;
}

/** Three times ill within half an hour is no coincidence; and half an hour without a change is quiet. In milliseconds. */
export const flappingLimit = { turns: 6, within: 1_800_000 };

export interface Flapping {
  readonly service: ServiceName;
  /** Turns of the last half hour. */
  readonly turns: number;
}

/** Services that flap now; `changes` in their order, `now` no earlier than the last of them. */
export function flapping(changes: readonly HealthChange[], now: Date): readonly Flapping[] {
  const services = [...new Set(changes.map(({ service }) => service))];
  return services.flatMap((service) => {
    const turns = turnsOf(changes.filter((one) => one.service === service));
    const lately = turns.filter((at) => now.getTime() - at <= flappingLimit.within).length;
    return isFlapping(turns, now.getTime()) ? [{ service, turns: lately }] : [];
  });
}

/** In words: "db.service is flapping: 6 changes of its health in 30 min". */
export function flappingText(found: readonly Flapping[]): string | undefined {
  if (found.length === 0) return undefined;
  return found
    .map(
      ({ service, turns }) =>
        `${service} is flapping: ${String(turns)} changes of its health in ${String(flappingLimit.within / 60_000)} min`,
    )
    .join("; ");
}

/** Times at which it turned from healthy to unhealthy or back; what was between (starting, waiting) is neither. */
function turnsOf(changes: readonly HealthChange[]): readonly number[] {
  const clear = changes.filter(({ health }) => health === "healthy" || health === "unhealthy");
  return clear.flatMap(({ health, at }, index) => {
    const before = clear[index - 1];
    return before !== undefined && before.health !== health ? [at.getTime()] : [];
  });
}

/** From enough turns in that time on, until there is none for as long. */
function isFlapping(turns: readonly number[], now: number): boolean {
  const { turns: most, within } = flappingLimit;
  let is = false;
  let last = -Infinity;
  for (const [index, at] of turns.entries()) {
    if (at - last > within) is = false;
    const first = turns[index - most + 1];
    if (first !== undefined && at - first <= within) is = true;
    last = at;
  }
  return is && now - last <= within;
}

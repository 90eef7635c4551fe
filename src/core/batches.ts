/** Where a plan stops to look: between phases, and between batches of one template's instances. */

import type { Bundle, Unit } from "./bundle.ts";
import { roleOf } from "./kinds.ts";
import type { ServiceName } from "./names.ts";
import type { UnitPaces } from "./pace-config.ts";
import { firstPhase, saidOf, templateOf } from "./phases.ts";
import type { Step } from "./plan.ts";

/** What is done with one unit, in its turn; without steps, it stays as it is. */
export interface Move {
  readonly unit: Unit;
  readonly steps: readonly Step[];
  /** It serves, and may not while this is done. */
  readonly interrupts: boolean;
}

export interface Pace {
  readonly phases: ReadonlyMap<Unit, number>;
  /** How many of a template's instances may be restarted and not verified yet. */
  readonly atOnce: (instance: Unit) => number;
  /** What is as it should be may have been started by this very rollout before a crash, and nobody has looked at it since. */
  readonly isResumed: boolean;
}

/**
 * The moves with a `verify` wherever one must not be made before others are known to be well. An instance that is started, since it is new or
 * down, waits for nobody, but is waited for: a first deployment is not held up, and no instance that serves goes before one that was down is back.
 */
export function withLooks(moves: readonly Move[], { phases, atOnce, isResumed }: Pace): readonly Step[] {
  const phaseOf = (unit: Unit) => phases.get(unit) ?? firstPhase;
  /** Started, and not looked at since; of all units, and by template. */
  let open: Unit[] = [];
  const openOf = new Map<string, ServiceName[]>();
  const note = (unit: Unit) => {
    const template = templateOf(unit);
    if (unit.starts) open.push(unit);
    if (unit.starts && template !== undefined) openOf.set(template, [...(openOf.get(template) ?? []), unit.service]);
  };
  const idle = isResumed ? moves.filter(({ steps }) => steps.length === 0) : [];
  for (const { unit } of idle) {
    const template = templateOf(unit);
    if (unit.starts && template !== undefined) openOf.set(template, [...(openOf.get(template) ?? []), unit.service]);
  }
  return moves.flatMap((move): readonly Step[] => {
    const { unit, steps, interrupts } = move;
    const looks: Step[] = [];
    if (steps.length > 0) {
      const phase = phaseOf(unit);
      const earlier = open.filter((other) => phaseOf(other) < phase);
      const last = earlier.at(-1);
      if (last !== undefined) {
        const because = `phase ${String(phaseOf(last))} before phase ${String(phase)}`;
        looks.push({ kind: "verify", services: earlier.map(({ service }) => service), because });
        open = open.filter((other) => !earlier.includes(other));
      }
      const template = templateOf(unit);
      const batch = template === undefined ? [] : (openOf.get(template) ?? []);
      const limit = template !== undefined && interrupts ? atOnce(unit) : Infinity;
      if (template !== undefined && batch.length >= limit) {
        const because = `before ${unit.service}: ${template}, ${String(limit)} at a time`;
        looks.push({ kind: "verify", services: batch, because });
        openOf.set(template, []);
      }
      note(unit);
    } else if (isResumed && unit.starts && roleOf(unit.kind) !== "group") {
      // Not a pod: the stop of its last member takes it along, and then it is started at the end (plan.ts, stopsMore).
      open.push(unit);
    }
    return [...looks, ...steps];
  });
}

/** `max_unavailable`: the host's, then the application's own; 1 where nobody says anything. A share is rounded down, to one at least. */
export function atOnceOf(bundle: Bundle | undefined, over: UnitPaces | undefined): Pace["atOnce"] {
  return (instance) => {
    const said =
      saidOf(instance, over, "max_unavailable")?.value ??
      (bundle === undefined ? undefined : saidOf(instance, bundle.settings.unit, "max_unavailable")?.value);
    if (said === undefined || typeof said === "number") return said ?? 1;
    const template = templateOf(instance);
    const all = (bundle?.units ?? []).filter((unit) => templateOf(unit) === template).length;
    return Math.max(1, Math.floor((all * Number.parseInt(said, 10)) / 100));
  };
}

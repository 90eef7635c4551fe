/** Units that move from one application to another as they are: their services run on, and only the files change their place. */

import type { Bundle, Unit } from "./bundle.ts";
import type { ServiceName } from "./names.ts";
import { dependsOn, type Turn } from "./order.ts";

const none: ReadonlySet<ServiceName> = new Set();

/**
 * The services that a turn gives up and that another one, which comes later, takes as they are. What else they need must stay as it is
 * too: a service can't run on while its network is made anew. `turns`: all of the pass; `takers`: those still to come that will be
 * rolled out.
 */
export function passedOn(turn: Turn, turns: readonly Turn[], takers: readonly Turn[]): ReadonlySet<ServiceName> {
  const given = givenUp(turn);
  if (given.length === 0) return none;
  const after = turns.flatMap(({ next }) => next?.units ?? []);
  const before = turns.flatMap(({ live }) => live?.units ?? []);
  const isAsBefore = (unit: Unit) => after.some((one) => isSame(one, unit));
  const taken = takers.filter(({ id }) => id !== turn.id).flatMap(({ next }) => next?.units ?? []);
  // What this application itself goes on needing is unknown to systemd for a moment: it must not be started just then.
  const restless = (turn.next?.units ?? []).filter((unit) => turn.live?.units.some((one) => isSame(one, unit)) !== true);
  let moving = given.filter(
    (unit) => !unit.mountsOwn && taken.some((one) => isSame(one, unit)) && !restless.some((user) => dependsOn(user, unit)),
  );
  for (let count = -1; count !== moving.length;) {
    count = moving.length;
    const known: readonly Unit[] = moving;
    const stays = (needed: Unit) => (given.includes(needed) ? known.includes(needed) : isAsBefore(needed));
    moving = known.filter((unit) => before.every((needed) => needed === unit || !dependsOn(unit, needed) || stays(needed)));
  }
  return new Set(moving.map(({ service }) => service));
}

/** Units of the live bundle that the next one does not have. */
export function givenUp({ live, next }: Pick<Turn, "live" | "next">): readonly Unit[] {
  const kept = (next?.units ?? []).map(({ name, service }) => `${name}\0${service}`);
  return (live?.units ?? []).filter(({ name, service }) => !kept.includes(`${name}\0${service}`));
}

/** Files of an application that a later one may still have to take over, or else to be cleared away. */
export function filesOf(bundle: Bundle | undefined, services: ReadonlySet<ServiceName>): Bundle["files"] {
  const paths = new Set(bundle?.units.flatMap((unit) => (services.has(unit.service) ? unit.files : [])));
  return bundle?.files.filter(({ path }) => paths.has(path)) ?? [];
}

function isSame(one: Unit, other: Unit): boolean {
  return one.name === other.name && one.service === other.service && one.digest === other.digest;
}

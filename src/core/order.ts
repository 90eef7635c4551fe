/** Dependency order: what must be there before what. */

import type { Bundle, Unit } from "./bundle.ts";
import type { ApplicationId, RelativePath, ServiceName } from "./names.ts";
import { placeOf, shownPath } from "./placing.ts";

/** Units so that what a unit uses or comes after stands before it; by name where nothing else decides. */
export function startOrder(units: readonly Unit[]): readonly Unit[] {
  return inOrder(
    units,
    (unit) => unit.name,
    (unit) => units.filter((other) => other !== unit && dependsOn(unit, other)),
  );
}

/** Whether a unit names another, as a quadlet or as the service that comes of it. */
export function dependsOn(unit: Unit, other: Unit): boolean {
  return unit.uses.includes(other.name) || unit.after.includes(other.service);
}

/** Sorts by `before`, then by name. A cycle is cut where it is met: one of mere needs is none for systemd, and one of order is refused (core/cycles.ts). */
export function inOrder<Item>(
  items: readonly Item[],
  name: (item: Item) => string,
  before: (item: Item) => readonly Item[],
): readonly Item[] {
  const sorted: Item[] = [];
  const seen = new Set<Item>();
  const visit = (item: Item) => {
    if (seen.has(item)) return;
    seen.add(item);
    for (const earlier of [...before(item)].sort(byName)) visit(earlier);
    sorted.push(item);
  };
  const byName = (a: Item, b: Item) => (name(a) < name(b) ? -1 : 1);
  for (const item of [...items].sort(byName)) visit(item);
  return sorted;
}

/** An application as it is and as it shall be; undefined: not there. */
export interface Turn {
  readonly id: ApplicationId;
  readonly live: Bundle | undefined;
  readonly next: Bundle | undefined;
  /** Among the applications of its source; default: 1. */
  readonly phase?: number;
}

/**
 * The order in which applications take their turn: first what gives a unit or a Podman secret up, then what takes it; first what is needed, then what needs it;
 * a unit that goes away goes after those that used it. Where that leaves the choice, by phase.
 */
export function rolloutOrder(turns: readonly Turn[]): readonly ApplicationId[] {
  const byUnit = new Map<string, Set<Turn>>();
  const note = (turn: Turn, bundle: Bundle | undefined) => {
    const keys = [...(bundle?.units ?? []).flatMap(({ name, service }) => [name, service]), ...secretsOf(bundle)];
    for (const key of keys) byUnit.set(key, (byUnit.get(key) ?? new Set()).add(turn));
  };
  for (const turn of turns) {
    note(turn, turn.live);
    note(turn, turn.next);
  }
  const named = (bundle: Bundle | undefined, keys: (unit: Unit) => readonly string[]) =>
    (bundle?.units ?? []).flatMap((unit) => keys(unit).flatMap((key) => [...(byUnit.get(key) ?? [])]));
  const usersOf = new Map<Turn, Turn[]>();
  for (const turn of turns)
    for (const used of named(turn.live, (unit) => [...unit.uses, ...unit.after])) usersOf.set(used, [...(usersOf.get(used) ?? []), turn]);
  const before = (turn: Turn): readonly Turn[] => {
    const secrets = secretsOf(turn.next).flatMap((key) => [...(byUnit.get(key) ?? [])]);
    const givers = [
      ...named(turn.next, (unit) => [unit.name]).filter((other) => !has(other.next, turn.next)),
      ...secrets.filter((other) => sharedSecret(other.next, turn.next) === undefined),
    ];
    // What takes a unit comes after what gives it, also where that still needs it.
    const needed = named(turn.next, (unit) => [...unit.uses, ...unit.after]).filter((other) => {
      const moves = movesFrom(turn, other).map(({ name }) => name);
      return turn.next?.units.some((unit) => other.next?.units.some((one) => !moves.includes(one.name) && dependsOn(unit, one)));
    });
    const moved = new Set(turns.flatMap((other) => movesFrom(turn, other).map(({ service }) => service)));
    const users = (usersOf.get(turn) ?? []).filter((other) => lost(turn, other.live, moved) !== undefined);
    return [...new Set([...givers, ...needed, ...users])].filter((other) => other !== turn);
  };
  return inOrder(turns, ({ id, phase = 1 }) => `${String(phase).padStart(4, "0")} ${id}`, before).map(({ id }) => id);
}

/**
 * What speaks against a turn beside what the other applications are now: a unit would be there twice, or one would go away that is still
 * needed. It holds whatever Git wants of the others: they may stay as they are, or come back to it. `passedOn` goes to another as it is,
 * and so does not go away.
 */
export function hindrance(
  turn: Turn,
  others: ReadonlyMap<ApplicationId, Bundle>,
  passedOn: ReadonlySet<ServiceName> = new Set(),
): string | undefined {
  for (const [id, other] of others) {
    if (id === turn.id) continue;
    const taken = turn.next?.units.find((unit) => other.units.some((one) => one.name === unit.name || one.service === unit.service));
    if (taken !== undefined) return `${taken.name} makes ${taken.service}, which ${id} still has`;
    const secret = sharedSecret(other, turn.next);
    if (secret !== undefined) return `${shownPath(secret)} is one that ${id} still has`;
    const needed = lost(turn, other, passedOn);
    if (needed !== undefined) return `${id} still needs ${needed.name}, which would go away`;
  }
  const own = turn.live?.units.find(
    ({ name, service }) =>
      !passedOn.has(service) &&
      turn.next?.units.some((kept) => kept.uses.includes(name)) === true &&
      !turn.next.units.some((kept) => kept.name === name),
  );
  if (own === undefined) return undefined;
  return `it still needs ${own.name}, which would go away: move that in a commit that changes nothing of it nor of its users`;
}

/** The first unit that a turn takes away and that a bundle names. */
function lost({ live, next }: Turn, user: Bundle | undefined, passedOn: ReadonlySet<ServiceName>): Unit | undefined {
  return live?.units.find(
    (unit) =>
      !passedOn.has(unit.service) &&
      next?.units.some((kept) => kept.name === unit.name && kept.service === unit.service) !== true &&
      user?.units.some((one) => dependsOn(one, unit)) === true,
  );
}

/** Whether something of the first names something of the second. */
export function needs(bundle: Bundle | undefined, other: Bundle | undefined): boolean {
  return bundle?.units.some((unit) => other?.units.some((one) => dependsOn(unit, one))) === true;
}

/** Units that one turn gives up and another one has afterwards. */
function movesFrom(turn: Turn, other: Turn): readonly Unit[] {
  if (turn === other) return [];
  return (turn.live?.units ?? []).filter(
    ({ name }) =>
      turn.next?.units.some((unit) => unit.name === name) !== true && other.next?.units.some((unit) => unit.name === name) === true,
  );
}

/** Podman secrets by their paths: of one name there is one on the host. */
function secretsOf(bundle: Bundle | undefined): readonly RelativePath[] {
  return (bundle?.files ?? []).flatMap(({ path }) => (placeOf(path).place === "secret" ? [path] : []));
}

/** The first secret that both bring. */
export function sharedSecret(bundle: Bundle | undefined, other: Bundle | undefined): RelativePath | undefined {
  const own = new Set(secretsOf(bundle));
  return own.size === 0 ? undefined : secretsOf(other).find((path) => own.has(path));
}

function has(bundle: Bundle | undefined, other: Bundle | undefined): boolean {
  return bundle?.units.some((unit) => other?.units.some((one) => one.name === unit.name)) === true;
}

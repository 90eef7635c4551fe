/** Dependency order: what must be there before what. */

import type { Unit } from "./bundle.ts";

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

/** Sorts by `before`, then by name; a cycle is cut where it is met, since systemd drops a job of a cycle too. */
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

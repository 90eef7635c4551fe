/** What waits for what: a service is not to blame while something that it needs is not healthy. */

import type { Unit } from "./bundle.ts";
import { dependsOn, inOrder } from "./order.ts";
import type { ServiceName } from "./names.ts";
import type { Verdict } from "./verdict.ts";

/** By service: the services that it names as needed or to come before it. */
export type Needs = ReadonlyMap<ServiceName, ReadonlySet<ServiceName>>;

/** Two that need each other are each other's equals: neither waits for the other, else nobody would be to blame. */
export function needsAmong(units: readonly Unit[]): Needs {
  const direct = new Map(units.map((unit) => [unit.service, units.filter((other) => other !== unit && dependsOn(unit, other))]));
  const reaches = (from: ServiceName, to: ServiceName, seen = new Set<ServiceName>()): boolean => {
    if (seen.has(from)) return false;
    seen.add(from);
    return (direct.get(from) ?? []).some(({ service }) => service === to || reaches(service, to, seen));
  };
  return new Map(
    units.map(({ service }) => [
      service,
      new Set((direct.get(service) ?? []).flatMap((other) => (reaches(other.service, service) ? [] : [other.service]))),
    ]),
  );
}

/** Units in groups, so that what a unit needs is in an earlier group than itself. */
export function inLevels<Item>(items: readonly Item[], service: (item: Item) => ServiceName, needs: Needs): readonly (readonly Item[])[] {
  const level = new Map<ServiceName, number>();
  const byService = new Map(items.map((item) => [service(item), item]));
  const needed = (item: Item) => [...(needs.get(service(item)) ?? [])].flatMap((one) => byService.get(one) ?? []);
  const levels: Item[][] = [];
  for (const item of inOrder(items, service, needed)) {
    const own = Math.max(-1, ...needed(item).map((one) => level.get(service(one)) ?? -1)) + 1;
    level.set(service(item), own);
    (levels[own] ??= []).push(item);
  }
  return levels;
}

/**
 * Verdicts, where those that are not healthy for want of another's health are `waiting`, with the root of it. One that is dead for its own
 * reasons is not excused by another that is only on its way. A verdict that was final stays so.
 */
export function excused(verdicts: readonly Verdict[], needs: Needs): readonly Verdict[] {
  const bad = new Map(verdicts.flatMap((one) => (one.health === "healthy" ? [] : [[one.service, one] as const])));
  const roots = (service: ServiceName): readonly Verdict[] => {
    const blockers = [...(needs.get(service) ?? [])].filter((one) => bad.has(one));
    return blockers.flatMap((one) => {
      const own = bad.get(one);
      const deeper = roots(one);
      return deeper.length > 0 || own === undefined ? deeper : [own];
    });
  };
  return verdicts.map((one) => {
    if (one.health === "healthy") return one;
    const found = roots(one.service);
    const root = found.find(({ health }) => health === "unhealthy") ?? (one.final ? undefined : found[0]);
    if (root === undefined) return one;
    return { ...one, health: "waiting", waitsFor: root, message: `waits for ${root.service}` };
  });
}

/** What is wrong in one line, the root of it first: "db.service has failed: exit-code, exit 1; web.service waits for it". */
export function blame(bad: Verdict, verdicts: readonly Verdict[]): string {
  const root = bad.waitsFor ?? bad;
  const waiting = verdicts.flatMap(({ service, waitsFor }) => (waitsFor?.service === root.service ? [service] : []));
  const also = waiting.length === 0 ? "" : `; ${waiting.join(", ")} ${waiting.length === 1 ? "waits" : "wait"} for it`;
  return `${root.service} ${root.message ?? "is unhealthy"}${also}`;
}

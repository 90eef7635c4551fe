/** Services that run on while they pass from one application to another: what is known of them, and who answers for them. */

import type { ServiceName } from "../core/names.ts";
import { placeOf } from "../core/placing.ts";
import type { Goal } from "../core/plan.ts";
import type { Started } from "../ports.ts";
import type { Context } from "./context.ts";

/** What other applications have given up without stopping it, and this one takes: as yet their record says what it was started from. */
export function inheritance(goal: Goal, { store, bundles }: Context): ReadonlyMap<ServiceName, Started> {
  const own = store.started(goal.application);
  const wanted = (goal.bundle?.units ?? []).map(({ service }) => service).filter((service) => !own.has(service));
  const found = new Map<ServiceName, Started>();
  for (const { id, lastGood } of wanted.length === 0 ? [] : store.applications()) {
    if (id === goal.application) continue;
    const started = store.started(id);
    const kept = lastGood === undefined ? [] : bundles.get(lastGood).units;
    for (const service of wanted) {
      const record = started.get(service);
      if (record !== undefined && !kept.some((unit) => unit.service === service)) found.set(service, record);
    }
  }
  return found;
}

/** From now on this application answers for them, also if its rollout fails; a plain unit's file has the same place for all. */
export function takeOver({ application, bundle }: Goal, inherited: ReadonlyMap<ServiceName, Started>, { store }: Context): void {
  if (inherited.size === 0) return;
  const beside = (bundle?.files ?? []).map(({ path }) => path).filter((path) => placeOf(path).place === "unit");
  for (const { id } of store.applications()) {
    const inventory = new Map(store.inventory(id));
    const shared = id === application ? [] : beside.filter((path) => inventory.delete(path));
    if (shared.length > 0) store.saveInventory(id, inventory);
  }
  for (const [service, record] of inherited) store.saveStarted(application, service, record);
}

/** One application as the host shows it now: files, services, and what they were started from. */

import type { Bundle, Unit } from "../core/bundle.ts";
import { partsOf, type ApplicationId, type RelativePath, type ServiceName } from "../core/names.ts";
import { observedService, remembered, unitOnDisk, type Readings, type StartRecord } from "../core/observe.ts";
import type { Goal, Observed } from "../core/plan.ts";
import type { Target } from "../core/rollout.ts";
import type { ContainerState, Host, ServiceState } from "../ports.ts";
import type { Context } from "./context.ts";

export interface Observation {
  readonly observed: Observed;
  readonly services: ReadonlyMap<ServiceName, ServiceState>;
  /** What to save of each service before the first file changes. */
  readonly remembered: ReadonlyMap<ServiceName, StartRecord>;
}

/** Services and containers of many applications, asked for at once. */
export interface Survey {
  readonly services: ReadonlyMap<ServiceName, ServiceState>;
  readonly containers: readonly ContainerState[];
}

/** With a survey, what it holds is not asked again; for looking only, since it ages. */
export async function observe(goal: Goal & { readonly survey?: Survey }, context: Context, signal: AbortSignal): Promise<Observation> {
  const { host, store } = context;
  const { application } = goal;
  const known = knownBundles(application, context);
  const bundles = goal.bundle === undefined ? known : [goal.bundle, ...known];
  const units = new Map<ServiceName, Unit>(bundles.flatMap((bundle) => bundle.units).map((unit) => [unit.service, unit]));
  const [files, services] = await Promise.all([host.placed(application, signal), servicesOf([...units.keys()], goal.survey, host, signal)]);
  const records = store.started(application);
  const readings = [...services].map(([service, state]): [ServiceName, Readings] => [
    service,
    {
      service: state,
      record: records.get(service),
      onDisk: unitOnDisk(service, bundles, files),
      directory: directoryOf(application, context),
      reloadPending: store.reloadPending(),
    },
  ]);
  return {
    observed: {
      files,
      inventory: new Set<RelativePath>(store.inventory(application).keys()),
      known: known.flatMap((bundle) => bundle.units),
      services: new Map(readings.map(([service, reading]) => [service, observedService(reading)])),
      reloadPending: store.reloadPending(),
    },
    services,
    remembered: new Map(readings.map(([service, reading]) => [service, remembered(reading)])),
  };
}

/** Asks systemd only for what the survey lacks. */
export async function servicesOf(
  names: readonly ServiceName[],
  survey: Survey | undefined,
  host: Host,
  signal: AbortSignal,
): Promise<ReadonlyMap<ServiceName, ServiceState>> {
  const known = names.flatMap((name): [ServiceName, ServiceState][] => {
    const state = survey?.services.get(name);
    return state === undefined ? [] : [[name, state]];
  });
  return known.length === names.length ? new Map(known) : host.services(names, signal);
}

/** Where an application's files lie, as systemd names them. */
export function directoryOf(application: ApplicationId, { config }: Context): string {
  const { source, application: name } = partsOf(application);
  return `${config.quadlet.directory}/${source}/${name}`;
}

/**
 * Bundles whose units may be on the host: the last good, both ends of a rollout that is under way or was interrupted, and the goals of
 * earlier ones while something of theirs has not been taken away.
 */
function knownBundles(application: ApplicationId, { store, bundles }: Context): readonly Bundle[] {
  const targets = new Set<Target | undefined>([
    store.application(application)?.lastGood,
    ...store.rollouts().flatMap((rollout) => (rollout.application === application ? [rollout.goal, rollout.fallback] : [])),
  ]);
  const made = () => [...targets].flatMap((digest) => (digest === undefined || digest === "absent" ? [] : [bundles.get(digest)]));
  const known = made();
  const files = new Set(known.flatMap((bundle) => bundle.files.map((file) => file.path)));
  const services = new Set(known.flatMap((bundle) => bundle.units.map((unit) => unit.service)));
  const isExplained =
    [...store.inventory(application).keys()].every((path) => files.has(path)) &&
    [...store.started(application).keys()].every((service) => services.has(service));
  if (isExplained) return known;
  for (const { goal } of store.deployments({ application, limit: 20 }))
    if (goal !== "absent" && store.bundle(goal) !== undefined) targets.add(goal);
  return made();
}

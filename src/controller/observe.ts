/** One application as the host shows it now: files, services, and what they were started from. */

import { startOf, type Adoption } from "../core/adopt.ts";
import type { Bundle, Unit } from "../core/bundle.ts";
import { roleOf } from "../core/kinds.ts";
import { partsOf, type ApplicationId, type RelativePath, type ServiceName } from "../core/names.ts";
import { observedService, remembered, unitOnDisk, type Readings, type StartRecord } from "../core/observe.ts";
import { dependsOn } from "../core/order.ts";
import { placeOf } from "../core/placing.ts";
import type { Dependent, Goal, Observed } from "../core/plan.ts";
import type { Target } from "../core/rollout.ts";
import type { ContainerState, Host, ServiceState } from "../ports.ts";
import { look } from "./adopt.ts";
import { liveBundles, type Context } from "./context.ts";

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

export interface Look extends Goal {
  /** What it holds is not asked again; for looking only, since it ages. */
  readonly survey?: Survey;
  /** What is known of services that another application passes on to this one. */
  readonly inherited?: ReadonlyMap<ServiceName, StartRecord>;
  /** What is to be taken over of a person's, beside what is on the way already. */
  readonly adopting?: readonly Adoption[];
}

export async function observe(goal: Look, context: Context, signal: AbortSignal): Promise<Observation> {
  const { host, store } = context;
  const { application } = goal;
  const known = knownBundles(application, context);
  const bundles = goal.bundle === undefined ? known : [goal.bundle, ...known];
  const units = new Map<ServiceName, Unit>(bundles.flatMap((bundle) => bundle.units).map((unit) => [unit.service, unit]));
  const inventory = new Set<RelativePath>(store.inventory(application).keys());
  const beside = new Set([...inventory, ...bundles.flatMap((bundle) => bundle.files.map((file) => file.path))].filter(isBeside));
  const installing = [...new Set(bundles.flatMap((bundle) => bundle.units).flatMap((unit) => (unit.installs ? [unit.service] : [])))];
  const begun = store.adoptions(application);
  const fresh = (goal.adopting ?? []).filter(({ service }) => !begun.some((one) => one.service === service));
  const [files, services, enabled, dependents, adoptions] = await Promise.all([
    host.placed(application, beside, signal),
    servicesOf([...units.keys()], goal.survey, host, signal),
    installing.length === 0 ? new Set<ServiceName>() : host.enabled(installing, signal),
    dependentsOf(goal, context, signal),
    look([...begun, ...fresh], context, signal),
  ]);
  const adopted = new Set(adoptions.map(({ from }) => from));
  const records = new Map<ServiceName, StartRecord | undefined>([...(goal.inherited ?? []), ...store.started(application)]);
  for (const one of fresh) {
    const unit = goal.bundle?.units.find(({ service }) => service === one.service);
    if (unit !== undefined) records.set(one.service, startOf(one, unit));
  }
  const readings = [...services].map(([service, state]): [ServiceName, Readings] => [
    service,
    {
      service: state,
      record: records.get(service),
      onDisk: unitOnDisk(service, bundles, files),
      places: { directory: directoryOf(application, context), units: unitPathsIn(inventory, context), adopted },
      keepsObject: roleOf(units.get(service)?.kind ?? "service") === "object",
      reloadPending: store.reloadPending(),
    },
  ]);
  return {
    observed: {
      files,
      inventory,
      known: known.flatMap((bundle) => bundle.units),
      services: new Map(readings.map(([service, reading]) => [service, observedService(reading)])),
      enabled,
      dependents,
      reloadPending: store.reloadPending(),
      adoptions,
    },
    services,
    remembered: new Map(readings.map(([service, reading]) => [service, remembered(reading)])),
  };
}

/** Running units of other applications that use a network of this one's: they stop with it when it is made anew. */
async function dependentsOf({ application, bundle }: Goal, context: Context, signal: AbortSignal): Promise<readonly Dependent[]> {
  const networks = bundle?.units.filter((unit) => unit.kind === "network") ?? [];
  if (networks.length === 0) return [];
  const users = [...liveBundles(context)].flatMap(([other, live]) =>
    other === application
      ? []
      : live.units
          .filter((unit) => networks.some((network) => dependsOn(unit, network)))
          .map((unit): Dependent => ({ application: other, unit })),
  );
  if (users.length === 0) return [];
  const states = await context.host.services(
    users.map(({ unit }) => unit.service),
    signal,
  );
  return users.filter(({ unit }) => isRunning(states.get(unit.service)));
}

function isRunning(state: ServiceState | undefined): boolean {
  return state?.active === "active" || state?.active === "activating" || state?.active === "reloading";
}

function isBeside(path: RelativePath): boolean {
  const { place } = placeOf(path);
  return place === "unit" || place === "self";
}

/** The plain units that pgo placed, by their paths on the host. */
function unitPathsIn(inventory: ReadonlySet<RelativePath>, { config }: Context): ReadonlySet<string> {
  const plain = [...inventory].filter((path) => placeOf(path).place === "unit");
  return new Set(plain.map((path) => `${config.quadlet.unitDirectory}/${placeOf(path).path}`));
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

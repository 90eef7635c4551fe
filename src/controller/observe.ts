/** One application as the host shows it now: files, services, and what they were started from. */

import { startOf, type Adoption } from "../core/adopt.ts";
import type { Bundle, Unit } from "../core/bundle.ts";
import { roleOf } from "../core/kinds.ts";
import { partsOf, type ApplicationId, type Digest, type RelativePath, type ServiceName } from "../core/names.ts";
import { observedService, remembered, unitOnDisk, type Readings, type StartRecord } from "../core/observe.ts";
import { isMissing, type SeenObjects } from "../core/objects.ts";
import { dependsOn } from "../core/order.ts";
import { placeOf } from "../core/placing.ts";
import type { Dependent, Goal, Observed } from "../core/plan.ts";
import type { Target } from "../core/rollout.ts";
import type { ContainerState, Host, PodmanSecret, ServiceState } from "../ports.ts";
import { look } from "./adopt.ts";
import { liveBundles, type Context } from "./context.ts";
import { isSecret, lookAtSecrets } from "./podman-secrets.ts";
import { objectRules, seenObjects } from "./volumes.ts";

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
  /** Undefined where no application has any. */
  readonly secrets: readonly PodmanSecret[] | undefined;
  readonly objects: Pick<SeenObjects, "networks" | "volumes">;
}

export interface Look extends Goal {
  /** What it holds is not asked again; for looking only, since it ages. */
  readonly survey?: Survey;
  /** What is known of services that another application passes on to this one. */
  readonly inherited?: ReadonlyMap<ServiceName, StartRecord>;
  /** What is to be taken over of a person's, beside what is on the way already. */
  readonly adopting?: readonly Adoption[];
  /** Services that run and are to be restarted because they are not well, with the reason. */
  readonly unwell?: ReadonlyMap<ServiceName, string> | undefined;
}

export async function observe(goal: Look, context: Context, signal: AbortSignal): Promise<Observation> {
  const { host, store } = context;
  const { application } = goal;
  const known = knownBundles(application, context);
  const bundles = goal.bundle === undefined ? known : [goal.bundle, ...known];
  const units = new Map<ServiceName, Unit>(bundles.flatMap((bundle) => bundle.units).map((unit) => [unit.service, unit]));
  const saved = new Set<RelativePath>(store.inventory(application).keys());
  const beside = new Set([...saved, ...bundles.flatMap((bundle) => bundle.files.map((file) => file.path))].filter(isBeside));
  const installing = [...new Set(bundles.flatMap((bundle) => bundle.units).flatMap((unit) => (unit.installs ? [unit.service] : [])))];
  const begun = store.adoptions(application);
  const fresh = (goal.adopting ?? []).filter(({ service }) => !begun.some((one) => one.service === service));
  const secretsKnown = { files: bundles.flatMap((bundle) => bundle.files), known: goal.survey?.secrets };
  const objects: SeenObjects = {
    ...(goal.survey?.objects ?? (await seenObjects([...units.values()], context, signal))),
    aside: store.asides(application),
    rules: objectRules(application, context),
  };
  const [placed, secrets, services, enabled, dependents, adoptions] = await Promise.all([
    host.placed(application, beside, signal),
    lookAtSecrets(application, secretsKnown, context, signal),
    servicesOf([...units.keys()], goal.survey, host, signal),
    installing.length === 0 ? new Set<ServiceName>() : host.enabled(installing, signal),
    dependentsOf(goal, objects, context, signal),
    look([...begun, ...fresh], context, signal),
  ]);
  const files = new Map<RelativePath, { readonly digest: Digest }>([...placed, ...secrets.files]);
  // What a person put in the place of one of pgo's is that person's: the label says whose it is.
  const inventory = new Set([...[...saved].filter((path) => !isSecret(path)), ...secrets.own]);
  const adopted = new Set(adoptions.map(({ from }) => from));
  const records = new Map<ServiceName, StartRecord | undefined>([...(goal.inherited ?? []), ...store.started(application)]);
  for (const one of fresh) {
    const unit = goal.bundle?.units.find(({ service }) => service === one.service);
    if (unit !== undefined) records.set(one.service, startOf(one, unit));
  }
  const volume = (unit: Unit | undefined) => (unit?.kind === "volume" ? { volume: { isThere: objects.volumes.has(unit.object) } } : {});
  const readings = [...services].map(([service, state]): [ServiceName, Readings] => [
    service,
    {
      ...volume(units.get(service)),
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
      services: new Map(
        readings.map(([service, reading]) => [service, { ...observedService(reading), unwell: goal.unwell?.get(service) }]),
      ),
      enabled,
      dependents,
      reloadPending: store.reloadPending(),
      adoptions,
      objects,
      paces: context.config.applications.get(partsOf(application).application)?.unit,
      // Of what ended badly and is live all the same (`rollback = "never"`) the rest comes by drift repair, phase by phase too.
      isResumed:
        store.rollouts().some((rollout) => rollout.application === application) || store.application(application)?.outcome === "failed",
    },
    services,
    remembered: new Map(readings.map(([service, reading]) => [service, remembered(reading)])),
  };
}

/**
 * Units of other applications that use a network or volume of this one's: they stop with it when it is made anew, or failed for want of it.
 * Those too that an interrupted rollout has stopped, or was about to: nobody else knows that they are to run again.
 */
async function dependentsOf(
  { application, bundle }: Goal,
  seen: SeenObjects,
  context: Context,
  signal: AbortSignal,
): Promise<readonly Dependent[]> {
  const objects = bundle?.units.filter((unit) => roleOf(unit.kind) === "object") ?? [];
  if (objects.length === 0) return [];
  const users = [...liveBundles(context)].flatMap(([other, live]) =>
    other === application
      ? []
      : live.units.filter((unit) => objects.some((object) => dependsOn(unit, object))).map((unit) => ({ application: other, unit })),
  );
  if (users.length === 0) return [];
  const stopped = stoppedBefore(application, context);
  const states = await context.host.services(
    users.map(({ unit }) => unit.service),
    signal,
  );
  const lacks = (unit: Unit) => objects.some((object) => dependsOn(unit, object) && isMissing(object, seen));
  return users.flatMap((user): readonly Dependent[] => {
    const state = states.get(user.unit.service);
    if (!isRunning(state) && stopped.has(user.unit.service)) return [{ ...user, isDown: true }];
    return isRunning(state) || (state?.active === "failed" && lacks(user.unit)) ? [user] : [];
  });
}

/** What the rollout that is under way has stopped so far, and what it set out to stop: a step is noted only when it is done. */
function stoppedBefore(application: ApplicationId, { store }: Context): ReadonlySet<string> {
  const rollout = store.rollouts().find((one) => one.application === application);
  const { steps = [], reasons = [] } = (rollout && store.deployment(rollout.deployment)) ?? {};
  const planned = reasons.flatMap((reason) => /^stop ([^:]+):/.exec(reason)?.[1] ?? []);
  return new Set([...planned, ...steps.flatMap(({ kind, target }) => (kind === "stop" ? [target] : []))]);
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
 * Bundles whose units may be on the host: the last good, both ends of a rollout that is under way or was interrupted, also of its source's
 * applications that go together, and the goals of earlier ones while something of theirs has not been taken away.
 */
function knownBundles(application: ApplicationId, { store, bundles }: Context): readonly Bundle[] {
  const targets = new Set<Target | undefined>([
    store.application(application)?.lastGood,
    ...store.rollouts().flatMap((rollout) => (rollout.application === application ? [rollout.goal, rollout.fallback] : [])),
    ...store.together().flatMap(({ members }) => members.flatMap((one) => (one.application === application ? [one.goal, one.before] : []))),
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

/** Looks at an application's units until all are healthy, or one can't become so any more. */

import type { Bundle, Unit } from "../core/bundle.ts";
import { checkIn } from "../core/checks.ts";
import { roleOf } from "../core/kinds.ts";
import type { Check, Health, Sample } from "../core/health.ts";
import type { ServiceName } from "../core/names.ts";
import { reasonOf } from "../core/result.ts";
import { follow, isUp, mostTelling, newTrack, verdict, type Look, type Track, type Verdict } from "../core/verdict.ts";
import type { ContainerState, ServiceState } from "../ports.ts";
import type { Context } from "./context.ts";
import { servicesOf, type Survey } from "./observe.ts";

export interface Verification {
  readonly verdicts: readonly Verdict[];
  /** As last seen. */
  readonly containers: ReadonlyMap<ServiceName, ContainerState>;
  /** The first unit that is unhealthy, in words; undefined when all are healthy. */
  readonly trouble: string | undefined;
}

/** What is looked at: an application's units, and those of others that its rollout had to stop. */
export interface Subjects {
  readonly bundle: Bundle;
  readonly others: readonly Bundle[];
  readonly dependents: ReadonlySet<ServiceName>;
  /** Services that were reloaded, or sent a signal: as young as that. */
  readonly refreshed: ReadonlySet<ServiceName>;
}

/** The first wait between two looks; it doubles up to the unit's interval, so that what is quickly up is quickly seen. */
const firstWait = 100;

/**
 * Ends with the last unit's success or the first one's final failure; every deadline is bounded, so it ends. Throws HostAway where a
 * deadline passes while systemd or Podman can't be asked: that is no failure of the unit's.
 */
export async function verify(subjects: Subjects, since: Date, context: Context, signal: AbortSignal): Promise<Verification> {
  const watched = [subjects.bundle, ...subjects.others].flatMap((bundle) =>
    watch(bundle, { since, refreshed: subjects.refreshed }, context).filter(
      ({ unit }) => bundle === subjects.bundle || subjects.dependents.has(unit.service),
    ),
  );
  let containers: ReadonlyMap<ServiceName, ContainerState> = new Map();
  for (let wait = firstWait; ; wait *= 2) {
    let blind = false;
    try {
      containers = await lookAt(watched, undefined, context, signal);
    } catch (error) {
      // systemd or Podman that can't be asked says nothing about the units; their deadlines go on.
      signal.throwIfAborted();
      blind = true;
      for (const one of watched) one.track = { ...one.track, message: reasonOf(error) };
    }
    const verdicts = judgeAll(watched, context.clock.now());
    const bad = verdicts.find((one) => one.final && one.health === "unhealthy");
    if (bad !== undefined && blind) await context.reach.check(signal);
    const own = verdicts.filter(({ service }) => !subjects.dependents.has(service));
    if (bad !== undefined) return { verdicts: own, containers, trouble: `${bad.service} ${bad.message ?? "is unhealthy"}` };
    if (verdicts.every((one) => one.health === "healthy")) return { verdicts: own, containers, trouble: undefined };
    await context.clock.sleep(Math.min(wait, ...watched.map((one) => nextLook(one, context.clock.now()))), signal);
  }
}

/** One look at each unit of what has been healthy before, for status and for drift checks: nothing is waited for, and it must do. */
export async function lookOnce(
  { bundle, survey }: { readonly bundle: Bundle; readonly survey?: Survey | undefined },
  context: Context,
  signal: AbortSignal,
): Promise<readonly Verdict[]> {
  const watched = watch(bundle, { since: context.clock.now(), refreshed: new Set() }, context);
  for (const one of watched) {
    one.check = { ...one.check, patience: { ...one.check.patience, successThreshold: 1, failureThreshold: 1, startPeriod: 0 } };
    one.track = { ...one.track, healthyAt: one.track.since };
  }
  await lookAt(watched, survey, context, signal);
  return judgeAll(watched, context.clock.now());
}

/** What an application's health is, from its units': the worst of them. */
export function worst(healths: readonly Health[]): Health {
  const order: readonly Health[] = ["unhealthy", "starting", "waiting", "unknown"];
  return order.find((health) => healths.includes(health)) ?? (healths.length === 0 ? "unknown" : "healthy");
}

interface Watched {
  /** When it was reloaded, or before. */
  readonly refreshedAt: Date | undefined;
  readonly application: Bundle["application"];
  readonly unit: Unit;
  check: Check;
  track: Track;
}

function watch(
  bundle: Bundle,
  { since, refreshed }: { readonly since: Date; readonly refreshed: ReadonlySet<ServiceName> },
  { config }: Context,
): readonly Watched[] {
  return bundle.units
    .filter((unit) => unit.starts)
    .map((unit) => ({
      application: bundle.application,
      refreshedAt: refreshed.has(unit.service) ? since : undefined,
      unit,
      check: checkIn(bundle, unit, config),
      track: newTrack(since),
    }));
}

function judgeAll(watched: readonly Watched[], now: Date): readonly Verdict[] {
  return watched.map(({ unit, check, track }) => verdict(track, unit, check, now));
}

/** A unit that lacks only its time up is looked at when that is over. */
function nextLook({ check, track }: Watched, now: Date): number {
  const { interval, minHealthyTime, successThreshold } = check.patience;
  const since = track.last?.activeSince;
  if (track.passes < successThreshold || since === undefined) return interval;
  const left = since.getTime() + minHealthyTime - now.getTime();
  return left > 0 ? Math.min(interval, left + 1) : interval;
}

async function lookAt(
  watched: readonly Watched[],
  survey: Survey | undefined,
  context: Context,
  signal: AbortSignal,
): Promise<ReadonlyMap<ServiceName, ContainerState>> {
  const names = watched.map(({ unit }) => unit.service);
  const [services, containers] = await Promise.all([
    servicesOf(names, survey, context.host, signal),
    survey?.containers ?? context.podman.containers(signal),
  ]);
  const byService = mostTelling(containers);
  await Promise.all(
    watched.map(async (one) => {
      const state = services.get(one.unit.service);
      if (state === undefined) return;
      const sample = await probe(one, state, context, signal);
      const look = lookOf(state, byService, one.unit.service, sample, context.clock.now());
      const activeSince = latest(look.activeSince, one.refreshedAt);
      one.track = follow(one.track, one.unit, one.check, { ...look, activeSince });
    }),
  );
  return byService;
}

async function probe(
  { application, unit, check }: Watched,
  state: ServiceState,
  context: Context,
  signal: AbortSignal,
): Promise<Sample | undefined> {
  if (check.by !== "probe" || roleOf(unit.kind) !== "workload" || !isUp(state)) return undefined;
  const sample = await context.prober.probe(check.probe, check.patience.timeout, signal);
  context.journal.tell({ type: "probe", application, kind: check.probe.kind, result: sample.result });
  return sample;
}

function lookOf(
  state: ServiceState,
  containers: ReadonlyMap<ServiceName, ContainerState>,
  service: ServiceName,
  sample: Sample | undefined,
  at: Date,
): Look {
  const { active, sub, result, exitStatus, restarts } = state;
  const container = containers.get(service);
  // Podman restarts a container of Kubernetes YAML by itself, which systemd does not see.
  const activeSince = latest(state.activeSince, container?.startedAt);
  return { at, active, sub, result, exitStatus, restarts, activeSince, container, sample };
}

/** The first, or the other where that is later. */
function latest(one: Date | undefined, other: Date | undefined): Date | undefined {
  return one === undefined || other === undefined || one > other ? one : other;
}

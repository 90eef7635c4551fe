/** Looks at an application's units until all are healthy, or one can't become so any more. */

import type { Bundle } from "../core/bundle.ts";
import { checkIn } from "../core/checks.ts";
import type { Health, Sample } from "../core/health.ts";
import { roleOf } from "../core/kinds.ts";
import type { ApplicationId, ServiceName } from "../core/names.ts";
import { isMissing } from "../core/objects.ts";
import { dependsOn } from "../core/order.ts";
import { reasonOf } from "../core/result.ts";
import { follow, glimpsed, isUp, mostTelling, newTrack, verdict, type Look, type Track, type Verdict } from "../core/verdict.ts";
import { blame, excused, inLevels, needsAmong, type Needs } from "../core/waiting.ts";
import type { ContainerState, ServiceState } from "../ports.ts";
import { liveBundles, type Context } from "./context.ts";
import { servicesOf, type Survey } from "./observe.ts";
import { sampleOf, type Asked } from "./probing.ts";
import { steady, type SteadyClock } from "./steady.ts";
import { seenObjects } from "./volumes.ts";

export interface Verification {
  readonly verdicts: readonly Verdict[];
  /** As last seen. */
  readonly containers: ReadonlyMap<ServiceName, ContainerState>;
  /** The first unit that is unhealthy, in words; undefined when all are healthy. */
  readonly trouble: string | undefined;
  /** Set where all that is wrong is with another application, whose unit this one needs: which, in words. */
  readonly need: string | undefined;
  /** Services that are to blame, the root first. */
  readonly culprits: readonly ServiceName[];
}

/** What is looked at: an application's units, and those of others that its rollout had to stop. */
export interface Subjects {
  readonly bundle: Bundle;
  readonly others: readonly Bundle[];
  readonly dependents: ReadonlySet<ServiceName>;
  /** Services that were reloaded, or sent a signal: as young as that. */
  readonly refreshed: ReadonlySet<ServiceName>;
  /** Of the application's own; default: all. */
  readonly only?: ReadonlySet<ServiceName>;
}

/**
 * Ends with the last unit's success or the first one's final failure; every deadline is bounded, so it ends. A unit that waits for another
 * has its deadline from when that one is healthy. Throws HostAway where a deadline passes while systemd or Podman can't be asked: that is
 * no failure of the unit's.
 */
export async function verify(subjects: Subjects, since: Date, present: Context, signal: AbortSignal): Promise<Verification> {
  const context = { ...present, clock: steady(present.clock) };
  const own = [subjects.bundle, ...subjects.others].flatMap((bundle) =>
    watch(bundle, { since, refreshed: subjects.refreshed }, context).filter(({ unit }) =>
      bundle === subjects.bundle ? (subjects.only?.has(unit.service) ?? true) : subjects.dependents.has(unit.service),
    ),
  );
  const { watched, needs } = withNeeded(own, context);
  const services = new Set(watched.map(({ unit }) => unit.service));
  context.unseen.expect(services);
  let containers: ReadonlyMap<ServiceName, ContainerState> = new Map();
  for (;;) {
    let blind = false;
    try {
      context.unseen.lookedAt(services);
      containers = await lookAt({ watched, needs }, undefined, context, signal);
    } catch (error) {
      // systemd or Podman that can't be asked says nothing about the units; their deadlines go on.
      signal.throwIfAborted();
      blind = true;
      for (const one of watched) one.track = { ...one.track, message: reasonOf(error) };
    }
    const now = context.clock.now();
    const all = excused(judgeAll(watched, now), needs);
    for (const one of own) if (!blind && all.some((verdict) => isPatient(verdict, one, own))) one.track = { ...one.track, since: now };
    const verdicts = all.filter(({ service }) => own.some(({ unit }) => unit.service === service));
    const bad =
      verdicts.find((one) => one.final && one.health === "unhealthy") ?? verdicts.find((one) => one.final && one.health !== "healthy");
    if (bad !== undefined && blind) await context.reach.check(signal);
    const told = verdicts.filter(({ service }) => !subjects.dependents.has(service));
    if (bad !== undefined) {
      const need = bad.health === "waiting" ? needText(bad.waitsFor, watched.slice(own.length)) : undefined;
      return { verdicts: told, containers, trouble: blame(bad, verdicts), need, culprits: culprits(bad, all) };
    }
    if (verdicts.every((one) => one.health === "healthy"))
      return { verdicts: told, containers, trouble: undefined, need: undefined, culprits: [] };
    await context.unseen.sleep(Math.max(1, Math.min(...own.map((one) => nextLook(one, now)))), services, signal);
  }
}

/** What has been healthy before. */
interface Known {
  readonly bundle: Bundle;
  readonly survey?: Survey | undefined;
}

/** One look at each unit of what has been healthy before, for status: nothing is waited for, and it must do. */
export async function lookOnce(known: Known, context: Context, signal: AbortSignal): Promise<readonly Verdict[]> {
  return (await look(known, seasoned, context, signal)).verdicts;
}

/** Failures in a row by service, up to the last look. */
export type Failures = ReadonlyMap<ServiceName, number>;

/**
 * One look of many: a unit is unhealthy when it has failed at so many in a row as its `failure_threshold` says, and until then it is as if it
 * were starting. One that is down, or that Podman has called unhealthy, is so at once: Podman has counted itself.
 */
export async function lookAgain(
  known: Known & { readonly before: Failures },
  context: Context,
  signal: AbortSignal,
): Promise<{ readonly verdicts: readonly Verdict[]; readonly failures: Failures }> {
  const counted = (one: Watched): Watched => {
    const { by, patience } = one.check;
    const fresh = seasoned(one);
    const failureThreshold = by === "podman" ? 1 : patience.failureThreshold;
    const failures = known.before.get(one.unit.service) ?? 0;
    return {
      ...fresh,
      check: { ...fresh.check, patience: { ...fresh.check.patience, failureThreshold } },
      track: { ...fresh.track, failures },
    };
  };
  return look(known, counted, context, signal);
}

async function look(
  { bundle, survey }: Known,
  prepared: (one: Watched) => Watched,
  present: Context,
  signal: AbortSignal,
): Promise<{ readonly verdicts: readonly Verdict[]; readonly failures: Failures }> {
  const context = { ...present, clock: steady(present.clock) };
  const { own, watched, needs } = preparedWith(bundle, prepared, context);
  await lookAt({ watched, needs, isSlow: true }, survey, context, signal);
  const verdicts = excused(judgeAll(watched, context.clock.now()), needs).slice(0, own.length);
  const failing = own.flatMap(({ unit, track }): [ServiceName, number][] => (track.failures > 0 ? [[unit.service, track.failures]] : []));
  return { verdicts, failures: new Map(failing) };
}

/**
 * One look at what a bundle needs of other applications: the first unit that is not healthy, in words; undefined where all are, or are on
 * their way, or of `but`. One that itself waits for a unit of the bundle's is none: it may be this bundle that it waits for.
 */
export async function unmetNeed(
  { bundle, but }: { readonly bundle: Bundle; readonly but?: ReadonlySet<ApplicationId> },
  present: Context,
  signal: AbortSignal,
): Promise<string | undefined> {
  const context = { ...present, clock: steady(present.clock) };
  const { own, watched, needs } = preparedWith(bundle, seasoned, context);
  if (watched.length === own.length) return undefined;
  await lookAt({ watched, needs }, undefined, context, signal);
  const verdicts = excused(judgeAll(watched, context.clock.now()), needs);
  const others = watched.slice(own.length).filter((one) => but?.has(one.bundle.application) !== true);
  const bad = verdicts.find(({ service, health }) => health === "unhealthy" && others.some(({ unit }) => unit.service === service));
  return needText(bad, others);
}

function preparedWith(
  bundle: Bundle,
  prepared: (one: Watched) => Watched,
  context: Steady,
): { readonly own: readonly Watched[] } & ReturnType<typeof withNeeded> {
  const own = watch(bundle, { since: context.clock.now(), refreshed: new Set() }, context).map(prepared);
  return { own, ...withNeeded(own, context) };
}

/** "db.service of fleet/db, which it needs, is unhealthy (has failed: exit-code, exit 1)"; undefined where the unit is none of another application's. */
function needText(root: Verdict | undefined, others: readonly Watched[]): string | undefined {
  const of = others.find(({ unit }) => unit.service === root?.service)?.bundle.application;
  if (root === undefined || of === undefined) return undefined;
  return `${root.service} of ${of}, which it needs, is unhealthy${root.message === undefined ? "" : ` (${root.message})`}`;
}

/** Services that a rollout's steps have reloaded or sent a signal. */
export function refreshedIn(steps: readonly { readonly kind: string; readonly target: string }[]): ReadonlySet<ServiceName> {
  const refreshing = steps.filter(({ kind }) => kind === "reload-service" || kind === "signal" || kind === "keep");
  return new Set(refreshing.map(({ target }) => target as ServiceName));
}

/** What an application's health is, from its units': the worst of them. */
export function worst(healths: readonly Health[]): Health {
  const order: readonly Health[] = ["unhealthy", "starting", "waiting", "unknown"];
  return order.find((health) => healths.includes(health)) ?? (healths.length === 0 ? "unknown" : "healthy");
}

/** Deadlines and ages are measured; what is written down goes by the host's clock. */
type Steady = Context & { readonly clock: SteadyClock };

interface Watched extends Asked {
  /** When it was reloaded, or before. */
  readonly refreshedAt: Date | undefined;
  track: Track;
  /** Until it is asked again, in milliseconds, and from when that counts. */
  wait: number;
  askedAt: Date | undefined;
  /** Whether Podman has been seen to have its network or volume; nobody takes it away while it is looked at. */
  hasObject: boolean;
}

/** The first wait between two looks; it doubles up to the unit's interval, so that what is quickly up is quickly seen. */
const firstWait = 100;
/** A command costs the host more than a look. */
const firstCommandWait = 1000;

function watch(
  bundle: Bundle,
  { since, refreshed }: { readonly since: Date; readonly refreshed: ReadonlySet<ServiceName> },
  { config }: Context,
): readonly Watched[] {
  return bundle.units
    .filter((unit) => unit.starts)
    .map((unit) => {
      const check = checkIn(bundle, unit, config);
      return {
        bundle,
        refreshedAt: refreshed.has(unit.service) ? since : undefined,
        unit,
        check,
        track: newTrack(since),
        wait: check.by === "probe" && check.probe.kind === "command" ? firstCommandWait : firstWait,
        askedAt: undefined,
        hasObject: false,
      };
    });
}

/** Of what has been healthy before one look must do. */
function seasoned(one: Watched): Watched {
  const patience = { ...one.check.patience, successThreshold: 1, failureThreshold: 1, startPeriod: 0 };
  return { ...one, check: { ...one.check, patience }, track: { ...one.track, healthyAt: one.track.since } };
}

/** Beside an application's units what they need of other applications: looked at, but not asked, and not this application's to judge. */
function withNeeded(own: readonly Watched[], context: Steady): { readonly watched: readonly Watched[]; readonly needs: Needs } {
  const known = new Set(own.map(({ unit }) => unit.service));
  const others = [...liveBundles(context).values()].flatMap((live) =>
    live.units.some((other) => !known.has(other.service) && own.some(({ unit }) => dependsOn(unit, other)))
      ? watch(live, { since: context.clock.now(), refreshed: new Set() }, context)
      : [],
  );
  const needed = others.filter(({ unit: other }) => !known.has(other.service) && own.some(({ unit }) => dependsOn(unit, other)));
  const watched = [
    ...own,
    ...needed.map(seasoned).map((one) => {
      const { patience, by } = one.check;
      return { ...one, check: by === "probe" ? { by: "process" as const, patience } : one.check };
    }),
  ];
  return { watched, needs: needsAmong(watched.map(({ unit }) => unit)) };
}

function culprits(bad: Verdict, all: readonly Verdict[]): readonly ServiceName[] {
  const others = all.flatMap(({ service, health }) => (health === "unhealthy" ? [service] : []));
  return [...new Set([bad.waitsFor?.service ?? bad.service, ...others])];
}

/** Whether a unit waits for one of its own kin: that has a deadline, and this one's begins after it. */
function isPatient({ service, health, waitsFor }: Verdict, { unit }: Watched, own: readonly Watched[]): boolean {
  return service === unit.service && health === "waiting" && own.some((other) => other.unit.service === waitsFor?.service);
}

function judgeAll(watched: readonly Watched[], now: Date): readonly Verdict[] {
  return watched.map(({ unit, check, track }) => verdict(track, unit, check, now));
}

/** In milliseconds. A unit that lacks only its time up is looked at when that is over, and every one when its deadline is. */
function nextLook({ check, track, wait, askedAt }: Watched, now: Date): number {
  const { deadline, minHealthyTime, successThreshold } = check.patience;
  const end = (track.healthyAt ?? track.since).getTime() + deadline - now.getTime();
  const regular = (askedAt ?? now).getTime() + wait - now.getTime();
  const due = end > 0 ? Math.min(regular, end) : regular;
  const since = track.last?.activeSince;
  if (track.passes < successThreshold || since === undefined) return due;
  const left = since.getTime() + minHealthyTime - now.getTime();
  return left > 0 ? Math.min(due, left + 1) : due;
}

async function lookAt(
  /** `isSlow`: what is no part of a rollout, whose containers are too young to be measured. */
  { watched, needs, isSlow = false }: { readonly watched: readonly Watched[]; readonly needs: Needs; readonly isSlow?: boolean },
  survey: Survey | undefined,
  context: Steady,
  signal: AbortSignal,
): Promise<ReadonlyMap<ServiceName, ContainerState>> {
  const names = watched.map(({ unit }) => unit.service);
  const [services, containers] = await Promise.all([
    servicesOf(names, survey, context.host, signal),
    survey?.containers ?? context.podman.containers(signal),
  ]);
  // Afterwards: what a unit that is active has made is there by then.
  const lacking = await lackingObjects({ watched, services }, survey, context, signal);
  const byService = mostTelling(containers);
  const healthy = new Set<ServiceName>();
  // What a unit needs is asked before it, and where that is not healthy its own answer would say nothing.
  for (const level of inLevels(watched, ({ unit }) => unit.service, needs))
    await Promise.all(
      level.map(async (one) => {
        const { service } = one.unit;
        const state = services.get(service);
        if (state === undefined) return;
        const now = context.clock.now();
        const isBlocked = [...(needs.get(service) ?? [])].some((other) => !healthy.has(other));
        const isEarly = one.askedAt !== undefined && nextLook(one, now) > 0;
        // Another unit's turn: its last answer stands, unless it has gone down meanwhile.
        if (!(isEarly && one.check.by === "probe" && isUp(state))) {
          const sample = isBlocked ? undefined : await sampleOf(one, { state, container: byService.get(service) }, context, signal);
          const look = lookOf({ ...state, container: byService.get(service) }, sample, context.clock);
          const activeSince = latest(look.activeSince, one.refreshedAt);
          const followed = follow(one.track, one.unit, one.check, {
            ...{ ...look, activeSince, lacksObject: lacking.has(service) },
            excess: isSlow ? context.resources.excess(service, byService.get(service)?.id) : undefined,
          });
          one.track = isEarly ? glimpsed(one.track, followed) : followed;
          if (!isEarly) later(one, context);
        }
        if (verdict(one.track, one.unit, one.check, context.clock.now()).health === "healthy") healthy.add(service);
      }),
    );
  return byService;
}

/** Networks and volumes whose unit is up, though Podman has none; it is asked only for what the survey lacks and was not seen before. */
async function lackingObjects(
  { watched, services }: { readonly watched: readonly Watched[]; readonly services: ReadonlyMap<ServiceName, ServiceState> },
  survey: Survey | undefined,
  context: Context,
  signal: AbortSignal,
): Promise<ReadonlySet<ServiceName>> {
  const open = watched.filter(({ unit, hasObject }) => {
    const state = services.get(unit.service);
    return roleOf(unit.kind) === "object" && !hasObject && state !== undefined && isUp(state);
  });
  const units = open.map(({ unit }) => unit);
  const isSurveyed = units.every(({ service }) => survey?.services.has(service) === true);
  const objects = isSurveyed && survey !== undefined ? survey.objects : await seenObjects(units, context, signal);
  for (const one of open) one.hasObject = !isMissing(one.unit, objects);
  return new Set(open.flatMap(({ unit, hasObject }) => (hasObject ? [] : [unit.service])));
}

/** Twice as long as before, up to the interval; by chance up to 10 % more or less, so that units and hosts don't fall into step. */
function later(one: Watched, { clock }: Context): void {
  const { interval } = one.check.patience;
  if (one.askedAt !== undefined) one.wait *= 2;
  one.wait = Math.min(one.wait, interval) * (0.9 + 0.2 * clock.chance());
  one.askedAt = clock.now();
}

function lookOf(
  state: ServiceState & { readonly container: ContainerState | undefined },
  sample: Sample | undefined,
  clock: SteadyClock,
): Look {
  const { active, sub, result, exitStatus, restarts, container } = state;
  const at = clock.now();
  const up = state.activeSince && clock.translated(state.activeSince);
  const started = container?.startedAt && clock.translated(container.startedAt);
  // Podman restarts a container of Kubernetes YAML by itself, which systemd does not see. What is to start yet was started by another date.
  const activeSince = started !== undefined && started > at ? up : latest(up, started);
  return { at, active, sub, result, exitStatus, restarts, activeSince, container, sample };
}

/** The first, or the other where that is later. */
function latest(one: Date | undefined, other: Date | undefined): Date | undefined {
  return one === undefined || other === undefined || one > other ? one : other;
}

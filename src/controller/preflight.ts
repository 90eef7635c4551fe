/** The checks before a rollout's first step: whether what its starts need of the host is there, asked of the host and of Podman. */

import type { Bundle } from "../core/bundle.ts";
import { isTaken, type Endpoint } from "../core/endpoint.ts";
import type { ApplicationId, ServiceName } from "../core/names.ts";
import type { Turn } from "../core/order.ts";
import type { Plan } from "../core/plan.ts";
import { lacking, needsOf, portsIn, tooFull } from "../core/preflight.ts";
import type { PodmanSecret } from "../ports.ts";
import { liveBundles, type Context } from "./context.ts";
import type { Observation } from "./observe.ts";
import { roomFor } from "./room.ts";
import { roomForBackups } from "./volumes.ts";

export interface Departure {
  readonly plan: Plan;
  /** What the plan goes to. */
  readonly bundle: Bundle;
  readonly observation: Observation;
  /** Whether something new comes: a repair takes no room that was not taken before. */
  readonly isNew: boolean;
  /** Applications that go together with it: before the first of them what they give up is still there, and what they bring is not. */
  readonly company?: readonly Turn[];
  /** For many plans in a row that change nothing: what is asked of the host as a whole is asked once. Default: anew. */
  readonly answers?: HostAnswers;
}

/** What the host as a whole answers; undefined where it can't be asked. */
export interface HostAnswers {
  listening(): Promise<readonly Endpoint[] | undefined>;
  secrets(): Promise<readonly PodmanSecret[] | undefined>;
  storage(): Promise<{ readonly directory: string; readonly free: number } | undefined>;
  freeSpace(): Promise<number | undefined>;
}

/** Each question is asked when it first comes, and then no more. */
export function askedOnce({ host, podman }: Context, signal: AbortSignal): HostAnswers {
  const once = <Value>(ask: () => Promise<Value>): (() => Promise<Value | undefined>) => {
    let answer: Promise<Value | undefined> | undefined;
    return () => (answer ??= attempt(ask, signal));
  };
  return {
    listening: once(() => host.listening(signal)),
    secrets: once(() => podman.secrets(signal)),
    storage: once(() => podman.storage(signal)),
    freeSpace: once(() => host.freeSpace(signal)),
  };
}

/**
 * Why the plan had better wait, with what to do about it; undefined where it may begin. Changes nothing. What can't be asked holds nobody:
 * the start itself will tell. Nothing is asked for a plan that starts nothing.
 */
export async function preflight(departure: Departure, context: Context, signal: AbortSignal): Promise<string | undefined> {
  const { plan, bundle, isNew, company = [], answers = askedOnce(context, signal) } = departure;
  const { host, config } = context;
  const room = roomFor(plan, config);
  const unwritable = room && (await attempt(() => host.writable(room.directories, room.bytes, signal), signal));
  if (unwritable !== undefined) return unwritable;
  if (!plan.steps.some(({ kind }) => kind === "start" || kind === "restart")) return undefined;
  const needs = needsOf(plan, bundle, [config.quadlet.directory, config.state.directory], nextOf(company));
  const paths = [...new Set(needs.paths.map(({ what }) => what))];
  const minimum = isNew ? config.state.minFree : 0;
  const [bound, secrets, missing, storage, own] = await Promise.all([
    needs.ports.length === 0 ? undefined : answers.listening(),
    needs.secrets.length === 0 ? undefined : answers.secrets(),
    paths.length === 0 ? undefined : attempt(() => host.missing(paths, signal), signal),
    minimum === 0 ? undefined : answers.storage(),
    minimum === 0 ? undefined : answers.freeSpace(),
  ]);
  const places = [storage, own === undefined ? undefined : { directory: config.state.directory, free: own }];
  const full = tooFull(
    places.filter((place) => place !== undefined),
    minimum,
  );
  if (full !== undefined) return full;
  const noRoom = await roomForBackups(plan, context, signal);
  if (noRoom !== undefined) return noRoom;
  const live = new Map(liveBundles(context));
  const given = releasedIn(company);
  for (const { id, next } of company)
    if (next === undefined) live.delete(id);
    else live.set(id, next);
  return lacking(needs, {
    bound,
    released: [...releasedBy(departure, liveBundles(context)), ...given],
    others: [...live].flatMap(([application, other]) =>
      application === plan.application
        ? []
        : other.units.map(({ service }) => ({ application, service, ports: portsIn(other, (one) => one === service) })),
    ),
    secrets: secrets === undefined ? undefined : new Set(secrets.map(({ name }) => name)),
    missing: missing === undefined ? undefined : new Set(missing),
  });
}

async function attempt<Value>(ask: () => Promise<Value>, signal: AbortSignal): Promise<Value | undefined> {
  try {
    return await ask();
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

function nextOf(company: readonly Turn[]): readonly Bundle[] {
  return company.flatMap(({ next }) => next ?? []);
}

/** Ports that others will not have any more by then. */
function releasedIn(company: readonly Turn[]): readonly Endpoint[] {
  const kept = nextOf(company).flatMap((next) => portsIn(next, () => true));
  const had = company.flatMap(({ live }) => (live === undefined ? [] : portsIn(live, () => true)));
  return had.filter((port) => !kept.some((other) => isTaken(port, other)));
}

/** What runs now of the services that the plan stops or restarts holds its own ports until then: those of the last good, where it runs that. */
function releasedBy({ plan, bundle, observation }: Departure, live: ReadonlyMap<ApplicationId, Bundle>): readonly Endpoint[] {
  const touched = new Set(
    plan.steps.flatMap((step) => (step.kind === "stop" || step.kind === "start" || step.kind === "restart" ? [step.service] : [])),
  );
  const isHeld = (service: ServiceName): boolean => {
    const active = observation.services.get(service)?.active;
    return touched.has(service) && active !== undefined && active !== "inactive" && active !== "failed";
  };
  const before = live.get(plan.application);
  // A version that failed and could not be taken back may run; what it publishes is then for the start to find out.
  const isUnknown = (service: ServiceName): boolean => {
    const runs = observation.observed.services.get(service)?.startedFrom?.digest;
    return isHeld(service) && before?.units.some((unit) => unit.service === service && unit.digest === runs) !== true;
  };
  return [...(before === undefined ? [] : portsIn(before, isHeld)), ...portsIn(bundle, isUnknown)];
}

/** The verdict on a unit's health: from one look after another to healthy, starting or unhealthy. */

import type { Unit } from "./bundle.ts";
import { roleOf } from "./kinds.ts";
import type { ServiceName } from "./names.ts";
import type { Check, Health, Sample, UnitHealth } from "./health.ts";

/** One look at a unit. */
export interface Look {
  readonly at: Date;
  readonly active: string;
  readonly sub: string;
  /** systemd's `Result=` and main process's exit status of the last run. */
  readonly result: string;
  readonly exitStatus: number;
  readonly restarts: number;
  readonly activeSince: Date | undefined;
  /** Of the container that the service runs; undefined where there is none. */
  readonly container:
    | {
        readonly name: string;
        readonly state: string;
        readonly exitCode: number;
        readonly health: "healthy" | "unhealthy" | "starting" | undefined;
      }
    | undefined;
  /** Of the unit's probe; undefined where it has none, or was not asked because it is not up. */
  readonly sample: Sample | undefined;
  /** Podman was asked for the unit's network or volume, and has none of that name. */
  readonly lacksObject?: boolean;
  /** In what it uses more than it may. */
  readonly excess?: string | undefined;
}

/** What a row of looks has come to. */
export interface Track {
  readonly since: Date;
  readonly passes: number;
  readonly failures: number;
  readonly asked: number;
  readonly failed: number;
  /** Restarts by systemd before the first look, and in the last. */
  readonly restartsBefore: number | undefined;
  readonly crashes: number;
  /** How the last run ended that did not end well. */
  readonly ending: string | undefined;
  /** When it was last seen healthy: passing, and up for its time. */
  readonly healthyAt: Date | undefined;
  readonly last: Look | undefined;
  readonly message: string | undefined;
}

export interface Verdict extends UnitHealth {
  /** Waiting longer can't change it. */
  readonly final: boolean;
  /** The root of it, where it is `waiting`. */
  readonly waitsFor?: Verdict;
}

export const newTrack = (since: Date): Track => ({
  since,
  passes: 0,
  failures: 0,
  asked: 0,
  failed: 0,
  restartsBefore: undefined,
  crashes: 0,
  ending: undefined,
  healthyAt: undefined,
  last: undefined,
  message: undefined,
});

/** Adds a look to a track. A probe that could not be asked counts for nothing; failures in the start period neither. */
export function follow(track: Track, unit: Unit, check: Check, look: Look): Track {
  const before = track.restartsBefore ?? look.restarts;
  const crashes = Math.max(track.crashes, look.restarts - before);
  const found = judge(unit, check, look);
  const judged: Judged = found.result === "pass" && look.excess !== undefined ? { result: "fail", message: look.excess } : found;
  const ending = look.result === "success" ? track.ending : exitOf(look);
  const next = { ...track, restartsBefore: before, crashes, ending, last: look };
  const early = look.at.getTime() - track.since.getTime() < check.patience.startPeriod;
  switch (judged.result) {
    case "pass": {
      const passes = track.passes + 1;
      const healthy = passes >= check.patience.successThreshold && isSettled(unit, check, look);
      const healthyAt = healthy ? look.at : track.healthyAt;
      return { ...next, passes, failures: 0, asked: track.asked + 1, healthyAt, message: undefined };
    }
    case "fail": {
      const failures = early ? track.failures : track.failures + 1;
      return { ...next, passes: 0, failures, asked: track.asked + 1, failed: track.failed + 1, message: judged.message };
    }
    case "wait":
      return { ...next, passes: 0, message: judged.message };
    case "unasked":
      return { ...next, message: judged.message };
  }
}

/**
 * A look before its time, since something has changed: it shows at once what has come up or died, but counts for no more than that. Of a
 * service that systemd restarts, three looks in a row may see as many states of the one restart.
 */
export function glimpsed(before: Track, followed: Track): Track {
  const passes = Math.min(followed.passes, Math.max(before.passes, 1));
  const failures = Math.min(followed.failures, before.failures);
  return { ...followed, passes, failures };
}

/**
 * What a track says now. Not healthy by the deadline is unhealthy; dead, or crashing again and again, is so before. One that was healthy
 * and is not at the last look is starting again: it has its failures in a row, and its deadline from then.
 */
export function verdict(track: Track, unit: Unit, check: Check, now: Date): Verdict {
  const { patience } = check;
  const waited = now.getTime() - (track.healthyAt ?? track.since).getTime();
  const say = (health: Health, final: boolean, message: string | undefined): Verdict => ({
    service: unit.service,
    checkedBy: checkedBy(unit, check),
    health,
    final,
    message,
  });
  const { last } = track;
  if (last === undefined)
    return waited < patience.deadline ? say("starting", false, "not looked at yet") : say("unhealthy", true, "could not be looked at");
  const passing = track.passes >= patience.successThreshold;
  if (passing && isSettled(unit, check, last)) return say("healthy", false, undefined);
  const dead = deathOf(unit, last);
  if (dead !== undefined) return say("unhealthy", true, dead);
  if (track.crashes >= patience.failureThreshold)
    return say("unhealthy", true, `crashed ${track.crashes} times${track.ending === undefined ? "" : `: ${track.ending}`}`);
  if (track.healthyAt !== undefined && track.failures >= patience.failureThreshold) return say("unhealthy", true, counted(track));
  const young = `up for ${seconds(upFor(last))}, ${seconds(patience.minHealthyTime)} are wanted`;
  if (waited >= patience.deadline)
    return say("unhealthy", true, `not healthy after ${seconds(waited)}: ${passing ? young : counted(track)}`);
  return say("starting", false, passing ? young : track.message);
}

/** Whether a unit that passes has done so for long enough to be believed. */
function isSettled(unit: Unit, { patience }: Check, look: Look): boolean {
  return !isWorkload(unit) || unit.oneshot || upFor(look) >= patience.minHealthyTime;
}

function upFor({ at, activeSince }: Look): number {
  return activeSince === undefined ? Infinity : at.getTime() - activeSince.getTime();
}

/** Of all others systemd's own state is all there is to know, but for networks and volumes: a timer waits, a socket listens. */
function isWorkload(unit: Unit): boolean {
  return roleOf(unit.kind) === "workload";
}

/** What vouches for a unit. */
export function checkedBy(unit: Unit, check: Check): UnitHealth["checkedBy"] {
  if (!isWorkload(unit)) return "unit";
  return check.by === "probe" ? check.probe.kind : check.by;
}

/** Whether the unit's probe can be asked at all: a service that is not up would only give a failure that says nothing new. */
export function isUp(look: Pick<Look, "active">): boolean {
  return look.active === "active" || look.active === "reloading";
}

/** A service of Kubernetes YAML has several containers: one that ended badly says most, then one that is not healthy, then the one that started last. */
export function mostTelling<Container extends ContainerLook>(
  containers: readonly Container[],
): ReadonlyMap<Container["service"], Container> {
  const order = [undefined, "healthy", "starting", "unhealthy"];
  const rank = (one: Container) => (endedBadly(one) ? Infinity : order.indexOf(one.health) * 1e15 + (one.startedAt?.getTime() ?? 0));
  return new Map([...containers].sort((a, b) => (rank(a) < rank(b) ? -1 : 1)).map((container) => [container.service, container]));
}

interface ContainerLook {
  readonly service: ServiceName;
  readonly state: string;
  readonly exitCode: number;
  readonly health: "healthy" | "unhealthy" | "starting" | undefined;
  readonly startedAt: Date | undefined;
}

function endedBadly({ state, exitCode }: { readonly state: string; readonly exitCode: number }): boolean {
  return state !== "running" && exitCode !== 0;
}

type Judged = { readonly result: "pass" } | { readonly result: "fail" | "wait" | "unasked"; readonly message: string };

function judge(unit: Unit, check: Check, look: Look): Judged {
  // Its unit stays active when somebody removes the network or volume (Podman 5.4).
  if (look.lacksObject === true && check.by !== "unit")
    return { result: "fail", message: `Podman has no ${unit.kind} ${unit.object}, though ${unit.service} is ${look.active}` };
  if (unit.oneshot && look.result === "success" && (look.active === "inactive" || look.sub === "exited")) return { result: "pass" };
  // With Notify=healthy the unit stays `activating` until Podman's health check passes; that is waiting, with its own deadline.
  if (!isUp(look)) {
    const message = `${unit.service} is ${look.active}${isWorkload(unit) ? ` (${look.sub})` : ""}`;
    return { result: look.active === "activating" && look.sub !== "auto-restart" ? "wait" : "fail", message };
  }
  const { container } = look;
  // Of several containers that Kubernetes YAML makes, one may have done its work and ended.
  if (unit.kind === "kube" && container !== undefined && endedBadly(container))
    return { result: "fail", message: `its container ${container.name} has ended with ${container.exitCode}` };
  if (unit.kind === "kube" && container === undefined) return { result: "fail", message: "none of its containers is there" };
  if (unit.kind === "kube" && check.by === "process" && container?.health !== undefined && container.health !== "healthy") {
    const judged = judgePodman(container.health);
    return judged.result === "pass" ? judged : { ...judged, message: `${judged.message} (its container ${container.name})` };
  }
  if (unit.kind === "container" && check.by !== "unit" && container?.state !== "running")
    return { result: "fail", message: `its container is ${container?.state ?? "not there"}` };
  switch (check.by) {
    case "process":
    case "unit":
      return { result: "pass" };
    case "podman":
      return judgePodman(container?.health);
    case "probe":
      return look.sample ?? { result: "unasked", message: "not probed yet" };
  }
}

function judgePodman(health: "healthy" | "unhealthy" | "starting" | undefined): Judged {
  switch (health) {
    case "healthy":
      return { result: "pass" };
    case "unhealthy":
      return { result: "fail", message: "Podman's health check fails: see podman inspect" };
    case "starting":
    case undefined:
      return { result: "wait", message: "Podman's health check has not passed yet" };
  }
}

/** A unit that systemd has given up on stays so. */
function deathOf(unit: Unit, look: Look): string | undefined {
  if (unit.oneshot && look.result === "success") return undefined;
  if (look.active === "failed") return `has failed: ${exitOf(look)}`;
  if (isWorkload(unit) && look.active === "inactive") return `has stopped: ${exitOf(look)}`;
  return undefined;
}

function exitOf(look: Look): string {
  return look.result === "success" ? `exit ${look.exitStatus}` : `${look.result}, exit ${look.exitStatus}`;
}

function counted(track: Track): string {
  return `${track.message ?? "not up"}${track.asked > 1 ? ` (${track.failed} of ${track.asked} probes)` : ""}`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}

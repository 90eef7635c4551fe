/** Which services a plan starts and restarts, and why: each once, and as few as a change leaves. */

import { withLooks, type Move as PacedMove, type Pace } from "./batches.ts";
import type { Input, Unit } from "./bundle.ts";
import { roleOf } from "./kinds.ts";
import type { ApplicationId, ServiceName } from "./names.ts";
import { differsByMounted, type OnChange } from "./on-change.ts";
import { dependsOn, startOrder } from "./order.ts";
import type { Recreation } from "./objects.ts";
import { freshStart } from "./observe.ts";
import { phaseOrder, templateOf } from "./phases.ts";
import type { Observed, ObservedService, Step } from "./plan.ts";

/** What shall run, and what a changed mounted file means for it. */
export interface Wanted {
  readonly units: readonly Unit[];
  readonly onChange: (unit: Unit) => OnChange;
  readonly pace: Pace;
  /** All is as it was before: later phases first, and nobody is waited for. */
  readonly isWayBack: boolean;
}

/** In the order of phases and dependencies; dependents of other applications at the end, or before the first look after what stopped them. */
export function startSteps(wanted: Wanted, recreated: readonly Recreation[], observed: Observed): readonly Step[] {
  const { units, onChange, pace, isWayBack } = wanted;
  const ordered = startOrder(units);
  const moves = new Map(
    ordered.map((unit): [Unit, Move] => [unit, softened(unit, moveOf(unit, units, observed), onChange(unit), observed)]),
  );
  for (const { object, users, because } of recreated) {
    moves.set(object, { verb: "start", because });
    for (const unit of units)
      if (users.includes(unit.service) && moves.get(unit)?.verb !== "restart")
        moves.set(unit, { verb: "restart", because: `${object.name} is made anew` });
  }
  hardenUsers(ordered, moves);
  for (const pod of ordered) if (pod.kind === "pod") movePod(pod, units, moves, observed);
  const restarted = ordered.filter((unit) => moves.get(unit)?.verb === "restart");
  const stopped = new Set(recreated.flatMap(({ users }) => users));
  const interrupts = (unit: Unit) => {
    const { verb, reaction } = moves.get(unit) ?? still;
    if (roleOf(unit.kind) !== "workload" || stopped.has(unit.service)) return false;
    return verb === "restart" || (verb === "refresh" && reaction?.how !== "none");
  };
  const stepsOf = (unit: Unit): readonly Step[] => {
    const { verb, because, reaction } = moves.get(unit) ?? still;
    if (verb === "none") return [];
    if (verb === "refresh") return [refreshStep(unit, because, reaction)];
    const restoration = recreated.find(({ object }) => object === unit)?.restoration ?? [];
    if (verb === "start") return [{ kind: "start", service: unit.service, unit, because }, ...restoration];
    const alone = roleOf(unit.kind) === "supply";
    const carries = alone ? [] : restarted.filter((other) => other !== unit && dependsOn(other, unit)).map(({ service }) => service);
    return [{ kind: "restart", service: unit.service, unit, alone, carries, because }];
  };
  // Of a template's instances those first that are down: what serves goes when they are back.
  const name = (unit: Unit) => `${templateOf(unit) ?? unit.name} ${interrupts(unit) ? "1" : "0"} ${unit.name}`;
  const turns = phaseOrder(units, { phases: pace.phases, from: isWayBack ? "last" : "first" }, name);
  const paced = turns.map((unit): PacedMove => ({ unit, steps: stepsOf(unit), interrupts: interrupts(unit) }));
  const own = isWayBack ? paced.flatMap(({ steps }) => steps) : withLooks(paced, pace);
  const others = new Map<ServiceName, { readonly application: ApplicationId; readonly unit: Unit; readonly because: string }>();
  for (const one of observed.dependents)
    if (one.isDown === true) others.set(one.unit.service, { ...one, because: "it was stopped for this rollout, which was interrupted" });
  for (const { object, dependents } of recreated)
    for (const one of dependents) others.set(one.unit.service, { ...one, because: `${object.name} is made anew` });
  const guests = [...others.values()].map(({ application, unit, because }): Step => ({
    kind: "start",
    service: unit.service,
    unit,
    of: application,
    because,
  }));
  const made = own.findLastIndex((step) => step.kind === "start" && recreated.some(({ object }) => object.service === step.service));
  const look = own.findIndex(({ kind }, index) => index > made && kind === "verify");
  const place = look === -1 ? own.length : look;
  return [...own.slice(0, place), ...guests, ...own.slice(place)];
}

interface Move {
  readonly verb: "none" | "start" | "restart" | "refresh";
  readonly because: string;
  readonly reaction?: OnChange;
}

const still: Move = { verb: "none", because: "" };

function moveOf(unit: Unit, units: readonly Unit[], observed: Observed): Move {
  const service = observed.services.get(unit.service);
  // What nobody starts by itself may run all the same, for a timer or because it is needed: then it follows a change.
  if (!unit.starts)
    return isUp(service) && service !== undefined && roleOf(unit.kind) === "workload" ? restartIfChanged(service, unit) : still;
  // One that systemd has forgotten may still run, of a file that somebody deleted: to start it would change nothing.
  if (service === undefined || isNew(service)) return { verb: "start", because: "new" };
  switch (roleOf(unit.kind)) {
    case "object":
    case "passive":
      return isUp(service) ? still : { verb: "start", because: `${unit.service} is not active` };
    case "workload":
    case "group":
    case "supply":
    case "trigger":
      return moveOfRunning(unit, service, units);
  }
}

function moveOfRunning(unit: Unit, service: ObservedService, units: readonly Unit[]): Move {
  const changed = service.startedFrom?.digest !== unit.digest;
  switch (service.activity) {
    case "running":
    case "changing": {
      const move = restartIfChanged(service, unit);
      return service.unwell === undefined || move.verb !== "none"
        ? move
        : { verb: "restart", because: `it is unhealthy: ${service.unwell}` };
    }
    case "stopped":
    case "failed": {
      if (unit.oneshot && !changed && service.succeeded) return still;
      const because = changed ? reasonsOf(service, unit).join(", ") : service.activity === "failed" ? "it has failed" : needed(unit, units);
      return { verb: "start", because };
    }
  }
}

/**
 * A pod's members are bound to it: they follow its restart. A member restarts alone while another one stays up; the last one to stop
 * would take the pod along, and then fail for want of it (DESIGN: restart the pod then).
 */
function movePod(pod: Unit, units: readonly Unit[], moves: Map<Unit, Move>, observed: Observed): void {
  const members = units.filter((unit) => unit.pod === pod.name && isUp(observed.services.get(unit.service)));
  // One that joins runs elsewhere still: to stop it takes nothing along.
  const inside = members.filter(({ service }) => observed.known.some((old) => old.service === service && old.pod === pod.name));
  const restarting = inside.filter((unit) => moves.get(unit)?.verb === "restart");
  const [first] = restarting;
  if (moves.get(pod)?.verb === "none" && first !== undefined && restarting.length === inside.length) {
    const what = inside.length === 1 ? `${first.name}, its only running member, restarts` : "all its running members restart";
    moves.set(pod, { verb: "restart", because: what });
  }
  if (moves.get(pod)?.verb !== "restart") return;
  for (const member of members)
    if (moves.get(member)?.verb !== "restart") moves.set(member, { verb: "restart", because: `${pod.name} restarts` });
}

/** A restart for nothing but mounted files is less than that where the unit or its application says so. */
function softened(unit: Unit, move: Move, reaction: OnChange, observed: Observed): Move {
  const service = observed.services.get(unit.service);
  if (move.verb !== "restart" || reaction.how === "restart" || service?.activity !== "running" || service.startedFrom === undefined)
    return move;
  return differsByMounted(service.startedFrom.inputs, unit.inputs) ? { verb: "refresh", because: move.because, reaction } : move;
}

/** What it needs takes it along when it restarts, and then there may be nobody to take a signal. */
function hardenUsers(ordered: readonly Unit[], moves: Map<Unit, Move>): void {
  for (const unit of ordered) {
    const move = moves.get(unit);
    const needed = ordered.find((other) => other !== unit && moves.get(other)?.verb === "restart" && dependsOn(unit, other));
    if (move?.verb === "refresh" && needed !== undefined)
      moves.set(unit, { verb: "restart", because: `${move.because}, and ${needed.service}, which it needs, restarts` });
  }
}

function refreshStep(unit: Unit, because: string, reaction: OnChange | undefined): Step {
  const { service } = unit;
  switch (reaction?.how) {
    case "reload":
      return { kind: "reload-service", service, unit, because };
    case "signal":
      return { kind: "signal", service, unit, signal: reaction.signal, because: `${because}: SIG${reaction.signal}` };
    case "none":
    case "restart":
    case undefined:
      return { kind: "keep", service, unit, because: `${because}: it reads that by itself` };
  }
}

function restartIfChanged(service: ObservedService, unit: Unit): Move {
  return service.startedFrom?.digest === unit.digest ? still : { verb: "restart", because: reasonsOf(service, unit).join(", ") };
}

export function reasonsOf({ startedFrom }: ObservedService, unit: Unit): readonly string[] {
  return startedFrom === undefined || startedFrom.digest === freshStart.digest
    ? ["nobody can say what it was started from"]
    : differences(startedFrom.inputs, unit.inputs);
}

function isNew(service: ObservedService): boolean {
  return service.activity === "stopped" && (!service.loaded || service.startedFrom === undefined);
}

function isUp(service: ObservedService | undefined): boolean {
  return service?.activity === "running" || service?.activity === "changing";
}

function needed(unit: Unit, units: readonly Unit[]): string {
  const user = units.find((other) => dependsOn(other, unit));
  return user === undefined ? "it is not running" : `it is not running, and ${user.service} needs it`;
}

/** What differs between what a service was started from and what it would be started from, in words. */
export function differences(before: readonly Input[], after: readonly Input[]): readonly string[] {
  const key = (input: Input) => `${input.within ?? ""}\0${input.label}`;
  const old = new Map(before.map((input) => [key(input), input]));
  const now = new Map(after.map((input) => [key(input), input]));
  const say = (input: Input, verb: string) =>
    (verb === "removed" ? undefined : input.says) ??
    (input.within === undefined ? `${input.label} ${verb}` : `${input.label} ${verb} in ${input.within}`);
  return [
    ...after.filter((input) => old.has(key(input)) && old.get(key(input))?.digest !== input.digest).map((input) => say(input, "changed")),
    ...after.filter((input) => !old.has(key(input))).map((input) => say(input, "added")),
    ...before.filter((input) => !now.has(key(input))).map((input) => say(input, "removed")),
  ];
}

/** The planner: from what is wanted and what is seen to the steps between, each with its reason. Pure; the only one there is. */

import type { Bundle, BundleFile, Input, Problem, Unit } from "./bundle.ts";
import { isDropIn } from "./layout.ts";
import type { ApplicationId, Digest, RelativePath, ServiceName } from "./names.ts";
import { dependsOn, startOrder } from "./order.ts";
import { quadletSuffix } from "./quadlet.ts";

/** What an application shall be: a bundle, or not there at all. */
export interface Goal {
  readonly application: ApplicationId;
  readonly bundle: Bundle | undefined;
}

/** What the host shows of one application. */
export interface Observed {
  /** Every file in the application's directory. */
  readonly files: ReadonlyMap<RelativePath, { readonly digest: Digest }>;
  /** What pgo placed there, or was about to: nothing else is ever removed or overwritten. */
  readonly inventory: ReadonlySet<RelativePath>;
  /** Units of earlier bundles that may still be on the host. */
  readonly known: readonly Unit[];
  /** Of the services of the goal's and the known units. */
  readonly services: ReadonlyMap<ServiceName, ObservedService>;
  /** A unit file was changed and systemd has not read it since. */
  readonly reloadPending: boolean;
}

export interface ObservedService {
  readonly loaded: boolean;
  /** It comes of this application's files; false where the name has passed to somebody else. */
  readonly ours: boolean;
  readonly activity: "running" | "changing" | "failed" | "stopped";
  /** The last run ended well: all that a oneshot has to do. */
  readonly succeeded: boolean;
  /** What it runs, or ran last; undefined where nobody can say. */
  readonly startedFrom: StartedFrom | undefined;
}

export interface StartedFrom {
  readonly digest: Digest;
  readonly inputs: readonly Input[];
}

export type Step = { readonly because: string } & (
  | { readonly kind: "stop"; readonly service: ServiceName }
  | { readonly kind: "remove"; readonly path: RelativePath }
  | { readonly kind: "write"; readonly file: BundleFile; readonly replaces: Digest | undefined }
  | { readonly kind: "reload" }
  | { readonly kind: "reset-failed"; readonly service: ServiceName }
  | { readonly kind: "remove-network"; readonly network: string }
  | { readonly kind: "start"; readonly service: ServiceName; readonly unit: Unit }
  | { readonly kind: "restart"; readonly service: ServiceName; readonly unit: Unit }
);

export interface Plan {
  readonly application: ApplicationId;
  readonly steps: readonly Step[];
  /** Files and units of somebody else where ours would go. With any, there are no steps. */
  readonly conflicts: readonly Problem[];
}

/**
 * The steps that make the host show the goal. No steps: it does.
 * Safe to run again after a crash at any step, with a new observation.
 */
export function plan(goal: Goal, observed: Observed): Plan {
  const files = goal.bundle?.files ?? [];
  const units = goal.bundle?.units ?? [];
  const conflicts = conflictsOf(files, units, observed);
  if (conflicts.length > 0) return { application: goal.application, steps: [], conflicts };

  const gone = observed.known.filter((unit) => !units.some((kept) => kept.service === unit.service));
  // To stop a network's unit stops all whose text, as systemd has read it, names it: so that comes when that is read anew and its users run on.
  const [containers, objects] = [gone.filter((unit) => unit.kind === "container"), gone.filter((unit) => unit.kind !== "container")];
  const removals = [...observed.inventory]
    .filter((path) => observed.files.has(path) && !files.some((file) => file.path === path))
    .sort()
    .map((path): Step => ({ kind: "remove", path, because: goal.bundle === undefined ? "the application is gone" : "not in the bundle" }));
  const writes = files
    .filter(({ path, digest }) => observed.files.get(path)?.digest !== digest)
    .map((file): Step => {
      const present = observed.files.get(file.path);
      return { kind: "write", file, replaces: present?.digest, because: present === undefined ? "not on the host" : "differs on the host" };
    });
  return {
    application: goal.application,
    conflicts: [],
    steps: [
      ...stops(containers, observed),
      ...removals,
      ...writes,
      ...reload([...removals, ...writes], { units, gone }, observed),
      ...cleanUp(containers, observed),
      ...startOrder(units).flatMap((unit) => startSteps(unit, units, observed)),
      ...stops(objects, observed),
      ...cleanUp(objects, observed),
    ],
  };
}

/** What is somebody else's: a file where ours would go, or a unit that the host takes instead of ours. */
function conflictsOf(files: readonly BundleFile[], units: readonly Unit[], observed: Observed): readonly Problem[] {
  const occupied = files.filter(({ path, digest }) => {
    const present = observed.files.get(path);
    return present !== undefined && present.digest !== digest && !observed.inventory.has(path);
  });
  const taken = units.filter(({ service }) => {
    const known = observed.services.get(service);
    return known?.loaded === true && !known.ours;
  });
  return [
    ...occupied.map(({ path }) => ({
      file: path,
      line: undefined,
      message: "a file that pgo did not place is there on the host: move it away, then run ctl sync",
    })),
    ...taken.map(({ file, service }) => ({
      file,
      line: undefined,
      message: `${service} comes of a file that pgo did not place, see systemctl cat ${service}: remove it, run systemctl daemon-reload, then ctl sync`,
    })),
  ];
}

/** Users before what they use. */
function stops(gone: readonly Unit[], observed: Observed): readonly Step[] {
  return [...startOrder(gone)].reverse().flatMap((unit): readonly Step[] => {
    const service = observed.services.get(unit.service);
    if (service?.ours !== true || service.activity === "stopped" || service.activity === "failed") return [];
    return [{ kind: "stop", service: unit.service, because: `${unit.name} is gone` }];
  });
}

function reload(
  changes: readonly Step[],
  { units, gone }: { readonly units: readonly Unit[]; readonly gone: readonly Unit[] },
  observed: Observed,
): readonly Step[] {
  const changed = changes
    .map((step) => (step.kind === "write" ? step.file.path : step.kind === "remove" ? step.path : ""))
    .filter(isUnitText);
  const [first] = changed;
  if (first !== undefined)
    return [{ kind: "reload", because: changed.length === 1 ? `${first} changed` : `${changed.length} unit files changed` }];
  if (observed.reloadPending) return [{ kind: "reload", because: "systemd has not read the last change yet" }];
  const unknown = units.find((unit) => observed.services.get(unit.service)?.loaded !== true);
  if (unknown !== undefined) return [{ kind: "reload", because: `systemd does not know ${unknown.service}` }];
  const left = gone.find(({ file, service }) => {
    const state = observed.services.get(service);
    return state?.loaded === true && state.ours && !observed.files.has(file);
  });
  return left === undefined ? [] : [{ kind: "reload", because: `systemd still knows ${left.service}` }];
}

/** A unit that failed, now or when stopped (137 after a SIGTERM that it ignored), stays listed as failed for ever. */
function cleanUp(gone: readonly Unit[], observed: Observed): readonly Step[] {
  return [...startOrder(gone)].reverse().flatMap((unit): readonly Step[] => {
    const service = observed.services.get(unit.service);
    // The inventory is narrowed only after success, so these are repeated until a rollout got past them.
    if (service?.ours !== true || (service.activity !== "failed" && !observed.inventory.has(unit.file))) return [];
    const because = `${unit.name} is gone`;
    const reset: Step = { kind: "reset-failed", service: unit.service, because };
    // A network holds nothing that could be lost, and a later one of its name must not find the old settings. A volume stays.
    return unit.kind === "network" ? [reset, { kind: "remove-network", network: unit.object, because }] : [reset];
  });
}

function startSteps(unit: Unit, units: readonly Unit[], observed: Observed): readonly Step[] {
  const service = observed.services.get(unit.service);
  const start = (because: string): readonly Step[] => [{ kind: "start", service: unit.service, unit, because }];
  // One that systemd has forgotten may still run, of a file that somebody deleted: to start it would change nothing.
  if (service === undefined || (service.activity === "stopped" && (!service.loaded || service.startedFrom === undefined)))
    return start("new");
  if (unit.kind !== "container") return service.activity === "running" ? [] : start(`${unit.service} is not active`);

  const reasons =
    service.startedFrom === undefined ? ["nobody can say what it was started from"] : differences(service.startedFrom.inputs, unit.inputs);
  const changed = service.startedFrom?.digest !== unit.digest;
  switch (service.activity) {
    case "running":
    case "changing":
      return changed ? [{ kind: "restart", service: unit.service, unit, because: reasons.join(", ") }] : [];
    case "stopped":
    case "failed":
      if (unit.oneshot && !changed && service.succeeded) return [];
      return start(changed ? reasons.join(", ") : service.activity === "failed" ? "it has failed" : needed(unit, units));
  }
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
    input.within === undefined ? `${input.label} ${verb}` : `${input.label} ${verb} in ${input.within}`;
  return [
    ...after.filter((input) => old.has(key(input)) && old.get(key(input))?.digest !== input.digest).map((input) => say(input, "changed")),
    ...after.filter((input) => !old.has(key(input))).map((input) => say(input, "added")),
    ...before.filter((input) => !now.has(key(input))).map((input) => say(input, "removed")),
  ];
}

/** Whether systemd or the generator reads this file at daemon-reload. */
function isUnitText(path: string): boolean {
  return path !== "" && (quadletSuffix(path) !== undefined || isDropIn(path));
}

/** The images that the plan's starts need, each once. */
export function imagesOf(steps: readonly Step[]): readonly { readonly image: string; readonly authFile: string | undefined }[] {
  const found = new Map<string, { image: string; authFile: string | undefined }>();
  for (const step of steps)
    if ((step.kind === "start" || step.kind === "restart") && step.unit.image !== undefined && !found.has(step.unit.image))
      found.set(step.unit.image, { image: step.unit.image, authFile: step.unit.authFile });
  return [...found.values()];
}

/** What a step acts on, for history and for people. */
export function targetOf(step: Step): string {
  switch (step.kind) {
    case "stop":
    case "start":
    case "restart":
    case "reset-failed":
      return step.service;
    case "remove":
      return step.path;
    case "write":
      return step.file.path;
    case "reload":
      return "systemd";
    case "remove-network":
      return step.network;
  }
}

/** What a repair found, by the steps it took: `conf/a.txt (not on the host), web.service (it has failed) and 2 more`. */
export function found(steps: readonly { readonly kind: string; readonly target: string; readonly because: string }[]): string {
  const telling = steps.filter(({ kind }) => kind !== "reload" && kind !== "reset-failed");
  const told = [...new Set((telling.length > 0 ? telling : steps).map(({ target, because }) => `${target} (${because})`))];
  return `${told.slice(0, 3).join(", ")}${told.length > 3 ? ` and ${told.length - 3} more` : ""}`;
}

/** A plan in lines: `+` new, `~` changed, `-` removed files, then what happens to services. */
export function explain(steps: readonly Step[]): readonly string[] {
  return steps.map((step) => {
    switch (step.kind) {
      case "write":
        return `${step.replaces === undefined ? "+" : "~"} ${step.file.path}`;
      case "remove":
        return `- ${step.path}`;
      case "reload":
        return `  daemon-reload: ${step.because}`;
      case "stop":
      case "start":
      case "restart":
      case "reset-failed":
      case "remove-network":
        return `  ${step.kind} ${targetOf(step)}: ${step.because}`;
    }
  });
}

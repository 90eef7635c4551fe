/** The planner: from what is wanted and what is seen to the steps between, each with its reason. Pure; the only one there is. */

import {
  adoptSteps,
  disableSteps,
  giveBackSteps,
  putOver,
  reviveSteps,
  sidesOf,
  withOrigin,
  type SeenAdoption,
  type Sides,
} from "./adopt.ts";
import { atOnceOf } from "./batches.ts";
import type { Bundle, BundleFile, Input, Problem, Unit } from "./bundle.ts";
import { roleOf } from "./kinds.ts";
import { isUnitText } from "./layout.ts";
import type { ApplicationId, Digest, RelativePath, ServiceName } from "./names.ts";
import { copySteps, pruneSteps, recreations, recreationSteps, type SeenObjects } from "./objects.ts";
import { onChangeOf, writtenInPlace } from "./on-change.ts";
import { startOrder } from "./order.ts";
import type { UnitPaces } from "./pace-config.ts";
import { phaseOrder, phasesOf } from "./phases.ts";
import { placeOf, shownPath } from "./placing.ts";
import { startSteps, type Wanted } from "./starts.ts";

/** What an application shall be: a bundle, or not there at all. */
export interface Goal {
  readonly application: ApplicationId;
  readonly bundle: Bundle | undefined;
  /** Services that go to another application as they are: they run on. */
  readonly passedOn?: ReadonlySet<ServiceName>;
  /** It undoes a rollout: later phases first, and looked at when all of it is back. */
  readonly isWayBack?: boolean;
}

/** What the host shows of one application. */
export interface Observed {
  /** Every file in the application's directories, and what lies where its plain units would go. */
  readonly files: ReadonlyMap<RelativePath, { readonly digest: Digest }>;
  /** What pgo placed there, or was about to: nothing else is ever removed or overwritten. */
  readonly inventory: ReadonlySet<RelativePath>;
  /** Units of earlier bundles that may still be on the host. */
  readonly known: readonly Unit[];
  /** Of the services of the goal's and the known units. */
  readonly services: ReadonlyMap<ServiceName, ObservedService>;
  /** Plain units that systemd has enabled. */
  readonly enabled: ReadonlySet<ServiceName>;
  /** Units of other applications that use one of these and run, or are down only because an interrupted rollout has stopped them. */
  readonly dependents: readonly Dependent[];
  /** A unit file was changed and systemd has not read it since. */
  readonly reloadPending: boolean;
  /** Of files that a person placed: to be taken over, or on the way. */
  readonly adoptions?: readonly SeenAdoption[];
  /** Undefined: Podman was not asked, and its networks are pruned as ever. */
  readonly objects?: SeenObjects;
  /** What the host's pgo.toml says of units' phases and batches. */
  readonly paces?: UnitPaces | undefined;
  /** A rollout of it is under way, or ended badly: what that has started is not known to be well. */
  readonly isResumed?: boolean;
}

export interface Dependent {
  readonly application: ApplicationId;
  readonly unit: Unit;
  /** An interrupted rollout has stopped it. */
  readonly isDown?: boolean;
}

export interface ObservedService {
  readonly loaded: boolean;
  /** It comes of this application's files; false where the name has passed to somebody else. */
  readonly ours: boolean;
  readonly activity: "running" | "changing" | "failed" | "stopped";
  /** The last run ended well: all that a oneshot has to do. */
  readonly succeeded: boolean;
  /** pgo has started it before. */
  readonly isRecorded: boolean;
  /** What it runs, or ran last; undefined where nobody can say. */
  readonly startedFrom: StartedFrom | undefined;
  /** It runs, and is to be restarted because it is not well: why. */
  readonly unwell?: string | undefined;
}

export interface StartedFrom {
  readonly digest: Digest;
  readonly inputs: readonly Input[];
}

export type Step = { readonly because: string } & (
  | { readonly kind: "stop"; readonly service: ServiceName }
  | { readonly kind: "disable"; readonly service: ServiceName }
  | { readonly kind: "enable"; readonly service: ServiceName }
  | { readonly kind: "remove"; readonly path: RelativePath }
  | {
      readonly kind: "write";
      readonly file: BundleFile;
      readonly replaces: Digest | undefined;
      /** Into the file that is there: somebody has it mounted alone, and runs on. */
      readonly inPlace: boolean;
    }
  /** Moves a file that a person placed to the backup, or copies it where one of ours is written over it. */
  | { readonly kind: "adopt"; readonly service: ServiceName; readonly path: string }
  /** Brings such a file back from the backup. */
  | { readonly kind: "give-back"; readonly service: ServiceName; readonly path: string }
  /** Lets a service run again that a person set up. */
  | { readonly kind: "revive"; readonly service: ServiceName; readonly verb: "start" | "restart" }
  | { readonly kind: "reload" }
  | { readonly kind: "reset-failed"; readonly service: ServiceName }
  /** Waits until they are healthy; where one is not, the rest is not done. */
  | { readonly kind: "verify"; readonly services: readonly ServiceName[] }
  /** For changed files that it has mounted: it runs on. */
  | { readonly kind: "reload-service"; readonly service: ServiceName; readonly unit: Unit }
  | { readonly kind: "signal"; readonly service: ServiceName; readonly unit: Unit; readonly signal: string }
  /** It reads them by itself: only what it runs is noted. */
  | { readonly kind: "keep"; readonly service: ServiceName; readonly unit: Unit }
  | { readonly kind: "remove-network"; readonly network: string; readonly service: ServiceName }
  /** `from`: the digest of the unit that the volume was made of, where that is known. */
  | { readonly kind: "backup-volume"; readonly volume: string; readonly service: ServiceName; readonly from: Digest | undefined }
  | { readonly kind: "remove-volume"; readonly volume: string; readonly service: ServiceName; readonly from: Digest | undefined }
  /** Puts back what was put aside. */
  | { readonly kind: "restore-volume"; readonly volume: string; readonly service: ServiceName }
  | { readonly kind: "remove-image"; readonly image: string }
  /** pgo's own quadlet changes: another pgo takes this one's place, or does not (core/handover.ts). */
  | { readonly kind: "hand-over"; readonly files: readonly BundleFile[]; readonly removes: readonly RelativePath[]; readonly image: string }
  | {
      readonly kind: "start";
      readonly service: ServiceName;
      readonly unit: Unit;
      /** Whose it is, where it is not the plan's own application. */
      readonly of?: ApplicationId;
    }
  | {
      readonly kind: "restart";
      readonly service: ServiceName;
      readonly unit: Unit;
      /** Without those that require it: what uses an image runs on while a new one is fetched or built, and restarts when that is there. */
      readonly alone: boolean;
      /** Services to be restarted later in this plan that systemd may restart with this one: each is restarted once. */
      readonly carries: readonly ServiceName[];
    }
);

export interface Plan {
  readonly application: ApplicationId;
  readonly steps: readonly Step[];
  /** What goes when the steps are done and all is known to be well; it is not needed for that. */
  readonly afterwards: readonly Step[];
  /** Files and units of somebody else where ours would go. With any, there are no steps. */
  readonly conflicts: readonly Problem[];
}

/**
 * The steps that make the host show the goal. No steps: it does.
 * Safe to run again after a crash at any step, with a new observation.
 */
export function plan(goal: Goal, seen: Observed): Plan {
  const files = (goal.bundle?.files ?? []).filter(({ path }) => !isSelf(path));
  const units = (goal.bundle?.units ?? []).filter(({ file }) => !isSelf(file));
  const observed = withoutSelf(seen);
  const sides = sidesOf(units, observed);
  const conflicts = conflictsOf(files, units, sides, observed);
  if (conflicts.length > 0) return { application: goal.application, steps: [], afterwards: [], conflicts };

  // What goes back to a person is not gone.
  const known = observed.known.filter((unit) => !sides.returned.some(({ service }) => service === unit.service));
  const gone = known.filter((unit) => goal.passedOn?.has(unit.service) !== true && !units.some((kept) => kept.service === unit.service));
  // To stop a network's unit stops all whose text, as systemd has read it, names it: so that comes when that is read anew and its users run on.
  const [objects, others] = [gone.filter((unit) => roleOf(unit.kind) === "object"), gone.filter((unit) => roleOf(unit.kind) !== "object")];
  const left = putOver(sides);
  const allRemovals = [...observed.inventory]
    .filter((path) => observed.files.has(path) && !files.some((file) => file.path === path) && !left.has(path))
    .sort()
    .map(
      (path) => ({ kind: "remove", path, because: goal.bundle === undefined ? "the application is gone" : "not in the bundle" }) as const,
    );
  const isSecret = ({ path }: { readonly path: RelativePath }) => placeOf(path).place === "secret";
  const removals = allRemovals.filter((step) => !isSecret(step));
  const inPlace = writtenInPlace(goal.bundle);
  const writes = files
    .filter(({ path, digest }) => observed.files.get(path)?.digest !== digest)
    .map((file): Step => {
      const present = observed.files.get(file.path);
      const because = present === undefined ? "not on the host" : "differs on the host";
      return { kind: "write", file, replaces: present?.digest, inPlace: present !== undefined && inPlace.has(file.path), because };
    });
  const [copies, moves, back] = [adoptSteps(sides, "in place"), adoptSteps(sides, "elsewhere"), giveBackSteps(sides)];
  const recreated = recreations(goal.bundle, observed);
  const starts = startSteps(wantedOf(goal, units, observed), recreated, observed);
  const restarts = starts.flatMap((step) => (step.kind === "restart" ? [step.unit] : []));
  return {
    application: goal.application,
    conflicts: [],
    afterwards: pruneSteps(gone, units, observed),
    steps: [
      ...disables(known, units, observed),
      ...disableSteps(sides, observed),
      ...stops(others, observed),
      ...copies,
      ...back,
      ...removals,
      ...writes,
      ...moves,
      ...reload([...back, ...removals, ...writes, ...moves], { units, gone }, observed),
      ...cleanUp(others, observed),
      ...enables(units, observed),
      ...recreated.flatMap(recreationSteps),
      ...copySteps(restarts, units, recreated, observed),
      ...starts.map((step) => withOrigin(step, sides)),
      ...reviveSteps(sides, observed),
      ...stops(objects, observed),
      ...cleanUp(objects, observed),
      // podman exec, and so HealthCmd=, looks a type=env secret up again each time, and fails without it (5.4.2): not while its users run.
      ...allRemovals.filter(isSecret),
      ...handOver(goal.bundle, seen),
    ],
  };
}

function wantedOf({ bundle, isWayBack = false }: Goal, units: readonly Unit[], { paces, isResumed = false }: Observed): Wanted {
  const pace = { phases: phasesOf(units, paces), atOnce: atOnceOf(bundle, paces), isResumed };
  return { units, onChange: (unit) => onChangeOf(unit, bundle), pace, isWayBack };
}

/** pgo's own files and service are the handover's alone. One that Git has no more stays as it is. */
function handOver(bundle: Bundle | undefined, { files, inventory }: Observed): readonly Step[] {
  const own = bundle?.files.filter(({ path }) => isSelf(path)) ?? [];
  const unit = bundle?.units.find(({ file }) => isSelf(file));
  if (unit === undefined) return [];
  const differing = own.filter(({ path, digest }) => files.get(path)?.digest !== digest);
  const removes = [...inventory].filter((path) => isSelf(path) && files.has(path) && !own.some((file) => file.path === path));
  const [first] = [...differing.map(({ path }) => path), ...removes];
  if (first === undefined) return [];
  return [{ kind: "hand-over", files: own, removes, image: unit.image ?? "", because: `${shownPath(first)} changed` }];
}

function withoutSelf(observed: Observed): Observed {
  return {
    ...observed,
    files: new Map([...observed.files].filter(([path]) => !isSelf(path))),
    inventory: new Set([...observed.inventory].filter((path) => !isSelf(path))),
    known: observed.known.filter(({ file }) => !isSelf(file)),
  };
}

function isSelf(path: RelativePath): boolean {
  return placeOf(path).place === "self";
}

function enables(units: readonly Unit[], { enabled }: Observed): readonly Step[] {
  return units
    .filter((unit) => unit.installs && !enabled.has(unit.service))
    .map(({ service }): Step => ({ kind: "enable", service, because: "its [Install] says so" }));
}

/** While the file is still there, which says what to undo. */
function disables(known: readonly Unit[], units: readonly Unit[], { enabled, services, inventory }: Observed): readonly Step[] {
  const found = known.filter(({ service, file, installs }) => {
    const kept = units.find((unit) => unit.service === service);
    return installs && enabled.has(service) && kept?.installs !== true && services.get(service)?.ours === true && inventory.has(file);
  });
  return [...new Set(found.map(({ service }) => service))].map((service) => ({
    kind: "disable",
    service,
    because: units.some((unit) => unit.service === service) ? "its [Install] is gone" : "it is gone",
  }));
}

/** What is somebody else's: a file where ours would go, or a unit that the host takes instead of ours. */
function conflictsOf(files: readonly BundleFile[], units: readonly Unit[], { kept }: Sides, observed: Observed): readonly Problem[] {
  const adopted = new Set(kept.flatMap((one) => one.files.map(({ as }) => as)));
  const occupied = files.filter(({ path, digest }) => {
    const present = observed.files.get(path);
    return present !== undefined && present.digest !== digest && !observed.inventory.has(path) && !adopted.has(path);
  });
  const taken = units.filter(({ service }) => {
    const known = observed.services.get(service);
    return known?.loaded === true && !known.ours;
  });
  // As with a changed one of its own: it would have to be made anew, and an old volume holds data.
  const altered = units.flatMap((unit) => {
    const one = kept.find(({ service }) => service === unit.service);
    return roleOf(unit.kind) === "object" && one?.differs !== undefined ? [{ unit, one, differs: one.differs }] : [];
  });
  return [
    ...altered.map(({ unit, one, differs }) => ({
      file: shownPath(unit.file),
      line: undefined,
      message: `${one.from} can't be taken over: ${differs}, and Podman can't alter ${unit.object} in place: make the file in Git the same, and change it when it is taken over`,
    })),
    ...occupied.map(({ path }) => ({ file: shownPath(path), line: undefined, message: inTheWay(path) })),
    ...taken.map(({ file, service }) => ({
      file: shownPath(file),
      line: undefined,
      message: `${service} comes of a file that pgo did not place, see systemctl cat ${service}: remove it, run systemctl daemon-reload, then ctl sync`,
    })),
  ];
}

function inTheWay(path: RelativePath): string {
  const { place, path: name } = placeOf(path);
  return place === "secret"
    ? `one that pgo did not make for this application is there on the host: remove it (podman secret rm ${name}) or choose another name, then run ctl sync`
    : "a file that pgo did not place is there on the host: move it away, then run ctl sync";
}

/** Later phases first, users before what they use, and what would trigger a service before that. */
function stops(gone: readonly Unit[], observed: Observed): readonly Step[] {
  const last = distinct(phaseOrder(gone, { phases: phasesOf(gone, observed.paces) }).toReversed());
  const isTrigger = (unit: Unit) => roleOf(unit.kind) === "trigger";
  return [...last.filter(isTrigger), ...last.filter((unit) => !isTrigger(unit))].flatMap((unit): readonly Step[] => {
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
    .map((step) => {
      if (step.kind === "adopt" || step.kind === "give-back") return step.path;
      const path = step.kind === "write" ? step.file.path : step.kind === "remove" ? step.path : undefined;
      return path !== undefined && isRead(path) ? path : "";
    })
    .filter((path) => path !== "");
  const [first] = changed;
  if (first !== undefined)
    return [
      {
        kind: "reload",
        because: changed.length === 1 ? `${shownPath(first as RelativePath)} changed` : `${changed.length} unit files changed`,
      },
    ];
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
  return distinct(startOrder(gone).toReversed()).flatMap((unit): readonly Step[] => {
    const service = observed.services.get(unit.service);
    // The inventory is narrowed only after success, so these are repeated until a rollout got past them.
    if (service?.ours !== true || (service.activity !== "failed" && !observed.inventory.has(unit.file))) return [];
    const because = `${unit.name} is gone`;
    const reset: Step = { kind: "reset-failed", service: unit.service, because };
    // Forgotten last, by the reset: while a network may be there, it must be known that it may. It holds nothing that could be lost, and a later one of its name must not find the old settings. A volume stays.
    const goes = unit.kind === "network" && observed.objects?.rules.prune !== "none";
    return goes ? [{ kind: "remove-network", network: unit.object, service: unit.service, because }, reset] : [reset];
  });
}

/** Several earlier bundles may have had it. */
function distinct(units: readonly Unit[]): readonly Unit[] {
  return units.filter((unit, index) => units.findIndex(({ service }) => service === unit.service) === index);
}

/** Whether systemd or the generator reads this file at daemon-reload. */
function isRead(path: RelativePath): boolean {
  const { place } = placeOf(path);
  return place === "unit" || (place === "quadlet" && isUnitText(path));
}

/** The images that the plan's starts need, each once. */
export function imagesOf(steps: readonly Step[]): readonly { readonly image: string; readonly authFile: string | undefined }[] {
  const found = new Map<string, { image: string; authFile: string | undefined }>();
  for (const step of steps)
    if (step.kind === "hand-over") found.set(step.image, { image: step.image, authFile: undefined });
    else if ((step.kind === "start" || step.kind === "restart") && step.unit.image !== undefined && !found.has(step.unit.image))
      found.set(step.unit.image, { image: step.unit.image, authFile: step.unit.authFile });
  return [...found.values()];
}

/**
 * Whether systemd may have stopped more than the steps say: what requires a stopped unit by the text that it had read, or a pod whose last
 * member went. Then the host is looked at again, and what is missing started.
 */
export function stopsMore({ steps }: Plan, units: readonly Unit[]): boolean {
  return steps.some(({ kind }) => kind === "stop" || (kind === "restart" && units.some((unit) => unit.kind === "pod")));
}

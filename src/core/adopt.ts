/** Taking over units that a person set up by hand: which may be, whether their services run on, and how it is undone. */

import { withMovedEnv } from "./adopted-env.ts";
import type { Bundle, Unit } from "./bundle.ts";
import { isPlainKind, roleOf } from "./kinds.ts";
import { digestOf, type Digest, type RelativePath, type ServiceName, type UnitName } from "./names.ts";
import type { StartRecord } from "./observe.ts";
import type { Observed, Step } from "./plan.ts";
import { isInert } from "./quadlet.ts";
import { parseUnit, type Entry } from "./unit-text.ts";

/** A file that pgo did not place, as it lies on the host. */
export interface HandMade {
  /** Absolute. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** Of mode and content; of the target for a symlink. */
  readonly digest: Digest;
  /** Undefined where it is no symlink. */
  readonly target: string | undefined;
  /** Undefined where pgo can't read it: a symlink may lead to where its container does not see. */
  readonly text: string | undefined;
  readonly changedAt: Date;
}

/** A file that is taken over, as it was. */
export interface OldFile extends Pick<HandMade, "path" | "mode" | "digest" | "target"> {
  /** The bundle's file that goes to this very place, if there is one: it is written over the old one, where else the old one is taken away. */
  readonly as: RelativePath | undefined;
}

/** One unit that is taken over, with all that it takes to undo it. */
export interface Adoption {
  readonly service: ServiceName;
  readonly unit: UnitName;
  /** The old unit file. */
  readonly from: string;
  /** That file and its drop-ins; one that several services come of is the first one's. */
  readonly files: readonly OldFile[];
  readonly before: { readonly invocation: string; readonly up: boolean; readonly enabled: boolean };
  /** What of the service is not the same afterwards, so that it restarts: `Image= differs`. */
  readonly differs: string | undefined;
  /** The directory of this adoption among the backups; empty until the rollout has begun, which names it. */
  readonly backup: string;
}

/** An adoption that is planned or under way, and what the host shows of it. */
export interface SeenAdoption extends Adoption {
  /** Those of its files' paths where a file is, pgo's or the old one. */
  readonly present: ReadonlyMap<string, Digest>;
  /** The service runs on from before, or rests as before. */
  readonly untouched: boolean;
  /** It is up now. */
  readonly up: boolean;
}

/** Where a unit's service comes of: a file in Podman's search path, else what systemd says; undefined where there is none. */
export function ownerOf(
  unit: Unit,
  foreign: ReadonlyMap<string, string>,
  state: { readonly load: string; readonly source: string; readonly fragment: string } | undefined,
): string | undefined {
  // A unit whose file is gone from disk but not yet from systemd's memory blocks nobody.
  return (
    foreign.get(unit.name) ?? (state === undefined || state.load === "not-found" ? undefined : state.source || state.fragment || undefined)
  );
}

/** The directories whose files may be taken over: the part of Podman's search path that pgo's directory is in, and systemd's. */
export interface Ground {
  readonly directory: string;
  readonly unitDirectory: string;
}

/** Podman's search path that pgo's directory is in: of what lies there pgo sees the host's. */
export function searchPathOf(directory: string): string {
  return /^(.*\/containers\/systemd)\//.exec(directory)?.[1] ?? directory;
}

/** Only a file of the same unit name, and neither the distribution's, nor in a directory that is made anew at each boot, nor pgo's own. */
export function isAdoptable(owner: string, unit: Unit, { directory, unitDirectory }: Ground): boolean {
  const name = owner.slice(owner.lastIndexOf("/") + 1);
  const search = searchPathOf(directory);
  const root = isPlainKind(unit.kind) ? unitDirectory : search;
  const names: readonly string[] = [unit.name, unit.file.slice(unit.file.lastIndexOf("/") + 1)];
  return owner.startsWith(`${root}/`) && names.includes(name) && !owner.startsWith(`${search}/pgo-self/`);
}

/**
 * What of a service's text would make it run otherwise; undefined where nothing does. Both are units as systemd reads them: the
 * generator's output, or plain ones with their drop-ins. Where the generator kept the quadlet's own keys (`[X-Container]`), those are named.
 */
export function differenceOf(before: string, after: string): string | undefined {
  const [old, now] = [parseUnit(before, "systemd"), parseUnit(after, "systemd")];
  const live = (entry: Entry) => !isInert(entry) && !(entry.section === "Unit" && entry.key === "SourcePath");
  const changed = keysThatDiffer(old.filter(live), now.filter(live));
  if (changed.length === 0) return undefined;
  const isQuoted = ({ section }: Entry) => section.startsWith("X-");
  const quoted = keysThatDiffer(old.filter(isQuoted), now.filter(isQuoted));
  const named = quoted.length > 0 ? quoted : changed;
  return `${named.slice(0, 3).join(", ")}${named.length > 3 ? ` and ${named.length - 3} more` : ""} ${named.length === 1 ? "differs" : "differ"}`;
}

function keysThatDiffer(before: readonly Entry[], after: readonly Entry[]): readonly string[] {
  const byKey = (entries: readonly Entry[]) => {
    const found = new Map<string, string[]>();
    for (const { section, key, value } of entries) {
      const name = section.startsWith("X-") ? `${key}=` : `[${section}] ${key}=`;
      found.set(name, [...(found.get(name) ?? []), value]);
    }
    return found;
  };
  const [old, now] = [byKey(before), byKey(after)];
  return [...new Set([...old.keys(), ...now.keys()])].filter((key) => old.get(key)?.join("\0") !== now.get(key)?.join("\0"));
}

/** What an adoption is made from. */
export interface Sighting {
  readonly unit: Unit;
  readonly bundle: Bundle;
  /** The old unit file first, then its drop-ins. */
  readonly files: readonly HandMade[];
  readonly state: { readonly active: string; readonly invocation: string; readonly activeSince: Date | undefined };
  readonly enabled: boolean;
  /** What the generator makes of the old file and of the new, each where it lies; undefined where it makes nothing of it. */
  readonly generated: { readonly before: string | undefined; readonly after: string | undefined };
  /** Env files that the old file's service reads, by path: those that pgo can see. */
  readonly env: ReadonlyMap<string, HandMade>;
  /** The content of the env file that pgo makes for a path on the host. */
  readonly madeEnv: (path: string) => string | undefined;
  /** The bundle's file for a path on the host, if one goes there. */
  readonly placedAs: (path: string) => RelativePath | undefined;
}

/** Undefined where there is no old file any more. */
export function adoption(sighting: Sighting): Adoption | undefined {
  const { unit, files, state, enabled, placedAs } = sighting;
  const [main] = files;
  if (main === undefined) return undefined;
  const up = ["active", "activating", "reloading"].includes(state.active);
  return {
    service: unit.service,
    unit: unit.name,
    from: main.path,
    files: files.map(({ path, mode, digest, target }) => ({ path, mode, digest, target, as: placedAs(path) })),
    before: { invocation: state.invocation, up, enabled },
    differs: differs(sighting, main),
    backup: "",
  };
}

function differs({ unit, bundle, files, state, generated, env, madeEnv, placedAs }: Sighting, main: HandMade): string | undefined {
  const inPlace = placedAs(main.path) !== undefined;
  // What lies in its place already is read from there as before, so that its text says all.
  const before = inPlace ? joined(files.map(({ text }) => text)) : generated.before;
  const own = new Map(bundle.files.map((file) => [file.path, file]));
  const after = inPlace
    ? joined(
        unit.files
          .filter((path) => path === unit.file || path.endsWith(".conf"))
          .map((path) => Buffer.from(own.get(path)?.content ?? "").toString("utf8")),
      )
    : generated.after;
  if (before === undefined || after === undefined) return "nobody can say what it was started from";
  const alike = withMovedEnv(before, after, { old: (path) => env.get(path)?.text, made: madeEnv });
  const difference = differenceOf(alike.before, alike.after);
  if (difference !== undefined || roleOf(unit.kind) === "object") return difference;
  const { activeSince } = state;
  const read = [...files, ...alike.moved.flatMap((path) => env.get(path) ?? [])];
  const late = activeSince === undefined ? undefined : read.find(({ changedAt }) => changedAt > activeSince);
  return late === undefined ? undefined : `${late.path} was changed after the service had started`;
}

function joined(texts: readonly (string | undefined)[]): string | undefined {
  return texts.includes(undefined) ? undefined : texts.join("\n");
}

/** What a service that is taken over runs, in the planner's terms: the new unit already, or something else that nobody but the adoption can name. */
export function startOf({ differs: difference, before }: Adoption, unit: Unit): StartRecord | undefined {
  if (before.invocation === "" || (difference !== undefined && !before.up)) return undefined;
  return difference === undefined
    ? { digest: unit.digest, inputs: unit.inputs, invocation: before.invocation }
    : { digest: digestOf("taken over", unit.digest), inputs: [], invocation: before.invocation };
}

/** An application's adoptions by what a goal makes of them: its own, and those that are to be undone. */
export interface Sides {
  readonly kept: readonly SeenAdoption[];
  readonly returned: readonly SeenAdoption[];
}

export function sidesOf(units: readonly Unit[], { adoptions = [] }: Observed): Sides {
  const isKept = ({ service }: Adoption) => units.some((unit) => unit.service === service);
  return { kept: adoptions.filter(isKept), returned: adoptions.filter((one) => !isKept(one)) };
}

/**
 * In place the old file is copied to the backup before it is written over; elsewhere it is taken away after the new one is there: a host that
 * boots in between has both, of which the generator takes the old one, or only one, but never none.
 */
export function adoptSteps({ kept }: Sides, where: "in place" | "elsewhere"): readonly Step[] {
  return kept.flatMap(({ service, unit, files, present }) =>
    files
      .filter(({ as, path, digest }) =>
        where === "elsewhere" ? as === undefined && present.has(path) : as !== undefined && present.get(path) === digest,
      )
      .map(({ path }): Step => ({ kind: "adopt", service, path, because: `${unit} takes its place` })),
  );
}

/** Before what took their place is removed. */
export function giveBackSteps({ returned }: Sides): readonly Step[] {
  return returned.flatMap(({ service, files, present }) =>
    files
      .filter(({ as, path, digest }) => (as === undefined ? !present.has(path) : present.get(path) !== digest))
      .map(({ path }): Step => ({ kind: "give-back", service, path, because: "it was there before" })),
  );
}

/** Files of pgo's that an old one is put over: they are not removed. */
export function putOver({ returned }: Sides): ReadonlySet<RelativePath> {
  return new Set(returned.flatMap(({ files }) => files.flatMap(({ as }) => (as === undefined ? [] : [as]))));
}

/** What pgo enabled is disabled while its file is there. */
export function disableSteps({ returned }: Sides, { enabled }: Observed): readonly Step[] {
  return returned
    .filter(({ service, before }) => !before.enabled && enabled.has(service))
    .map(({ service }): Step => ({ kind: "disable", service, because: "it was not enabled before" }));
}

/** The services that ran before run again, from the old files; what a timer triggers or what has ended is left as it is. */
export function reviveSteps({ returned }: Sides, { known }: Observed): readonly Step[] {
  const isLeft = (service: ServiceName) => known.some((unit) => unit.service === service && (unit.oneshot || !unit.starts));
  return returned
    .filter(({ service, untouched }) => !untouched && !isLeft(service))
    .flatMap(({ service, before, up, from }): readonly Step[] => {
      if (before.up) return [{ kind: "revive", service, verb: up ? "restart" : "start", because: `${from} is back` }];
      return up ? [{ kind: "stop", service, because: "it was not running before" }] : [];
    });
}

/** Names the file that was taken over where a service restarts for it. */
export function withOrigin(step: Step, { kept }: Sides): Step {
  if (step.kind !== "restart") return step;
  const one = kept.find(({ service, untouched }) => service === step.service && untouched);
  return one?.differs === undefined ? step : { ...step, because: `taken over from ${one.from}: ${one.differs}` };
}

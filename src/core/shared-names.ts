/** Units that would share a Podman object by its name: containers and pods can't, networks and volumes only where they mean the same one. */

import type { Bundle, Problem, Unit } from "./bundle.ts";
import type { Court } from "./judgement.ts";
import { isQuadletKind, traitsOf } from "./kinds.ts";
import { isDropIn } from "./layout.ts";
import { digestOf, type ApplicationId, type Digest } from "./names.ts";
import { shownPath } from "./placing.ts";
import { placeIn } from "./position.ts";
import { parseUnit } from "./unit-text.ts";

/**
 * Refuses a unit whose object another one has. Quadlet starts containers with `podman run --replace` and makes pods with `--replace`, so that
 * the second would throw out the first's; a pod's own container (`NAME-infra`) can't even be replaced. Pods and containers don't stand in each
 * other's way. Networks and volumes are made with `create --ignore`: the first to start decides what they are. (The generator's output and
 * Podman 5.4.2, tried.) Of two units the one that is new is at fault; of two new ones that of the application later by name.
 */
export function refuseSharedNames(court: Court): void {
  const live = court.staged([]);
  for (const bundle of court.admitted()) {
    const holders = holdersIn(court.staged());
    const isOld = (unit: Unit, { application }: Bundle) => isAsBefore(unit, live.get(application));
    const problems = bundle.units.flatMap((unit, at): readonly Problem[] => {
      if (isOld(unit, bundle)) return [];
      const own = objectOf(unit);
      const near = own === undefined ? [] : [own, infraOf(own), own.replace(/-infra$/, "")];
      for (const { unit: one, bundle: other, at: index } of [...new Set(near)].flatMap((name) => holders.get(name) ?? [])) {
        const isFirst = other.application === bundle.application ? index <= at : other.application < bundle.application;
        const conflict = one !== unit && (isFirst || isOld(one, other)) ? conflictOf(unit, one, fileOf(one, other)) : undefined;
        if (conflict !== undefined) return [problemOf(unit, bundle, conflict)];
      }
      return [];
    });
    court.refuseWith(bundle, problems);
  }
}

interface Holder {
  readonly unit: Unit;
  readonly bundle: Bundle;
  /** Among its bundle's units. */
  readonly at: number;
}

/** Units by the name of what they make. */
function holdersIn(staged: ReadonlyMap<ApplicationId, Bundle>): ReadonlyMap<string, readonly Holder[]> {
  const found = new Map<string, Holder[]>();
  for (const bundle of staged.values())
    for (const [at, unit] of bundle.units.entries()) {
      const name = objectOf(unit);
      if (name !== undefined) found.set(name, [...(found.get(name) ?? []), { unit, bundle, at }]);
    }
  return found;
}

/** What speaks against two units beside each other, as is said of the first; `file`: the other's. */
function conflictOf(unit: Unit, other: Unit, file: string): string | undefined {
  const [own, theirs] = [objectOf(unit), objectOf(other)];
  if (own === undefined || theirs === undefined) return undefined;
  const replaces = "the second to start would take the first's place. Give one of them another";
  if (unit.kind === "container" && other.kind === "pod" && own === infraOf(theirs))
    return `its container would be called ${own}, as that of the pod in ${file}: only one of them could start. Give one of them another name`;
  if (unit.kind === "pod" && other.kind === "container" && theirs === infraOf(own))
    return `its own container would be called ${theirs}, as that of ${file}: only one of them could start. Give one of them another name`;
  if (unit.kind !== other.kind || own !== theirs) return undefined;
  if (unit.kind === "container") return `its container would be called ${own}, as that of ${file}: ${replaces} ContainerName=`;
  if (unit.kind === "pod") return `its pod would be called ${own}, as that of ${file}: ${replaces} PodName=`;
  const [mine, others] = [definitionOf(unit), definitionOf(other)];
  const isObject = unit.kind === "network" || unit.kind === "volume";
  if (!isObject || mine.length === 0 || others.length === 0 || mine.join() === others.join()) return undefined;
  return `its ${unit.kind} would be called ${own}, as that of ${file}, which describes it otherwise: the first to start would decide what it is. Make them the same, or give one of them another name`;
}

/** The container that holds a pod together (`--infra-name` in the generator's output). */
function infraOf(pod: string): string {
  return `${pod}-infra`;
}

/** The name, as far as a unit's own name says what it comes to; undefined for a template, which makes nothing itself. */
function objectOf({ name, kind, object, service }: Unit): string | undefined {
  if (!isQuadletKind(kind) || traitsOf(kind).objectKey === undefined || /@\.[a-z]+$/.test(name)) return undefined;
  const stem = service.slice(0, service.lastIndexOf("."));
  const [prefix = "", instance = ""] = stem.split("@");
  // systemd.unit(5), "Specifiers"; what others stand for only systemd knows.
  const meanings: Readonly<Record<string, string>> = { N: stem, n: service, p: prefix, i: instance, "%": "%" };
  if (/%(?![Nnpi%])/.test(object.replaceAll("%%", ""))) return undefined;
  return object.replace(/%(.)/g, (all, letter: string) => meanings[letter] ?? all).replace(/^"(.*)"$/, "$1");
}

/** What a network or volume is beside its name. One that says nothing takes what is there; a label makes no other thing of it. */
function definitionOf({ inputs }: Unit): readonly Digest[] {
  return inputs
    .filter(({ label, within }) =>
      within === undefined ? isDropIn(label) : !/^(?:\[|(?:NetworkName|VolumeName|ServiceName|Label)=$)/.test(label),
    )
    .map(({ label, within, digest }) => digestOf(within === undefined ? "" : label, digest))
    .sort();
}

/** A container is called the same whatever else changed of it. */
function isAsBefore(unit: Unit, before: Bundle | undefined): boolean {
  const old = before?.units.find(({ name }) => name === unit.name);
  if (old === undefined || objectOf(old) !== objectOf(unit)) return false;
  return unit.kind === "container" || unit.kind === "pod" || definitionOf(old).join() === definitionOf(unit).join();
}

function fileOf({ file }: Unit, { application, origins }: Bundle): string {
  return `${origins.get(file)?.file ?? shownPath(file)} of ${application}`;
}

/** At the key that gives the name, where there is one. */
function problemOf(unit: Unit, { files }: Bundle, message: string): Problem {
  const key = isQuadletKind(unit.kind) ? traitsOf(unit.kind).objectKey : undefined;
  for (const { path, content } of files.filter(({ path: one }) => one === unit.file || (isDropIn(one) && unit.files.includes(one)))) {
    const entry = parseUnit(Buffer.from(content).toString("utf8")).findLast((one) => one.key === key);
    if (entry !== undefined) return { file: path, ...placeIn(entry), message };
  }
  return { file: unit.file, line: undefined, message };
}

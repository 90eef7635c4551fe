/** Units that wait for one another in a circle: who falls by it, and what is said of it. */

import type { Bundle, Problem, Unit } from "./bundle.ts";
import { unitsIn } from "./generator.ts";
import type { Court } from "./judgement.ts";
import { kindOf } from "./kinds.ts";
import { isDropIn } from "./layout.ts";
import { unitName, type ApplicationId, type RelativePath } from "./names.ts";
import { placeOf } from "./placing.ts";
import { placeIn } from "./position.ts";
import { unitFacts } from "./quadlet.ts";
import { parseUnit, words, type Entry, type PlacedEntry } from "./unit-text.ts";

/**
 * Refuses what would wait for itself, in one application or through others. `generated`: what the generator's dry run printed, since only
 * that says what `Network=`, `Pod=` and their like come to. Answers whether anybody fell.
 *
 * Only `After=` and `Before=` make a circle, not `Requires=` or `Wants=` alone. systemd refuses to start such units together ("Transaction
 * order is cyclic") or leaves one of them out, and where they were started one by one, it refuses to stop them together, as at a shutdown
 * (tried on systemd 257, whose `systemd-analyze verify` finds nothing). With its last good in the place of the one that is refused there is
 * no circle, so what of it has not changed is not at fault.
 */
export function refuseCycles(court: Court, generated: string): boolean {
  const admitted = court.admitted();
  const staged = court.staged();
  const live = court.staged([]);
  const graph = waitsOf(staged, generated);
  for (const bundle of admitted) {
    const told = new Set<string>();
    const problems = bundle.units.flatMap((unit): readonly Problem[] => {
      if (told.has(unit.service)) return [];
      const cycle = cycleFrom(unit.service, graph);
      const at = cycle?.find((service) => isAtFault(service, bundle, live));
      if (cycle === undefined || at === undefined) return [];
      for (const service of cycle) told.add(service);
      return [problemOf(turnedTo(at, cycle), bundle, staged)];
    });
    court.refuseWith(bundle, problems);
  }
  return court.admitted().length < admitted.length;
}

type Waits = ReadonlyMap<string, ReadonlySet<string>>;

/** Of each unit those that it is started after, as systemd has it. */
function waitsOf(staged: ReadonlyMap<ApplicationId, Bundle>, generated: string): Waits {
  const texts = new Map<string, readonly Entry[]>();
  const add = (name: string, text: string) => {
    texts.set(name, [...(texts.get(name) ?? []), ...parseUnit(text, "systemd")]);
  };
  for (const { service, text } of unitsIn(generated)) if (!texts.has(service)) add(service, text);
  for (const { path, content } of [...staged.values()].flatMap(({ files }) => files)) {
    const { place, path: below } = placeOf(path);
    if (place === "unit") add(below.split("/")[0]?.replace(/\.d$/, "") ?? "", Buffer.from(content).toString("utf8"));
  }
  for (const { service } of [...staged.values()].flatMap(({ units }) => units)) {
    const template = texts.get(service.replace(/@.+(?=\.)/, "@"));
    if (!texts.has(service) && template !== undefined) texts.set(service, template.map(instantiated(service)));
  }
  const waits = new Map([...texts.keys()].map((name) => [name, new Set<string>()]));
  for (const [name, entries] of texts) {
    // An empty assignment takes nothing back of these (systemd.unit(5)).
    const named = (key: string) =>
      entries.filter((entry) => entry.section === "Unit" && entry.key === key).flatMap(({ value }) => words(value, "keep"));
    for (const other of named("After")) if (other !== name && texts.has(other)) waits.get(name)?.add(other);
    for (const other of [...named("Before"), ...triggered(name, entries)]) if (other !== name) waits.get(other)?.add(name);
  }
  return waits;
}

/** A timer, path or socket is before what it triggers (systemd.timer(5), "Automatic Dependencies"). */
function triggered(name: string, entries: readonly Entry[]): readonly string[] {
  const kind = kindOf(name);
  return kind === "timer" || kind === "path" || kind === "socket" ? unitFacts(unitName(name), kind, entries).triggers : [];
}

/** What other specifiers stand for is not guessed. */
function instantiated(service: string): (entry: Entry) => Entry {
  const instance = /@(.+)\.[a-z]+$/.exec(service)?.[1] ?? "";
  return (entry) => ({ ...entry, value: entry.value.replaceAll("%i", instance) });
}

/** The shortest way from a unit back to it, without the unit's second mention. */
function cycleFrom(start: string, waits: Waits): readonly string[] | undefined {
  const ways: (readonly string[])[] = [[start]];
  const seen = new Set<string>();
  for (let way = ways.shift(); way !== undefined; way = ways.shift())
    for (const next of waits.get(way.at(-1) ?? "") ?? []) {
      if (next === start) return way;
      if (!seen.has(next)) ways.push([...way, next]);
      seen.add(next);
    }
  return undefined;
}

function isAtFault(service: string, bundle: Bundle, live: ReadonlyMap<ApplicationId, Bundle>): boolean {
  const unit = bundle.units.find((one) => one.service === service);
  const before = live.get(bundle.application)?.units.find((one) => one.service === service);
  return unit !== undefined && unit.digest !== before?.digest;
}

function turnedTo(service: string, cycle: readonly string[]): readonly string[] {
  const at = cycle.indexOf(service);
  return [...cycle.slice(at), ...cycle.slice(0, at)];
}

function problemOf(cycle: readonly string[], bundle: Bundle, staged: ReadonlyMap<ApplicationId, Bundle>): Problem {
  const [first = ""] = cycle;
  const message = `${first} would wait for itself: ${[...cycle, first].join(" after ")}. systemd can't start or stop them together: take out what makes one of them wait`;
  const all = [...staged.values()].flatMap(({ units }) => units);
  const unitOf = (service: string) => all.find((unit) => unit.service === service);
  for (const [at, service] of cycle.entries()) {
    const [waiting, awaited] = [unitOf(service), unitOf(cycle[(at + 1) % cycle.length] ?? "")];
    if (waiting === undefined || awaited === undefined) continue;
    const found =
      entryIn(bundle, waiting, (entry) => entry.key !== "Before" && names(entry, awaited)) ??
      entryIn(bundle, awaited, (entry) => entry.key === "Before" && names(entry, waiting));
    if (found !== undefined) return { ...found, message };
  }
  return { file: unitOf(first)?.file ?? first, line: undefined, message };
}

function names({ section, value }: Entry, { name, service }: Unit): boolean {
  return section !== "Install" && value.split(/[\s:=,]+/).some((word) => word === name || word === service);
}

/** In a unit's file or its drop-ins, of this bundle. */
function entryIn(
  bundle: Bundle,
  unit: Unit,
  isMeant: (entry: PlacedEntry) => boolean,
): { readonly file: RelativePath; readonly line: number; readonly column: number } | undefined {
  if (!bundle.units.includes(unit)) return undefined;
  for (const { path, content } of bundle.files.filter(
    (file) => file.path === unit.file || (unit.files.includes(file.path) && isDropIn(file.path)),
  )) {
    const entry = parseUnit(Buffer.from(content).toString("utf8")).find(isMeant);
    if (entry !== undefined) return { file: path, ...placeIn(entry) };
  }
  return undefined;
}

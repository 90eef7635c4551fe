/** The phases of a rollout: which units go before which, beyond what they need of each other. */

import type { Bundle, Problem, Unit } from "./bundle.ts";
import { baseOf, settingsNames } from "./checks.ts";
import { closest } from "./closest.ts";
import { roleOf } from "./kinds.ts";
import { dependsOn, inOrder } from "./order.ts";
import type { UnitPaces } from "./pace-config.ts";
import type { Position } from "./position.ts";

/** Of what nobody says anything of. */
export const firstPhase = 1;

/**
 * The phase of each unit: what the host says (`over`), then its application's pgo.toml. One of which nobody says anything is in the first, or
 * earlier where one needs it that is; a network, volume or image comes with the first that needs it. None goes before what it needs.
 */
export function phasesOf(units: readonly Unit[], over: UnitPaces | undefined): ReadonlyMap<Unit, number> {
  const said = new Map(units.map((unit) => [unit, saidOf(unit, over, "phase")?.value ?? unit.phase]));
  if (![...said.values()].some((phase) => phase !== undefined)) return new Map(units.map((unit) => [unit, firstPhase]));
  const needed = new Map(units.map((unit) => [unit, neededBy(unit, units)]));
  const isServing = (unit: Unit) => said.get(unit) === undefined && (roleOf(unit.kind) === "object" || roleOf(unit.kind) === "supply");
  const own = (unit: Unit): number => {
    const phase = said.get(unit);
    if (phase !== undefined) return phase;
    const users = units.filter((other) => needed.get(other)?.has(unit) === true && !isServing(other));
    const phases = users.map((user) => said.get(user) ?? firstPhase);
    return isServing(unit) && users.length > 0 ? Math.min(...phases) : Math.min(firstPhase, ...phases);
  };
  return new Map(units.map((unit) => [unit, Math.max(own(unit), ...[...(needed.get(unit) ?? [])].map(own))]));
}

/** By phase, then what is needed first, then by `name`; from the last phase on, as far as what they need of each other allows. */
export function phaseOrder(
  units: readonly Unit[],
  { phases, from = "first" }: { readonly phases: ReadonlyMap<Unit, number>; readonly from?: "first" | "last" },
  name: (unit: Unit) => string = (unit) => unit.name,
): readonly Unit[] {
  const rank = (unit: Unit) => {
    const phase = phases.get(unit) ?? firstPhase;
    return String(from === "first" ? phase : 9999 - phase).padStart(4, "0");
  };
  return inOrder(
    units,
    (unit) => `${rank(unit)} ${name(unit)}`,
    (unit) => units.filter((other) => other !== unit && dependsOn(unit, other)),
  );
}

/** Where in the application's pgo.toml a key is. */
export interface PaceSettings {
  readonly settings: Bundle["settings"];
  readonly origin: string;
  readonly place: (path: readonly string[]) => Position | undefined;
}

/** Units with the phases that their application gives them. */
export function withPhases(units: readonly Unit[], { unit: paces }: Bundle["settings"]): readonly Unit[] {
  return units.map((unit) => {
    const phase = saidOf(unit, paces, "phase");
    return phase === undefined ? unit : { ...unit, phase: phase.value };
  });
}

/** A `[unit.…]` section that names no unit would order nothing, silently; nor can a unit go before what it needs. */
export function strayPaces(units: readonly Unit[], { settings, origin, place }: PaceSettings): readonly Problem[] {
  const problem = (path: readonly string[], message: string): Problem => ({
    file: origin,
    ...(place(path) ?? { line: undefined }),
    message: `[${path.slice(0, 2).join(".")}] ${message}`,
  });
  const stray = Object.entries(settings.unit).flatMap(([key, pace]): readonly Problem[] => {
    const named = units.filter((unit) => namesOf(unit).includes(key));
    if (named.length === 0) {
      const names = [...new Set(units.map(baseOf))];
      const near = closest(key, names);
      return [
        problem(
          ["unit", key],
          `names no unit of this application: ${near === undefined ? `there are ${names.join(", ")}` : `did you mean ${near}?`}`,
        ),
      ];
    }
    if (pace.max_unavailable === undefined || named.some(({ name }) => name.includes("@"))) return [];
    return [problem(["unit", key, "max_unavailable"], `max_unavailable counts instances of a template, and ${key} is none: leave it out`)];
  });
  const early = units.flatMap((unit): readonly Problem[] => {
    const { phase } = unit;
    if (phase === undefined) return [];
    const key = saidOf(unit, settings.unit, "phase")?.key ?? unit.name;
    const needed = [...neededBy(unit, units)].find((other) => other.phase !== undefined && other.phase > phase);
    if (needed === undefined) return [];
    const message = `phase: ${unit.name} is in phase ${String(phase)} and needs ${needed.name}, which comes in phase ${String(needed.phase)}: give ${unit.name} that phase or a later one`;
    return [problem(["unit", key, "phase"], message)];
  });
  return [...stray, ...early];
}

/** The template that a unit is an instance of, by its file's name; undefined where it is none. */
export function templateOf({ name }: Unit): string | undefined {
  const [, base, suffix] = /^([^@]+@).+(\.[a-z]+)$/.exec(name) ?? [];
  return base === undefined || suffix === undefined ? undefined : `${base}${suffix}`;
}

/** What is said of a unit, and under which name: its own before its template's. */
export function saidOf<Key extends keyof UnitPaces[string]>(
  unit: Unit,
  paces: UnitPaces | undefined,
  key: Key,
): { readonly key: string; readonly value: NonNullable<UnitPaces[string][Key]> } | undefined {
  for (const name of namesOf(unit)) {
    const value = paces?.[name]?.[key];
    if (value !== undefined) return { key: name, value };
  }
  return undefined;
}

function namesOf(unit: Unit): readonly string[] {
  const template = templateOf(unit);
  if (template === undefined) return settingsNames(unit);
  return [...settingsNames(unit), unit.service.replace(/@.+(?=\.)/, "@"), template, template.slice(0, template.lastIndexOf("."))];
}

/** All that a unit needs, and what that needs; a circle of mere needs is gone round once. */
function neededBy(unit: Unit, units: readonly Unit[]): ReadonlySet<Unit> {
  const found = new Set<Unit>();
  const visit = (user: Unit) => {
    for (const other of units)
      if (other !== user && !found.has(other) && dependsOn(user, other)) {
        found.add(other);
        visit(other);
      }
  };
  visit(unit);
  found.delete(unit);
  return found;
}

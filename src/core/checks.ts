/** Which check vouches for a unit: the host's pgo.toml, then the application's, then the quadlet's HealthCmd=, then the default. */

import type { Bundle, Problem, Unit } from "./bundle.ts";
import type { Config, UnitHealthSettings } from "./config.ts";
import type { Check, Patience, Probe } from "./health.ts";
import { partsOf } from "./names.ts";

type Settings = Readonly<Record<string, UnitHealthSettings>>;

export interface CheckSources {
  /** `[application.NAME.health]` of the host's pgo.toml. */
  readonly host: Settings;
  /** `[health]` of the host's pgo.toml. */
  readonly patience: Patience;
}

export function checkOf(unit: Unit, bundle: Bundle, { host, patience }: CheckSources): Check {
  const own = settingsOf(unit, bundle.settings.health);
  const over = settingsOf(unit, host);
  const timing = { ...patience, ...timingOf(own), ...timingOf(over) };
  const probe = probeOf(over) ?? probeOf(own);
  if (probe !== undefined) return { by: "probe", probe, patience: timing };
  return { by: unit.healthCmd ? "podman" : "process", patience: timing };
}

/** The check of a unit as this host's configuration has it. */
export function checkIn(bundle: Bundle, unit: Unit, { applications, health }: Pick<Config, "applications" | "health">): Check {
  const host = applications.get(partsOf(bundle.application).application)?.health ?? {};
  return checkOf(unit, bundle, { host, patience: health });
}

/** A `[health.…]` section that names no unit would vouch for nothing, silently. */
export function strayChecks(bundle: Bundle, file: string): readonly Problem[] {
  return Object.keys(bundle.settings.health)
    .filter((key) => !bundle.units.some((unit) => settingsNames(unit).includes(key)))
    .map((key) => ({
      file,
      line: undefined,
      message: `[health.${key}] names no unit of this application: there are ${bundle.units.map(baseOf).join(", ")}`,
    }));
}

function settingsOf(unit: Unit, all: Settings): UnitHealthSettings | undefined {
  return settingsNames(unit)
    .map((name) => all[name])
    .find((settings) => settings !== undefined);
}

/** A unit is named by its service, its file, or its file without suffix. */
export function settingsNames(unit: Unit): readonly string[] {
  return [unit.service, unit.name, baseOf(unit)];
}

/** A unit's file name without suffix. */
export function baseOf(unit: Unit): string {
  return unit.name.slice(0, unit.name.lastIndexOf("."));
}

function probeOf(settings: UnitHealthSettings | undefined): Probe | undefined {
  if (settings?.http !== undefined)
    return { kind: "http", url: settings.http.url, status: settings.http.status, contains: settings.http.contains };
  if (settings?.tcp !== undefined) return { kind: "tcp", host: settings.tcp.host, port: settings.tcp.port };
  return undefined;
}

function timingOf(settings: UnitHealthSettings | undefined): Partial<Patience> {
  const timing = {
    deadline: settings?.deadline,
    interval: settings?.interval,
    timeout: settings?.timeout,
    successThreshold: settings?.success_threshold,
    failureThreshold: settings?.failure_threshold,
    startPeriod: settings?.start_period,
    minHealthyTime: settings?.min_healthy_time,
  };
  return Object.fromEntries(Object.entries(timing).filter(([, value]) => value !== undefined));
}

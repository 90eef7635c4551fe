/** Which check vouches for a unit: the host's pgo.toml, then the application's, then the quadlet's HealthCmd=, then the default. */

import type { Bundle, Problem, Unit } from "./bundle.ts";
import type { Config } from "./config.ts";
import { secretNames } from "./env-file.ts";
import type { Check, HttpRequest, Patience, SecretHeader, WantedProbe } from "./health.ts";
import type { UnitHealthSettings } from "./health-config.ts";
import { roleOf } from "./kinds.ts";
import { partsOf } from "./names.ts";
import { lists, policyOf } from "./policy-config.ts";

type Settings = Readonly<Record<string, UnitHealthSettings>>;

export interface CheckSources {
  /** `[application.NAME.health]` of the host's pgo.toml. */
  readonly host: Settings;
  /** `[health]` of the host's pgo.toml. */
  readonly patience: Patience;
  /** Where the application's files lie on the host. */
  readonly directory: string;
  /** Whether this host's policy lets the application have a secret. */
  readonly allows: (secret: string) => boolean;
  /** Whether it lets the application's own pgo.toml have commands run on the host. */
  readonly hostCommands: boolean;
}

export function checkOf(unit: Unit, bundle: Bundle, sources: CheckSources): Check {
  const own = settingsOf(unit, bundle.settings.health);
  const over = settingsOf(unit, sources.host);
  const { application } = partsOf(bundle.application);
  const named = (name: string) => secretNames(application, unit.service, name).filter(sources.allows);
  const inFiles = (path: string) => (path.startsWith("/") ? path : `${sources.directory}/${plainPath(path)}`);
  // What was deployed under another policy is not run any more; the host's own pgo.toml is root's.
  const mayAsk = (one: UnitHealthSettings) => one === over || one.command?.on !== "host" || sources.hostCommands;
  const wanted = [over, own].find((one) => one !== undefined && isAsking(one) && inability(unit, one) === undefined && mayAsk(one));
  const probe = wanted && probeOf(wanted, named, inFiles);
  const timing = { ...patient(sources.patience, probe), ...timingOf(own), ...timingOf(over) };
  const common = { patience: timing, ...limitsOf(own, over) };
  if (probe !== undefined) return { by: "probe", probe, ...common };
  return { by: wanted?.check ?? (unit.healthCmd ? "podman" : "process"), ...common };
}

/**
 * To run a program in a container Podman starts conmon, crun and the program, from the disk: a second on a Raspberry Pi is nothing
 * unusual, several when it is busy; so less often, and with more time.
 */
function patient(patience: Patience, probe: WantedProbe | undefined): Patience {
  if (probe?.kind !== "command") return patience;
  return { ...patience, interval: Math.max(patience.interval, 5000), timeout: Math.max(patience.timeout, 15_000) };
}

/** The check of a unit as this host's configuration has it. */
export function checkIn(bundle: Bundle, unit: Unit, config: Pick<Config, "applications" | "health" | "quadlet" | "policy">): Check {
  const host = config.applications.get(partsOf(bundle.application).application)?.health ?? {};
  const { mode, rules } = policyOf(config.policy, bundle.application);
  return checkOf(unit, bundle, {
    host,
    patience: config.health,
    directory: `${config.quadlet.directory}/${bundle.application}`,
    allows: (name) => lists(rules.secrets, name),
    hostCommands: rules.host_commands || mode === "warn",
  });
}

/** A `[health.…]` section that names no unit, or asks one what it can't answer, would vouch for nothing, silently. */
export function strayChecks(bundle: Bundle, file: string): readonly Problem[] {
  return Object.entries(bundle.settings.health).flatMap(([key, settings]) => {
    const units = bundle.units.filter((one) => settingsNames(one).includes(key));
    const problem = (message: string): Problem => ({ file, line: undefined, message: `[health.${key}] ${message}` });
    if (units.length === 0) return [problem(`names no unit of this application: there are ${bundle.units.map(baseOf).join(", ")}`)];
    // Of a container and a volume of the same name the container is meant.
    const unable = units.map((unit) => inability(unit, settings));
    const ca = settings.http?.ca && plainPath(settings.http.ca);
    if (ca !== undefined && !bundle.files.some(({ path }) => path === ca))
      return [problem(`ca: there is no file ${ca} in this application`)];
    return unable[0] === undefined || unable.includes(undefined) ? [] : [problem(unable[0])];
  });
}

/** Why a unit can't be asked so; undefined where it can. */
function inability({ name, kind }: Unit, settings: UnitHealthSettings): string | undefined {
  const { command, check, memory, cpu } = settings;
  if ((memory !== undefined || cpu !== undefined) && kind !== "container" && kind !== "kube")
    return `memory and cpu are those of containers, and ${name} has none`;
  if (!isAsking(settings) || check === "unit") return undefined;
  const what = check ?? (["http", "tcp", "command"] as const).find((one) => settings[one] !== undefined) ?? "";
  if (roleOf(kind) !== "workload") return `${what} can't be asked of ${name}: nothing of its own runs, its unit's state is what counts`;
  if (command?.on === "container" && kind !== "container")
    return `command runs inside a container, and ${name} is none: on the host it runs with on = "host"`;
  if (check === "podman" && kind !== "container" && kind !== "kube") return `podman checks the health of containers, and ${name} is none`;
  return undefined;
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

/** Whether settings say what is asked, not only when. */
function isAsking({ http, tcp, command, check }: UnitHealthSettings): boolean {
  return [http, tcp, command, check].some((one) => one !== undefined);
}

const plainPath = (path: string) => path.replace(/^(?:\.\/+)+/, "");

type Http = NonNullable<UnitHealthSettings["http"]>;
type Named = (name: string) => readonly string[];

function probeOf({ http, tcp, command }: UnitHealthSettings, named: Named, inFiles: (path: string) => string): WantedProbe | undefined {
  if (http !== undefined) {
    const request = requestOf(http, named, inFiles);
    if (http.url !== undefined) return { kind: "http", url: http.url, ...request };
    return { kind: "http", url: undefined, port: http.port ?? 0, path: http.path ?? "/", scheme: http.scheme ?? "http", ...request };
  }
  if (tcp !== undefined) return { kind: "tcp", host: tcp.host, port: tcp.port, send: tcp.send, expect: tcp.expect };
  if (command === undefined) return undefined;
  const { run, on, user, exit, contains } = command;
  return { kind: "command", on, run: typeof run === "string" ? ["sh", "-c", run] : run, user, exit, contains };
}

function requestOf(http: Http, named: Named, inFiles: (path: string) => string): HttpRequest {
  const { method, body, status, contains, matches, follow } = http;
  const headers = Object.entries(http.headers).map(([name, value]): [string, string | SecretHeader] => {
    if (typeof value === "string") return [name, value];
    const { prefix, ...from } = value;
    return [name, { from: "secret" in from ? { names: named(from.secret) } : from, prefix }];
  });
  const ca = http.ca === undefined ? undefined : inFiles(http.ca);
  const tls = { verify: http.verify, ca, serverName: http.server_name };
  return { method, headers: Object.fromEntries(headers), body, status, contains, matches, follow, tls };
}

/** Each by itself, the host's before Git's. */
function limitsOf(own: UnitHealthSettings | undefined, over: UnitHealthSettings | undefined): Pick<Check, "limits"> {
  const limits = { memory: over?.memory ?? own?.memory, cpu: over?.cpu ?? own?.cpu };
  return limits.memory === undefined && limits.cpu === undefined ? {} : { limits };
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

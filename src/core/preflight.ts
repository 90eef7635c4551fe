/** What a plan's starts need of the host beside images, and what of it is not there: reasons to hold a rollout before anything is stopped. */

import type { Bundle, Unit } from "./bundle.ts";
import { endpointText, isTaken, publishedPorts, type Endpoint } from "./endpoint.ts";
import { isQuadletKind, roleOf, traitsOf } from "./kinds.ts";
import { isDropIn } from "./layout.ts";
import type { ApplicationId, RelativePath, ServiceName } from "./names.ts";
import type { Plan } from "./plan.ts";
import { secretNamesIn, secretsNamed } from "./podman-secrets.ts";
import { bytesText } from "./size.ts";
import { parseUnit, values, words, type Entry } from "./unit-text.ts";

/** One thing that is needed, and by which unit's file. */
export interface Need<What> {
  readonly what: What;
  readonly file: string;
}

export interface Needs {
  readonly ports: readonly Need<Endpoint>[];
  /** `unmade`: the application would bring it, if it had a value. */
  readonly secrets: readonly (Need<string> & { readonly unmade?: true })[];
  /** Absolute paths of bind mounts. */
  readonly paths: readonly Need<string>[];
}

/**
 * What the plan's starts need. None of it where the plan starts nothing. Paths below `own`, pgo's directories, are made by pgo; `company`
 * is what other applications will have by then, and may bring.
 */
export function needsOf({ steps }: Plan, bundle: Bundle, own: readonly string[], company: readonly Bundle[] = []): Needs {
  const starting = new Set(steps.flatMap((step) => (step.kind === "start" || step.kind === "restart" ? [step.service] : [])));
  const all = bundle.units.map((unit) => ({ unit, entries: entriesOf(unit, bundle) }));
  const brought = secretNamesIn([bundle, ...company].flatMap(({ files }) => files));
  const others = company.flatMap((other) => other.units.flatMap((unit) => entriesOf(unit, other)));
  const isMade = makers([...all.flatMap(({ entries }) => entries), ...others]);
  const found = all.filter(({ unit }) => starting.has(unit.service) && isQuadletKind(unit.kind));
  const each = <What>(of: (unit: Unit, entries: readonly Entry[]) => readonly What[]): readonly Need<What>[] =>
    found.flatMap(({ unit, entries }) => of(unit, entries).map((what) => ({ what, file: unit.file })));
  return {
    ports: each(portsOf),
    secrets: each(secretsOf)
      .filter(({ what }) => !brought.has(what))
      .map((need) => (Object.hasOwn(bundle.settings.secrets.podman, need.what) ? { ...need, unmade: true } : need)),
    paths: each(bindsOf).filter(({ what }) => !isMade(what) && !own.some((directory) => isBelow(what, directory))),
  };
}

/** What was found out about needs; undefined where it could not be asked. */
export interface Findings {
  readonly bound: readonly Endpoint[] | undefined;
  /** Held now by what the plan stops or restarts. */
  readonly released: readonly Endpoint[];
  /** Ports of other applications, to name who has one. */
  readonly others: readonly { readonly application: ApplicationId; readonly service: ServiceName; readonly ports: readonly Endpoint[] }[];
  readonly secrets: ReadonlySet<string> | undefined;
  readonly missing: ReadonlySet<string> | undefined;
}

/** Why the plan had better wait, in one line with what to do; undefined where it may begin. */
export function lacking({ ports, secrets, paths }: Needs, findings: Findings): string | undefined {
  const { bound, released, others } = findings;
  const taken = ports.flatMap(({ what, file }) => {
    const holder = bound?.find((one) => isTaken(what, one));
    if (holder === undefined || released.some((one) => isTaken(what, one))) return [];
    const owner = others.find((other) => other.ports.some((one) => isTaken(what, one)));
    const who = owner === undefined ? "something else on the host" : `${owner.service} of ${owner.application}`;
    const remedy =
      owner === undefined ? `see ss -lnp 'sport = :${String(what.port)}', and stop it or publish another port` : "publish another port";
    return [`${file} publishes ${endpointText(what)}, which ${who} has: ${remedy}`];
  });
  const unknown = secrets
    .filter(({ what }) => findings.secrets?.has(what) === false)
    .map(({ what, file, unmade }) => {
      const remedy = unmade === true ? "give it the value that pgo.toml names" : `podman secret create ${what} FILE`;
      return `${file} needs the Podman secret ${what}, which is not there: ${remedy}`;
    });
  const absent = paths
    .filter(({ what }) => findings.missing?.has(what) === true)
    .map(({ what, file }) => `${file} mounts ${what}, which is not on the host, and Podman does not make it: create it there`);
  const all = [...new Set([...taken, ...unknown, ...absent])];
  return all.length === 0
    ? undefined
    : `${all.slice(0, most).join("; ")}${all.length > most ? `; and ${String(all.length - most)} more` : ""}`;
}

/** More would not be read. */
const most = 5;

/** Why there is too little room; undefined where there is enough, or nobody knows. Sizes in bytes. */
export function tooFull(places: readonly { readonly directory: string; readonly free: number }[], minimum: number): string | undefined {
  const full = places.find(({ free }) => free < minimum);
  if (full === undefined) return undefined;
  const { directory, free } = full;
  return `only ${bytesText(free)} are free at ${directory}, and [state] min_free is ${bytesText(minimum)}: make room, podman system prune for one`;
}

/** What units publish, for those of which a run is known to be there. */
export function portsIn(bundle: Bundle, isMeant: (service: ServiceName) => boolean): readonly Endpoint[] {
  return bundle.units.filter(({ service }) => isMeant(service)).flatMap((unit) => portsOf(unit, entriesOf(unit, bundle)));
}

/** A network of the host's or of another container publishes nothing of its own (podman-run(1), --publish). */
function portsOf({ kind }: Unit, entries: readonly Entry[]): readonly Endpoint[] {
  if (kind !== "container" && kind !== "pod" && kind !== "kube") return [];
  const { section } = traitsOf(kind);
  if (values(entries, section, "Network").some(({ value }) => /^(?:host|none|container:.*|ns:.*)$/.test(value))) return [];
  return values(entries, section, "PublishPort").flatMap(({ value }) => publishedPorts(value));
}

/** `Secret=NAME[,type=…]`; a build's names files. */
function secretsOf({ kind }: Unit, entries: readonly Entry[]): readonly string[] {
  if (kind !== "container") return [];
  const names = secretsNamed(entries);
  // Podman takes a secret's id too, and the beginning of one.
  return names.filter((name) => name !== "" && !name.includes("%") && !/^[0-9a-f]{12,25}$/.test(name));
}

/** `Volume=/srv/x:/x`, `Mount=type=bind,source=/srv/x,…` (podman-run(1), --volume and --mount); specifiers are systemd's to fill in. */
function bindsOf({ kind }: Unit, entries: readonly Entry[]): readonly string[] {
  if (roleOf(kind) !== "workload" && roleOf(kind) !== "group") return [];
  const section = isQuadletKind(kind) ? traitsOf(kind).section : "";
  const volumes = values(entries, section, "Volume").flatMap(({ value }) => (value.includes(":") ? [value.split(":")[0] ?? ""] : []));
  const mounts = values(entries, section, "Mount").flatMap(({ value }) => {
    const options = value.split(",").map((option) => option.trim());
    const source = options.map((option) => /^(?:source|src)=(.*)$/.exec(option)?.[1]).find((one) => one !== undefined);
    return options.includes("type=bind") && source !== undefined ? [source] : [];
  });
  return [...volumes, ...mounts]
    .filter((path) => path.startsWith("/") && !path.includes("%"))
    .map((path) => path.replace(/(?<=.)\/+$/, ""));
}

/** Directories that systemd makes for a unit (systemd.exec(5), RuntimeDirectory=), by where they are for the system's units. */
const directories = {
  RuntimeDirectory: "/run",
  StateDirectory: "/var/lib",
  CacheDirectory: "/var/cache",
  LogsDirectory: "/var/log",
  ConfigurationDirectory: "/etc",
};

/** Whether the application itself may make a path before it is needed: a command that names it, a directory of systemd's, a mount. */
function makers(entries: readonly Entry[]): (path: string) => boolean {
  const commands = entries.filter(({ section, key }) => section === "Service" && key.startsWith("Exec")).map(({ value }) => value);
  const made = [
    ...Object.entries(directories).flatMap(([key, base]) =>
      values(entries, "Service", key).flatMap(({ value }) => words(value).map((name) => `${base}/${name.split(":")[0] ?? ""}`)),
    ),
    ...["Mount", "Automount"].flatMap((section) => values(entries, section, "Where").map(({ value }) => value)),
    ...["RequiresMountsFor", "WantsMountsFor"].flatMap((key) => values(entries, "Unit", key).flatMap(({ value }) => words(value))),
  ];
  return (path) => commands.some((command) => command.includes(path)) || made.some((one) => isBelow(path, one));
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** The unit's own text and its drop-ins', in the order in which they are read. */
function entriesOf({ file, files }: Unit, bundle: Bundle): readonly Entry[] {
  const texts = [file, ...files.filter((one) => one !== file && isDropIn(one))];
  return texts.flatMap((path) => parseUnit(textOf(path, bundle)));
}

function textOf(path: RelativePath, bundle: Bundle): string {
  return Buffer.from(bundle.files.find((file) => file.path === path)?.content ?? "").toString("utf8");
}

/** What a unit says: which service comes of it, which Podman object, and which other units and files it names (podman-systemd.unit(5)). */

import type { Unit } from "./bundle.ts";
import { isQuadlet, isQuadletKind, kindOf, roleOf, traitsOf, type QuadletKind, type UnitKind } from "./kinds.ts";
import { serviceName, unitName, type ServiceName, type UnitName } from "./names.ts";
import { lastValue, values, words, type Entry } from "./unit-text.ts";

export interface UnitFacts {
  readonly service: ServiceName;
  readonly object: string;
  readonly uses: readonly UnitName[];
  readonly after: readonly ServiceName[];
  readonly pod: UnitName | undefined;
  readonly image: string | undefined;
  readonly authFile: string | undefined;
  readonly healthCmd: boolean;
  readonly oneshot: boolean;
  /** A plain unit's `[Install]` asks to be enabled; a quadlet's acts at reload by itself. */
  readonly installs: boolean;
  /** Units that it triggers, as a timer, socket or path does: its namesake where it names none. */
  readonly triggers: readonly ServiceName[];
  /** Paths as written that are relative to the unit's directory: env files, mounted files and directories, build contexts. */
  readonly paths: readonly string[];
  /** Those of them that a container sees as they are on the host. */
  readonly mounts: readonly string[];
  readonly reload: Unit["reload"];
}

/**
 * Reads the merged entries of a unit and its drop-ins. `name` is an instance's own (`web@1.container`), not its template's.
 * Throws NameError where ServiceName= or a named unit is not a name.
 */
export function unitFacts(name: UnitName, kind: UnitKind, entries: readonly Entry[]): UnitFacts {
  return isQuadletKind(kind) ? quadletFacts(name, kind, entries) : plainFacts(name, entries);
}

function quadletFacts(name: UnitName, kind: QuadletKind, entries: readonly Entry[]): UnitFacts {
  const { section, ends, objectKey } = traitsOf(kind);
  const base = baseName(name);
  const named = [...namedInSection(entries, section), ...namedInUnit(entries)];
  const image = lastValue(entries, section, "Image");
  const health = lastValue(entries, section, "HealthCmd");
  const pod = lastValue(entries, section, "Pod");
  const service = serviceName(`${lastValue(entries, section, "ServiceName") ?? `${base}${ends}`}.service`);
  return {
    service,
    object: (objectKey === undefined ? undefined : lastValue(entries, section, objectKey)) ?? defaultObject(base, kind, service),
    uses: [...new Set(named.filter(isQuadlet))].map(unitName),
    after: [...new Set(named.filter((one) => !isQuadlet(one)))].map(serviceName),
    pod: kind === "container" && pod?.endsWith(".pod") === true ? unitName(pod) : undefined,
    image: kind === "container" && image !== undefined && !isQuadlet(image) ? image : undefined,
    authFile: lastValue(entries, section, "AuthFile"),
    healthCmd: health !== undefined && health !== "" && health !== "none",
    // A .build's service ends and is inactive then, an .image's or .artifact's remains (the generator's output, Podman 5.4).
    oneshot: lastValue(entries, "Service", "Type") === "oneshot" || roleOf(kind) === "supply",
    installs: false,
    triggers: [],
    paths: [...new Set([...relativePaths(entries, kind), ...serviceEnvironment(entries)])],
    mounts: mountedPaths(entries, section),
    reload: reloadOf(entries, kind),
  };
}

function plainFacts(name: UnitName, entries: readonly Entry[]): UnitFacts {
  const named = namedInUnit(entries);
  return {
    service: serviceName(name),
    object: "",
    uses: [...new Set(named.filter(isQuadlet))].map(unitName),
    after: [...new Set(named.filter((one) => !isQuadlet(one)))].map(serviceName),
    pod: undefined,
    image: undefined,
    authFile: undefined,
    healthCmd: false,
    oneshot: lastValue(entries, "Service", "Type") === "oneshot",
    installs: ["WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also"].some((key) => values(entries, "Install", key).length > 0),
    triggers: triggersOf(name, entries),
    paths: serviceEnvironment(entries),
    mounts: [],
    reload: reloadOf(entries, undefined),
  };
}

/** What a change of an entry can't alter in a running service: `[Install]` acts at reload, `[X-…]` and descriptions nowhere. */
export function isInert(entry: Entry): boolean {
  return (
    entry.section === "Install" ||
    entry.section.startsWith("X-") ||
    (entry.section === "Unit" && ["Description", "Documentation"].includes(entry.key))
  );
}

/** `Unit=` of a timer or path, `Service=` of a socket; without it the service of the same name (systemd.timer(5), systemd.socket(5)). */
function triggersOf(name: UnitName, entries: readonly Entry[]): readonly ServiceName[] {
  const kind = kindOf(name);
  if (kind !== "timer" && kind !== "path" && kind !== "socket") return [];
  const [section, key] = { timer: ["Timer", "Unit"], path: ["Path", "Unit"], socket: ["Socket", "Service"] }[kind] as [string, string];
  const accept = kind === "socket" && /^(?:1|yes|true|on)$/i.test(lastValue(entries, "Socket", "Accept") ?? "");
  return [serviceName(lastValue(entries, section, key) ?? `${baseName(name)}${accept ? "@" : ""}.service`)];
}

/** `Network=app.network:ip=10.0.0.2`, `Volume=db.volume:/data`, `Mount=type=volume,source=db.volume,…`, `Image=x.image`, `Pod=x.pod`. */
function namedInSection(entries: readonly Entry[], section: string): readonly string[] {
  const firstParts = ["Network", "Volume", "Image", "Pod", "Rootfs"].flatMap((key) =>
    values(entries, section, key).map(({ value }) => value.split(":")[0] ?? ""),
  );
  return [...firstParts, ...mountSources(entries, section)].filter((name) => !name.includes("/") && isQuadlet(name));
}

const orderings = ["After", "Requires", "Wants", "BindsTo", "Requisite", "PartOf", "Upholds"];

function namedInUnit(entries: readonly Entry[]): readonly string[] {
  return (
    orderings
      // A backslash is part of a unit's name (systemd.unit(5), "String Escaping").
      .flatMap((key) => values(entries, "Unit", key).flatMap(({ value }) => words(value, "keep")))
      .filter((name) => !name.includes("%") && (isQuadlet(name) || (kindOf(name) !== undefined && !name.endsWith(".target"))))
  );
}

function mountSources(entries: readonly Entry[], section: string): readonly string[] {
  return values(entries, section, "Mount").flatMap(({ value }) =>
    value
      .split(",")
      .map((part) => /^(?:source|src)=(.*)$/.exec(part.trim())?.[1])
      .filter((source) => source !== undefined),
  );
}

/**
 * EnvironmentFile=, Yaml= and ConfigMap= are relative to the quadlet always, Volume= and mount sources when they start with a dot.
 * A build reads its context, which SetWorkingDirectory= names, and File= below that; without a context File= is absolute.
 */
function relativePaths(entries: readonly Entry[], kind: QuadletKind): readonly string[] {
  const { section } = traitsOf(kind);
  const all = (key: string) => values(entries, section, key).map(({ value }) => value);
  const named = [...all("EnvironmentFile").map((path) => path.replace(/^-/, "")), ...all("Yaml"), ...all("ConfigMap")];
  const secrets = kind === "build" ? all("Secret").map((value) => /(?:^|,)src=([^,]+)/.exec(value)?.[1] ?? "") : [];
  return [...new Set([...named, ...mountedPaths(entries, section), ...secrets, ...contextOf(entries, kind)])].filter(
    (path) => path !== "" && !path.includes("%") && !/^[a-z]+:\/\//.test(path),
  );
}

/** systemd wants absolute paths there (systemd.exec(5)); a relative one is an env file of the application. */
function serviceEnvironment(entries: readonly Entry[]): readonly string[] {
  const paths = values(entries, "Service", "EnvironmentFile").map(({ value }) => value.replace(/^-/, ""));
  return [...new Set(paths.filter((path) => path !== "" && !path.includes("%")))];
}

function mountedPaths(entries: readonly Entry[], section: string): readonly string[] {
  const volumes = values(entries, section, "Volume").map(({ value }) => value.split(":")[0] ?? "");
  return [...volumes, ...mountSources(entries, section)].filter((path) => path.startsWith("."));
}

/** ReloadCmd= and ReloadSignal= (Podman 5.5) become ExecReload=; Type=notify-reload brings its own (systemd.service(5)). */
function reloadOf(entries: readonly Entry[], kind: QuadletKind | undefined): UnitFacts["reload"] {
  if (kind === "container" && ["ReloadCmd", "ReloadSignal"].some((key) => (lastValue(entries, "Container", key) ?? "") !== ""))
    return "default";
  const possible = (lastValue(entries, "Service", "ExecReload") ?? "") !== "" || lastValue(entries, "Service", "Type") === "notify-reload";
  return possible ? "possible" : "never";
}

function contextOf(entries: readonly Entry[], kind: QuadletKind): readonly string[] {
  if (kind !== "build") return [];
  const file = lastValue(entries, "Build", "File") ?? "";
  const directory = lastValue(entries, "Build", "SetWorkingDirectory") ?? "";
  switch (directory) {
    case "":
      return [file];
    case "unit":
      return ["."];
    case "file":
      return [file.includes("/") ? file.slice(0, file.lastIndexOf("/")) : "."];
    default:
      return [directory];
  }
}

/** A container's by its service, `systemd-web`, for an instance `systemd-web_1` (the generator's `systemd-%N` and `systemd-%p_%i`); others' by their file. */
function defaultObject(base: string, kind: QuadletKind, service: ServiceName): string {
  return `systemd-${kind === "container" ? service.slice(0, -".service".length).replace("@", "_") : base}`;
}

function baseName(name: string): string {
  return name.slice(0, name.lastIndexOf("."));
}

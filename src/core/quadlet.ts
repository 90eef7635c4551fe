/** What a quadlet says: which service comes of it, which Podman object, and which other units and files it names (podman-systemd.unit(5)). */

import type { UnitKind } from "./bundle.ts";
import { serviceName, unitName, type ServiceName, type UnitName } from "./names.ts";
import { lastValue, values, words, type Entry } from "./unit-text.ts";

/** Every suffix that Podman's generator takes for a quadlet. */
export const quadletSuffixes = ["container", "pod", "volume", "network", "kube", "image", "build", "artifact", "quadlets"] as const;
export type QuadletSuffix = (typeof quadletSuffixes)[number];

/** Unit files of systemd itself that may lie beside quadlets. */
export const plainSuffixes = ["service", "timer", "socket", "path", "target", "mount", "automount", "slice", "swap"] as const;

const sections: Readonly<Record<UnitKind, string>> = { container: "Container", network: "Network", volume: "Volume" };

/** The suffix of a path's last part when it is a quadlet's. */
export function quadletSuffix(path: string): QuadletSuffix | undefined {
  return quadletSuffixes.find((suffix) => path.endsWith(`.${suffix}`) && !path.endsWith(`/.${suffix}`) && path !== `.${suffix}`);
}

/** Whether pgo places units of this kind. */
export function isUnitKind(suffix: QuadletSuffix): suffix is UnitKind {
  return suffix in sections;
}

export interface QuadletFacts {
  readonly service: ServiceName;
  readonly object: string;
  readonly uses: readonly UnitName[];
  readonly after: readonly ServiceName[];
  readonly image: string | undefined;
  readonly authFile: string | undefined;
  readonly healthCmd: boolean;
  readonly oneshot: boolean;
  /** Paths as written that are relative to the quadlet's directory: env files, mounted files and directories. */
  readonly paths: readonly string[];
}

/**
 * Reads the merged entries of a quadlet and its drop-ins.
 * Throws NameError where ServiceName= or a named unit is not a name.
 */
export function quadletFacts(name: UnitName, kind: UnitKind, entries: readonly Entry[]): QuadletFacts {
  const section = sections[kind];
  const base = name.slice(0, name.lastIndexOf("."));
  const ends = kind === "container" ? "" : `-${kind}`;
  const objectKey = { container: "ContainerName", network: "NetworkName", volume: "VolumeName" }[kind];
  const named = [...namedInSection(entries, section), ...namedInUnit(entries)];
  const image = lastValue(entries, section, "Image");
  const health = lastValue(entries, section, "HealthCmd");
  return {
    service: serviceName(`${lastValue(entries, section, "ServiceName") ?? `${base}${ends}`}.service`),
    object: lastValue(entries, section, objectKey) ?? `systemd-${base}`,
    uses: [...new Set(named.filter((one) => quadletSuffix(one) !== undefined))].map(unitName),
    after: [...new Set(named.filter((one) => one.endsWith(".service")))].map(serviceName),
    image: kind === "container" && image !== undefined && quadletSuffix(image) === undefined ? image : undefined,
    authFile: lastValue(entries, section, "AuthFile"),
    healthCmd: health !== undefined && health !== "" && health !== "none",
    oneshot: lastValue(entries, "Service", "Type") === "oneshot",
    paths: relativePaths(entries, section),
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

/** `Network=app.network:ip=10.0.0.2`, `Volume=db.volume:/data`, `Mount=type=volume,source=db.volume,…`, `Image=x.image`, `Pod=x.pod`. */
function namedInSection(entries: readonly Entry[], section: string): readonly string[] {
  const firstParts = ["Network", "Volume", "Image", "Pod", "Rootfs"].flatMap((key) =>
    values(entries, section, key).map(({ value }) => value.split(":")[0] ?? ""),
  );
  return [...firstParts, ...mountSources(entries, section)].filter((name) => !name.includes("/") && quadletSuffix(name) !== undefined);
}

const orderings = ["After", "Requires", "Wants", "BindsTo", "Requisite", "PartOf", "Upholds"];

function namedInUnit(entries: readonly Entry[]): readonly string[] {
  return orderings
    .flatMap((key) => values(entries, "Unit", key).flatMap(({ value }) => words(value)))
    .filter((name) => !name.includes("%") && (name.endsWith(".service") || quadletSuffix(name) !== undefined));
}

function mountSources(entries: readonly Entry[], section: string): readonly string[] {
  return values(entries, section, "Mount").flatMap(({ value }) =>
    value
      .split(",")
      .map((part) => /^(?:source|src)=(.*)$/.exec(part.trim())?.[1])
      .filter((source) => source !== undefined),
  );
}

/** EnvironmentFile= is relative to the quadlet always, Volume= and mount sources when they start with a dot. */
function relativePaths(entries: readonly Entry[], section: string): readonly string[] {
  const envFiles = values(entries, section, "EnvironmentFile").map(({ value }) => value.replace(/^-/, ""));
  const mounted = [...values(entries, section, "Volume").map(({ value }) => value.split(":")[0] ?? ""), ...mountSources(entries, section)];
  return [...new Set([...envFiles, ...mounted.filter((path) => path.startsWith("."))])].filter(
    (path) => path !== "" && !path.includes("%"),
  );
}

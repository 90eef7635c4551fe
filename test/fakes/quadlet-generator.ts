/** A stand-in for Podman's quadlet generator, as strict and as careless as the real one was seen to be (test/core/generator-output/). */

import type { ServiceName } from "../../src/core/names.ts";

/** What becomes of one quadlet. */
export interface GeneratedUnit {
  readonly service: ServiceName;
  readonly kind: "container" | "network" | "volume";
  /** The quadlet's file. */
  readonly source: string;
  /** All that is said by the quadlet and its drop-ins, each key once a line, without comments and what has no effect. */
  readonly text: string;
  readonly object: string;
  readonly image: string;
  /** Services that it is started after, and before. */
  readonly after: readonly string[];
  readonly before: readonly string[];
  /** Services that it can't be without. */
  readonly requires: readonly ServiceName[];
  /** Podman networks that it joins. */
  readonly networks: readonly string[];
  /** Named volumes that it mounts. */
  readonly volumes: readonly string[];
  /** Files and directories beside the quadlet that the container sees, by absolute path. */
  readonly mounts: readonly string[];
  /** Podman secrets that it can't be without. */
  readonly secrets: readonly string[];
  readonly healthCmd: boolean;
  readonly notifyHealthy: boolean;
  readonly oneshot: boolean;
  readonly restarts: boolean;
  /** Started at boot. */
  readonly wanted: boolean;
}

export interface GeneratorRun {
  readonly units: ReadonlyMap<ServiceName, GeneratedUnit>;
  readonly stdout: string;
  readonly stderr: string;
}

interface Key {
  readonly section: string;
  readonly key: string;
  readonly value: string;
}

const kinds = ["container", "network", "volume"] as const;
const titles = { container: "Container", network: "Network", volume: "Volume" };
const known: Readonly<Record<string, readonly string[]>> = {
  Container: [
    "Image",
    "Pull",
    "AutoUpdate",
    "Exec",
    "Network",
    "Volume",
    "Label",
    "Environment",
    "EnvironmentFile",
    "HealthCmd",
    "Notify",
    "ServiceName",
    "ContainerName",
    "PublishPort",
    "Secret",
  ],
  Network: ["NetworkName", "Subnet", "Label", "ServiceName"],
  Volume: ["VolumeName", "Label", "ServiceName"],
};

/** Reads all quadlets and drop-ins among `files` (text by absolute path), directory after directory. */
export function generate(files: ReadonlyMap<string, string>): GeneratorRun {
  const errors: string[] = [];
  const quadlets = new Map<string, { path: string; keys: readonly Key[] }>();
  for (const directory of [...new Set([...files.keys()].map(directoryOf))].sort()) {
    const own = [...files].filter(([path]) => directoryOf(path) === directory && kindOf(path) !== undefined).sort();
    const parsed = own.map(([path, text]) => ({ path, keys: parse(path, text, errors) }));
    // One that can't be read takes all of its directory along.
    if (parsed.some(({ keys }) => keys === undefined)) continue;
    for (const { path, keys = [] } of parsed) if (!quadlets.has(baseOf(path))) quadlets.set(baseOf(path), { path, keys });
  }
  const units = new Map<ServiceName, GeneratedUnit>();
  for (const [name, { path, keys }] of quadlets) {
    const more = [...files]
      .filter(([file]) => file.endsWith(".conf") && [`${name}.d`, `${kindOf(name) ?? ""}.d`].includes(baseOf(directoryOf(file))))
      .sort(([a], [b]) => (baseOf(a) < baseOf(b) ? -1 : 1))
      .flatMap(([file, text]) => parse(file, text, errors) ?? []);
    const made = convert(name, path, [...keys, ...more], quadlets);
    if (typeof made === "string") errors.push(`converting "${name}": ${made}`);
    else if (!units.has(made.service)) units.set(made.service, made);
  }
  return {
    units,
    stdout: [...units].map(([service, unit]) => `---${service}---\n${serviceText(unit)}`).join("\n"),
    stderr: [...errors, ...(errors.length > 0 ? ["processing encountered some errors"] : [])]
      .map((line) => `quadlet-generator[1]: ${line}\n`)
      .join(""),
  };
}

/** The quadlet's own keys are kept in sections that systemd leaves alone; paths are absolute. */
function serviceText({ source, text, mounts, after, before }: GeneratedUnit): string {
  const kept = text.split("\n").map((line) => line.replace(/^\[(.+?)\] (.*)$/, "[X-$1]\n$2"));
  const env = [...text.matchAll(/^\[Container\] EnvironmentFile=(.*)$/gm)].map(([, name]) => name);
  const seen = mounts.map((path) => (env.includes(baseOf(path)) ? `--env-file ${path}` : path));
  return [
    ...kept,
    "[Unit]",
    `SourcePath=${source}`,
    ...after.map((other) => `After=${other}`),
    ...before.map((other) => `Before=${other}`),
    "[Service]",
    `ExecStart=/usr/bin/podman ${text.replaceAll("\n", " ")} ${seen.join(" ")}`,
    "",
  ].join("\n");
}

function parse(path: string, text: string, errors: string[]): readonly Key[] | undefined {
  const keys: Key[] = [];
  let section = "";
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const header = /^\[(.+)\]$/.exec(line)?.[1];
    const [, key = "", value = ""] = /^([A-Za-z]+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (header !== undefined) section = header;
    else if (key !== "") keys.push({ section, key, value });
    else {
      errors.push(`error loading "${path}", file contains line ${index + 1}: “${line}” which is not a key-value pair, group, or comment`);
      return undefined;
    }
  }
  return keys;
}

/** The unit, or the complaint. */
function convert(
  name: string,
  path: string,
  keys: readonly Key[],
  quadlets: ReadonlyMap<string, { readonly keys: readonly Key[] }>,
): GeneratedUnit | string {
  const kind = kindOf(name) ?? "container";
  const section = titles[kind];
  const all = (key: string, within = section) => keys.filter((one) => one.section === within && one.key === key).map(({ value }) => value);
  const last = (key: string, within = section) => all(key, within).at(-1);
  const unknown = keys.find((one) => one.section === section && known[section]?.includes(one.key) !== true);
  if (unknown !== undefined) return `unsupported key '${unknown.key}' in group '${section}' in ${path}`;
  if (kind === "container" && (last("Image") ?? "") === "") return "no Image or Rootfs key specified";
  const used = [...all("Network"), ...all("Volume")].map((value) => value.split(":")[0] ?? "").filter((one) => kindOf(one) !== undefined);
  const absent = used.find((one) => !quadlets.has(one));
  if (absent !== undefined) return `requested Quadlet unit ${absent} was not found`;

  const serviceOf = (quadlet: string) => {
    const named = quadlets.get(quadlet)?.keys.findLast(({ key }) => key === "ServiceName")?.value;
    return serviceNamed(quadlet, named);
  };
  const objectOf = (quadlet: string) =>
    quadlets.get(quadlet)?.keys.findLast(({ key }) => key.endsWith("Name") && key !== "ServiceName")?.value ?? `systemd-${stem(quadlet)}`;
  const translated = (other: string) => (kindOf(other) === undefined ? other : serviceOf(other));
  const relative = [...all("Volume").map((value) => value.split(":")[0] ?? ""), ...all("EnvironmentFile")];
  return {
    service: serviceNamed(name, last("ServiceName")),
    kind,
    source: path,
    text: keys
      .filter((one) => one.section !== "Install" && one.key !== "Description")
      // What is in an env file counts, not where it lies.
      .map((one) => `[${one.section}] ${one.key}=${one.key === "EnvironmentFile" ? baseOf(one.value) : one.value}`)
      .join("\n"),
    object: objectOf(name),
    image: last("Image") ?? "",
    after: [...used, ...all("After", "Unit")].map(translated),
    before: all("Before", "Unit").map(translated),
    requires: [...used.map(serviceOf), ...(all("Requires", "Unit") as ServiceName[])],
    networks: used.filter((one) => kindOf(one) === "network").map(objectOf),
    volumes: used.filter((one) => kindOf(one) === "volume").map(objectOf),
    mounts: [
      ...relative
        .filter((one) => one.startsWith("./") || (!one.startsWith("/") && kindOf(one) === undefined))
        .map((one) => `${directoryOf(path)}/${one.replace(/^\.\//, "")}`),
      ...all("EnvironmentFile").filter((one) => one.startsWith("/")),
    ],
    secrets: all("Secret").map((value) => value.split(",")[0] ?? ""),
    healthCmd: last("HealthCmd") !== undefined,
    notifyHealthy: last("Notify") === "healthy",
    oneshot: last("Type", "Service") === "oneshot",
    restarts: last("Restart", "Service") !== undefined,
    wanted: last("WantedBy", "Install") !== undefined,
  };
}

function serviceNamed(quadlet: string, named: string | undefined): ServiceName {
  const kind = kindOf(quadlet);
  return `${named ?? `${stem(quadlet)}${kind === "container" ? "" : `-${kind ?? ""}`}`}.service` as ServiceName;
}

function kindOf(path: string): GeneratedUnit["kind"] | undefined {
  return kinds.find((kind) => path.endsWith(`.${kind}`));
}

const stem = (name: string) => name.slice(0, name.lastIndexOf("."));
const baseOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);
const directoryOf = (path: string) => path.slice(0, path.lastIndexOf("/"));

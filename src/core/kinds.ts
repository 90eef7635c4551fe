/** The kinds of units that an application may bring: Podman's quadlets and systemd's own, and what is particular to each. */

/** Every suffix that Podman's generator takes for a quadlet (podman-systemd.unit(5)). `.quadlets` files hold several and are split. */
export const quadletKinds = ["container", "pod", "volume", "network", "kube", "image", "build", "artifact"] as const;
export type QuadletKind = (typeof quadletKinds)[number];

/** Unit files of systemd itself that may lie beside quadlets (systemd.unit(5)). */
export const plainKinds = ["service", "timer", "socket", "path", "target", "mount", "automount", "slice", "swap"] as const;
export type PlainKind = (typeof plainKinds)[number];

export type UnitKind = QuadletKind | PlainKind;

/**
 * What a unit is to others, and so what a change of it means:
 * - `workload`: runs; a change restarts it.
 * - `group`: a pod; a change restarts it and its members with it.
 * - `object`: a network or volume, which Podman can't alter in place.
 * - `supply`: an image, build or artifact; a change fetches or builds it anew and restarts its users.
 * - `trigger`: a timer, socket or path; started, not what it triggers.
 * - `passive`: a target or slice; nothing of its own runs.
 */
export type Role = "workload" | "group" | "object" | "supply" | "trigger" | "passive";

interface Traits {
  readonly role: Role;
  /** The quadlet's own section. */
  readonly section: string;
  /** What the generator puts between the base name and `.service` (podman-systemd.unit(5), "ServiceName="). */
  readonly ends: string;
  /** The key that names the Podman object; undefined where there is none that counts. */
  readonly objectKey: string | undefined;
}

const traits: Readonly<Record<QuadletKind, Traits>> = {
  container: { role: "workload", section: "Container", ends: "", objectKey: "ContainerName" },
  kube: { role: "workload", section: "Kube", ends: "", objectKey: undefined },
  pod: { role: "group", section: "Pod", ends: "-pod", objectKey: "PodName" },
  network: { role: "object", section: "Network", ends: "-network", objectKey: "NetworkName" },
  volume: { role: "object", section: "Volume", ends: "-volume", objectKey: "VolumeName" },
  image: { role: "supply", section: "Image", ends: "-image", objectKey: "ImageTag" },
  build: { role: "supply", section: "Build", ends: "-build", objectKey: "ImageTag" },
  artifact: { role: "supply", section: "Artifact", ends: "-artifact", objectKey: undefined },
};

const plainRoles: Readonly<Record<PlainKind, Role>> = {
  service: "workload",
  mount: "workload",
  swap: "workload",
  automount: "trigger",
  timer: "trigger",
  socket: "trigger",
  path: "trigger",
  target: "passive",
  slice: "passive",
};

export function traitsOf(kind: QuadletKind): Traits {
  return traits[kind];
}

export function roleOf(kind: UnitKind): Role {
  return isQuadletKind(kind) ? traits[kind].role : plainRoles[kind];
}

export function isQuadletKind(kind: string): kind is QuadletKind {
  return Object.hasOwn(traits, kind);
}

export function isPlainKind(kind: string): kind is PlainKind {
  return Object.hasOwn(plainRoles, kind);
}

/** The kind of a quadlet or unit file by its path's suffix; undefined for every other file, and for one that is all suffix. */
export function kindOf(path: string): UnitKind | undefined {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const dot = name.lastIndexOf(".");
  const suffix = name.slice(dot + 1);
  return dot > 0 && (isQuadletKind(suffix) || isPlainKind(suffix)) ? suffix : undefined;
}

/** Whether it is a quadlet's, a `.quadlets` file's included. */
export function isQuadlet(path: string): boolean {
  const kind = kindOf(path);
  return kind === undefined ? isQuadletsFile(path) : isQuadletKind(kind);
}

/** Several quadlets in one file (Podman 5.7 and later; pgo splits it). */
export function isQuadletsFile(path: string): boolean {
  return /[^/]\.quadlets$/.test(path);
}

/** `web.container.liquid` makes `web.container` (core/template.ts); undefined for a file that is no template. */
export function templateOutput(path: string): string | undefined {
  return /^(.*[^/])\.liquid$/.exec(path)?.[1];
}

/** The units that an application's texts make, and what each is made of. */

import type { Input, Problem, Unit } from "./bundle.ts";
import { isTemplate } from "./gather.ts";
import { dropInOwner, isDropIn } from "./layout.ts";
import { isQuadletKind, kindOf, roleOf, traitsOf, type UnitKind } from "./kinds.ts";
import { NameError, digestOf, unitName, type Digest, type RelativePath, type ServiceName, type UnitName } from "./names.ts";
import { placeFor, placeOf } from "./placing.ts";
import { isInert, unitFacts, type UnitFacts } from "./quadlet.ts";
import { lastValue, values, type Entry } from "./unit-text.ts";

/** A unit or drop-in, read. */
export interface Text {
  /** Below the application, as in Git. */
  readonly path: RelativePath;
  readonly origin: string;
  /** With variables filled in. */
  readonly text: string;
  readonly entries: readonly Entry[];
  /** Why a restart for it is, where it is not Git's. */
  readonly says?: string;
}

/** A unit with the texts that make it, before it is known what its files hold. */
export interface Sketch {
  readonly name: UnitName;
  readonly kind: UnitKind;
  readonly text: Text;
  /** In the order in which they are read. */
  readonly dropIns: readonly Text[];
  readonly facts: UnitFacts;
}

/** A file of the application that a unit may be made of. */
export interface Asset {
  readonly path: RelativePath;
  /** Where it goes on the host; an env file may be two there. */
  readonly placed: readonly RelativePath[];
  readonly digest: Digest;
}

/** One sketch for each unit, and for the default instance of a template. */
export function sketch(texts: readonly Text[], problems: Problem[]): readonly Sketch[] {
  const dropIns = texts.filter(({ path }) => isDropIn(path)).sort((a, b) => (baseName(a.path) < baseName(b.path) ? -1 : 1));
  return texts.flatMap((text): readonly Sketch[] => {
    const kind = isDropIn(text.path) ? undefined : kindOf(text.path);
    if (kind === undefined) return [];
    try {
      const name = unitName(baseName(text.path));
      return [name, ...defaultInstance(name, text.entries)].map((one) => sketchOf(one, kind, text, dropIns));
    } catch (error) {
      if (!(error instanceof NameError)) throw error;
      problems.push({ file: text.origin, line: undefined, message: error.message });
      return [];
    }
  });
}

/** What units are made of beside their texts. */
export interface Material {
  /** Files that a unit may name; of one service, since env files are rendered for each. */
  readonly assets: (service: ServiceName) => readonly Asset[];
  /** Podman secrets that it does name. */
  readonly secrets: (sketch: Sketch) => readonly Asset[];
}

export function unitsOf(sketches: readonly Sketch[], { assets, secrets }: Material): readonly Unit[] {
  const triggered = new Set(sketches.flatMap(({ facts }) => facts.triggers));
  // What is supplied is an input of its users, so it is made first: an artifact or image may go into a build, a build into a container.
  const order: readonly UnitKind[] = ["artifact", "image", "build"];
  const rank = ({ kind }: Sketch) => (order.indexOf(kind) + order.length + 1) % (order.length + 1);
  const made = new Map<Sketch, Unit>();
  for (const one of [...sketches].sort((a, b) => rank(a) - rank(b)))
    made.set(one, unitOf(one, { assets: assets(one.facts.service), secrets: secrets(one) }, [...made.values()], triggered));
  return sketches.flatMap((one) => made.get(one) ?? []);
}

function sketchOf(name: UnitName, kind: UnitKind, text: Text, all: readonly Text[]): Sketch {
  const own = (owner: string) => all.filter(({ path }) => dropInOwner(path) === owner);
  const first = unitFacts(name, kind, [...text.entries, ...own(name).flatMap(({ entries }) => entries)]);
  const dropIns: readonly Text[] = [...own(name), ...(first.service === (name as string) ? [] : own(first.service))];
  return { name, kind, text, dropIns, facts: unitFacts(name, kind, [...text.entries, ...dropIns.flatMap(({ entries }) => entries)]) };
}

/** The instance that a template's `[Install]` installs (systemd.unit(5), DefaultInstance=). */
function defaultInstance(name: UnitName, entries: readonly Entry[]): readonly UnitName[] {
  const instance = lastValue(entries, "Install", "DefaultInstance");
  return isTemplate(name) && isWanted(entries) && instance !== undefined ? [unitName(name.replace(/@(?=\.[a-z]+$)/, `@${instance}`))] : [];
}

/** Whether an `[Install]` makes something start it. */
function isWanted(entries: readonly Entry[]): boolean {
  return ["WantedBy", "RequiredBy", "UpheldBy"].some((key) => values(entries, "Install", key).length > 0);
}

function unitOf(
  one: Sketch,
  { assets, secrets }: { readonly assets: readonly Asset[]; readonly secrets: readonly Asset[] },
  others: readonly Unit[],
  triggered: ReadonlySet<ServiceName>,
): Unit {
  const { name, kind, text, dropIns, facts } = one;
  const { service, object, after, pod, image, authFile, healthCmd, oneshot, installs } = facts;
  const directory = directoryOf(text.path);
  const mounted = new Set(
    facts.paths.flatMap((path) => {
      const target = resolve(directory, path);
      return target === undefined
        ? []
        : assets.filter((asset) => target === "" || asset.path === target || asset.path.startsWith(`${target}/`));
    }),
  );
  const uses = facts.uses.filter((use) => use !== name);
  const supplies = others.filter((other) => roleOf(other.kind) === "supply" && uses.includes(other.name));
  const inputs: readonly Input[] = [
    ...keyInputs(text.entries, kind, baseName(text.path)),
    ...dropIns.flatMap(({ path, entries, says }) => {
      const live = entries.filter((entry) => !isInert(entry));
      return live.length === 0
        ? []
        : [
            {
              ...{ label: path, within: undefined, digest: digestOf(...live.flatMap(({ section, key, value }) => [section, key, value])) },
              ...(says === undefined ? {} : { says }),
            },
          ];
    }),
    ...[...mounted].map(({ path, digest }) => ({ label: path, within: undefined, digest, ...mountOf(path, directory, facts) })),
    ...secrets.map(({ path, digest }) => ({ label: `secret ${placeOf(path).path}`, within: undefined, digest })),
    ...supplies.map((supply) => ({ label: supply.name, within: undefined, digest: supply.digest })),
  ];
  return {
    name,
    kind,
    file: placeFor(text.path),
    ...{ service, object, uses, after, pod, image, authFile, healthCmd, oneshot, installs, reload: facts.reload },
    mountsOwn: facts.mounts.length > 0,
    starts: startsByItself(one, triggered),
    files: [
      ...new Set([
        placeFor(text.path),
        ...dropIns.map(({ path }) => placeFor(path)),
        ...[...mounted, ...secrets].flatMap(({ placed }) => placed),
      ]),
    ],
    inputs,
    // Sorted: the order of keys is no reason to restart.
    digest: digestOf(...inputs.map(({ label, within, digest }) => digestOf(label, within ?? "", digest)).sort()),
  };
}

/** How the container sees an asset, if it does. */
function mountOf(path: RelativePath, directory: string, { mounts }: UnitFacts): Pick<Input, "mounted"> {
  const targets = mounts.map((mount) => resolve(directory, mount)).filter((target) => target !== undefined);
  if (targets.includes(path)) return { mounted: "alone" };
  return targets.some((target) => target === "" || path.startsWith(`${target}/`)) ? { mounted: "within" } : {};
}

/** As a person would: `systemctl enable --now` what can be enabled, and timers, sockets and paths, but not what only these start. */
function startsByItself({ name, kind, text, dropIns, facts }: Sketch, triggered: ReadonlySet<ServiceName>): boolean {
  if (isTemplate(name)) return false;
  if (isQuadletKind(kind)) return !triggered.has(facts.service) || isWanted([text, ...dropIns].flatMap(({ entries }) => entries));
  switch (roleOf(kind)) {
    case "trigger":
      return true;
    case "workload":
    case "passive":
      return facts.installs && !triggered.has(facts.service);
    case "group":
    case "object":
    case "supply":
      return true;
  }
}

/** One input for each key, so that a reason can name it: `Image=` of the quadlet's own section, `[Service] Restart=` of another. */
function keyInputs(entries: readonly Entry[], kind: UnitKind, within: string): readonly Input[] {
  const own = isQuadletKind(kind) ? traitsOf(kind).section : undefined;
  const byKey = new Map<string, string[]>();
  for (const entry of entries) {
    if (isInert(entry)) continue;
    const label = `${own === entry.section ? "" : `[${entry.section}] `}${entry.key}=`;
    byKey.set(label, [...(byKey.get(label) ?? []), entry.value]);
  }
  return [...byKey].map(([label, all]) => ({ label, within, digest: digestOf(label, ...all) }));
}

/** A path as written in a unit, below the application; undefined when it is absolute or leaves it. "" is the application itself. */
export function resolve(directory: string, path: string): string | undefined {
  if (path.startsWith("/") || path.startsWith("~")) return undefined;
  const parts = directory === "" ? [] : directory.split("/");
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join("/");
}

export function directoryOf(path: string): string {
  return path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

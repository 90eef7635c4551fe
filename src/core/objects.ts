/** Podman's networks and volumes: which of them have to be made anew, who is stopped for it, and what becomes of their data. */

import type { Bundle, Unit } from "./bundle.ts";
import { settingsNames } from "./checks.ts";
import { isTemplate } from "./gather.ts";
import type { Digest, ServiceName } from "./names.ts";
import { startOrder } from "./order.ts";
import type { Observed, ObservedService, Step } from "./plan.ts";
import { reasonsOf } from "./starts.ts";

/** What Podman has of networks and volumes, and what is to be done about them. */
export interface SeenObjects {
  /** By name. */
  readonly networks: ReadonlySet<string>;
  readonly volumes: ReadonlyMap<string, SeenVolume>;
  /** Of this application, by volume. */
  readonly aside: ReadonlyMap<string, Aside>;
  readonly rules: ObjectRules;
}

export interface SeenVolume {
  /** To the nanosecond: another volume of the same name was made at another time. */
  readonly createdAt: string;
  /** Podman keeps its data; one with a device only shows what is elsewhere, and stays there. */
  readonly holdsData: boolean;
}

export interface ObjectRules {
  /** What goes with units that are gone. */
  readonly prune: "none" | "networks" | "all";
  /** Where a volume's data is copied to before it is removed; undefined: nowhere. */
  readonly backups: string | undefined;
  /** Before what uses a volume starts with something new, its data is copied, unless that was done in this rollout; undefined: it is not. */
  readonly copied: ReadonlySet<string> | undefined;
  /** Images and volumes that another application's last good version names. */
  readonly needed: ReadonlySet<string>;
}

/** Data of a volume that a rollout makes anew, until that has come to an end: going back puts it back. */
export interface Aside {
  readonly volume: string;
  /** Of the unit that the volume was made of. */
  readonly digest: Digest;
  /** Of the volume that held it. */
  readonly createdAt: string;
  /** Undefined: there is nothing to put back. */
  readonly backup: number | undefined;
  /** The volume that it is in again. */
  readonly restored: string | undefined;
}

/** A network or volume that has to be made anew, since Podman can't alter one in place, or since it is not there. */
export interface Recreation {
  readonly object: Unit;
  /** Services that use it, this application's before others', users before what they use. */
  readonly users: readonly ServiceName[];
  /** Those of other applications, which are started again as they are. */
  readonly dependents: Observed["dependents"];
  readonly isUp: boolean;
  readonly because: string;
  /** When all that use it are stopped. */
  readonly removal: readonly Step[];
  /** When it is made, before anybody uses it. */
  readonly restoration: readonly Step[];
}

type Cause = Pick<Recreation, "because" | "removal" | "restoration">;

/**
 * `podman network create --ignore` and `podman volume create --ignore` keep what is there, so a changed definition takes effect only when
 * the object is removed between (DESIGN: restarting its unit changes nothing but restarts all its users); and they are not run again for a
 * unit that is active, though a person has removed the object.
 */
export function recreations(bundle: Bundle | undefined, observed: Observed): readonly Recreation[] {
  const units = bundle?.units ?? [];
  return units.flatMap((object): readonly Recreation[] => {
    const service = observed.services.get(object.service);
    const cause =
      object.kind === "network"
        ? networkCause(object, service, observed)
        : object.kind === "volume"
          ? volumeCause(object, bundle, observed)
          : undefined;
    if (cause === undefined) return [];
    const uses = (unit: Unit) => unit.uses.includes(object.name) || unit.after.includes(object.service);
    const runs = (unit: Unit) => isUp(observed.services.get(unit.service)) && observed.services.get(unit.service)?.ours === true;
    // What is gone is stopped already; what stays may have used it before.
    const own = startOrder(units).filter(
      (unit) => [unit, ...observed.known.filter((old) => old.service === unit.service)].some(uses) && runs(unit),
    );
    const dependents = observed.dependents.filter(({ unit }) => uses(unit));
    return [
      {
        object,
        users: [
          ...own.toReversed().map((unit) => unit.service),
          ...dependents.flatMap(({ unit, isDown }) => (isDown === true ? [] : [unit.service])),
        ],
        dependents,
        isUp: isUp(service),
        ...cause,
      },
    ];
  });
}

/** What uses it is stopped first, then its unit, then the object goes: none of them goes while it is used. */
export function recreationSteps({ object, users, isUp, because, removal }: Recreation): readonly Step[] {
  const stop = (service: ServiceName): Step => ({ kind: "stop", service, because });
  return [...users.map(stop), ...(isUp ? [stop(object.service)] : []), ...removal];
}

/**
 * With `volumes = "before-rollout"`: of each volume of the application that restarting units use, a copy. They are stopped for it, so that it is of one
 * moment; what uses the volume and does not restart runs on, and writes on. One that is made anew has a copy of its own.
 */
export function copySteps(
  restarts: readonly Unit[],
  units: readonly Unit[],
  recreated: readonly Recreation[],
  { objects }: Observed,
): readonly Step[] {
  const { rules, volumes } = objects ?? {};
  if (rules?.copied === undefined || rules.backups === undefined) return [];
  const uses = (unit: Unit, volume: Unit) => unit.uses.includes(volume.name) || unit.after.includes(volume.service);
  const copies = units.flatMap((volume) => {
    const users = restarts.filter((unit) => uses(unit, volume));
    const isDue =
      volume.kind === "volume" &&
      volumes?.get(volume.object)?.holdsData === true &&
      rules.copied?.has(volume.object) === false &&
      !recreated.some(({ object }) => object === volume);
    return isDue && users.length > 0 ? [{ volume, users }] : [];
  });
  const stopped = new Set(copies.flatMap(({ users }) => users));
  const names = [...new Set(copies.flatMap(({ users }) => users.map(({ name }) => name)))].join(", ");
  const because = `${names} changed, and [backup] volumes says so`;
  return [
    ...startOrder([...stopped])
      .toReversed()
      .map(({ service }): Step => ({ kind: "stop", service, because: "its volume is copied first" })),
    ...copies.map(({ volume }): Step => ({
      kind: "backup-volume",
      volume: volume.object,
      service: volume.service,
      from: undefined,
      because,
    })),
  ];
}

/**
 * Volumes and images of units that are gone, where the settings say so: for when the new version is known to be well, since going back
 * needs them. Podman itself refuses to remove what a container uses.
 */
export function pruneSteps(gone: readonly Unit[], units: readonly Unit[], { objects }: Observed): readonly Step[] {
  if (objects?.rules.prune !== "all") return [];
  const because = (unit: Unit) => `${unit.name} is gone`;
  const kept = new Set([...objects.rules.needed, ...units.map(({ object }) => object)]);
  const volumes = new Map(gone.flatMap((unit) => (unit.kind === "volume" && !kept.has(unit.object) ? [[unit.object, unit]] : [])));
  const images = new Map(gone.flatMap((unit) => (unit.image === undefined ? [] : [[unit.image, unit]])));
  const needed = new Set([...objects.rules.needed, ...units.map(({ image }) => image)]);
  return [
    ...[...volumes.values()].flatMap((unit) => {
      const seen = objects.volumes.get(unit.object);
      return seen === undefined ? [] : removalOf(unit, { seen, from: unit.digest, because: because(unit) }, objects);
    }),
    ...[...images].flatMap(([image, unit]): readonly Step[] =>
      // What was built on the host, or loaded there, can't be had again.
      needed.has(image) || image.startsWith("localhost/") ? [] : [{ kind: "remove-image", image, because: because(unit) }],
    ),
  ];
}

/** Whether a unit's object is certainly not there. A name with a specifier is systemd's to fill in, and a template has none of its own. */
export function isMissing({ kind, object, name }: Unit, objects: Pick<SeenObjects, "networks" | "volumes"> | undefined): boolean {
  if (objects === undefined || object.includes("%") || isTemplate(name)) return false;
  return (kind === "network" && !objects.networks.has(object)) || (kind === "volume" && !objects.volumes.has(object));
}

/** `[volume.NAME] recreate` of the application's pgo.toml. */
export function mayRecreate(unit: Unit, bundle: Bundle | undefined): boolean {
  return settingsNames(unit).some((name) => bundle?.settings.volume[name]?.recreate === true);
}

/** One that nobody can tell of is made anew too: it holds nothing, and a reboot in the middle leaves such. */
function networkCause(network: Unit, service: ObservedService | undefined, { objects }: Observed): Cause | undefined {
  const remove = (because: string): Cause => ({
    because,
    removal: [{ kind: "remove-network", network: network.object, service: network.service, because }],
    restoration: [],
  });
  // One that pgo never made may be somebody else's, and is left as it is.
  if (service?.isRecorded === true && service.startedFrom?.digest !== network.digest)
    return remove(`${reasonsOf(service, network).join(", ")}: ${network.object} is made anew`);
  if (isMissing(network, objects) && isUp(service))
    return { because: `the network ${network.object} is not there`, removal: [], restoration: [] };
  return undefined;
}

/** One that nobody can tell of is left alone: it holds data. */
function volumeCause(volume: Unit, bundle: Bundle | undefined, { services, objects }: Observed): Cause | undefined {
  if (objects === undefined) return undefined;
  const service = services.get(volume.service);
  const seen = objects.volumes.get(volume.object);
  const aside = objects.aside.get(volume.object);
  // Its definition is that which the data was put aside with: it comes back.
  if (aside?.digest === volume.digest) {
    if (seen !== undefined && (seen.createdAt === aside.createdAt || seen.createdAt === aside.restored)) return undefined;
    const { backup } = aside;
    const because = `${volume.object} is made as it was${backup === undefined ? "" : `, with its data of backup ${String(backup)}`}`;
    return {
      because,
      removal: seen === undefined ? [] : removalOf(volume, { seen, from: service?.startedFrom?.digest, because }, objects),
      restoration: backup === undefined ? [] : [{ kind: "restore-volume", volume: volume.object, service: volume.service, because }],
    };
  }
  if (isMissing(volume, objects))
    return isUp(service) ? { because: `the volume ${volume.object} is not there`, removal: [], restoration: [] } : undefined;
  if (seen === undefined || service?.isRecorded !== true || !mayRecreate(volume, bundle)) return undefined;
  const from = service.startedFrom;
  if (from === undefined || from.digest === volume.digest) return undefined;
  const goes = seen.holdsData
    ? `, and its data goes${objects.rules.backups === undefined ? " for good ([backup] volumes)" : ` to a backup in ${objects.rules.backups}`}`
    : "";
  const because = `${reasonsOf(service, volume).join(", ")}: ${volume.object} is made anew${goes}`;
  return { because, removal: removalOf(volume, { seen, from: from.digest, because }, objects), restoration: [] };
}

/** Never without a backup, unless there is nothing in it, or a person has said that it needs none. */
function removalOf(
  { object: volume, service }: Unit,
  { seen, from, because }: { readonly seen: SeenVolume; readonly from: Digest | undefined; readonly because: string },
  { rules }: SeenObjects,
): readonly Step[] {
  const backup: Step = { kind: "backup-volume", volume, service, from, because };
  const remove: Step = { kind: "remove-volume", volume, service, from, because };
  return seen.holdsData && rules.backups !== undefined ? [backup, remove] : [remove];
}

function isUp(service: ObservedService | undefined): boolean {
  return service?.activity === "running" || service?.activity === "changing";
}

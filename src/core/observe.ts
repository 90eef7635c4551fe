/** From raw readings of the host to what the planner wants to know. */

import type { Bundle, Unit } from "./bundle.ts";
import { doubtedInvocation } from "./healing.ts";
import { digestOf, type Digest, type RelativePath, type ServiceName } from "./names.ts";
import type { ObservedService, StartedFrom } from "./plan.ts";

/** What systemd says of a service; the shape of the host port's reading. */
export interface ServiceReading {
  readonly load: string;
  readonly active: string;
  readonly result: string;
  readonly invocation: string;
  readonly source: string;
  readonly fragment: string;
}

/** What pgo saved when it last started a service. */
export interface StartRecord extends StartedFrom {
  readonly invocation: string;
}

/** Nobody can say what the service runs: it will be restarted. No invocation is called "none". */
export const unknownStart: StartRecord = { digest: digestOf("unknown"), inputs: [], invocation: "none" };

/**
 * A volume was not there when pgo was about to make it: until that rollout has come to an end, what is there is pgo's to make anew, whatever it
 * was made of meanwhile.
 */
export const freshStart: StartRecord = { digest: digestOf("fresh"), inputs: [], invocation: "none" };

export interface Readings {
  readonly service: ServiceReading;
  readonly record: StartRecord | undefined;
  /** The unit as it would be if the service were started from the files that lie on the host now. */
  readonly onDisk: Unit | undefined;
  readonly places: Places;
  /** A network's or volume's: a start of it makes the object only where there is none. */
  readonly keepsObject: boolean;
  /** Of a volume's unit. */
  readonly volume?: { readonly isThere: boolean };
  /** A unit file was changed and systemd has not read it since: what it starts meanwhile is the text before. */
  readonly reloadPending: boolean;
}

/** Where this application's files lie on the host. */
export interface Places {
  readonly directory: string;
  /** Plain units that pgo placed for it, in systemd's own directory. */
  readonly units: ReadonlySet<string>;
  /** Unit files of a person's that are being taken over, or given back. */
  readonly adopted?: ReadonlySet<string>;
}

export function observedService(readings: Readings): ObservedService {
  const { service, record, places } = readings;
  return {
    loaded: service.load !== "not-found",
    ours: isOurs(service, places),
    activity: activityOf(service.active),
    succeeded: service.result === "success" && record !== undefined,
    isRecorded: record !== undefined,
    startedFrom: startedFrom(readings),
  };
}

function isOurs({ load, source, fragment }: ServiceReading, { directory, units, adopted }: Places): boolean {
  if (adopted?.has(source === "" ? fragment : source) === true) return true;
  return source === "" ? fragment === "" || load === "not-found" || units.has(fragment) : source.startsWith(`${directory}/`);
}

/**
 * What a service runs. The start that pgo saved is known by its invocation. Another start (by systemd, a person or a boot) took
 * what lay on disk: that is known only when the disk holds what was saved, and else nobody can say (a crash of pgo between
 * writing and restarting, or an edit by hand).
 */
function startedFrom(readings: Readings): StartedFrom | undefined {
  const { service, record, onDisk, reloadPending, keepsObject, volume } = readings;
  if (volume !== undefined) return volumeMadeFrom(readings, volume.isThere);
  const taken = reloadPending ? undefined : onDisk;
  if (record === undefined) return activityOf(service.active) === "stopped" ? undefined : taken;
  if (record.digest === unknownStart.digest) return undefined;
  const doubted = doubtedInvocation(record.invocation);
  // Of a state database that was put back: what it does not know of took what lay on disk, a start by pgo too.
  if (doubted !== undefined) return doubted === service.invocation || service.invocation === "" ? record : taken;
  // Another start found the network or volume there and left it as it was made.
  if (keepsObject) return record;
  if (record.invocation === service.invocation || service.invocation === "") return record;
  return taken?.digest === record.digest ? record : undefined;
}

/** Another start found the volume there and left it as it was made; of one that pgo did not begin to make, what lies on disk is believed. */
function volumeMadeFrom({ service, record, onDisk, reloadPending }: Readings, isThere: boolean): StartedFrom | undefined {
  const taken = reloadPending || activityOf(service.active) === "stopped" ? undefined : onDisk;
  if (record?.digest === freshStart.digest) return isThere ? record : undefined;
  if (record !== undefined && doubtedInvocation(record.invocation) !== undefined) return taken;
  return record === undefined || record.digest === unknownStart.digest ? taken : record;
}

/**
 * What to save of a service with the intention, before the first file changes: what is known by what lies on disk is known no more once
 * the disk changes, and after a crash the next observation would be fooled. What runs under a name that somebody else has taken is theirs,
 * also when the name is given back.
 */
export function remembered(readings: Readings): StartRecord {
  if (!isOurs(readings.service, readings.places)) return unknownStart;
  const known = startedFrom(readings);
  if (known === undefined) return readings.volume?.isThere === false ? freshStart : unknownStart;
  return { digest: known.digest, inputs: known.inputs, invocation: readings.service.invocation };
}

/** Finds the unit that the files on the host make, among bundles that pgo knows: the first whose files for it are all there. */
export function unitOnDisk(
  service: ServiceName,
  bundles: readonly Bundle[],
  files: ReadonlyMap<RelativePath, { readonly digest: Digest }>,
): Unit | undefined {
  for (const bundle of bundles) {
    const unit = bundle.units.find((one) => one.service === service);
    if (unit === undefined) continue;
    const wanted = new Map(bundle.files.map((file) => [file.path, file.digest]));
    const same = unit.files.every((path) => files.get(path)?.digest === wanted.get(path));
    // A drop-in of another bundle, or of a person, makes another unit of the same file.
    const owners = [`${unit.name}.d`, `${unit.service}.d`];
    const strange = [...files.keys()].some((path) => owners.includes(path.split("/").at(-2) ?? "") && !unit.files.includes(path));
    if (same && !strange) return unit;
  }
  return undefined;
}

function activityOf(active: string): ObservedService["activity"] {
  switch (active) {
    case "active":
    case "reloading":
      return "running";
    case "activating":
    case "deactivating":
    case "maintenance":
      return "changing";
    case "failed":
      return "failed";
    default:
      return "stopped";
  }
}

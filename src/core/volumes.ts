/** Volumes hold data: which changes of them are refused, which backups of them are kept, and whether there is room for one. */

import type { Bundle, Problem } from "./bundle.ts";
import { baseOf, settingsNames } from "./checks.ts";
import { closest } from "./closest.ts";
import { mayRecreate } from "./objects.ts";
import { bytesText } from "./size.ts";

/**
 * A volume can't be altered in place (podman volume create --ignore keeps the old one), and is not thrown away unless its application says
 * so; a network is made anew.
 */
export function alteredVolumes(before: Bundle | undefined, after: Bundle): readonly Problem[] {
  return after.units.flatMap((unit) => {
    const old = before?.units.find((one) => one.name === unit.name || (one.kind === unit.kind && one.object === unit.object));
    if (unit.kind !== "volume" || old === undefined || old.digest === unit.digest) return [];
    const isSame = old.name === unit.name && old.object === unit.object && old.service === unit.service;
    if (isSame && mayRecreate(unit, after)) return [];
    const anew = isSame ? `; or set recreate = true below [volume.${baseOf(unit)}] in pgo.toml, and it begins empty, after a backup` : "";
    const message = `Podman can't alter the volume ${old.object} in place, and its data is not thrown away: give the changed volume another file name, and its users that name${anew}`;
    return [{ file: unit.file, line: undefined, message }];
  });
}

/** A `[volume.…]` section that names no volume would guard nothing, or let nothing go, silently. */
export function strayVolumes(bundle: Bundle, file: string): readonly Problem[] {
  const volumes = bundle.units.filter(({ kind }) => kind === "volume");
  return Object.keys(bundle.settings.volume)
    .filter((key) => !volumes.some((unit) => settingsNames(unit).includes(key)))
    .map((key) => {
      const names = volumes.map(baseOf);
      const near = closest(key, names);
      const meant = near === undefined ? (names.length === 0 ? "it has none" : `there are ${names.join(", ")}`) : `did you mean ${near}?`;
      return { file, line: undefined, message: `[volume.${key}] names no volume of this application: ${meant}` };
    });
}

/** A backup, as far as it matters for how long it is kept. */
interface Kept {
  readonly id: number;
  readonly volume: string;
  readonly at: Date;
}

const day = 86_400_000;

/** Of each volume the newest `keep` stay, and all of the last `days`, whichever is more; `needed` always. */
export function expiredBackups<Backup extends Kept>(
  backups: readonly Backup[],
  { keep, days, needed }: { readonly keep: number; readonly days: number; readonly needed: ReadonlySet<number> },
  now: Date,
): readonly Backup[] {
  const newest = [...backups].sort((a, b) => b.id - a.id);
  return newest.filter((one) => {
    const place = newest.filter(({ volume }) => volume === one.volume).indexOf(one);
    return place >= keep && now.getTime() - one.at.getTime() > days * day && !needed.has(one.id);
  });
}

/** Why a backup of these volumes would not fit; undefined where it would, or nobody knows. Sizes in bytes. */
export function tooLarge(
  volumes: readonly { readonly volume: string; readonly bytes: number }[],
  { directory, free, minimum }: { readonly directory: string; readonly free: number; readonly minimum: number },
): string | undefined {
  const total = volumes.reduce((sum, { bytes }) => sum + bytes, 0);
  if (total + minimum <= free) return undefined;
  const names = volumes.map(({ volume }) => volume).join(", ");
  return `a backup of ${names} needs ${bytesText(total)} at ${directory}, where ${bytesText(free)} are free ([state] min_free is ${bytesText(minimum)}): make room there, or remove old backups`;
}

/** What a rollout does with volumes and images: copies data away before it goes, puts it back, and drops old copies. */

import { digestOf, partsOf } from "../core/names.ts";
import type { ObjectRules, SeenObjects } from "../core/objects.ts";
import type { Plan, Step } from "../core/plan.ts";
import { success, trouble, type Result } from "../core/result.ts";
import { expiredBackups, tooLarge } from "../core/volumes.ts";
import type { Unit } from "../core/bundle.ts";
import { isThere, liveBundles, type Context } from "./context.ts";

type VolumeStep = Extract<Step, { readonly kind: "backup-volume" | "remove-volume" | "restore-volume" | "remove-image" }>;
type Executors = {
  readonly [Kind in VolumeStep["kind"]]: (
    step: Extract<VolumeStep, { readonly kind: Kind }>,
    signal: AbortSignal,
  ) => Promise<Result<void, string>>;
};

/** What Podman has of networks and volumes; it is asked only where one of the units is about such. */
export async function seenObjects(
  units: readonly Unit[],
  { podman }: Context,
  signal: AbortSignal,
): Promise<Pick<SeenObjects, "networks" | "volumes">> {
  const has = (kind: Unit["kind"]) => units.some((unit) => unit.kind === kind);
  const [networks, volumes] = await Promise.all([
    has("network") ? podman.networks(signal) : new Set<string>(),
    has("volume") ? podman.volumes(signal) : new Map<string, never>(),
  ]);
  return { networks, volumes };
}

/** The settings for an application's objects, and what other applications need of the host's images. */
export function objectRules(application: Plan["application"], context: Context): ObjectRules {
  const { quadlet, applications, backup } = context.config;
  const set = applications.get(partsOf(application).application)?.prune ?? quadlet.prune;
  // What goes together may all have to come back: its data and its images stay until all is well.
  const isUnderWay = context.store
    .together()
    .some(({ members }) => members.some((one) => one.application === application) && !members.every((one) => isThere(one, context)));
  const prune = set === "all" && isUnderWay ? "networks" : set;
  const rollout = context.store.rollouts().find((one) => one.application === application);
  const isDone = ({ deployment }: { readonly deployment: number | undefined }) => deployment === rollout?.deployment;
  const others = prune === "all" ? [...liveBundles(context)].filter(([id]) => id !== application) : [];
  return {
    prune,
    backups: backup.volumes === "never" ? undefined : `${backupsIn(context)}/volumes`,
    // On the way back nothing new is written, and what waits is to run again soon.
    copied:
      backup.volumes !== "before-rollout" || rollout?.phase === "reverting"
        ? undefined
        : new Set(
            rollout === undefined
              ? []
              : context.store
                  .backups()
                  .filter(isDone)
                  .map(({ volume }) => volume),
          ),
    needed: new Set(
      others.flatMap(([, { units }]) =>
        units.flatMap(({ kind, object, image }) => [...(kind === "volume" ? [object] : []), ...(image === undefined ? [] : [image])]),
      ),
    ),
  };
}

/** The steps of a plan that are about volumes and images. Each tells what it did not do, and nothing goes before its copy is whole. */
export function volumeExecutors({ application }: Plan, deployment: number, context: Context): Executors {
  const { host, podman, store, clock, journal } = context;
  return {
    "backup-volume": async ({ volume, from }, signal) => {
      const seen = (await podman.volumes(signal)).get(volume);
      if (seen === undefined) return success(undefined);
      const at = clock.now();
      // Of another volume of that name there may be one already, as old as this.
      const name = `${at.toISOString().replace(/[-:.]/g, "")}-${String(deployment)}-${digestOf(seen.createdAt).slice(0, 8)}.tar`;
      const file = `volumes/${volume}/${name}`;
      const saved = await host.exportVolume(volume, file, signal);
      if (!saved.ok)
        return trouble(
          `back ${volume} up to ${backupsIn(context)}/${file}: ${saved.trouble}; it ${from === undefined ? "is as it was" : "was not removed"}`,
        );
      const { bytes } = saved.value;
      store.atomically(() => {
        const backup = store.addBackup({ deployment, application, volume, file, bytes, at });
        const before = store.asides(application).get(volume);
        // What is put aside first is the data that the last good version had; a volume that was made since holds nothing of it.
        const isThat = before === undefined || seen.createdAt === before.createdAt || seen.createdAt === before.restored;
        if (from === undefined || !isThat) return;
        store.saveAside(application, { volume, digest: from, createdAt: seen.createdAt, backup, restored: undefined });
      });
      journal.tell({ type: "backup", application, volume, path: `${backupsIn(context)}/${file}`, bytes });
      return success(undefined);
    },

    "remove-volume": async ({ volume, service, from }, signal) => {
      const seen = (await podman.volumes(signal)).get(volume);
      if (seen === undefined) return success(undefined);
      // A timer, or a person, may have started what uses it.
      const state = (await host.services([service], signal)).get(service)?.active;
      if (state !== "inactive" && state !== "failed")
        return trouble(`remove volume ${volume}: ${service} was started meanwhile, so that its backup may be old; it was not removed`);
      if (from !== undefined && !store.asides(application).has(volume))
        store.saveAside(application, { volume, digest: from, createdAt: seen.createdAt, backup: undefined, restored: undefined });
      return podman.removeVolume(volume, signal);
    },

    "restore-volume": async ({ volume }, signal) => {
      const aside = store.asides(application).get(volume);
      const backup = store.backups().find(({ id }) => id === aside?.backup);
      const seen = (await podman.volumes(signal)).get(volume);
      if (aside === undefined || backup === undefined || seen === undefined)
        return trouble(`put the data of ${volume} back: ${seen === undefined ? "the volume" : "its backup"} is not there`);
      const done = await host.importVolume(volume, backup.file, signal);
      if (!done.ok) return trouble(`put the data of ${volume} back from ${backupsIn(context)}/${backup.file}: ${done.trouble}`);
      store.saveAside(application, { ...aside, restored: seen.createdAt });
      return success(undefined);
    },

    "remove-image": async ({ image }, signal) => {
      // Podman keeps what a container runs, but not under this name if it has another one.
      const user = (await podman.containers(signal)).find((one) => one.image === image);
      return user === undefined ? podman.removeImage(image, signal) : trouble(`remove image ${image}: ${user.service} uses it`);
    },
  };
}

/** Why a plan's backups would not fit; undefined where they would, or nobody can say. Changes nothing. */
export async function roomForBackups({ steps }: Plan, context: Context, signal: AbortSignal): Promise<string | undefined> {
  const { podman, host, config } = context;
  const volumes = steps.flatMap((step) => (step.kind === "backup-volume" ? [step.volume] : []));
  if (volumes.length === 0) return undefined;
  try {
    const [sizes, free] = await Promise.all([podman.volumeSizes(signal), host.freeSpace(signal)]);
    const large = volumes.map((volume) => ({ volume, bytes: sizes.get(volume) ?? 0 }));
    return tooLarge(large, { directory: backupsIn(context), free, minimum: config.state.minFree });
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** Removes the copies that the settings no longer keep. The record goes last: a copy that nobody knows of would stay for ever. */
export async function dropOldBackups({ store, host, config, clock }: Context, signal: AbortSignal): Promise<void> {
  const { keep, keepDays: days } = config.backup;
  for (const { id, file } of expiredBackups(store.backups(), { keep, days, needed: store.backupsNeeded() }, clock.now())) {
    await host.removeBackup(file, signal);
    store.forgetBackup(id);
  }
}

function backupsIn({ config }: Context): string {
  return `${config.state.directory}/backups`;
}

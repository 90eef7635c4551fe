/** Backups of applications around a rollout: what was there is kept before it goes, listed, and brought back through the one rollout. */

import { assemble } from "../core/assemble.ts";
import { changedByHand, changesSomething, expiredVersions, withChanges } from "../core/backups.ts";
import type { Bundle } from "../core/bundle.ts";
import { digestOf, partsOf, type ApplicationId, type Digest, type RelativePath } from "../core/names.ts";
import { shownPath } from "../core/placing.ts";
import type { Plan } from "../core/plan.ts";
import type { BackupsReport } from "../core/report.ts";
import type { FoundFile, StoredBundle, VersionBackup } from "../ports.ts";
import { draftOf, type Context } from "./context.ts";
import type { Observation } from "./observe.ts";

/** What is there before a rollout. */
export interface Before {
  readonly bundle: Digest;
  /** Set where it is not the last good: files were changed by hand. */
  readonly stored: StoredBundle | undefined;
  readonly changed: readonly string[];
}

/**
 * The last good version as it lies on the host, if the rollout changes or removes something of it; undefined where there is nothing to keep, as
 * before a repair of files that are gone. Its images are noted by what ran.
 */
export async function whatIsThere(
  made: Plan,
  { live, isNew, observation }: { readonly live: Bundle | undefined; readonly isNew: boolean; readonly observation: Observation },
  context: Context,
  signal: AbortSignal,
): Promise<Before | undefined> {
  if (live === undefined || !changesSomething(made)) return undefined;
  const paths = changedByHand(live, observation.observed);
  if (paths.length === 0) return isNew ? { bundle: live.digest, stored: undefined, changed: [] } : undefined;
  const changed = await contentsOf(made.application, paths, context, signal);
  const saved = context.store.bundle(live.digest);
  const said = paths.map(shownPath);
  if (changed.size === 0 || saved === undefined) return { bundle: live.digest, stored: undefined, changed: said };
  const { entries, sealed, contents, left } = withChanges(saved, changed);
  for (const content of contents) await context.sealed.put(content, signal);
  if (left.length === changed.size) return { bundle: live.digest, stored: undefined, changed: said };
  const stored = { ...saved, entries, sealed };
  const again = assemble(draftOf(stored), context.bundles.renderingOf(stored));
  // What is no valid version any more is kept all the same: to be looked at, not to be rolled out.
  const digest = again.ok
    ? again.value.digest
    : digestOf(live.digest, ...[...changed].flatMap(([path, { content }]) => [path, digestOf(content)]));
  return { bundle: digest, stored: { ...stored, digest }, changed: said };
}

/** For the transaction that saves the intention. */
export function saveBefore(
  { bundle, stored, changed }: Before,
  {
    application,
    deployment,
    live,
  }: { readonly application: ApplicationId; readonly deployment: number; readonly live: Bundle | undefined },
  { store, clock }: Context,
): void {
  if (stored !== undefined) {
    store.saveBundle(stored);
    if (live !== undefined) store.saveRanImages(bundle, store.ranImages(live.digest));
  }
  store.addVersionBackup({ deployment, application, bundle, changed, at: clock.now() });
}

/** Forgets those that the settings no longer keep; their contents go with the next trim. */
export function dropOldVersions({ store, config, clock }: Context): void {
  const { keep, keepDays: days } = config.backup;
  for (const { id } of expiredVersions(store.versionBackups(), { keep, days }, clock.now())) store.forgetBackup(id);
}

/** Newest first; of one application, or all. */
export function backupsReport(application: ApplicationId | undefined, { store, config }: Context): BackupsReport {
  const directory = `${config.state.directory}/backups`;
  const isMeant = (one: { readonly application: ApplicationId }) => application === undefined || one.application === application;
  return {
    applications: store
      .versionBackups()
      .filter(isMeant)
      .map((one) => ({ ...named(one), id: one.id, at: one.at.toISOString(), before: one.deployment ?? null, changed: [...one.changed] })),
    volumes: store
      .backups()
      .filter(isMeant)
      .map((one) => ({
        ...named(one),
        ...{ id: one.id, at: one.at.toISOString(), before: one.deployment ?? null, volume: one.volume },
        ...{ path: `${directory}/${one.file}`, bytes: one.bytes },
      })),
    state: application !== undefined ? [] : store.copies().map(({ path, bytes, at }) => ({ path, bytes, at: at.toISOString() })),
  };
}

function named({ application: id }: Pick<VersionBackup, "application">) {
  const { source, application } = partsOf(id);
  return { source, application };
}

async function contentsOf(
  application: ApplicationId,
  paths: readonly RelativePath[],
  { host }: Context,
  signal: AbortSignal,
): Promise<ReadonlyMap<RelativePath, FoundFile>> {
  const found = await host.found(partsOf(application).source, (one, path) => one === application && paths.includes(path), signal);
  return new Map([...(found.get(application) ?? [])].filter(([path]) => paths.includes(path)));
}

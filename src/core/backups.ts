/** Backups of applications: what was there before a rollout, as a bundle that can be rolled out again, and how long such are kept. */

import type { Bundle, TreeEntry } from "./bundle.ts";
import { fileDigest } from "./files.ts";
import { digestOf, type ApplicationId, type Digest, type RelativePath } from "./names.ts";
import type { Plan } from "./plan.ts";
import type { SealedFiles } from "./rendering.ts";

/** A bundle as the state database holds it, as far as it matters here. */
interface Saved {
  readonly entries: ReadonlyMap<RelativePath, TreeEntry>;
  readonly sealed: SealedFiles;
}

/** Placed files that are not as the bundle has them: what a person changed by hand, and what is about to be overwritten. Those that are gone come back anyway. */
export function changedByHand(
  bundle: Bundle | undefined,
  {
    files,
    inventory,
  }: { readonly files: ReadonlyMap<RelativePath, { readonly digest: Digest }>; readonly inventory: ReadonlySet<RelativePath> },
): readonly RelativePath[] {
  return (bundle?.files ?? []).flatMap(({ path, digest }) => {
    const present = files.get(path);
    return present !== undefined && present.digest !== digest && inventory.has(path) ? [path] : [];
  });
}

/** Whether a rollout leaves nothing of what was there: then it is worth being able to come back to. */
export function changesSomething({ steps }: Plan): boolean {
  return steps.some(
    (step) => step.kind !== "start" && step.kind !== "reset-failed" && !(step.kind === "write" && step.replaces === undefined),
  );
}

/**
 * A saved bundle with files as they were changed by hand in the place of Git's. What several files of Git's are made of, or a template's, can't be put
 * back into it: `left` names those.
 */
export function withChanges(
  saved: Saved,
  changed: ReadonlyMap<RelativePath, { readonly mode: number; readonly content: Uint8Array }>,
): Saved & { readonly contents: readonly Uint8Array[]; readonly left: readonly RelativePath[] } {
  const entries = new Map(saved.entries);
  const sealed = new Map(saved.sealed);
  const contents: Uint8Array[] = [];
  const left: RelativePath[] = [];
  for (const [path, { mode, content }] of changed) {
    if (sealed.has(path)) {
      sealed.set(path, { sealed: digestOf(content), digest: fileDigest(0o600, content) });
      contents.push(content);
    } else if (entries.get(path)?.kind === "file") entries.set(path, { kind: "file", executable: (mode & 0o100) !== 0, content });
    else left.push(path);
  }
  return { entries, sealed, contents, left };
}

interface Kept {
  readonly id: number;
  readonly application: ApplicationId;
  readonly at: Date;
}

const day = 86_400_000;
/** However many there are in the days that are kept: each may hold a bundle of its own. */
const most = 50;

/** Of each application the newest `keep` stay, and all of the last `days`, whichever is more, fifty at most. */
export function expiredVersions<Backup extends Kept>(
  backups: readonly Backup[],
  { keep, days }: { readonly keep: number; readonly days: number },
  now: Date,
): readonly Backup[] {
  const places = new Map<ApplicationId, number>();
  return [...backups]
    .sort((a, b) => b.id - a.id)
    .filter((one) => {
      const place = places.get(one.application) ?? 0;
      places.set(one.application, place + 1);
      return place >= keep && (now.getTime() - one.at.getTime() > days * day || place >= Math.max(keep, most));
    });
}

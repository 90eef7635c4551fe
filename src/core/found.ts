/** A bundle made of what lies on the host, for an application of which the state database knows nothing any more. */

import { assemble } from "./assemble.ts";
import type { Bundle, Problem, TreeEntry, Unit } from "./bundle.ts";
import { fileDigest } from "./files.ts";
import type { Draft } from "./layout.ts";
import { digestOf, type ApplicationId, type Digest, type RelativePath } from "./names.ts";
import { placeOf, shownPath } from "./placing.ts";
import { processedMode, recalledRendering, type SealedFiles } from "./rendering.ts";
import { success, type Result } from "./result.ts";
import type { Vars } from "./substitute.ts";

export interface Found {
  readonly digest: Digest;
  readonly entries: ReadonlyMap<RelativePath, TreeEntry>;
  readonly sealed: SealedFiles;
  readonly units: readonly Unit[];
  /** Contents that may hold secrets. */
  readonly contents: readonly Uint8Array[];
}

/**
 * What lies there was rendered: nothing is filled in once more. Where Git has the very same, and no pgo.toml beside it, this is Git's bundle;
 * else it is what can be gone back to. Undefined where there is no unit.
 */
export function foundBundle(
  application: ApplicationId,
  files: ReadonlyMap<RelativePath, { readonly mode: number; readonly content: Uint8Array }>,
): Result<Found | undefined, readonly Problem[]> {
  const isSecret = (path: RelativePath, mode: number) => placeOf(path).place === "env" || mode === processedMode;
  const entries = new Map<RelativePath, TreeEntry>();
  const sealed = new Map<RelativePath, { readonly sealed: Digest; readonly digest: Digest }>();
  const contents: Uint8Array[] = [];
  for (const [path, { mode, content }] of files) {
    if (!isSecret(path, mode)) entries.set(path, { kind: "file", executable: (mode & 0o100) !== 0, content });
    else {
      sealed.set(path, { sealed: digestOf(content), digest: fileDigest(mode, content) });
      contents.push(content);
    }
  }
  const located = [...entries].map(([path, entry]): [RelativePath, { entry: TreeEntry; origin: string }] => [
    path,
    { entry, origin: path },
  ]);
  const draft: Draft = { application, files: new Map(located), problems: [] };
  const nothing: Vars = new Map();
  const rendering = recalledRendering({ vars: nothing, sealed, pins: new Map(), envDirectory: "/", template: undefined, self: undefined });
  const made = assemble(draft, rendering);
  if (!made.ok) return made;
  if (made.value.units.length === 0) return success(undefined);
  const whole = withSealed(made.value, sealed);
  const digest = digestOf(application, ...whole.files.flatMap((file) => [file.path, file.digest]), "");
  return success({ digest, entries, sealed, contents, units: whole.units });
}

/** A bundle with those sealed files that none of its own made: of what was found on the host nobody can say what they came of. */
export function withSealed(bundle: Bundle, sealed: SealedFiles): Bundle {
  const missing = [...sealed].filter(([path]) => placeOf(path).place !== "secret" && !bundle.files.some((file) => file.path === path));
  if (missing.length === 0) return bundle;
  const files = [
    ...bundle.files,
    ...missing.map(([path, known]) => ({ path, mode: processedMode, content: new Uint8Array(), ...known })),
  ].sort((a, b) => (shownPath(a.path) < shownPath(b.path) ? -1 : 1));
  return { ...bundle, files };
}

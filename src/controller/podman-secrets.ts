/** An application's Podman secrets on the host: which are there, how one is made, and how it goes. Only those with its label are touched. */

import type { BundleFile } from "../core/bundle.ts";
import { digestOf, type ApplicationId, type Digest, type RelativePath } from "../core/names.ts";
import { placeOf } from "../core/placing.ts";
import { secretPath } from "../core/podman-secrets.ts";
import type { Result } from "../core/result.ts";
import type { PodmanSecret } from "../ports.ts";
import type { Context } from "./context.ts";

/** Everybody who may use Podman sees labels: the value's is a keyed digest, of which nothing can be guessed. */
const labels = { application: "pgo.application", value: "pgo.value" } as const;

export interface SeenSecrets {
  /** The application's own, and those of others at the place of one that it may bring. */
  readonly files: ReadonlyMap<RelativePath, { readonly digest: Digest }>;
  readonly own: ReadonlySet<RelativePath>;
}

/** `files`: of all bundles that may be on the host or shall be. Podman is asked only where one of them, or the inventory, has a secret. */
export async function lookAtSecrets(
  application: ApplicationId,
  { files, known }: { readonly files: readonly BundleFile[]; readonly known: readonly PodmanSecret[] | undefined },
  context: Context,
  signal: AbortSignal,
): Promise<SeenSecrets> {
  const placed = [...context.store.inventory(application)].map(([path, digest]) => ({ path, digest }));
  const candidates = [...files, ...placed].filter(({ path }) => isSecret(path));
  const seen = new Map<RelativePath, { readonly digest: Digest }>();
  const own = new Set<RelativePath>();
  for (const { name, labels: found } of candidates.length === 0 ? [] : (known ?? (await context.podman.secrets(signal)))) {
    const isOwn = found[labels.application] === application;
    const path = candidates.find((one) => placeOf(one.path).path === name)?.path ?? (isOwn ? secretPath(name) : undefined);
    if (path === undefined) continue;
    const value = found[labels.value] ?? "";
    const same = isOwn ? candidates.find((one) => one.path === path && context.keyedDigest(one.digest) === value) : undefined;
    seen.set(path, { digest: same?.digest ?? digestOf("another value", value) });
    if (isOwn) own.add(path);
  }
  return { files: seen, own };
}

export function isSecret(path: RelativePath): boolean {
  return placeOf(path).place === "secret";
}

/** `replace`: one of the application's own is there. */
export async function saveSecret(
  { path, content, digest }: BundleFile,
  { application, replace }: { readonly application: ApplicationId; readonly replace: boolean },
  { podman, keyedDigest, reach }: Context,
  signal: AbortSignal,
): Promise<Result<void, string>> {
  const secret = { name: placeOf(path).path, value: content, replace };
  const tags = { [labels.application]: application, [labels.value]: keyedDigest(digest) };
  const saved = await podman.saveSecret({ ...secret, labels: tags }, signal);
  // Podman that is away is no fault of the version's.
  if (!saved.ok) await reach.check(signal);
  return saved;
}

export async function removeSecret(path: RelativePath, { podman, reach }: Context, signal: AbortSignal): Promise<Result<void, string>> {
  const removed = await podman.removeSecret(placeOf(path).path, signal);
  if (!removed.ok) await reach.check(signal);
  return removed;
}

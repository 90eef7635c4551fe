/** Images by digest, around a rollout: what ran is noted, what is held is kept findable, and going back brings the image of then. */

import type { Bundle } from "../core/bundle.ts";
import { hasRegistry, keptName, referenceOf, wouldDiffer, type FloatingImage, type RanImage } from "../core/images.ts";
import { problemText } from "../core/judgement.ts";
import type { ApplicationId, Digest, RelativePath, ServiceName } from "../core/names.ts";
import { plan } from "../core/plan.ts";
import { policyOf } from "../core/policy-config.ts";
import { success, type Result } from "../core/result.ts";
import type { Reverting } from "../core/rollout.ts";
import type { ContainerState, StoredBundle } from "../ports.ts";
import { draftOf, liveBundles, type Context } from "./context.ts";
import { judge, witnessesOf } from "./judge.ts";
import { observe } from "./observe.ts";
import { pullNew } from "./superseded.ts";

/** Remembers which images a bundle's containers run: once they are known to be healthy, and before a rollout replaces them. To go back is to go back to those. */
export async function noteRunning(bundle: Bundle | undefined, context: Context, signal: AbortSignal): Promise<void> {
  const { podman, store } = context;
  if (bundle === undefined || bundle.images.length === 0) return;
  const containers = await podman.containers(signal);
  const noted = new Map(store.ranImages(bundle.digest));
  for (const { path, services } of bundle.images) {
    const container = runningOf(services, containers);
    if (container === undefined) continue;
    // An image may have several manifests, and its registry knows the one that it was pulled by: that is told by its name (5.4.2).
    const named = await podman.image(container.image, signal);
    const image = named?.id === container.imageId ? named : await podman.image(container.imageId, signal);
    if (image !== undefined) noted.set(path, { id: image.id, reference: referenceOf(container.image, image) });
  }
  store.saveRanImages(bundle.digest, noted);
}

/** The container that runs an image's service now. */
export function runningOf(services: readonly ServiceName[], containers: readonly ContainerState[]): ContainerState | undefined {
  return containers.find(({ service, state }) => services.includes(service) && state === "running");
}

/**
 * Before a rollout's first step: each image that the bundle holds is on the host, under a name of its own. The trouble is for people, and
 * holds the rollout.
 */
export async function secureImages({ images }: Bundle, context: Context, signal: AbortSignal): Promise<Result<void, string>> {
  for (const { pin, authFile } of images) {
    const done = pin === undefined ? success(undefined) : await secure({ reference: pin, id: undefined, authFile }, context, signal);
    if (!done.ok) return done;
  }
  return success(undefined);
}

/** What is on the host is named, else it is pulled by its digest. */
async function secure(
  { reference, id, authFile }: { readonly reference: string; readonly id: string | undefined; readonly authFile: string | undefined },
  { podman, store }: Context,
  signal: AbortSignal,
): Promise<Result<void, string>> {
  if (await podman.hasImage(reference, signal)) return podman.nameImage(reference, keptName(reference), signal);
  // The name that it came by has moved on: Podman knows it by its id alone.
  if (id !== undefined && (await podman.image(id, signal)) !== undefined) return podman.nameImage(id, keptName(reference), signal);
  const pulled = await pullNew(reference, authFile, { podman, store }, signal);
  return pulled.ok ? podman.nameImage(reference, keptName(reference), signal) : pulled;
}

/** Takes the names of images away that one of these bundles held and that nothing live holds any more. */
export async function releaseImages(ended: readonly Bundle[], context: Context, signal: AbortSignal): Promise<void> {
  const pinsOf = (bundles: Iterable<Bundle>) => new Set([...bundles].flatMap(({ images }) => images.flatMap(({ pin }) => pin ?? [])));
  const held = pinsOf(liveBundles(context).values());
  // Where it fails, an image is kept for longer than it need be.
  for (const pin of pinsOf(ended)) if (!held.has(pin)) await context.podman.unnameImage(keptName(pin), signal);
}

/** A rollout that goes back, to the last good with the images that it ran: saved so, for a crash on the way. */
export async function exactFallback(rollout: Reverting, context: Context, signal: AbortSignal): Promise<Reverting> {
  const { store, bundles } = context;
  if (rollout.goal !== "absent") await noteTried(bundles.get(rollout.goal), context, signal);
  if (rollout.fallback === "absent") return rollout;
  const exact = await exactly(rollout.application, rollout.fallback, context, signal);
  if (exact.digest === rollout.fallback) return rollout;
  const held: Reverting = { ...rollout, fallback: exact.digest };
  store.saveRollout(held);
  return held;
}

/** What failed is known by its images too, so that the very same is not taken for a new one. */
async function noteTried(goal: Bundle, { podman, store }: Context, signal: AbortSignal): Promise<void> {
  const noted = new Map(store.ranImages(goal.digest));
  for (const { path, name, pin } of goal.images) {
    const image = await podman.image(pin ?? name, signal);
    if (image !== undefined) noted.set(path, { id: image.id, reference: pin ?? referenceOf(name, image) });
  }
  store.saveRanImages(goal.digest, noted);
}

/**
 * A saved bundle as it ran: where to start a service of it would bring another image than then, with a pin. The bundle with pins is saved
 * too, under a digest of its own. Where nothing differs, or the image of then can't be had (which is told), it is the bundle itself.
 */
export async function exactly(application: ApplicationId, digest: Digest, context: Context, signal: AbortSignal): Promise<Bundle> {
  const { bundles, store, podman, journal } = context;
  const bundle = bundles.get(digest);
  const ran = store.ranImages(digest);
  const free = bundle.images.filter(({ path, pin }) => pin === undefined && ran.has(path));
  const stored = store.bundle(digest);
  if (free.length === 0 || stored === undefined) return bundle;
  const { observed } = await observe({ application, bundle }, context, signal);
  const { steps } = plan({ application, bundle }, observed);
  const starting = new Set(steps.flatMap((step) => (step.kind === "start" || step.kind === "restart" ? [step.service] : [])));
  const pins = new Map(stored.pins);
  for (const image of free) {
    const was = ran.get(image.path);
    if (was === undefined || !image.services.some((service) => starting.has(service))) continue;
    if (!wouldDiffer(image, was, await podman.image(image.name, signal))) continue;
    const secured = await secure({ ...was, authFile: image.authFile }, context, signal);
    if (secured.ok) pins.set(image.path, was.reference);
    else journal.tell({ type: "warning", subject: application, message: lost(image, was, secured.trouble) });
  }
  return pins.size === stored.pins.size ? bundle : await withPins(stored, { bundle, pins }, context, signal);
}

function lost({ name }: FloatingImage, { reference }: RanImage, trouble: string): string {
  return `${name} can't go back to ${reference}, and is used as it is now: ${trouble}`;
}

/** Judged like everything else that is placed. */
async function withPins(
  stored: StoredBundle,
  { bundle, pins }: { readonly bundle: Bundle; readonly pins: ReadonlyMap<RelativePath, string> },
  context: Context,
  signal: AbortSignal,
): Promise<Bundle> {
  const { bundles, store, config, journal } = context;
  const trial = {
    drafts: [draftOf(stored)],
    live: liveBundles(context),
    rendering: () => bundles.renderingOf({ ...stored, pins }),
    policy: (id: ApplicationId) => policyOf(config.policy, id),
    secrets: { missing: "empty", unreadable: [] },
  } as const;
  const judged = (await judge(trial, witnessesOf(context), signal)).get(stored.application);
  if (judged?.kind === "bundle") {
    const { digest } = judged.bundle;
    store.atomically(() => {
      store.saveBundle({ ...stored, digest, pins });
      store.saveRanImages(digest, store.ranImages(stored.digest));
    });
    return bundles.get(digest);
  }
  const why = judged?.kind === "rejected" ? problemText(judged.problems) : "it was not judged";
  journal.tell({ type: "warning", subject: stored.application, message: `its images can't be held by digest: ${why}` });
  return bundle;
}

/** Of an application, the images that are looked after: not those that podman auto-update does, or that are made on the host. */
export function watched({ images }: Bundle): readonly FloatingImage[] {
  return images.filter((image) => !image.autoUpdate && hasRegistry(image) && image.services.length > 0);
}

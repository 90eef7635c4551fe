/** Images that earlier versions needed, and that go, where `[images] prune` says so, once no saved version needs them any more. */

import { fateOf, type ImageNeeds, type PulledImage } from "../core/superseded.ts";
import { reasonOf, type Result } from "../core/result.ts";
import type { Context } from "./context.ts";

/** Pulls an image that is not on the host, and remembers that it came by pgo. */
export async function pullNew(
  image: string,
  authFile: string | undefined,
  { podman, store }: Pick<Context, "podman" | "store">,
  signal: AbortSignal,
): Promise<Result<void, string>> {
  const pulled = await podman.pull(image, authFile, signal);
  const known = pulled.ok ? await podman.image(image, signal) : undefined;
  if (known !== undefined) store.savePulledImage({ name: image, id: known.id, wasNeeded: false });
  return pulled;
}

/**
 * After rollouts, when the state has forgotten what `keep_good` no longer keeps: removes what fateOf says. What can't be removed is told and
 * stays; what can't be found out keeps all.
 */
export async function removeSuperseded(context: Context, signal: AbortSignal): Promise<void> {
  const { store, podman, journal, config } = context;
  // A rollout that is under way may go back to what no saved version names.
  if (!config.images.prune || store.rollouts().length > 0 || store.together().length > 0) return;
  const pulled = store.pulledImages();
  if (pulled.length === 0) return;
  try {
    const needs = await needsOf(context);
    for (const one of pulled) await deal(one, needs);
  } catch (error) {
    signal.throwIfAborted();
    journal.tell({ type: "warning", subject: "images", message: `no image is removed for now: ${reasonOf(error)}` });
  }

  async function deal(one: PulledImage, needs: ImageNeeds): Promise<void> {
    const [image, named] = [await podman.image(one.id, signal), await podman.image(one.name, signal)];
    const isUsed = image !== undefined && (await podman.isImageUsed(one.id, signal));
    const fate = fateOf(one, needs, { image, named, isUsed });
    switch (fate.do) {
      case "keep":
        return;
      case "note":
        store.savePulledImage({ ...one, wasNeeded: true });
        return;
      case "forget":
        store.forgetPulledImage(one);
        return;
      case "remove": {
        const removed = await podman.removeImage(fate.image, signal);
        const what = one.name === fate.image ? one.name : `${one.name} (${one.id.slice(0, 12)})`;
        if (!removed.ok) {
          journal.tell({ type: "warning", subject: "images", message: `${removed.trouble}: ${what} stays on the host` });
          return;
        }
        journal.tell({ type: "image", image: one.name, id: one.id });
        // With another name it is still there, and is looked at again.
        if ((await podman.image(one.id, signal)) === undefined) store.forgetPulledImage(one);
      }
    }
  }
}

/** Of what runs, what is wanted, and the `keep_good` last good versions of each application. What only a backup needs is pulled again for it. */
async function needsOf({ store, bundles, handovers, config }: Context): Promise<ImageNeeds> {
  const own = [...(await handovers.present())].map(({ text }) => text);
  const last = await handovers.record();
  const handed = last === undefined ? [] : [last.from, last.to].flatMap(({ image, files }) => [image, ...files.map(({ text }) => text)]);
  const saved = store.versions(config.state.keepGood);
  const texts = saved.flatMap((digest) =>
    bundles.get(digest).files.flatMap(({ content, sealed }) => (sealed === undefined ? [Buffer.from(content).toString("utf8")] : [])),
  );
  const moved = store.applications().flatMap((one) => [...store.movedImages(one.id).values()].map(({ id }) => id));
  const ran = saved.flatMap((digest) => [...store.ranImages(digest).values()].map(({ id }) => id));
  return {
    texts: [...own, ...handed, ...texts],
    ran: new Set([...ran, ...moved, ...(last === undefined ? [] : [last.from.image, last.to.image])]),
  };
}

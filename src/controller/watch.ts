/** The look at registries (`track_digests`): whether names of images stand for something new there. */

import { movedTo, registryOf, type FloatingImage, type KnownImage, type RanImage } from "../core/images.ts";
import { partsOf, type ApplicationId, type SourceName } from "../core/names.ts";
import { success, trouble, type Result } from "../core/result.ts";
import type { ApplicationRecord, ContainerState } from "../ports.ts";
import type { Context } from "./context.ts";
import { runningOf, watched } from "./images.ts";
import { isUnfinished } from "./rollout.ts";
import { suspensionOf } from "./schedule.ts";

/** A registry that is silent for longer is not asked for more in the same look: everything else waits meanwhile. In milliseconds. */
const patience = 20_000;

interface Answers {
  readonly byName: Map<string, Result<KnownImage, string>>;
  readonly slow: Set<string>;
}

/** What is remembered between two looks. After a restart of pgo every source is judged anew, and trouble is told once more. */
export class ImageWatch {
  /** Sources where something has moved that was not dealt with yet. */
  readonly #moved = new Set<SourceName>();
  /** Names that could not be asked for last time. */
  readonly #failing = new Set<string>();

  isStale(source: SourceName): boolean {
    return this.#moved.has(source);
  }

  dealtWith(source: SourceName): void {
    this.#moved.delete(source);
  }

  /**
   * Asks for each name once; what has moved is pulled and remembered, and its users are for the judgement that follows. A registry that
   * can't be reached is told when that begins, and changes nothing. An application that is suspended, or stays on an earlier version by a
   * person's wish, is left alone.
   */
  async look(source: SourceName, context: Context, signal: AbortSignal): Promise<void> {
    const { store, bundles, clock, podman } = context;
    const own = store.applications().filter(({ id }) => partsOf(id).source === source);
    const asked: Answers = { byName: new Map(), slow: new Set() };
    let containers: readonly ContainerState[] | undefined;
    for (const record of own) {
      const { id, lastGood, pinnedAgainst } = record;
      if (lastGood === undefined || pinnedAgainst !== undefined) continue;
      if (suspensionOf(id, store, clock.now()) !== undefined || isUnfinished(id, context)) continue;
      const images = watched(bundles.get(lastGood));
      if (images.length === 0) {
        store.saveMovedImages(id, new Map());
        continue;
      }
      containers ??= await podman.containers(signal);
      if (await this.#lookAt({ ...record, lastGood }, { images, containers, asked }, context, signal)) this.#moved.add(source);
    }
  }

  /** Answers whether something has moved. */
  async #lookAt(
    { id, lastGood }: ApplicationRecord & { readonly lastGood: NonNullable<ApplicationRecord["lastGood"]> },
    around: {
      readonly images: readonly FloatingImage[];
      readonly containers: readonly ContainerState[];
      readonly asked: Answers;
    },
    context: Context,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { store, clock } = context;
    const { asked } = around;
    const before = store.movedImages(id);
    const after = new Map<string, RanImage>();
    const ran = store.ranImages(lastGood);
    const failed = store.quarantined(id).map(({ digest }) => ({ digest, ran: store.ranImages(digest) }));
    for (const image of around.images) {
      const { name, path, services, authFile } = image;
      const tracked = after.get(name) ?? before.get(name);
      if (tracked !== undefined) after.set(name, tracked);
      const running = runningOf(services, around.containers)?.imageId ?? ran.get(path)?.id;
      if (running === undefined || asked.slow.has(registryOf(name))) continue;
      const key = `${name}\0${authFile ?? ""}`;
      const began = clock.monotonic();
      const known = asked.byName.get(key) ?? (await this.#ask(id, image, context, signal));
      asked.byName.set(key, known);
      if (!known.ok && clock.monotonic() - began > patience) asked.slow.add(registryOf(name));
      if (!known.ok) continue;
      const tried = failed.flatMap((one) => one.ran.get(path)?.id ?? []);
      const move = movedTo(name, { now: known.value, running: [running], tracked, tried });
      if (move !== undefined) after.set(name, move);
    }
    store.saveMovedImages(id, after);
    return [...after].some(([name, { id: moved }]) => before.get(name)?.id !== moved);
  }

  async #ask(
    application: ApplicationId,
    { name, authFile }: FloatingImage,
    { podman, store, journal }: Context,
    signal: AbortSignal,
  ): Promise<Result<KnownImage, string>> {
    const before = await podman.image(name, signal);
    const updated = await podman.update(name, authFile, signal);
    const image = updated.ok ? await podman.image(name, signal) : undefined;
    if (image !== undefined && image.id !== before?.id) store.savePulledImage({ name, id: image.id, wasNeeded: false });
    if (image !== undefined) {
      if (this.#failing.delete(name))
        journal.tell({ type: "warning", subject: application, message: `${name} can be asked for at its registry again` });
      return success(image);
    }
    const reason = updated.ok ? `pull ${name}: it is not on the host after that` : updated.trouble;
    if (!this.#failing.has(name))
      journal.tell({
        type: "warning",
        subject: application,
        message: `whether ${name} has moved can't be asked, what runs is kept: ${reason}`,
      });
    this.#failing.add(name);
    return trouble(reason);
  }
}

/** Which images that pgo has pulled nothing needs any more: decided by what saved versions name and have run. Pure. */

import type { KnownImage } from "./images.ts";

/** An image that pgo brought to the host: it was not there before. */
export interface PulledImage {
  /** By which it was pulled: as a quadlet has it, or a reference by digest. */
  readonly name: string;
  readonly id: string;
  /** Whether some saved version has needed it: what was pulled for a rollout that never began still may be needed. */
  readonly wasNeeded: boolean;
}

/** What versions that may still run, or be gone back to, say. */
export interface ImageNeeds {
  /** All that their files hold, those of pgo's own quadlet too. */
  readonly texts: readonly string[];
  /** Ids of images that they have run, or shall run. */
  readonly ran: ReadonlySet<string>;
}

/**
 * Any mention counts, also in a file that is no quadlet: Kubernetes YAML, a Containerfile, a script. A longer name that begins with it does
 * too, which keeps an image for longer than it need be, and never removes one that is needed.
 */
function isNeeded(names: readonly string[], id: string, { texts, ran }: ImageNeeds): boolean {
  return ran.has(id) || names.some((name) => texts.some((text) => text.includes(name)));
}

/** What the host shows of a pulled image. */
export interface ImageSight {
  /** What its id stands for; undefined: it is gone. */
  readonly image: KnownImage | undefined;
  /** What its name stands for. */
  readonly named: KnownImage | undefined;
  /** By any container, of pgo's or not, running or not. */
  readonly isUsed: boolean;
}

/**
 * - `keep`: as it is; `note`: that it was needed.
 * - `forget`: there is nothing to remove.
 * - `remove`: the name, and the image with its last one; or an id that has no name left.
 */
export type Fate = { readonly do: "keep" | "note" | "forget" } | { readonly do: "remove"; readonly image: string };

/** One whose name has moved on to another image has either no name any more, or one that somebody gave it, and keeps it for. */
export function fateOf(pulled: PulledImage, needs: ImageNeeds, { image, named, isUsed }: ImageSight): Fate {
  if (image === undefined) return { do: "forget" };
  const stands = named?.id === pulled.id;
  // A name that has moved on is needed for what it stands for now, the old image where it is held by its digest.
  const names = [`@${image.digest}`, ...(stands ? [pulled.name] : [])];
  if (isNeeded(names, pulled.id, needs)) return { do: pulled.wasNeeded ? "keep" : "note" };
  if (!pulled.wasNeeded || isUsed) return { do: "keep" };
  if (stands) return { do: "remove", image: pulled.name };
  return image.repoDigests.length === 0 ? { do: "remove", image: pulled.id } : { do: "keep" };
}

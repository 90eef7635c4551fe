/** How far the pull of an image is, from what Podman tells of its layers. Pure. */

import { bytesText } from "./size.ts";

/** A pull that is under way. */
export interface Pull {
  readonly image: string;
  /** Those that are known so far: Podman names six at a time. */
  readonly layers: number;
  /** On the host by now, with those that were there already. */
  readonly layersDone: number;
  /** That came in this try, as they come: compressed. */
  readonly bytes: number;
  /** Of the layers whose size is known; 0 while none is. */
  readonly bytesTotal: number;
  /** 1, and one more for each time that it broke off. */
  readonly tries: number;
}

/** A layer by the first digits of its digest, as one pull has brought it. */
export interface Layer {
  readonly state: "waiting" | "coming" | "there" | "done";
  readonly bytes: number;
  readonly total: number;
}

export type Layers = ReadonlyMap<string, Layer>;

/** One line of a pull's answer in Docker's form, as Podman gives it with compatMode (5.4.2); what it does not know it leaves as it was. */
export function layersAfter(layers: Layers, line: unknown): Layers {
  if (typeof line !== "object" || line === null || !("status" in line && "id" in line)) return layers;
  const { status, id } = line;
  if (typeof id !== "string") return layers;
  const before = layers.get(id) ?? { state: "waiting", bytes: 0, total: 0 };
  const after = layerAfter(before, status, "progressDetail" in line ? line.progressDetail : undefined);
  return after === undefined ? layers : new Map(layers).set(id, after);
}

function layerAfter(before: Layer, status: unknown, detail: unknown): Layer | undefined {
  switch (status) {
    case "Pulling fs layer":
      return { ...before, state: "waiting" };
    case "Downloading": {
      const amount = (name: string) => {
        const value: unknown = typeof detail === "object" && detail !== null ? (detail as Record<string, unknown>)[name] : undefined;
        return typeof value === "number" && value > 0 ? value : 0;
      };
      return { state: "coming", bytes: amount("current"), total: amount("total") };
    }
    case "Already exists":
      return { ...before, state: "there" };
    // Told of a layer that failed too, before the error.
    case "Download complete":
      return { ...before, state: "done", bytes: before.total };
    default:
      return undefined;
  }
}

/** How many layers were on the host before this try began: those that a broken try has brought whole are (containers/storage, 5.4.2). */
export function layersThere(layers: Layers): number {
  return [...layers.values()].filter(({ state }) => state === "there").length;
}

export function pullOf({ image, tries }: Pick<Pull, "image" | "tries">, layers: Layers): Pull {
  const all = [...layers.values()];
  const sum = (of: (layer: Layer) => number) => all.reduce((sum, layer) => sum + of(layer), 0);
  return {
    image,
    tries,
    layers: all.length,
    layersDone: all.filter(({ state }) => state === "there" || state === "done").length,
    bytes: sum(({ bytes }) => bytes),
    bytesTotal: sum(({ total }) => total),
  };
}

/** `pulling quay.io/acme/web:1.4: 3 of 7 layers, 45 MB of 120 MB`. */
export function pullText({ image, layers, layersDone, bytes, bytesTotal, tries }: Pull): string {
  const far = layers === 0 ? "asking the registry" : `${layersDone} of ${layers} ${layers === 1 ? "layer" : "layers"}`;
  const size = bytesTotal === 0 ? "" : `, ${bytesText(bytes)} of ${bytesText(bytesTotal)}`;
  return `pulling ${image}: ${far}${size}${tries === 1 ? "" : `, try ${tries}`}`;
}

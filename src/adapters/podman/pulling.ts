/** Pulls of images: how far they are, and once more where the network broke one off. */

import { setTimeout as pause } from "node:timers/promises";

import { layersAfter, layersThere, pullOf, type Layers, type Pull } from "../../core/pulls.ts";
import { success, trouble, type Result } from "../../core/result.ts";
import { advise, errorOf, hostLogin, isTransient, loginOf, plain, registryOf, type Login } from "./pull.ts";
import type { Ask } from "./socket.ts";

export interface PullSettings {
  /** For how long nothing may come, in milliseconds. */
  readonly silence: number;
  /** In milliseconds, before each further try; a try that has brought a whole layer begins to count anew. */
  readonly pauses: readonly number[];
  readonly hasImage: (image: string, signal: AbortSignal) => Promise<boolean>;
}

export interface Wanted {
  readonly image: string;
  readonly authFile: string | undefined;
  readonly policy: "missing" | "always";
}

/**
 * Podman resumes a layer in the middle, by a range, where its connection breaks while it comes; after an error, layers that came whole are
 * on the host, and the next pull finds them there (5.4.2, with a registry that was cut off). So another try costs little.
 */
export function openPulls(
  ask: Ask,
  { silence, pauses, hasImage }: PullSettings,
): {
  /** Throws PodmanTrouble where Podman can't be asked. */
  readonly pull: (wanted: Wanted, signal: AbortSignal) => Promise<Result<void, string>>;
  /** Those under way. */
  readonly under: () => readonly Pull[];
} {
  const running = new Map<symbol, Pull>();

  async function pull({ image, authFile, policy }: Wanted, signal: AbortSignal): Promise<Result<void, string>> {
    const action = `pull ${image}`;
    if (registryOf(image) === "localhost" && !(await hasImage(image, signal)))
      return trouble(`${action}: no such image on the host: localhost/ images are built or loaded there (podman build), never pulled`);
    const login = authFile === undefined ? success(hostLogin) : await loginOf(authFile, signal);
    if (!login.ok) return trouble(`${action}: AuthFile=${authFile ?? ""} ${login.trouble}`);
    const { headers, secrets }: Login = login.value;
    const query = new URLSearchParams({ reference: image, policy, compatMode: "true" });
    const call = { action, method: "POST", path: `/images/pull?${query.toString()}`, headers, deadline: silence, piecewise: true } as const;
    const mark = Symbol(image);
    try {
      for (let tries = 1, left = pauses, there = 0; ; tries++) {
        let layers: Layers = new Map();
        const tell = () => running.set(mark, pullOf({ image, tries }, layers));
        tell();
        const onLine = (line: string) => {
          layers = layersAfter(layers, jsonOf(line));
          tell();
        };
        const error = errorOf(await ask({ ...call, onLine }, signal));
        if (error === undefined) return success(undefined);
        const arrived = layersThere(layers);
        if (arrived > there) left = pauses;
        there = Math.max(there, arrived);
        const [next, ...others] = left;
        if (next === undefined || !isTransient(error)) return trouble(plain(`${action}: ${advise(error, image, authFile)}`, secrets));
        left = others;
        await pause(next, undefined, { signal }).catch(() => undefined);
        signal.throwIfAborted();
      }
    } finally {
      running.delete(mark);
    }
  }

  return { pull, under: () => [...running.values()] };
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

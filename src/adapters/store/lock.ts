/** One pgo at a time on a state directory: a lock that ends with its process. */

import { join } from "node:path";

import type { Clock } from "../../ports.ts";
import { lockFile } from "./database.ts";

/** A pgo that was asked to end is gone within five seconds; one that systemd replaces may not be yet. */
const patience = 10_000;
const between = 200;

/**
 * Held until it is disposed of, or the process ends. Waits ten seconds for another pgo to end; throws where that goes on, or where the
 * directory can't be written, saying what to do.
 */
export async function lockState(directory: string, clock: Pick<Clock, "monotonic" | "sleep">, signal: AbortSignal): Promise<Disposable> {
  const path = join(directory, "pgo.lock");
  const until = clock.monotonic() + patience;
  for (;;) {
    const lock = attempt(path, directory);
    if (lock !== undefined) return lock;
    if (clock.monotonic() >= until)
      throw new Error(`another pgo runs on the state directory ${directory} and has locked ${path}: only one may, stop the other one`);
    await clock.sleep(between, signal);
  }
}

function attempt(path: string, directory: string): Disposable | undefined {
  try {
    return lockFile(path);
  } catch (error) {
    throw new Error(`lock the state directory ${directory}, which must be writable (see findmnt --target ${directory})`, { cause: error });
  }
}

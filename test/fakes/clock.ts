/** A clock whose time the test moves. */

import type { Clock } from "../../src/ports.ts";

export interface FakeClock extends Clock {
  /** Moves the time forward; who sleeps until then wakes at its own moment, in order, and runs on before the next one wakes. */
  advance(ms: number): Promise<void>;
  /** Sets the date, as an administrator may, and leaves the monotonic time alone. */
  setDate(date: Date): void;
  /** How many sleep now. */
  readonly sleepers: number;
}

interface Sleeper {
  readonly due: number;
  readonly wake: () => void;
}

/** `chance` is what every call of that name answers; 0.5 is the middle of a jitter. */
export function fakeClock({ now = new Date("2026-01-01T00:00:00Z"), chance = 0.5 } = {}): FakeClock {
  let elapsed = 0;
  let epoch = now.getTime();
  const sleeping = new Set<Sleeper>();
  const next = () => [...sleeping].sort((one, other) => one.due - other.due)[0];

  return {
    now: () => new Date(epoch + elapsed),
    monotonic: () => elapsed,
    chance: () => chance,
    get sleepers() {
      return sleeping.size;
    },
    setDate(date) {
      epoch = date.getTime() - elapsed;
    },
    async sleep(ms, signal) {
      signal.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const sleeper: Sleeper = {
          due: elapsed + Math.max(0, ms),
          wake() {
            sleeping.delete(sleeper);
            signal.removeEventListener("abort", abort);
            resolve();
          },
        };
        const abort = () => {
          sleeping.delete(sleeper);
          reject(signal.reason as Error);
        };
        signal.addEventListener("abort", abort, { once: true });
        sleeping.add(sleeper);
      });
    },
    async advance(ms) {
      const end = elapsed + ms;
      await settle();
      for (let sleeper = next(); sleeper !== undefined && sleeper.due <= end; sleeper = next()) {
        elapsed = sleeper.due;
        sleeper.wake();
        await settle();
      }
      elapsed = end;
    },
  };
}

/** Lets everything that can run without a timer run: promises, and a few rounds of immediate I/O. */
async function settle(): Promise<void> {
  for (let round = 0; round < 3; round++)
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
}

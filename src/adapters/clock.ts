/** The real clock: the machine's time, timers and chance. */

import type { Clock } from "../ports.ts";

/** Node's timers take at most this many milliseconds; a longer one would end at once. */
const longestTimer = 2 ** 31 - 1;

export function openClock(): Clock {
  return { now: () => new Date(), monotonic, sleep, chance: () => Math.random() };
}

/** CLOCK_MONOTONIC: it does not see that the machine's date is set, and stands still while the machine is suspended. */
function monotonic(): number {
  return performance.now();
}

/** Never ends early by `monotonic`, which a bare timer may by a fraction of a millisecond. */
async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const due = monotonic() + ms;
  await new Promise<void>((resolve, reject) => {
    let timer: NodeJS.Timeout;
    const wait = () => {
      const left = due - monotonic();
      if (left > 0) {
        timer = setTimeout(wait, Math.min(Math.ceil(left), longestTimer));
        return;
      }
      signal.removeEventListener("abort", abort);
      resolve();
    };
    const abort = () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", abort, { once: true });
    wait();
  });
}

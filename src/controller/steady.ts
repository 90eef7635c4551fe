/** Time for what is measured: a date that is set meanwhile (NTP after a boot, an administrator) makes nothing late or early. */

import type { Clock } from "../ports.ts";

export interface SteadyClock extends Clock {
  /** A date that somebody else has taken from the host's clock, in this clock's time. */
  readonly translated: (date: Date) => Date;
}

/** Begins with the clock's date, and goes on with its monotonic time. */
export function steady(clock: Clock): SteadyClock {
  const [began, from] = [clock.now().getTime(), clock.monotonic()];
  const now = () => new Date(began + clock.monotonic() - from);
  return { ...clock, now, translated: (date) => new Date(date.getTime() + now().getTime() - clock.now().getTime()) };
}

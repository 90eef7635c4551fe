/** Changes of units as systemd tells them (PropertiesChanged): what comes up, goes down or fails is heard at once. */

import { setTimeout as pause } from "node:timers/promises";

import type { ServiceName } from "../../core/names.ts";
import type { Changes } from "../../ports.ts";
import { within, type Bus } from "./bus.ts";

/** Between two tries to listen again, doubling, in milliseconds. */
const pauses = { first: 1000, longest: 60_000 };

/** By ActiveState= alone: SubState= changes with each run of a timer. */
export function openUnitChanges(bus: Bus): Changes {
  return {
    async hear(ears, signal) {
      /** As it was told last: systemd sends the same several times. */
      const told = new Map<ServiceName, string>();
      let wait = pauses.first;
      for (let time = 0; !signal.aborted; time++) {
        try {
          const connection = await bus.connection(signal);
          const stop = await connection.follow((unit, active) => {
            const service = ears.known(unit);
            if (service === undefined || told.get(service) === active) return;
            told.set(service, active);
            ears.heard(service);
          }, signal);
          try {
            if (time > 0) ears.heard(undefined);
            wait = pauses.first;
            await within(new Promise<never>(() => undefined), undefined, [signal, connection.lost]);
          } finally {
            stop();
          }
        } catch {
          // That systemd is away is told by whoever wants something of it.
          told.clear();
          await pause(wait, undefined, { signal }).catch(() => undefined);
          wait = Math.min(wait * 2, pauses.longest);
        }
      }
    },
  };
}

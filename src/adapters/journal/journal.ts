/** The journal: tells each event to every sink, and never lets one of them break what pgo is doing. */

import type { Event } from "../../core/event.ts";
import { reasonOf } from "../../core/result.ts";
import type { Clock, Journal } from "../../ports.ts";

/** Takes an event at once: it must neither wait nor tell events itself. */
export type Sink = (event: Event) => void;

/**
 * `sinks` by name, told in this order: the log first, since the others may fail. A sink that throws is reported to `fallback` (one line,
 * for stderr) once, and again only after it has worked in between; the other sinks are told all the same.
 */
export function openJournal(sinks: Readonly<Record<string, Sink>>, clock: Pick<Clock, "now">, fallback: (line: string) => void): Journal {
  const failing = new Set<string>();
  return {
    tell: (happening) => {
      const event: Event = { ...happening, at: clock.now() };
      for (const [name, sink] of Object.entries(sinks)) {
        try {
          sink(event);
          failing.delete(name);
        } catch (error) {
          const report = `cannot tell the ${name} about an event of type ${event.type}: ${reasonOf(error)}`;
          if (!failing.has(name)) attempt(fallback, report);
          failing.add(name);
        }
      }
    },
  };
}

/** Where even the fallback fails (stderr is closed) there is nobody left to tell. */
function attempt(fallback: (line: string) => void, line: string): void {
  try {
    fallback(line);
  } catch {
    return;
  }
}

/** The log: one line for each event, JSON by pino or readable on a terminal. pino is known to this file only. */

import { pino } from "pino";

import { sentence } from "../../core/event-text.ts";
import type { Event } from "../../core/event.ts";
import { partsOf } from "../../core/names.ts";
import type { Sink } from "./journal.ts";

export type Level = "debug" | "info" | "warn" | "error";

export interface LogSettings {
  readonly level: Level;
  /** auto: readable on a terminal, else JSON. */
  readonly format: "auto" | "json" | "text";
  /**
   * Where each line goes at once. process.stdout fits: Node writes while the file, pipe or terminal takes it, and ends only when the rest is
   * written (process.exit would not wait), so no line is lost and no worker thread is needed. A reader that is stuck doesn't stop pgo.
   */
  readonly stream: { write(line: string): unknown; readonly isTTY?: boolean };
  /** For NO_COLOR (no-color.org): set and not empty, there are no colours. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export function logSink({ level, format, stream, environment }: LogSettings): Sink {
  const terminal = stream.isTTY === true;
  const colours = terminal && (environment["NO_COLOR"] ?? "") === "";
  const readable = format === "text" || (format === "auto" && terminal);
  const logger = pino(
    // The time is the event's own, below; the process id and host name say nothing about a container.
    { level, base: null, timestamp: false, formatters: { level: (label) => ({ level: label }) } },
    { write: (line) => void stream.write(line) },
  );
  return (event) => {
    const at = levelOf(event);
    if (!logger.isLevelEnabled(at)) return;
    if (readable) stream.write(line(event, at, colours));
    else logger[at](fieldsOf(event), sentence(event));
  };
}

function levelOf(event: Event): Level {
  switch (event.type) {
    case "outcome":
      return levelOfOutcome[event.outcome];
    case "source":
      return event.state === "recovered" ? "info" : "warn";
    case "host":
      return event.state === "back" ? "info" : "error";
    case "warning":
      return "warn";
    case "backup":
    case "image":
    case "started":
    case "stopping":
    case "command":
      return "info";
    case "git":
    case "pass":
    case "probe":
    case "health":
    case "resources":
    case "gone":
    case "pinned":
    case "containers":
    case "storage":
      return "debug";
  }
}

const levelOfOutcome: Readonly<Record<Extract<Event, { readonly type: "outcome" }>["outcome"], Level>> = {
  "in-sync": "info",
  deployed: "info",
  repaired: "info",
  rejected: "warn",
  held: "warn",
  "source-failed": "warn",
  "rolled-back": "warn",
  failed: "error",
};

/** What a log collector filters by. Values that are undefined are left out by pino. */
function fieldsOf(event: Event): Readonly<Record<string, string | number | undefined>> {
  const { at, type } = event;
  const first = { time: at.toISOString(), type };
  switch (event.type) {
    case "outcome": {
      const { outcome, revision, deployment, ms } = event;
      return { ...first, ...partsOf(event.application), outcome, revision, deployment, ms };
    }
    case "source":
      return { ...first, source: event.source, state: event.state };
    case "host":
      return { ...first, state: event.state };
    case "command":
      return { ...first, command: event.command, target: event.target };
    case "git":
      return { ...first, source: event.source, operation: event.operation, result: event.result, ms: event.ms };
    case "pass":
      return { ...first, source: event.source, outcome: event.outcome, ms: event.ms };
    case "probe":
      return { ...first, ...partsOf(event.application), kind: event.kind, result: event.result };
    case "health":
      return { ...first, ...partsOf(event.application), service: event.service, health: event.health };
    case "resources": {
      const { service, usage } = event;
      return { ...first, ...partsOf(event.application), service, memory: usage.memory, cpuSeconds: usage.cpuSeconds };
    }
    case "gone":
      return { ...first, ...partsOf(event.application), service: event.service };
    case "started":
      return { ...first, version: event.version };
    case "stopping":
    case "backup":
    case "image":
    case "warning":
    case "pinned":
    case "containers":
    case "storage":
      return first;
  }
}

/** `06:15:02 fleet@3f2c1ab shop deployed: …`, in the terminal's own time zone. */
function line(event: Event, level: Level, colours: boolean): string {
  const time = event.at.toTimeString().slice(0, 8);
  const text = sentence(event);
  return colours ? `\u001B[2m${time}\u001B[0m ${colourOf[level]}${text}\u001B[0m\n` : `${time} ${text}\n`;
}

const colourOf: Readonly<Record<Level, string>> = { debug: "\u001B[2m", info: "", warn: "\u001B[33m", error: "\u001B[31m" };

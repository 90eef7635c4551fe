/** Events in words: the one line that the log and the events table have in common, and which events are kept at all. */

import type { Event } from "./event.ts";
import { usageText } from "./resources.ts";
import { bytesText } from "./size.ts";
import { partsOf, short, type ApplicationId } from "./names.ts";

type Counted = Extract<
  Event,
  { readonly type: "git" | "pass" | "probe" | "health" | "resources" | "gone" | "pinned" | "containers" | "storage" }
>;
/** An event that people look up later; the others are only counted and measured. */
export type KeptEvent = Exclude<Event, Counted>;

/** The most bytes of UTF-8 that one message may have, in the log and in the state database. */
export const longestMessage = 4096;

export function isKept(event: Event): event is KeptEvent {
  switch (event.type) {
    case "started":
    case "stopping":
    case "source":
    case "host":
    case "outcome":
    case "command":
    case "backup":
    case "image":
    case "warning":
      return true;
    case "git":
    case "pass":
    case "probe":
    case "health":
    case "resources":
    case "gone":
    case "pinned":
    case "containers":
    case "storage":
      return false;
  }
}

/**
 * What happened, in one line of at most 4 KiB, such as `fleet@3f2c1ab shop rejected: shop/web.container:7: unsupported key …`.
 * It is made of the event's fields only.
 */
export function sentence(event: Event): string {
  return bounded(oneLine(words(event)));
}

/** Cuts a text to at most 4 KiB of UTF-8, never inside a character; a text that was cut ends in "…". */
export function bounded(text: string): string {
  // A UTF-16 unit never takes more than three bytes.
  if (text.length * 3 <= longestMessage) return text;
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= longestMessage) return text;
  const room = longestMessage - new TextEncoder().encode("…").length;
  // `stream` keeps back the beginning of a character that is cut in two, rather than to replace it.
  return `${new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, room), { stream: true })}…`;
}

/** Line breaks and all other control characters become spaces: texts come from Git, from programs and from the network, and a terminal obeys them. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, " ").trim();
}

function words(event: Event): string {
  switch (event.type) {
    case "started":
      return `pgo ${event.version} started${event.unfinished === 0 ? "" : `, to finish: ${count(event.unfinished, "rollout")}`}`;
    case "stopping":
      return saying("pgo stops", event.because);
    case "source":
      return saying(`source ${event.source} ${event.state}`, event.message);
    case "host":
      return saying(event.state === "away" ? "the host can't be worked on" : "the host can be worked on again", event.message);
    case "outcome":
      return saying(`${where(event)} ${event.outcome}`, event.message);
    case "command":
      return saying(["ctl", event.command, event.target].filter((part) => part !== "").join(" "), event.message);
    case "backup":
      return saying(`${event.application} volume ${event.volume}`, `${bytesText(event.bytes)} copied to ${event.path}`);
    case "image":
      return `image ${event.image} (${event.id.slice(0, 12)}) removed: no version that can be gone back to needs it`;
    case "warning":
      return saying(event.subject, event.message);
    case "git":
      return `source ${event.source} ${event.operation} ${event.result} after ${String(Math.round(event.ms))} ms`;
    case "pass":
      return `source ${event.source} pass ${event.outcome} after ${String(Math.round(event.ms))} ms`;
    case "probe":
      return `${event.application} ${event.kind} probe: ${event.result}`;
    case "health":
      return `${event.application} ${event.service} ${event.health}`;
    case "resources":
      return `${event.service} of ${event.application}: ${usageText(event.usage)}`;
    case "gone":
      return `${event.application}${event.service === undefined ? "" : ` ${event.service}`} gone`;
    case "pinned":
      return `${event.application} ${event.pinned ? "held by ctl rollback" : "follows Git"}`;
    case "containers":
      return `containers: ${Object.entries(event.states)
        .map(([state, number]) => `${String(number)} ${state}`)
        .join(", ")}`;
    case "storage":
      return `storage of ${event.kind}: ${String(event.bytes)} bytes`;
  }
}

/** `fleet@3f2c1ab shop`; without the `@…` where there is no revision. */
function where({ application, revision }: { readonly application: ApplicationId; readonly revision: KeptRevision }): string {
  const { source, application: name } = partsOf(application);
  return `${source}${revision === undefined ? "" : `@${short(revision)}`} ${name}`;
}

type KeptRevision = Extract<Event, { readonly type: "outcome" }>["revision"];

const saying = (what: string, message: string): string => (message === "" ? what : `${what}: ${message}`);
const count = (number: number, noun: string): string => `${String(number)} ${noun}${number === 1 ? "" : "s"}`;

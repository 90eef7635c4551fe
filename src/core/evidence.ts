/** What one would look for where a unit failed, kept with the deployment: its state, and what it and its container said last. */

import type { ServiceName } from "./names.ts";

export interface Evidence {
  readonly service: ServiceName;
  /** "failed (failed), exit-code, exit 1; its container is exited, exit 1", or why nobody could say. */
  readonly state: string;
  /** Lines of the unit's journal, oldest first. */
  readonly journal: readonly string[];
  /** Lines that its container wrote, where they are not in the journal. */
  readonly log: readonly string[];
}

/** So many lines of each are looked for. */
export const evidenceLines = 40;
/** Of more units nobody reads them. */
export const evidenceUnits = 3;
/** In characters: one line, and all lines of one list. */
const longestLine = 500;
const longestList = 12_000;

export interface Found {
  readonly service: ServiceName;
  readonly state: string;
  readonly journal: readonly string[];
  readonly log: readonly string[];
}

/** Bounded, and with `hide` over every text. The journal has a container's lines too where Podman logs there: then they are told once. */
export function evidence({ service, state, journal, log }: Found, hide: (text: string) => string): Evidence {
  const isTold = log.every((line) => journal.some((one) => one.endsWith(line.trimEnd())));
  return { service, state: hide(state), journal: bounded(journal, hide), log: isTold ? [] : bounded(log, hide) };
}

/** The last ones that there is room for. A secret of several lines is hidden in the whole text, before it is cut. */
function bounded(lines: readonly string[], hide: (text: string) => string): readonly string[] {
  const hidden = hide(lines.slice(-evidenceLines).join("\n")).split("\n");
  const kept: string[] = [];
  let size = 0;
  for (const line of hidden.toReversed()) {
    const plain = line.replace(/\p{Cc}+/gu, " ").trimEnd();
    const short = plain.length > longestLine ? `${plain.slice(0, longestLine)}…` : plain;
    size += short.length;
    if (size > longestList) break;
    kept.unshift(short);
  }
  return kept;
}

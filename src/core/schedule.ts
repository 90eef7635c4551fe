/** When a change may go: maintenance windows, freezes, the age that a change must have, and chance that keeps a fleet apart. Pure. */

import { Cron } from "croner";

import type { ClockDoubt } from "./clock-doubt.ts";

/** It opens when the cron expression says, in the zone's time, and stays open for `duration` milliseconds, however clocks are set in between. */
export interface Window {
  readonly cron: string;
  readonly zone: string;
  readonly duration: number;
}

/** From `from` (included) to `to` (excluded) nothing goes. */
export interface Freeze {
  readonly from: Date;
  readonly to: Date;
  readonly reason: string | undefined;
}

/** What binds the changes of one application. */
export interface Timing {
  /** Of each list at least one must be open: the host's, and the application's own. An empty list binds nothing. */
  readonly windows: readonly (readonly Window[])[];
  readonly freezes: readonly Freeze[];
  /** Milliseconds since this host has first seen the content. */
  readonly minAge: number;
  /** Milliseconds, of which chance takes a part once a change could go. */
  readonly jitter: number;
}

/** A change that waits: when this host first saw it, and the part of the jitter that it got then, from 0 (included) to 1 (excluded). */
export interface Waiting {
  readonly seen: Date;
  readonly chance: number;
}

/** A change with what binds it. */
export interface Bound extends Waiting {
  readonly timing: Timing;
  /** Why the date is not gone by: then nothing opens. */
  readonly doubt: ClockDoubt | undefined;
}

export type Opening =
  | { readonly open: true }
  /** `until`: when it goes as things stand; undefined where that is not known, or never. */
  | { readonly open: false; readonly why: string; readonly until: Date | undefined };

/** A time that the windows leave open, in milliseconds since 1970. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/** How long a clock that can't be right is waited for before it is looked at again. */
const doubtful = 60_000;
/** An opening later than this, or behind so many windows that don't meet, is none. */
const horizon = 10 * 366 * 86_400_000;
const mostSteps = 5000;

/** Whether anything binds at all. */
export function binds({ windows, freezes, minAge, jitter }: Timing): boolean {
  return windows.some((list) => list.length > 0) || freezes.length > 0 || minAge > 0 || jitter > 0;
}

/**
 * Whether a change may go now. The answer for one change and one window is the same at each asking: it opens at the window's start, or
 * when the change is old enough, and then the part of the jitter later that it got when it was first seen.
 */
export function opening({ timing, seen, chance, doubt }: Bound, now: Date): Opening {
  const at = now.getTime();
  const doubted = (why: string): Opening => ({ open: false, why, until: new Date(at + doubtful) });
  if (doubt?.certain === true) return doubted(doubt.why);
  const ripe = seen.getTime() + timing.minAge;
  const span = spanFrom(Math.max(at, ripe), timing);
  if (span === undefined)
    return { open: false, why: `${closedBy(timing, at) ?? "its windows are closed"}, with no end in sight`, until: undefined };
  const start = Math.max(span.start, ripe);
  const go = Math.ceil(start + chance * Math.min(timing.jitter, span.end - start));
  if (go <= at) return doubt === undefined ? { open: true } : doubted(doubt.why);
  const young = ripe > at ? `younger here than min_age: first seen ${seen.toISOString()}` : undefined;
  return { open: false, why: closedBy(timing, at) ?? young ?? "its turn within the jitter has not come yet", until: new Date(go) };
}

/** The next times that the windows leave open, the present one first; less than `count` where there are no more, or one has no end. */
export function openings(timing: Timing, now: Date, count: number): readonly { readonly from: Date; readonly to: Date | undefined }[] {
  const found: { from: Date; to: Date | undefined }[] = [];
  for (let at = now.getTime(); found.length < count;) {
    const span = spanFrom(at, timing);
    if (span === undefined) break;
    found.push({ from: new Date(Math.max(span.start, now.getTime())), to: span.end === Infinity ? undefined : new Date(span.end) });
    if (span.end === Infinity) break;
    at = span.end;
  }
  return found;
}

/** What keeps a change back at this moment, its age and chance aside. */
function closedBy({ windows, freezes }: Timing, at: number): string | undefined {
  const freeze = freezes.find(({ from, to }) => from.getTime() <= at && at < to.getTime());
  if (freeze !== undefined) return `frozen${freeze.reason === undefined ? "" : `: ${freeze.reason}`}`;
  const isClosed = windows.some((list) => list.length > 0 && (occurrence(list.map(openCron), at)?.start ?? Infinity) > at);
  return isClosed ? "outside its maintenance windows" : undefined;
}

/** The span that holds `from`, with its true start, or else the next one. */
function spanFrom(from: number, { windows, freezes }: Timing): Span | undefined {
  const lists = windows.filter((list) => list.length > 0).map((list) => list.map(openCron));
  let at = from;
  for (let step = 0; step < mostSteps && at - from <= horizon; step++) {
    let [start, end, later] = [-Infinity, Infinity, at];
    for (const list of lists) {
      const found = occurrence(list, at);
      if (found === undefined) return undefined;
      later = Math.max(later, found.start);
      start = Math.max(start, found.start);
      end = Math.min(end, found.end);
    }
    for (const freeze of freezes) {
      const [begins, ends] = [freeze.from.getTime(), freeze.to.getTime()];
      if (at >= begins && at < ends) later = Math.max(later, ends);
      else if (ends <= at) start = Math.max(start, ends);
      else end = Math.min(end, begins);
    }
    if (later === at) return { start, end };
    at = later;
  }
  return undefined;
}

interface OpenCron {
  readonly cron: Cron;
  readonly duration: number;
}

/** Without a function to call, croner starts no timer. */
function openCron({ cron, zone, duration }: Window): OpenCron {
  return { cron: new Cron(cron, { timezone: zone, mode: "5-part" }), duration };
}

/**
 * The earliest begun of the windows that are open at that time, or else the one that opens next. A time that the change to summer time
 * leaves out opens at the first moment after it; one that is there twice in autumn opens at the first of the two (croner, found by trying).
 */
function occurrence(list: readonly OpenCron[], at: number): Span | undefined {
  const starts = list.flatMap(({ cron, duration }): Span[] => {
    // Strictly after what would be over at that very moment.
    const start = cron.nextRun(new Date(at - duration))?.getTime();
    return start === undefined ? [] : [{ start, end: start + duration }];
  });
  return starts.reduce<Span | undefined>((first, one) => (first === undefined || one.start < first.start ? one : first), undefined);
}

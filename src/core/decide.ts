/** What is to be done with one application: from what Git wants and what is remembered to one next action. Pure. */

import type { Bundle, Problem } from "./bundle.ts";
import type { Digest } from "./names.ts";
import type { Cause } from "./rollout.ts";
import { opening, type Bound } from "./schedule.ts";

/** What a revision holds for an application, after every check that needs no change of the host. */
export type Candidate =
  | { readonly kind: "bundle"; readonly bundle: Bundle; readonly warnings?: readonly Problem[] }
  | { readonly kind: "rejected"; readonly digest: Digest | undefined; readonly problems: readonly Problem[] }
  /** Something of another application is missing that is itself refused. */
  | { readonly kind: "blocked"; readonly digest: Digest; readonly why: string }
  /** Git has it no more. */
  | { readonly kind: "absent" };

export interface Memory {
  readonly lastGood: Digest | undefined;
  /** Something that pgo placed may be on the host, of the last good or of a rollout that could not be undone. */
  readonly isPlaced: boolean;
  readonly suspended: { readonly until: Date | undefined } | undefined;
  readonly quarantined: ReadonlyMap<Digest, string>;
  /** What a person went back from; `"anything"`: they want it left at what it is, whatever Git says. */
  readonly pinnedAgainst: Digest | "anything" | undefined;
  /** When something new may go; undefined: at once, since nothing binds it, or a person or an urgent commit wants it so. */
  readonly bound?: Bound | undefined;
}

export type Decision =
  /** Roll out to what Git wants. */
  | { readonly do: "roll-out"; readonly bundle: Bundle | undefined; readonly cause: Cause }
  /** Git wants what is there: only drift may need work. */
  | { readonly do: "keep" }
  /** Stay on the last good, whose drift is repaired, and say why. */
  | { readonly do: "reject"; readonly problems: readonly Problem[] }
  | { readonly do: "quarantine"; readonly reason: string }
  | { readonly do: "hold"; readonly why: string; readonly until: Date | undefined }
  /** A person wants to be left in peace: not even drift is repaired. */
  | { readonly do: "leave"; readonly until: Date | undefined };

export function decide(candidate: Candidate, memory: Memory, now: Date): Decision {
  const { suspended } = memory;
  if (suspended !== undefined && (suspended.until === undefined || suspended.until > now)) return { do: "leave", until: suspended.until };
  switch (candidate.kind) {
    case "rejected":
      return { do: "reject", problems: candidate.problems };
    case "blocked":
      return { do: "hold", why: candidate.why, until: undefined };
    case "absent":
      if (memory.pinnedAgainst === "anything") return { do: "keep" };
      return memory.lastGood === undefined && !memory.isPlaced ? { do: "keep" } : inTime(undefined, memory, now);
    case "bundle": {
      const { digest } = candidate.bundle;
      if (memory.pinnedAgainst === "anything" || digest === memory.lastGood || digest === memory.pinnedAgainst) return { do: "keep" };
      const reason = memory.quarantined.get(digest);
      return reason === undefined ? inTime(candidate.bundle, memory, now) : { do: "quarantine", reason };
    }
  }
}

/** A removal is something new too. */
function inTime(bundle: Bundle | undefined, { bound }: Memory, now: Date): Decision {
  const found = bound === undefined ? { open: true as const } : opening(bound, now);
  return found.open ? { do: "roll-out", bundle, cause: "commit" } : { do: "hold", why: found.why, until: found.until };
}

/** The wait before try number `tries` (from 1) of something that failed for the time being: doubling, at most an hour, with jitter. */
export function backoff(tries: number, interval: number, chance: number): number {
  const wait = Math.min(interval * 2 ** Math.min(tries - 1, 16), 3_600_000);
  return jittered(Math.max(wait, interval), chance);
}

/**
 * Whether what failed for the time being still waits for its next try. A wait that is longer than such a one can be comes of a clock that was
 * set back, and is over. What a schedule holds has no tries, and waits for its time.
 */
export function stillWaits(
  { until, tries }: { readonly until: Date | undefined; readonly tries: number },
  interval: number,
  now: Date,
): boolean {
  if (until === undefined || until <= now) return false;
  return tries === 0 || until.getTime() - now.getTime() <= backoff(tries, interval, 1);
}

/** Moved by up to 10 % either way, so that a fleet doesn't ask its Git server all at once. */
export function jittered(ms: number, chance: number): number {
  return ms * (0.9 + 0.2 * chance);
}

/** Drift repair restarts one service at most this often in this time (milliseconds); then it is reported instead. */
export const repairLimit = { times: 3, within: 600_000 };

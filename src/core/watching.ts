/** What is done about an application that has become unhealthy after its rollout, and how soon after a change the host is looked at. Pure. */

import type { Settled } from "./rollout.ts";
import type { Watching } from "./watch-config.ts";

/** A deployment, as far as it says where what runs comes from. */
export interface Past {
  readonly goal: Settled["goal"];
  readonly cause: Settled["cause"];
  readonly outcome: Settled["outcome"] | undefined;
  readonly finishedAt: Date | undefined;
}

/**
 * When what runs was brought, by a rollout that may be gone back from. Undefined where it was gone back to, by pgo or by a person: that is
 * never itself gone back from, so that one rollout leads to one way back at most. `history`: newest first.
 */
export function broughtAt(history: readonly Past[], live: Settled["goal"] | undefined): Date | undefined {
  const last = history.find(
    ({ goal, cause, outcome }) => outcome !== undefined && outcome !== "repaired" && !(cause === "drift" && goal === live),
  );
  return last?.outcome === "deployed" && last.goal === live && last.cause !== "rollback" ? last.finishedAt : undefined;
}

/** What `watch` comes to now. After the window it is not the new version any more that is to blame first: what is left is a restart. */
export function answerTo({ action, window }: Watching, brought: Date | undefined, now: Date): Watching["action"] {
  if (action !== "rollback") return action;
  const since = brought === undefined ? Infinity : now.getTime() - brought.getTime();
  return since <= window ? "rollback" : "restart";
}

/** Looks at one application that changes have caused; times in milliseconds of a clock that only goes forward. */
export interface Pace {
  /** In a row, with no calm between. */
  readonly looks: number;
  readonly last: number;
}

/** A stop is several changes: what belongs together is over by then. */
const moment = 1000;
/** One that changes without end is looked at as often as this. */
const slowest = 60_000;
/** Without a change for so long, the next one is looked at quickly again. */
const calm = 300_000;

/** When to look at an application of which a change was heard at that time. */
export function lookAfter(heard: number, pace: Pace | undefined): number {
  if (pace === undefined || heard - pace.last > calm) return heard + moment;
  return Math.max(heard + moment, pace.last + Math.min(moment * 2 ** pace.looks, slowest));
}

/** A look has been made for a change. */
export function looked(at: number, pace: Pace | undefined): Pace {
  const looks = pace === undefined || at - pace.last > calm ? 0 : pace.looks;
  return { looks: Math.min(looks + 1, 16), last: at };
}

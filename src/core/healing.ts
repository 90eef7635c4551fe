/** A state database that was damaged: what pgo did about it, in words, and for how long it is told. */

/** The database can't be read any more: whoever meets this ends, and the next start heals it. */
export class StateDamaged extends Error {}

/** How pgo came to another state database than the one that it had. */
export interface Healing {
  readonly at: Date;
  /** From a copy of its own, or anew: then applications are known by what lies on the host, once that has been looked at. */
  readonly how: "restored" | "rebuilt";
  /** What was wrong with the old one. */
  readonly because: string;
  /** Where the old one lies; undefined where there was none. */
  readonly kept: string | undefined;
  /** When the copy was made. */
  readonly copiedAt: Date | undefined;
  readonly told: boolean;
}

const day = 86_400_000;
/** Long enough for a person who looks once a month. */
const shownFor = 31 * day;

export function isShown({ at }: Healing, now: Date): boolean {
  return now.getTime() - at.getTime() < shownFor;
}

export function healingText({ how, because, kept, copiedAt }: Healing): string {
  const lies = kept === undefined ? "" : `; the damaged one lies at ${kept}: remove it when you have no more use for it`;
  const done =
    how === "restored"
      ? `restored from the copy of ${copiedAt?.toISOString() ?? "?"}; what was deployed since is taken from Git and the host`
      : "made anew, since there was no whole copy; applications are known by what lies on the host, and their history is lost";
  return `${because}: ${done}${lies}`;
}

/** A copy of the state database. */
export interface StateCopy {
  readonly path: string;
  readonly bytes: number;
  readonly at: Date;
}

/** At most one copy in this time, in milliseconds: a copy reads and writes the whole database. */
const copyInterval = 600_000;

/** Whether it is time for another copy: something was rolled out since the last one, which is old enough. A clock that was set counts as time. */
export function copyIsDue(newest: StateCopy | undefined, finished: Date | undefined, now: Date): boolean {
  if (newest === undefined) return finished !== undefined;
  if (finished === undefined || finished <= newest.at) return newest.at > now;
  return Math.abs(now.getTime() - newest.at.getTime()) >= copyInterval;
}

/** Marks what services run as known before the database was lost: it may have been started anew since. */
const doubt = "?";

/** Of a start that nobody knows anything of. */
export const unknownInvocation = `${doubt}unknown`;

/** The invocation of a start that is known of before. */
export function doubtedInvocation(invocation: string): string | undefined {
  return invocation.startsWith(doubt) ? invocation.slice(doubt.length) : undefined;
}

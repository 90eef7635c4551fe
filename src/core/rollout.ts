/** The phases of a rollout: each holds what that phase knows, and each transition names the phase it starts from. */

import type { ApplicationId, Digest, Revision } from "./names.ts";

export const causes = ["commit", "drift", "rollback", "retry", "recovery", "self-update", "image"] as const;
export type Cause = (typeof causes)[number];

export const outcomes = ["in-sync", "rejected", "held", "source-failed", "deployed", "rolled-back", "failed", "repaired"] as const;
export type Outcome = (typeof outcomes)[number];

/** What a rollout goes to: a bundle by its digest, or nothing (the application is taken away). */
export type Target = Digest | "absent";

/** What is known from the first moment, and saved before the first step. */
export interface Attempt {
  readonly deployment: number;
  readonly application: ApplicationId;
  readonly revision: Revision;
  readonly cause: Cause;
  readonly goal: Target;
  /** The last good: where a rollout that fails goes back to. */
  readonly fallback: Target;
  readonly startedAt: Date;
  /** How often a start of pgo has found this rollout unfinished. */
  readonly recoveries: number;
}

export type Applying = Attempt & { readonly phase: "applying" };
export type Verifying = Attempt & { readonly phase: "verifying"; readonly since: Date };
/** `blameless`: nothing is wrong with the version itself; what it needs of another application is not healthy. */
export type Reverting = Attempt & { readonly phase: "reverting"; readonly because: string; readonly blameless: boolean };

/** A rollout under way, as the state database keeps it. */
export type Rollout = Applying | Verifying | Reverting;

/** How a rollout ended. */
export interface Settled extends Attempt {
  readonly phase: "settled";
  readonly outcome: "deployed" | "repaired" | "rolled-back" | "failed";
  /** What the host is known to show now; undefined where nobody can say, since a step failed on the way. */
  readonly shows: Target | undefined;
  /** What is live from here on: what drift repair holds the host to, and where a later rollout that fails goes back to. */
  readonly live: Target;
  /** Set where nothing is wrong with the version itself: it is no case for quarantine, and is tried again. */
  readonly blameless?: boolean;
  readonly finishedAt: Date;
  /** One line for people. */
  readonly description: string;
}

/** A rollout that a crash interrupts this often is undone rather than tried once more. */
const maxRecoveries = 3;

export const applying = (attempt: Attempt): Applying => ({ ...attempt, phase: "applying" });

export const applied = (rollout: Applying, since: Date): Verifying => ({ ...rollout, phase: "verifying", since });

export const verified = (rollout: Verifying, finishedAt: Date, description: string): Settled => ({
  ...rollout,
  phase: "settled",
  outcome: rollout.cause === "drift" ? "repaired" : "deployed",
  shows: rollout.goal,
  live: rollout.goal,
  finishedAt,
  description,
});

export const reverting = (rollout: Applying | Verifying, because: string, blameless = false): Reverting => ({
  ...rollout,
  phase: "reverting",
  because,
  blameless,
});

/**
 * Going back worked: with nothing to go back to, the application is gone, and that is a failure; but for pgo itself, which was there before,
 * and for what will be tried again.
 */
export const reverted = (rollout: Reverting, finishedAt: Date, description: string): Settled => ({
  ...rollout,
  phase: "settled",
  outcome: rollout.fallback === "absent" && rollout.cause !== "self-update" && !rollout.blameless ? "failed" : "rolled-back",
  shows: rollout.fallback,
  live: rollout.fallback,
  finishedAt,
  description,
});

/** Going back failed too, or there is nothing else to go back to: a person is needed. */
export const stuck = (rollout: Rollout, finishedAt: Date, description: string): Settled => ({
  ...rollout,
  phase: "settled",
  outcome: "failed",
  shows: undefined,
  live: rollout.fallback,
  finishedAt,
  description,
});

/**
 * A version that failed and is not gone back from (`rollback = "never"`): it is what is live from here on, also where a step on the way to
 * it failed, so that the rest of it comes by drift repair, and the version before it never.
 */
export const leftAsItIs = (rollout: Applying | Verifying, finishedAt: Date, description: string, blameless = false): Settled => ({
  ...rollout,
  blameless,
  phase: "settled",
  outcome: "failed",
  shows: rollout.phase === "verifying" ? rollout.goal : undefined,
  live: rollout.goal,
  finishedAt,
  description,
});

/** Whether it ended with a version that failed, and that is live all the same. */
export function isLeft({ outcome, goal, fallback, live }: Settled): boolean {
  return outcome === "failed" && goal !== fallback && live === goal;
}

/**
 * Where pgo goes on with a rollout that it finds unfinished. One to the last good itself has nowhere else to go. Only starts of pgo count:
 * a rollout that a later pass takes up waited for systemd or Podman to answer, and has ended nobody.
 */
export function resumed(rollout: Rollout, starts: 0 | 1 = 1): Applying | Reverting {
  const counted = { ...rollout, recoveries: rollout.recoveries + starts };
  switch (counted.phase) {
    case "reverting":
      return counted;
    case "applying":
    case "verifying":
      return counted.recoveries > maxRecoveries && counted.goal !== counted.fallback
        ? reverting(counted, `interrupted ${String(counted.recoveries)} times`)
        : applying(counted);
  }
}

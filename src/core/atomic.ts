/** Applications of a source that go together or not at all (`atomic = "source"`): what holds all of them, and what is saved while they go. */

import type { Decision } from "./decide.ts";
import { applicationId, applicationName, partsOf, sourceName, type ApplicationId, type Revision, type SourceName } from "./names.ts";
import type { PlannedApplication } from "./report.ts";
import type { Target } from "./rollout.ts";

/** A revision of a source on its way, saved before its first rollout begins and until all of it is there, or gone again. */
export interface Together {
  readonly source: SourceName;
  readonly revision: Revision;
  readonly commit: { readonly ref: string; readonly author: string; readonly subject: string };
  /** In the order of their rollouts. */
  readonly members: readonly Member[];
  /** Set when all are gone back from: which one did not come to what the revision says, and how, in words. */
  readonly undoing: { readonly blame: ApplicationId; readonly why: string } | undefined;
}

export interface Member {
  readonly application: ApplicationId;
  readonly goal: Target;
  /** The last good before this revision. */
  readonly before: Target;
  /** That `before` came of; undefined where that is nothing. */
  readonly revision: Revision | undefined;
  /** It could not be undone, or is not to be: it is left as it is. */
  readonly stays: boolean;
}

/** What speaks against an application's rollout, and so against that of all others of its source's revision; in words behind its name. */
export interface Obstacle {
  readonly application: ApplicationId;
  readonly why: string;
}

/** What one application's decision means for the others. `differs`: what Git wants of one that is left alone is not what is live. */
export function obstacleIn(application: ApplicationId, decision: Decision, differs: boolean): Obstacle | undefined {
  const name = partsOf(application).application;
  switch (decision.do) {
    case "roll-out":
    case "keep":
      return undefined;
    case "leave":
      return differs ? { application, why: "is suspended" } : undefined;
    case "reject":
      return { application, why: "is rejected" };
    case "quarantine":
      return { application, why: `failed, and is not tried again before ctl retry ${name} or other content` };
    case "hold":
      return { application, why: `is held: ${decision.why}` };
  }
}

function start({ before, revision }: Pick<Member, "before" | "revision">): Pick<Member, "before" | "revision"> {
  return { before, revision };
}

/** What the others are told. */
export function heldWith({ application, why }: Obstacle): string {
  return `${partsOf(application).application} of the same revision ${why}; its source goes as a whole (atomic = "source")`;
}

/** How a lack is told in a plan of what would otherwise go. */
export const wouldBeHeld = "would be held: ";

/** A plan of all applications of such a source: where one of them does not go, none does. */
export function plannedTogether(found: readonly PlannedApplication[]): readonly PlannedApplication[] {
  const lacks = ({ message }: PlannedApplication) => message?.startsWith(wouldBeHeld) === true;
  const bad = found.find((one) => one.state === "rejected" || one.state === "held" || (one.state === "pending" && lacks(one)));
  if (bad === undefined) return found;
  const why = bad.state === "rejected" ? "is rejected" : `is held: ${bad.message?.replace(wouldBeHeld, "") ?? "no reason"}`;
  const message = heldWith({ application: applicationId(sourceName(bad.source), applicationName(bad.name)), why });
  return found.map((one) => (one === bad || one.state !== "pending" ? one : { ...one, state: "held", message }));
}

/**
 * What goes together now. Where an earlier revision is still half way, the last good before it stays the one to go back to, and what that
 * one has brought already goes back too, if this one comes to nothing.
 */
export function membersOf(
  moving: readonly Omit<Member, "stays">[],
  earlier: Together | undefined,
  live: (application: ApplicationId) => Target,
): readonly Member[] {
  const old = new Map(earlier?.members.map((member) => [member.application, member]));
  const isMoving = new Set(moving.map(({ application }) => application));
  const left = [...old.values()].filter(({ application, goal }) => !isMoving.has(application) && live(application) === goal);
  return [...left, ...moving.map((one) => ({ ...one, ...start(old.get(one.application) ?? one), stays: false }))];
}

/** A person's `ctl rollback` holds an application at a version: against what, and until when, in one word and in words for people. */

import type { RollbackPin } from "./config.ts";
import { partsOf, type ApplicationId, type Digest } from "./names.ts";

/** What Git may say without being followed; undefined where nothing is held. */
export function pinOf(pinnedAgainst: Digest | undefined, setting: RollbackPin): Digest | "anything" | undefined {
  return pinnedAgainst !== undefined && setting === "until-resumed" ? "anything" : pinnedAgainst;
}

/** "it stays there until a commit changes it, or ctl resume shop". */
export function pinText(application: ApplicationId, setting: RollbackPin): string {
  const resume = `ctl resume ${partsOf(application).application}`;
  return setting === "until-resumed" ? `it stays there until ${resume}` : `it stays there until a commit changes it, or ${resume}`;
}

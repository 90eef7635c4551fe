/** Back to what an application was, because a person wants it so: a deployment's version, or a backup's. */

import type { Bundle } from "../core/bundle.ts";
import { short, type Revision } from "../core/names.ts";
import type { CommandReport } from "../core/report.ts";
import type { ApplicationRecord } from "../ports.ts";
import { UnknownTarget } from "./commands.ts";
import type { Context } from "./context.ts";
import { asItRan } from "./earlier.ts";
import { lastCommit } from "./repair.ts";
import { rollOut } from "./rollout.ts";

export interface Aim {
  readonly bundle: Bundle;
  readonly revision: Revision;
  readonly what: string;
  /** By which a person asked for it. */
  readonly command: string;
}

/** To what a backup has. Throws UnknownTarget where there is none of that number. */
export async function restore(id: number, context: Context, signal: AbortSignal): Promise<CommandReport> {
  const backup = context.store.versionBackups().find((one) => one.id === id);
  if (backup === undefined) {
    const volume = context.store.backups().find((one) => one.id === id);
    const message = `backup ${String(id)} is of the volume ${volume?.volume ?? ""}, which is put back by hand: see docs/backups.md`;
    if (volume !== undefined) return { done: false, message };
    throw new UnknownTarget(`there is no backup ${String(id)} (or it is no longer kept): see ctl backup list`);
  }
  const record = context.store.application(backup.application);
  const stored = context.store.bundle(backup.bundle);
  if (stored === undefined) return { done: false, message: `the files of backup ${String(id)} are no longer kept` };
  if (record?.desired === undefined)
    return { done: false, message: `Git has ${backup.application} no more, and what comes back would go again: bring it back in Git` };
  const what = `backup ${String(id)}`;
  const bundle = await asItRan(backup.application, backup.bundle, what, context, signal);
  if (!bundle.ok) return { done: false, message: bundle.trouble };
  return goTo(record, { bundle: bundle.value, revision: stored.revision, what, command: "backup restore" }, context, signal);
}

/** To an earlier version, through the one rollout; what Git wants now is passed over until it changes. `what`: "deployment 3". */
export async function goTo(
  record: ApplicationRecord,
  { bundle, revision: aimed, what, command }: Aim,
  context: Context,
  signal: AbortSignal,
): Promise<CommandReport> {
  const { journal } = context;
  const { id } = record;
  journal.tell({ type: "command", command, target: id, message: `to ${what}` });
  const commit = lastCommit(record, aimed, context);
  const rolled = await rollOut({ application: id, bundle, stored: undefined, cause: "rollback", commit }, context, signal);
  switch (rolled.kind) {
    case "in-sync":
      return { done: true, message: `${id} runs that version already` };
    case "held":
      return { done: false, message: rolled.why };
    case "conflicts":
      return { done: false, message: rolled.problems[0]?.message ?? "" };
    case "settled": {
      const { outcome, description, revision } = rolled.settled;
      if (outcome !== "deployed") return { done: false, message: `${id} ${outcome}: ${description}` };
      return { done: true, message: `${id} is back on ${short(revision)}, ${description}` };
    }
  }
}

/** Back to what an application was, because a person wants it so: a deployment's version, or a backup's. */

import { assemble } from "../core/assemble.ts";
import { problemText } from "../core/judgement.ts";
import { short, type ApplicationId, type Digest, type Revision } from "../core/names.ts";
import { policyOf } from "../core/policy-config.ts";
import type { CommandReport } from "../core/report.ts";
import type { ApplicationRecord } from "../ports.ts";
import { lastCommit } from "./act.ts";
import { UnknownTarget } from "./commands.ts";
import { draftOf, liveBundles, type Context } from "./context.ts";
import { exactly } from "./images.ts";
import { judge, witnessesOf } from "./judge.ts";
import { rollOut } from "./rollout.ts";

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
  const where = { what: `backup ${String(id)}`, revision: stored.revision, command: "backup restore" };
  return goTo(record, backup.bundle, where, context, signal);
}

/** To a saved bundle, as it ran, through the one rollout; what Git wants now is passed over until it changes. `what`: "deployment 3". */
export async function goTo(
  record: ApplicationRecord,
  digest: Digest,
  { what, revision: aimed, command }: { readonly what: string; readonly revision: Revision; readonly command: string },
  context: Context,
  signal: AbortSignal,
): Promise<CommandReport> {
  const { store, journal, bundles } = context;
  const { id } = record;
  const saved = store.bundle(digest);
  // One that was changed by hand may be none that can be read.
  const isReadable = saved !== undefined && assemble(draftOf(saved), bundles.renderingOf(saved)).ok;
  const goal = isReadable ? await exactly(id, digest, context, signal) : undefined;
  const stored = goal === undefined ? saved : store.bundle(goal.digest);
  if (stored === undefined) return { done: false, message: `the files of ${what} are no longer kept ([state] keep_good)` };
  // What the host and the other applications are has changed since.
  const rendering = () => bundles.renderingOf(stored);
  const policy = (application: ApplicationId) => policyOf(context.config.policy, application);
  const trial = {
    drafts: [draftOf(stored)],
    live: liveBundles(context),
    rendering,
    policy,
    secrets: { missing: "empty", unreadable: [] },
  } as const;
  const judged = (await judge(trial, witnessesOf(context), signal)).get(id);
  if (judged?.kind === "rejected" || goal === undefined)
    return {
      done: false,
      message: `${id} can't go back to ${what}: ${judged?.kind === "rejected" ? problemText(judged.problems) : "its files can't be read"}`,
    };
  journal.tell({ type: "command", command, target: id, message: `to ${what}` });
  const commit = lastCommit(record, aimed, context);
  const rolled = await rollOut({ application: id, bundle: goal, stored: undefined, cause: "rollback", commit }, context, signal);
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
      return { done: true, message: `${id} is back on ${short(revision)}, ${description}; it stays there until a commit changes it` };
    }
  }
}

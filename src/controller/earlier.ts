/** An earlier version of an application that was good, as it can be gone back to now: for `ctl rollback` and for `watch = "rollback"`. */

import type { Bundle } from "../core/bundle.ts";
import { problemText } from "../core/judgement.ts";
import type { ApplicationId, Revision } from "../core/names.ts";
import { policyOf } from "../core/policy-config.ts";
import { success, trouble, type Result } from "../core/result.ts";
import type { ApplicationRecord, DeploymentRecord } from "../ports.ts";
import { draftOf, liveBundles, type Context } from "./context.ts";
import { exactly } from "./images.ts";
import { judge, witnessesOf } from "./judge.ts";

export interface Earlier {
  readonly deployment: number;
  readonly revision: Revision;
  /** With the images that it ran. */
  readonly bundle: Bundle;
}

/**
 * What a deployment brought, or without `to` the newest good one that is not what runs; judged by what the host and the other applications
 * are now. The trouble is for people.
 */
export async function earlierGood(
  record: ApplicationRecord,
  to: number | undefined,
  context: Context,
  signal: AbortSignal,
): Promise<Result<Earlier, string>> {
  const { store, bundles } = context;
  const { id } = record;
  const aim = await aimOf(record, to, context, signal);
  if (aim === undefined || aim.goal === "absent")
    return trouble(
      to === undefined
        ? `${id} has no earlier good version: see ctl history ${id}`
        : `deployment ${to} is not a good version of ${id}: see ctl history ${id}`,
    );
  const bundle = await exactGoal(aim, context, signal);
  const stored = bundle === undefined ? undefined : store.bundle(bundle.digest);
  if (bundle === undefined || stored === undefined)
    return trouble(`the files of deployment ${aim.id} are no longer kept ([state] keep_good)`);
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
  if (judged?.kind === "rejected") return trouble(`${id} can't go back to deployment ${aim.id}: ${problemText(judged.problems)}`);
  return success({ deployment: aim.id, revision: aim.revision, bundle });
}

async function aimOf(
  record: ApplicationRecord,
  to: number | undefined,
  context: Context,
  signal: AbortSignal,
): Promise<DeploymentRecord | undefined> {
  const { store } = context;
  const good = (one: DeploymentRecord | undefined) =>
    one?.application === record.id && (one.outcome === "deployed" || one.outcome === "repaired") && one.goal !== "absent";
  if (to !== undefined) {
    const one = store.deployment(to);
    return good(one) ? one : undefined;
  }
  // What was good for a while may have been gone back from since.
  const bad = new Set<DeploymentRecord["goal"]>(store.quarantined(record.id).map(({ digest }) => digest));
  for (const one of store.deployments({ application: record.id, limit: 1000 }))
    if (good(one) && one.goal !== record.lastGood && !bad.has(one.goal)) {
      // What runs may be that very version, with its images held by a rollout that was undone.
      const exact = await exactGoal(one, context, signal);
      if (exact === undefined || exact.digest !== record.lastGood) return one;
    }
  return undefined;
}

/** The bundle of a deployment, with the images that it ran; undefined where it is no longer kept. */
async function exactGoal({ application, goal }: DeploymentRecord, context: Context, signal: AbortSignal): Promise<Bundle | undefined> {
  if (goal === "absent" || context.store.bundle(goal) === undefined) return undefined;
  return exactly(application, goal, context, signal);
}

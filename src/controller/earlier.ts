/** An earlier version of an application that was good, as it can be gone back to now: for `ctl rollback` and for `watch = "rollback"`. */

import { assemble } from "../core/assemble.ts";
import type { Bundle } from "../core/bundle.ts";
import { problemText } from "../core/judgement.ts";
import type { ApplicationId, Digest, Revision } from "../core/names.ts";
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

/** What a deployment brought, or without `to` the newest good one that is not what runs. The trouble is for people. */
export async function earlierGood(
  record: ApplicationRecord,
  to: number | undefined,
  context: Context,
  signal: AbortSignal,
): Promise<Result<Earlier, string>> {
  const { id } = record;
  const aim = await aimOf(record, to, context, signal);
  if (aim === undefined || aim.goal === "absent")
    return trouble(
      to === undefined
        ? `${id} has no earlier good version: see ctl history ${id}`
        : `deployment ${to} is not a good version of ${id}: see ctl history ${id}`,
    );
  const bundle = await asItRan(id, aim.goal, `deployment ${aim.id}`, context, signal);
  return bundle.ok ? success({ deployment: aim.id, revision: aim.revision, bundle: bundle.value }) : bundle;
}

/**
 * A saved bundle as it ran, with its images, if it may run again: the host, the other applications and the policy are asked as they are now.
 * `what`: "deployment 3".
 */
export async function asItRan(
  id: ApplicationId,
  digest: Digest,
  what: string,
  context: Context,
  signal: AbortSignal,
): Promise<Result<Bundle, string>> {
  const { store, bundles, config } = context;
  const saved = store.bundle(digest);
  if (saved === undefined) return trouble(`the files of ${what} are no longer kept ([state] keep_good)`);
  // A backup of what was changed by hand may be none that can be read.
  const isReadable = assemble(draftOf(saved), bundles.renderingOf(saved)).ok;
  const bundle = isReadable ? await exactly(id, digest, context, signal) : undefined;
  const stored = bundle === undefined ? saved : (store.bundle(bundle.digest) ?? saved);
  const rendering = () => bundles.renderingOf(stored);
  const policy = (application: ApplicationId) => policyOf(config.policy, application);
  const secrets = { missing: "empty", unreadable: [] } as const;
  const trial = { drafts: [draftOf(stored)], live: liveBundles(context), rendering, policy, secrets };
  const found = (await judge(trial, witnessesOf(context), signal)).get(id);
  if (found?.kind === "rejected") return trouble(`${id} can't go back to ${what}: ${problemText(found.problems)}`);
  return bundle === undefined ? trouble(`${id} can't go back to ${what}: its files can't be read`) : success(bundle);
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

/** The end of a rollout: what is remembered of it, what is live from then on, and what is told. */

import type { Bundle } from "../core/bundle.ts";
import { filesOf } from "../core/moves.ts";
import type { ApplicationId, Digest, RelativePath, ServiceName } from "../core/names.ts";
import { freshStart, unknownStart } from "../core/observe.ts";
import { isLeft, type Settled, type Target } from "../core/rollout.ts";
import type { ApplicationRecord, ContainerRow, Store } from "../ports.ts";
import { bundleOf, type Context } from "./context.ts";
import { triedAgain } from "./tries.ts";
import { worst, type Verification } from "./verify.ts";

/** How a rollout ended, beside what its own phases know. */
export interface Ending {
  readonly verification: Verification | undefined;
  readonly passedOn?: ReadonlySet<ServiceName>;
}

/** The end, in one transaction: history, what is live now, quarantine, inventory. Then it is told. */
export function settle(settled: Settled, { verification, passedOn = new Set() }: Ending, context: Context): Settled {
  const { store, journal } = context;
  const { live } = settled;
  const before = servicesOf(settled.fallback, context);
  const after = servicesOf(live, context);
  store.atomically(() => {
    store.finishDeployment(settled);
    store.endRollout(settled.application);
    const isBad = settled.blameless !== true;
    if (isBad && (settled.outcome === "rolled-back" || (settled.outcome === "failed" && settled.goal !== settled.fallback)))
      if (settled.goal !== "absent")
        store.quarantine({
          application: settled.application,
          digest: settled.goal,
          reason: messageOf(settled),
          since: settled.finishedAt,
        });
    // It is well after all, as it was left or repaired.
    if (settled.outcome === "repaired" && settled.goal !== "absent") acquit(settled.application, settled.goal, store);
    if (live === "absent" && settled.outcome === "deployed" && passedOn.size === 0) {
      store.forgetApplication(settled.application);
      return;
    }
    const bundle = bundleOf(live, context);
    if (settled.shows !== undefined) {
      for (const { service } of store.adoptions(settled.application)) if (!after.has(service)) store.forgetStarted(service);
      store.forgetAdoptions(settled.application);
      store.forgetAsides(settled.application);
      // From here on there is data in it.
      for (const [service, { digest }] of store.started(settled.application))
        if (digest === freshStart.digest) store.saveStarted(settled.application, service, unknownStart);
    }
    // Else it stays as wide as it was: something of the goal may still be there, and is to be taken away.
    // And what is passed on stays this application's, to be stopped, until the other one takes it.
    const left = filesOf(bundleOf(settled.fallback, context), passedOn);
    if (settled.shows !== undefined)
      store.saveInventory(
        settled.application,
        new Map<RelativePath, Digest>([...left, ...(bundle?.files ?? [])].map((file) => [file.path, file.digest])),
      );
    store.saveApplication(recordOf(settled, live, verification, context));
    store.saveHealth(settled.application, verification?.verdicts ?? [], settled.finishedAt);
    if (bundle !== undefined) store.saveContainers(settled.deployment, containersOf(bundle, verification));
  });
  journal.tell({
    type: "outcome",
    application: settled.application,
    outcome: settled.outcome,
    revision: settled.revision,
    deployment: settled.deployment,
    message: messageOf(settled),
    // The date may have been set back meanwhile.
    ms: Math.max(0, settled.finishedAt.getTime() - settled.startedAt.getTime()),
  });
  const pinned = store.application(settled.application)?.pinnedAgainst !== undefined;
  journal.tell({ type: "pinned", application: settled.application, pinned });
  for (const { service, health } of verification?.verdicts ?? [])
    journal.tell({ type: "health", application: settled.application, service, health });
  for (const service of before) if (!after.has(service)) journal.tell({ type: "gone", application: settled.application, service });
  if (live === "absent" && settled.outcome === "deployed")
    journal.tell({ type: "gone", application: settled.application, service: undefined });
  return settled;
}

/** A version that failed and was left as it is has become healthy: nothing speaks against it any more. */
export function acquit(application: ApplicationId, digest: Digest, store: Store): void {
  const all = store.quarantined(application);
  if (!all.some((one) => one.digest === digest)) return;
  store.release(application);
  for (const other of all) if (other.digest !== digest) store.quarantine(other);
}

/** Whether it goes back with the rest of its source's revision. */
export function isUndoing(application: ApplicationId, store: Store): boolean {
  return store.together().some(({ undoing, members }) => undoing !== undefined && members.some((one) => one.application === application));
}

/** What is told of it outside its own entry in history. */
function messageOf({ outcome, description, deployment }: Settled): string {
  return outcome === "rolled-back" || outcome === "failed" ? `${description}: see ctl show ${deployment}` : description;
}

function recordOf(settled: Settled, live: Target, verification: Verification | undefined, context: Context): ApplicationRecord {
  const { store } = context;
  const before = store.application(settled.application);
  const good = settled.outcome === "deployed" || settled.outcome === "repaired";
  const isLeftNow = isLeft(settled);
  const said = {
    outcome: settled.outcome,
    since: settled.finishedAt,
    message: messageOf(settled),
    // As every version that is live and not well: looked at again, and put right where something of it is missing.
    held: isLeftNow
      ? { why: settled.description, until: undefined, tries: 0 }
      : settled.outcome === "rolled-back" && settled.blameless === true
        ? triedAgain(settled.application, "what it needs of another application is not healthy", context)
        : undefined,
  };
  // A repair of what runs does not answer why it is not what Git wants.
  const waits =
    settled.outcome === "repaired" &&
    before !== undefined &&
    (["rejected", "held", "rolled-back"].includes(before.outcome) || (live === "absent" && before.outcome === "failed"));
  const held = before?.outcome === "failed" ? undefined : before?.held;
  return {
    id: settled.application,
    // What was good until now may have been gone back from.
    revision:
      good || isLeftNow
        ? settled.revision
        : live === "absent" || live === before?.lastGood
          ? before?.revision
          : store.bundle(live)?.revision,
    lastGood: live === "absent" ? undefined : live,
    desired: before?.desired,
    ...(waits ? { outcome: before.outcome, since: before.since, message: before.message, held } : said),
    health: verification === undefined ? "unknown" : worst(verification.verdicts.map((verdict) => verdict.health)),
    suspended: before?.suspended,
    seen: before?.seen,
    pinnedAgainst:
      // A person's; but what goes back with the rest of its source's revision follows Git.
      settled.cause === "rollback" && !isUndoing(settled.application, store) && (good || isLeftNow)
        ? // Where Git's is not even sound, what was gone back from stands for it.
          (before?.desired?.digest ?? (settled.fallback === "absent" ? undefined : settled.fallback))
        : (settled.cause === "commit" || settled.cause === "self-update") && good
          ? undefined
          : before?.pinnedAgainst,
  };
}

function containersOf(bundle: Bundle, verification: Verification | undefined): readonly ContainerRow[] {
  const verdicts = new Map(verification?.verdicts.map((verdict) => [verdict.service, verdict.health]));
  return bundle.units
    .filter((unit) => unit.kind === "container")
    .map((unit) => {
      const container = verification?.containers.get(unit.service);
      const health = verdicts.get(unit.service) ?? "unknown";
      return {
        service: unit.service,
        quadlet: unit.name,
        imageId: container?.imageId ?? "",
        status: container?.state ?? "unknown",
        health,
      };
    });
}

function servicesOf(target: Target, context: Context): ReadonlySet<ServiceName> {
  return new Set(bundleOf(target, context)?.units.map((unit) => unit.service));
}

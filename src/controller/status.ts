/** What is going on, as reports: from what is saved, and for the units a look at the host when it answers quickly. */

import type { Bundle } from "../core/bundle.ts";
import { healingText, isShown } from "../core/healing.ts";
import type { RollbackPin } from "../core/config.ts";
import type { UnitHealth } from "../core/health.ts";
import { pullText, type Pull } from "../core/pulls.ts";
import { partsOf, type ApplicationId, type ServiceName } from "../core/names.ts";
import { lacks, usageText, type Usage } from "../core/resources.ts";
import { reasonOf } from "../core/result.ts";
import type { ApplicationStatus, EventEntry, HistoryEntry, SourceStatus, StatusReport, UnitStatus } from "../core/report.ts";
import type { ApplicationRecord, DeploymentRecord, EventRow, ServiceState, SourceRecord, Store } from "../ports.ts";
import type { Bundles, Context } from "./context.ts";
import { flappingOf } from "./health.ts";
import { linked } from "./linked.ts";
import { suspensionOf } from "./schedule.ts";
import { lastGoods, takeSurvey } from "./survey.ts";
import { isTried } from "./tries.ts";
import { lookOnce, worst } from "./verify.ts";

/** How long status waits for systemd, Podman and probes before it tells what it knew last. */
const patience = 1500;

/** A live look at what an application runs. */
export interface LiveUnits {
  readonly verdicts: ReadonlyMap<ServiceName, UnitHealth>;
  readonly services: ReadonlyMap<ServiceName, ServiceState>;
}

/** What the last look for drift showed of a service. */
type UsageOf = (service: ServiceName) => Usage | undefined;

export interface About {
  readonly version: string;
  readonly host: string;
  readonly now: Date;
  /** Undefined where it is not known. */
  readonly rollbackPin: RollbackPin | undefined;
}

/** What the host shows at this moment. */
export interface Sight {
  readonly live: ReadonlyMap<ApplicationId, LiveUnits>;
  /** Why nothing can be seen. */
  readonly trouble: string | undefined;
  readonly pulls?: readonly Pull[];
  readonly usage?: UsageOf;
}

/** Looks at all applications at once; one that can't be looked at in time is left out. */
export async function lookAtAll(context: Context, signal: AbortSignal): Promise<Sight> {
  const live = new Map<ApplicationId, LiveUnits>();
  let { trouble } = context.reach;
  const pulls = await context.podman.pulls(signal).catch(() => []);
  const records = context.store.applications().filter((record) => record.lastGood !== undefined);
  await linked(signal, async ({ signal: inner }) => {
    const looks = takeSurvey(lastGoods(records, context), context, inner).then((survey) =>
      Promise.allSettled(
        records.map(async ({ id, lastGood }) => {
          if (lastGood === undefined) return;
          const verdicts = await lookOnce({ bundle: context.bundles.get(lastGood), survey }, context, inner);
          live.set(id, { verdicts: new Map(verdicts.map((one) => [one.service, one])), services: survey.services });
        }),
      ),
    );
    const late = context.clock.sleep(patience, inner).catch(() => undefined);
    const told = looks.then(
      () => {
        trouble = undefined;
      },
      (error: unknown) => {
        if (!inner.aborted) trouble = reasonOf(error);
      },
    );
    await Promise.race([told, late]);
  });
  signal.throwIfAborted();
  return { live, trouble, pulls, usage: (service) => context.resources.usage(service) };
}

/** Works without a daemon too: then with no live units. */
export function statusReport(
  { store, bundles }: Pick<Context, "store" | "bundles">,
  about: About,
  { live, trouble, pulls = [], usage }: Sight,
): StatusReport {
  const sources = store.sources().map((record) => sourceStatus(record, store, about.now));
  const applications = store
    .applications()
    .map((record) => applicationStatus(record, { store, bundles, about, live: live.get(record.id), usage }));
  const healthy =
    trouble === undefined &&
    sources.every((source) => source.state === "ok") &&
    applications.every(
      (one) => one.health === "healthy" && one.quarantined === null && one.outcome !== "failed" && one.outcome !== "rejected",
    );
  const healing = store.healing();
  const isRecent = healing !== undefined && isShown(healing, about.now);
  const healed = isRecent ? { since: healing.at.toISOString(), message: healingText(healing) } : null;
  const told = pulls.map((pull) => ({ ...pull, message: pullText(pull) }));
  return {
    ...{ schema: 1, version: about.version, host: about.host, healthy, trouble: trouble ?? null, healed },
    ...{ sources, applications, pulls: told },
  };
}

export function sourceStatus(record: SourceRecord, store: Store, now: Date): SourceStatus {
  const suspended = store.suspension(record.name);
  const isSuspended = suspended !== undefined && (suspended.until === undefined || suspended.until > now);
  return {
    name: record.name,
    revision: record.revision ?? null,
    tag: record.tag ?? null,
    checkedAt: record.checkedAt?.toISOString() ?? null,
    state: record.state,
    message: record.message ?? null,
    suspended: isSuspended ? { until: suspended.until?.toISOString() ?? null } : null,
  };
}

interface Around {
  readonly store: Store;
  readonly bundles: Bundles;
  readonly about: About;
  readonly live: LiveUnits | undefined;
  readonly usage: UsageOf | undefined;
}

function applicationStatus(record: ApplicationRecord, { store, bundles, about, live, usage }: Around): ApplicationStatus {
  const { now, rollbackPin } = about;
  const { source, application } = partsOf(record.id);
  const bundle = record.lastGood === undefined ? undefined : bundles.get(record.lastGood);
  const saved = new Map(store.health(record.id).map((one) => [one.service, one]));
  const units = bundle === undefined ? [] : unitStatuses(bundle, saved, { live, usage });
  const quarantine = store.quarantined(record.id).find(({ digest }) => digest === record.desired?.digest);
  const rollout = store.rollouts().find((one) => one.application === record.id);
  const suspended = suspensionOf(record.id, store, now);
  const said = [record.message, flappingOf(record.id, store, now)].filter((one) => one !== undefined);
  return {
    name: application,
    source,
    revision: record.revision ?? null,
    outcome: record.outcome,
    since: record.since.toISOString(),
    health: units.length === 0 ? record.health : worst(units.map((unit) => unit.health)),
    phase: rollout?.phase ?? null,
    message: said.length === 0 ? null : said.join("; "),
    held: isTried(record) && record.held !== undefined ? { why: record.held.why, until: record.held.until?.toISOString() ?? null } : null,
    quarantined:
      quarantine === undefined ? null : { digest: quarantine.digest, reason: quarantine.reason, since: quarantine.since.toISOString() },
    suspended: suspended === undefined ? null : { until: suspended.until?.toISOString() ?? null },
    pinned: record.pinnedAgainst !== undefined,
    pin: record.pinnedAgainst === undefined ? null : { against: record.pinnedAgainst, until: rollbackPin ?? null },
    images: (bundle?.images ?? []).flatMap(({ path, name, pin }) => (pin === undefined ? [] : [{ file: path, image: name, held: pin }])),
    units,
  };
}

function unitStatuses(
  bundle: Bundle,
  saved: ReadonlyMap<ServiceName, UnitHealth>,
  { live, usage }: Pick<Around, "live" | "usage">,
): readonly UnitStatus[] {
  // What pgo doesn't start has no health: a template, a service that a timer starts.
  return bundle.units
    .filter((unit) => unit.starts)
    .map((unit) => {
      const known = live?.verdicts.get(unit.service) ?? saved.get(unit.service);
      return {
        unit: unit.name,
        service: unit.service,
        active: live?.services.get(unit.service)?.active ?? "unknown",
        health: known?.health ?? "unknown",
        checkedBy: known?.checkedBy ?? "process",
        message: known?.message ?? null,
        resources: resourcesOf(usage?.(unit.service)),
      };
    });
}

function resourcesOf(usage: Usage | undefined): UnitStatus["resources"] {
  if (usage === undefined) return null;
  const { at, memory, memoryLimit, cpu, cpuSeconds, restarts, oomKills } = usage;
  return {
    at: at.toISOString(),
    memoryBytes: memory ?? null,
    memoryLimitBytes: memoryLimit ?? null,
    cpuPercent: cpu === undefined ? null : Math.round(cpu * 1000) / 10,
    cpuSeconds: cpuSeconds ?? null,
    restarts,
    oomKills: oomKills ?? null,
    message: usageText(usage),
    lacking: lacks(usage),
  };
}

export function historyEntry(record: DeploymentRecord): HistoryEntry {
  const { source, application } = partsOf(record.application);
  return {
    id: record.id,
    source,
    application,
    revision: record.revision,
    author: record.author,
    subject: record.subject,
    cause: record.cause,
    startedAt: record.startedAt.toISOString(),
    finishedAt: record.finishedAt?.toISOString() ?? null,
    outcome: record.outcome ?? null,
    description: record.description,
    reasons: record.reasons,
    steps: record.steps,
    evidence: record.evidence,
  };
}

export function eventEntry(row: EventRow): EventEntry {
  return { id: row.id, deployment: row.deployment ?? null, time: row.at.toISOString(), type: row.type, message: row.message };
}

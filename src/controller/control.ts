/** The commands of a running pgo. */

import { plannedTogether } from "../core/atomic.ts";
import { bytesText } from "../core/size.ts";
import { goTo, restore } from "./back.ts";
import { backupsReport } from "./backups.ts";
import { Unavailable, UnknownTarget, type Commands } from "./commands.ts";
import type { Context } from "./context.ts";
import { earlierGood } from "./earlier.ts";
import type { Loop } from "./loop.ts";
import type { Occasion } from "./pass.ts";
import { judged, passedOnBy, turnsOf } from "./revision.ts";
import { emptiness } from "./seen.ts";
import { planned } from "./planned.ts";
import { askedOnce } from "./preflight.ts";
import { lastGoods, takeSurvey } from "./survey.ts";
import { resume, suspend } from "./suspend.ts";
import { applicationOf, isSource } from "./target.ts";
import { eventEntry, historyEntry, lookAtAll, sourceStatus, statusReport } from "./status.ts";
import { partsOf, type ApplicationId, type ServiceName, type SourceName } from "../core/names.ts";
import { rolloutOrder } from "../core/order.ts";
import type { CommandReport, PlannedApplication, SyncReport } from "../core/report.ts";

/** What the commands can't get from the ports. */
export interface Surroundings {
  readonly loop: Loop;
  readonly version: string;
  readonly hostName: string;
}

export function commands(context: Context, { loop, version, hostName }: Surroundings): Commands {
  const { store, clock, journal, podman } = context;
  const sourcesOf = (target: string | undefined): readonly SourceName[] =>
    target === undefined ? context.config.sources.map((source) => source.name) : [sourceOf(target, context)];

  async function synced(target: string | undefined, unbound: Occasion["unbound"], wait: boolean, signal: AbortSignal): Promise<SyncReport> {
    const names = sourcesOf(target);
    const work = loop.ask(async (running) => {
      for (const name of names) await loop.passNow(name, { drift: true, images: true, asked: true, retry: undefined, unbound }, running);
    });
    if (wait) await untilAborted(work, signal);
    else work.catch(() => undefined);
    return syncReport(names, wait, context);
  }

  return {
    async status(signal) {
      const sight = await lookAtAll(context, signal);
      const about = { version, host: hostName, now: clock.now(), rollbackPin: context.config.quadlet.rollbackPin };
      return statusReport({ store, bundles: context.bundles }, about, sight);
    },

    plan: (target, signal) =>
      loop.ask(async (running) => {
        signal.throwIfAborted();
        const applications: PlannedApplication[] = [];
        for (const name of sourcesOf(target)) applications.push(...(await planSource(name, context, running)));
        const only = target === undefined || isSource(target, context) ? undefined : partsOf(applicationOf(target, context).id).application;
        return { applications: applications.filter((one) => only === undefined || one.name === only) };
      }),

    sync: (target, wait, signal) => synced(target, undefined, wait, signal),
    syncNow: (target, wait, signal) => {
      const unbound = target === undefined || isSource(target, context) ? "all" : applicationOf(target, context).id;
      return synced(target, unbound, wait, signal);
    },

    history({ target, limit, id }) {
      if (id !== undefined) return [store.deployment(id)].flatMap((one) => (one === undefined ? [] : [historyEntry(one)]));
      if (target === undefined) return store.deployments({ limit }).map(historyEntry);
      return store.deployments({ application: known(target, context), limit }).map(historyEntry);
    },

    rollback(target, to) {
      const record = applicationOf(target, context);
      return loop.ask((running) => rollBack(record.id, to, context, running));
    },

    async retry(target, signal) {
      const { id } = applicationOf(target, context);
      if (store.quarantined(id).length === 0) return { done: true, message: `${id} has nothing in quarantine` };
      context.reach.refuse();
      // In its turn: a rollout of it that is under way saves its own end first.
      const work = loop.ask(async (running) => {
        const isLive = lookAgain(id, context);
        if (!isLive) store.release(id);
        const told = isLive ? "the version that failed is looked at again" : "quarantine lifted";
        journal.tell({ type: "command", command: "retry", target: id, message: told });
        await loop.passNow(partsOf(id).source, { drift: isLive, images: false, asked: false, retry: id }, running);
      });
      await untilAborted(work, signal);
      const after = store.application(id);
      return {
        done: after?.outcome === "deployed" || after?.outcome === "in-sync" || after?.outcome === "repaired",
        message: `${id} ${after?.outcome ?? "is gone"}${after?.message === undefined ? "" : `: ${after.message}`}`,
      };
    },

    backups: (target) => backupsReport(target === undefined ? undefined : known(target, context), context),
    backUp: () =>
      loop.ask(async () => {
        const { path, bytes } = await context.archives.create(clock.now(), (at) => store.copyTo(at));
        journal.tell({ type: "command", command: "backup create", target: "", message: path });
        return {
          done: true,
          message: `${path} (${bytesText(bytes)}): copy it to another machine, with pgo.toml and the keys beside it. It holds secrets as they are`,
        };
      }),
    restore: (id) => loop.ask((running) => restore(id, context, running)),

    suspend: (target, forMs) => suspend(target, forMs, context),
    resume(target) {
      const resumed = resume(target, context);
      for (const source of resumed.sources)
        loop
          .ask((running) => loop.passNow(source, { drift: true, images: true, asked: true, retry: undefined }, running))
          .catch(() => undefined);
      return resumed.report;
    },

    events: (filter) => store.events(filter).map(eventEntry),

    async version(signal) {
      const found = await podman.version(signal).catch(() => null);
      return { version, node: process.versions.node, podman: found };
    },

    alive() {
      store.check();
      return loop.alive();
    },

    ready: () => loop.ready(),
  };
}

/** A version that failed and was left as it is, is what Git wants and what is live: to try it again is to put right what of it is not well. */
function lookAgain(id: ApplicationId, { store }: Context): boolean {
  const record = store.application(id);
  const live = record?.lastGood;
  if (record?.held === undefined || live !== record.desired?.digest) return false;
  if (!store.quarantined(id).some(({ digest }) => digest === live)) return false;
  store.saveApplication({ ...record, held: { ...record.held, until: undefined, tries: 0 } });
  return true;
}

async function planSource(name: SourceName, context: Context, signal: AbortSignal): Promise<readonly PlannedApplication[]> {
  const named = context.config.sources.find((one) => one.name === name);
  if (named === undefined) throw new UnknownTarget(`source ${name} is no longer in pgo.toml`);
  const here = await context.rendering.placed(named, signal);
  if (!here.ok) throw new Unavailable(`plan ${name}: ${here.trouble.reason}`);
  const source = here.value;
  const fetched = await context.git.fetch(source, "newest", context.store.source(name)?.revision, signal);
  if (!fetched.ok) throw new Unavailable(`plan ${name}: ${fetched.trouble.reason}`);
  const seen = { source, snapshot: fetched.value };
  const empty = emptiness(seen, context);
  if (empty !== undefined) throw new Unavailable(`plan ${name}: ${empty}`);
  const { candidates } = await judged(seen, context, signal);
  const turns = turnsOf(candidates, context);
  const order = rolloutOrder(turns);
  const passes = new Map(
    order.map((application, index) => {
      const later = order.slice(index + 1);
      return [application, passedOnBy(application, { turns, candidates, later }, context)];
    }),
  );
  const wanted = [...candidates.values()].flatMap((candidate) => (candidate.kind === "bundle" ? [candidate.bundle] : []));
  const survey = await takeSurvey([...lastGoods(context.store.applications(), context), ...wanted], context, signal);
  const asked = { survey, answers: askedOnce(context, signal) };
  const found: PlannedApplication[] = [];
  for (const [application, candidate] of candidates) {
    // Of a source that belongs to this one, the plan is its own.
    if (partsOf(application).source !== name) continue;
    const passedOn = passes.get(application) ?? new Set<ServiceName>();
    const others = [...passes.values()].flatMap((services) => [...services]).filter((service) => !passedOn.has(service));
    found.push(await planned({ application, candidate, passedOn, taken: new Set(others), seen: asked }, context, signal));
  }
  return source.atomic === "source" ? plannedTogether(found) : found;
}

/** Goes to an earlier good bundle, through the one rollout; what Git wants now is passed over until it changes. */
async function rollBack(id: ApplicationId, to: number | undefined, context: Context, signal: AbortSignal): Promise<CommandReport> {
  const record = context.store.application(id);
  if (record === undefined) return { done: false, message: `${id} is gone` };
  const earlier = await earlierGood(record, to, context, signal);
  if (!earlier.ok) return { done: false, message: earlier.trouble };
  const { bundle, deployment, revision } = earlier.value;
  return goTo(record, { bundle, revision, what: `deployment ${String(deployment)}`, command: "rollback" }, context, signal);
}

function syncReport(names: readonly SourceName[], waited: boolean, { store, clock }: Context): SyncReport {
  return {
    waited,
    sources: store
      .sources()
      .filter(({ name }) => names.includes(name))
      .map((record) => sourceStatus(record, store, clock.now())),
    applications: store
      .applications()
      .filter(({ id }) => names.includes(partsOf(id).source))
      .map(({ id, outcome, message }) => ({
        name: partsOf(id).application,
        source: partsOf(id).source,
        outcome,
        message: message ?? null,
      })),
  };
}

/** The caller going away ends its waiting, not the work. */
async function untilAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  work.catch(() => undefined);
  await new Promise<void>((resolve, reject) => {
    const gone = () => {
      reject(signal.reason instanceof Error ? signal.reason : new Error("the caller is gone"));
    };
    signal.addEventListener("abort", gone, { once: true });
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener("abort", gone);
    });
  });
}

function sourceOf(target: string, context: Context): SourceName {
  return context.config.sources.find((source) => source.name === target)?.name ?? partsOf(applicationOf(target, context).id).source;
}

/** History outlives its application. */
function known(target: string, context: Context): ApplicationId {
  try {
    return applicationOf(target, context).id;
  } catch (error) {
    const past = context.store
      .deployments({ limit: 1000 })
      .find(({ application }) => application === target || partsOf(application).application === target);
    if (past === undefined) throw error;
    return past.application;
  }
}

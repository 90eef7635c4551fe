/** A revision: judged as a whole, then each application decided and dealt with in an order that lets what is needed come first. */

import type { Bundle } from "../core/bundle.ts";
import type { Candidate } from "../core/decide.ts";
import type { Draft } from "../core/layout.ts";
import { givenUp, passedOn } from "../core/moves.ts";
import { bringsSelf } from "../core/self-quadlet.ts";
import { partsOf, type ApplicationId, type Digest, type RelativePath, type ServiceName } from "../core/names.ts";
import { rolloutOrder, needs, type Turn } from "../core/order.ts";
import { firstPhase } from "../core/phases.ts";
import { act, decisionOf, guarded, remember, type Case } from "./act.ts";
import { companyOf } from "./atomic.ts";
import { repair } from "./repair.ts";
import { liveBundles, presentRendering, type Context } from "./context.ts";
import { tooEarly } from "./early.ts";
import { judge, witnessesOf } from "./judge.ts";
import type { Moment } from "./rendering.ts";
import { isUnfinished } from "./rollout.ts";
import { companionsOf, draftsOf, type Seen } from "./seen.ts";

export interface Task extends Seen {
  /** A person asked: held tries are not waited for. */
  readonly asked: boolean;
  /** Told as the cause of this application's rollout, which no schedule binds. */
  readonly retry: ApplicationId | undefined;
  /** What a person wants at once, whatever the schedule says. */
  readonly unbound: ApplicationId | "all" | undefined;
}

export interface Dealt {
  /** Applications whose rollout was carried out, for better or worse: their hosts were looked at just now. */
  readonly touched: ReadonlySet<ApplicationId>;
  /** The revision, and those of other sources that had to be dealt with together with it. */
  readonly seen: readonly Seen[];
}

export async function dealWithRevision(task: Task, context: Context, signal: AbortSignal): Promise<Dealt> {
  const { asked, retry } = task;
  const { store } = context;
  const { seen, drafts, candidates, moment } = await judged(task, context, signal);
  const unbound = new Set([...candidates.keys()].filter((id) => isUnbound(id, task)));
  for (const { snapshot } of seen) context.time.learn(snapshot.committedAt);
  const byId = new Map(drafts.map((draft) => [draft.application, draft]));
  const cases = [...candidates].map(([application, candidate]): Case => {
    const from = seen.find(({ source }) => source.name === partsOf(application).source) ?? task;
    const cause = retry === application ? "retry" : asked && from.source.name === task.source.name ? "commit" : undefined;
    return {
      application,
      candidate,
      draft: byId.get(application),
      commit: commitOf(from),
      asked: cause,
      unbound: unbound.has(application),
      // A trailer counts once, when its commit comes.
      messages: store.source(from.source.name)?.revision === from.snapshot.revision ? [] : from.snapshot.messages,
      dependency: undefined,
      early: undefined,
      together: undefined,
      passedOn: new Set(),
      takes: false,
    };
  });
  store.atomically(() => {
    for (const one of cases) remember(one, context);
  });
  const turns = turnsOf(candidates, context);
  const next = new Map(turns.map((turn) => [turn.id, turn.next]));
  const troubled: ApplicationId[] = [];
  const touched = new Set<ApplicationId>();
  const passed = new Set<ServiceName>();
  const order = selfLast(rolloutOrder(turns), next);
  const turnsTaken = order.flatMap((id) => cases.find(({ application }) => application === id) ?? []);
  const company = await companyOf({ seen, cases: turnsTaken, turns }, context, signal);
  for (const [index, application] of order.entries()) {
    const one = cases.find((other) => other.application === application);
    if (one === undefined) continue;
    const dependency = troubled.find((other) => needs(next.get(application), next.get(other)));
    const passedOn = passedOnBy(application, { turns, candidates, later: order.slice(index + 1), unbound }, context);
    const takes = next.get(application)?.units.some(({ service }) => passed.has(service)) === true;
    const early = tooEarly(application, { turns, troubled }, context);
    const together = company.against(application);
    const turn = { ...one, dependency, early, together, passedOn, takes };
    const result = await guarded({ application }, () => act(turn, context, signal), context, signal);
    if (result === "rolled out") for (const service of passedOn) passed.add(service);
    if (result !== "as wanted" && result !== "rolled out") troubled.push(application);
    if (result === "rolled out" || result === "undone") touched.add(application);
    for (const gone of await company.after(one, result, signal)) touched.add(gone);
  }
  await company.end(signal);
  for (const { source } of seen) {
    context.rendering.dealtWith(source.name, moment);
    context.images.dealtWith(source.name);
  }
  for (const one of cases) await clearAway(one, context, signal);
  return { touched, seen };
}

/** What belongs to another source waits as its schedule says, though it is dealt with here. */
function isUnbound(id: ApplicationId, { source, unbound, retry }: Task): boolean {
  return id === retry || id === unbound || (unbound === "all" && partsOf(id).source === source.name);
}

function commitOf({ source: { branch, at }, snapshot: { revision, tag, author, subject } }: Seen): Case["commit"] {
  return { revision, ref: tag ?? (at?.kind === "commit" ? revision : (branch ?? "HEAD")), author, subject };
}

/** Another pgo comes when this one has nothing left to do. */
function selfLast(order: readonly ApplicationId[], next: ReadonlyMap<ApplicationId, Bundle | undefined>): readonly ApplicationId[] {
  const isSelf = (id: ApplicationId) => bringsSelf(next.get(id));
  return [...order.filter((id) => !isSelf(id)), ...order.filter(isSelf)];
}

/** Each application as it is and as it shall be. */
export function turnsOf(candidates: ReadonlyMap<ApplicationId, Candidate>, context: Context): readonly Turn[] {
  const live = liveBundles(context);
  return [...candidates].map(([id, candidate]) => {
    const next = nextBundle(candidate, live.get(id));
    const over = context.config.applications.get(partsOf(id).application)?.phase;
    return { id, live: live.get(id), next, phase: over ?? (next ?? live.get(id))?.settings.phase ?? firstPhase };
  });
}

/** Only to an application that will be rolled out, as far as can be known before. */
export function passedOnBy(
  application: ApplicationId,
  pass: {
    readonly turns: readonly Turn[];
    readonly candidates: ReadonlyMap<ApplicationId, Candidate>;
    readonly later: readonly ApplicationId[];
    readonly unbound?: ReadonlySet<ApplicationId>;
  },
  context: Context,
): ReadonlySet<ServiceName> {
  const { turns, candidates, later, unbound } = pass;
  const turn = turns.find(({ id }) => id === application);
  if (turn === undefined || givenUp(turn).length === 0) return new Set();
  const takers = turns.filter(({ id }) => {
    const candidate = candidates.get(id);
    if (candidate === undefined || !later.includes(id) || isUnfinished(id, context)) return false;
    return decisionOf({ application: id, candidate, unbound: unbound?.has(id) ?? false }, context).do === "roll-out";
  });
  return passedOn(turn, turns, takers);
}

/** What an application has passed on is the other's now; or, where that one did not take it after all, to be stopped. */
async function clearAway({ application }: Case, context: Context, signal: AbortSignal): Promise<void> {
  const { store, bundles } = context;
  const record = store.application(application);
  if (record?.outcome !== "deployed" || isUnfinished(application, context)) return;
  const bundle = record.lastGood === undefined ? undefined : bundles.get(record.lastGood);
  const placed = new Map<RelativePath, Digest>(bundle?.files.map(({ path, digest }) => [path, digest]));
  const inventory = store.inventory(application);
  if ([...inventory.keys()].every((path) => placed.has(path))) return;
  const started = store.started(application);
  const past = store.deployments({ application, limit: 20 }).map(({ goal }) => goal);
  const units = past.flatMap((goal) => (goal === "absent" || store.bundle(goal) === undefined ? [] : bundles.get(goal).units));
  const isLeft = units.some(({ file, service }) => inventory.has(file) && !placed.has(file) && started.has(service));
  if (isLeft) await guarded({ application, outcome: "failed" }, () => repair(record, undefined, context, signal), context, signal);
  else store.saveInventory(application, placed);
  // One that is gone altogether was kept until now for what it had passed on.
  if (bundle !== undefined || store.inventory(application).size > 0 || isUnfinished(application, context)) return;
  store.forgetApplication(application);
  context.journal.tell({ type: "gone", application, service: undefined });
}

/** What the application would be if all goes well, or what it stays. */
function nextBundle(candidate: Candidate, live: Bundle | undefined): Bundle | undefined {
  switch (candidate.kind) {
    case "bundle":
      return candidate.bundle;
    case "absent":
      return undefined;
    case "rejected":
    case "blocked":
      return live;
  }
}

/** Revisions' files as candidates. */
export interface Judged {
  readonly seen: readonly Seen[];
  readonly drafts: readonly Draft[];
  readonly candidates: ReadonlyMap<ApplicationId, Candidate>;
  readonly moment: Moment;
}

/** A revision, with those of other sources that belong to it, for a pass and for `ctl plan`. */
export async function judged(own: Seen, context: Context, signal: AbortSignal): Promise<Judged> {
  const alone = await candidatesOf([own], context, signal);
  const companions = await companionsOf(own, turnsOf(alone.candidates, context), context, signal);
  return companions.length === 0 ? alone : candidatesOf([own, ...companions], context, signal);
}

async function candidatesOf(seen: readonly Seen[], context: Context, signal: AbortSignal): Promise<Judged> {
  const drafts = seen.flatMap(draftsOf);
  const own = context.store.applications().filter(({ id }) => seen.some(({ source }) => source.name === partsOf(id).source));
  const absent = own.filter(({ id }) => !drafts.some((draft) => draft.application === id));
  // What goes away provides nothing any more, and is in nobody's way.
  const live = new Map(liveBundles(context));
  for (const { id } of absent) live.delete(id);
  const { moment, ...present } = await presentRendering(drafts, context, signal);
  const candidates = new Map(await judge({ drafts, live, ...present }, witnessesOf(context), signal));
  for (const { id } of absent) candidates.set(id, { kind: "absent" });
  return { seen, drafts, candidates, moment };
}

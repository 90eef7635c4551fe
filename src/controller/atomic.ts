/** Applications that go together (`atomic = "source"`): all held where one can't go, all gone back from where one failed, also after a crash. */

import { heldWith, membersOf, obstacleIn, type Member, type Obstacle, type Together } from "../core/atomic.ts";
import { digestOf, partsOf, type ApplicationId, type SourceName } from "../core/names.ts";
import type { Turn } from "../core/order.ts";
import { rollbackOf } from "../core/rollback.ts";
import type { Target } from "../core/rollout.ts";
import { bringsSelf } from "../core/self-quadlet.ts";
import type { ApplicationRecord } from "../ports.ts";
import { decisionOf, differs, guarded, holdBack, isFailedVersion, remember, storedOf, type Acted, type Case } from "./act.ts";
import { bundleOf, isThere, liveOf, type Context } from "./context.ts";
import { prune } from "./course.ts";
import { exactly } from "./images.ts";
import { rehearse } from "./rehearse.ts";
import { isUnfinished, rollOut, type Order } from "./rollout.ts";
import type { Seen } from "./seen.ts";
import { isTried, triedAgain, waitsForTry } from "./tries.ts";

/** Sources that go as a whole, in one pass. */
export interface Company {
  /** Why an application's turn does not come now. */
  against(application: ApplicationId): ApplicationRecord["held"];
  /** To be told of each turn; answers what was gone back from for it. */
  after(one: Case, acted: Acted | undefined, signal: AbortSignal): Promise<readonly ApplicationId[]>;
  end(signal: AbortSignal): Promise<void>;
}

interface Turns {
  readonly seen: readonly Seen[];
  /** In the order of their turns. */
  readonly cases: readonly Case[];
  readonly turns: readonly Turn[];
}

/** Looks at all that goes together before any of it does, and saves that it goes. pgo itself goes last, alone, and only where the rest went. */
export async function companyOf(all: Turns, context: Context, signal: AbortSignal): Promise<Company> {
  const { store } = context;
  const stopped = new Map<SourceName, Obstacle>();
  const own = new Map<ApplicationId, ApplicationRecord["held"]>();
  const tell = (gone: readonly ApplicationId[], obstacle: Obstacle) => {
    for (const id of gone) {
      const one = all.cases.find(({ application }) => application === id);
      // Of one that was the first the way back has left nothing to tell it by.
      if (one !== undefined && store.application(id) === undefined) remember(one, context);
      if (id !== obstacle.application) holdBack(id, heldWith(obstacle), context);
    }
  };
  for (const seen of all.seen.filter(({ source }) => source.atomic === "source")) {
    const found = await setOut(seen, all, context, signal);
    if (found === undefined) continue;
    stopped.set(seen.source.name, found);
    if (found.held !== undefined) own.set(found.application, found.held);
    const half = underWay(seen.source.name, context);
    if (half !== undefined) tell(await undo(half.undoing === undefined ? undoing(half, found, context) : half, context, signal), found);
  }
  return {
    against(application) {
      const found = stopped.get(partsOf(application).source);
      if (found === undefined) return undefined;
      return found.application === application ? own.get(application) : { why: heldWith(found), until: undefined, tries: 0 };
    },
    async after({ application }, acted, inner) {
      const together = underWay(partsOf(application).source, context);
      if (together === undefined || !isMember(together, application) || acted === "as wanted" || acted === "rolled out") return [];
      const obstacle = { application, why: shortfallOf(application, context) };
      stopped.set(together.source, obstacle);
      // What was interrupted goes on at the next pass, and the others with it.
      if (isUnfinished(application, context)) return [];
      const gone = await undo(undoing(together, obstacle, context), context, inner);
      tell(gone, obstacle);
      return gone;
    },
    async end(inner) {
      for (const { source } of all.seen) {
        const together = underWay(source.name, context);
        if (together !== undefined && !stopped.has(source.name)) await finishTogether(together, context, inner);
      }
    },
  };
}

/** Goes on with what a crash, or trouble with the host, has left half way: to its end, or all the way back. */
export async function finishTogether(together: Together, context: Context, signal: AbortSignal): Promise<void> {
  if (together.undoing !== undefined) {
    for (const id of await undo(together, context, signal)) holdBack(id, heldWith(obstacleOf(together.undoing)), context);
    return;
  }
  const { revision, commit, members } = together;
  for (const { application, goal } of members) {
    if (isUnfinished(application, context)) return;
    const hasFailed = context.store.quarantined(application).some(({ digest }) => digest === goal);
    const isKept = goal === "absent" || context.store.bundle(goal) !== undefined;
    if (!hasFailed && isThere({ application, goal }, context)) continue;
    const goOn = () => {
      const order = { application, bundle: bundleOf(goal, context), stored: undefined, cause: "commit" as const };
      return rollOut({ ...order, commit: { revision, ...commit } }, context, signal);
    };
    if (!hasFailed && isKept) await guarded({ application }, goOn, context, signal);
    if (isUnfinished(application, context)) return;
    if (!hasFailed && isThere({ application, goal }, context) && !isFailedVersion(application, context)) continue;
    const obstacle = { application, why: shortfallOf(application, context) };
    for (const id of await undo(undoing(together, obstacle, context), context, signal)) holdBack(id, heldWith(obstacle), context);
    return;
  }
  for (const { application, goal } of members) {
    const [last] = context.store.deployments({ application, limit: 1 });
    if (last === undefined) continue;
    const settled = { application, goal, deployment: last.id };
    await guarded({ application }, () => prune(settled, { passedOn: new Set() }, context, signal), context, signal);
  }
  context.store.endTogether(together.source);
}

/** Saves that a revision goes, with all that it takes to go on without Git; or answers what is in its way. */
async function setOut(
  { source, snapshot }: Seen,
  { cases, turns }: Turns,
  context: Context,
  signal: AbortSignal,
): Promise<(Obstacle & { readonly held?: ApplicationRecord["held"] }) | undefined> {
  const { store, sealed } = context;
  const turnOf = (id: ApplicationId) => turns.find((turn) => turn.id === id);
  const own = cases.filter(({ application: id }) => partsOf(id).source === source.name && !bringsSelf(turnOf(id)?.next));
  const earlier = underWay(source.name, context);
  if (earlier?.undoing !== undefined && earlier.revision === snapshot.revision) return obstacleOf(earlier.undoing);
  for (const one of own) {
    const obstacle = obstacleTo(one, context);
    if (obstacle !== undefined) return obstacle;
  }
  const moving = own.filter((one) => decisionOf(one, context).do === "roll-out");
  const targets = moving.map(({ application, candidate }) => {
    const goal: Target = candidate.kind === "bundle" ? candidate.bundle.digest : "absent";
    return { application, goal, before: liveOf(application, context), revision: store.application(application)?.revision };
  });
  const members = membersOf(targets, earlier, (id) => liveOf(id, context));
  if (members.length < 2 && earlier === undefined) return undefined;
  for (const { application, candidate } of moving) {
    const company = turns.filter(({ id }) => id !== application && isMember({ members }, id));
    const bundle = candidate.kind === "bundle" ? candidate.bundle : undefined;
    const found = await guarded(
      { application },
      async () => ({ lack: await rehearse({ application, bundle, company }, context, signal) }),
      context,
      signal,
    );
    const why = found === undefined ? store.application(application)?.message : found.lack;
    if (why !== undefined) return { application, why: `is held: ${why}`, held: triedAgain(application, why, context) };
  }
  const contents = moving.flatMap(({ candidate }) => (candidate.kind === "bundle" ? candidate.bundle.files : []));
  for (const { sealed: digest, content } of contents)
    if (digest !== undefined && digestOf(content) === digest) await sealed.put(content, signal);
  const { ref, author, subject } = moving[0]?.commit ?? earlier?.commit ?? { ref: "", ...snapshot };
  store.atomically(() => {
    for (const { candidate, commit, draft } of moving)
      if (candidate.kind === "bundle") store.saveBundle(storedOf(candidate.bundle, commit.revision, draft));
    store.saveTogether({
      source: source.name,
      revision: snapshot.revision,
      commit: { ref, author, subject },
      members,
      undoing: undefined,
    });
  });
  return undefined;
}

function obstacleTo(one: Case, context: Context): Obstacle | undefined {
  const { application, asked, takes } = one;
  const decision = decisionOf(one, context);
  const record = context.store.application(application);
  const found = obstacleIn(application, decision, differs(one, context));
  if (found !== undefined) return found;
  if (decision.do === "keep")
    return isFailedVersion(application, context) ? { application, why: shortfallOf(application, context) } : undefined;
  if (isUnfinished(application, context)) return { application, why: "is not finished with its last rollout" };
  const waits = waitsForTry(record, context) && asked === undefined && !takes;
  return waits ? { application, why: `is held: ${record?.held?.why ?? ""}` } : undefined;
}

/** Goes back, the last one first; answers what was gone back from. Where something can't be now, the rest of it is for a later pass. */
async function undo(from: Together, context: Context, signal: AbortSignal): Promise<readonly ApplicationId[]> {
  const { store } = context;
  let together = from;
  const gone: ApplicationId[] = [];
  const leave = (application: ApplicationId) => {
    together = { ...together, members: together.members.map((one) => (one.application === application ? { ...one, stays: true } : one)) };
    store.saveTogether(together);
  };
  for (const member of from.members.toReversed()) {
    const { application, goal } = member;
    if (isUnfinished(application, context)) return gone;
    if (member.stays || !isThere(member, context)) continue;
    if (goal !== "absent" && rollbackOf(application, bundleOf(goal, context), context.config) === "never") {
      const message = `it stays on the version of ${from.revision.slice(0, 7)}, since rollback = "never", though the rest of its source goes back`;
      if (application !== from.undoing?.blame) context.journal.tell({ type: "warning", subject: application, message });
      leave(application);
      continue;
    }
    const rolled = await guarded(
      member,
      async () => rollOut(await wayBack(member, from, context, signal), context, signal),
      context,
      signal,
    );
    if (rolled === undefined || rolled.kind === "held" || rolled.kind === "conflicts") return gone;
    if (rolled.kind === "settled" && rolled.settled.outcome !== "deployed") leave(application);
    else gone.push(application);
  }
  store.endTogether(from.source);
  return gone;
}

async function wayBack(
  { application, before, revision }: Member,
  { revision: of, commit }: Together,
  context: Context,
  signal: AbortSignal,
): Promise<Order> {
  const bundle = before === "absent" ? undefined : await exactly(application, before, context, signal);
  const past = context.store.deployments({ application, limit: 50 }).find((one) => one.revision === revision);
  const back =
    past === undefined
      ? { revision: revision ?? of, ...commit }
      : { revision: past.revision, ref: past.ref, author: past.author, subject: past.subject };
  return { application, bundle, stored: undefined, cause: "rollback", commit: back };
}

function undoing(together: Together, { application, why }: Obstacle, { store }: Context): Together {
  const back: Together = { ...together, undoing: { blame: application, why } };
  store.saveTogether(back);
  return back;
}

function obstacleOf({ blame, why }: NonNullable<Together["undoing"]>): Obstacle {
  return { application: blame, why };
}

/** Why an application did not come to what its source's revision says, in words behind its name. */
function shortfallOf(application: ApplicationId, { store }: Context): string {
  const record = store.application(application);
  if (record?.outcome === "rejected") return "is rejected";
  if (record !== undefined && isTried(record)) return `is held: ${record.held?.why ?? record.message ?? "no reason"}`;
  return `failed, and is not tried again before ctl retry ${partsOf(application).application} or other content`;
}

function isMember({ members }: Pick<Together, "members">, id: ApplicationId): boolean {
  return members.some(({ application }) => application === id);
}

function underWay(source: SourceName, { store }: Context): Together | undefined {
  return store.together().find((one) => one.source === source);
}

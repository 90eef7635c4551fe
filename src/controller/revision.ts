/** A revision: judged as a whole, then each application decided and dealt with in an order that lets what is needed come first. */

import type { Bundle } from "../core/bundle.ts";
import type { Source } from "../core/config.ts";
import type { Candidate } from "../core/decide.ts";
import { layout, type Draft } from "../core/layout.ts";
import { partsOf, type ApplicationId } from "../core/names.ts";
import { rolloutOrder, needs } from "../core/order.ts";
import type { Snapshot } from "../ports.ts";
import { act, guarded, remember, type Case } from "./act.ts";
import { liveBundles, presentRendering, type Context } from "./context.ts";
import { judge, witnessesOf } from "./judge.ts";
import type { Moment } from "./rendering.ts";

export interface Task {
  readonly source: Source;
  readonly snapshot: Snapshot;
  /** A person asked: held tries are not waited for. */
  readonly asked: boolean;
  /** Told as the cause of this application's rollout. */
  readonly retry: ApplicationId | undefined;
}

/** Answers the applications whose rollout was carried out, for better or worse: their hosts were looked at just now. */
export async function dealWithRevision(task: Task, context: Context, signal: AbortSignal): Promise<ReadonlySet<ApplicationId>> {
  const { source, snapshot, asked, retry } = task;
  const { store } = context;
  const { drafts, candidates, moment } = await candidatesOf(source, snapshot, context, signal);
  const commit = { revision: snapshot.revision, ref: source.branch ?? "HEAD", author: snapshot.author, subject: snapshot.subject };
  const byId = new Map(drafts.map((draft) => [draft.application, draft]));
  const cases = [...candidates].map(([application, candidate]): Case => {
    const cause = retry === application ? "retry" : asked ? "commit" : undefined;
    return { application, candidate, draft: byId.get(application), commit, asked: cause, dependency: undefined };
  });
  store.atomically(() => {
    for (const one of cases) remember(one, context);
  });
  const live = liveBundles(context);
  const next = new Map(cases.map(({ application, candidate }) => [application, nextBundle(candidate, live.get(application))]));
  const troubled: ApplicationId[] = [];
  const touched = new Set<ApplicationId>();
  for (const application of rolloutOrder([...next.keys()].map((id) => ({ id, live: live.get(id), next: next.get(id) })))) {
    const one = cases.find((other) => other.application === application);
    if (one === undefined) continue;
    const dependency = troubled.find((other) => needs(next.get(application), next.get(other)));
    const result = await guarded({ application }, () => act({ ...one, dependency }, context, signal), context, signal);
    if (result !== "as wanted" && result !== "rolled out") troubled.push(application);
    if (result === "rolled out" || result === "undone") touched.add(application);
  }
  context.rendering.dealtWith(source.name, moment);
  return touched;
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

/** A revision's files as candidates, for a pass and for `ctl plan`. */
export async function candidatesOf(
  source: Source,
  snapshot: Snapshot,
  context: Context,
  signal: AbortSignal,
): Promise<{
  readonly drafts: readonly Draft[];
  readonly candidates: ReadonlyMap<ApplicationId, Candidate>;
  readonly moment: Moment;
}> {
  const drafts = layout(source.name, source.paths, snapshot.entries);
  const own = context.store.applications().filter(({ id }) => partsOf(id).source === source.name);
  const absent = own.filter(({ id }) => !drafts.some((draft) => draft.application === id));
  // What goes away provides nothing any more, and is in nobody's way.
  const live = new Map(liveBundles(context));
  for (const { id } of absent) live.delete(id);
  const paths = drafts.flatMap(({ files }) => [...files.keys()]);
  const { moment, ...present } = await presentRendering(paths, context, signal);
  const judged = new Map(await judge({ drafts, live, ...present }, witnessesOf(context), signal));
  for (const { id } of absent) judged.set(id, { kind: "absent" });
  return { drafts, candidates: judged, moment };
}

/** Why a revision with nothing in it is not believed; undefined when it is. */
export function emptiness(source: Source, snapshot: Snapshot, { store }: Context): string | undefined {
  const there = store.applications().filter(({ id, lastGood }) => partsOf(id).source === source.name && lastGood !== undefined);
  if (source.allowEmpty || there.length === 0 || layout(source.name, source.paths, snapshot.entries).length > 0) return undefined;
  return `revision ${snapshot.revision.slice(0, 7)} holds no application where there ${there.length === 1 ? "was 1" : `were ${there.length}`}: nothing is removed; set allow_empty = true for this source if it is meant`;
}

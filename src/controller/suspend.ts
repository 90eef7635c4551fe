/** What a person wants left in peace: an application, a source with all that it has and will have, or all sources. */

import { partsOf, type ApplicationId, type SourceName } from "../core/names.ts";
import type { CommandReport } from "../core/report.ts";
import type { ApplicationRecord, Suspension } from "../ports.ts";
import type { Context } from "./context.ts";
import { applicationOf, isSource } from "./target.ts";

/** What a target means: an application's name comes before a source's, and none means everything. */
interface Scope {
  readonly sources: readonly SourceName[];
  readonly records: readonly ApplicationRecord[];
  /** For people. */
  readonly name: string;
}

/** `forMs` undefined: until resumed. Throws UnknownTarget. */
export function suspend(target: string | undefined, forMs: number | undefined, context: Context): CommandReport {
  const { store, clock, time } = context;
  const scope = scopeOf(target, context);
  const doubt = time.doubt();
  if (forMs !== undefined && doubt?.certain === true)
    return { done: false, message: `not suspended: ${doubt.why}. Without --for it lasts until ctl resume` };
  const suspended: Suspension = { until: forMs === undefined ? undefined : new Date(clock.now().getTime() + forMs) };
  store.atomically(() => {
    for (const source of scope.sources) store.saveSuspension(source, suspended);
    if (scope.sources.length === 0) for (const record of scope.records) store.saveApplication({ ...record, suspended });
  });
  return told(
    "suspend",
    scope,
    `suspended ${suspended.until === undefined ? "until it is resumed" : `until ${suspended.until.toISOString()}`}`,
    context,
  );
}

/** Of a source, its applications too; answers the sources to be looked at. Throws UnknownTarget. */
export function resume(
  target: string | undefined,
  context: Context,
): { readonly report: CommandReport; readonly sources: readonly SourceName[] } {
  const { store, clock } = context;
  const scope = scopeOf(target, context);
  const [only] = scope.records;
  if (scope.sources.length === 0 && only !== undefined) {
    const source = partsOf(only.id).source;
    const around = store.suspension(source);
    if (around !== undefined && (around.until === undefined || around.until > clock.now()))
      return { report: { done: false, message: `${only.id} is suspended with its whole source: ctl resume ${source}` }, sources: [] };
  }
  store.atomically(() => {
    for (const source of scope.sources) store.saveSuspension(source, undefined);
    for (const record of scope.records) {
      // What a person went back from waits for a word about this very application.
      const pinnedAgainst = scope.sources.length === 0 ? undefined : record.pinnedAgainst;
      store.saveApplication({ ...record, suspended: undefined, held: undefined, pinnedAgainst });
    }
  });
  const sources = new Set([...scope.sources, ...scope.records.map(({ id }) => partsOf(id).source)]);
  const unpinned = scope.sources.length === 0 && only?.pinnedAgainst !== undefined;
  if (unpinned) context.journal.tell({ type: "pinned", application: only.id, pinned: false });
  return { report: told("resume", scope, unpinned ? "resumed: Git is followed again" : "resumed", context), sources: [...sources] };
}

function scopeOf(target: string | undefined, context: Context): Scope {
  const { store, config } = context;
  const names = config.sources.map(({ name }) => name);
  const of = (sources: readonly SourceName[], name: string): Scope => ({
    sources,
    records: store.applications().filter(({ id }) => sources.includes(partsOf(id).source)),
    name,
  });
  if (target === undefined) return of(names, "all sources");
  const isName = store.applications().some(({ id }) => partsOf(id).application === target);
  if (isSource(target, context) && !isName)
    return of(
      names.filter((name) => name === target),
      `source ${target}`,
    );
  const record = applicationOf(target, context);
  return { sources: [], records: [record], name: record.id satisfies ApplicationId };
}

function told(command: "suspend" | "resume", { name }: Scope, message: string, { journal }: Context): CommandReport {
  journal.tell({ type: "command", command, target: name, message });
  return { done: true, message: `${name} ${message}` };
}

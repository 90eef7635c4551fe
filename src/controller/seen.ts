/** Revisions as they are seen in Git: whether one is believed, and which of several sources are dealt with in one go. */

import type { Source } from "../core/config.ts";
import { unitNames } from "../core/judgement.ts";
import { layout, type Draft } from "../core/layout.ts";
import { givenUp } from "../core/moves.ts";
import { partsOf } from "../core/names.ts";
import type { Turn } from "../core/order.ts";
import type { Snapshot } from "../ports.ts";
import { liveBundles, type Context } from "./context.ts";

/** A source, with the variables of its paths filled in, and what its branch names. */
export interface Seen {
  readonly source: Source;
  readonly snapshot: Snapshot;
}

/** Why a revision with nothing in it is not believed; undefined when it is. */
export function emptiness({ source, snapshot }: Seen, { store }: Context): string | undefined {
  const there = store.applications().filter(({ id, lastGood }) => partsOf(id).source === source.name && lastGood !== undefined);
  if (source.allowEmpty || there.length === 0 || draftsOf({ source, snapshot }).length > 0) return undefined;
  return `revision ${snapshot.revision.slice(0, 7)} holds no application where there ${there.length === 1 ? "was 1" : `were ${there.length}`}: nothing is removed; set allow_empty = true for this source if it is meant`;
}

export function draftsOf({ source, snapshot }: Seen): readonly Draft[] {
  return layout(source.name, source.paths, snapshot.entries);
}

/**
 * Other sources that have by now what this one gives up, or have no more what it wants: a unit that moves between two repositories comes and
 * goes by two commits, and runs on where both are dealt with together. They are asked for their newest only then, and one that can't be
 * read now is left to its own time. `turns`: of this source's applications, as far as they are judged alone.
 */
export async function companionsOf(own: Seen, turns: readonly Turn[], context: Context, signal: AbortSignal): Promise<readonly Seen[]> {
  const { config, store } = context;
  const given = turns.flatMap(givenUp).map(({ name }) => name);
  const wanted = new Set(draftsOf(own).flatMap(unitNames));
  const live = [...liveBundles(context)];
  const found: Seen[] = [];
  for (const other of config.sources) {
    if (other.name === own.source.name || store.source(other.name)?.state !== "ok") continue;
    const theirs = live.filter(([id]) => partsOf(id).source === other.name).flatMap(([, { units }]) => units.map(({ name }) => name));
    const contested = theirs.filter((name) => wanted.has(name));
    if (given.length === 0 && contested.length === 0) continue;
    const seen = await newest(other, context, signal);
    if (seen === undefined || emptiness(seen, context) !== undefined) continue;
    const names = new Set(draftsOf(seen).flatMap(unitNames));
    if (given.some((name) => names.has(name)) || contested.some((name) => !names.has(name))) found.push(seen);
  }
  return found;
}

async function newest(named: Source, { git, rendering, store }: Context, signal: AbortSignal): Promise<Seen | undefined> {
  const source = await rendering.placed(named, signal);
  if (!source.ok) return undefined;
  const fetched = await git.fetch(source.value, "newest", store.source(named.name)?.revision, signal);
  return fetched.ok ? { source: source.value, snapshot: fetched.value } : undefined;
}

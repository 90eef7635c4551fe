/** Runs points of the kill matrix on a host of its own, in an order that wastes no rollouts, and says what came of each. */

import assert from "node:assert/strict";
import type { TestContext } from "node:test";

import { Matrix } from "./matrix.ts";
import { chanceOf, choose, told, type Point } from "./points.ts";
import type { Track } from "./world.ts";

export interface Run {
  readonly track: Track;
  readonly points: number;
  readonly seed: number;
  /** Of all places, those whose description it matches. */
  readonly only?: RegExp;
}

/** Each point is a subtest. Answers the kinds of steps that the places are of, whether chosen or not. */
export async function runTrack(t: TestContext, { track, points, seed, only = /^/ }: Run): Promise<ReadonlySet<string>> {
  const chance = chanceOf(seed);
  const matrix = await Matrix.up(t, track);
  const undone = new Set(
    track.transitions.flatMap(({ name, outcome }) => (outcome === "rolled-back" || outcome === "failed" ? [name] : [])),
  );
  const all = await matrix.learn();
  // The way there is the same with a good end, and takes less time.
  const places = all.filter(({ transition, direction, kind }) => !undone.has(transition) || direction === "back" || kind === "go-back");
  const chosen = choose(places, Infinity, chance)
    .filter((point) => only.test(told(point)))
    .slice(0, points);
  tell(`${track.name}, seed ${seed}: ${chosen.length} points of ${places.length} places, by three blows`);
  const waiting = new Map<string, readonly Point[]>(Map.groupBy(chosen, ({ transition }) => transition));
  const came = { good: 0, missed: 0, bad: 0 };
  for (let number = 1; waiting.size > 0;) {
    const transition = matrix.next(new Set(waiting.keys()));
    assert.ok(transition);
    const [point, ...rest] = waiting.get(transition.name) ?? [];
    if (rest.length === 0) waiting.delete(transition.name);
    else waiting.set(transition.name, rest);
    if (point === undefined) {
      await matrix.pass(transition);
      continue;
    }
    const delay = Math.floor(chance() * 300);
    const name = `${number}: ${told(point)}${point.how === "during" ? `, ${delay} ms later` : ""}`;
    number += 1;
    await t.test(name, async (t) => {
      const began = performance.now();
      try {
        const hit = await matrix.strike(point, delay);
        came[hit ? "good" : "missed"] += 1;
        tell(`${hit ? "ok" : "did not come up"} ${name}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
      } catch (error) {
        came.bad += 1;
        tell(`NOT OK ${name}: ${String(error)}`);
        t.diagnostic(await matrix.story());
        await matrix.mend();
        throw error;
      }
    });
  }
  const kinds = [...Map.groupBy(chosen, ({ kind }) => kind)].map(([kind, of]) => `${kind} ${of.length}`).sort();
  tell(`${track.name}, seed ${seed}: ${came.good} hit and well, ${came.bad} not, ${came.missed} did not come up; ${kinds.join(", ")}`);
  return new Set(all.map(({ kind }) => kind));
}

/** At once, since a full run takes long. */
function tell(line: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);
}

/** Where a rollout can be hit, found from what an undisturbed one has left; and which of these places a run takes, by its seed. */

import type { Effect, Place, Traced } from "./place.ts";

export const blows = ["pgo killed", "power cut", "pgo asked to end"] as const;
export type Blow = (typeof blows)[number];

export interface Point extends Place {
  readonly transition: string;
  readonly blow: Blow;
  readonly how: "before" | "during";
  /** Within a step: before anything of it, in its middle, or when it is done and nobody has noted it. */
  readonly time: "before" | "during" | "after";
  /** Of the step; `intention` before there is one, `end` after the last. */
  readonly kind: string;
  readonly target: string;
  readonly direction: "there" | "back";
  readonly what: string;
}

/** Every place where an undisturbed rollout can be hit. */
export function placesIn(trace: readonly Traced[], transition: string): readonly Omit<Point, "blow">[] {
  const rows = new Map(trace.flatMap((one) => ("kind" in one ? [[one.step, one] as const] : [])));
  const turn = [...rows.values()].find(({ kind }) => kind === "go-back")?.step ?? Infinity;
  const effects = trace.filter((one): one is Effect => "what" in one);
  const first = { step: -1, effect: 0, what: "the deployment", lasts: false };
  return [first, ...effects].flatMap((effect) => {
    const { kind, target } = rows.get(effect.step) ?? { kind: effect.step === -1 ? "intention" : "end", target: "" };
    const isLast = !effects.some((one) => one.step === effect.step && one.effect > effect.effect);
    const place = {
      transition,
      step: effect.step,
      effect: effect.effect,
      kind,
      target,
      direction: effect.step > turn ? ("back" as const) : ("there" as const),
      what: effect.what,
    };
    const time: Point["time"] = effect.effect === 0 ? "before" : isLast ? "after" : "during";
    return [
      { ...place, how: "before" as const, time },
      ...(effect.lasts ? [{ ...place, how: "during" as const, time: "during" as const }] : []),
    ];
  });
}

/** So many points: first each kind of step, each way, each time, by each blow; then again, other places of the same kinds. */
export function choose(places: readonly Omit<Point, "blow">[], count: number, chance: () => number): readonly Point[] {
  const cells = new Map<string, Point[]>();
  for (const blow of blows)
    for (const place of places) {
      const key = [blow, place.direction, place.kind, place.time].join(" ");
      cells.set(key, [...(cells.get(key) ?? []), { ...place, blow }]);
    }
  const queues = shuffled(
    [...cells.values()].map((cell) => shuffled(cell, chance)),
    chance,
  );
  const chosen: Point[] = [];
  for (let round = 0; chosen.length < count && queues.some((queue) => round < queue.length); round += 1)
    for (const queue of queues) {
      const point = queue[round];
      if (point !== undefined && chosen.length < count) chosen.push(point);
    }
  return chosen;
}

function shuffled<Value>(values: readonly Value[], chance: () => number): readonly Value[] {
  return values
    .map((value) => ({ value, at: chance() }))
    .sort((one, other) => one.at - other.at)
    .map(({ value }) => value);
}

/** Chance that a seed repeats (mulberry32). */
export function chanceOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function told(point: Point): string {
  const { blow, transition, how, direction, kind, target, time, step, effect, what } = point;
  const where = time === "after" ? "when it is done and not noted" : time === "during" ? "in the middle of it" : "before it";
  return `${blow}, ${transition}: ${direction}, ${kind}${target === "" ? "" : ` ${target}`}, ${where} (step ${step}.${effect}, ${how} ${what})`;
}

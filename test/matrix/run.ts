/**
 * A full run of the kill matrix: `npm run matrix -- --points 200 --seed 1`, with `--track NAME` one application's part, with `--only TEXT`
 * places whose description has it (a regular expression). The same seed takes the same places, as long as pgo takes the same steps.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { parseArgs } from "node:util";

import { runTrack } from "./run-track.ts";
import { kinds, tracks } from "./world.ts";

const { values } = parseArgs({
  options: {
    points: { type: "string", default: "200" },
    seed: { type: "string" },
    track: { type: "string" },
    only: { type: "string", default: "" },
  },
});
const seed = Number(values.seed ?? Math.floor(performance.timeOrigin % 100_000));
const chosen = tracks.filter(({ name }) => values.track === undefined || name === values.track);
const found = new Set<string>();

for (const track of chosen)
  test(`the kill matrix, ${track.name}, seed ${seed}`, async (t) => {
    const points = Math.ceil(Number(values.points) / chosen.length);
    for (const kind of await runTrack(t, { track, points, seed, only: new RegExp(values.only) })) found.add(kind);
  });

test("every kind of step that pgo knows has come up", { skip: values.track !== undefined }, () => {
  assert.deepEqual(
    Object.entries(kinds).flatMap(([kind, where]) => (where === true && !found.has(kind) ? [kind] : [])),
    [],
    "a transition of test/matrix/world.ts has to bring it",
  );
});

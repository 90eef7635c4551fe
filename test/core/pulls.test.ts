/** What is told of a pull on its way, and when a pull is tried again. */

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { layersAfter, layersThere, pullOf, pullText, type Layers } from "../../src/core/pulls.ts";

const none: Layers = new Map();
const detail = (current: number, total: number) => ({ progressDetail: { current, total } });
/** As Podman 5.4.2 told it of an image of three layers, one of which was there. */
const told = [
  { status: "Already exists", progressDetail: {}, id: "b2860eaffc57" },
  { status: "Pulling fs layer", progressDetail: {}, id: "1852540c2c23" },
  { status: "Pulling fs layer", progressDetail: {}, id: "d40d328fcbdb" },
  { status: "Downloading", ...detail(3_801_088, 5_243_943), progress: "[=>  ]", id: "1852540c2c23" },
  { status: "Downloading", ...detail(7_143_424, 62_920_572), progress: "[=>  ]", id: "d40d328fcbdb" },
  { status: "Download complete", progressDetail: {}, id: "1852540c2c23" },
];

test("a pull is told by its layers and what of them has come", () => {
  const layers = told.reduce(layersAfter, none);
  const pull = pullOf({ image: "quay.io/acme/web:1.4", tries: 1 }, layers);
  assert.deepEqual(pull, {
    ...{ image: "quay.io/acme/web:1.4", tries: 1, layers: 3, layersDone: 2 },
    ...{ bytes: 5_243_943 + 7_143_424, bytesTotal: 5_243_943 + 62_920_572 },
  });
  assert.equal(pullText(pull), "pulling quay.io/acme/web:1.4: 2 of 3 layers, 12.3 MB of 68.1 MB");
  assert.equal(
    pullText({ ...pull, tries: 2, layers: 1, layersDone: 0, bytesTotal: 0 }),
    "pulling quay.io/acme/web:1.4: 0 of 1 layer, try 2",
  );
  assert.equal(layersThere(layers), 1);
});

test("before the registry has said anything, that is what is waited for", () => {
  assert.equal(pullText(pullOf({ image: "a", tries: 1 }, none)), "pulling a: asking the registry");
});

test("whatever Podman says, there are no more layers done than layers, nor more bytes than in all", () => {
  const status = fc.constantFrom("Pulling fs layer", "Downloading", "Download complete", "Already exists", "Verifying", 3, undefined);
  const id = fc.constantFrom("a", "b", undefined, 7);
  const size = fc.nat(100);
  const line = fc.oneof(
    fc.anything(),
    fc.record({
      status,
      id,
      progressDetail: fc.record({ current: size, total: size }).map(({ current, total }) => ({ current, total: current + total })),
    }),
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      const { layers, layersDone, bytes, bytesTotal } = pullOf({ image: "a", tries: 1 }, lines.reduce<Layers>(layersAfter, none));
      assert.ok(layersDone <= layers && bytes <= bytesTotal && layers <= 2);
    }),
  );
});

/** Images that pgo pulled, in the state database. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { openStore } from "../../../src/adapters/store/store.ts";

test("an image that was pulled is remembered by name and id until it is forgotten, and that it was needed for good", async () => {
  await using store = openStore(":memory:");
  const [one, two] = [
    { name: "quay.io/a:1", id: "1", wasNeeded: false },
    { name: "quay.io/a:1", id: "2", wasNeeded: false },
  ] as const;
  for (const image of [one, two, { ...one, wasNeeded: true }, one]) store.savePulledImage(image);
  assert.deepEqual(store.pulledImages(), [{ ...one, wasNeeded: true }, two]);
  store.forgetPulledImage(one);
  assert.deepEqual(store.pulledImages(), [two]);
});

test("of thousands the newest are remembered", async () => {
  await using store = openStore(":memory:");
  for (let id = 1; id <= 2100; id++) store.savePulledImage({ name: "quay.io/a:1", id: String(id), wasNeeded: false });
  const left = store.pulledImages();
  assert.deepEqual([left.length, left[0]?.id, left.at(-1)?.id], [2000, "101", "2100"]);
});

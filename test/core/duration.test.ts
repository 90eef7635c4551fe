import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { durationText, milliseconds } from "../../src/core/duration.ts";

test("durations are numbers with units, one after another", () => {
  assert.equal(milliseconds("90s"), 90_000);
  assert.equal(milliseconds("1h30m"), 5_400_000);
  assert.equal(milliseconds("1.5s"), 1500);
  assert.equal(milliseconds("250ms"), 250);
  assert.equal(milliseconds("0s"), 0);
});

test("what is no duration is none", () => {
  for (const text of ["", "90", "s", "5 m", "-5s", "5min", "1h 30m", "5s!"]) assert.equal(milliseconds(text), undefined, text);
});

test("a duration is written so that it reads as itself", () => {
  assert.deepEqual([60_000, 300_000, 0, 1000, 1500, 86_400_000].map(durationText), ["60s", "5m", "0s", "1s", "1500ms", "24h"]);
  fc.assert(
    fc.property(fc.nat(), (ms) => {
      assert.equal(milliseconds(durationText(ms)), ms);
    }),
  );
});

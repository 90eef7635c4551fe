/** Sizes as people write them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { bytes, bytesText } from "../../src/core/size.ts";

test("sizes are numbers with a unit, in thousands or in 1024s, or a plain zero", () => {
  const all = ["0", "1B", "500MB", "1.5 GB", "2GiB", "64KiB", "3kB", "1tb"];
  assert.deepEqual(all.map(bytes), [0, 1, 5e8, 1.5e9, 2 * 2 ** 30, 65_536, 3000, 1e12]);
});

test("what is no size is none", () => {
  for (const text of ["", "100", "MB", "-1MB", "1 MB MB", "1XB", "1e3B", "1M"]) assert.equal(bytes(text), undefined, text);
});

test("a size is told in the largest unit that leaves a whole", () => {
  assert.deepEqual([0, 999, 1000, 123_456_789, 1.5e9, 2e12].map(bytesText), ["0 B", "999 B", "1 kB", "123.4 MB", "1.5 GB", "2 TB"]);
});

/** When a source was last looked at: known at once, written seldom. A second connection sees what has been written. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { openStore } from "../../../src/adapters/store/store.ts";
import type { SourceRecord } from "../../../src/ports.ts";
import { commit, fleet, later } from "./samples.ts";

const minute = 60_000;
const looked = (ms: number, more: Partial<SourceRecord> = {}): SourceRecord => ({
  ...{ name: fleet, revision: commit, tag: undefined, checkedAt: later(ms), state: "ok", message: undefined, failures: 0 },
  ...more,
});

/** A store, and what of the source is in its file. */
function opened(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), "pgo-store-"));
  const path = join(directory, "state.db");
  const store = openStore(path);
  const reader = openStore(path, { readonly: true });
  t.after(async () => {
    await reader[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  const minutes = () => ((reader.source(fleet)?.checkedAt?.getTime() ?? NaN) - later(0).getTime()) / minute;
  return { store, reader, path, minutes };
}

test("a look that finds nothing new is known at once, and written ten minutes after the last", (t) => {
  const { store, minutes } = opened(t);
  const written = [0, 1, 2, 9, 10, 11, 19, 20].map((at) => {
    store.saveSource(looked(at * minute));
    assert.deepEqual(store.source(fleet), looked(at * minute));
    assert.deepEqual(store.sources(), [looked(at * minute)]);
    return minutes();
  });
  assert.deepEqual(written, [0, 0, 0, 0, 10, 10, 10, 20]);
});

test("whatever else is new is written at once, with its time", (t) => {
  const { store, reader } = opened(t);
  const failed = { state: "failed", message: "no route" } as const;
  const records = [
    looked(0),
    looked(1, { revision: undefined }),
    looked(2, { ...failed, failures: 1 }),
    looked(3, { ...failed, failures: 2 }),
    looked(4, { ...failed, message: "another", failures: 2 }),
    looked(5),
  ];
  for (const record of records) {
    store.saveSource(record);
    assert.deepEqual(reader.source(fleet), record);
  }
});

test("a time before the written one is written, since the clock was set back", (t) => {
  const { store, minutes } = opened(t);
  for (const at of [60, 61, 30]) store.saveSource(looked(at * minute));
  assert.equal(minutes(), 30);
});

test("what was kept back is written at the end, and forgotten with its source", async (t) => {
  const { store, path, minutes } = opened(t);
  for (const at of [0, 3]) store.saveSource(looked(at * minute));
  store.forgetSource(fleet);
  assert.equal(store.source(fleet), undefined);
  store.saveSource(looked(4 * minute));
  assert.equal(minutes(), 4);
  await using other = openStore(path);
  other.saveSource(looked(7 * minute));
  assert.equal(minutes(), 4);
  await other[Symbol.asyncDispose]();
  assert.equal(minutes(), 7);
});

test("a source that is suspended stays so with nothing else known of it, until that is over or the source is forgotten", (t) => {
  const { store, reader } = opened(t);
  store.saveSuspension(fleet, { until: later(5) });
  assert.deepEqual(reader.suspension(fleet), { until: later(5) });
  store.saveSuspension(fleet, { until: undefined });
  assert.deepEqual(reader.suspension(fleet), { until: undefined });
  store.saveSuspension(fleet, undefined);
  assert.equal(reader.suspension(fleet), undefined);
  store.saveSuspension(fleet, { until: undefined });
  store.forgetSource(fleet);
  assert.equal(reader.suspension(fleet), undefined);
});

test("the newest time that is written down is that of a look, an event or a deployment", (t) => {
  const { store } = opened(t);
  assert.equal(store.newest(), undefined);
  store.saveSource(looked(minute));
  assert.deepEqual(store.newest(), later(minute));
  store.addEvent({ at: later(2 * minute), type: "warning", subject: "x", message: "y" });
  assert.deepEqual(store.newest(), later(2 * minute));
  store.saveSource(looked(90 * minute));
  assert.deepEqual(store.newest(), later(90 * minute));
});

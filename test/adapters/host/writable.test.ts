/** Whether files can be written, asked before it is tried. A read-only file system is tried on a host (test/e2e/trouble.test.ts). */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, rmdirSync } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { openWritable } from "../../../src/adapters/host/writable.ts";

const never = new AbortController().signal;
const { writable } = openWritable();

function directoryFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "pgo-writable-"));
  t.after(() => {
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

test("a directory with room can be written, also one that is not there yet, and nothing is left in it", async (t) => {
  const directory = directoryFor(t);
  assert.equal(await writable([directory, join(directory, "not/there/yet")], 1000, never), undefined);
  assert.deepEqual(await readdir(directory), []);
});

test("too little room is told with the figures and with what to do", async (t) => {
  const directory = directoryFor(t);
  const told = (await writable([join(directory, "new")], 1e18, never)) ?? "";
  assert.match(told, /^write below \S+\/new: only [\d.]+ [kMGT]?B are free, 1000000 TB are needed: make room \(df \S+\)$/);
});

test("a directory that was removed while it is mounted can't be written, though it is there", async (t) => {
  const directory = directoryFor(t);
  await using handle = await open(directory);
  rmdirSync(directory);
  const left = `/proc/self/fd/${handle.fd}`;
  await assert.rejects(writable([left], 1, never), /^Error: write below .*: that directory has been removed on the host: make it again/);
});

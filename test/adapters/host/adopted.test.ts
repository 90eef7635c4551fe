/** A person's files on a real file system: taken away to the backup, and put back just as they were. */

import assert from "node:assert/strict";
import { chmod, lstat, mkdir, mkdtemp, readFile, readdir, readlink, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";

import { openAdopted } from "../../../src/adapters/host/adopted.ts";
import type { HandMade, OldFile } from "../../../src/core/adopt.ts";
import { relativePath } from "../../../src/core/names.ts";

const never = new AbortController().signal;
const morning = new Date("2026-01-01T06:15:02Z");

async function place(t: TestContext) {
  const base = await mkdtemp(join(tmpdir(), "pgo-adopted-"));
  t.after(() => rm(base, { recursive: true }));
  const [unit, state] = [join(base, "systemd", "web.container"), join(base, "state")];
  await mkdir(state);
  const write = async (path: string, text: string, mode: number) => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
    await chmod(path, mode);
  };
  await write(unit, "[Container]\n", 0o640);
  await write(`${unit}.d/10.conf`, "[Unit]\n", 0o600);
  const adopted = openAdopted({ stateDirectory: state });
  await utimes(unit, morning, morning);
  const look = async () => adopted.handMade(unit, never);
  return { base, unit, state, adopted, look, copy: (path: string) => join(state, "backups/adopted/one", path) };
}

const old = ({ path, mode, digest, target }: HandMade, as?: string): OldFile => ({
  ...{ path, mode, digest, target },
  as: as === undefined ? undefined : relativePath(as),
});

test("a unit and its drop-ins go to the backup for pgo's user alone, and come back with content, mode, place and time", async (t) => {
  const { unit, adopted, look, copy, state } = await place(t);
  const before = await look();
  assert.deepEqual(
    before.map(({ path, mode, text }) => [path, mode, text]),
    [
      [unit, 0o640, "[Container]\n"],
      [`${unit}.d/10.conf`, 0o600, "[Unit]\n"],
    ],
  );
  for (const file of before) {
    await adopted.takeAway(old(file), "one", never);
    await adopted.takeAway(old(file), "one", never);
  }
  assert.deepEqual(await readdir(dirname(unit)), [], "the drop-in directory has gone with the last of its files");
  for (const { path } of before) assert.equal((await lstat(copy(path))).mode & 0o7777, 0o600);
  for (let directory = dirname(copy(unit)); directory !== state; directory = dirname(directory))
    assert.equal((await lstat(directory)).mode & 0o7777, 0o700, directory);
  assert.equal(await readFile(copy(unit), "utf8"), "[Container]\n");
  // A crash on the way back leaves such a one.
  await writeFile(join(dirname(unit), ".pgo-0123456789abcdef01234567.tmp"), "[Cont");
  for (const file of before) await adopted.putBack(old(file), "one", never);
  assert.deepEqual(await look(), before);
  assert.deepEqual((await readdir(dirname(unit))).sort(), ["web.container", "web.container.d"]);
});

test("where a file of pgo's goes to the very place, the old one is copied and stays until it is written over", async (t) => {
  const { unit, adopted, look, copy } = await place(t);
  const [before] = await look();
  assert.ok(before);
  await adopted.takeAway(old(before, "web.container"), "one", never);
  assert.equal((await look())[0]?.digest, before.digest);
  await writeFile(unit, "new");
  await adopted.takeAway(old(before, "web.container"), "one", never);
  assert.equal(await readFile(copy(unit), "utf8"), "[Container]\n", "the copy is of the old one still");
  await adopted.putBack(old(before, "web.container"), "one", never);
  assert.equal((await look())[0]?.digest, before.digest);
});

test("a symbolic link is kept as one, also where it leads nowhere", async (t) => {
  const { unit, adopted, look } = await place(t);
  await rm(unit);
  await symlink("../nowhere/web.container", unit);
  const [before] = await look();
  assert.equal(before?.target, "../nowhere/web.container");
  assert.equal(before.text, undefined);
  await adopted.takeAway(old(before), "one", never);
  assert.deepEqual(await look(), []);
  await adopted.putBack(old(before), "one", never);
  assert.equal(await readlink(unit), "../nowhere/web.container");
});

test("what somebody has changed meanwhile is left where it is, and what is gone for good is told", async (t) => {
  const { unit, adopted, look } = await place(t);
  const [before] = await look();
  assert.ok(before);
  await writeFile(unit, "changed\n");
  const because = (pattern: RegExp) => (error: Error) => pattern.test(String(error.cause));
  await assert.rejects(adopted.takeAway(old(before), "one", never), because(/has changed meanwhile/));
  assert.equal(await readFile(unit, "utf8"), "changed\n");
  await adopted.putBack(old(before), "one", never);
  assert.equal(await readFile(unit, "utf8"), "changed\n", "it was never taken away");
  await rm(unit);
  await assert.rejects(adopted.takeAway(old(before), "one", never), because(/it is gone/));
  await assert.rejects(adopted.putBack(old(before), "one", never), because(/the copy is gone/));
});

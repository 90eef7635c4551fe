/** One pgo at a time on a state directory, whoever starts when, and however the one before has ended. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { lockState } from "../../../src/adapters/store/lock.ts";
import { fakeClock } from "../../fakes/clock.ts";

const never = new AbortController().signal;
const module = new URL("../../../src/adapters/store/database.ts", import.meta.url).href;

function directoryFor(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "pgo-lock-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  return directory;
}

/** Another process, which tries once when it is told to, says `true` where it has the lock, and then lives on. */
function contender(t: TestContext, path: string) {
  const program = `
    const { lockFile } = await import(${JSON.stringify(module)});
    process.stdin.once("data", () => {
      globalThis.lock = lockFile(${JSON.stringify(path)});
      process.stdout.write(String(globalThis.lock !== undefined));
    });
    process.stdout.write("ready");`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const next = async () => String(((await once(child.stdout, "data")) as [Buffer])[0]);
  return {
    ready: next(),
    async tries() {
      const answer = next();
      child.stdin.write("go");
      return (await answer) === "true";
    },
    async killed() {
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}

test("of several that start at the same moment one gets it, and when that one is killed the next does", async (t) => {
  const path = join(directoryFor(t), "pgo.lock");
  const all = [1, 2, 3, 4].map(() => contender(t, path));
  for (const one of all) assert.equal(await one.ready, "ready");
  const got = await Promise.all(all.map((one) => one.tries()));
  assert.equal(got.filter((has) => has).length, 1, String(got));
  await all[got.indexOf(true)]?.killed();
  const next = contender(t, path);
  await next.ready;
  assert.equal(await next.tries(), true);
  assert.equal((statSync(path).mode & 0o777).toString(8), "600");
});

test("a second one waits ten seconds for the first to end, then says that only one may run", async (t) => {
  const directory = directoryFor(t);
  const clock = fakeClock();
  const first = await lockState(directory, clock, never);
  const second = lockState(directory, clock, never);
  const refused = assert.rejects(second, {
    message: `another pgo runs on the state directory ${directory} and has locked ${directory}/pgo.lock: only one may, stop the other one`,
  });
  await clock.advance(9_900);
  assert.equal(clock.sleepers, 1, "it still waits");
  await clock.advance(500);
  await refused;

  const third = lockState(directory, clock, never);
  await clock.advance(3000);
  first[Symbol.dispose]();
  await clock.advance(200);
  using held = await third;
  assert.ok(held);
});

test("the wait ends when pgo is asked to end", async (t) => {
  const directory = directoryFor(t);
  using held = await lockState(directory, fakeClock(), never);
  assert.ok(held);
  const ending = new AbortController();
  const waiting = lockState(directory, fakeClock(), ending.signal);
  ending.abort(new Error("ended by SIGTERM"));
  await assert.rejects(waiting, /ended by SIGTERM/);
});

test("a directory that can't be written is told with what to look at", async (t) => {
  const directory = directoryFor(t);
  mkdirSync(join(directory, "pgo.lock"));
  await assert.rejects(lockState(directory, fakeClock(), never), (error: Error) => {
    assert.equal(error.message, `lock the state directory ${directory}, which must be writable (see findmnt --target ${directory})`);
    assert.ok(error.cause instanceof Error);
    return true;
  });
});

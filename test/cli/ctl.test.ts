import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { promisify } from "node:util";

import { ctl, type CtlCommand, type CtlEdge, type OfflineReader } from "../../src/cli/ctl.ts";
import { healthcheck } from "../../src/cli/healthcheck.ts";
import type { Commands } from "../../src/controller/commands.ts";
import type { EventEntry, SyncReport } from "../../src/core/report.ts";
import { openControl } from "../../src/http/control.ts";
import { deployment, fixedCommands, status, untilAborted } from "../http/commands.ts";
import { planned } from "./reports.ts";
import { captured } from "./terminal.ts";

interface Place {
  readonly socket: string;
  readonly run: (command: CtlCommand, edge?: Partial<CtlEdge>, signal?: AbortSignal) => Promise<{ code: number; out: string; err: string }>;
  /** Starts a pgo with fixed answers, until the end of the test. */
  readonly daemon: (overrides?: Partial<Commands>, asked?: string[]) => Promise<void>;
}

async function place(t: TestContext): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), "pgo-ctl-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const socket = join(directory, "pgo.sock");
  return {
    socket,
    run: async (command, edge = {}, signal = new AbortController().signal) => {
      const terminal = captured();
      const whole: CtlEdge = {
        socket,
        configuredSocket: () => Promise.resolve(undefined),
        offline: () => Promise.resolve(undefined),
        advice: "systemctl status pgo.service",
        ...edge,
      };
      const code = await ctl(command, whole, terminal, signal);
      return { code, ...terminal.text };
    },
    daemon: async (overrides = {}, asked = []) => {
      const control = await openControl({ socket, commands: fixedCommands(asked, overrides), warn: () => undefined });
      assert.ok(control.ok);
      t.after(() => control.value[Symbol.asyncDispose]());
    },
  };
}

const json = false;

test("what pgo answers is shown, and is the same report with --json", async (t) => {
  const { run, daemon } = await place(t);
  await daemon();
  assert.match((await run({ name: "status", json })).out, /^pi4: healthy/);
  const { code, out } = await run({ name: "status", json: true });
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(out), status);
  assert.deepEqual(JSON.parse((await run({ name: "history", target: undefined, limit: 20, json: true })).out), [
    deployment(2),
    deployment(1),
  ]);
  assert.deepEqual(JSON.parse((await run({ name: "show", id: 1, json: true })).out), deployment(1));
  assert.equal((await run({ name: "version", json })).out, "pgo 0.1.0\nNode.js 24.0.0\nPodman 5.4.2\n");
});

test("commands carry their options over the socket", async (t) => {
  const { run, daemon } = await place(t);
  const asked: string[] = [];
  await daemon({}, asked);
  assert.equal((await run({ name: "suspend", target: "shop", forMs: 3_600_000, json })).out, "shop: done\n");
  await run({ name: "rollback", target: "shop", to: 41, json });
  await run({ name: "retry", target: "shop", json });
  await run({ name: "resume", target: "shop", json });
  await run({ name: "sync", target: "shop", wait: true, json });
  await run({ name: "plan", target: "shop", json });
  await run({ name: "events", limit: 5, follow: false, json });
  assert.deepEqual(asked, [
    'suspend "shop" 3600000',
    'rollback "shop" 41',
    'retry "shop"',
    'resume "shop"',
    'sync "shop" true',
    'plan "shop"',
    'events {"limit":5}',
  ]);
});

test("exit codes say what came of it", async (t) => {
  const { run, daemon } = await place(t);
  let report: SyncReport = { waited: true, sources: status.sources, applications: [] };
  let applications = planned.applications;
  await daemon({
    sync: () => Promise.resolve(report),
    plan: () => Promise.resolve({ applications }),
    retry: () => Promise.resolve({ done: false, message: "shop has nothing to try again" }),
    version: () => Promise.reject(new Error("broken")),
  });
  const sync = async (...outcomes: SyncReport["applications"][number]["outcome"][]): Promise<number> => {
    report = { ...report, applications: outcomes.map((outcome) => ({ name: "shop", source: "fleet", outcome, message: null })) };
    return (await run({ name: "sync", target: undefined, wait: true, json })).code;
  };
  assert.equal(await sync("deployed", "in-sync", "repaired"), 0);
  assert.equal(await sync("deployed", "rejected"), 3);
  assert.equal(await sync("rolled-back"), 3);
  assert.equal(await sync("held"), 3);
  assert.equal(await sync("held", "failed"), 1);
  report = { ...report, sources: status.sources.map((one) => ({ ...one, state: "failed" as const })) };
  assert.equal(await sync(), 1);
  report = { ...report, waited: false };
  assert.equal(await sync("failed"), 0);

  const plan = async (): Promise<number> => (await run({ name: "plan", target: undefined, json })).code;
  assert.equal(await plan(), 3);
  applications = planned.applications.filter(({ state }) => state !== "rejected");
  assert.equal(await plan(), 4);
  applications = planned.applications.filter(({ state }) => state === "in-sync");
  assert.equal(await plan(), 0);

  assert.equal((await run({ name: "retry", target: "shop", json })).code, 1);
  assert.deepEqual(await run({ name: "resume", target: "shp", json }), {
    code: 2,
    out: "",
    err: 'there is no "shp": there are shop, fleet\n',
  });
  assert.deepEqual(await run({ name: "version", json }), { code: 1, out: "", err: "broken\n" });
});

test("without a daemon, what reads is answered from the state database, what acts is exit code 5", async (t) => {
  const { socket, run } = await place(t);
  const asked: string[] = [];
  const reader: OfflineReader = {
    status: () => status,
    history: (filter) => (asked.push(JSON.stringify(filter)), [deployment(1)]),
    events: () => [],
    [Symbol.dispose]: () => void asked.push("closed"),
  };
  const edge = { offline: () => Promise.resolve(reader) };
  const told = `pgo is not running (no answer at ${socket}): systemctl status pgo.service`;

  const { code, out, err } = await run({ name: "status", json: true }, edge);
  assert.deepEqual([code, JSON.parse(out), err], [0, status, `${told}. What follows is what it last wrote down\n`]);
  assert.equal((await run({ name: "history", target: "shop", limit: 3, json }, edge)).code, 0);
  assert.equal((await run({ name: "show", id: 1, json }, edge)).code, 0);
  assert.equal((await run({ name: "show", id: 7, json }, edge)).code, 2);
  assert.equal((await run({ name: "events", limit: 3, follow: true, json }, edge)).code, 0);
  assert.deepEqual(
    asked.filter((one) => one !== "closed"),
    ['{"target":"shop","limit":3}', '{"limit":10000,"id":1}', '{"limit":10000,"id":7}'],
  );
  assert.equal(asked.filter((one) => one === "closed").length, 5);

  assert.deepEqual(await run({ name: "sync", target: undefined, wait: false, json }, edge), { code: 5, out: "", err: `${told}\n` });
  assert.equal((await run({ name: "status", json })).code, 5, "no database either");
});

test("a socket that only pgo.toml knows is found", async (t) => {
  const { socket, run, daemon } = await place(t);
  await daemon();
  const elsewhere = { socket: `${socket}.none`, configuredSocket: () => Promise.resolve(socket) };
  assert.equal((await run({ name: "version", json }, elsewhere)).code, 0);
});

test("a socket that may not be opened, and one that is not pgo's, are told as such", async (t) => {
  const { socket, run, daemon } = await place(t);
  await writeFile(socket, "");
  assert.match((await run({ name: "version", json })).err, /pgo is not running/);
  await rm(socket);
  await daemon({ version: () => new Promise(() => undefined) });
  if (process.getuid?.() !== 0) {
    await chmod(socket, 0o000);
    const { code, err } = await run({ name: "version", json });
    assert.deepEqual([code, err.includes("permission denied")], [5, true]);
  }
});

test("followed events come as they happen, until the signal", async (t) => {
  const { run, daemon } = await place(t);
  const events: EventEntry[] = [{ id: 1, deployment: null, time: "2026-01-01T00:00:00.000Z", type: "started", message: "pgo 0.1.0" }];
  await daemon({
    events: ({ after = 0 }) => events.filter(({ id }) => id > after).toReversed(),
  });
  const stop = new AbortController();
  const followed = run({ name: "events", limit: 10, follow: true, json: true }, {}, stop.signal);
  setTimeout(
    () =>
      events.push(
        { id: 2, deployment: 4, time: "2026-01-01T00:00:02.000Z", type: "outcome", message: "a" },
        { id: 3, deployment: 4, time: "2026-01-01T00:00:03.000Z", type: "outcome", message: "b" },
      ),
    300,
  );
  setTimeout(() => {
    stop.abort();
  }, 2500);
  const { code, out } = await followed;
  assert.equal(code, 0);
  assert.deepEqual(
    out
      .trimEnd()
      .split("\n")
      .map((line) => (JSON.parse(line) as EventEntry).id),
    [1, 2, 3],
  );
});

test("Ctrl-C ends a waiting command, here and in pgo", async (t) => {
  const { run, daemon } = await place(t);
  const ended = Promise.withResolvers<string>();
  await daemon({
    sync: async (_target, _wait, signal) => {
      await untilAborted(signal).catch(() => undefined);
      ended.resolve("ended");
      throw signal.reason as Error;
    },
  });
  const stop = new AbortController();
  const waiting = run({ name: "sync", target: undefined, wait: true, json }, {}, stop.signal);
  setTimeout(() => {
    stop.abort(new Error("SIGINT"));
  }, 100);
  await assert.rejects(waiting, /SIGINT/);
  assert.equal(await ended.promise, "ended");
});

test("the health command passes while pgo is alive, else says why not", async (t) => {
  const { socket, daemon } = await place(t);
  const pgo: { reason?: string } = {};
  const check = async (configured?: string) => {
    const terminal = captured();
    const edge = { socket: configured === undefined ? socket : `${socket}.none`, configuredSocket: () => Promise.resolve(configured) };
    return { code: await healthcheck(edge, terminal, new AbortController().signal), err: terminal.text.err };
  };
  assert.deepEqual(await check(), { code: 1, err: `no answer at ${socket}\n` });
  await daemon({ alive: () => pgo.reason });
  assert.deepEqual(await check(), { code: 0, err: "" });
  assert.deepEqual(await check(socket), { code: 0, err: "" });
  pgo.reason = "the loop has not moved for 10 min";
  assert.deepEqual(await check(), { code: 1, err: "the loop has not moved for 10 min\n" });
});

test("ctl loads nothing but commander and its own files", async () => {
  const script = `
    import { registerHooks } from "node:module";
    const loaded = [];
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) });
    await import(${JSON.stringify(new URL("../../src/cli/program.ts", import.meta.url).href)});
    await import(${JSON.stringify(new URL("../../src/cli/ctl.ts", import.meta.url).href)});
    await import(${JSON.stringify(new URL("../../src/places.ts", import.meta.url).href)});
    console.log(JSON.stringify(loaded));`;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  const strange = (JSON.parse(stdout) as string[]).filter(
    (url) => !/^node:|\/node_modules\/commander\/|\/src\/cli\/|\/src\/core\/(?:duration|size)\.ts$|\/src\/places\.ts$/.test(url),
  );
  assert.deepEqual(strange, []);
});

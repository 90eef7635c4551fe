import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, stat } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test, type TestContext } from "node:test";

import type { Commands } from "../../src/controller/commands.ts";
import { openControl } from "../../src/http/control.ts";
import { deployment, fixedCommands, status, untilAborted } from "./commands.ts";

async function socketPath(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "pgo-control-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, "state/pgo.sock");
}

async function open(socket: string, commands: Commands, warnings: string[] = []): Promise<AsyncDisposable> {
  const control = await openControl({ commands, socket, warn: (message) => void warnings.push(message) });
  assert.ok(control.ok, JSON.stringify(control));
  return control.value;
}

/** Open until the end of the test. */
async function opened(t: TestContext, ...settings: Parameters<typeof open>): Promise<void> {
  const control = await open(...settings);
  t.after(() => control[Symbol.asyncDispose]());
}

async function call(
  socketPath: string,
  method: string,
  path: string,
  body?: string,
): Promise<{ status: number | undefined; value: unknown }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number | undefined; value: unknown }>();
  const asked = request({ socketPath, method, path, agent: false }, (response) => {
    let text = "";
    response.on("data", (chunk: Buffer) => (text += chunk.toString()));
    response.on("end", () => {
      resolve({ status: response.statusCode, value: text === "" ? undefined : (JSON.parse(text) as unknown) });
    });
    response.on("error", reject);
  });
  asked.on("error", reject);
  asked.end(body);
  return await promise;
}

test("each route asks its command and answers its report", async (t) => {
  const socket = await socketPath(t);
  const asked: string[] = [];
  await opened(t, socket, fixedCommands(asked));
  assert.deepEqual(await call(socket, "GET", "/v1/status"), { status: 200, value: status });
  assert.deepEqual(await call(socket, "GET", "/v1/history/1"), { status: 200, value: deployment(1) });
  for (const [method, path, body] of [
    ["GET", "/v1/plan"],
    ["GET", "/v1/plan?target=shop"],
    ["GET", "/v1/history?target=shop&limit=5"],
    ["GET", "/v1/history"],
    ["GET", "/v1/events?limit=3&after=7"],
    ["GET", "/v1/version"],
    ["POST", "/v1/sync", "{}"],
    ["POST", "/v1/sync"],
    ["POST", "/v1/sync", '{"target":"shop","wait":true}'],
    ["POST", "/v1/sync", '{"target":"shop","wait":true,"now":true}'],
    ["POST", "/v1/rollback", '{"target":"shop","to":41}'],
    ["POST", "/v1/retry", '{"target":"shop"}'],
    ["POST", "/v1/suspend", '{"target":"shop","forMs":3600000}'],
    ["POST", "/v1/suspend", '{"target":"shop"}'],
    ["POST", "/v1/resume", '{"target":"shop"}'],
    ["GET", "/v1/backups?target=shop"],
    ["POST", "/v1/backup", "{}"],
    ["POST", "/v1/restore", '{"id":12}'],
  ] as const)
    assert.equal((await call(socket, method, path, body)).status, 200, path);
  assert.deepEqual(asked, [
    "status",
    'history {"limit":10000,"id":1}',
    "plan ",
    'plan "shop"',
    'history {"target":"shop","limit":5}',
    'history {"limit":20}',
    'events {"limit":3,"after":7}',
    "version",
    "sync  false",
    "sync  false",
    'sync "shop" true',
    'syncNow "shop" true',
    'rollback "shop" 41',
    'retry "shop"',
    'suspend "shop" 3600000',
    'suspend "shop" ',
    'resume "shop"',
    'backups "shop"',
    "backUp",
    "restore 12",
  ]);
});

test("what can't be done is told with a status and a message", async (t) => {
  const socket = await socketPath(t);
  const warnings: string[] = [];
  const commands = fixedCommands([], { version: () => Promise.reject(new Error("no version", { cause: new Error("why") })) });
  await opened(t, socket, commands, warnings);
  assert.deepEqual(await call(socket, "GET", "/v1/plan?target=shp"), {
    status: 404,
    value: { error: 'there is no "shp": there are shop, fleet' },
  });
  assert.match(JSON.stringify(await call(socket, "GET", "/v1/history/99")), /404.*there is no deployment 99/);
  assert.deepEqual(await call(socket, "GET", "/v2/status"), { status: 404, value: { error: "there is no GET /v2/status" } });
  assert.equal((await call(socket, "POST", "/v1/status")).status, 405);
  assert.match(JSON.stringify(await call(socket, "POST", "/v1/sync", "{")), /400.*the body is not JSON/);
  assert.match(JSON.stringify(await call(socket, "POST", "/v1/sync", '{"wiat":true}')), /400.*wiat/);
  assert.match(JSON.stringify(await call(socket, "POST", "/v1/rollback", "{}")), /400.*target/);
  assert.match(JSON.stringify(await call(socket, "GET", "/v1/history?limit=0")), /400.*limit/);
  assert.match(JSON.stringify(await call(socket, "POST", "/v1/sync", JSON.stringify({ target: "x".repeat(2_000_000) }))), /413/);
  assert.deepEqual(warnings, []);
  assert.deepEqual(await call(socket, "GET", "/v1/version"), { status: 500, value: { error: "no version: why" } });
  assert.deepEqual(warnings, ["GET /v1/version failed: no version: why"]);
});

test("only pgo's user can reach the socket, also where the directory was open", async (t) => {
  const socket = await socketPath(t);
  const first = await open(socket, fixedCommands([]));
  assert.equal((await stat(socket)).mode & 0o777, 0o600);
  assert.equal((await stat(dirname(socket))).mode & 0o777, 0o700);
  await first[Symbol.asyncDispose]();
  await chmod(dirname(socket), 0o755);
  await opened(t, socket, fixedCommands([]));
  assert.equal((await stat(dirname(socket))).mode & 0o777, 0o700);
});

test("a socket that a killed process left is no obstacle, one that answers is", async (t) => {
  const socket = await socketPath(t);
  const first = await open(socket, fixedCommands([]));
  const second = await openControl({ commands: fixedCommands([]), socket, warn: () => undefined });
  assert.deepEqual(second, { ok: false, trouble: `another pgo runs already and answers at ${socket}: stop that one first` });
  assert.equal((await call(socket, "GET", "/v1/status")).status, 200);
  await first[Symbol.asyncDispose]();

  const dead = spawn(process.execPath, [
    "-e",
    `require("node:net").createServer().listen(${JSON.stringify(socket)}, () => console.log("up"))`,
  ]);
  await once(dead.stdout, "data");
  dead.kill("SIGKILL");
  await once(dead, "exit");
  assert.ok((await stat(socket)).isSocket());
  await opened(t, socket, fixedCommands([]));
  assert.equal((await call(socket, "GET", "/v1/status")).status, 200);
});

test("a question ends when its asker goes away, a command that changes the host does not", async (t) => {
  const socket = await socketPath(t);
  const signals: Record<string, AbortSignal> = {};
  const hang = (name: string, signal: AbortSignal): Promise<never> => {
    signals[name] = signal;
    return untilAborted(signal);
  };
  const control = await open(
    socket,
    fixedCommands([], {
      sync: (_t, _w, signal) => hang("sync", signal),
      plan: (_t, signal) => hang("plan", signal),
      rollback: (_t, _to, signal) => hang("rollback", signal),
    }),
  );
  for (const [name, method, body] of [
    ["sync", "POST", '{"wait":true}'],
    ["plan", "GET", undefined],
    ["rollback", "POST", '{"target":"shop"}'],
  ] as const) {
    const asked = request({ socketPath: socket, method, path: `/v1/${name}`, agent: false }).on("error", () => undefined);
    asked.end(body);
    while (signals[name] === undefined) await sleep(5);
    asked.destroy();
    await sleep(50);
  }
  assert.deepEqual(
    Object.entries(signals).map(([name, { aborted }]) => `${name} ${String(aborted)}`),
    ["sync true", "plan true", "rollback false"],
  );

  const waiting = call(socket, "POST", "/v1/sync", '{"wait":true}');
  await sleep(50);
  const start = performance.now();
  await control[Symbol.asyncDispose]();
  assert.ok(performance.now() - start < 1000);
  assert.equal(signals["rollback"]?.aborted, true);
  assert.deepEqual(await waiting, { status: 503, value: { error: "pgo is stopping" } });
  await assert.rejects(stat(socket), { code: "ENOENT" });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";

import { openMetricsServer, type MetricsServerSettings } from "../../src/http/server.ts";

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = await occupied(0);
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function occupied(port: number): Promise<Server> {
  const server = createServer().listen(port, "127.0.0.1");
  await once(server, "listening");
  return server;
}

async function settings(warnings: string[], overrides: Partial<MetricsServerSettings> = {}): Promise<MetricsServerSettings> {
  return {
    listen: { host: "127.0.0.1", port: await freePort() },
    metrics: () => Promise.resolve({ type: "text/plain; version=0.0.4; charset=utf-8", text: "pgo_build_info 1\n" }),
    commands: { alive: () => undefined, ready: () => true },
    warn: (message) => void warnings.push(message),
    ...overrides,
  };
}

test("metrics and health are served, and the page of routes names them", async () => {
  const made = await settings([]);
  await using server = await openMetricsServer(made);
  const base = `http://127.0.0.1:${String(made.listen.port)}`;
  assert.equal(server.address()?.port, made.listen.port);

  const metrics = await fetch(`${base}/metrics`);
  assert.equal(metrics.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assert.equal(await metrics.text(), "pgo_build_info 1\n");
  assert.equal(await (await fetch(`${base}/healthz`)).text(), "ok\n");
  assert.equal(await (await fetch(`${base}/readyz`)).text(), "ok\n");
  assert.match(await (await fetch(base)).text(), /\/metrics.*\n\/healthz.*\n\/readyz/);
  assert.equal((await fetch(`${base}/v1/status`)).status, 404);
  assert.equal((await fetch(`${base}/healthz`, { method: "POST" })).status, 405);
});

test("a loop that is not alive is 503 with the reason, a first pass that is not over too", async (t) => {
  const made = await settings([], { commands: { alive: () => "the state database can't be written: disk full", ready: () => false } });
  const server = await openMetricsServer(made);
  t.after(() => server[Symbol.asyncDispose]());
  const base = `http://127.0.0.1:${String(made.listen.port)}`;
  const health = await fetch(`${base}/healthz`);
  assert.equal(health.status, 503);
  assert.equal(await health.text(), "the state database can't be written: disk full\n");
  assert.equal((await fetch(`${base}/readyz`)).status, 503);
});

test("a failing answer is 500 without its reason, which goes to the log", async (t) => {
  const warnings: string[] = [];
  const made = await settings(warnings, { metrics: () => Promise.reject(new Error("secret detail")) });
  const server = await openMetricsServer(made);
  t.after(() => server[Symbol.asyncDispose]());
  const answer = await fetch(`http://127.0.0.1:${String(made.listen.port)}/metrics`);
  assert.equal(answer.status, 500);
  assert.equal(await answer.text(), "failed: see pgo's log\n");
  assert.deepEqual(warnings, ["GET /metrics failed: secret detail"]);
});

test("a taken port is one warning, and is taken over when it gets free", async () => {
  const other = await occupied(0);
  const { port } = other.address() as AddressInfo;
  const warnings: string[] = [];
  const made = await settings(warnings, { listen: { host: "127.0.0.1", port }, retryAfter: 20 });
  await using server = await openMetricsServer(made);
  await sleep(100);
  assert.equal(server.address(), undefined);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? "", /metrics can't listen on 127\.0\.0\.1:\d+: the port is taken; pgo runs on/);

  other.close();
  await once(other, "close");
  while (server.address() === undefined) await sleep(10);
  assert.equal((await fetch(`http://127.0.0.1:${String(port)}/healthz`)).status, 200);
  await sleep(10);
  assert.match(warnings[1] ?? "", /metrics listen on 127\.0\.0\.1:\d+ now/);
});

test("an address that the host has not is a warning too", async () => {
  const warnings: string[] = [];
  await using server = await openMetricsServer(await settings(warnings, { listen: { host: "192.0.2.1", port: 9180 } }));
  assert.equal(server.address(), undefined);
  assert.match(warnings[0] ?? "", /EADDRNOTAVAIL/);
});

test("closing ends what is being asked within a second", async () => {
  const made = await settings([], { metrics: () => new Promise(() => undefined) });
  const server = await openMetricsServer(made);
  const asked = fetch(`http://127.0.0.1:${String(made.listen.port)}/metrics`).then(
    () => "answered",
    () => "cut off",
  );
  await sleep(50);
  const start = performance.now();
  await server[Symbol.asyncDispose]();
  assert.ok(performance.now() - start < 1000);
  assert.equal(await asked, "cut off");
});

/** The connection's bad days, with sockets that behave as a bus does on them; the good ones are in test/e2e/host-adapter.test.ts. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { Refusal, openBus, subscribe } from "../../../src/adapters/host/bus.ts";
import { reasonOf } from "../../../src/core/result.ts";

const never = new AbortController().signal;

async function socket(t: TestContext, answer: ((peer: Socket) => void) | undefined) {
  const directory = await mkdtemp(join(tmpdir(), "pgo-bus-"));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, "bus");
  let met = 0;
  if (answer !== undefined) {
    const peers = new Set<Socket>();
    const server = createServer((peer) => {
      met++;
      peers.add(peer);
      peer.on("error", () => undefined);
      answer(peer);
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    t.after(() => {
      for (const peer of peers) peer.destroy();
      server.close();
    });
  }
  return { address: `unix:path=${path}`, met: () => met };
}

async function refusal(address: string, signal = never): Promise<string> {
  await using bus = openBus(address, 300);
  return await bus.connection(signal).then(() => "connected", reasonOf);
}

test("a bus that is not there is told with its address", async (t) => {
  const { address } = await socket(t, undefined);
  assert.match(await refusal(address), new RegExp(`^connect to systemd at ${address}: connect ENOENT`));
});

test("a bus that takes the connection and says nothing is given up at the deadline", async (t) => {
  const { address } = await socket(t, () => undefined);
  assert.equal(await refusal(address), `connect to systemd at ${address}: no answer in 0.3 s`);
});

test("a bus that hangs up is told at once", async (t) => {
  const { address } = await socket(t, (peer) => peer.destroy());
  assert.match(await refusal(address), /: (?:the bus closed the connection|.*(?:ECONNRESET|EPIPE).*)$/);
});

test("a bus that refuses the user says what a rootless container lacks", async (t) => {
  const { address } = await socket(t, (peer) => peer.on("data", () => peer.write("REJECTED EXTERNAL\r\n")));
  assert.match(await refusal(address), /a rootless container needs UserNS=keep-id/);
});

test("each call after a failed one tries a fresh connection, and those at the same time share one", async (t) => {
  const { address, met } = await socket(t, (peer) => peer.destroy());
  await using bus = openBus(address, 300);
  const both = await Promise.allSettled([bus.connection(never), bus.connection(never)]);
  assert.deepEqual([both.map(({ status }) => status), met()], [["rejected", "rejected"], 1]);
  await assert.rejects(bus.connection(never));
  assert.equal(met(), 2);
});

test("an aborted signal ends the wait of its own caller only", async (t) => {
  const { address } = await socket(t, () => undefined);
  await using bus = openBus(address, 300);
  const patient = bus.connection(never).then(() => "connected", reasonOf);
  await assert.rejects(bus.connection(AbortSignal.abort(new Error("stop"))), /stop/);
  assert.match(await patient, /no answer in 0\.3 s/);
});

test("systemd that remembers the name as a subscriber's, from before the bus restarted, is subscribed to; another refusal is told", async () => {
  const refusing = (code: string) => ({ lost: never, call: () => Promise.reject(new Refusal(code, "no")) });
  const deadline = performance.now() + 10_000;
  await subscribe(refusing("org.freedesktop.systemd1.AlreadySubscribed"), deadline, never);
  await assert.rejects(subscribe(refusing("org.freedesktop.DBus.Error.AccessDenied"), deadline, never), /no/);
});

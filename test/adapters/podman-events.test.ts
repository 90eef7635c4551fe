/** Podman's event stream against a service that sends what a real one was seen to send (5.4.2), and that goes away. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { openContainerChanges } from "../../src/adapters/podman/events.ts";
import { serviceName, type ServiceName } from "../../src/core/names.ts";

const web = serviceName("web.service");

/** A service on a socket, and what is heard of it by one who knows web.service alone. */
async function open(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), "podman-events-"));
  const streams: ServerResponse[] = [];
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(decodeURIComponent(request.url ?? ""));
    streams.push(response);
    server.emit("listener");
  });
  server.listen(join(directory, "podman.sock"));
  await once(server, "listening");
  const heard: (ServiceName | undefined)[] = [];
  const stop = new AbortController();
  const met = once(server, "listener");
  const hearing = openContainerChanges(join(directory, "podman.sock")).hear(
    {
      known: (unit) => (unit === web ? web : undefined),
      heard: (service) => {
        heard.push(service);
        server.emit("heard");
      },
    },
    stop.signal,
  );
  t.after(async () => {
    stop.abort();
    await hearing;
    for (const stream of streams) stream.destroy();
    server.close();
    await rm(directory, { recursive: true });
  });
  await met;
  const event = (action: string, { unit = "web.service", status = "" } = {}) =>
    `${JSON.stringify({ Type: "container", Action: action, Actor: { ID: "78cb", Attributes: { PODMAN_SYSTEMD_UNIT: unit } }, HealthStatus: status })}\n`;
  /** Sends, and waits until as much as that has been heard. */
  const send = async (text: string, until: number) => {
    streams.at(-1)?.write(text);
    while (heard.length < until) await once(server, "heard");
  };
  return { heard, asked, streams, server, event, send, stop, hearing };
}

test("what happens to the containers of known services is heard, also when it comes in pieces", async (t) => {
  const { heard, asked, event, send } = await open(t);
  assert.match(asked[0] ?? "", /^\/v5\.0\.0\/libpod\/events\?stream=true&filters=.*"died".*"health_status"/);
  assert.ok(!asked[0]?.includes("exec"), "each command probe is one");
  const died = event("died");
  await send(event("start", { unit: "other.service" }) + died.slice(0, 40), 0);
  await send(`${died.slice(40)}nonsense\n${event("oom")}`, 2);
  assert.deepEqual(heard, [web, web]);
});

test("of health checks only those are heard that end otherwise than the one before", async (t) => {
  const { heard, event, send } = await open(t);
  const check = (status: string) => event("health_status", { status });
  await send(check("healthy") + check("healthy") + check("unhealthy"), 1);
  await send(check("unhealthy") + check("unhealthy") + check("healthy") + check("healthy") + event("died"), 3);
  assert.deepEqual(heard, [web, web, web]);
});

test("a connection that is lost is made anew, and what nobody heard meanwhile is told as anything", async (t) => {
  const { heard, streams, server, event, send } = await open(t);
  await send(event("died"), 1);
  streams[0]?.destroy();
  await once(server, "listener");
  await send(event("start"), 3);
  assert.deepEqual(heard, [web, undefined, web]);
});

test("a stream without lines is given up before it fills the memory", async (t) => {
  const { streams } = await open(t);
  const stream = streams[0];
  assert.ok(stream !== undefined);
  stream.write("x".repeat(80_000));
  await once(stream, "close");
});

test("it ends with its signal, also while it waits for the next try", async (t) => {
  const { streams, stop, hearing } = await open(t);
  streams[0]?.destroy();
  stop.abort();
  await hearing;
});

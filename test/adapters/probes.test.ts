/** The Prober port against real servers on this machine, which answer well and badly. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { openProber } from "../../src/adapters/probes.ts";
import type { Probe, Sample } from "../../src/core/health.ts";
import { fakeClock } from "../fakes/clock.ts";

const noon = new Date("2026-01-01T12:00:00Z");
const idle = () => new AbortController().signal;

/** Probes and leaves out the time. */
async function found(probe: Probe, timeout = 2000, signal = idle()): Promise<Omit<Sample, "at">> {
  const { at, ...rest } = await openProber({ clock: fakeClock({ now: noon }) }).probe(probe, timeout, signal);
  assert.deepEqual(at, noon);
  return rest;
}

const http = (url: string, more: { status?: number[]; contains?: string } = {}): Probe => ({
  kind: "http",
  url,
  status: more.status ?? [200],
  contains: more.contains,
});
const tcp = (port: number, host = "127.0.0.1"): Probe => ({ kind: "tcp", host, port });

async function listen(t: TestContext, server: Server, host = "127.0.0.1"): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
  });
  server.listen(0, host);
  await once(server, "listening");
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, "close");
  });
  return (server.address() as AddressInfo).port;
}

async function web(t: TestContext, answer: RequestListener): Promise<string> {
  return `http://127.0.0.1:${await listen(t, createHttpServer(answer))}`;
}

/** A port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("a status that is asked for passes, another fails with its number", async (t) => {
  const url = await web(t, (request, response) => response.writeHead(request.url === "/ready" ? 200 : 503).end());
  assert.deepEqual(await found(http(`${url}/ready`)), { result: "pass" });
  assert.deepEqual(await found(http(`${url}/other`)), { result: "fail", message: `GET ${url}/other: 503` });
  assert.deepEqual(await found(http(`${url}/other`, { status: [200, 503] })), { result: "pass" });
});

test("a redirect is an answer and is not followed", async (t) => {
  const asked: (string | undefined)[] = [];
  const url = await web(t, (request, response) => {
    asked.push(request.url);
    response.writeHead(302, { Location: "/there" }).end();
  });
  assert.deepEqual(await found(http(`${url}/`)), { result: "fail", message: `GET ${url}/: 302` });
  assert.deepEqual(await found(http(`${url}/`, { status: [302] })), { result: "pass" });
  assert.deepEqual(asked, ["/", "/"]);
});

test("a text that must occur is found, also across two pieces of the answer", async (t) => {
  const url = await web(t, (_, response) => {
    response.write("all is o");
    setTimeout(() => response.end("kay"), 20);
  });
  assert.deepEqual(await found(http(url, { contains: "okay" })), { result: "pass" });
  assert.deepEqual(await found(http(url, { contains: "good" })), {
    result: "fail",
    message: `GET ${url}: 200, but "good" is not in the answer`,
  });
});

test("an endless answer passes as soon as the text is there, and fails at 256 KiB without it", async (t) => {
  const url = await web(t, (_, response) => {
    const more = () => {
      while (!response.destroyed && response.write("ok ".padEnd(8192)));
    };
    response.on("drain", more);
    more();
  });
  assert.deepEqual(await found(http(url, { contains: "ok" })), { result: "pass" });
  assert.deepEqual(await found(http(url, { contains: "no" })), {
    result: "fail",
    message: `GET ${url}: 200, but "no" is not in the first 256 KiB of the answer`,
  });
});

test("a body that nobody asked for is not waited for, and its connection ends", async (t) => {
  const ended = Promise.withResolvers<undefined>();
  const url = await web(t, (_, response) => {
    response.write("begun");
    response.on("close", ended.resolve);
  });
  assert.deepEqual(await found(http(url), 1000), { result: "pass" });
  await ended.promise;
});

test("a server that says nothing, or begins and stops, fails when the time is over", async (t) => {
  const silent = await web(t, () => undefined);
  assert.deepEqual(await found(http(silent), 50), { result: "fail", message: `GET ${silent}: no answer within 50 ms` });
  const halting = await web(t, (_, response) => response.write("begun"));
  assert.deepEqual(await found(http(halting, { contains: "done" }), 1000), {
    result: "fail",
    message: `GET ${halting}: no answer within 1 s`,
  });
});

test("a refused or broken connection, and an answer that is not HTTP, fail", async (t) => {
  const refused = `http://127.0.0.1:${await freePort()}/`;
  assert.deepEqual(await found(http(refused)), { result: "fail", message: `GET ${refused}: connection refused` });
  const broken = await web(t, (request) => request.socket.destroy());
  assert.deepEqual(await found(http(broken)), { result: "fail", message: `GET ${broken}: connection broken off` });
  const other = `http://127.0.0.1:${await listen(
    t,
    createTcpServer((socket) => socket.end("SSH-2.0-OpenSSH\r\n")),
  )}`;
  assert.deepEqual(await found(http(other)), { result: "fail", message: `GET ${other}: the answer is not HTTP` });
});

test("a name with several addresses passes if one answers, and fails in one line if none does", async (t) => {
  const port = await listen(t, createTcpServer());
  assert.deepEqual(await found(tcp(port, "localhost")), { result: "pass" });
  const free = await freePort();
  assert.deepEqual(await found(tcp(free, "localhost")), { result: "fail", message: `connect localhost:${free}: connection refused` });
});

test("credentials in an address are sent, and never shown", async (t) => {
  const url = await web(t, (request, response) => {
    const right = request.headers.authorization === `Basic ${btoa("ed:s3cret")}`;
    response.writeHead(right ? 200 : 401).end();
  });
  const place = url.slice("http://".length);
  assert.deepEqual(await found(http(`http://ed:s3cret@${place}/`)), { result: "pass" });
  assert.deepEqual(await found(http(`http://ed:wr0ng@${place}/?token=t0ken&a=1`)), {
    result: "fail",
    message: `GET http://***@${place}/?token=***&a=1: 401`,
  });
});

test("https is verified: a server without a certificate fails", async (t) => {
  const port = await listen(
    t,
    createTcpServer((socket) => socket.end("not TLS at all")),
  );
  const sample = await found(http(`https://127.0.0.1:${port}/`));
  assert.equal(sample.result, "fail");
});

test("each probe is a new connection, and none stays open", async (t) => {
  let connections = 0;
  const server = createHttpServer((_, response) => response.end("ok"));
  server.on("connection", () => connections++);
  const url = `http://127.0.0.1:${await listen(t, server)}/`;
  await found(http(url));
  await found(http(url));
  assert.equal(connections, 2);
  await new Promise((resolve) => setTimeout(resolve, 20));
  const open = await new Promise((resolve, reject) => {
    server.getConnections((error, count) => {
      if (error) reject(error);
      else resolve(count);
    });
  });
  assert.equal(open, 0);
});

test("a TCP probe passes where something listens, and fails where nothing does", async (t) => {
  const port = await listen(t, createTcpServer());
  assert.deepEqual(await found(tcp(port)), { result: "pass" });
  const free = await freePort();
  assert.deepEqual(await found(tcp(free)), { result: "fail", message: `connect 127.0.0.1:${free}: connection refused` });
});

test("an error on this side is no answer of the unit", async () => {
  // 255.255.255.255 is a broadcast address: the kernel refuses the connection without sending anything.
  const sample = await found(tcp(80, "255.255.255.255"));
  assert.equal(sample.result, "unasked");
});

test("a time limit that passed while pgo itself stood still is no answer of the unit", async (t) => {
  const silent = await web(t, () => undefined);
  const probing = found(http(silent), 100);
  await new Promise((resolve) => setTimeout(resolve, 20));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 900);
  const sample = await probing;
  assert.equal(sample.result, "unasked");
});

test("an aborted probe throws the signal's reason, before and while it asks", async (t) => {
  const silent = await web(t, () => undefined);
  const reason = new Error("pgo stops");
  await assert.rejects(found(http(silent), 2000, AbortSignal.abort(reason)), (error) => error === reason);
  for (const probe of [http(silent), tcp(9, "192.0.2.1")]) {
    const controller = new AbortController();
    const probing = found(probe, 2000, controller.signal);
    controller.abort(reason);
    await assert.rejects(probing, (error) => error === reason);
  }
});

/** The Prober port against real servers on this machine, which answer well and badly. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { promisify } from "node:util";

import { openProber, type ProberParts } from "../../src/adapters/probes/probes.ts";
import type { HttpRequest, Probe, Sample, TcpTalk } from "../../src/core/health.ts";
import { success, trouble } from "../../src/core/result.ts";
import { httpProbe } from "../core/probe.ts";
import { assertSilent, planted } from "../planted.ts";
import { fakeClock } from "../fakes/clock.ts";

const noon = new Date("2026-01-01T12:00:00Z");
const idle = () => new AbortController().signal;

const parts = (more: Partial<ProberParts> = {}): ProberParts => ({
  clock: fakeClock({ now: noon }),
  podman: { exec: () => Promise.reject(new Error("list containers: podman does not answer")) },
  host: { runOnHost: () => Promise.reject(new Error("systemd does not answer")) },
  secret: (from) => Promise.resolve(success(JSON.stringify(from))),
  ...more,
});

/** Probes and leaves out the time. */
async function found(probe: Probe, timeout = 2000, signal = idle(), more: Partial<ProberParts> = {}): Promise<Omit<Sample, "at">> {
  const { at, ...rest } = await openProber(parts(more)).probe(probe, timeout, signal);
  assert.deepEqual(at, noon);
  return rest;
}

const http = (url: string, { status = [200], ...more }: Omit<Partial<HttpRequest>, "status"> & { status?: number[] } = {}): Probe => ({
  ...httpProbe,
  url,
  status: status.map((one) => ({ from: one, to: one })),
  ...more,
});
const tcp = (port: number, host = "127.0.0.1", talk: Partial<TcpTalk> = {}): Probe => ({
  ...{ kind: "tcp", host, port, send: undefined, expect: undefined },
  ...talk,
});

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

suite("what an HTTP probe sends", () => {
  /** Answers with what it was asked, as JSON. */
  const echo: RequestListener = (request, response) => {
    const pieces: Buffer[] = [];
    request.on("data", (piece: Buffer) => pieces.push(piece));
    request.on("end", () => {
      const { method, url, headers } = request;
      response.end(JSON.stringify({ method, url, headers, body: Buffer.concat(pieces).toString() }));
    });
  };

  test("its method, headers and body, and the secret that a header names, whatever the case of its name", async (t) => {
    const url = await web(t, echo);
    const secret: ProberParts["secret"] = (from) => Promise.resolve(success("names" in from ? from.names.join() : ""));
    const headers = { "X-Token": { from: { names: ["A", "B"] }, prefix: "Bearer " }, "user-agent": "me" };
    const matches = '"POST".*"x-token":"Bearer A,B".*"user-agent":"me".*"body":"hello"';
    const probe = http(url, { method: "POST", headers, body: "hello", matches });
    assert.deepEqual(await found(probe, 2000, idle(), { secret }), { result: "pass" });
  });

  test("a secret that can't be had, or can't be sent, is no failure of the unit's, and stays unsaid", async (t) => {
    const url = await web(t, echo);
    const headers = { "X-Token": { from: { env: "TOKEN" }, prefix: "" } };
    const absent = await found(http(url, { headers }), 2000, idle(), { secret: () => Promise.resolve(trouble("secret TOKEN is not set")) });
    assert.deepEqual(absent, { result: "unasked", message: `GET ${url}: header X-Token: secret TOKEN is not set` });
    for (const value of planted) {
      const said = await found(http(url, { headers, status: [500] }), 2000, idle(), { secret: () => Promise.resolve(success(value)) });
      assert.notEqual(said.result, "pass");
      assertSilent(said);
    }
  });

  test("redirects as far as it is told to; a secret stays with the first server", async (t) => {
    const other = await web(t, echo);
    const url = await web(t, (request, response) => {
      const to = { "/one": "/two", "/two": `${other}/three`, "/round": "/round", "/odd": "gopher://x/" }[request.url ?? ""];
      if (to === undefined) echo(request, response);
      else response.writeHead(request.url === "/one" ? 307 : 302, { Location: to }).end();
    });
    const headers = { "X-Token": { from: { env: "TOKEN" }, prefix: "" }, Authorization: "Basic eA==", "X-Plain": "plain" };
    const follow = (path: string, limit: number, more = {}) =>
      found(http(`${url}${path}`, { follow: limit, method: "POST", body: "b", headers, ...more }));
    const arrived = '^\\{"method":"GET","url":"/three","headers":\\{(?!.*(x-token|authorization)).*"x-plain":"plain".*"body":""\\}$';
    assert.deepEqual(await follow("/one", 2, { matches: arrived }), { result: "pass" });
    assert.deepEqual(await follow("/one", 1), { result: "fail", message: `POST ${url}/one: 302 after 1 redirects` });
    assert.deepEqual(await follow("/round", 10), { result: "fail", message: `POST ${url}/round: 302 after 10 redirects` });
    assert.deepEqual(await follow("/odd", 1), { result: "fail", message: `POST ${url}/odd: redirected to gopher:` });
  });
});

suite("what an HTTP probe takes for an answer", () => {
  test("statuses in ranges", async (t) => {
    const url = await web(t, (request, response) => response.writeHead(Number(request.url?.slice(1))).end());
    const answers = [200, 204, 299, 300, 401];
    const passing: number[] = [];
    for (const status of answers) {
      const probe = {
        ...http(`${url}/${status}`),
        status: [
          { from: 200, to: 299 },
          { from: 401, to: 401 },
        ],
      } as Probe;
      if ((await found(probe)).result === "pass") passing.push(status);
    }
    assert.deepEqual(passing, [200, 204, 299, 401]);
  });

  test("a pattern that matches in the body, over several lines", async (t) => {
    const url = await web(t, (_, response) => response.end("db: up\nqueue: 17\n"));
    assert.deepEqual(await found(http(url, { matches: "^queue: \\d{1,2}$" })), { result: "pass" });
    assert.deepEqual(await found(http(url, { matches: "^queue: \\d$" })), {
      result: "fail",
      message: `GET ${url}: 200, but /^queue: \\d$/ does not match in the answer`,
    });
  });

  test("a pattern that would take for ever is ended, and said to", async (t) => {
    const url = await web(t, (_, response) => response.end(`${"a".repeat(50)}b`));
    assert.deepEqual(await found(http(url, { matches: "^(a+)+$" })), {
      result: "fail",
      message: `GET ${url}: 200, but to match /^(a+)+$/ takes longer than 100 ms: make it simpler`,
    });
  });
});

suite("an HTTPS probe", () => {
  test("trusts whom it is told to, by the name that it is told, or nobody's word", async (t) => {
    const { certificate, key, file } = await selfSigned(t, "web.example");
    const port = await listen(
      t,
      createHttpsServer({ cert: certificate, key }, (_, response) => response.end("ok")),
    );
    const url = `https://127.0.0.1:${port}/`;
    const ask = (tls: Partial<HttpRequest["tls"]>) => found(http(url, { tls: { ...httpProbe.tls, ...tls } }));
    assert.deepEqual(await ask({}), {
      result: "fail",
      message: `GET ${url}: the certificate is self-signed: name its authority's certificate with ca, or set verify = false`,
    });
    assert.deepEqual(await ask({ verify: false }), { result: "pass" });
    assert.deepEqual(await ask({ ca: file, serverName: "web.example" }), { result: "pass" });
    assert.deepEqual(await ask({ ca: file }), {
      result: "fail",
      message: `GET ${url}: the certificate is for another name: set server_name`,
    });
    assert.deepEqual(await ask({ ca: "/nowhere.pem" }), {
      result: "unasked",
      message: `GET ${url}: ca file /nowhere.pem can't be read (ENOENT): it must lie where pgo can see it`,
    });
  });

  test("says so where the other side speaks no TLS", async (t) => {
    const url = (await web(t, (_, response) => response.end())).replace("http:", "https:");
    assert.deepEqual(await found(http(url)), { result: "fail", message: `GET ${url}: the other side does not speak TLS: is it http?` });
  });
});

test("a TCP probe says something and waits for an answer, also one that comes in pieces", async (t) => {
  const port = await listen(
    t,
    createTcpServer((socket) =>
      socket.on("data", (asked) => {
        if (asked.toString() !== "PING\r\n") return socket.end("-ERR\r\n");
        socket.write("+PO");
        setTimeout(() => socket.write("NG\r\n"), 20);
        return undefined;
      }),
    ),
  );
  const ask = (send: string) => found(tcp(port, "127.0.0.1", { send, expect: "+PONG" }));
  assert.deepEqual(await ask("PING\r\n"), { result: "pass" });
  assert.deepEqual(await ask("HELLO\r\n"), {
    result: "fail",
    message: `connect 127.0.0.1:${port}: "+PONG" did not come: the other side has ended the connection`,
  });
});

suite("a command probe", () => {
  const command = (more: Partial<Extract<Probe, { kind: "command" }>> = {}): Probe => ({
    ...{ kind: "command", on: "container", container: "c1", run: ["pg_isready", "-q"], user: undefined, exit: [0], contains: undefined },
    ...more,
  });
  const ending = (code: number, output = "") => ({ podman: { exec: () => Promise.resolve(success({ code, output })) } });

  test("passes by its exit code and what it writes, and says its last line otherwise", async () => {
    assert.deepEqual(await found(command(), 2000, idle(), ending(0)), { result: "pass" });
    assert.deepEqual(await found(command({ exit: [0, 3] }), 2000, idle(), ending(3)), { result: "pass" });
    assert.deepEqual(await found(command(), 2000, idle(), ending(2, "trying\nno response\n")), {
      result: "fail",
      message: "run pg_isready -q: exit 2: no response",
    });
    assert.deepEqual(await found(command({ run: ["sh", "-c", "exit 1"] }), 2000, idle(), ending(1)), {
      result: "fail",
      message: "run exit 1: exit 1",
    });
    assert.deepEqual(await found(command({ contains: "ok" }), 2000, idle(), ending(0, "all ok")), { result: "pass" });
    assert.deepEqual(await found(command({ contains: "ok" }), 2000, idle(), ending(0, "no")), {
      result: "fail",
      message: 'run pg_isready -q: exit 0, but "ok" is not in what it wrote',
    });
  });

  test("fails when its time is over, and where Podman refuses; a Podman that does not answer says nothing", async () => {
    const hanging: ProberParts["podman"] = {
      exec: (_container, _command, signal) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            reject(signal.reason as Error);
          });
        }),
    };
    assert.deepEqual(await found(command(), 50, idle(), { podman: hanging }), {
      result: "fail",
      message: "run pg_isready -q: no answer within 50 ms; it runs on in the container",
    });
    const refusing = { podman: { exec: () => Promise.resolve(trouble("podman answers 500: unable to find user nobody9")) } };
    assert.deepEqual(await found(command(), 2000, idle(), refusing), {
      result: "fail",
      message: "run pg_isready -q: podman answers 500: unable to find user nobody9",
    });
    assert.equal((await found(command())).result, "unasked");
  });
});

suite("a command probe on the host", () => {
  const command: Probe = { kind: "command", on: "host", run: ["check", "it"], user: "nobody", exit: [0], contains: undefined };
  const asked = async (runOnHost: ProberParts["host"]["runOnHost"], timeout = 2000) =>
    found(command, timeout, idle(), { host: { runOnHost } });

  test("runs there as that user, with the time it has, and is judged as in a container", async () => {
    const calls: unknown[] = [];
    const ran = await asked((what, deadline) => {
      calls.push([what, deadline]);
      return Promise.resolve(success({ code: 1, output: "disk\nis full\n" }));
    });
    assert.deepEqual(calls, [[{ run: ["check", "it"], user: "nobody", limit: 16_384 }, 2000]]);
    assert.deepEqual(ran, { result: "fail", message: "run on the host check it: exit 1: is full" });
    assert.deepEqual(await asked(() => Promise.resolve(success({ code: 0, output: "" }))), { result: "pass" });
  });

  test("fails when its time is over, and where it can't begin; a systemd that can't be asked says nothing", async () => {
    const hanging: ProberParts["host"]["runOnHost"] = (_what, _deadline, signal) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          reject(signal.reason as Error);
        });
      });
    assert.deepEqual(await asked(hanging, 50), {
      result: "fail",
      message: "run on the host check it: no answer within 50 ms; it was ended",
    });
    assert.equal((await asked(() => Promise.resolve(trouble("there is no such user on the host (exit 217)")))).result, "fail");
    assert.equal((await found(command)).result, "unasked");
  });
});

/** A certificate and its key, and the file that holds the certificate. */
async function selfSigned(t: TestContext, name: string) {
  const directory = await mkdtemp(join(tmpdir(), "tls-"));
  t.after(() => rm(directory, { recursive: true }));
  const [keyFile, file] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  const names = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
  await promisify(execFile)("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", keyFile, "-out", file, ...names]);
  return { certificate: await readFile(file), key: await readFile(keyFile), file };
}

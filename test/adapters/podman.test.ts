/** The Podman adapter against a fake service: the port's promises, and what it says and does when Podman misbehaves. */

import assert from "node:assert/strict";
import { mkdtemp, rename, rm, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { openPodman, type PodmanSettings } from "../../src/adapters/podman/podman.ts";
import type { Podman } from "../../src/ports.ts";
import { podmanContract } from "../contracts/podman.ts";
import { FakePodman, listed } from "../fakes/podman.ts";
import { assertSilent } from "../planted.ts";

const { signal } = new AbortController();

interface Scene {
  readonly fake: FakePodman;
  readonly podman: Podman & AsyncDisposable;
  readonly socket: string;
}

async function open(t: TestContext, settings: Partial<PodmanSettings> = {}): Promise<Scene> {
  const fake = await FakePodman.open();
  const podman = openPodman({ socket: fake.socket, pauses: [], ...settings });
  t.after(async () => {
    await podman[Symbol.asyncDispose]();
    await fake[Symbol.asyncDispose]();
  });
  return { fake, podman, socket: fake.socket };
}

/** A file of the test's own. */
async function place(t: TestContext, content: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "podman-test-"));
  t.after(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "auth.json"), content);
  return join(directory, "auth.json");
}

const authFile = (logins: Record<string, string>) =>
  JSON.stringify({ auths: Object.fromEntries(Object.entries(logins).map(([key, login]) => [key, { auth: btoa(login) }])) });

const start = process.getuid?.() === 0 ? "systemctl start podman.socket" : "systemctl --user start podman.socket";

test("the port's promises", async (t) => {
  const { fake, podman } = await open(t);
  fake.containers = [
    listed({ service: "healthy.service", health: "healthy" }),
    listed({ service: "unhealthy.service", health: "unhealthy" }),
    listed({ service: "plain.service" }),
    listed({ service: "made.service", state: "created", startedAt: -62135596800 }),
    listed({ service: "ended.service", state: "exited" }),
    listed({ service: "hosted.service", id: "b".repeat(64) }),
    listed({
      ...{ service: "published.service", id: "a".repeat(64) },
      ports: [
        { host_ip: "127.0.0.1", container_port: 80, host_port: 18_080, range: 1, protocol: "tcp" },
        { host_ip: "", container_port: 90, host_port: 38_709, range: 1, protocol: "tcp" },
      ],
    }),
  ];
  fake.connections.set("a".repeat(64), { mode: "bridge", address: "10.88.0.2" }).set("b".repeat(64), { mode: "host", address: "" });
  fake.written.set("a".repeat(64), "one\ntwo\n2:three\n");
  fake.programs
    .set("sh -c echo out; echo err >&2; exit 3", { output: "out\n2:err\n", code: 3 })
    .set("65534: id -u", { output: "65534\n", code: 0 })
    .set("sh -c i=0; while [ $i -lt 9000 ]; do echo 0123456789; i=$((i+1)); done", { output: "0123456789\n".repeat(9000), code: 0 })
    .set("sleep 1000", { output: "", code: undefined });
  for (const image of ["localhost/test/busybox:latest", "127.0.0.1:5999/kept:1"]) fake.images.add(image);
  for (const name of ["team/one:1", "team/two:1"]) {
    fake.registry.set(`127.0.0.1:5000/${name}`, {});
    fake.registry.set(`127.0.0.1:5001/${name}`, { login: "ed:s3cret-token" });
  }
  fake.networks.set("spare", false).set("busy", true);
  fake.volumes
    .set("spare", { used: false })
    .set("busy", { used: true })
    .set("shown", { used: false, options: { device: "tmpfs" } });
  fake.makeSecret("foreign", "theirs");
  await podmanContract(t, {
    podman,
    authFiles: {
      right: await place(t, authFile({ "127.0.0.1:5001": "ed:s3cret-token" })),
      wrong: await place(t, authFile({ "127.0.0.1:5001": "ed:wr0ng" })),
    },
    logIn() {
      fake.hostLogin = "ed:s3cret-token";
      return Promise.resolve();
    },
    valueOf: (name) => Promise.resolve(String(fake.secrets.get(name)?.value)),
    reachesNetworks: true,
    version: /^5\.4\.2$/,
  });
  for (const call of fake.calls) assertSilent([call, decodeURIComponent(call)]);
});

test("one call lists the containers of all services, their health included", async (t) => {
  const { fake, podman } = await open(t);
  fake.containers = [listed({ service: "web.service", health: "starting" })];
  assert.deepEqual(
    (await podman.containers(signal)).map(({ service, health }) => [service, health]),
    [["web.service", "starting"]],
  );
  assert.deepEqual(fake.calls.map(decodeURIComponent), ['GET /containers/json?all=true&filters={"label":["PODMAN_SYSTEMD_UNIT"]}']);
});

test("a container whose label is no service's name belongs to none", async (t) => {
  const { fake, podman } = await open(t);
  fake.containers = [listed({ service: "not a unit" }), listed({ service: "web.service" })];
  assert.equal((await podman.containers(signal)).length, 1);
});

test("a socket that is not there, or that nobody listens on, is told with the way to start it", async (t) => {
  const { fake, podman, socket } = await open(t);
  // A server that closes takes its socket file along; out of its reach, the file stays behind without a listener.
  await rename(socket, `${socket}.kept`);
  await fake.stop();
  await rename(`${socket}.kept`, socket);
  await assert.rejects(podman.containers(signal), {
    message: `list containers: podman socket ${socket}: connection refused: is podman.socket running? (${start})`,
  });
  await unlink(socket);
  const message = (action: string) => `${action}: podman socket ${socket}: no such file: is podman.socket running? (${start})`;
  await assert.rejects(podman.version(signal), { message: message("ask for podman's version") });
  assert.deepEqual(await podman.pull("alpine", undefined, signal), { ok: false, trouble: message("pull alpine") });
  assert.deepEqual(await podman.removeNetwork("a", signal), { ok: false, trouble: message("remove network a") });
});

test("a socket that was made anew is found again by the next call", async (t) => {
  const { fake, podman } = await open(t);
  await podman.version(signal);
  await fake.stop();
  await assert.rejects(podman.version(signal));
  await fake.start();
  assert.equal(await podman.version(signal), "5.4.2");
});

test("a service that hangs is given up after the deadline", async (t) => {
  const { fake, podman, socket } = await open(t, { deadline: 50 });
  fake.faults.push("hang");
  await assert.rejects(podman.containers(signal), { message: `list containers: podman socket ${socket}: no answer within 50 ms` });
});

test("a read whose connection breaks is asked once more, and only once", async (t) => {
  const { fake, podman, socket } = await open(t);
  fake.faults.push("end");
  assert.equal(await podman.version(signal), "5.4.2");
  fake.faults.push("end", "cut");
  await assert.rejects(podman.containers(signal), {
    message: `list containers: podman socket ${socket}: the connection broke off before the answer was complete`,
  });
  assert.equal(fake.calls.length, 4);
});

test("a change whose connection breaks is not asked twice", async (t) => {
  const { fake, podman, socket } = await open(t);
  fake.networks.set("spare", false);
  fake.faults.push("end");
  assert.deepEqual(await podman.removeNetwork("spare", signal), {
    ok: false,
    trouble: `remove network spare: podman socket ${socket}: the connection broke off before the answer was complete`,
  });
  assert.equal(fake.calls.length, 1);
});

test("an answer that libpod never gives is an error, not an empty list", async (t) => {
  const { fake, podman, socket } = await open(t);
  const bad: readonly (readonly [FakePodman["faults"][number], string])[] = [
    [{ status: 200, body: "<html>" }, "podman's answer is not JSON"],
    [{ status: 200, body: "" }, "podman's answer is not JSON"],
    [{ status: 200, body: "null" }, "podman's answer is not as expected"],
    [{ status: 200, body: "{}" }, "podman's answer is not as expected"],
    [{ status: 200, body: '[{"Labels":{"PODMAN_SYSTEMD_UNIT":"a.service"}}]' }, "podman's answer is not as expected"],
    [{ status: 500, body: '{"cause":"x","message":"database is locked\\n","response":500}' }, "podman answers 500: database is locked"],
    [{ status: 404, body: "Not Found" }, "podman answers 404"],
    ["not HTTP", `podman socket ${socket}: the answer is not HTTP`],
  ];
  for (const [fault, words] of bad) {
    fake.faults.push(fault);
    await assert.rejects(podman.containers(signal), { message: `list containers: ${words}` });
  }
  fake.faults.push({ status: 500, body: "{}" });
  await assert.rejects(podman.hasImage("alpine", signal), { message: "look for image alpine: podman answers 500" });
  fake.faults.push({ status: 200, body: '{"Version":5}' });
  await assert.rejects(podman.version(signal), { message: "ask for podman's version: podman's answer is not as expected" });
});

test("a pull may take long while something comes, and is given up when nothing does", async (t) => {
  const { fake, podman, socket } = await open(t, { deadline: 20, silence: 400 });
  fake.registry.set("quay.io/a:1", {});
  assert.deepEqual(await podman.pull("quay.io/a:1", undefined, signal), { ok: true, value: undefined });
  fake.faults.push("hang");
  assert.deepEqual(await podman.pull("quay.io/b:1", undefined, signal), {
    ok: false,
    trouble: `pull quay.io/b:1: podman socket ${socket}: nothing came for 400 ms`,
  });
});

test("a pull that breaks off or ends without a word is no success", async (t) => {
  const { fake, podman, socket } = await open(t);
  fake.faults.push("cut");
  assert.deepEqual(await podman.pull("quay.io/b:1", undefined, signal), {
    ok: false,
    trouble: `pull quay.io/b:1: podman socket ${socket}: the connection broke off before the answer was complete`,
  });
  fake.faults.push({ status: 200, body: "" });
  assert.equal((await podman.pull("quay.io/b:1", undefined, signal)).ok, false);
  fake.faults.push({ status: 200, body: "<html>" });
  assert.equal((await podman.pull("quay.io/b:1", undefined, signal)).ok, false);
});

test("an error after some progress is told, in one line and without what signs an address", async (t) => {
  const { fake, podman } = await open(t);
  const error = 'reading blob sha256:ab: Get "https://cdn.example.com/ab?X-Signature=s1gned": dial tcp:\n i/o timeout';
  for (const last of [{ error }, { errorDetail: { message: error } }, { progressDetail: {}, errorDetail: { message: error }, error }]) {
    fake.faults.push({ status: 200, body: `{"status":"Downloading","id":"ab"}\n${JSON.stringify(last)}\n` });
    assert.deepEqual(await podman.pull("quay.io/b:1", undefined, signal), {
      ok: false,
      trouble: 'pull quay.io/b:1: reading blob sha256:ab: Get "https://cdn.example.com/ab": dial tcp: i/o timeout',
    });
  }
});

const progress = (...lines: readonly object[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join("");

test("a pull that the network breaks off is tried again, and begins to count anew when a layer has come", async (t) => {
  const { fake, podman } = await open(t, { pauses: [1, 1] });
  const broken = (there: number) => ({
    status: 200,
    body: progress(
      ...Array.from({ length: there }, (_, index) => ({ status: "Already exists", id: `layer${index}` })),
      { status: "Downloading", progressDetail: { current: 5, total: 10 }, id: "last" },
      { errorDetail: { message: "reading blob: unexpected EOF (while reconnecting: connection refused)" } },
    ),
  });
  const tries = () => fake.calls.filter((call) => call.includes("/images/pull")).length;
  fake.registry.set("quay.io/a:1", {});
  fake.faults.push(broken(0), { status: 500, body: '{"message":"received unexpected HTTP status: 503 Service Unavailable"}' });
  assert.deepEqual(await podman.pull("quay.io/a:1", undefined, signal), { ok: true, value: undefined });
  assert.equal(tries(), 3);
  fake.faults.push(broken(0), broken(0), broken(1), broken(1), broken(2), broken(2), broken(2), broken(2));
  const pulled = await podman.pull("quay.io/b:1", undefined, signal);
  assert.deepEqual(pulled, {
    ok: false,
    trouble: "pull quay.io/b:1: reading blob: unexpected EOF (while reconnecting: connection refused)",
  });
  assert.equal(tries(), 3 + 7);
});

test("a pull that is refused, or whose registry is not there, is not tried again", async (t) => {
  for (const [status, message] of [
    [401, "unauthorized: authentication required"],
    [404, "manifest unknown: timeout"],
    [429, "toomanyrequests: slow down"],
    [500, "dial tcp 127.0.0.1:5000: connect: connection refused"],
    [500, "lookup quay.io on 192.0.2.1:53: no such host"],
    [500, "writing blob: write /var/tmp/x: no space left on device: unexpected EOF"],
  ] as const) {
    const { fake, podman } = await open(t, { pauses: [1, 1] });
    fake.registry.set("quay.io/a:1", {});
    fake.faults.push({ status, body: JSON.stringify({ message }) });
    assert.equal((await podman.pull("quay.io/a:1", undefined, signal)).ok, false, message);
  }
});

test("a pull that waits for its next try ends at once when it is aborted, and is under way no more", async (t) => {
  const { fake, podman } = await open(t, { pauses: [3_600_000] });
  fake.faults.push({ status: 500, body: '{"message":"read: connection reset by peer"}' });
  const leaving = new AbortController();
  const pulling = podman.pull("quay.io/a:1", undefined, leaving.signal);
  while ((await podman.pulls(signal)).length === 0 || fake.faults.length > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  leaving.abort(new Error("pgo ends"));
  await assert.rejects(pulling, { message: "pgo ends" });
  assert.deepEqual(await podman.pulls(signal), []);
});

test("how far a pull is can be seen while it is under way", async (t) => {
  const { fake, podman } = await open(t);
  fake.faults.push({
    status: 200,
    isOpen: true,
    raw: Buffer.from(
      progress(
        { status: "Already exists", progressDetail: {}, id: "aa" },
        { status: "Pulling fs layer", progressDetail: {}, id: "bb" },
        { status: "Downloading", progressDetail: { current: 5_000_000, total: 20_000_000 }, id: "bb" },
      ),
    ),
  });
  const pulling = podman.pull("quay.io/a:1", undefined, signal);
  pulling.catch(() => undefined);
  let pull;
  do {
    await new Promise((resolve) => setTimeout(resolve, 1));
    [pull] = await podman.pulls(signal);
  } while (pull?.bytes === 0 || pull === undefined);
  assert.deepEqual(pull, { image: "quay.io/a:1", layers: 2, layersDone: 1, bytes: 5_000_000, bytesTotal: 20_000_000, tries: 1 });
});

test("a refusal names the registry, or says that a short name has none", async (t) => {
  const { fake, podman } = await open(t);
  const refused = async (image: string, status: number, message: string) => {
    fake.faults.push({ status, body: JSON.stringify({ message }) });
    const pulled = await podman.pull(image, undefined, signal);
    assert.ok(!pulled.ok);
    return pulled.trouble;
  };
  const asUser = "on the host (as the user that runs pgo) or set AuthFile=";
  assert.equal(
    await refused("docker.io/library/nope", 401, "errors: denied: requested access to the resource is denied"),
    `pull docker.io/library/nope: unauthorized, or there is no such image: run "podman login docker.io --authfile ~/.config/containers/auth.json" ${asUser}`,
  );
  assert.equal(
    await refused("nope", 403, "denied"),
    `pull nope: unauthorized, or there is no such image: run "podman login REGISTRY --authfile ~/.config/containers/auth.json" ${asUser}`,
  );
  assert.equal(
    await refused("nope", 404, "manifest unknown"),
    "pull nope: not found in the registries that the host searches for short names: check name and tag",
  );
  assert.equal(await refused("quay.io/a", 429, "toomanyrequests: slow down"), "pull quay.io/a: toomanyrequests: slow down");
  assert.equal(
    await refused("quay.io/a", 500, "lookup quay.io on 192.0.2.1:53: no such host"),
    "pull quay.io/a: registry quay.io can't be reached: lookup quay.io on 192.0.2.1:53: no such host",
  );
});

test("the same trouble of the network has the same words at each try", async (t) => {
  const { fake, podman } = await open(t);
  const tries = ["[::1]:33924", "[::1]:54696"].map(async (own) => {
    fake.faults.push({
      status: 500,
      body: JSON.stringify({ message: `lookup quay.io on [::1]:53: read udp ${own}->[::1]:53: read: refused` }),
    });
    return await podman.pull("quay.io/a", undefined, signal);
  });
  const trouble = "pull quay.io/a: registry quay.io can't be reached: lookup quay.io on [::1]:53: read udp [::1]:53: read: refused";
  assert.deepEqual(
    await Promise.all(tries),
    [trouble, trouble].map((one) => ({ ok: false, trouble: one })),
  );
});

test("an AuthFile= that can't be used is told, and nothing of it is shown", async (t) => {
  const { fake, podman } = await open(t);
  const pull = async (file: string) => {
    const pulled = await podman.pull("quay.io/a:1", file, signal);
    assert.ok(!pulled.ok);
    return pulled.trouble;
  };
  assert.equal(
    await pull("/nowhere/auth.json"),
    "pull quay.io/a:1: AuthFile=/nowhere/auth.json can't be read where pgo runs (no such file): keep it beside pgo.toml, readable for pgo",
  );
  assert.equal(await pull("%h/auth.json"), "pull quay.io/a:1: AuthFile=%h/auth.json is not an absolute path");
  for (const content of ["s3cret-token", "[]s3cret-token", "null", '{"auths":"s3cret-token"}']) {
    const file = await place(t, content);
    assert.equal(await pull(file), `pull quay.io/a:1: AuthFile=${file} is not an auth file: "podman login --authfile" makes one`);
  }
  assert.deepEqual(fake.calls, []);
});

test("an auth file's logins go along whatever their keys and padding, others are left out", async (t) => {
  const { fake, podman } = await open(t);
  fake.registry.set("quay.io/team/a:1", { login: "ed:pass:word" });
  for (const password of ["pass:word", "pass:word\0\0"]) {
    fake.images.clear();
    const file = await place(
      t,
      JSON.stringify({
        auths: { "quay.io/team": { auth: btoa(`ed:${password}`) }, "ghcr.io": {}, "a.io": { auth: 1 }, "b.io": { auth: "//" } },
      }),
    );
    assert.deepEqual(await podman.pull("quay.io/team/a:1", file, signal), { ok: true, value: undefined });
  }
});

test("a password that an error repeats is ***", async (t) => {
  const { fake, podman } = await open(t);
  fake.faults.push({ status: 500, body: JSON.stringify({ message: 'Get "https://ed:s3cret@auth.example.com/": bad password s3cret' }) });
  assert.deepEqual(await podman.pull("quay.io/a:1", await place(t, authFile({ "quay.io": "ed:s3cret" })), signal), {
    ok: false,
    trouble: 'pull quay.io/a:1: Get "https://***@auth.example.com/": bad password ***',
  });
});

test("a secret that Podman's answer repeats is ***, and one that can't be listed right is an error", async (t) => {
  const { fake, podman } = await open(t);
  const value = 'pl4nted "x"';
  const secret = { name: "db", value: Buffer.from(value), labels: {}, replace: true };
  fake.faults.push({ status: 500, body: JSON.stringify({ message: `driver failed with ${value}` }) });
  assert.deepEqual(await podman.saveSecret(secret, signal), {
    ok: false,
    trouble: "save secret db: podman answers 500: driver failed with ***",
  });
  fake.faults.push("end");
  const broken = await podman.saveSecret(secret, signal);
  assert.ok(!broken.ok);
  assert.match(broken.trouble, /^save secret db: podman socket .*: the connection broke off before the answer was complete$/);
  for (const body of ["[{}]", '[{"ID":"ab","Spec":{}}]', '[{"ID":"../x","UpdatedAt":"2026-01-01T00:00:00Z","Spec":{"Name":"a"}}]', "{}"]) {
    fake.faults.push({ status: 200, body });
    await assert.rejects(podman.secrets(signal), { message: "list secrets: podman's answer is not as expected" });
  }
  fake.makeSecret("db", "x");
  fake.faults.push("none", { status: 500, body: '{"message":"locked"}' });
  assert.deepEqual(await podman.removeSecret("db", signal), { ok: false, trouble: "remove secret db: podman answers 500: locked" });
});

test("closing ends the calls under way", async (t) => {
  const { fake, podman } = await open(t);
  fake.faults.push("hang", "hang");
  const calls = [podman.containers(signal), podman.pull("quay.io/a:1", undefined, signal)];
  const ends = Promise.all(calls.map((call) => assert.rejects(call, { message: "the connection to podman is closed" })));
  await podman[Symbol.asyncDispose]();
  await ends;
});

test("an end of pgo's ends what it waits for of Podman, a pull too, with its own reason and no trouble", async (t) => {
  const { fake, podman } = await open(t);
  const ending = new AbortController();
  fake.faults.push("hang", "hang", "hang");
  const calls = [
    podman.containers(ending.signal),
    podman.pull("quay.io/a:1", undefined, ending.signal),
    podman.exec("web", { run: ["true"], user: undefined, limit: 100 }, ending.signal),
  ];
  const ends = Promise.all(calls.map((call) => assert.rejects(call, { message: "ended by SIGTERM" })));
  ending.abort(new Error("ended by SIGTERM"));
  await ends;
});

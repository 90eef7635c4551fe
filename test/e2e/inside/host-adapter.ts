/** Tests of the host adapter that run on a test host itself, as root or as edge; host-adapter.test.ts brings them there. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { openHost, quadletSearchPath, type HostOptions, type LocalHost } from "../../../src/adapters/host/host.ts";
import type { BundleFile } from "../../../src/core/bundle.ts";
import { fileDigest } from "../../../src/core/files.ts";
import { applicationId, applicationName, relativePath, serviceName, sourceName, type ServiceName } from "../../../src/core/names.ts";
import type { ServiceState } from "../../../src/ports.ts";

const rootful = process.getuid?.() === 0;
const home = process.env["HOME"] ?? "/root";
const runtime = process.env["XDG_RUNTIME_DIR"] ?? "/run";
const config = join(home, ".config");
const quadlets = rootful ? "/etc/containers/systemd" : join(config, "containers/systemd");
const options: HostOptions = {
  mode: rootful ? "rootful" : "rootless",
  quadletDirectory: join(quadlets, "pgo"),
  unitDirectory: rootful ? "/etc/systemd/system" : join(config, "systemd/user"),
  stateDirectory: rootful ? "/var/lib/pgo" : join(home, ".local/share/pgo"),
  busAddress: rootful ? "unix:path=/run/dbus/system_bus_socket" : `unix:path=${runtime}/bus`,
  searchPath: quadletSearchPath(rootful ? { mode: "rootful" } : { mode: "rootless", uid: process.getuid?.() ?? 0, config, runtime }),
  generator: undefined,
  clock: {
    now: () => new Date(),
    monotonic: () => performance.now(),
    sleep: () => Promise.reject(new Error("the host adapter does not sleep")),
    chance: () => 0,
  },
};
const never = new AbortController().signal;
const shop = applicationId(sourceName("fleet"), applicationName("shop"));
const journal = rootful ? "journalctl -u" : "journalctl --user -u";

let host: LocalHost;
before(async () => {
  host = await openHost(options, never);
});
after(async () => {
  // So that a second run on the same host begins like the first.
  systemctl("reset-failed");
  await host[Symbol.asyncDispose]();
});

function systemctl(...args: readonly string[]): string {
  return execFileSync("systemctl", [...(rootful ? [] : ["--user"]), ...args], { encoding: "utf8" }).trim();
}

function file(path: string, text: string): BundleFile {
  const content = Buffer.from(text);
  return { path: relativePath(path), mode: 0o644, content, digest: fileDigest(0o644, content) };
}

const container = (more: string, image = "localhost/test/web:good"): string =>
  `[Container]\nImage=${image}\nPull=never\nNetwork=none\n${more}\n[Service]\nTimeoutStopSec=2\n`;

async function live(...files: readonly BundleFile[]): Promise<void> {
  for (const one of files) await host.write(shop, one, never);
  await host.reload(never);
}

async function state(name: string): Promise<ServiceState> {
  const service = serviceName(name);
  const found = (await host.services([service], never)).get(service);
  assert.ok(found);
  return found;
}

/** A plain unit of systemd, beside all quadlets. */
function unit(name: string, text: string): ServiceName {
  const directory = rootful ? "/run/systemd/system" : join(runtime, "systemd/user");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, name), text);
  return serviceName(name);
}

test("a quadlet that is written, read and started runs, and its state says so", async () => {
  await live(file("web.container", container("")));
  const loaded = await state("web.service");
  assert.equal(loaded.load, "loaded");
  assert.equal(loaded.active, "inactive");
  assert.equal(loaded.activeSince, undefined);
  assert.equal(loaded.invocation, "");
  assert.deepEqual(await host.job("start", serviceName("web.service"), never), { ok: true, value: undefined });
  const { activeSince, invocation, fragment, source, ...rest } = await state("web.service");
  assert.deepEqual(rest, { load: "loaded", active: "active", sub: "running", result: "success", exitStatus: 0, restarts: 0 });
  assert.equal(source, join(options.quadletDirectory, shop, "web.container"));
  assert.match(fragment, /\/generator\/web\.service$/);
  assert.match(invocation, /^[0-9a-f]{32}$/);
  assert.ok(activeSince && Math.abs(Date.now() - activeSince.getTime()) < 30_000);
  assert.equal(invocation, systemctl("show", "--property=InvocationID", "--value", "web.service"));

  assert.ok((await host.job("restart", serviceName("web.service"), never)).ok);
  assert.notEqual((await state("web.service")).invocation, invocation);
  assert.ok((await host.job("stop", serviceName("web.service"), never)).ok);
  assert.notEqual((await state("web.service")).active, "active");
});

test("systemd's count of restarts, and why a service ended, are in its state", async () => {
  const loop = unit(
    "loop.service",
    "[Service]\nExecStart=/bin/sh -c 'sleep 0.1; exit 7'\nRestart=always\nRestartSec=100ms\n[Unit]\nStartLimitBurst=3\n",
  );
  const killed = unit("killed.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'kill -9 $$$$'\n");
  await host.reload(never);
  assert.ok((await host.job("start", loop, never)).ok);
  let now = await state(loop);
  for (let tries = 0; now.active !== "failed" && tries < 100; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    now = await state(loop);
  }
  // systemd 257 keeps the first reason, later ones give the last.
  assert.match(now.result, /^(?:exit-code|start-limit-hit)$/);
  assert.deepEqual([now.active, now.exitStatus, now.restarts], ["failed", 7, 3]);
  assert.ok(!(await host.job("start", loop, never)).ok, "systemd has had enough of it");
  await host.resetFailed(loop, never);
  assert.equal((await state(loop)).active, "inactive");
  assert.ok((await host.job("start", loop, never)).ok);

  const trouble = await host.job("start", killed, never);
  assert.deepEqual(trouble, { ok: false, trouble: `start killed.service: job failed (signal, SIGKILL): see ${journal} killed.service` });
});

test("a change of a known unit is heard once for each state, also one that nobody ordered, and nothing of others", async () => {
  const known = unit("heard.service", "[Service]\nExecStart=/bin/sleep infinity\n");
  const other = unit("unheard.service", "[Service]\nExecStart=/bin/sleep infinity\n");
  await host.reload(never);
  const stop = new AbortController();
  const heard: (ServiceName | undefined)[] = [];
  const hearing = host.changes.hear(
    { known: (name) => (name === known ? known : undefined), heard: (one) => heard.push(one) },
    stop.signal,
  );
  // What a call of ours causes is heard before its answer; the first one only says that the listening has begun.
  for (let tries = 0; heard.length === 0 && tries < 100; tries++) await host.job("restart", known, never);
  assert.ok((await host.job("start", known, never)).ok);
  heard.length = 0;
  assert.ok((await host.job("start", other, never)).ok);
  await host.reload(never);
  assert.deepEqual(heard, [], "neither another unit's start nor a reload is a change of it");
  systemctl("kill", "--signal=SIGKILL", known);
  for (let tries = 0; (await state(known)).active !== "failed" && tries < 100; tries++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(heard, [known], "it failed");
  await host.resetFailed(known, never);
  assert.ok((await host.job("start", known, never)).ok);
  assert.deepEqual(heard, [known, known, known], "it was set back, and became active");
  stop.abort();
  await hearing;
});

test("a job that fails tells systemd's result and where to read on", async () => {
  await live(file("broken.container", container("", "localhost/test/absent:1")));
  assert.deepEqual(await host.job("restart", serviceName("broken.service"), never), {
    ok: false,
    trouble: `restart broken.service: job failed (exit-code, exit 125): see ${journal} broken.service`,
  });
  await host.resetFailed(serviceName("broken.service"), never);
  assert.equal((await state("broken.service")).active, "inactive");
});

test("a job whose dependency fails names the dependency", async () => {
  await live(
    file("broken.container", container("", "localhost/test/absent:1")),
    file("front.container", `[Unit]\nRequires=broken.service\nAfter=broken.service\n${container("")}`),
    file("orphan.container", `[Unit]\nRequires=nowhere.service\n${container("")}`),
  );
  const front = await host.job("start", serviceName("front.service"), never);
  assert.deepEqual(front, {
    ok: false,
    trouble: `start front.service: job dependency (broken.service: exit-code, exit 125): see ${journal} front.service`,
  });
  const orphan = await host.job("start", serviceName("orphan.service"), never);
  assert.deepEqual(orphan, { ok: false, trouble: "start orphan.service: Unit nowhere.service not found" });
});

test("what is nowhere is not found, what is only on disk is found with its file, and templates by their file too", async () => {
  // Of the distribution, and nothing has started it.
  const onDisk = serviceName(rootful ? "systemd-bless-boot.service" : "podman-auto-update.service");
  unit("many@.service", "[Service]\nExecStart=/bin/true\n");
  await host.reload(never);
  const names = ["nope.service", "nope@.service", "many@.service", "basic.target", onDisk, "dbus.socket"].map(serviceName);
  const states = await host.services(names, never);
  assert.deepEqual([...states.keys()], names);
  const at = (index: number): ServiceState | undefined => states.get(names[index] ?? serviceName("x.service"));
  assert.deepEqual([at(0)?.load, at(0)?.active, at(0)?.fragment], ["not-found", "inactive", ""]);
  assert.equal(at(1)?.load, "not-found");
  assert.match(at(2)?.fragment ?? "", /\/many@\.service$/);
  assert.deepEqual([at(3)?.active, at(3)?.result], ["active", "success"]);
  assert.equal(at(5)?.active, "active");
  if (!rootful) assert.match(at(4)?.fragment ?? "", /^\/usr\/lib\/systemd\/user\//);
  assert.equal((await host.services([], never)).size, 0);
});

test("systemd's own environment is read as it is, with = and line breaks in its values", async () => {
  const set = (...assignments: string[]) => systemctl("set-environment", ...assignments);
  set("PGO_TEST_A=a=b", "PGO_TEST_B=ü \"'$X#", "PGO_TEST_C=two\nlines", "PGO_TEST_D=");
  const environment = await host.managerEnvironment(never);
  const found = ["A", "B", "C", "D"].map((one) => environment.get(`PGO_TEST_${one}`));
  assert.deepEqual(found, ["a=b", "ü \"'$X#", "two\nlines", ""]);
  assert.ok(environment.has("PATH"));
});

test("to stop or reset what systemd does not know is no trouble, to start it is", async () => {
  const nope = serviceName("nope.service");
  assert.ok((await host.job("stop", nope, never)).ok);
  await host.resetFailed(nope, never);
  assert.deepEqual(await host.job("start", nope, never), { ok: false, trouble: "start nope.service: Unit nope.service not found" });
});

test("an aborted signal ends the wait for a job at once, and the job goes on", async () => {
  const slow = unit("slow.service", "[Service]\nType=oneshot\nExecStart=/bin/sleep 1\n");
  await host.reload(never);
  const began = performance.now();
  await assert.rejects(host.job("start", slow, AbortSignal.timeout(200)), { name: "TimeoutError" });
  assert.ok(performance.now() - began < 900);
  assert.equal((await state(slow)).active, "activating");
  assert.ok((await host.job("start", slow, never)).ok);
  assert.equal((await state(slow)).active, "inactive");
});

test("twenty jobs and reloads at once each get their own result", async () => {
  const units = Array.from({ length: 20 }, (_, index) =>
    unit(`quick${String(index)}.service`, `[Service]\nType=oneshot\nExecStart=/bin/sh -c 'exit ${String(index % 2)}'\n`),
  );
  await Promise.all([host.reload(never), host.reload(never)]);
  const results = await Promise.all(units.map((name) => host.job("start", name, never)));
  assert.deepEqual(
    results.map(({ ok }) => ok),
    units.map((_, index) => index % 2 === 0),
  );
});

test("the dry run judges the candidates among foreign quadlets, changes nothing and leaves nothing", async () => {
  const foreign = { "shared.network": "[Network]\n", "own.container": container(""), "bad/bad.container": "[Container\n" };
  for (const [path, text] of Object.entries(foreign)) {
    mkdirSync(join(quadlets, path, ".."), { recursive: true });
    writeFileSync(join(quadlets, path), text);
  }
  const other = applicationId(sourceName("fleet"), applicationName("other"));
  const good = file("good.container", "[Container]\nImage=localhost/test/web:good\nNetwork=shared.network\nVolume=data.volume:/data\n");
  const staged = new Map([
    [shop, [good, file("conf/site.conf", "x"), file("good.container.d/10.conf", "[Container]\nEnvironment=A=1\n")]],
    [
      other,
      [
        file("data.volume", "[Volume]\n"),
        file("key.container", "[Container]\nImage=localhost/test/web:good\nPublishPorts=80\n"),
        file("lost.container", "[Container]\nImage=localhost/test/web:good\nNetwork=absent.network\n"),
        file("sub/garbage.container", "[Container]\nImage=localhost/test/web:good\nthis is no line\n"),
        file("good2.container", "[Container]\nImage=localhost/test/web:good\n"),
        file("good2.container.d/x.conf", "garbage\n"),
      ],
    ],
  ]);
  const { stdout, stderr, root } = await host.dryRun(staged, new Set(), never);
  assert.match(stdout, /---good\.service---/);
  assert.match(stdout, /--network systemd-shared/);
  assert.match(stdout, /--env A=1/);
  assert.match(stdout, /-v systemd-data:\/data/);
  assert.match(stdout, new RegExp(`SourcePath=${root}/fleet/shop/good\\.container`));
  assert.match(stdout, /---own\.service---/);
  assert.ok(stderr.includes(`unsupported key 'PublishPorts' in group 'Container' in ${root}/fleet/other/key.container`));
  assert.match(stderr, /converting "lost\.container": requested Quadlet unit absent\.network was not found/);
  assert.ok(stderr.includes(`error loading "${root}/fleet/other/sub/garbage.container"`));
  assert.ok(stderr.includes(`error loading "${root}/fleet/other/good2.container.d/x.conf"`));
  assert.ok(stderr.includes(`error loading "${join(quadlets, "bad/bad.container")}"`), "a foreign file goes by its own path");
  assert.equal((await host.foreign(() => true, never)).get("shared.network"), join(quadlets, "shared.network"));
  for (const directory of ["staging", "runs"]) assert.deepEqual(readdirSync(join(options.stateDirectory, directory)), []);
  assert.doesNotMatch(systemctl("list-units", "--all", "pgo-run-*", "--plain", "--no-legend"), /pgo-run/);
  for (const path of ["shared.network", "own.container", "bad"]) rmSync(join(quadlets, path), { recursive: true });
});

test("the generator says the same of quadlets that are staged together and apart", async () => {
  const image = "Image=localhost/test/web:good\n";
  const applications = {
    shop: [
      file(
        "web.container",
        `[Unit]\nAfter=db.container\n[Container]\n${image}Volume=./conf:/c\nVolume=.:/a\nNetwork=net.network\nPod=p.pod\n`,
      ),
      file("web.container.d/10.conf", "[Container]\nVolume=./more:/m\nVolume=data.volume:/d\n[Service]\nSetWorkingDirectory=unit\n"),
      file("deep/er/db.container", `[Container]\n${image}EnvironmentFile=./db.env\nNetwork=web.container\n`),
    ],
    infra: [
      file("net.network", "[Network]\n"),
      file("data.volume", "[Volume]\n"),
      file("p.pod", "[Pod]\n"),
      file("container.d/all.conf", "[Container]\nLabel=all=1\n"),
      file("made.build", "[Build]\nImageTag=localhost/made\nFile=./Containerfile\nSetWorkingDirectory=unit\n"),
      file("user.container", "[Container]\nImage=made.build\n"),
      file("kube.kube", "[Kube]\nYaml=./kube.yaml\n"),
      file("lost.container", `[Container]\n${image}Network=absent.network\n`),
      file("key.container", `[Container]\n${image}PublishPorts=80\n`),
    ],
  };
  const said = async (more: Readonly<Record<string, readonly BundleFile[]>>) => {
    const all = Object.entries({ ...applications, ...more });
    const staged = new Map(all.map(([name, files]) => [applicationId(sourceName("fleet"), applicationName(name)), files]));
    const { stdout, stderr, root } = await host.dryRun(staged, new Set(), never);
    const words = stderr.replaceAll(/^\S*quadlet-generator\[\d+\]: /gm, "").split("\n");
    const lines = words.filter((line) => !line.includes("/torn/") && !line.startsWith("processing encountered"));
    return {
      units: stdout
        .replaceAll(root, "ROOT")
        .split(/^(?=---\S+---$)/m)
        .sort(),
      words: lines.map((line) => line.replaceAll(root, "ROOT")).sort(),
    };
  };
  const together = await said({});
  const web = together.units.find((text) => text.startsWith("---web.service---"));
  assert.match(web ?? together.words.join("\n"), /-v ROOT\/fleet\/shop\/conf:\/c -v ROOT\/fleet\/shop:\/a/);
  assert.ok(together.words.some((line) => line.includes("absent.network")));
  // A file that can't be parsed is what has them staged apart.
  assert.deepEqual(await said({ torn: [file("torn.container", "this is no line\n")] }), together);
});

test("of two quadlets with one name the dry run takes the one that would be live", async () => {
  writeFileSync(join(quadlets, "twice.container"), "[Container]\nImage=localhost/foreign:1\n");
  const staged = new Map([[shop, [file("twice.container", "[Container]\nImage=localhost/candidate:1\n")]]]);
  const { stdout } = await host.dryRun(staged, new Set(), never);
  await live(file("twice.container", "[Container]\nImage=localhost/candidate:1\n"));
  const shown = systemctl("cat", "twice.service");
  assert.match(shown, /localhost\/foreign:1/);
  assert.match(stdout, /localhost\/foreign:1/);
  rmSync(join(quadlets, "twice.container"));
});

test("a program of the host gives its output, its exit code and its arguments as they were given", async () => {
  const script = 'echo "$1 $PGO_WORD"; echo trouble >&2; exit 3';
  const ran = await host.run(
    ["/bin/sh", "-c", script, "sh", "$HOME %n ${X}"],
    { environment: { PGO_WORD: "a b=%c" }, deadlineMs: 5000 },
    never,
  );
  assert.deepEqual(ran, { code: 3, stdout: "$HOME %n ${X} a b=%c\n", stderr: "trouble\n" });
  assert.equal((await host.run(["/bin/sh", "-c", "kill -9 $$"], { deadlineMs: 5000 }, never)).code, 137);
  assert.equal((await host.run(["/nowhere/program"], { deadlineMs: 5000 }, never)).code, 203);
});

test("a program of the host ends at its deadline, and when its caller goes", async () => {
  await assert.rejects(
    host.run(["/bin/sleep", "41"], { deadlineMs: 300 }, never),
    /run \/bin\/sleep on the host: not finished after 0.3 s/,
  );
  await assert.rejects(host.run(["/bin/sleep", "42"], { deadlineMs: 60_000 }, AbortSignal.timeout(300)), { name: "TimeoutError" });
  await new Promise((resolve) => setTimeout(resolve, 300));
  const sleeping = execFileSync("ps", ["-eo", "args"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => /sleep 4[12]/.test(line));
  assert.deepEqual(sleeping, []);
});

test("what systemd knows of a unit's resources is asked for many at once, and what it does not know is none", async () => {
  const limited = unit("a-limited.service", "[Service]\nExecStart=/bin/sleep 1000\nMemoryMax=64M\n");
  const plain = unit("1plain@x.service", "[Service]\nExecStart=/bin/sleep 1000\n");
  await host.reload(never);
  for (const one of [limited, plain]) assert.deepEqual(await host.job("start", one, never), { ok: true, value: undefined });
  assert.deepEqual(await host.memoryLimits([limited, plain, serviceName("nowhere.service")], never), new Map([[limited, 64 * 2 ** 20]]));
  for (const one of [limited, plain]) await host.job("stop", one, never);
});

test("kills for want of memory are counted by service, of this host's systemd or this user's", async () => {
  const before = await host.oomKills(never);
  assert.deepEqual(before, { ok: true, value: new Map() });
  // As systemd says it; the kernel of this host does not kill by cgroup.
  const entry = (unit: string) => `MESSAGE_ID=fe6faa94e7774663a0da52717891d8ef\nMESSAGE=x\n${rootful ? "UNIT" : "USER_UNIT"}=${unit}\n`;
  for (const one of ["web.service", "web.service", "db.service", "other.scope"])
    execFileSync("logger", ["--journald"], { input: entry(one) });
  let kills: Awaited<ReturnType<LocalHost["oomKills"]>> = before;
  for (let tries = 0; kills.ok && kills.value.get(serviceName("db.service")) === undefined && tries < 50; tries++)
    kills = await host.oomKills(never);
  assert.deepEqual(kills, {
    ok: true,
    value: new Map([
      [serviceName("web.service"), 2],
      [serviceName("db.service"), 1],
    ]),
  });
});

test("a health check on the host runs as its user, is cut in what it writes, and leaves neither unit nor file nor a line in the journal", async () => {
  const runs = () => readdirSync(join(options.stateDirectory, "runs"));
  const check = (line: string, user?: string, deadlineMs = 5000) =>
    host.runOnHost({ run: ["sh", "-c", line], user, limit: 16_384 }, deadlineMs, never);
  assert.deepEqual(await check("id -un; echo '$HOME' >&2; exit 3"), {
    ok: true,
    value: { code: 3, output: `${rootful ? "root" : "edge"}\n$HOME\n` },
  });
  const nobody = await check("id -un; ls -l /proc/self/fd/1 | cut -c 1-10", "nobody");
  if (rootful) assert.deepEqual(nobody, { ok: true, value: { code: 0, output: "nobody\nl-wx------\n" } });
  else assert.match(nobody.ok ? "" : nobody.trouble, /^pgo is rootless, .* leave user = "nobody" out$/);
  if (rootful) assert.deepEqual(await check("true", "nobody9"), { ok: false, trouble: "there is no such user on the host (exit 217)" });
  assert.deepEqual(await host.runOnHost({ run: ["/nowhere/x"], user: undefined, limit: 9 }, 5000, never), {
    ok: false,
    trouble: "systemd can't execute it (exit 203)",
  });
  const endless = await check("exec yes");
  assert.deepEqual(endless, { ok: true, value: { code: 128 + 25, output: "y\n".repeat(8192) } });
  // What does not heed SIGTERM, and has left its shell behind, is ended too.
  const stubborn = "trap '' TERM; sleep 4321 & while :; do sleep 4321; done";
  const within = host.runOnHost({ run: ["sh", "-c", stubborn], user: undefined, limit: 9 }, 60_000, AbortSignal.timeout(300));
  await assert.rejects(within, { name: "TimeoutError" });
  await assert.rejects(check(stubborn, undefined, 300), /not finished after 1\.3 s/);
  const names = () => systemctl("list-units", "--all", "--no-legend", "pgo-check-*");
  for (let tries = 0; names() !== "" && tries < 50; tries++) await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(names(), "");
  assert.deepEqual(runs(), []);
  assert.throws(() => execFileSync("pgrep", ["-f", "sleep 4321"]));
  if (rootful)
    assert.doesNotMatch(execFileSync("journalctl", ["-q", "-o", "cat", "-b"], { encoding: "utf8" }), /Health check of pgo|pgo-check-/);
});

test("the states of 200 services, asked for twice at once, don't run into the bus's limits", async () => {
  const units = Array.from({ length: 200 }, (_, index) => unit(`state${String(index)}.service`, "[Service]\nExecStart=/bin/true\n"));
  await host.reload(never);
  const began = performance.now();
  const states = await Promise.all([host.services(units, never), host.services(units, never)]);
  assert.deepEqual(
    states.map(({ size }) => size),
    [200, 200],
  );
  assert.ok(performance.now() - began < 10_000);
});

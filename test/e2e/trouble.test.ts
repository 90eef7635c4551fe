/** Trouble around pgo: Git, Podman or the bus away, histories rewritten, pgo stopped or killed. Told once, nothing that runs is harmed, and it passes by itself. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Installed, web } from "./installed.ts";

const fleet = { "shop/web.container": web("good", 8081), "blog/blog.container": web("good", 8082) };

/** Both are healthy; answers how much pgo has logged so far. */
async function ready(pgo: Installed): Promise<number> {
  await pgo.deployed("shop", "blog");
  return (await pgo.log()).length;
}

/** What pgo logged since, but what it says of applications that it rolled out or put right. */
async function troubles(pgo: Installed, since: number): Promise<readonly string[]> {
  return (await pgo.log()).slice(since).filter((line) => !/^fleet@\w+ \w+ (?:deployed|repaired):/.test(line));
}

test("a Git server that is away is told once, what runs is kept as it was last good, and its next commit is followed by itself", async (t) => {
  const pgo = await Installed.up(t, { files: fleet });
  const since = await ready(pgo);
  const before = await pgo.services("web.service", "blog.service");

  await pgo.host.systemctl(["stop", "ssh.service"]);
  const commit = await pgo.repository.commit({ "shop/web.container": web("v2", 8081) });
  await pgo.host.waitFor("the source to be failed", async () => (await pgo.status()).sources[0]?.state === "failed");
  await pgo.polls(3);
  assert.deepEqual(await pgo.services("web.service", "blog.service"), before, "nothing that runs was touched");
  assert.equal(await pgo.page(8081), "good");
  const status = await pgo.status();
  assert.equal(status.healthy, false);
  assert.equal(status.sources[0]?.message, "connect to host 127.0.0.1 port 22: Connection refused");
  // The poll that is under way when the server goes has its connection reset.
  const [away = "", ...more] = await troubles(pgo, since);
  assert.match(away, /^source fleet failed: .*127\.0\.0\.1 port 22.*; what runs is kept, and it is tried again$/);
  assert.deepEqual(more, []);

  // The host is looked after meanwhile.
  await pgo.host.systemctl(["stop", "blog.service"]);
  await pgo.host.waitFor("blog to be repaired", async () => (await pgo.application("blog"))?.outcome === "repaired", 60_000);
  assert.ok(await pgo.isActive("blog.service"));

  await pgo.host.systemctl(["start", "ssh.service"]);
  await pgo.outcome("shop", commit, "deployed");
  assert.equal(await pgo.page(8081), "v2");
  assert.deepEqual(await troubles(pgo, since), [away, `source fleet recovered: read again, at ${commit.slice(0, 7)}`]);
});

test("a branch that was force-pushed is told once and followed, and only what differs restarts", async (t) => {
  const pgo = await Installed.up(t, { files: fleet });
  const begin = await pgo.repository.head();
  await ready(pgo);
  const gone = await pgo.repository.commit({ "shop/web.container": web("v2", 8081) });
  await pgo.outcome("shop", gone, "deployed");
  const since = (await pgo.log()).length;
  const { "blog.service": blog } = await pgo.services("blog.service");

  await pgo.repository.reset(begin);
  const forced = await pgo.repository.commit({ "shop/note.txt": "another history\n" });
  await pgo.outcome("shop", forced, "deployed");
  await pgo.polls(3);
  assert.equal(await pgo.page(8081), "good");
  assert.deepEqual((await pgo.services("blog.service"))["blog.service"], blog);
  assert.deepEqual(await troubles(pgo, since), [
    `source fleet rewritten: ${gone.slice(0, 7)} is no ancestor of ${forced.slice(0, 7)}, which is followed (a forced push)`,
  ]);
});

test("a repository that was emptied by mistake, or lost its branch, takes nothing away and is told once each", async (t) => {
  const pgo = await Installed.up(t, { files: fleet });
  const since = await ready(pgo);
  const before = await pgo.fingerprint();
  const good = await pgo.repository.head();

  const empty = await pgo.repository.commit({ shop: null, blog: null });
  await pgo.host.waitFor("the source to be failed", async () => (await pgo.status()).sources[0]?.state === "failed");
  await pgo.polls(3);
  const plan = await pgo.ctl("plan");
  assert.equal(plan.code, 1);
  assert.match(plan.stderr, /^plan fleet: revision \w{7} holds no application where there were 2: nothing is removed/);
  assert.equal(await pgo.fingerprint(), before);
  assert.deepEqual(await troubles(pgo, since), [
    `source fleet failed: revision ${empty.slice(0, 7)} holds no application where there were 2: nothing is removed; set allow_empty = true for this source if it is meant; what runs is kept`,
  ]);

  await pgo.repository.git("update-ref", "-d", "refs/heads/main");
  await pgo.host.waitFor("the missing branch to be told", async () => (await troubles(pgo, since)).length > 1, 60_000);
  await pgo.polls(3);
  assert.equal(await pgo.fingerprint(), before);
  const [, noBranch = "", ...more] = await troubles(pgo, since);
  assert.match(noBranch, /^source fleet failed: .*(?:branch|HEAD).*; what runs is kept$/);
  assert.deepEqual(more, []);

  await pgo.repository.reset(good);
  await pgo.host.waitFor("the source to be read again", async () => (await pgo.status()).sources[0]?.state === "ok", 60_000);
  const fixed = await pgo.repository.commit({ "shop/web.container": web("v2", 8081) });
  await pgo.outcome("shop", fixed, "deployed");
  assert.deepEqual((await troubles(pgo, since)).slice(2), [`source fleet recovered: read again, at ${good.slice(0, 7)}`]);
});

const noSocket = "podman socket /run/podman/podman.sock: connection refused: is podman.socket running? (systemctl start podman.socket)";

test("a Podman that does not answer is told once, as the host's trouble, and what waited for it is done when it answers", async (t) => {
  const pgo = await Installed.up(t, { files: fleet });
  const since = await ready(pgo);
  await pgo.host.systemctl(["stop", "podman.socket", "podman.service"]);
  const away = `the host can't be worked on: list containers: ${noSocket}; what runs goes on, and it is tried again at each poll`;
  await pgo.host.waitFor("the trouble to be told", async () => (await troubles(pgo, since)).length > 0);
  const commit = await pgo.repository.commit({ "shop/web.container": web("v2", 8081) });
  await pgo.host.systemctl(["stop", "blog.service"]);
  await pgo.host.sh("sleep 12");
  assert.deepEqual(await troubles(pgo, since), [away]);
  assert.equal(await pgo.page(8081), "good");
  const status = await pgo.status();
  assert.deepEqual(
    {
      healthy: status.healthy,
      trouble: status.trouble,
      source: status.sources[0]?.state,
      outcomes: status.applications.map(({ outcome }) => outcome),
    },
    { healthy: false, trouble: `list containers: ${noSocket}`, source: "ok", outcomes: ["deployed", "deployed"] },
  );
  const sync = await pgo.ctl("sync", "--wait");
  assert.deepEqual(
    { code: sync.code, told: sync.stderr },
    { code: 1, told: `the host can't be worked on: list containers: ${noSocket}\n` },
  );

  await pgo.host.systemctl(["start", "podman.socket"]);
  await pgo.outcome("shop", commit, "deployed");
  await pgo.host.waitFor("blog to be repaired", async () => (await pgo.application("blog"))?.outcome === "repaired", 60_000);
  assert.equal(await pgo.page(8081), "v2");
  assert.deepEqual(await troubles(pgo, since), [away, "the host can be worked on again: systemd and Podman answer"]);
});

test("a rollout that loses Podman while it is verified is neither undone nor forgotten", async (t) => {
  const config = '[quadlet]\ndrift_interval = "3s"\n[health]\ndeadline = "5s"\ninterval = "500ms"\nmin_healthy_time = "3s"\n';
  const pgo = await Installed.up(t, { files: fleet, config });
  await ready(pgo);
  const commit = await pgo.repository.commit({ "shop/web.container": web("v2", 8081) });
  await pgo.host.waitFor("the verification", async () => (await pgo.application("shop"))?.phase === "verifying");
  await pgo.host.systemctl(["stop", "podman.socket", "podman.service"]);
  await pgo.host.sh("sleep 15");
  assert.equal((await pgo.application("shop"))?.phase, "verifying");
  await pgo.host.systemctl(["start", "podman.socket"]);
  await pgo.outcome("shop", commit, "deployed");
  const told = (await pgo.history("shop")).filter(({ revision }) => revision === commit);
  assert.deepEqual(
    told.map(({ outcome }) => outcome),
    ["deployed"],
  );
});

test("a bus that restarts is found again: unnoticed between two looks, and in the middle of a rollout without harm", async (t) => {
  const pgo = await Installed.up(t, { files: { ...fleet, "shop/web.container": web("stubborn", 8081) } });
  const since = await ready(pgo);
  await pgo.host.systemctl(["restart", "dbus.socket", "dbus.service"]);
  await pgo.host.systemctl(["stop", "blog.service"]);
  await pgo.host.waitFor("blog to be repaired", async () => (await pgo.application("blog"))?.outcome === "repaired", 60_000);

  // Stopping the old one takes ten seconds.
  const commit = await pgo.repository.commit({ "shop/web.container": web("v2", 8081) });
  await pgo.host.waitFor("the restart", async () => (await pgo.services("web.service"))["web.service"]?.active === "deactivating");
  await pgo.host.systemctl(["restart", "dbus.socket", "dbus.service"]);
  await pgo.outcome("shop", commit, "deployed");
  assert.equal(await pgo.page(8081), "v2");
  assert.deepEqual(
    (await pgo.history("shop")).map(({ outcome }) => outcome),
    ["deployed", "deployed"],
  );
  assert.deepEqual(await troubles(pgo, since), []);
});

test("a bus that is away for a while is told once, as the host's trouble, and found again", async (t) => {
  const pgo = await Installed.up(t, { files: fleet });
  const since = await ready(pgo);
  await pgo.host.systemctl(["stop", "dbus.socket", "dbus.service"]);
  await pgo.host.waitFor("the trouble to be told", async () => (await troubles(pgo, since)).length > 0);
  const commit = await pgo.repository.commit({ "shop/web.container": web("v2", 8081) });
  await pgo.host.sh("sleep 12");
  assert.equal(await pgo.page(8081), "good");
  await pgo.host.systemctl(["start", "dbus.socket"]);
  await pgo.outcome("shop", commit, "deployed");
  const [away = "", ...after] = await troubles(pgo, since);
  assert.match(away, /^the host can't be worked on: connect to systemd at unix:path=\/run\/dbus\/system_bus_socket: .*; what runs goes on/);
  assert.deepEqual(after, ["the host can be worked on again: systemd and Podman answer"]);
});

test("what a killed pgo left keeps the next one from nothing, a second one ends, and a read-only disk is waited for", async (t) => {
  const pgo = await Installed.up(t, { files: fleet });
  await ready(pgo);
  const socket = (await pgo.host.sh("find /var/lib/pgo -type s")).trim();
  assert.match(socket, /^\S+$/);
  await pgo.host.systemctl(["stop", "podman.socket"], { check: false });
  await pgo.host.systemctl(["start", "podman.socket"]);
  // A file system of its own, that can be made read-only; the next container has it.
  const { quadlets } = pgo.host;
  await pgo.host.sh(`cp -a ${quadlets} /run/q && mount -t tmpfs -o mode=0755 tmpfs ${quadlets} && cp -a /run/q/. ${quadlets}/`);
  await pgo.host.sh("kill -9 $(podman inspect --format '{{.State.Pid}}' pgo)");
  await pgo.host.waitFor("the dead pgo to be gone", async () => !(await pgo.isActive("pgo.service")));
  assert.ok(await pgo.host.exists(socket), "the dead one left its socket");
  await pgo.host.waitFor("the next pgo", async () => (await pgo.isActive("pgo.service")) && (await pgo.status()).healthy, 60_000);
  assert.deepEqual(
    (await pgo.history()).map(({ outcome }) => outcome),
    ["deployed", "deployed"],
  );

  // In a network of its own, and with another name: only the state directory is the same.
  const mounts = ["--volume=/etc/pgo:/etc/pgo:ro", "--volume=/var/lib/pgo:/var/lib/pgo", "--env=PGO_MODE=rootful"];
  const second = pgo.host.exec(["podman", "run", "--rm", "--network=none", ...mounts, "localhost/pgo:latest", "run"], { check: false });
  await pgo.host.sh(`mount -o remount,ro ${quadlets}`);
  const commit = await pgo.repository.commit({ "shop/web.container": web("v2", 8081) });
  const held = await pgo.outcome("shop", commit, "held");
  assert.match(held.message ?? "", /^write below \S+\/pgo: the file system is read-only: .*remount,rw/);
  assert.equal(await pgo.page(8081), "good");
  await pgo.host.sh(`mount -o remount,rw ${quadlets}`);
  await pgo.outcome("shop", commit, "deployed");
  assert.equal(await pgo.page(8081), "v2");
  const { code, stderr } = await second;
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^pgo: another pgo runs on the state directory \/var\/lib\/pgo and has locked .*: only one may, stop the other one$/m,
  );
});

test("a SIGTERM ends pgo within five seconds, also in the middle of a rollout, which the next start brings to its end", async (t) => {
  const pgo = await Installed.up(t, { files: { ...fleet, "shop/web.container": web("stubborn", 8081) } });
  const since = await ready(pgo);
  // Podman is the judge: it kills what does not end in time, and says so.
  const stop = async () => {
    const { stderr } = await pgo.host.exec(["podman", "stop", "--time", "5", "pgo"]);
    assert.doesNotMatch(stderr, /SIGKILL/);
    await pgo.host.waitFor("the next pgo", async () => (await pgo.isActive("pgo.service")) && (await pgo.ctl("status")).code === 0, 60_000);
  };
  await stop();

  // Stopping the old one takes ten seconds.
  const commit = await pgo.repository.commit({ "shop/web.container": web("v2", 8081) });
  await pgo.host.waitFor("the restart", async () => (await pgo.services("web.service"))["web.service"]?.active === "deactivating");
  await stop();
  await pgo.outcome("shop", commit, "deployed");
  assert.equal(await pgo.page(8081), "v2");
  assert.deepEqual(
    (await pgo.history("shop")).map(({ outcome }) => outcome),
    ["deployed", "deployed"],
  );
  assert.deepEqual(
    (await troubles(pgo, since)).map((line) => line.replace(/pgo [\d.]+ started/, "pgo started")),
    ["pgo stops: asked to", "pgo started", "pgo stops: asked to", "pgo started, to finish: 1 rollout"],
  );
});

/** What persons do on the host beside pgo: edits and stops are put right and told, units of their own are left alone, and whoever wants peace gets it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Installed, web } from "./installed.ts";

const fleet = {
  "shop/web.container": web("good", 8081, "Volume=./conf:/conf:ro"),
  "shop/db.container": web("good", 8082),
  "shop/conf/shop.conf": "colour = blue\n",
  "blog/blog.container": web("good", 8083),
};

/** Waits for the next deployment of an application, other than those known. */
async function nextRepair(pgo: Installed, name: string, known: number) {
  return await pgo.host.waitFor(
    `${name} to be repaired`,
    async () => (await pgo.history(name)).find(({ id, outcome }) => id > known && outcome === "repaired"),
    60_000,
  );
}

async function lastId(pgo: Installed): Promise<number> {
  return (await pgo.history())[0]?.id ?? 0;
}

test("a file edited by hand, one deleted and a service stopped are put right and told, and what runs as it should is not touched", async (t) => {
  // Looked for only when asked, so that all of it is found at once.
  const onHost = `[application.blog.health.blog]\ncommand = { run = "test -d /run/systemd/system && id -un", on = "host", contains = "root" }\n`;
  const config = `[quadlet]\ndrift_interval = "1h"\n[health]\nmin_healthy_time = "1s"\n${onHost}`;
  const pgo = await Installed.up(t, { files: fleet, config });
  await pgo.deployed("shop", "blog");
  const before = await pgo.host.sh(`cd ${pgo.placed} && find . -type f -exec sha256sum {} + | sort`);
  const { "web.service": running, "blog.service": blog } = await pgo.services("web.service", "blog.service");
  const known = await lastId(pgo);

  await pgo.host.sh(`cd ${pgo.placed}/shop && echo Environment=EDITED=1 >>web.container && rm conf/shop.conf && systemctl stop db.service`);
  assert.equal((await pgo.ctl("sync", "--wait")).code, 0);
  const repaired = await nextRepair(pgo, "shop", known);
  assert.equal(repaired.cause, "drift");
  assert.deepEqual(repaired.reasons, [
    "write conf/shop.conf: not on the host",
    "write web.container: differs on the host",
    "reload systemd: web.container changed",
    "start db.service: it is not running",
  ]);
  assert.match(
    repaired.description,
    /^conf\/shop\.conf \(not on the host\), web\.container \(differs on the host\), db\.service \(it is not running\); healthy by process after/,
  );
  const files = await pgo.host.sh(`cd ${pgo.placed} && find . -type f -exec sha256sum {} + | sort`);
  assert.equal(files, before);
  assert.ok(await pgo.isActive("db.service"));
  const after = await pgo.services("web.service", "blog.service");
  assert.deepEqual(after, { "web.service": running, "blog.service": blog }, "the one edited still ran as it should");
  assert.equal((await pgo.status()).healthy, true);
  for (let again = 0; again < 3; again += 1) assert.equal((await pgo.ctl("sync", "--wait")).code, 0);
  const told = (await pgo.log()).filter((line) => line.includes(" repaired: "));
  assert.equal(told.length, 1, "told once");

  // What containers use was read with those looks; this host's kernel has no memory controller, which is said.
  const [blogged] = (await pgo.status()).applications.find(({ name }) => name === "blog")?.units ?? [];
  assert.equal(blogged?.checkedBy, "command", "by a command on the host");
  assert.ok((blogged.resources?.cpuSeconds ?? 0) > 0, JSON.stringify(blogged.resources));
  assert.deepEqual([blogged.resources?.memoryBytes, blogged.resources?.restarts], [null, 0]);
  assert.match((await pgo.ctl("status", "--resources")).stdout, /CPU [\d.]+ % of a core, 0 restarts .*\n +memory, OOM kills: no figure/);
  const metrics = (await pgo.host.exec(["curl", "--silent", "http://127.0.0.1:9180/metrics"])).stdout;
  assert.match(metrics, /pgo_container_cpu_seconds_total\{[^}]*unit="blog\.service"\} 0\.\d/);
  assert.doesNotMatch(metrics, /pgo_container_memory_bytes\{/);

  // With the edit gone live, the service is another one, and restarts.
  await pgo.host.sh(
    `cd ${pgo.placed}/shop && sed -i s/:good/:v2/ web.container && systemctl daemon-reload && systemctl restart web.service`,
  );
  assert.equal(await pgo.page(8081), "v2");
  assert.equal((await pgo.ctl("sync", "--wait")).code, 0);
  await nextRepair(pgo, "shop", repaired.id);
  assert.equal(await pgo.page(8081), "good");
});

test("a service that a person killed, and systemd gave up on, is started again", async (t) => {
  const pgo = await Installed.up(t, { files: fleet });
  await pgo.deployed("shop", "blog");
  const known = await lastId(pgo);
  await pgo.host.systemctl(["kill", "--signal=SIGKILL", "web.service"]);
  const repaired = await nextRepair(pgo, "shop", known);
  assert.deepEqual(repaired.reasons, ["start web.service: it has failed"]);
  assert.equal(await pgo.page(8081), "good");
  assert.equal((await pgo.host.systemctl(["is-failed", "web.service"], { check: false })).stdout.trim(), "active");
});

test("a service that does not stay up is started three times in ten minutes, then told and left to a person", async (t) => {
  // It runs as long as a file is there that no bundle holds.
  const fickle = [
    "[Container]",
    "Image=localhost/test/busybox",
    "Volume=/srv/state:/state",
    "Exec=sh -c 'while [ -e /state/up ]; do sleep 0.2; done; exit 1'",
    "StopTimeout=1",
  ].join("\n");
  const pgo = await Installed.up(t, { files: {} });
  await pgo.host.sh("mkdir -p /srv/state && touch /srv/state/up");
  await pgo.repository.commit({ "shop/fickle.container": `${fickle}\n`, "blog/blog.container": web("good", 8083) });
  await pgo.deployed("shop", "blog");
  const known = await lastId(pgo);

  await pgo.host.sh("rm /srv/state/up");
  const weary = "fickle.service does not stay up: pgo has started it 3 times in 10 min and waits now: see journalctl -u fickle.service";
  await pgo.host.waitFor("pgo to give up", async () => (await pgo.application("shop"))?.message === weary, 120_000);
  await pgo.polls(8);
  const tries = (await pgo.history("shop")).filter(({ id }) => id > known);
  assert.deepEqual(
    tries.map(({ outcome, cause }) => `${cause} ${String(outcome)}`),
    Array<string>(3).fill("drift failed"),
  );
  assert.match(tries[0]?.description ?? "", /^fickle\.service has failed: exit-code, exit 1/);
  const starts = (await pgo.host.journal("fickle.service")).split("\n").filter((line) => line.includes("Started fickle.service"));
  assert.equal(starts.length, 4, "the first deployment and three repairs");
  assert.equal((await pgo.log()).filter((line) => line.includes(weary)).length, 1, "told once");
  const status = await pgo.status();
  assert.equal(status.healthy, false);
  assert.deepEqual(
    status.applications.map(({ name, outcome, health }) => ({ name, outcome, health })),
    [
      { name: "blog", outcome: "deployed", health: "healthy" },
      { name: "shop", outcome: "failed", health: "unhealthy" },
    ],
  );

  // A person mends it.
  await pgo.host.sh("touch /srv/state/up && systemctl start fickle.service");
  await pgo.host.waitFor("pgo to see it", async () => (await pgo.application("shop"))?.outcome === "in-sync", 60_000);
  assert.equal((await pgo.status()).healthy, true);
});

test("a suspended application is left alone, by drift repair and by Git, until it is resumed or its time is over", async (t) => {
  const pgo = await Installed.up(t, { files: fleet });
  await pgo.deployed("shop", "blog");
  const suspended = await pgo.ctl("suspend", "shop", "--for", "1h");
  assert.equal(suspended.code, 0);
  assert.match(suspended.stdout, /^fleet\/shop suspended until \S+\n$/);

  await pgo.host.sh(`echo "# mine" >>${pgo.placed}/shop/web.container; systemctl stop db.service blog.service`);
  const commit = await pgo.repository.commit({ "shop/web.container": web("v2", 8081) });
  await nextRepair(pgo, "blog", 0);
  await pgo.outcome("shop", commit, "held");
  await pgo.polls(8);
  assert.equal(await pgo.page(8081), "good");
  assert.equal(await pgo.isActive("db.service"), false);
  assert.match(await pgo.host.read(`${pgo.placed}/shop/web.container`), /# mine/);
  const one = await pgo.application("shop");
  assert.match(one?.suspended?.until ?? "", /^\d{4}-/);
  assert.equal(one?.held?.why, "suspended: a change in Git waits");

  const plan = await pgo.ctl("plan", "shop");
  assert.equal(plan.code, 4, "what waits is shown");
  assert.match(plan.stdout, /^shop: held\n {2}suspended until \S+\. To go on now: ctl resume shop\n/);
  assert.match(plan.stdout, /^ {2}restart +web\.service +Image= changed in web\.container/m);
  assert.match(plan.stdout, /^ {2}start +db\.service +it is not running/m);

  const resumed = await pgo.ctl("resume", "shop");
  assert.deepEqual({ code: resumed.code, told: resumed.stdout }, { code: 0, told: "fleet/shop resumed\n" });
  await pgo.outcome("shop", commit, "deployed");
  assert.equal(await pgo.page(8081), "v2");
  assert.ok(await pgo.isActive("db.service"));

  // By itself, when the time is over.
  const known = await lastId(pgo);
  await pgo.ctl("suspend", "shop", "--for", "15s");
  await pgo.host.systemctl(["stop", "db.service"]);
  await pgo.polls(5);
  assert.equal(await pgo.isActive("db.service"), false);
  await nextRepair(pgo, "shop", known);
  assert.ok(await pgo.isActive("db.service"));
});

test("an application whose commit is refused, or was rolled back, is still kept as it was last good, and stays refused or rolled back", async (t) => {
  const pgo = await Installed.up(t, { files: fleet });
  await pgo.deployed("shop", "blog");
  const bad = await pgo.repository.commit({
    "shop/web.container": web("v2", 8081, "Volumes=/x"),
    "blog/blog.container": web("never-healthy", 8083),
    "blog/pgo.toml": '[health.blog]\nhttp = { url = "http://127.0.0.1:8083/ready" }\ndeadline = "5s"\n',
  });
  const rejected = await pgo.outcome("shop", bad, "rejected");
  const undone = await pgo.outcome("blog", bad, "rolled-back");
  const known = await lastId(pgo);
  await pgo.host.systemctl(["stop", "db.service", "blog.service"]);
  await pgo.host.sh(`rm ${pgo.placed}/shop/conf/shop.conf`);
  await nextRepair(pgo, "shop", known);
  await nextRepair(pgo, "blog", known);
  await pgo.host.waitFor("the file to be back", () => pgo.host.exists(`${pgo.placed}/shop/conf/shop.conf`));
  assert.ok(await pgo.isActive("db.service"));
  assert.equal(await pgo.page(8083), "good");
  await pgo.polls(4);
  for (const before of [rejected, undone]) {
    const after = await pgo.application(before.name);
    assert.deepEqual({ outcome: after?.outcome, message: after?.message }, { outcome: before.outcome, message: before.message });
  }
  const told = (await pgo.log()).filter((line) => / (?:rejected|rolled-back|in-sync): /.test(line));
  assert.equal(told.length, 2, told.join("\n"));

  const good = await pgo.repository.commit({ "shop/web.container": web("v2", 8081), "blog/blog.container": web("v2", 8083) });
  for (const name of ["shop", "blog"]) await pgo.outcome(name, good, "deployed");
  assert.deepEqual([await pgo.page(8081), await pgo.page(8083)], ["v2", "v2"]);
});

test("a unit that pgo did not place, wherever it comes from, is never overwritten or shadowed: what would take its name is refused until it is gone", async (t) => {
  const pgo = await Installed.up(t, { files: { "blog/blog.container": web("good", 8083) } });
  await pgo.deployed("blog");
  const quadlet = "[Container]\nImage=localhost/test/busybox\nExec=sleep infinity\nStopTimeout=1\n";
  const own = {
    elsewhere: "/etc/containers/systemd/mine/elsewhere.container",
    top: "/etc/containers/systemd/top.container",
    vendor: "/usr/share/containers/systemd/vendor.container",
    inside: `${pgo.placed}/inside/inside.container`,
    beside: `${pgo.placed}/aside/beside.container`,
    plain: "/etc/systemd/system/plain.service",
    ssh: "/usr/lib/systemd/system/ssh.service",
    named: "/usr/lib/systemd/system/cron.service",
  };
  for (const path of Object.values(own))
    if (path.endsWith(".container")) await pgo.host.write(path, quadlet);
    else if (!(await pgo.host.exists(path))) await pgo.host.write(path, "[Service]\nExecStart=/bin/sleep infinity\n");
  const before = await pgo.host.sh(`sha256sum ${Object.values(own).join(" ")}`);
  // systemd has read none of the quadlets yet.
  const files = Object.keys(own).map((name, index): [string, string] => [
    `${name}/${name}.container`,
    web("good", 8090 + index, ...(name === "named" ? ["ServiceName=cron"] : [])),
  ]);
  const taken = await pgo.repository.commit(Object.fromEntries(files));
  const adoptable = ["elsewhere", "top", "inside", "beside"];
  for (const [name, path] of Object.entries(own)) {
    const { message } = await pgo.outcome(name, taken, "rejected");
    const service = { named: "cron.service" }[name] ?? `${name}.service`;
    const remedy = path.startsWith("/usr/lib/")
      ? "give it another name"
      : `give it another name, or remove that file and run systemctl daemon-reload${adoptable.includes(name) ? ", or let pgo take it over: adopt = true in [quadlet]" : ""}`;
    assert.equal(message, `${name}/${name}.container: the host has ${service} already, from ${path}, which pgo did not place: ${remedy}`);
  }
  // Nor does it when systemd has.
  await pgo.host.systemctl(["daemon-reload"]);
  await pgo.host.systemctl(["start", ...Object.keys(own).flatMap((name) => (name === "named" ? "cron.service" : `${name}.service`))]);
  await pgo.polls(5);
  assert.equal(await pgo.host.sh(`sha256sum ${Object.values(own).join(" ")}`), before);
  assert.deepEqual(
    await pgo.host.sh(`find ${pgo.placed} -type f | sort`),
    [own.beside, `${pgo.placed}/blog/blog.container`, own.inside].join("\n"),
  );
  for (const [name, path] of Object.entries(own)) {
    const service = { named: "cron.service" }[name] ?? `${name}.service`;
    const { stdout } = await pgo.host.systemctl(["show", "--property=SourcePath,FragmentPath", "--value", service]);
    assert.ok(stdout.includes(path), `${service} comes of ${stdout}`);
  }
  const told = (await pgo.log()).filter((line) => line.includes(" rejected: "));
  assert.equal(told.length, Object.keys(own).length, `each told once:\n${told.join("\n")}`);
  assert.equal((await pgo.ctl("plan")).code, 3);

  // A person gives some of them up.
  const given = ["elsewhere", "vendor", "inside", "beside", "plain"] as const;
  await pgo.host.systemctl(["stop", ...given.map((name) => `${name}.service`)]);
  await pgo.host.sh(`rm ${given.map((name) => own[name]).join(" ")} && systemctl daemon-reload`);
  for (const name of given) await pgo.outcome(name, taken, "deployed");
});

test("a unit file that a person puts before pgo's, later on, is told and not overwritten", async (t) => {
  const pgo = await Installed.up(t, { files: { "shop/web.container": web("good", 8081) } });
  await pgo.deployed("shop");
  const mine = "/etc/systemd/system/web.service";
  await pgo.host.write(mine, "[Service]\nExecStart=/bin/sleep infinity\n");
  await pgo.host.sh("systemctl daemon-reload && systemctl restart web.service");
  const failed = await pgo.host.waitFor("it to be told", async () => {
    const one = await pgo.application("shop");
    return one?.outcome === "failed" ? one : undefined;
  });
  assert.equal(
    failed.message,
    "web.container: web.service comes of a file that pgo did not place, see systemctl cat web.service: remove it, run systemctl daemon-reload, then ctl sync",
  );
  await pgo.polls(4);
  assert.equal(await pgo.host.read(mine), "[Service]\nExecStart=/bin/sleep infinity\n");
  await pgo.host.sh(`systemctl stop web.service && rm ${mine} && systemctl daemon-reload`);
  await nextRepair(pgo, "shop", 1);
  assert.equal(await pgo.page(8081), "good");
  assert.equal((await pgo.status()).healthy, true);
});

test("what dies is back within seconds, what becomes unhealthy later is told once, and with watch = rollback the version before comes back", async (t) => {
  // No look at the host comes by itself while this test lasts.
  const settings = (more = "") => `${more}[health.web]\nhttp = { url = "http://127.0.0.1:8081/" }\n`;
  const pgo = await Installed.up(t, {
    files: { "shop/web.container": web("good", 8081), "shop/pgo.toml": settings(), "blog/blog.container": web("good", 8083) },
    config: '[quadlet]\ndrift_interval = "1h"\n[health]\nmin_healthy_time = "1s"\nwatch_interval = "2s"\nfailure_threshold = 1\n',
  });
  await pgo.deployed("shop", "blog");
  const known = await lastId(pgo);
  await pgo.host.sh("podman kill systemd-blog");
  const repaired = await nextRepair(pgo, "blog", known);
  assert.deepEqual(repaired.reasons, ["start blog.service: it has failed"]);
  assert.equal(await pgo.page(8083), "good");

  const told = async () => (await pgo.log()).filter((line) => /fleet\/shop: (?:web\.service is unhealthy|healthy again)/.test(line));
  // A container that is frozen answers nobody, and its unit is as active as ever.
  await pgo.host.sh("podman pause systemd-web");
  await pgo.host.waitFor("it to be told", async () => (await told()).length === 1, 60_000);
  await pgo.host.sh("podman unpause systemd-web");
  await pgo.host.waitFor("its recovery to be told", async () => (await told()).length === 2, 60_000);

  const commit = await pgo.repository.commit({ "shop/web.container": web("v2", 8081), "shop/pgo.toml": settings('watch = "rollback"\n') });
  await pgo.outcome("shop", commit, "deployed");
  assert.equal(await pgo.page(8081), "v2");
  await pgo.host.sh("podman pause systemd-web");
  const undone = await pgo.host.waitFor("it to be gone back from", async () => {
    const [last] = await pgo.history("shop");
    return last?.outcome === "rolled-back" ? last : undefined;
  });
  assert.equal(undone.cause, "recovery");
  assert.match(undone.description, /^web\.service is unhealthy: .*, \d+ min after it was deployed; back on the last good version$/);
  assert.equal(await pgo.page(8081), "good");
});

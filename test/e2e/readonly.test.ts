/** What changes nothing: `ctl plan`, a broken pgo.toml; and what ctl's commands and exit codes promise a person or a script. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Installed, quick, web } from "./installed.ts";

const probed = (port: number, deadline: string) =>
  `[health.web]\nhttp = { url = "http://127.0.0.1:${port}/ready" }\ndeadline = "${deadline}"\n`;

const fleet = {
  "shop/web.container": web("good", 8081, "Volume=./conf:/conf:ro", "EnvironmentFile=shop.env"),
  "shop/shop.env": "PASSWORD=old-secret\n",
  "shop/conf/shop.conf": "colour = blue\n",
  "shop/pgo.toml": probed(8081, "5s"),
  "shop/db.container": web("good", 8082),
  "blog/blog.container": web("good", 8083),
};

/** All that a command which only asks must leave as it is: the host's files and units, and what pgo remembers and has told. */
async function everything(pgo: Installed): Promise<string> {
  const { sources, applications } = await pgo.status();
  const remembered = { sources: sources.map((source) => ({ ...source, checkedAt: null })), applications };
  return [
    await pgo.fingerprint(),
    JSON.stringify([remembered, await pgo.history(), await pgo.events()]),
    (await pgo.log()).join("\n"),
  ].join("\n");
}

// Nothing is looked at but when asked.
const patient = '[quadlet]\ndrift_interval = "1h"\n[health]\ndeadline = "20s"\ninterval = "500ms"\nmin_healthy_time = "1s"\n';

test("a plan shows what a commit would do, with diffs and reasons, and changes nothing; sync then does just that", async (t) => {
  const pgo = await Installed.up(t, { files: fleet, config: patient, interval: "1h" });
  await pgo.deployed("shop", "blog");
  const quiet = await pgo.ctl("plan");
  assert.deepEqual({ code: quiet.code, out: quiet.stdout }, { code: 0, out: "applications: 2 in sync\n" });

  const before = await everything(pgo);
  await pgo.repository.commit({
    "shop/web.container": web("v2", 8081, "Volume=./conf:/conf:ro", "EnvironmentFile=shop.env"),
    "shop/shop.env": "PASSWORD=new-secret\n",
    "shop/conf/shop.conf": "colour = red\n",
    "shop/db.container": null,
    "shop/cache.container": web("good", 8084),
  });
  const plan = await pgo.ctl("plan");
  assert.equal(plan.code, 4);
  for (const line of [
    "shop: pending",
    "-Image=localhost/test/web:good",
    "+Image=localhost/test/web:v2",
    "-colour = blue",
    "+colour = red",
    "Values of shop.env differ, and are not shown",
    "--- a/db.container",
    "+++ b/cache.container",
    "applications: 1 in sync, 1 pending",
    "nothing was changed; to apply it now: ctl sync --wait",
  ])
    assert.ok(plan.stdout.includes(line), `no "${line}" in:\n${plan.stdout}`);
  assert.doesNotMatch(plan.stdout, /secret/);

  const { applications } = await pgo.plan();
  const shop = applications.find(({ name }) => name === "shop");
  assert.equal(shop?.state, "pending");
  const steps = shop.steps.map(({ kind, target, because }) => `${kind} ${target}: ${because}`);
  assert.deepEqual(steps, [
    "stop db.service: db.container is gone",
    "remove db.container: not in the bundle",
    "write cache.container: not on the host",
    "write conf/shop.conf: differs on the host",
    "write shop.env: differs on the host",
    "write web.container: differs on the host",
    "reload systemd: 3 unit files changed",
    "reset-failed db.service: db.container is gone",
    "start cache.service: new",
    "restart web.service: Image= changed in web.container, shop.env changed, conf/shop.conf changed",
  ]);
  const only = await pgo.ctl("plan", "blog");
  assert.deepEqual({ code: only.code, out: only.stdout }, { code: 0, out: "applications: 1 in sync\n" });
  const nowhere = await pgo.ctl("plan", "nowhere");
  assert.deepEqual(
    { code: nowhere.code, err: nowhere.stderr },
    { code: 2, err: 'no application is called "nowhere": there are blog, shop\n' },
  );
  assert.equal(await everything(pgo), before);

  // The same commit, carried out.
  const sync = await pgo.ctl("sync", "--wait");
  assert.equal(sync.code, 0, sync.stdout + sync.stderr);
  const [done] = await pgo.history("shop");
  assert.deepEqual(done?.reasons, steps);
  assert.equal(await pgo.page(8081), "v2");
  assert.equal((await pgo.ctl("plan")).code, 0);

  await t.test("exit codes tell what a plan holds and what a sync came to", async () => {
    await pgo.repository.commit({ ...fleet, "shop/cache.container": null });
    assert.equal((await pgo.ctl("sync", "--wait")).code, 0);
    const codes = async () => ({ plan: (await pgo.ctl("plan")).code, sync: (await pgo.ctl("sync", "--wait")).code });
    assert.deepEqual(await codes(), { plan: 0, sync: 0 }, "nothing to do");

    await pgo.repository.commit({ "blog/blog.container": web("good", 8083, "Nonsense=1") });
    const before = await everything(pgo);
    const refused = await pgo.ctl("plan");
    assert.equal(refused.code, 3);
    assert.ok(refused.stdout.includes("blog/blog.container:4: unsupported key 'Nonsense' in group 'Container'"), refused.stdout);
    assert.equal(await everything(pgo), before);
    assert.equal((await pgo.ctl("sync", "--wait")).code, 3, "refused");

    await pgo.repository.commit({ "blog/blog.container": web("v2", 8083) });
    assert.deepEqual(await codes(), { plan: 4, sync: 0 }, "pending, then done");

    await pgo.repository.commit({ "shop/web.container": web("never-healthy", 8081) });
    assert.deepEqual(await codes(), { plan: 4, sync: 3 }, "pending, then rolled back");
    const quarantined = await pgo.ctl("plan");
    assert.equal(quarantined.code, 0);
    assert.match(quarantined.stdout, /^shop: held\n {2}in quarantine: web\.service not healthy after .*: ctl retry shop$/m);
    assert.equal(await pgo.page(8081), "good");

    await pgo.repository.commit({ "shop/web.container": web("nowhere", 8081) });
    assert.deepEqual(await codes(), { plan: 4, sync: 3 }, "an image that is not there holds it");

    await pgo.host.systemctl(["stop", "ssh.service"]);
    assert.deepEqual(await codes(), { plan: 1, sync: 1 }, "Git can't be reached");
    for (const words of [["status"], ["history"], ["events"], ["version"], ["show", "1"]]) assert.equal((await pgo.ctl(...words)).code, 0);
    for (const words of [["show", "999"], ["rollback", "nowhere"], ["suspend", "shop", "--for", "soon"], ["bogus"], ["retry"]])
      assert.equal((await pgo.ctl(...words)).code, 2, words.join(" "));
  });
});

test("a broken pgo.toml is told with file, line and key, and a pgo that can't start with it leaves everything as it runs", async (t) => {
  const pgo = await Installed.up(t, { files: fleet });
  await pgo.deployed("shop", "blog");
  const toml = `${pgo.settings}/pgo.toml`;
  const right = await pgo.host.read(toml);
  const before = await pgo.fingerprint();
  const check = () => pgo.host.exec(["podman", "exec", "pgo", "pgo", "config", "check"], { check: false });
  assert.deepEqual(await check(), { code: 0, stdout: `${toml} is right: sources fleet\n`, stderr: "" });

  const line = right.split("\n").indexOf('drift_interval = "3s"') + 1;
  await pgo.host.write(toml, right.replace("drift_interval", "drift_intervall"));
  const told = `${toml}:${line}: unknown key "drift_intervall" in [quadlet] (did you mean "drift_interval"?)`;
  assert.deepEqual(await check(), { code: 2, stdout: "", stderr: `${told}\n` });
  assert.equal(await pgo.fingerprint(), before);

  await pgo.host.systemctl(["restart", "pgo.service"], { check: false });
  const others = (all: string) =>
    all
      .split("\n")
      .filter((one) => !one.startsWith("pgo.service"))
      .join("\n");
  assert.equal(others(await pgo.fingerprint()), others(before));
  assert.ok((await pgo.host.journal("pgo.service")).includes(told), "the log says what is wrong");
  // ctl, from another container, since there is none of pgo's.
  const mounts = [`--volume=${pgo.settings}:${pgo.settings}:ro`, "--volume=/var/lib/pgo:/var/lib/pgo", "--env=PGO_MODE=rootful"];
  const ctl = (...words: readonly string[]) =>
    pgo.host.exec(["podman", "run", "--rm", ...mounts, "--entrypoint=ctl", "localhost/pgo:latest", ...words], { check: false });
  const plan = await ctl("plan");
  assert.equal(plan.code, 5);
  assert.match(plan.stderr, /^pgo is not running \(no answer at \S+\): systemctl status pgo\.service\n$/);
  const status = await ctl("status");
  assert.equal(status.code, 0);
  assert.match(status.stderr, /What follows is what it last wrote down/);
  assert.match(status.stdout, /^ {2}shop .*deployed/m);

  await pgo.host.write(toml, right);
  await pgo.host.waitFor("pgo to start by itself", async () => (await pgo.ctl("status")).code === 0, 60_000);
  await pgo.polls(4);
  assert.equal(others(await pgo.fingerprint()), others(before));
  assert.equal((await pgo.status()).healthy, true);
});

test("a rollback goes to an earlier good version, and stays there until a commit changes that application", async (t) => {
  const pgo = await Installed.up(t, { files: fleet });
  await pgo.deployed("shop", "blog");
  const [first] = await pgo.history("shop");
  const none = await pgo.ctl("rollback", "blog");
  assert.deepEqual(
    { code: none.code, out: none.stdout },
    { code: 1, out: "fleet/blog has no earlier good version: see ctl history fleet/blog\n" },
  );
  const shop = (tag: string) => ({ "shop/web.container": web(tag, 8081, "Volume=./conf:/conf:ro", "EnvironmentFile=shop.env") });
  const second = await pgo.repository.commit(shop("v2"));
  await pgo.outcome("shop", second, "deployed");
  assert.equal(await pgo.page(8081), "v2");

  const back = await pgo.ctl("rollback", "shop");
  assert.equal(back.code, 0);
  assert.match(
    back.stdout,
    /^fleet\/shop is back on \w{7}, healthy by .* after .*; it stays there until a commit changes it, or ctl resume shop\n$/,
  );
  assert.equal(await pgo.page(8081), "good");
  const other = await pgo.repository.commit({ "blog/blog.container": web("v2", 8083) });
  await pgo.outcome("blog", other, "deployed");
  await pgo.polls(4);
  assert.equal(await pgo.page(8081), "good", "it stays");
  const pinned = await pgo.application("shop");
  assert.equal(pinned?.pinned, true);
  assert.match((await pgo.ctl("status")).stdout, /stays on this revision \(ctl rollback\) until a commit changes it/);

  const forth = await pgo.repository.commit({ ...shop("v2"), "shop/conf/shop.conf": "colour = red\n" });
  await pgo.outcome("shop", forth, "deployed");
  assert.equal(await pgo.page(8081), "v2");
  assert.equal((await pgo.application("shop"))?.pinned, false);

  const named = await pgo.ctl("rollback", "shop", "--to", String(first?.id));
  assert.equal(named.code, 0, named.stdout + named.stderr);
  assert.equal(await pgo.page(8081), "good");
  assert.equal(await pgo.host.read(`${pgo.placed}/shop/conf/shop.conf`), "colour = blue\n");
  const [newest] = await pgo.history("shop");
  assert.deepEqual({ cause: newest?.cause, revision: newest?.revision }, { cause: "rollback", revision: first?.revision });
  const unknown = await pgo.ctl("rollback", "shop", "--to", "999");
  assert.equal(unknown.code, 1);
  assert.match(unknown.stdout, /^deployment 999 is not a good version of fleet\/shop: see ctl history fleet\/shop\n$/);
});

test("what failed for a reason on the host is tried again by ctl retry, once that is mended", async (t) => {
  const pgo = await Installed.up(t, { files: fleet, config: `atomic = "source"\n${quick}` });
  await pgo.deployed("shop", "blog");
  const nothing = await pgo.ctl("retry", "blog");
  assert.deepEqual({ code: nothing.code, out: nothing.stdout }, { code: 0, out: "fleet/blog has nothing in quarantine\n" });
  // It needs a file of the host's.
  await pgo.host.sh("mkdir /srv/blog");
  const needy = await pgo.repository.commit({
    "blog/blog.container": web("v2", 8083, "Volume=/srv/blog:/blog", "Exec=sh -c '[ -e /blog/ready ] && exec /bin/web'"),
  });
  await pgo.outcome("blog", needy, "rolled-back");
  assert.equal(await pgo.page(8083), "good");
  const again = await pgo.ctl("retry", "blog");
  assert.equal(again.code, 1);
  assert.match(again.stdout, /^fleet\/blog rolled-back: /);

  await pgo.host.sh("touch /srv/blog/ready");
  const mended = await pgo.ctl("retry", "blog");
  assert.equal(mended.code, 0);
  assert.match(mended.stdout, /^fleet\/blog deployed: healthy by process after/);
  assert.equal(await pgo.page(8083), "v2");
  const [newest] = await pgo.history("blog");
  assert.equal(newest?.cause, "retry");
  assert.equal((await pgo.status()).healthy, true);

  await t.test("a version that is not to be gone back from stays, and is well once its reason is mended", async () => {
    await pgo.host.sh("rm /srv/blog/ready");
    const left = await pgo.repository.commit({
      "blog/blog.container": web("good", 8083, "Volume=/srv/blog:/blog", "Exec=sh -c '[ -e /blog/ready ] && exec /bin/web'"),
      "blog/pgo.toml": 'rollback = "never"\n',
    });
    await pgo.outcome("blog", left, "failed");
    await pgo.polls(3);
    assert.match(await pgo.host.read(`${pgo.placed}/blog/blog.container`), /web:good/);
    assert.ok(
      (await pgo.history("blog")).every(({ revision, steps }) => revision !== left || steps.every(({ kind }) => kind !== "go-back")),
    );
    await pgo.host.sh("touch /srv/blog/ready");
    const well = await pgo.ctl("retry", "blog");
    assert.equal(well.code, 0, well.stdout);
    assert.equal(await pgo.page(8083), "good");
    assert.equal((await pgo.status()).healthy, true);
  });

  await t.test('with atomic = "source" an application that fails takes back the others of its revision', async () => {
    const before = await pgo.services("db.service");
    const both = await pgo.repository.commit({
      "blog/blog.container": web("v2", 8083),
      "blog/pgo.toml": null,
      "shop/web.container": web("v2", 8081, "Volume=./conf:/conf:ro", "EnvironmentFile=shop.env", "Exec=false"),
    });
    await pgo.outcome("shop", both, "rolled-back");
    const { held } = await pgo.outcome("blog", both, "held");
    assert.match(held?.why ?? "", /^shop of the same revision failed, /);
    assert.deepEqual([await pgo.page(8081), await pgo.page(8083)], ["good", "good"]);
    const [undone, done] = await pgo.history("blog");
    assert.deepEqual([undone?.cause, done?.cause, done?.outcome], ["rollback", "commit", "deployed"]);
    assert.deepEqual(await pgo.services("db.service"), before);
    const fix = await pgo.repository.commit({
      "shop/web.container": web("v2", 8081, "Volume=./conf:/conf:ro", "EnvironmentFile=shop.env"),
    });
    await pgo.outcome("shop", fix, "deployed");
    await pgo.outcome("blog", fix, "deployed");
    assert.deepEqual([await pgo.page(8081), await pgo.page(8083)], ["v2", "v2"]);
  });
});

/** A fleet of applications from a private repository: a commit restarts what it changes and nothing else, and what leaves Git leaves the host. */

import assert from "node:assert/strict";
import { test } from "node:test";

import type { HistoryEntry } from "../../src/core/report.ts";
import { Installed, web } from "./installed.ts";

const services = ["shop.service", "blog.service", "wiki.service", "wiki-data-volume.service", "pgo.service"];

/** Three applications: one with an asset, a drop-in, an env file and a check of its own, one alone, one with a volume. */
const fleet = {
  "README.md": "# Our fleet\n",
  "shop/shop.container": web("good", 8081, "Environment=GREETING=hello", "EnvironmentFile=shop.env", "Volume=./conf:/conf:ro"),
  "shop/shop.container.d/10-label.conf": "[Container]\nLabel=tier=front\n",
  "shop/shop.env": "COLOUR=red\n",
  "shop/conf/site.conf": "title = shop\n",
  "shop/pgo.toml": '[health.shop]\nhttp = { url = "http://127.0.0.1:8081/ready", contains = "ok" }\nmin_healthy_time = "500ms"\n',
  "blog/blog.container": web("good", 8082),
  "wiki/wiki.container": web("good", 8083, "Volume=wiki-data.volume:/data"),
  "wiki/wiki-data.volume": "[Volume]\n",
};

for (const user of ["root", "edge"] as const) {
  test(`${user}: of three applications from a private repository, a commit restarts exactly the service that it changes, and says why`, async (t) => {
    // No pgo.toml is there before: the source, its key and the defaults are what install.sh makes of its flags.
    const pgo = await Installed.up(t, { user, files: fleet, byFlags: true });
    const { repository } = pgo;
    const status = await pgo.status();
    assert.deepEqual(
      status.applications.map(({ name, outcome, health }) => ({ name, outcome, health })),
      ["blog", "shop", "wiki"].map((name) => ({ name, outcome: "deployed", health: "healthy" })),
    );
    assert.equal(status.healthy, true);
    assert.equal(await page(pgo, 8081), "good");
    assert.match((await pgo.host.get("http://127.0.0.1:8081/cgi-bin/env")).body, /^COLOUR=red$/m);

    /** Pushes a change and answers what came of it; the time between two polls is not waited for. */
    const push = async (files: Readonly<Record<string, string | null>>) => {
      const before = await pgo.services(...services);
      const reloads = await pgo.reloads();
      const deployments = (await pgo.history()).length;
      const revision = await repository.commit(files);
      const synced = await pgo.ctl("sync", "--wait");
      assert.equal(synced.code, 0, synced.stdout + synced.stderr);
      const after = await pgo.services(...services);
      const history = await pgo.history();
      return {
        revision,
        output: synced.stdout,
        restarted: services.filter((name) => before[name]?.invocation !== after[name]?.invocation),
        reloads: (await pgo.reloads()) - reloads,
        entries: history.slice(0, history.length - deployments),
      };
    };

    await t.test("a key of a quadlet", async () => {
      const { revision, restarted, reloads, entries } = await push({ "blog/blog.container": web("v2", 8082) });
      assert.deepEqual({ restarted, reloads }, { restarted: ["blog.service"], reloads: 1 });
      assert.deepEqual(entries.map(summary), [
        {
          application: "blog",
          revision,
          cause: "commit",
          outcome: "deployed",
          steps: ["write blog.container", "reload systemd", "restart blog.service"],
        },
      ]);
      assert.deepEqual(entries[0]?.reasons, [
        "write blog.container: differs on the host",
        "reload systemd: blog.container changed",
        "restart blog.service: Image= changed in blog.container",
      ]);
      assert.equal(await page(pgo, 8082), "v2");
    });

    await t.test("a key that is new, one that is gone and one that is other than before", async () => {
      const changed = web("good", 8081, "Environment=GREETING=hi", "EnvironmentFile=shop.env", "Volume=./conf:/conf:ro", "ShmSize=1m");
      const { restarted, reloads, entries } = await push({ "shop/shop.container": changed });
      assert.deepEqual({ restarted, reloads }, { restarted: ["shop.service"], reloads: 1 });
      assert.equal(
        entries[0]?.reasons.at(-1),
        "restart shop.service: Environment= changed in shop.container, ShmSize= added in shop.container",
      );
      const back = await push({ "shop/shop.container": fleet["shop/shop.container"] });
      assert.equal(
        back.entries[0]?.reasons.at(-1),
        "restart shop.service: Environment= changed in shop.container, ShmSize= removed in shop.container",
      );
    });

    await t.test("a drop-in", async () => {
      const { restarted, reloads, entries } = await push({ "shop/shop.container.d/10-label.conf": "[Container]\nLabel=tier=back\n" });
      assert.deepEqual({ restarted, reloads }, { restarted: ["shop.service"], reloads: 1 });
      assert.equal(entries[0]?.reasons.at(-1), "restart shop.service: shop.container.d/10-label.conf changed");
    });

    await t.test("an env file, which systemd need not read", async () => {
      const { restarted, reloads, entries } = await push({ "shop/shop.env": "COLOUR=blue\n" });
      assert.deepEqual({ restarted, reloads }, { restarted: ["shop.service"], reloads: 0 });
      assert.deepEqual(entries[0]?.reasons, ["write shop.env: differs on the host", "restart shop.service: shop.env changed"]);
      assert.match((await pgo.host.get("http://127.0.0.1:8081/cgi-bin/env")).body, /^COLOUR=blue$/m);
      const processed = `${pgo.state}/env/fleet/shop/shop.service`;
      assert.equal(await pgo.host.sh(`stat -c %a ${processed}/shop.env ${processed}`), "600\n700");
      assert.equal(await pgo.host.sh(`ls ${pgo.placed}/shop`), "conf\nshop.container\nshop.container.d");
    });

    await t.test("a file of a directory that the container sees", async () => {
      const { restarted, reloads, entries } = await push({ "shop/conf/site.conf": "title = Shop\n" });
      assert.deepEqual({ restarted, reloads }, { restarted: ["shop.service"], reloads: 0 });
      assert.equal(entries[0]?.reasons.at(-1), "restart shop.service: conf/site.conf changed");
      assert.equal((await pgo.host.exec(["podman", "exec", "systemd-shop", "cat", "/conf/site.conf"])).stdout, "title = Shop\n");
    });

    await t.test(
      "comments, descriptions and [Install] alter nothing that runs, and what only people read is not deployed at all",
      async () => {
        const { restarted, reloads, entries } = await push({
          "blog/blog.container": `# Ours.\n[Unit]\nDescription=The blog\n${web("v2", 8082).replace("multi-user.target ", "")}`,
        });
        assert.deepEqual({ restarted, reloads, entries: entries.length }, { restarted: [], reloads: 1, entries: 1 });
        const { revision, ...readme } = await push({ "README.md": "# Our whole fleet\n", "blog/README.md": "The blog.\n" });
        assert.deepEqual(
          { restarted: readme.restarted, reloads: readme.reloads, entries: readme.entries },
          { restarted: [], reloads: 0, entries: [] },
        );
        assert.equal((await pgo.status()).sources[0]?.revision, revision);
        assert.equal(await pgo.host.exists(`${pgo.placed}/blog/README.md`), false);
      },
    );

    await t.test("what it did stays to be read: one log line for each deployment, with a number to look it up by", async () => {
      const history = await pgo.history();
      assert.equal(history.length, 10);
      const told = (await pgo.log()).filter((line) => line.includes(" deployed: "));
      assert.equal(told.length, history.length);
      const { stdout } = await pgo.ctl("show", String(history[0]?.id));
      assert.match(stdout, /blog\.container changed/);
    });
  });
}

test("an application that is deleted in Git is gone from the host, but for its volume and the data in it", async (t) => {
  const pgo = await Installed.up(t, {
    files: {
      ...fleet,
      // It ignores SIGTERM, so that systemd calls its stopping a failure.
      "wiki/wiki.container": web("stubborn", 8083, "Volume=wiki-data.volume:/data", "Network=wiki.network", "StopTimeout=1"),
      "wiki/wiki.network": "[Network]\n",
      "wiki/plain.volume": "[Volume]\nVolumeName=plain\n",
      // One whose container ends at once, and which is known to have failed when it goes.
      "wiki/once.container": "[Container]\nImage=localhost/test/busybox\nExec=true\n[Service]\nType=oneshot\n",
    },
  });
  await pgo.outcome("wiki", await pgo.repository.head(), "deployed");
  await pgo.host.exec(["podman", "exec", "systemd-wiki", "sh", "-c", "echo kept >/data/page"]);
  const before = await pgo.services("shop.service", "blog.service");

  const revision = await pgo.repository.commit({ wiki: null }, "wiki is no longer needed");
  await pgo.host.waitFor("the wiki to be gone", async () => {
    const { sources, applications } = await pgo.status();
    return sources[0]?.revision === revision && !applications.some(({ name }) => name === "wiki");
  });

  assert.equal(await pgo.host.exists(`${pgo.placed}/wiki`), false);
  const gone = ["wiki.service", "wiki-network.service", "wiki-data-volume.service", "plain-volume.service", "once.service"];
  for (const [name, { load, active }] of Object.entries(await pgo.services(...gone)))
    assert.deepEqual({ name, load, active }, { name, load: "not-found", active: "inactive" });
  assert.equal(await pgo.host.sh("systemctl list-units --failed --plain --no-legend"), "");
  assert.equal(await pgo.host.sh("systemctl list-units --all --plain --no-legend 'wiki*' 'plain*' 'once*'"), "");
  assert.deepEqual((await pgo.host.sh("podman ps --all --format '{{.Names}}'")).split("\n").sort(), [
    "pgo",
    "systemd-blog",
    "systemd-shop",
  ]);
  assert.equal(await pgo.host.sh("podman network ls --format '{{.Name}}'"), "podman");
  assert.deepEqual((await pgo.host.sh("podman volume ls --format '{{.Name}}'")).split("\n").sort(), ["plain", "systemd-wiki-data"]);

  const [removal] = await pgo.history("wiki");
  assert.equal(removal?.subject, "wiki is no longer needed");
  assert.equal(removal.outcome, "deployed");
  assert.equal(removal.description, "removed");
  assert.deepEqual(await pgo.services("shop.service", "blog.service"), before);
  assert.equal((await pgo.status()).healthy, true);

  await t.test("and when it comes back, it finds its data", async () => {
    const back = await pgo.repository.commit({
      "wiki/wiki.container": fleet["wiki/wiki.container"],
      "wiki/wiki-data.volume": fleet["wiki/wiki-data.volume"],
    });
    await pgo.outcome("wiki", back, "deployed");
    assert.equal((await pgo.host.exec(["podman", "exec", "systemd-wiki", "cat", "/data/page"])).stdout, "kept\n");
  });

  await t.test("a unit that an application no longer has is gone alone", async () => {
    const two = await pgo.repository.commit({
      "blog/feed.container": web("good", 8084, "Network=feed.network"),
      "blog/feed.network": "[Network]\n",
    });
    await pgo.outcome("blog", two, "deployed");
    const kept = await pgo.services("blog.service");
    const one = await pgo.repository.commit({ "blog/feed.container": null, "blog/feed.network": null });
    await pgo.outcome("blog", one, "deployed");
    assert.deepEqual((await pgo.history("blog"))[0]?.reasons.toSorted(), [
      "reload systemd: 2 unit files changed",
      "remove feed.container: not in the bundle",
      "remove feed.network: not in the bundle",
      "remove-network systemd-feed: feed.network is gone",
      "reset-failed feed-network.service: feed.network is gone",
      "reset-failed feed.service: feed.container is gone",
      "stop feed-network.service: feed.network is gone",
      "stop feed.service: feed.container is gone",
    ]);
    assert.deepEqual(await pgo.services("blog.service"), kept);
    assert.equal((await pgo.services("feed.service"))["feed.service"]?.load, "not-found");
    assert.equal(await pgo.host.sh("systemctl list-units --failed --plain --no-legend; podman network ls --format '{{.Name}}'"), "podman");
  });

  await t.test("a change waits for its window, and goes at once when a person says so", async () => {
    const schedule = '[schedule]\nwindows = [{ cron = "0 2 29 2 *", duration = "1h", zone = "Europe/Berlin" }]\n';
    await pgo.repository.commit({ "blog/blog.container": web("v2", 8082), "blog/pgo.toml": schedule });
    const waiting = await pgo.ctl("sync", "blog", "--wait");
    assert.equal(waiting.code, 3, waiting.stdout);
    const held = (await pgo.status()).applications.find(({ name }) => name === "blog")?.held;
    assert.equal(held?.why, "outside its maintenance windows");
    assert.match(held.until ?? "", /^20\d\d-02-29T01:00:00\.000Z$/);
    assert.match((await pgo.ctl("status")).stdout, /held: outside its maintenance windows \(tried again in \d+ days, 20\d\d-02-29/);
    assert.equal(await page(pgo, 8082), "good");
    const now = await pgo.ctl("sync", "blog", "--now", "--wait");
    assert.equal(now.code, 0, now.stdout);
    assert.equal(await page(pgo, 8082), "v2");
  });

  await t.test("a source that is suspended for a time goes on by itself", async () => {
    const asked = await pgo.ctl("suspend", "fleet", "--for", "8s");
    assert.match(asked.stdout, /^source fleet suspended until /);
    const revision = await pgo.repository.commit({ "new/new.container": web("good", 8085) });
    await pgo.outcome("new", revision, "deployed");
    assert.equal(await page(pgo, 8085), "good");
    assert.match((await pgo.ctl("events")).stdout, /fleet@\w+ new held: suspended: a change in Git waits/);
  });
});

async function page(pgo: Installed, port: number): Promise<string> {
  return (await pgo.host.get(`http://127.0.0.1:${port}/`)).body.trim();
}

function summary({ application, revision, cause, outcome, steps }: HistoryEntry) {
  return { application, revision, cause, outcome, steps: steps.map(({ kind, target }) => `${kind} ${target}`) };
}

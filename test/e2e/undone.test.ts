/** Versions that can't be had, and versions that don't work: the first are waited for, the second undone and not tried again. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Installed, web } from "./installed.ts";

const config = `
[quadlet]
drift_interval = "3s"
[health]
deadline = "8s"
interval = "500ms"
min_healthy_time = "2s"
`;

/** The broken version uses up what the good one needs: the interval is longer than the whole test. */
const startLimit = ["[Unit]", "StartLimitBurst=3", "StartLimitIntervalSec=1h"];

/** `shop` is what the tests break, `blog` what the unrelated commits change. */
const blog = (title: string) => ({ "blog/blog.container": web("good", 8082, `Environment=TITLE=${title}`) });

for (const user of ["root", "edge"] as const) {
  test(`${user}: an image that can't be had is waited for, while the old container runs on, and deployed when it is there`, async (t) => {
    const pgo = await Installed.up(t, { user, config, files: { "shop/shop.container": web("good", 8081), ...blog("one") } });
    await pgo.outcome("shop", await pgo.repository.head(), "deployed");

    for (const [image, why] of [
      [
        "localhost/test/missing:1",
        /^pull localhost\/test\/missing:1: no such image on the host: localhost\/ images are built or loaded there \(podman build\), never pulled$/,
      ],
      ["registry.invalid/x:1", /^pull registry\.invalid\/x:1: registry registry\.invalid can't be reached: lookup registry\.invalid /],
    ] as const)
      await t.test(image, async () => {
        const before = { ...(await pgo.services("shop.service")), page: await page(pgo) };
        const [history, reloads, logged] = [await pgo.history("shop"), await pgo.reloads(), (await pgo.log()).length];
        const file = await pgo.host.read(`${pgo.placed}/shop/shop.container`);

        const wanted = await pgo.repository.commit({ "shop/shop.container": web("good", 8081).replace(/^Image=.*$/m, `Image=${image}`) });
        const { held, health } = await pgo.outcome("shop", wanted, "held");
        assert.match(held?.why ?? "", why);
        assert.notEqual(held?.until, null, "it says when it is tried again");
        assert.equal(health, "healthy");

        await pgo.polls(3);
        const unrelated = await pgo.repository.commit(blog(image));
        await pgo.outcome("blog", unrelated, "deployed");
        assert.equal((await pgo.application("shop"))?.outcome, "held");
        assert.deepEqual({ ...(await pgo.services("shop.service")), page: await page(pgo) }, before);
        assert.equal(await pgo.host.read(`${pgo.placed}/shop/shop.container`), file);
        assert.deepEqual(await pgo.history("shop"), history, "what is held has not begun");
        assert.equal((await pgo.reloads()) - reloads, 1, "blog's");
        const told = (await pgo.log()).slice(logged).filter((line) => line.includes(" shop held: "));
        assert.equal(told.length, 1, `told once, not at each try:\n${told.join("\n")}`);

        await pgo.host.exec(["podman", "tag", "localhost/test/web:v2", image]);
        await pgo.outcome("shop", unrelated, "deployed", 120_000);
        assert.equal(await page(pgo), "v2");
        assert.equal((await pgo.history("shop"))[0]?.reasons.at(-1), "restart shop.service: Image= changed in shop.container");
        const back = await pgo.repository.commit({ "shop/shop.container": web("good", 8081) });
        await pgo.outcome("shop", back, "deployed");
      });
  });

  const checked = '[health.shop]\nhttp = { url = "http://127.0.0.1:8081/ready" }\ndeadline = "4s"\n';
  for (const { what, settings = null, more = [], bad, reason, said } of [
    {
      what: "starts and never gets healthy",
      settings: checked,
      bad: web("never-healthy", 8081),
      reason:
        /^shop\.service not healthy after 4(\.\d)? s: GET http:\/\/127\.0\.0\.1:8081\/ready: 404.* \(\d+ of \d+ probes\); back on the last good version: see ctl show \d+$/,
    },
    {
      what: "never passes Podman's own health check",
      more: ["HealthCmd=healthy", "HealthInterval=1s", "Notify=healthy"],
      bad: web("never-healthy", 8081, "HealthCmd=healthy", "HealthInterval=1s", "Notify=healthy"),
      reason:
        /^start shop\.service: still not up after 8 s: see journalctl (--user )?-u shop\.service; back on the last good version: see ctl show \d+$/,
    },
    {
      what: "crashes again and again",
      bad: `${web("crash", 8081)}[Service]\nRestart=always\nRestartSec=100ms\n`,
      // How it ended is gone with the next start, 100 ms later: a look may come too late for it, and on a slow machine all three do.
      said: /crashing as told/,
      reason: /^shop\.service (crashed 3 times(: exit-code, exit 1)?|has failed: .*); back on the last good version: see ctl show \d+$/,
    },
    {
      what: "crashes until systemd refuses to start it any more",
      settings: "[health.shop]\nfailure_threshold = 50\ndeadline = '60s'\n",
      more: startLimit,
      bad: `${web("crash", 8081, 'Exec=sh -c "sleep 0.2; exit 1"', ...startLimit)}[Service]\nRestart=always\nRestartSec=10ms\n`,
      reason: /^shop\.service has failed: exit-code, exit 1; back on the last good version: see ctl show \d+$/,
    },
    {
      what: "ends at once",
      bad: web("crash", 8081, "Exec=false"),
      reason:
        /^(start shop\.service: job failed|shop\.service has failed: exit-code, exit 1); back on the last good version: see ctl show \d+$/,
    },
  ])
    test(`${user}: a version that ${what} is undone and not tried again, and the next one is`, async (t) => {
      const good = { "shop/shop.container": web("good", 8081, ...more), "shop/pgo.toml": settings };
      const pgo = await Installed.up(t, { user, config, files: { ...only(good), ...blog("one") } });
      await pgo.outcome("shop", await pgo.repository.head(), "deployed");
      const files = await tree(pgo);
      const logged = (await pgo.log()).length;

      const broken = await pgo.repository.commit({ "shop/shop.container": bad });
      const { message, quarantined, health } = await pgo.outcome("shop", broken, "rolled-back", 120_000);
      assert.match(message ?? "", reason);
      assert.equal(quarantined?.reason, message);
      assert.equal(health, "healthy");
      assert.equal(await page(pgo), "good");
      assert.deepEqual(await tree(pgo), files);
      const back = await pgo.services("shop.service");
      assert.deepEqual({ ...back["shop.service"], invocation: "" }, { load: "loaded", active: "active", invocation: "" });
      assert.equal(await failedUnits(pgo), "");

      await pgo.polls(3);
      const unrelated = await pgo.repository.commit(blog("two"));
      await pgo.outcome("blog", unrelated, "deployed");
      await pgo.outcome("shop", unrelated, "rolled-back");
      const [entry, ...earlier] = await pgo.history("shop");
      assert.deepEqual(
        { outcome: entry?.outcome, revision: entry?.revision, earlier: earlier.map(({ outcome }) => outcome) },
        { outcome: "rolled-back", revision: broken, earlier: ["deployed"] },
        "tried once only",
      );
      const [traces] = entry?.evidence ?? [];
      assert.equal(traces?.service, "shop.service");
      assert.match(traces.journal.join("\n"), said ?? /shop\.service/, "what it said is kept");
      assert.deepEqual(await pgo.services("shop.service"), back, "and not touched since");
      const told = (await pgo.log()).slice(logged).filter((line) => line.includes(" shop "));
      assert.deepEqual(told, [`fleet@${broken.slice(0, 7)} shop rolled-back: ${message}`], "told once");

      // systemd counts starts; what the broken version used up must not stand in the way of a person's.
      await pgo.host.systemctl(["restart", "shop.service"]);
      assert.equal(await pgo.isActive("shop.service"), true);

      const fix = await pgo.repository.commit({ "shop/shop.container": web("v2", 8081, ...more) });
      await pgo.outcome("shop", fix, "deployed");
      assert.equal(await page(pgo), "v2");
      const { applications, healthy } = await pgo.status();
      assert.deepEqual({ healthy, quarantined: applications.map((one) => one.quarantined) }, { healthy: true, quarantined: [null, null] });
    });
}

test("going back is for all of an application: files and services that the bad version had added, changed or taken away", async (t) => {
  const pgo = await Installed.up(t, {
    config,
    files: {
      "shop/shop.container": web("good", 8081, "Volume=./page:/page:ro", "EnvironmentFile=shop.env"),
      "shop/page/a.txt": "a\n",
      "shop/shop.env": "COLOUR=red\n",
      "shop/side.container": web("stubborn", 8083, "StopTimeout=1"),
      ...blog("one"),
    },
  });
  await pgo.outcome("shop", await pgo.repository.head(), "deployed");
  const files = await tree(pgo);
  const others = await pgo.services("blog.service");

  const broken = await pgo.repository.commit({
    "shop/shop.container": web("never-healthy", 8081, "Volume=./page:/page:ro", "EnvironmentFile=shop.env", "Network=extra.network"),
    "shop/pgo.toml": '[health.shop]\nhttp = { url = "http://127.0.0.1:8081/ready" }\ndeadline = "2s"\n',
    "shop/page/a.txt": null,
    "shop/page/b.txt": "b\n",
    "shop/shop.env": "COLOUR=blue\n",
    "shop/side.container": null,
    "shop/extra.container": web("good", 8084, "Network=extra.network"),
    "shop/extra.network": "[Network]\n",
  });
  await pgo.outcome("shop", broken, "rolled-back");
  assert.deepEqual(await tree(pgo), files);
  assert.equal(await page(pgo), "good");
  assert.match((await pgo.host.get("http://127.0.0.1:8081/cgi-bin/env")).body, /^COLOUR=red$/m);
  assert.equal((await pgo.host.exec(["podman", "exec", "systemd-shop", "ls", "/page"])).stdout, "a.txt\n");
  const shown = await pgo.services("shop.service", "side.service", "extra.service", "extra-network.service");
  assert.deepEqual(
    Object.entries(shown).map(([name, { load, active }]) => `${name} ${load} ${active}`),
    [
      "shop.service loaded active",
      "side.service loaded active",
      "extra.service not-found inactive",
      "extra-network.service not-found inactive",
    ],
  );
  assert.equal(await failedUnits(pgo), "");
  assert.equal(await pgo.host.sh("podman network ls --format '{{.Name}}'"), "podman");
  assert.deepEqual(await pgo.services("blog.service"), others);

  await t.test("a commit that takes the bad version back restarts nothing", async () => {
    const before = await pgo.services("shop.service", "side.service");
    const reverted = await pgo.repository.commit({
      "shop/shop.container": web("good", 8081, "Volume=./page:/page:ro", "EnvironmentFile=shop.env"),
      "shop/pgo.toml": null,
      "shop/page/a.txt": "a\n",
      "shop/page/b.txt": null,
      "shop/shop.env": "COLOUR=red\n",
      "shop/side.container": web("stubborn", 8083, "StopTimeout=1"),
      "shop/extra.container": null,
      "shop/extra.network": null,
    });
    await pgo.outcome("shop", reverted, "in-sync");
    assert.deepEqual(await pgo.services("shop.service", "side.service"), before);
    const { healthy, applications } = await pgo.status();
    assert.deepEqual({ healthy, quarantined: applications.map((one) => one.quarantined) }, { healthy: true, quarantined: [null, null] });
  });
});

test("a first version that does not work is taken away again, and leaves nothing but its volume", async (t) => {
  const pgo = await Installed.up(t, { config, files: blog("one") });
  await pgo.outcome("blog", await pgo.repository.head(), "deployed");
  const files = await tree(pgo);
  const shop = (tag: string, more = "") => ({
    "shop/shop.container": `${web(tag, 8081, "Network=shop.network", "Volume=shop.volume:/data")}${more}`,
    "shop/shop.network": "[Network]\n",
    "shop/shop.volume": "[Volume]\n",
  });

  const broken = await pgo.repository.commit(shop("crash", "[Service]\nRestart=always\nRestartSec=100ms\n"));
  const { message, health, units } = await pgo.outcome("shop", broken, "failed");
  assert.match(message ?? "", /; there was nothing to go back to, so it was taken away again: see ctl show \d+$/);
  assert.deepEqual({ health, units }, { health: "unknown", units: [] });
  assert.deepEqual(await tree(pgo), files);
  for (const { load } of Object.values(await pgo.services("shop.service", "shop-network.service", "shop-volume.service")))
    assert.equal(load, "not-found");
  assert.equal(await failedUnits(pgo), "");
  assert.equal(await pgo.host.sh("podman ps --all --format '{{.Names}}' | sort"), "pgo\nsystemd-blog");
  assert.equal(await pgo.host.sh("podman network ls --format '{{.Name}}'"), "podman");
  assert.equal(await pgo.host.sh("podman volume ls --format '{{.Name}}'"), "systemd-shop");

  await pgo.polls(3);
  assert.equal((await pgo.history("shop")).length, 1);

  await t.test("ctl retry tries it once more, and says what came of it", async () => {
    const { code, stdout } = await pgo.ctl("retry", "shop");
    assert.equal(code, 1, stdout);
    assert.match(stdout, /^fleet\/shop failed: .*taken away again/);
    const [again] = await pgo.history("shop");
    assert.deepEqual({ cause: again?.cause, outcome: again?.outcome }, { cause: "retry", outcome: "failed" });
    await pgo.polls(2);
    assert.equal((await pgo.history("shop")).length, 2);
  });

  await t.test("taken out of Git, it is told of no more", async () => {
    const gone = await pgo.repository.commit({ shop: null });
    await pgo.host.waitFor("it to be gone", async () => {
      const { sources, applications, healthy } = await pgo.status();
      return sources[0]?.revision === gone && applications.length === 1 && healthy;
    });
  });

  await t.test("the fix is deployed", async () => {
    const fix = await pgo.repository.commit(shop("good"));
    await pgo.outcome("shop", fix, "deployed");
    assert.equal(await page(pgo), "good");
  });

  await t.test("a container's own port is asked wherever the host has it, and a program inside it", async () => {
    await pgo.host.exec(["mkdir", "-p", `${pgo.settings}/secrets`]);
    await pgo.host.write(`${pgo.settings}/secrets/probe.env`, "TOKEN=pl4nted-t0ken\n", 0o600);
    const probed = await pgo.repository.commit({
      "shop/inner.container": `[Unit]\nAfter=shop.service\n[Container]\nImage=localhost/test/web:v2\n`,
      "shop/asked.container": `[Unit]\nAfter=inner.service\n[Container]\nImage=localhost/test/web:good\n`,
      "shop/pgo.toml": [
        "[health.shop]",
        'http = { port = 8080, path = "/ready", status = ["2xx"], matches = "^ok$", headers = { X-Token = { secret = "TOKEN" } } }',
        "[health.inner]",
        'http = { port = 8080, contains = "v2" }',
        "[health.asked]",
        'command = { run = "healthy && id -u", user = "65534", contains = "65534" }',
      ].join("\n"),
    });
    const { units } = await pgo.outcome("shop", probed, "deployed");
    const by = units.filter(({ unit }) => unit.endsWith(".container")).map(({ service, checkedBy }) => `${service} ${checkedBy}`);
    assert.deepEqual(by.sort(), ["asked.service command", "inner.service http", "shop.service http"]);
  });

  await t.test(
    "of two that are not healthy the one that the other needs is to blame; what it said is kept, without its secrets",
    async () => {
      const broken = await pgo.repository.commit({
        "shop/inner.container": web("never-healthy", 8085, "Exec=sh -c 'echo failing with pl4nted-t0ken; exec web'"),
        "shop/asked.container": `[Unit]\nAfter=inner.service\n[Container]\nImage=localhost/test/web:never-healthy\n`,
        "shop/pgo.toml": [
          "[health.inner]",
          'http = { port = 8080, path = "/ready" }',
          'deadline = "4s"',
          "[health.asked]",
          'command = { run = "healthy" }',
          'deadline = "2s"',
        ].join("\n"),
      });
      const { message } = await pgo.outcome("shop", broken, "rolled-back", 120_000);
      assert.match(
        message ?? "",
        /^inner\.service not healthy after 4(\.\d)? s: GET http:\/\/127\.0\.0\.1:8085\/ready: 404 \(\d+ of \d+ probes\); asked\.service waits for it; back on/,
      );
      const [entry] = await pgo.history("shop");
      const [traces] = entry?.evidence ?? [];
      assert.deepEqual([traces?.service, traces?.state], ["inner.service", "active (running), success, exit 0; its container is running"]);
      const shown = (await pgo.ctl("show", String(entry?.id))).stdout;
      assert.match(shown, /inner\.service WHEN IT FAILED/);
      assert.match(shown, /failing with \*\*\*/);
      assert.doesNotMatch(JSON.stringify(entry) + (await pgo.log()).join(), /pl4nted/);
    },
  );
});

/** Drops what is not there. */
function only(files: Readonly<Record<string, string | null>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(files).flatMap(([path, content]) => (content === null ? [] : [[path, content]])));
}

async function page(pgo: Installed): Promise<string> {
  return (await pgo.host.get("http://127.0.0.1:8081/")).body.trim();
}

async function failedUnits(pgo: Installed): Promise<string> {
  return (await pgo.host.systemctl(["list-units", "--failed", "--plain", "--no-legend"])).stdout;
}

/** The files below pgo's directory with mode and content. */
async function tree(pgo: Installed): Promise<readonly string[]> {
  const { placed } = pgo;
  const shop = await pgo.host.sh(`find ${placed} -printf '%p %m\\n'; find ${placed} -type f -exec sha256sum {} +`);
  return shop.split("\n").sort();
}

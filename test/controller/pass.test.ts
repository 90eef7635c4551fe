/** One commit after another: what each comes to, what is told of it, and what of the host is touched. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";

import Sqlite from "better-sqlite3";

import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const container = (image: string, more = "") => `[Container]\nImage=localhost/${image}\n${more}`;

/** A pgo that has deployed these files, with nothing in its ears any more. */
async function deployed(files: Readonly<Record<string, string>>, options?: ConstructorParameters<typeof Pgo>[0]): Promise<Pgo> {
  const pgo = new Pgo(options);
  pgo.start();
  await pgo.push(files);
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

const starts = (pgo: Pgo) => pgo.world.changes.filter((change) => /^(?:start|restart|stop) /.test(change));

suite("a pass that finds no change", () => {
  test("asks Git for its head, and nothing else of anybody", async () => {
    await using pgo = await deployed({ "shop/web.container": container("good:1") });
    await pgo.pass(2 * minute);
    assert.deepEqual(pgo.asked, ["head", "head"]);
    assert.deepEqual(pgo.outcomes(), []);
  });

  test("looks at the host too every drift_interval, and changes nothing", async () => {
    await using pgo = await deployed({ "shop/web.container": container("good:1"), "blog/blog.container": container("good:1") });
    await pgo.pass(5 * minute);
    assert.equal(pgo.asked.filter((name) => name === "fetch").length, 0);
    assert.equal(pgo.asked.filter((name) => name === "services").length, 1, "one question to systemd for all applications");
    assert.deepEqual(pgo.world.changes, []);
  });

  test("writes to the state database once in ten minutes, looks at the host included", async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "pgo-pass-"));
    t.after(() => {
      rmSync(directory, { recursive: true });
    });
    const database = join(directory, "state.db");
    await using pgo = await deployed(
      { "shop/web.container": container("good:1"), "blog/blog.container": container("good:1") },
      { database },
    );
    await pgo.pass(6 * minute);
    const other = new Sqlite(database, { readonly: true });
    // It differs whenever another connection has changed something (sqlite.org/pragma.html).
    const version = () => other.pragma("data_version", { simple: true });
    const versions = new Set([version()]);
    for (let minutes = 0; minutes < 60; minutes++) {
      await pgo.pass(minute);
      versions.add(version());
    }
    other.close();
    assert.ok(pgo.asked.filter((name) => name === "head").length > 50);
    assert.ok(pgo.asked.filter((name) => name === "services").length > 8);
    assert.ok(versions.size <= 1 + 6, `${versions.size - 1} writes`);
    const { sources } = await pgo.commands.status(new AbortController().signal);
    const age = pgo.clock.now().getTime() - Date.parse(sources[0]?.checkedAt ?? "");
    assert.ok(age < 2 * minute, "status tells the last look's time all the same");
  });
});

suite("a person who asks", () => {
  const files = { "shop/web.container": container("good:1") };
  const ofGit = (pgo: Pgo) => pgo.asked.filter((name) => name === "head" || name === "fetch");

  for (const [what, ask] of [
    ["to sync", (pgo: Pgo) => pgo.commands.sync(undefined, true, new AbortController().signal)],
    ["for the plan", (pgo: Pgo) => pgo.commands.plan(undefined, new AbortController().signal)],
  ] as const)
    test(`${what} waits for one question to Git, which finds and brings the newest commit`, async () => {
      await using pgo = await deployed(files);
      pgo.world.commit({ "shop/web.container": container("good:2") });
      await pgo.until<unknown>(ask(pgo));
      assert.deepEqual(ofGit(pgo), ["fetch"]);
      await pgo.until(pgo.commands.sync(undefined, true, new AbortController().signal));
      assert.equal(pgo.outcome("shop"), "deployed");
      isSettled(pgo);
    });

  test("to try again what failed waits for one question too", async () => {
    await using pgo = await deployed(files);
    await pgo.push({ "shop/web.container": container("crash:1") });
    pgo.forget();
    await pgo.until(pgo.commands.retry("shop", new AbortController().signal));
    assert.deepEqual(ofGit(pgo), ["fetch"]);
  });

  test("is told when Git can't be read", async () => {
    await using pgo = await deployed(files);
    pgo.world.gitTrouble = { reason: "connect: refused", transient: true };
    const { sources } = await pgo.until(pgo.commands.sync(undefined, true, new AbortController().signal));
    assert.deepEqual([sources[0]?.state, sources[0]?.message], ["failed", "connect: refused"]);
    await assert.rejects(pgo.until(pgo.commands.plan(undefined, new AbortController().signal)), /plan fleet: connect: refused/);
  });
});

test("a server that is away is told once, in whatever words it is away; what a person must mend is told when its reason changes", async () => {
  await using pgo = await deployed({ "shop/web.container": container("good:1") });
  for (const [reason, transient] of [
    ["connection reset", true],
    ["connection refused", true],
    ["no route to host", true],
    ["permission denied", false],
    ["permission denied", false],
    ["no such branch", false],
  ] as const) {
    pgo.world.gitTrouble = { reason, transient };
    await pgo.pass(70 * minute);
  }
  pgo.world.gitTrouble = undefined;
  await pgo.pass(70 * minute);
  const told = pgo.told.flatMap((event) => (event.type === "source" ? [`${event.state}: ${event.message}`] : []));
  assert.deepEqual(told.slice(0, 3), [
    "failed: connection reset; what runs is kept, and it is tried again",
    "failed: permission denied; what runs is kept",
    "failed: no such branch; what runs is kept",
  ]);
  assert.equal(told.length, 4);
  assert.match(told[3] ?? "", /^recovered: /);
});

suite("a changed network that another application uses", () => {
  const files = (subnet: string) => ({
    "base/wide.network": `[Network]\nSubnet=${subnet}\n`,
    "blog/blog.container": container("good:1", "Network=wide.network\n"),
    "blog/side.container": container("good:1"),
    "shop/shop.container": container("good:1", "Network=wide.network\nHealthCmd=x\n"),
  });

  test("is made anew with its users stopped meanwhile and started again, all others left alone, and nothing more at the next pass", async () => {
    await using pgo = await deployed(files("10.1.0.0/24"));
    await pgo.push(files("10.2.0.0/24"));
    assert.deepEqual(
      pgo.world.changes.filter((change) => !change.startsWith("write")),
      [
        "reload",
        "stop blog.service",
        "stop shop.service",
        "stop wide-network.service",
        "remove network systemd-wide",
        "start wide-network.service",
        "start blog.service",
        "start shop.service",
      ],
    );
    assert.equal(pgo.outcome("base"), "deployed");
    isSettled(pgo);
    pgo.forget();
    await pgo.pass(10 * minute);
    assert.deepEqual(starts(pgo), []);
  });

  test("is undone when one of them does not come back healthy, and they run as before", async () => {
    await using pgo = await deployed(files("10.1.0.0/24"));
    pgo.world.machine.images.set("localhost/good:1", "sick");
    pgo.world.commit(files("10.2.0.0/24"));
    pgo.world.onChange = () => {
      if (pgo.world.changes.at(-1) !== "remove network systemd-wide") return;
      if (pgo.world.changes.filter((change) => change === "remove network systemd-wide").length === 2)
        pgo.world.machine.images.set("localhost/good:1", "good");
    };
    await pgo.pass(4 * minute);
    assert.equal(pgo.outcome("base"), "rolled-back");
    assert.match(pgo.record("base")?.message ?? "", /^shop\.service /);
    assert.match(pgo.world.machine.networks.get("systemd-wide") ?? "", /10\.1\.0\.0/);
    isSettled(pgo);
  });
});

suite("a commit that changes one application", () => {
  const files = {
    "shop/web.container": container("good:1"),
    "shop/db.container": container("good:1"),
    "blog/blog.container": container("good:1"),
  };

  test("restarts the one service that changed, reloads once, and the history says why", async () => {
    await using pgo = await deployed(files);
    await pgo.push({ ...files, "shop/web.container": container("good:2") });
    assert.deepEqual(pgo.world.changes, ["write fleet/shop/web.container", "reload", "restart web.service"]);
    assert.deepEqual(pgo.outcomes(), ["shop deployed: healthy by process after 2 s"]);
    const [last] = pgo.history("shop");
    assert.equal(last?.cause, "commit");
    assert.equal(last.subject, "change 2");
    assert.ok(last.reasons.includes("restart web.service: Image= changed in web.container"));
    assert.deepEqual(
      last.steps.map(({ kind, target, error }) => [kind, target, error]),
      [
        ["write", "web.container", null],
        ["reload", "systemd", null],
        ["restart", "web.service", null],
      ],
    );
    isSettled(pgo);
  });

  test("in its pgo.toml alone touches nothing, and is checked all the same", async () => {
    await using pgo = await deployed(files);
    await pgo.push({ ...files, "shop/pgo.toml": '[health.web]\nhttp = { url = "http://web.service/" }\n' });
    assert.deepEqual(pgo.world.changes, []);
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.match(pgo.record("shop")?.message ?? "", /healthy by process, http/);
  });

  test("in its README is no change", async () => {
    await using pgo = await deployed(files);
    await pgo.push({ ...files, "shop/README.md": "x" });
    assert.deepEqual(pgo.world.changes, []);
    assert.deepEqual(pgo.outcomes(), []);
  });
});

suite("a commit that is refused", () => {
  const good = { "shop/web.container": container("good:1"), "blog/blog.container": container("good:1") };

  for (const [what, files, message] of [
    [
      "an unparsable line",
      { "shop/bad.container": "[Container]\nImage=x\nnonsense\n" },
      /^shop\/bad\.container:3: “nonsense” which is not a key-value pair/,
    ],
    [
      "an unknown key",
      { "shop/web.container": container("good:1", "PublishPorts=80\n") },
      /^shop\/web\.container:3: unsupported key 'PublishPorts'.*did you mean PublishPort\?/,
    ],
    [
      "a network that is not there",
      { "shop/web.container": container("good:1", "Network=x.network\n") },
      /^shop\/web\.container.*requested Quadlet unit x\.network was not found/,
    ],
    ["settings that are none", { "shop/pgo.toml": "[helth]\n" }, /^shop\/pgo\.toml:1: .*helth/],
    ["settings of no unit", { "shop/pgo.toml": '[health.wbe]\ndeadline = "5s"\n' }, /^shop\/pgo\.toml: \[health\.wbe\] names no unit/],
    [
      "a unit that another application has",
      { "shop/blog.container": container("good:1") },
      /^shop\/blog\.container: blog\.container makes blog\.service, which application fleet\/blog has already/,
    ],
  ] as const)
    test(`for ${what} leaves the host as it was and says where`, async () => {
      await using pgo = await deployed(good);
      await pgo.push({ ...good, ...files });
      assert.equal(pgo.outcome("shop"), "rejected");
      assert.match(pgo.record("shop")?.message ?? "", message);
      assert.deepEqual(pgo.world.changes, []);
      assert.equal(pgo.history("shop").length, 1, "there was no deployment");
      isSettled(pgo);
    });

  test("is told once, and not again while it stays as it is", async () => {
    await using pgo = await deployed(good);
    await pgo.push({ ...good, "shop/bad.container": "nonsense\n" });
    await pgo.pass(30 * minute);
    assert.equal(pgo.outcomes().length, 1);
  });

  test("doesn't keep the other applications of the same commit back", async () => {
    await using pgo = await deployed(good);
    await pgo.push({ ...good, "shop/bad.container": "nonsense\n", "blog/blog.container": container("good:2") });
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["rejected", "deployed"]);
    isSettled(pgo);
  });

  test("is taken once the host has what it lacked", async () => {
    await using pgo = await deployed(good);
    await pgo.push({ ...good, "shop/web.container": container("good:2", "Network=persons.network\n") });
    assert.equal(pgo.outcome("shop"), "rejected");
    pgo.world.edit("/etc/containers/systemd/persons.network", "[Network]\n");
    await pgo.pass(6 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
  });

  test("is taken then too when what ran had trouble of its own meanwhile", async () => {
    await using pgo = await deployed(good);
    await pgo.push({ ...good, "shop/web.container": container("good:2", "Network=persons.network\n") });
    pgo.world.machine.images.set("localhost/good:1", "crash");
    pgo.world.machine.stop(service("web"));
    await pgo.pass(20 * minute);
    assert.equal(pgo.outcome("shop"), "failed");
    pgo.world.machine.images.set("localhost/good:1", "good");
    pgo.world.machine.start(service("web"));
    await pgo.pass(60 * minute);
    assert.notEqual(pgo.outcome("shop"), "failed");
    pgo.world.edit("/etc/containers/systemd/persons.network", "[Network]\n");
    await pgo.pass(6 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  test("and taken back leaves all as it was", async () => {
    await using pgo = await deployed(good);
    await pgo.push({ ...good, "shop/bad.container": "nonsense\n" });
    await pgo.push(good);
    assert.equal(pgo.outcome("shop"), "in-sync");
    assert.deepEqual(pgo.world.changes, []);
  });
});

suite("what the host has from elsewhere is neither overwritten nor shadowed", () => {
  test("a unit of the distribution's", async () => {
    await using pgo = new Pgo();
    pgo.world.machine.installed.set(service("ssh"), "/usr/lib/systemd/system/ssh.service");
    await pgo.push({ "shop/ssh.container": container("good:1") });
    assert.match(pgo.record("shop")?.message ?? "", /the host has ssh\.service already, from \/usr\/lib\/systemd\/system\/ssh\.service/);
    assert.deepEqual(pgo.world.changes, []);
  });

  test("a person's quadlet, in pgo's own directory too", async () => {
    for (const path of ["/etc/containers/systemd/web.container", "/etc/containers/systemd/pgo/fleet/other/web.container"]) {
      await using pgo = new Pgo();
      pgo.world.edit(path, container("good:2"));
      pgo.world.machine.reload();
      pgo.world.machine.start(service("web"));
      await pgo.push({ "shop/web.container": container("good:1") });
      assert.equal(pgo.outcome("shop"), "rejected", path);
      assert.ok(pgo.record("shop")?.message?.includes(path));
      assert.deepEqual(pgo.world.changes, []);
      assert.deepEqual(pgo.world.violations, []);
    }
  });

  test("a person's file where one of the application's would go", async () => {
    await using pgo = new Pgo();
    pgo.world.edit("/etc/containers/systemd/pgo/fleet/shop/notes.txt", "mine");
    await pgo.push({ "shop/web.container": container("good:1"), "shop/notes.txt": "Git's" });
    assert.equal(pgo.outcome("shop"), "rejected");
    assert.match(pgo.record("shop")?.message ?? "", /a file that pgo did not place is there on the host: move it away/);
    assert.equal(pgo.world.file(id("shop"), "notes.txt"), "mine");
  });
});

suite("an image that is not there", () => {
  const files = { "shop/web.container": container("good:1") };
  const missing = { "shop/web.container": "[Container]\nImage=registry.example.com/web:2\n" };

  test("holds the application, and what runs is never stopped", async () => {
    await using pgo = await deployed(files);
    await pgo.push(missing);
    assert.equal(pgo.outcome("shop"), "held");
    assert.match(pgo.record("shop")?.message ?? "", /pull registry\.example\.com\/web:2: manifest unknown/);
    assert.deepEqual(pgo.world.changes, []);
    assert.deepEqual(pgo.store.quarantined(id("shop")), []);
  });

  test("is tried again later and later, and told once", async () => {
    await using pgo = await deployed(files);
    await pgo.push(missing);
    pgo.forget();
    await pgo.pass(63 * minute);
    const pulls = pgo.asked.filter((name) => name === "pull").length;
    assert.ok(pulls >= 4 && pulls <= 7, `${pulls} tries in an hour`);
    assert.deepEqual(pgo.outcomes(), []);
  });

  test("is not tried earlier because other applications change meanwhile", async () => {
    await using pgo = await deployed({ ...files, "blog/blog.container": container("good:1") });
    await pgo.push({ ...missing, "blog/blog.container": container("good:1") });
    await pgo.pass(60 * minute);
    pgo.forget();
    for (const image of ["good:2", "good:3", "good:1"]) await pgo.push({ ...missing, "blog/blog.container": container(image) });
    assert.equal(pgo.outcome("blog"), "deployed");
    assert.ok(pgo.asked.filter((name) => name === "pull").length <= 1, "only when its own time has come");
  });

  test("is deployed when it can be had, at once when a person asks", async () => {
    await using pgo = await deployed(files);
    await pgo.push(missing);
    await pgo.pass(120 * minute);
    pgo.world.registry.set("registry.example.com/web:2", "good");
    await pgo.until(pgo.commands.sync(undefined, true, new AbortController().signal));
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  test("is not waited for when the next commit does without it", async () => {
    await using pgo = await deployed(files);
    await pgo.push(missing);
    await pgo.pass(120 * minute);
    await pgo.push({ "shop/web.container": container("good:2") });
    assert.equal(pgo.outcome("shop"), "deployed");
  });
});

suite("a version that does not get healthy", () => {
  const files = { "shop/web.container": container("good:1", "HealthCmd=x\n"), "blog/blog.container": container("good:1") };
  const bad = (image: string) => ({ ...files, "shop/web.container": container(image, "HealthCmd=x\n") });

  for (const [what, image] of [
    ["runs and is never healthy", "sick:1"],
    ["ends again and again", "crash:1"],
    ["ends by itself", "job:1"],
  ] as const)
    test(`since it ${what} is undone, and the old one runs as before`, async () => {
      await using pgo = await deployed(files);
      await pgo.push(bad(image));
      assert.equal(pgo.outcome("shop"), "rolled-back");
      assert.match(pgo.record("shop")?.message ?? "", /^web\.service .*; back on the last good version: see ctl show/);
      assert.ok(!starts(pgo).some((start) => start.includes("blog")), "the other application is left alone");
      isSettled(pgo);
    });

  test("is not tried again: not at the next polls, not with a commit elsewhere, not when it comes back", async () => {
    await using pgo = await deployed(files);
    await pgo.push(bad("sick:1"));
    const tries = () => pgo.history("shop").filter((one) => one.cause === "commit").length;
    assert.equal(tries(), 2);
    await pgo.pass(30 * minute);
    await pgo.push({ ...bad("sick:1"), "blog/blog.container": container("good:2") });
    assert.equal(pgo.outcome("blog"), "deployed");
    await pgo.push(files);
    assert.equal(pgo.outcome("shop"), "in-sync");
    await pgo.push(bad("sick:1"));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.equal(tries(), 2);
    assert.deepEqual(pgo.world.violations, []);
  });

  test("is followed by the fix", async () => {
    await using pgo = await deployed(files);
    await pgo.push(bad("crash:1"));
    await pgo.push(bad("good:2"));
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  test("is tried again when a person says so", async () => {
    await using pgo = await deployed(files);
    await pgo.push(bad("sick:1"));
    pgo.world.machine.images.set("localhost/sick:1", "good");
    const answer = await pgo.until(pgo.commands.retry("shop", new AbortController().signal));
    assert.equal(answer.done, true);
    assert.equal(pgo.history("shop")[0]?.cause, "retry");
    isSettled(pgo);
  });

  test("takes its new units away with it", async () => {
    await using pgo = await deployed(files);
    await pgo.push({
      ...bad("sick:1"),
      "shop/extra.container": container("good:1", "Network=new.network\n"),
      "shop/new.network": "[Network]\n",
    });
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.equal(pgo.world.machine.networks.size, 0);
    isSettled(pgo);
  });

  test("and is the first is taken away whole, and the next one can be tried", async () => {
    await using pgo = new Pgo();
    await pgo.push({ "shop/web.container": container("crash:1", "Network=app.network\n"), "shop/app.network": "[Network]\n" });
    assert.equal(pgo.outcome("shop"), "failed");
    assert.match(pgo.record("shop")?.message ?? "", /there was nothing to go back to, so it was taken away again/);
    assert.deepEqual([pgo.world.machine.files.size, pgo.world.machine.visible(), pgo.world.machine.networks.size], [0, [], 0]);
    await pgo.push({ "shop/web.container": container("good:1") });
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  test("started with Notify=healthy is given up at its own deadline, not at systemd's", async () => {
    await using pgo = await deployed(files);
    const began = pgo.clock.monotonic();
    await pgo.push({
      ...bad("sick:1"),
      "shop/web.container": container("sick:1", "HealthCmd=x\nNotify=healthy\n"),
      "shop/pgo.toml": '[health.web]\ndeadline = "30s"\n',
    });
    assert.equal(pgo.outcome("shop"), "rolled-back");
    const [last] = pgo.history("shop");
    const took = (last?.finishedAt?.getTime() ?? 0) - (last?.startedAt.getTime() ?? 0);
    assert.ok(took >= 30_000 && took < 60_000, `${took} ms`);
    assert.ok(pgo.clock.monotonic() > began);
    isSettled(pgo);
  });

  test("and used the starts up that systemd allows, is undone all the same", async () => {
    const [again, good] = ["[Service]\nRestart=on-failure\n", { "shop/web.container": container("good:1") }];
    await using pgo = await deployed(good);
    await pgo.push({ "shop/web.container": container("crash:1", again) });
    assert.equal(pgo.outcome("shop"), "rolled-back");
    isSettled(pgo);
  });
});

suite("going back stops nothing that works", () => {
  test("where the bad version had brought a network that the running one does not use", async () => {
    await using pgo = await deployed({ "shop/web.container": container("good:1") });
    await pgo.push({
      "shop/web.container": container("good:2", "Network=app.network\n"),
      "shop/app.network": "[Network]\n",
      "shop/a-job.container": container("crash:1", "Network=app.network\n[Service]\nType=oneshot\n"),
    });
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.ok(!starts(pgo).includes("restart web.service"), "the first step to fail was not web's");
    assert.equal(pgo.world.machine.started.filter((one) => one.service === "web.service").length, 1);
    isSettled(pgo);
  });

  test("and starts again what systemd has stopped with a unit that the bad version had made it require", async () => {
    await using pgo = await deployed({ "shop/web.container": container("good:1") });
    await pgo.push({
      "shop/web.container": `[Unit]\nRequires=db.service\nAfter=db.service\n${container("good:2")}`,
      "shop/db.container": container("sick:1", "HealthCmd=x\nNotify=healthy\n"),
    });
    assert.equal(pgo.outcome("shop"), "rolled-back");
    isSettled(pgo);
  });
});

suite("an application that Git has no more", () => {
  test("is gone from the host, its networks too, its volumes not", async () => {
    await using pgo = await deployed({
      "shop/web.container": container("stubborn:1", "Network=app.network\nVolume=data.volume:/d\nVolume=./conf:/c\n"),
      "shop/app.network": "[Network]\n",
      "shop/data.volume": "[Volume]\n",
      "shop/conf/a": "1",
      "blog/blog.container": container("good:1"),
    });
    await pgo.push({ "blog/blog.container": container("good:1") });
    assert.equal(pgo.record("shop"), undefined);
    assert.deepEqual(pgo.world.machine.visible(), ["blog.service"], "nothing is left running, nothing is listed as failed");
    assert.equal(pgo.world.machine.networks.size, 0);
    assert.equal(pgo.history("shop")[0]?.outcome, "deployed");
    assert.deepEqual(pgo.outcomes(), ["shop deployed: removed"]);
    isSettled(pgo);
  });

  test("keeps the files that a person put beside its own", async () => {
    await using pgo = await deployed({ "shop/web.container": container("good:1"), "blog/blog.container": container("good:1") });
    pgo.world.edit("/etc/containers/systemd/pgo/fleet/shop/notes.txt", "mine");
    await pgo.push({ "blog/blog.container": container("good:1") });
    assert.equal(pgo.world.file(id("shop"), "notes.txt"), "mine");
    assert.deepEqual(pgo.world.violations, []);
  });

  test("and never ran is forgotten", async () => {
    await using pgo = await deployed({ "blog/blog.container": container("good:1") });
    await pgo.push({ "blog/blog.container": container("good:1"), "shop/bad.container": "nonsense\n" });
    assert.equal(pgo.outcome("shop"), "rejected");
    await pgo.push({ "blog/blog.container": container("good:1") });
    assert.equal(pgo.record("shop"), undefined);
  });

  test("though its first rollout could not be undone, is gone all the same", async () => {
    await using pgo = new Pgo();
    pgo.start();
    await pgo.push({ "blog/blog.container": container("good:1") });
    // The start fails, and so does the first step back.
    pgo.world.machine.images.set("localhost/odd:1", "crash");
    pgo.faults.add({ kind: "answers with trouble", among: "host", after: 2, times: 4 });
    await pgo.push({ "blog/blog.container": container("good:1"), "shop/web.container": container("odd:1") });
    assert.match(pgo.record("shop")?.message ?? "", /going back failed too/);
    assert.notEqual(pgo.world.file(id("shop"), "web.container"), undefined);
    pgo.faults.clear();
    await pgo.push({ "blog/blog.container": container("good:1") });
    assert.equal(pgo.record("shop"), undefined);
    assert.equal(pgo.world.file(id("shop"), "web.container"), undefined);
    isSettled(pgo);
  });
});

suite("a repository that became empty by mistake", () => {
  test("is refused, told once, and harms nothing", async () => {
    await using pgo = await deployed({ "shop/web.container": container("good:1") });
    await pgo.push({ "README.md": "oops" });
    await pgo.pass(10 * minute);
    assert.deepEqual(pgo.world.changes, []);
    const told = pgo.told.filter((event) => event.type === "source");
    assert.equal(told.length, 1);
    assert.match(told[0]?.message ?? "", /holds no application where there was 1: nothing is removed; set allow_empty = true/);
    assert.equal(pgo.store.sources()[0]?.state, "failed");
    await pgo.push({ "shop/web.container": container("good:2") });
    await pgo.pass(30 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.equal(pgo.store.sources()[0]?.state, "ok");
  });

  test("is believed where that is allowed", async () => {
    await using pgo = await deployed({ "shop/web.container": container("good:1") }, { allowEmpty: true });
    await pgo.push({ "README.md": "meant" });
    assert.deepEqual(pgo.store.applications(), []);
    isSettled(pgo);
  });
});

suite("Git that can't be reached", () => {
  test("is told once, and once when it is back; what runs is kept as it was meanwhile", async () => {
    await using pgo = await deployed({ "shop/web.container": container("good:1") });
    pgo.world.gitTrouble = { reason: "connect to git.example.com port 22: Connection refused", transient: true };
    await pgo.pass(3 * minute);
    pgo.world.machine.stop(service("web"));
    await pgo.pass(30 * minute);
    isSettled(pgo);
    pgo.world.gitTrouble = undefined;
    await pgo.pass(60 * minute);
    const told = pgo.told.flatMap((event) => (event.type === "source" ? [event.state] : []));
    assert.deepEqual(told, ["failed", "recovered"]);
    assert.deepEqual(
      pgo.outcomes().map((line) => line.split(":")[0]),
      ["shop repaired"],
    );
  });

  test("is asked later and later", async () => {
    await using pgo = await deployed({ "shop/web.container": container("good:1") });
    pgo.world.gitTrouble = { reason: "no route", transient: true };
    await pgo.pass(180 * minute);
    const asked = pgo.asked.filter((name) => name === "head").length;
    // The look at the host every five minutes asks too.
    assert.ok(asked < 60, `${asked} times in three hours`);
  });

  test("and a history that was rewritten are told, and followed", async () => {
    await using pgo = await deployed({ "shop/web.container": container("good:1") });
    pgo.world.commit({ "shop/web.container": container("good:2") }, { rewritten: true });
    await pgo.pass(2 * minute);
    assert.deepEqual(
      pgo.told.flatMap((event) => (event.type === "source" ? [event.state] : [])),
      ["rewritten"],
    );
    assert.equal(pgo.outcome("shop"), "deployed");
  });
});

suite("a source at a tag", () => {
  test("is told in status and history by the tag", async () => {
    await using pgo = new Pgo();
    pgo.world.commit({ "shop/web.container": container("good:1") }, { tag: "v1.0.0" });
    pgo.start();
    await pgo.pass(2 * minute);
    assert.equal(pgo.store.deployments({ limit: 1 })[0]?.ref, "v1.0.0");
    assert.equal(pgo.store.sources()[0]?.tag, "v1.0.0");
    pgo.world.commit({ "shop/web.container": container("good:2") }, { tag: "v1.1.0" });
    await pgo.pass(2 * minute);
    assert.equal(pgo.store.deployments({ limit: 1 })[0]?.ref, "v1.1.0");
    assert.deepEqual(
      pgo.told.filter(({ type }) => type === "source"),
      [],
    );
  });

  test("that was moved is followed, and told once", async () => {
    await using pgo = new Pgo();
    pgo.world.commit({ "shop/web.container": container("good:1") }, { tag: "v1.0.0" });
    pgo.start();
    await pgo.pass(2 * minute);
    pgo.world.commit({ "shop/web.container": container("good:2") }, { tag: "v1.0.0" });
    await pgo.pass(10 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
    const told = pgo.told.flatMap((event) => (event.type === "source" ? [`${event.state}: ${event.message}`] : []));
    assert.deepEqual(told, [
      "rewritten: tag v1.0.0 was moved from 0000000 to 0000000, which is followed: find out who did it, a tag should never move",
    ]);
  });
});

suite("applications that need each other", () => {
  const base = { "base/shared.network": "[Network]\n", "base/base.container": container("good:1") };
  const shop = { "shop/web.container": container("good:1", "Network=shared.network\n") };

  test("start in order, also when their names say otherwise", async () => {
    await using pgo = await deployed({ "zbase/shared.network": "[Network]\n", ...shop });
    assert.deepEqual([pgo.outcome("zbase"), pgo.outcome("shop")], ["deployed", "deployed"]);
  });

  test("wait for one that is refused, and say so", async () => {
    await using pgo = await deployed(base);
    await pgo.push({ ...base, "base/bad.container": "nonsense\n", ...shop });
    assert.deepEqual([pgo.outcome("base"), pgo.outcome("shop")], ["rejected", "held"]);
    assert.match(pgo.record("shop")?.message ?? "", /needs shared\.network of fleet\/base, which is refused/);
    await pgo.push({ ...base, ...shop });
    assert.equal(pgo.outcome("shop"), "deployed");
  });

  test("wait for one that was undone, and go on when it is mended", async () => {
    await using pgo = await deployed(base);
    await pgo.push({ ...base, "base/base.container": container("crash:1"), ...shop });
    assert.deepEqual([pgo.outcome("base"), pgo.outcome("shop")], ["rolled-back", "held"]);
    assert.match(pgo.record("shop")?.message ?? "", /depends on fleet\/base, which is not as Git wants it/);
    await pgo.push({ ...base, "base/base.container": container("good:2"), ...shop });
    assert.deepEqual([pgo.outcome("base"), pgo.outcome("shop")], ["deployed", "deployed"]);
  });

  test("can't lose what they need: not by its removal, not by a version without it", async () => {
    for (const after of [shop, { ...shop, "base/base.container": container("good:2") }]) {
      await using pgo = await deployed({ ...base, ...shop });
      await pgo.push(after);
      assert.equal(pgo.outcome("base"), "held");
      assert.match(pgo.record("base")?.message ?? "", /fleet\/shop still needs shared\.network, which would go away/);
      assert.deepEqual(pgo.world.changes, []);
      isSettled(pgo);
    }
  });

  test("can't lose it to a commit that changes both, while the other's change is refused", async () => {
    await using pgo = await deployed({ ...base, ...shop });
    await pgo.push({ "shop/web.container": container("good:2"), "shop/bad.container": "nonsense\n" });
    assert.deepEqual([pgo.outcome("base"), pgo.outcome("shop")], ["held", "rejected"]);
    isSettled(pgo);
    await pgo.push({ "shop/web.container": container("good:2") });
    assert.equal(pgo.record("base"), undefined);
    isSettled(pgo);
  });

  test("are refused what goes away in the same commit", async () => {
    await using pgo = await deployed({ ...base, "blog/blog.container": container("good:1") });
    await pgo.push({ "blog/blog.container": container("good:2", "Network=shared.network\n") });
    assert.equal(pgo.outcome("blog"), "rejected");
    assert.equal(pgo.record("base"), undefined);
    isSettled(pgo);
  });
});

suite("a unit that moves from one application to another", () => {
  const files = {
    "shop/web.container": container("good:1"),
    "shop/wander.container": container("good:1"),
    "blog/blog.container": container("good:1"),
  };
  const moved = {
    "shop/web.container": container("good:1"),
    "blog/blog.container": container("good:1"),
    "blog/wander.container": container("good:1"),
  };

  test("is given up by the one before the other takes it", async () => {
    await using pgo = await deployed(files);
    await pgo.push(moved);
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "deployed"]);
    isSettled(pgo);
  });

  test("is not taken while the first does not give it up", async () => {
    await using pgo = await deployed(files);
    await pgo.push({ ...moved, "shop/web.container": container("crash:1") });
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["rolled-back", "held"]);
    assert.match(pgo.record("blog")?.message ?? "", /wander\.container makes wander\.service, which fleet\/shop still has/);
    isSettled(pgo);
    await pgo.push({ ...moved, "shop/web.container": container("good:2") });
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "deployed"]);
    isSettled(pgo);
  });

  test("is taken of an application that goes away in the same commit", async () => {
    await using pgo = await deployed({ "shop/wander.container": container("good:1"), "blog/blog.container": container("good:1") });
    await pgo.push({ "blog/blog.container": container("good:1"), "blog/wander.container": container("good:1") });
    assert.equal(pgo.record("shop"), undefined);
    assert.equal(pgo.outcome("blog"), "deployed");
    isSettled(pgo);
  });

  test("is never there twice: two that exchange theirs are held, and what runs goes on", async () => {
    await using pgo = await deployed({ "shop/one.container": container("good:1"), "blog/two.container": container("good:1") });
    await pgo.push({ "shop/two.container": container("good:1"), "blog/one.container": container("good:1") });
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["held", "held"]);
    assert.deepEqual(starts(pgo), []);
    isSettled(pgo);
  });
});

suite("trouble with one application", () => {
  test("that nobody expected does not keep the others from their turn", async () => {
    await using pgo = await deployed({ "blog/blog.container": container("good:1"), "shop/web.container": container("good:1") });
    pgo.world.unreadable = id("blog");
    await pgo.push({ "blog/blog.container": container("good:2"), "shop/web.container": container("good:2") });
    assert.deepEqual([pgo.outcome("blog"), pgo.outcome("shop")], ["held", "deployed"]);
    pgo.world.unreadable = undefined;
    await pgo.pass(6 * minute);
    assert.deepEqual([pgo.outcome("blog"), pgo.outcome("shop")], ["deployed", "deployed"]);
    isSettled(pgo);
  });
});

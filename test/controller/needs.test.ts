/** An application that needs what another one has, while that is not healthy: it waits, and is not to blame. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const container = (image: string, more = "") => `${more}[Container]\nImage=localhost/${image}\nHealthCmd=x\n`;
const needsDb = "[Unit]\nRequires=db.service\nAfter=db.service\n";
const files = (image: string, more: Readonly<Record<string, string>> = {}) => ({
  "base/db.container": container("good:1"),
  "shop/web.container": container(image, needsDb),
  ...more,
});

async function deployed(made: Readonly<Record<string, string>> = files("good:1")): Promise<Pgo> {
  const pgo = new Pgo();
  pgo.start();
  await pgo.push(made);
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

/** From this change on the database is unhealthy, and so is what works with it. */
function fallsIllAt(pgo: Pgo, change: string): void {
  pgo.world.onChange = () => {
    if (pgo.world.changes.at(-1) === change) for (const name of ["db", "web"]) pgo.world.machine.behave(service(name), "sick");
  };
}

const recovers = (pgo: Pgo) => {
  pgo.world.onChange = undefined;
  for (const name of ["db", "web"]) pgo.world.machine.behave(service(name), "good");
};
const image = (pgo: Pgo) => /localhost\/([a-z]+:\d)/.exec(pgo.world.machine.runs(service("web")) ?? "")?.[1];

suite("while what it needs of another application is unhealthy, a new version", () => {
  test("is held before anything is touched, with the reason, and goes when that is healthy again", async () => {
    await using pgo = await deployed();
    pgo.world.machine.behave(service("db"), "sick");
    await pgo.push(files("good:2"));
    await pgo.pass(20 * minute);
    assert.deepEqual(pgo.world.changes, []);
    const { outcome, message, held } = pgo.record("shop") ?? assert.fail();
    assert.equal(outcome, "held");
    assert.equal(message, "db.service of fleet/base, which it needs, is unhealthy (Podman's health check fails: see podman inspect)");
    assert.ok((held?.tries ?? 0) > 2 && held?.until !== undefined);
    assert.equal(pgo.outcomes().filter((line) => line.startsWith("shop ")).length, 1, "told once");
    recovers(pgo);
    await pgo.pass(60 * minute);
    assert.deepEqual([pgo.outcome("shop"), image(pgo)], ["deployed", "good:2"]);
    isSettled(pgo);
  });

  test("that goes in phases and met it in the last is undone whole", async () => {
    const phased = (one: string) => files(one, { "shop/ui.container": container(one, needsDb), "shop/pgo.toml": "[unit.ui]\nphase = 2\n" });
    await using pgo = await deployed(phased("good:1"));
    pgo.world.onChange = () => {
      if (pgo.world.changes.at(-1) === "restart ui.service")
        for (const name of ["db", "ui"]) pgo.world.machine.behave(service(name), "sick");
    };
    await pgo.push(phased("good:2"));
    assert.match(pgo.outcomes()[0] ?? "", /^shop rolled-back: db\.service of fleet\/base, which it needs, is unhealthy/);
    assert.equal(image(pgo), "good:1");
  });

  test("that met it on the way is undone, is in no quarantine, and is tried again when that is healthy", async () => {
    await using pgo = await deployed();
    fallsIllAt(pgo, "restart web.service");
    await pgo.push(files("good:2"));
    assert.deepEqual(pgo.outcomes().slice(0, 1), [
      "shop rolled-back: db.service of fleet/base, which it needs, is unhealthy (Podman's health check fails: see podman inspect (15 of 15 probes)); back on the last good version; it is tried again by itself: see ctl show 3",
    ]);
    assert.equal(image(pgo), "good:1");
    assert.deepEqual(pgo.store.quarantined(id("shop")), []);
    assert.equal(pgo.outcome("shop"), "held", "by the next try, which touches nothing");
    pgo.forget();
    await pgo.pass(20 * minute);
    assert.deepEqual([pgo.world.changes, pgo.outcomes()], [[], []]);
    const { applications } = await pgo.until(pgo.commands.status(new AbortController().signal));
    assert.match(applications.find(({ name }) => name === "shop")?.held?.why ?? "", /^db\.service of fleet\/base/);
    recovers(pgo);
    await pgo.pass(60 * minute);
    assert.deepEqual([pgo.outcome("shop"), image(pgo)], ["deployed", "good:2"]);
    isSettled(pgo);
  });

  test("that is the first one is taken away again, and comes when that is healthy", async () => {
    await using pgo = await deployed({ "base/db.container": container("good:1") });
    fallsIllAt(pgo, "start web.service");
    await pgo.push(files("good:1"));
    assert.equal(pgo.history("shop")[0]?.outcome, "rolled-back");
    assert.equal(pgo.world.file(id("shop"), "web.container"), undefined);
    assert.deepEqual(pgo.store.quarantined(id("shop")), []);
    recovers(pgo);
    await pgo.pass(10 * minute);
    assert.deepEqual([pgo.outcome("shop"), image(pgo)], ["deployed", "good:1"]);
    isSettled(pgo);
  });

  test("whose start failed for it is not to blame either", async () => {
    await using pgo = await deployed();
    pgo.world.onChange = () => {
      if (pgo.world.changes.at(-1) !== "write fleet/shop/web.container") return;
      pgo.world.machine.images.delete("localhost/good:1");
      pgo.world.machine.kill(service("db"));
    };
    await pgo.push(files("good:2"));
    assert.match(
      pgo.history("shop")[0]?.description ?? "",
      /restart web\.service: .*db\.service of fleet\/base, which it needs, is unhealthy/,
    );
    assert.deepEqual(pgo.store.quarantined(id("shop")), []);
    pgo.world.onChange = undefined;
    pgo.world.machine.images.set("localhost/good:1", "good");
    await pgo.pass(60 * minute);
    assert.deepEqual([pgo.outcome("shop"), image(pgo)], ["deployed", "good:2"]);
    isSettled(pgo);
  });

  test("that is unhealthy itself is in quarantine all the same", async () => {
    await using pgo = await deployed();
    fallsIllAt(pgo, "restart web.service");
    await pgo.push(files("good:2", { "shop/side.container": container("sick:1") }));
    assert.equal(pgo.store.quarantined(id("shop")).length, 1);
  });

  test("that meets it each time it is tried is in quarantine after the third: it may be what does the harm", async () => {
    await using pgo = await deployed();
    pgo.world.onChange = () => {
      const change = pgo.world.changes.at(-1) ?? "";
      const isNew = pgo.world.file(id("shop"), "web.container")?.includes("good:2") === true;
      if (change === "restart web.service")
        for (const name of ["db", "web"]) pgo.world.machine.behave(service(name), isNew ? "sick" : "good");
    };
    await pgo.push(files("good:2"));
    await pgo.pass(300 * minute);
    const undone = pgo.history("shop").filter(({ outcome }) => outcome === "rolled-back");
    assert.equal(undone.length, 3);
    assert.equal(pgo.store.quarantined(id("shop")).length, 1);
    isSettled(pgo);
  });

  test("that is not to be gone back from is left, in no quarantine, and is in sync when that is healthy", async () => {
    const own = { "shop/pgo.toml": 'rollback = "never"\n' };
    await using pgo = await deployed(files("good:1", own));
    fallsIllAt(pgo, "restart web.service");
    await pgo.push(files("good:2", own));
    assert.deepEqual([pgo.outcome("shop"), image(pgo), pgo.store.quarantined(id("shop"))], ["failed", "good:2", []]);
    recovers(pgo);
    await pgo.pass(10 * minute);
    assert.equal(pgo.outcome("shop"), "in-sync");
    isSettled(pgo);
  });

  test("comes to the same end whenever pgo is killed on the way", async () => {
    for (let after = 0; ; after++)
      for (const kind of ["killed before", "killed after"] as const) {
        await using pgo = await deployed();
        fallsIllAt(pgo, "restart web.service");
        pgo.faults.add({ kind, among: "changes", after, times: 1 });
        await pgo.push(files("good:2"));
        const isOver = pgo.faults.happened.length === 0;
        const said = `killed at ${String(after)}: ${pgo.faults.happened.join()}`;
        pgo.faults.clear();
        await pgo.pass(2 * minute);
        assert.match(pgo.outcome("shop") ?? "", /^(?:rolled-back|held)$/, said);
        assert.deepEqual([image(pgo), pgo.store.quarantined(id("shop"))], ["good:1", []], said);
        recovers(pgo);
        await pgo.pass(12 * minute);
        assert.deepEqual([pgo.outcome("shop"), image(pgo)], ["deployed", "good:2"], said);
        isSettled(pgo);
        if (isOver) return;
      }
  });
});

test("an application that another one's need waits for in turn is not held by it: it may be the mending of it", async () => {
  const circle = (image: string, back = "[Unit]\nAfter=cache.service\n") => ({
    "base/db.container": container("good:1", back),
    "shop/cache.container": container(image),
    "shop/web.container": container("good:1", needsDb),
  });
  await using pgo = await deployed(circle("good:1", ""));
  await pgo.push(circle("good:1"));
  pgo.world.machine.behave(service("cache"), "sick");
  pgo.world.machine.behave(service("db"), "sick");
  pgo.world.onChange = () => {
    if (pgo.world.changes.at(-1) === "restart cache.service") pgo.world.machine.behave(service("db"), "good");
  };
  await pgo.push(circle("good:2"));
  assert.equal(pgo.outcome("shop"), "deployed");
});

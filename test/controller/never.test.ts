/** `rollback = "never"`: a version that fails is left as it is, and what comes after it: repair, new content, a person, a crash. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const never = new AbortController().signal;
const own = { "shop/pgo.toml": 'rollback = "never"\n' };
const db = (image: string) => ({ "shop/db.container": `[Container]\nImage=localhost/${image}\nHealthCmd=x\n`, ...own });

async function deployed(files: Readonly<Record<string, string>> = db("good:1"), config: object = {}): Promise<Pgo> {
  const pgo = new Pgo({ config });
  pgo.start();
  await pgo.push(files);
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

const runs = (pgo: Pgo) => /localhost\/([a-z]+:\d)/.exec(pgo.world.machine.runs(service("db")) ?? "")?.[1];
const isQuarantined = (pgo: Pgo) => pgo.store.quarantined(id("shop")).some(({ digest }) => digest === pgo.record("shop")?.desired?.digest);

suite('a version that fails where rollback = "never"', () => {
  test("stays on the host, failed and in quarantine, and is told once, with what to do", async () => {
    await using pgo = await deployed();
    await pgo.push(db("sick:1"));
    assert.deepEqual(pgo.outcomes(), [
      'shop failed: db.service not healthy after 20 s: Podman\'s health check fails: see podman inspect (15 of 15 probes); left as it is, since rollback = "never": mend it or push a fix; ctl rollback shop goes back all the same: see ctl show 2',
    ]);
    assert.equal(runs(pgo), "sick:1");
    assert.ok(isQuarantined(pgo));
    const { steps } = pgo.history("shop")[0] ?? assert.fail();
    assert.ok(steps.every(({ kind }) => kind !== "go-back"));
  });

  test("is neither undone nor started again and again by drift repair", async () => {
    await using pgo = await deployed();
    await pgo.push(db("sick:1"));
    pgo.forget();
    await pgo.pass(120 * minute);
    assert.deepEqual(pgo.world.changes, []);
    assert.deepEqual(pgo.outcomes(), []);
    assert.equal(pgo.history("shop").length, 2);
    assert.equal(pgo.outcome("shop"), "failed");
  });

  test("is started again with a growing distance where it crashes, as every service that is down", async () => {
    await using pgo = await deployed();
    await pgo.push(db("crash:1"));
    assert.equal(pgo.outcome("shop"), "failed");
    pgo.forget();
    await pgo.pass(600 * minute);
    const starts = pgo.world.changes.filter((change) => /^(?:start|restart) /.test(change));
    assert.ok(starts.length > 2 && starts.length <= 16, `${String(starts.length)} starts in ten hours`);
    assert.match(pgo.world.file(id("shop"), "db.container") ?? "", /crash:1/);
    assert.ok(isQuarantined(pgo));
  });

  test("is in sync, and out of quarantine, when it gets healthy after all", async () => {
    await using pgo = await deployed();
    await pgo.push(db("sick:1"));
    pgo.world.machine.behave(service("db"), "good");
    pgo.forget();
    await pgo.pass(6 * minute);
    assert.equal(pgo.outcome("shop"), "in-sync");
    assert.ok(!isQuarantined(pgo));
    assert.deepEqual(pgo.world.changes, []);
    isSettled(pgo);
  });

  test("gives way to new content as any version", async () => {
    await using pgo = await deployed();
    await pgo.push(db("sick:1"));
    await pgo.push(db("good:3"));
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.equal(runs(pgo), "good:3");
    isSettled(pgo);
    await pgo.push(db("sick:1"));
    assert.equal(runs(pgo), "good:3", "and is not tried again when Git comes back to it");
  });

  test("is gone back from when a person says so, and stays gone", async () => {
    await using pgo = await deployed();
    await pgo.push(db("sick:1"));
    const report = await pgo.until(pgo.commands.rollback("shop", undefined, never));
    assert.ok(report.done, report.message);
    await pgo.pass(20 * minute);
    assert.equal(runs(pgo), "good:1");
    isSettled(pgo);
  });

  test("is looked at again with ctl retry", async () => {
    await using pgo = await deployed();
    await pgo.push(db("crash:1"));
    assert.equal((await pgo.until(pgo.commands.retry("shop", never))).done, false);
    assert.ok(isQuarantined(pgo));
    pgo.world.machine.images.set("localhost/crash:1", "good");
    assert.equal((await pgo.until(pgo.commands.retry("shop", never))).done, true);
    assert.ok(!isQuarantined(pgo));
    isSettled(pgo);
  });

  test("is tried again with ctl retry also where that comes while drift repair still fails", async () => {
    await using pgo = await deployed();
    await pgo.push(db("crash:1"));
    let asked: ReturnType<typeof pgo.commands.retry> | undefined;
    pgo.world.onChange = () => {
      if (pgo.world.changes.at(-1) !== "start db.service") return;
      asked ??= pgo.commands.retry("shop", never);
      // This start has failed already; the next one will not.
      pgo.world.machine.images.set("localhost/crash:1", "good");
    };
    while (asked === undefined) await pgo.pass(minute);
    assert.equal((await pgo.until(asked)).done, true);
    assert.deepEqual(
      pgo
        .history("shop")
        .map(({ outcome }) => outcome)
        .slice(0, 2),
      ["repaired", "failed"],
    );
    isSettled(pgo);
  });

  test("is tried again with ctl retry also where drift repair has given it up for now", async () => {
    await using pgo = await deployed(db("good:1"), { quadlet: { drift_interval: "10s" } });
    await pgo.push(db("crash:1"));
    await pgo.pass(4 * minute);
    assert.match(pgo.record("shop")?.message ?? "", /does not stay up/);
    pgo.world.machine.images.set("localhost/crash:1", "good");
    assert.equal((await pgo.until(pgo.commands.retry("shop", never))).done, true);
    isSettled(pgo);
  });

  test("is made whole by drift repair where a step on the way failed", async () => {
    await using pgo = await deployed({ ...db("good:1"), "shop/web.container": "[Container]\nImage=localhost/good:1\n" });
    pgo.world.refuses.add("restart web.service");
    await pgo.push({ ...db("good:2"), "shop/web.container": "[Container]\nImage=localhost/good:2\n" });
    assert.equal(pgo.outcome("shop"), "failed");
    assert.equal(runs(pgo), "good:2");
    pgo.world.refuses.clear();
    await pgo.pass(10 * minute);
    assert.equal(pgo.outcome("shop"), "repaired");
    assert.ok(!isQuarantined(pgo));
    isSettled(pgo);
  });

  test("stays also where it is the first one", async () => {
    await using pgo = new Pgo();
    pgo.start();
    await pgo.push(db("sick:1"));
    assert.deepEqual([pgo.outcome("shop"), runs(pgo)], ["failed", "sick:1"]);
    assert.equal(pgo.store.application(id("shop"))?.lastGood, pgo.record("shop")?.desired?.digest);
  });

  test("holds back what depends on it", async () => {
    const web = (image: string) => `[Unit]\nAfter=db.service\n[Container]\nImage=localhost/${image}\n`;
    await using pgo = await deployed({ ...db("good:1"), "blog/blog.container": web("good:1") });
    await pgo.push({ ...db("sick:1"), "blog/blog.container": web("good:2") });
    await pgo.pass(20 * minute);
    assert.equal(pgo.outcome("blog"), "held");
    assert.match(pgo.record("blog")?.message ?? "", /fleet\/shop/);
  });

  test("is the same whenever pgo is killed on the way", async () => {
    for (let after = 0; ; after++)
      for (const kind of ["killed before", "killed after"] as const) {
        await using pgo = await deployed();
        pgo.faults.add({ kind, among: "changes", after, times: 1 });
        await pgo.push(db("sick:1"));
        const isOver = pgo.faults.happened.length === 0;
        pgo.faults.clear();
        await pgo.pass(10 * minute);
        const said = `killed at ${String(after)}: ${pgo.faults.happened.join()}`;
        assert.deepEqual([pgo.outcome("shop"), runs(pgo), isQuarantined(pgo)], ["failed", "sick:1", true], said);
        assert.ok(pgo.history("shop").length === 2, said);
        if (isOver) return;
      }
  });

  test("is left, not undone, where pgo dies of it again and again", async () => {
    await using pgo = await deployed();
    pgo.world.commit(db("good:2"));
    let left = 5;
    pgo.world.onChange = () => {
      if (left === 0 || !/^(?:re)?start db\.service$/.test(pgo.world.changes.at(-1) ?? "")) return;
      left -= 1;
      pgo.world.machine.stop(service("db"));
      pgo.kill();
    };
    await pgo.pass(8 * minute);
    assert.equal(left, 0);
    assert.match(pgo.history("shop").at(-2)?.description ?? "", /^interrupted 4 times; left as it is/);
    pgo.world.onChange = undefined;
    await pgo.pass(20 * minute);
    assert.equal(runs(pgo), "good:2");
    isSettled(pgo);
  });
});

suite("who says so", () => {
  const said = (where: "auto" | "never", host: "auto" | "never" | undefined) => ({
    files: (image: string) => ({ ...db(image), "shop/pgo.toml": `rollback = "${where}"\n` }),
    config: host === undefined ? {} : { application: { shop: { rollback: host } } },
  });
  for (const [where, host, expected] of [
    ["auto", undefined, "rolled-back"],
    ["auto", "never", "failed"],
    ["never", "auto", "rolled-back"],
    ["never", "never", "failed"],
  ] as const)
    test(`${where} in the application's own pgo.toml and ${host ?? "nothing"} on the host: ${expected}`, async () => {
      const { files, config } = said(where, host);
      await using pgo = await deployed(files("good:1"), config);
      await pgo.push(files("sick:1"));
      assert.equal(pgo.outcome("shop"), expected);
    });
});

/** What a person asks of a running pgo, and what comes of it. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { UnknownTarget } from "../../src/controller/commands.ts";
import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const never = new AbortController().signal;
const web = (image: string, more = "") => ({ "shop/web.container": `[Container]\nImage=localhost/${image}\n${more}` });
const blog = { "blog/blog.container": "[Container]\nImage=localhost/good:1\n" };

async function deployed(...commits: readonly Readonly<Record<string, string>>[]): Promise<Pgo> {
  const pgo = new Pgo();
  pgo.start();
  for (const files of commits) await pgo.push(files);
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

const runs = (pgo: Pgo) => /good:\d/.exec(pgo.world.machine.runs(service("web")) ?? "")?.[0];

suite("plan", () => {
  test("shows steps, reasons and differences, and changes nothing at all", async () => {
    await using pgo = await deployed(web("good:1"));
    pgo.world.commit({ ...web("good:2"), ...blog, "bad/bad.container": "nonsense\n" });
    const before = JSON.stringify([...pgo.world.machine.files]);
    const { applications } = await pgo.until(pgo.commands.plan(undefined, never));
    assert.deepEqual(applications.map(({ name, state }) => [name, state]).sort(), [
      ["bad", "rejected"],
      ["blog", "pending"],
      ["shop", "pending"],
    ]);
    const shop = applications.find(({ name }) => name === "shop");
    assert.ok(shop);
    assert.deepEqual(shop.steps.at(-1), { kind: "restart", target: "web.service", because: "Image= changed in web.container" });
    assert.match(shop.diff, /-Image=localhost\/good:1\n\+Image=localhost\/good:2/);
    assert.equal(applications.find(({ name }) => name === "bad")?.problems[0]?.line, 1);
    assert.deepEqual(pgo.world.changes, []);
    assert.equal(JSON.stringify([...pgo.world.machine.files]), before);
    assert.deepEqual(
      pgo.store.applications().map((record) => record.id),
      [id("shop")],
      "applications that are only planned are not remembered",
    );
  });

  test("of one application shows that one, and names what there is when there is no such", async () => {
    await using pgo = await deployed({ ...web("good:1"), ...blog });
    const { applications } = await pgo.until(pgo.commands.plan("blog", never));
    assert.deepEqual(
      applications.map(({ name, state }) => [name, state]),
      [["blog", "in-sync"]],
    );
    await assert.rejects(
      pgo.until(pgo.commands.plan("shpo", never)),
      (error) => error instanceof UnknownTarget && error.message.includes("shop"),
    );
  });

  test("shows drift", async () => {
    await using pgo = await deployed(web("good:1"));
    pgo.world.machine.stop(service("web"));
    const { applications } = await pgo.until(pgo.commands.plan("shop", never));
    assert.deepEqual(applications[0]?.steps, [{ kind: "start", target: "web.service", because: "it is not running" }]);
  });
});

suite("sync", () => {
  test("waits for the pass, if asked to, and tells what came of it", async () => {
    await using pgo = await deployed(web("good:1"));
    pgo.world.commit(web("good:2"));
    const report = await pgo.until(pgo.commands.sync(undefined, true, never));
    assert.deepEqual(
      report.applications.map(({ name, outcome }) => [name, outcome]),
      [["shop", "deployed"]],
    );
    assert.equal(runs(pgo), "good:2");
  });

  test("answers at once, if not, and the pass comes all the same", async () => {
    await using pgo = await deployed(web("good:1"));
    pgo.world.commit(web("good:2"));
    await pgo.commands.sync(undefined, false, never);
    await pgo.clock.advance(5000);
    assert.equal(runs(pgo), "good:2");
  });

  test("goes on when who asked goes away", async () => {
    await using pgo = await deployed(web("good:1"));
    pgo.world.commit(web("good:2"));
    const caller = new AbortController();
    const answer = pgo.commands.sync(undefined, true, caller.signal);
    caller.abort(new Error("the caller is gone"));
    await assert.rejects(answer, /the caller is gone/);
    await pgo.clock.advance(5000);
    assert.equal(runs(pgo), "good:2");
  });
});

suite("rollback", () => {
  const three = [web("good:1"), web("good:2"), web("good:3")] as const;

  test("goes to the good version before, and stays there through polls and looks at the host", async () => {
    await using pgo = await deployed(...three);
    const answer = await pgo.until(pgo.commands.rollback("shop", undefined, never));
    assert.equal(answer.done, true);
    assert.equal(runs(pgo), "good:2");
    pgo.world.machine.stop(service("web"));
    await pgo.pass(20 * minute);
    assert.equal(runs(pgo), "good:2");
    assert.equal(pgo.history("shop").find((one) => one.cause === "rollback")?.outcome, "deployed");
    isSettled(pgo);
  });

  test("goes to any good deployment", async () => {
    await using pgo = await deployed(...three);
    const first = pgo.history("shop").at(-1)?.id;
    await pgo.until(pgo.commands.rollback("shop", first, never));
    assert.equal(runs(pgo), "good:1");
  });

  test("is over with the next commit that changes the application, not with one that changes another", async () => {
    await using pgo = await deployed({ ...three[0], ...blog }, { ...three[1], ...blog });
    await pgo.until(pgo.commands.rollback("shop", undefined, never));
    await pgo.push({ ...three[1], "blog/blog.container": "[Container]\nImage=localhost/good:2\n" });
    assert.equal(runs(pgo), "good:1");
    await pgo.push({ ...three[2], ...blog });
    assert.equal(runs(pgo), "good:3");
  });

  test("is over too when Git goes back itself and comes again", async () => {
    await using pgo = await deployed(three[0], three[1]);
    await pgo.until(pgo.commands.rollback("shop", undefined, never));
    await pgo.push(three[0]);
    assert.equal(runs(pgo), "good:1");
    await pgo.push(three[1]);
    assert.equal(runs(pgo), "good:2");
  });

  test("is over too after a commit that failed", async () => {
    await using pgo = await deployed(three[0], three[1]);
    await pgo.until(pgo.commands.rollback("shop", undefined, never));
    await pgo.push(web("crash:1"));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    await pgo.push(three[1]);
    assert.equal(runs(pgo), "good:2");
  });

  test("to a version that is not healthy any more is undone", async () => {
    await using pgo = await deployed(three[0], three[1]);
    pgo.world.machine.images.set("localhost/good:1", "crash");
    const answer = await pgo.until(pgo.commands.rollback("shop", undefined, never));
    assert.equal(answer.done, false);
    assert.match(answer.message, /rolled-back/);
    assert.equal(runs(pgo), "good:2");
    isSettled(pgo);
  });

  test("is refused where the host has changed since: another application has the unit now, a person does, what it needs is gone", async () => {
    const two = { "shop/web.container": three[0]["shop/web.container"], "shop/extra.container": "[Container]\nImage=localhost/good:1\n" };
    await using pgo = await deployed(two, { ...three[1], "blog/extra.container": "[Container]\nImage=localhost/good:1\n" });
    const answer = await pgo.until(pgo.commands.rollback("shop", undefined, never));
    assert.equal(answer.done, false);
    assert.match(answer.message, /extra\.container makes extra\.service, which application fleet\/blog has already/);

    await using other = await deployed(two, three[1]);
    other.world.edit("/etc/containers/systemd/extra.container", "[Container]\nImage=localhost/good:1\n");
    const again = await other.until(other.commands.rollback("shop", undefined, never));
    assert.equal(again.done, false);
    assert.match(again.message, /\/etc\/containers\/systemd\/extra\.container/);

    const shared = { "base/shared.network": "[Network]\n", ...web("good:1", "Network=shared.network\n") };
    await using third = await deployed(shared, three[1]);
    assert.equal(third.record("base"), undefined);
    const last = await third.until(third.commands.rollback("shop", undefined, never));
    assert.equal(last.done, false);
    assert.match(last.message, /shared\.network was not found/);
    for (const one of [pgo, other, third]) {
      assert.deepEqual(one.world.changes, []);
      isSettled(one);
    }
  });

  test("says what there is when there is nothing to go to", async () => {
    await using pgo = await deployed(three[0]);
    assert.match((await pgo.until(pgo.commands.rollback("shop", undefined, never))).message, /no earlier good version/);
    assert.match((await pgo.until(pgo.commands.rollback("shop", 99, never))).message, /deployment 99 is not a good version/);
    assert.throws(() => pgo.commands.rollback("blog", undefined, never), UnknownTarget);
  });
});

suite("retry", () => {
  test("of what is not in quarantine does nothing", async () => {
    await using pgo = await deployed(web("good:1"));
    const answer = await pgo.until(pgo.commands.retry("shop", never));
    assert.deepEqual(answer, { done: true, message: "fleet/shop has nothing in quarantine" });
  });

  test("of what still fails puts it into quarantine again", async () => {
    await using pgo = await deployed(web("good:1"), web("crash:1"));
    const answer = await pgo.until(pgo.commands.retry("shop", never));
    assert.equal(answer.done, false);
    assert.equal(pgo.store.quarantined(id("shop")).length, 1);
    isSettled(pgo);
  });
});

test("commands that a pass keeps waiting are answered in turn, and none is lost", async () => {
  await using pgo = await deployed(web("good:1"));
  pgo.world.commit(web("sick:1", "HealthCmd=x\n"));
  const sync = pgo.commands.sync(undefined, true, never);
  const plan = pgo.commands.plan(undefined, never);
  const again = pgo.commands.sync(undefined, true, never);
  const answers = await pgo.until(Promise.all([sync, plan, again]));
  assert.equal(answers[0].applications[0]?.outcome, "rolled-back");
  assert.equal(answers[1].applications[0]?.state, "held");
  assert.equal(answers[2].applications[0]?.outcome, "rolled-back");
});

test("status tells of each unit, and of a host that can't be asked", async () => {
  await using pgo = await deployed({ ...web("good:1"), ...blog });
  const status = await pgo.until(pgo.commands.status(never));
  assert.equal(status.healthy, true);
  assert.deepEqual(
    status.applications.map(({ name, outcome, health, units }) => [
      name,
      outcome,
      health,
      units.map(({ service: unit, active }) => `${unit} ${active}`),
    ]),
    [
      ["blog", "deployed", "healthy", ["blog.service active"]],
      ["shop", "deployed", "healthy", ["web.service active"]],
    ],
  );
  pgo.world.away = "connection refused";
  const blind = await pgo.until(pgo.commands.status(never));
  assert.equal(blind.healthy, false);
  assert.match(blind.trouble ?? "", /connection refused/);
});

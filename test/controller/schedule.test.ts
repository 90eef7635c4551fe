/** Changes that wait for their time: what is held until when, what goes in spite of it, and what a clock that is set does to it. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { fleet, id, minute, Pgo, service } from "./pgo.ts";

const container = (image: string, more = "") => `[Container]\nImage=localhost/${image}\n${more}`;
const first = { "shop/web.container": container("good:1"), "blog/blog.container": container("good:1") };
const second = { ...first, "shop/web.container": container("good:2") };
const hour = 60 * minute;
const never = new AbortController().signal;
// The fake clock starts on Thursday, 1 January 2026, 00:00 UTC.
const nights = { windows: [{ cron: "0 2 * * *", duration: "1h" }] };

/** Both applications run, deployed without having to wait. */
async function running(config: object): Promise<Pgo> {
  const pgo = new Pgo({ config });
  pgo.world.commit(first);
  pgo.start();
  await pgo.until(pgo.commands.syncNow(undefined, true, never));
  assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "deployed"]);
  await pgo.pass(5 * minute);
  pgo.forget();
  return pgo;
}

const runs = (pgo: Pgo) => /Image=(.*)/.exec(pgo.world.file(id("shop"), "web.container") ?? "")?.[1];
const held = async (pgo: Pgo, name = "shop") =>
  (await pgo.commands.status(never)).applications.find((one) => one.name === name)?.held ?? undefined;
const good = (version: number) => `localhost/good:${String(version)}`;

suite("a maintenance window", () => {
  test("holds a change until it opens, with the time in status, and lets it go then without a new commit", async () => {
    await using pgo = await running({ schedule: nights });
    await pgo.push(second);
    assert.deepEqual(await held(pgo), { why: "outside its maintenance windows", until: "2026-01-01T02:00:00.000Z" });
    assert.deepEqual(pgo.outcomes(), ["shop held: outside its maintenance windows"], "told once, and only of what has changed");
    pgo.forget();
    await pgo.pass(90 * minute);
    assert.equal(runs(pgo), good(1));
    assert.equal(pgo.asked.filter((name) => name === "fetch").length, 0, "what waits costs nothing");
    await pgo.pass(25 * minute);
    assert.equal(runs(pgo), good(2));
    assert.equal(pgo.outcome("shop"), "deployed");
    const [newest] = pgo.history("shop");
    assert.ok(newest !== undefined && newest.startedAt >= new Date("2026-01-01T02:00:00Z"));
    assert.ok(newest.startedAt < new Date("2026-01-01T02:02:00Z"));
  });

  test("holds a removal, and a new application", async () => {
    await using pgo = await running({ schedule: nights });
    await pgo.push({ "blog/blog.container": container("good:1"), "new/new.container": container("good:1") });
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("new")], ["held", "held"]);
    assert.equal(runs(pgo), good(1));
    await pgo.pass(2 * hour);
    assert.deepEqual([pgo.record("shop"), pgo.outcome("new")], [undefined, "deployed"]);
  });

  test("does not keep what runs from being put right", async () => {
    await using pgo = await running({ schedule: nights });
    await pgo.push(second);
    pgo.world.machine.kill(service("web"));
    await pgo.pass(6 * minute);
    assert.equal(pgo.world.machine.state(service("web")).active, "active");
    assert.equal(runs(pgo), good(1));
    assert.equal((await held(pgo))?.until, "2026-01-01T02:00:00.000Z");
  });

  test("does not keep a rollout from being undone after it has closed", async () => {
    await using pgo = await running({ schedule: { windows: [{ cron: "0 2 * * *", duration: "1m" }] }, health: { deadline: "5m" } });
    await pgo.push({ ...first, "shop/web.container": container("sick:1", "HealthCmd=true\n") });
    await pgo.pass(3 * hour);
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.equal(runs(pgo), good(1));
  });

  test("does not bind ctl rollback and ctl retry", async () => {
    await using pgo = await running({ schedule: nights });
    pgo.world.commit(second);
    await pgo.until(pgo.commands.syncNow("shop", true, never));
    const back = await pgo.until(pgo.commands.rollback("shop", undefined, never));
    assert.equal(back.done, true, back.message);
    pgo.world.commit({ ...first, "shop/web.container": container("crash:1") });
    await pgo.until(pgo.commands.syncNow("shop", true, never));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    pgo.world.machine.images.set("localhost/crash:1", "good");
    const again = await pgo.until(pgo.commands.retry("shop", never));
    assert.equal(again.done, true, again.message);
  });

  test("binds ctl sync, but not with --now, which lets go what it names alone", async () => {
    await using pgo = await running({ schedule: nights });
    await pgo.push({ ...second, "blog/blog.container": container("good:2") });
    await pgo.until(pgo.commands.sync("shop", true, never));
    assert.equal(pgo.outcome("shop"), "held");
    await pgo.until(pgo.commands.syncNow("shop", true, never));
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "held"]);
    await pgo.until(pgo.commands.syncNow("fleet", true, never));
    assert.equal(pgo.outcome("blog"), "deployed");
  });

  test("shows in the plan, with the steps that wait", async () => {
    await using pgo = await running({ schedule: nights });
    pgo.world.commit(second);
    const { applications } = await pgo.until(pgo.commands.plan("shop", never));
    assert.equal(applications[0]?.state, "held");
    assert.equal(
      applications[0].message,
      "outside its maintenance windows, until 2026-01-01T02:00:00.000Z. To go on now: ctl sync shop --now",
    );
    assert.ok(applications[0].steps.some(({ target }) => target === "web.service"));
  });

  test("that the application in Git asks for holds the change that brings it, and the removal later", async () => {
    await using pgo = await running({});
    const own = { "shop/pgo.toml": '[schedule]\nwindows = [{ cron = "0 2 * * *", duration = "1h" }]\n' };
    await pgo.push({ ...second, ...own });
    assert.equal((await held(pgo))?.until, "2026-01-01T02:00:00.000Z");
    await pgo.pass(2 * hour);
    assert.equal(pgo.outcome("shop"), "deployed");
    await pgo.pass(hour);
    await pgo.push({ "blog/blog.container": container("good:1") });
    assert.equal((await held(pgo))?.until, "2026-01-02T02:00:00.000Z");
  });

  test("that is taken out of pgo.toml lets go what it held, after a restart", async () => {
    await using pgo = await running({ schedule: nights });
    await pgo.push(second);
    pgo.kill();
    // As if pgo.toml had been edited meanwhile.
    pgo.context.config.schedule.windows?.splice(0);
    await pgo.pass(3 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
  });

  test("holds what depends on what it holds", async () => {
    await using pgo = await running({ application: { shop: { schedule: nights } } });
    const uses = container("good:2", "Network=shop.network\n");
    await pgo.push({ ...second, "shop/shop.network": "[Network]\n", "blog/blog.container": uses });
    assert.equal((await held(pgo, "blog"))?.why, "it depends on fleet/shop, which is not as Git wants it");
    await pgo.pass(2 * hour + 10 * minute);
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "deployed"]);
  });

  test("is waited for by the fix of an application that is broken, too", async () => {
    await using pgo = await running({ schedule: nights });
    pgo.world.machine.images.set(good(1), "crash");
    pgo.world.machine.kill(service("web"));
    await pgo.pass(6 * minute);
    assert.equal(pgo.outcome("shop"), "failed");
    await pgo.push(second);
    assert.equal(runs(pgo), good(1));
    await pgo.pass(2 * hour + 10 * minute);
    assert.equal(runs(pgo), good(2));
  });
});

suite("a freeze", () => {
  test("holds changes until it ends, also those of a window", async () => {
    const freeze = [{ from: "2026-01-01", to: "2026-01-03", reason: "stock-taking" }];
    await using pgo = await running({ schedule: { ...nights, freeze } });
    await pgo.push(second);
    assert.deepEqual(await held(pgo), { why: "frozen: stock-taking", until: "2026-01-04T02:00:00.000Z" });
  });
});

suite("min_age", () => {
  const aged = { schedule: { min_age: "24h" } };

  test("lets a change go when this host has known it for so long, whatever else is committed meanwhile", async () => {
    await using pgo = await running(aged);
    await pgo.push(second);
    for (let hours = 0; hours < 23; hours++) {
      pgo.world.commit({ ...second, "other/other.container": container("good:1", `Label=n=${String(hours)}\n`) });
      await pgo.pass(hour);
      assert.equal(runs(pgo), good(1));
    }
    await pgo.pass(hour);
    assert.equal(runs(pgo), good(2));
    assert.equal(pgo.outcome("other"), "held");
  });

  test("begins anew with new content, and goes on over a restart of pgo", async () => {
    await using pgo = await running(aged);
    await pgo.push(second);
    await pgo.pass(20 * hour);
    await pgo.push({ ...first, "shop/web.container": container("good:3") });
    await pgo.pass(20 * hour);
    pgo.kill();
    await pgo.pass(3 * hour);
    assert.equal(runs(pgo), good(1));
    await pgo.pass(hour);
    assert.equal(runs(pgo), good(3));
  });
});

test("the jitter is thrown once for a change, and is the same at each poll and after a restart", async () => {
  await using pgo = await running({ schedule: { jitter: "1h" } });
  await pgo.push(second);
  const until = (await held(pgo))?.until;
  assert.ok(until !== null && until !== undefined);
  await pgo.pass(5 * minute);
  pgo.kill();
  await pgo.pass(5 * minute);
  assert.equal((await held(pgo))?.until, until);
  // The clock's chance is one half.
  await pgo.pass(22 * minute);
  assert.equal(runs(pgo), good(2));
});

suite("a commit with the trailer that the host calls urgent", () => {
  const config = { schedule: { ...nights, urgent_trailer: "Pgo-Urgent" } };
  const urgent = { message: "Pgo-Urgent: true" };

  test("goes at once where it changes an application, and leaves the others waiting", async () => {
    await using pgo = await running(config);
    await pgo.push({ ...first, "blog/blog.container": container("good:2") });
    pgo.world.commit({ ...second, "blog/blog.container": container("good:2") }, urgent);
    await pgo.pass(2 * minute);
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "held"]);
  });

  test("lets go what it names, though that waits since an earlier commit", async () => {
    await using pgo = await running(config);
    await pgo.push(second);
    assert.equal(pgo.outcome("shop"), "held");
    pgo.world.commit(second, { message: "Pgo-Urgent: shop" });
    await pgo.pass(2 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
  });

  test("stays urgent until it is deployed, also with the next commit", async () => {
    await using pgo = await running(config);
    pgo.world.registryUp = false;
    pgo.world.machine.images.delete(good(2));
    pgo.world.commit(second, urgent);
    await pgo.pass(2 * minute);
    assert.equal(pgo.outcome("shop"), "held");
    await pgo.push({ ...second, "shop/web.container": container("good:3") });
    assert.equal(runs(pgo), good(3));
    await pgo.push({ ...second, "shop/web.container": container("good:1") });
    assert.equal(pgo.outcome("shop"), "held", "the one after waits again");
  });

  test("is no more than another where the host does not say so", async () => {
    await using pgo = await running({ schedule: nights });
    pgo.world.commit(second, urgent);
    await pgo.pass(2 * minute);
    assert.equal(pgo.outcome("shop"), "held");
  });
});

suite("a clock", () => {
  test("that says 1970 at boot opens no window, and makes nothing old enough when it is set", async () => {
    await using pgo = await running({ schedule: { ...nights, min_age: "24h" } });
    pgo.kill();
    pgo.clock.setDate(new Date("1970-01-01T02:10:00Z"));
    pgo.world.commit(second, { committedAt: new Date("2026-01-01T00:05:00Z") });
    await pgo.pass(5 * minute);
    assert.equal(runs(pgo), good(1));
    assert.match((await held(pgo))?.why ?? "", /^the host's clock can't be right, it says 1970-01-01/);
    pgo.clock.setDate(new Date("2026-01-03T02:10:00Z"));
    await pgo.pass(5 * minute);
    assert.equal(runs(pgo), good(1), "the window is open, but the change has just been seen");
    const { why, until } = (await held(pgo)) ?? {};
    assert.match(why ?? "", /^younger here than min_age/);
    assert.match(until ?? "", /^2026-01-04T02:1/, "a day later, in that night's window");
  });

  test("that is a little behind at boot makes nothing old enough when it is set", async () => {
    await using pgo = await running({ schedule: { min_age: "24h" } });
    pgo.kill();
    pgo.start();
    await pgo.pass(3 * minute);
    await pgo.push(second);
    pgo.clock.setDate(new Date("2026-02-01T00:00:00Z"));
    await pgo.pass(10 * minute);
    assert.equal(runs(pgo), good(1));
    await pgo.pass(23 * hour);
    assert.equal(runs(pgo), good(1));
    await pgo.pass(hour);
    assert.equal(runs(pgo), good(2));
  });

  test("that is behind what pgo has written down is not gone by in a window", async () => {
    await using pgo = await running({ schedule: nights });
    await pgo.pass(4 * hour);
    pgo.world.commit(second, { committedAt: new Date("2026-01-01T00:00:00Z") });
    await pgo.pass(2 * minute);
    pgo.kill();
    pgo.clock.setDate(new Date("2026-01-01T02:10:00Z"));
    await pgo.pass(5 * minute);
    assert.match((await held(pgo))?.why ?? "", /before 2026-01-01T04/);
    assert.equal(runs(pgo), good(1));
  });

  test("that is behind the newest commit is not gone by in a window", async () => {
    await using pgo = await running({ schedule: nights });
    pgo.kill();
    pgo.clock.setDate(new Date("2026-01-01T02:10:00Z"));
    pgo.world.commit(second, { committedAt: new Date("2026-01-20T09:00:00Z") });
    await pgo.pass(5 * minute);
    assert.match((await held(pgo))?.why ?? "", /it says 2026-01-01, before 2026-01-20T09/);
    assert.equal(runs(pgo), good(1));
  });

  test("that gets two minutes at boot to be set does not roll out by the old date", async () => {
    await using pgo = await running({ schedule: nights });
    await pgo.push(second);
    pgo.kill();
    pgo.clock.setDate(new Date("2026-01-01T02:10:00Z"));
    pgo.start();
    await pgo.pass(minute);
    assert.match((await held(pgo))?.why ?? "", /two minutes/);
    pgo.clock.setDate(new Date("2026-01-05T09:00:00Z"));
    await pgo.pass(5 * minute);
    assert.deepEqual(await held(pgo), { why: "outside its maintenance windows", until: "2026-01-06T02:00:00.000Z" });
    assert.equal(runs(pgo), good(1));
  });

  test("that was far ahead and is put right lets changes go in the window that is next then", async () => {
    await using pgo = await running({ schedule: nights });
    pgo.clock.setDate(new Date("2036-01-01T12:00:00Z"));
    await pgo.push(second);
    assert.equal((await held(pgo))?.until, "2036-01-02T02:00:00.000Z");
    await pgo.pass(hour);
    pgo.clock.setDate(new Date("2026-01-01T12:00:00Z"));
    await pgo.pass(2 * minute);
    assert.equal((await held(pgo))?.until, "2026-01-02T02:00:00.000Z");
    await pgo.pass(15 * hour);
    assert.equal(runs(pgo), good(2));
  });

  test("that was far ahead when pgo last ran is believed after an hour", async () => {
    await using pgo = await running({ schedule: { min_age: "1h" } });
    pgo.clock.setDate(new Date("2036-01-01T12:00:00Z"));
    await pgo.push(second);
    pgo.kill();
    pgo.clock.setDate(new Date("2026-01-01T12:00:00Z"));
    await pgo.pass(10 * minute);
    assert.match((await held(pgo))?.why ?? "", /can't be right/);
    await pgo.pass(2 * hour);
    assert.equal(runs(pgo), good(2));
  });

  test("of a committer that is days ahead holds nothing for ever", async () => {
    await using pgo = await running({ schedule: { min_age: "10m" } });
    pgo.world.commit(second, { committedAt: new Date("2026-01-09T00:00:00Z") });
    await pgo.pass(80 * minute);
    assert.equal(runs(pgo), good(2));
  });
});

suite("a whole source that is suspended", () => {
  test("is left alone, what comes new in it too, and goes on by itself when the time is over", async () => {
    await using pgo = await running({});
    const report = pgo.commands.suspend("fleet", 2 * hour);
    assert.match(report.message, /^source fleet suspended until 2026-01-01T02:/);
    await pgo.push({ ...second, "new/new.container": container("good:1") });
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("new"), pgo.outcome("blog")], ["held", "held", "deployed"]);
    const { sources } = await pgo.commands.status(never);
    assert.match(sources[0]?.suspended?.until ?? "", /^2026-01-01T02:/);
    assert.match((await held(pgo))?.until ?? "", /^2026-01-01T02:/);
    await pgo.pass(2 * hour);
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("new")], ["deployed", "deployed"]);
    assert.equal((await pgo.commands.status(never)).sources[0]?.suspended, null);
  });

  test("stays so when one of its applications is resumed, which is told", async () => {
    await using pgo = await running({});
    pgo.commands.suspend("fleet", undefined);
    const answer = pgo.commands.resume("shop");
    assert.deepEqual(answer, { done: false, message: "fleet/shop is suspended with its whole source: ctl resume fleet" });
    await pgo.push(second);
    assert.equal(pgo.outcome("shop"), "held");
    pgo.commands.resume("fleet");
    await pgo.pass(minute);
    assert.equal(pgo.outcome("shop"), "deployed");
  });

  test("is among all of them, which go on together", async () => {
    await using pgo = await running({});
    assert.equal(pgo.commands.suspend(undefined, undefined).message, "all sources suspended until it is resumed");
    pgo.world.machine.kill(service("web"));
    await pgo.pass(11 * minute);
    assert.equal(pgo.world.machine.state(service("web")).active, "failed", "nothing is repaired either");
    pgo.commands.resume(undefined);
    await pgo.pass(minute);
    assert.equal(pgo.world.machine.state(service("web")).active, "active");
    assert.equal(pgo.store.suspension(fleet), undefined);
  });

  test("for a time is refused by a clock that can't be right", async () => {
    await using pgo = await running({});
    pgo.clock.setDate(new Date("1970-01-01T00:00:00Z"));
    assert.equal(pgo.commands.suspend("fleet", hour).done, false);
    assert.equal(pgo.commands.suspend("fleet", undefined).done, true);
  });
});

/** Units that move from one application to another, and files that get other names: nothing stops that could run on, nothing is left over. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const good = "[Container]\nImage=localhost/good:1\n";
const crash = "[Container]\nImage=localhost/crash:1\n";

const files = {
  "shop/web.container": good,
  "shop/wander.container": good,
  "blog/blog.container": good,
};
const moved = {
  "shop/web.container": good,
  "blog/blog.container": good,
  "blog/wander.container": good,
};

async function deployed(tree: Parameters<Pgo["push"]>[0]): Promise<Pgo> {
  const pgo = new Pgo({ allowEmpty: true });
  pgo.start();
  await pgo.push(tree);
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

/** Starts, restarts and stops that pgo asked for. */
function jobs(pgo: Pgo): readonly string[] {
  return pgo.world.changes.filter((change) => /^(?:start|restart|stop) /.test(change));
}

suite("a unit that moves as it is", () => {
  test("runs on: both applications are deployed, and no service was touched", async () => {
    await using pgo = await deployed(files);
    const { invocation } = pgo.world.machine.state(service("wander"));
    await pgo.push(moved);
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "deployed"]);
    assert.deepEqual(jobs(pgo), []);
    assert.equal(pgo.world.machine.state(service("wander")).invocation, invocation);
    assert.deepEqual([...pgo.store.started(id("blog")).keys()].sort(), ["blog.service", "wander.service"]);
    isSettled(pgo);
    pgo.forget();
    await pgo.pass(11 * minute);
    assert.deepEqual(pgo.world.changes, [], "and nothing is to be done later");
  });

  test("is planned so: no stop and no conflict", async () => {
    await using pgo = await deployed(files);
    pgo.world.commit(moved);
    const { applications } = await pgo.until(pgo.commands.plan(undefined, new AbortController().signal));
    const steps = applications.map(({ name, state, steps }) => `${name} ${state}: ${steps.map(({ kind }) => kind).join(", ")}`);
    assert.deepEqual(steps.sort(), ["blog pending: write, reload", "shop pending: remove, reload"]);
  });

  test("runs on also from an application that goes away, and to one that is new", async () => {
    await using pgo = await deployed({ "shop/wander.container": good });
    await pgo.push({ "blog/wander.container": good });
    assert.equal(pgo.record("shop"), undefined);
    assert.equal(pgo.outcome("blog"), "deployed");
    assert.deepEqual(jobs(pgo), []);
    isSettled(pgo);
  });

  test("runs on with its network, its volume and its env file", async () => {
    const own = {
      "wander.container": `${good}Network=wide.network\nVolume=data.volume:/data\nEnvironmentFile=wander.env\n`,
      "wide.network": "[Network]\n",
      "data.volume": "[Volume]\n",
      "wander.env": "A=1\n",
    };
    const under = (name: string) => Object.fromEntries(Object.entries(own).map(([path, text]) => [`${name}/${path}`, text]));
    await using pgo = await deployed({ ...under("shop"), "shop/web.container": good, "blog/blog.container": good });
    await pgo.push({ ...under("blog"), "shop/web.container": good, "blog/blog.container": good });
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "deployed"]);
    assert.deepEqual(jobs(pgo), []);
    assert.ok(!pgo.world.changes.some((change) => change.startsWith("remove network")));
    isSettled(pgo);
  });

  test("runs on while others need it, of its old application, of its new one, and of a third", async () => {
    const inside = `${good}Network=shared.network\n`;
    const others = { "shop/web.container": inside, "blog/blog.container": inside, "news/news.container": inside };
    for (const [from, to] of [
      ["shop", "blog"],
      ["blog", "shop"],
    ] as const) {
      await using pgo = await deployed({ ...others, [`${from}/shared.network`]: "[Network]\n" });
      await pgo.push({ ...others, [`${to}/shared.network`]: "[Network]\n" });
      assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog"), pgo.outcome("news")], ["deployed", "deployed", "deployed"]);
      assert.deepEqual(jobs(pgo), []);
      isSettled(pgo);
    }
  });

  test("does not move while its old application changes what still needs it, and the reason says how to", async () => {
    const inside = `${good}Network=shared.network\n`;
    await using pgo = await deployed({ "shop/web.container": inside, "shop/shared.network": "[Network]\n", "blog/blog.container": good });
    await pgo.push({
      "shop/web.container": inside.replace("good:1", "good:2"),
      "blog/shared.network": "[Network]\n",
      "blog/blog.container": good,
    });
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["held", "held"]);
    assert.match(pgo.record("shop")?.message ?? "", /move that in a commit that changes nothing of it nor of its users/);
    assert.deepEqual(jobs(pgo), []);
    isSettled(pgo);
  });

  test("is restarted when its application's own files are mounted, since they lie elsewhere now", async () => {
    const mounting = `${good}Volume=./conf:/conf:ro\n`;
    await using pgo = await deployed({ "shop/web.container": good, "shop/wander.container": mounting, "shop/conf/a": "1" });
    await pgo.push({ "shop/web.container": good, "blog/wander.container": mounting, "blog/conf/a": "1" });
    assert.deepEqual(jobs(pgo), ["stop wander.service", "start wander.service"]);
    isSettled(pgo);
  });

  test("and is changed at once is stopped by the one and started by the other", async () => {
    await using pgo = await deployed(files);
    await pgo.push({ ...moved, "blog/wander.container": good.replace("good:1", "good:2") });
    assert.deepEqual(jobs(pgo), ["stop wander.service", "start wander.service"]);
    isSettled(pgo);
  });
});

suite("a move that fails half-way", () => {
  test("at the one that gives it up: that one has it back, and it runs on", async () => {
    await using pgo = await deployed(files);
    await pgo.push({ ...moved, "shop/web.container": crash });
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["rolled-back", "held"]);
    assert.deepEqual(
      jobs(pgo).filter((job) => job.includes("wander")),
      [],
    );
    isSettled(pgo);
  });

  test("at the one that takes it: it is stopped, since neither has it, and runs once that one is mended", async () => {
    await using pgo = await deployed(files);
    await pgo.push({ ...moved, "blog/blog.container": crash });
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "rolled-back"]);
    assert.equal(pgo.world.machine.runs(service("wander")), undefined);
    isSettled(pgo);
    await pgo.push({ ...moved, "blog/blog.container": good.replace("good:1", "good:2") });
    assert.equal(pgo.outcome("blog"), "deployed");
    isSettled(pgo);
  });

  for (const [what, home] of [
    ["from one that stays", { "shop/web.container": good }],
    ["from one that goes away", {}],
  ] as const)
    test(`before the other one's rollout begins: it is stopped at once, ${what}`, async () => {
      await using pgo = await deployed({ ...home, "shop/wander.container": good, "blog/blog.container": good });
      await pgo.push({ ...home, "blog/wander.container": good, "blog/blog.container": "[Container]\nImage=localhost/none:1\n" });
      assert.equal(pgo.outcome("blog"), "held");
      assert.deepEqual(jobs(pgo), ["stop wander.service"]);
      assert.equal(pgo.record("shop") === undefined, !("shop/web.container" in home));
      isSettled(pgo);
    });

  test("at the one that takes it, whose network goes with it: nothing is left for the first one to clear away", async () => {
    const own = { "wander.container": `${good}Network=wide.network\n`, "wide.network": "[Network]\n" };
    const under = (name: string) => Object.fromEntries(Object.entries(own).map(([path, text]) => [`${name}/${path}`, text]));
    await using pgo = await deployed({ ...under("base"), "base/web.container": good, "shop/shop.container": good });
    await pgo.push({ ...under("shop"), "base/web.container": good.replace("1", "2"), "shop/shop.container": crash });
    assert.deepEqual([pgo.outcome("base"), pgo.outcome("shop")], ["deployed", "rolled-back"], pgo.outcomes().join("; "));
    assert.equal(pgo.world.machine.networks.size, 0);
    isSettled(pgo);
  });

  test("by an application that is suspended: it is stopped, and starts when that one is resumed", async () => {
    await using pgo = await deployed(files);
    pgo.commands.suspend("blog", undefined);
    await pgo.push(moved);
    assert.equal(pgo.outcome("blog"), "held");
    assert.deepEqual(jobs(pgo), ["stop wander.service"]);
    isSettled(pgo);
    pgo.commands.resume("blog");
    await pgo.pass(minute);
    assert.equal(pgo.outcome("blog"), "deployed");
    isSettled(pgo);
  });

  test("by the end of pgo at any moment: it comes to the same end, and no service is left to nobody", async () => {
    for (let after = 0; after < 12; after++)
      for (const kind of ["killed before", "killed after"] as const) {
        await using pgo = await deployed(files);
        pgo.faults.add({ kind, among: "changes", after, times: 1 });
        pgo.world.commit(moved);
        await pgo.pass(12 * minute);
        assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "deployed"]);
        isSettled(pgo);
      }
  });

  test("by the end of pgo and Git together: what nobody has is stopped", async () => {
    for (let after = 0; after < 12; after++) {
      await using pgo = await deployed(files);
      pgo.faults.add({ kind: "killed after", among: "changes", after, times: 1 });
      pgo.world.commit(moved);
      await pgo.pass(minute);
      pgo.world.gitTrouble = { reason: "connection refused", transient: true };
      await pgo.pass(12 * minute);
      isSettled(pgo);
    }
  });
});

suite("a file that gets another name", () => {
  const mounting = `${good}Network=app.network\nVolume=data.volume:/data\n`;
  const own = { "shop/app.network": "[Network]\n", "shop/data.volume": "[Volume]\n" };

  test("in another directory of its application restarts nothing", async () => {
    await using pgo = await deployed({ ...own, "shop/web.container": mounting });
    await pgo.push({ "shop/net/app.network": "[Network]\n", "shop/data/data.volume": "[Volume]\n", "shop/web/web.container": mounting });
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.deepEqual(jobs(pgo), []);
    isSettled(pgo);
  });

  test("and so its unit another: the old one is stopped, the new one started, and their volume and network stay", async () => {
    await using pgo = await deployed({ ...own, "shop/web.container": mounting });
    await pgo.push({ ...own, "shop/site.container": mounting });
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.deepEqual(jobs(pgo), ["stop web.service", "start site.service"]);
    assert.ok(!pgo.world.changes.some((change) => change.startsWith("remove network")));
    isSettled(pgo);
  });
});

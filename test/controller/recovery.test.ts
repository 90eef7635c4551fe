/** pgo killed in the middle: what its next start finds unfinished is finished or undone, and told rightly. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const web = (image: string) => ({ "shop/web.container": `[Container]\nImage=localhost/${image}\nHealthCmd=x\n` });

async function deployed(): Promise<Pgo> {
  const pgo = new Pgo();
  pgo.start();
  await pgo.push(web("good:1"));
  pgo.forget();
  return pgo;
}

/** pgo dies as soon as it has changed the host, `times` times; each time systemd starts it anew. */
async function dyingAt(pgo: Pgo, change: string, times: number): Promise<void> {
  let left = times;
  pgo.world.onChange = () => {
    if (left === 0 || pgo.world.changes.at(-1) !== change) return;
    left -= 1;
    pgo.kill();
  };
  await pgo.pass((times + 2) * minute);
  pgo.world.onChange = undefined;
}

test("pgo that dies while a network is made anew finishes that: the old one is never taken for the new", async () => {
  const files = (subnet: string) => ({
    "shop/web.container": "[Container]\nImage=localhost/good:1\nNetwork=app.network\n",
    "shop/app.network": `[Network]\nSubnet=${subnet}\n`,
  });
  for (const change of [
    "stop web.service",
    "stop app-network.service",
    "remove network systemd-app",
    "start app-network.service",
    "restart web.service",
  ]) {
    await using pgo = new Pgo();
    pgo.start();
    await pgo.push(files("10.1.0.0/24"));
    pgo.forget();
    pgo.world.commit(files("10.2.0.0/24"));
    await dyingAt(pgo, change, 1);
    assert.ok(pgo.world.changes.includes(change), `${change}: ${pgo.world.changes.join(", ")}`);
    assert.match(pgo.world.machine.networks.get("systemd-app") ?? "", /10\.2\.0\.0/, change);
    assert.equal(pgo.outcome("shop"), "deployed", change);
    isSettled(pgo);
    // And back, which the network must follow too.
    await pgo.push(files("10.1.0.0/24"));
    assert.match(pgo.world.machine.networks.get("systemd-app") ?? "", /10\.1\.0\.0/, change);
  }
});

test("a network that was made anew again and again without pgo's surviving it is made as it was, when that is given up", async () => {
  const files = (subnet: string) => ({
    "shop/web.container": "[Container]\nImage=localhost/good:1\nNetwork=app.network\n",
    "shop/app.network": `[Network]\nSubnet=${subnet}\n`,
  });
  await using pgo = new Pgo();
  pgo.start();
  await pgo.push(files("10.1.0.0/24"));
  pgo.world.commit(files("10.2.0.0/24"));
  await dyingAt(pgo, "start app-network.service", 4);
  assert.equal(pgo.outcome("shop"), "rolled-back");
  assert.match(pgo.world.machine.networks.get("systemd-app") ?? "", /10\.1\.0\.0/);
  isSettled(pgo);
});

test("another application's service that stopped with the network is started by the rollout that stopped it, not found down later", async () => {
  const files = (subnet: string, image: string) => ({
    "shop/web.container": `[Container]\nImage=localhost/${image}\nHealthCmd=x\nNetwork=app.network\n`,
    "shop/app.network": `[Network]\nSubnet=${subnet}\n`,
    "blog/guest.container": "[Container]\nImage=localhost/good:1\nNetwork=app.network\n",
  });
  for (const [image, outcome] of [
    ["good:2", "deployed"],
    ["sick:1", "rolled-back"],
  ] as const)
    for (const change of ["stop guest.service", "stop app-network.service", "remove network systemd-app", "start app-network.service"]) {
      await using pgo = new Pgo();
      pgo.start();
      await pgo.push(files("10.1.0.0/24", "good:1"));
      pgo.forget();
      pgo.world.commit(files("10.2.0.0/24", image));
      // There, and for a bad version back.
      let left = outcome === "deployed" ? 1 : 2;
      pgo.world.onChange = () => {
        if (pgo.world.changes.at(-1) !== change) return;
        left -= 1;
        if (left === 0) pgo.kill();
      };
      await pgo.pass(4 * minute);
      assert.ok(left <= 0, change);
      assert.equal(pgo.outcome("shop"), outcome, change);
      assert.equal(pgo.history("blog").length, 1, `${outcome}, ${change}: nothing had to be put right`);
      isSettled(pgo);
    }
});

suite("a rollout that a crash interrupts", () => {
  for (const change of ["write fleet/shop/web.container", "reload", "restart web.service"])
    test(`right after "${change}" is finished at the next start`, async () => {
      await using pgo = await deployed();
      pgo.world.commit(web("good:2"));
      await dyingAt(pgo, change, 1);
      assert.equal(pgo.outcome("shop"), "deployed");
      assert.equal(pgo.history("shop").length, 2, "it is one deployment");
      isSettled(pgo);
    });

  test("is finished before anything else, also when Git has changed or can't be reached meanwhile", async () => {
    await using pgo = await deployed();
    pgo.world.commit(web("good:2"));
    pgo.world.onChange = () => {
      pgo.kill();
      pgo.world.gitTrouble = { reason: "no route", transient: true };
      pgo.world.onChange = undefined;
    };
    await pgo.pass(4 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  test("of a version that is bad is undone all the same", async () => {
    await using pgo = await deployed();
    pgo.world.commit(web("sick:1"));
    await dyingAt(pgo, "restart web.service", 1);
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.equal(pgo.store.quarantined(id("shop")).length, 1);
    isSettled(pgo);
  });

  test("again and again is undone: the version may be what kills pgo", async () => {
    await using pgo = await deployed();
    pgo.world.commit(web("good:2"));
    await dyingAt(pgo, "restart web.service", 4);
    await pgo.pass(3 * minute);
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.match(pgo.record("shop")?.message ?? "", /interrupted 4 times/);
    isSettled(pgo);
  });

  test("while it goes back goes on going back", async () => {
    await using pgo = await deployed();
    pgo.world.commit(web("sick:1"));
    let restarts = 0;
    pgo.world.onChange = () => {
      if (pgo.world.changes.at(-1) !== "restart web.service") return;
      restarts += 1;
      if (restarts === 2) pgo.kill();
    };
    await pgo.pass(4 * minute);
    assert.equal(pgo.outcome("shop"), "rolled-back");
    isSettled(pgo);
  });

  test("and is a repair is never undone, nor is the last good called bad", async () => {
    await using pgo = await deployed();
    pgo.world.machine.stop(service("web"));
    await dyingAt(pgo, "start web.service", 5);
    await pgo.pass(6 * minute);
    assert.deepEqual(pgo.store.quarantined(id("shop")), []);
    assert.notEqual(pgo.outcome("shop"), "rolled-back");
    isSettled(pgo);
  });

  test("and is a removal ends in removal", async () => {
    await using pgo = await deployed();
    await pgo.push({ ...web("good:1"), "blog/blog.container": "[Container]\nImage=localhost/good:1\n" });
    pgo.world.commit({ "blog/blog.container": "[Container]\nImage=localhost/good:1\n" });
    await dyingAt(pgo, "stop web.service", 1);
    assert.equal(pgo.record("shop"), undefined);
    isSettled(pgo);
  });
});

test("a person's rollback that a crash interrupts is finished, and stays", async () => {
  await using pgo = await deployed();
  await pgo.push(web("good:2"));
  const answer = pgo.commands.rollback("shop", undefined, new AbortController().signal);
  answer.catch(() => undefined);
  await dyingAt(pgo, "restart web.service", 1);
  await pgo.pass(20 * minute);
  assert.match(pgo.world.machine.runs(service("web")) ?? "", /good:1/);
  assert.equal(pgo.record("shop")?.pinnedAgainst, pgo.record("shop")?.desired?.digest);
  isSettled(pgo);
});

test("what nobody could undo is known after a crash too, and goes with the next version", async () => {
  await using pgo = await deployed();
  // The new version is bad, and the stop on the way back fails too.
  pgo.world.refuses.add("stop extra.service");
  await pgo.push({ ...web("crash:1"), "shop/extra.container": "[Container]\nImage=localhost/good:1\n" });
  assert.match(pgo.record("shop")?.message ?? "", /going back failed too: stop extra\.service/);
  assert.equal(pgo.outcome("shop"), "failed");
  pgo.kill();
  pgo.world.refuses.clear();
  await pgo.push(web("good:3"));
  assert.equal(pgo.outcome("shop"), "deployed");
  assert.deepEqual(pgo.world.machine.visible(), ["web.service"]);
  isSettled(pgo);
});

/** A date that is set while pgo works: by NTP after a boot without a battery clock, or by a person. What is measured goes on by the monotonic time. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const hour = 60 * minute;
const files = (image: string) => ({ "shop/web.container": `[Container]\nImage=localhost/${image}\nHealthCmd=x\n` });

async function deployed(): Promise<Pgo> {
  const pgo = new Pgo({ config: { health: { deadline: "60s", min_healthy_time: "20s" } } });
  pgo.start();
  await pgo.push(files("good:1"));
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

const set = (pgo: Pgo, ms: number) => {
  pgo.clock.setDate(new Date(pgo.clock.now().getTime() + ms));
};

const jumps = [
  ["an hour forward", hour],
  ["an hour back", -hour],
  ["two years forward", 2 * 365 * 24 * hour],
] as const;

for (const [what, jump] of jumps)
  suite(`a date that is set ${what}`, () => {
    test("in the middle of a verification makes no version late, and lets none off its time", async () => {
      await using pgo = await deployed();
      pgo.world.commit(files("good:2"));
      while (!pgo.world.changes.includes("restart web.service")) await pgo.clock.advance(1000);
      set(pgo, jump);
      await pgo.clock.advance(15_000);
      assert.equal(pgo.store.rollouts()[0]?.phase, "verifying", "it has not been up for its twenty seconds");
      await pgo.clock.advance(10_000);
      assert.deepEqual(
        pgo.history("shop").map(({ outcome }) => outcome),
        ["deployed", "deployed"],
      );
      isSettled(pgo);
    });

    test("in the middle of a bad version's verification leaves it its deadline, and no more", async () => {
      await using pgo = await deployed();
      pgo.world.commit(files("sick:1"));
      while (!pgo.world.changes.includes("restart web.service")) await pgo.clock.advance(1000);
      set(pgo, jump);
      await pgo.clock.advance(50_000);
      assert.equal(pgo.store.rollouts()[0]?.phase, "verifying");
      await pgo.clock.advance(60_000);
      assert.equal(pgo.outcome("shop"), "rolled-back");
      isSettled(pgo);
    });

    test("leaves what runs healthy", async () => {
      await using pgo = await deployed();
      set(pgo, jump);
      await pgo.pass(12 * minute);
      assert.equal(pgo.record("shop")?.health, "healthy");
      assert.deepEqual(pgo.outcomes(), []);
      assert.deepEqual(pgo.world.changes, []);
    });

    test("makes nobody wait longer for an image that could not be had", async () => {
      await using pgo = await deployed();
      pgo.world.registryUp = false;
      pgo.world.registry.set("registry.example.com/far:1", "good");
      await pgo.push({ "shop/web.container": "[Container]\nImage=registry.example.com/far:1\n" });
      assert.equal(pgo.outcome("shop"), "held");
      set(pgo, jump);
      pgo.world.registryUp = true;
      await pgo.pass(5 * minute);
      assert.equal(pgo.outcome("shop"), "deployed");
    });

    test("makes no service that went down now and then before one that does not stay up", async () => {
      await using pgo = await deployed();
      for (let times = 0; times < 4; times++) {
        pgo.world.machine.stop(service("web"));
        await pgo.pass(15 * minute);
      }
      set(pgo, jump);
      pgo.world.machine.stop(service("web"));
      await pgo.pass(12 * minute);
      assert.equal(pgo.outcome("shop"), "repaired");
      assert.equal(pgo.store.quarantined(id("shop")).length, 0);
      isSettled(pgo);
    });

    test("keeps the loop at its interval", async () => {
      await using pgo = await deployed();
      set(pgo, jump);
      await pgo.pass(10 * minute);
      const polls = pgo.asked.filter((name) => name === "head").length;
      assert.ok(polls >= 8 && polls <= 12, `${polls} polls in ten minutes`);
      assert.equal(pgo.loop.alive(), undefined);
    });
  });

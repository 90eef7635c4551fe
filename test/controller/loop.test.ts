/** The loop: one thing at a time, each source in its time, commands first; and what is said of its being alive. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { minute, Pgo } from "./pgo.ts";

const files = { "shop/web.container": "[Container]\nImage=localhost/good:1\n" };

test("each source is polled at its interval", async () => {
  await using pgo = new Pgo();
  pgo.world.commit(files);
  pgo.start();
  await pgo.pass(10 * minute);
  const polls = pgo.asked.filter((name) => name === "head").length;
  assert.ok(polls >= 9 && polls <= 11, `${polls} polls in ten minutes`);
});

test("it is ready when the first pass is over, for better or worse", async () => {
  await using pgo = new Pgo();
  pgo.world.gitTrouble = { reason: "no route", transient: true };
  pgo.start();
  assert.equal(pgo.loop.ready(), false);
  await pgo.clock.advance(1000);
  assert.equal(pgo.loop.ready(), true);
});

suite("one thing at a time", () => {
  test("whatever is asked while it works: nothing overlaps, all is answered in order, and polls go on afterwards", async () => {
    const work = fc.record({ lasts: fc.nat({ max: 90_000 }), fails: fc.boolean(), asked: fc.nat({ max: 200_000 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(work, { maxLength: 6 }), async (all) => {
        await using pgo = new Pgo();
        pgo.world.commit(files);
        pgo.start();
        let busy = 0;
        const order: number[] = [];
        const answers: Promise<string>[] = [];
        const asked = [...all.entries()].sort(([, a], [, b]) => a.asked - b.asked);
        for (const [number, { lasts, fails, asked: at }] of asked) {
          await pgo.clock.advance(Math.max(0, at - pgo.clock.monotonic()));
          const answer = pgo.loop.ask(async (signal) => {
            busy += 1;
            assert.equal(busy, 1, "nothing else runs");
            await pgo.clock.sleep(lasts, signal);
            busy -= 1;
            order.push(number);
            if (fails) throw new Error("refused");
          });
          answers.push(
            answer.then(
              () => "done",
              (error: unknown) => (error as Error).message,
            ),
          );
        }
        await pgo.pass(20 * minute);
        assert.deepEqual(
          await Promise.all(answers),
          asked.map(([, { fails }]) => (fails ? "refused" : "done")),
        );
        assert.deepEqual(
          order,
          asked.map(([number]) => number),
        );
        pgo.forget();
        await pgo.pass(5 * minute);
        assert.ok(pgo.asked.filter((name) => name === "head").length >= 4, "it polls as before");
        assert.equal(pgo.loop.alive(), undefined);
        assert.deepEqual(pgo.endings, []);
      }),
      { numRuns: 30 },
    );
  });

  test("a command comes before a poll that is due, also of many that are asked at once", async () => {
    await using pgo = new Pgo();
    pgo.world.commit(files);
    pgo.start();
    await pgo.pass(2 * minute);
    pgo.forget();
    const seen: string[] = [];
    const long = pgo.loop.ask(async (signal) => {
      await pgo.clock.sleep(5 * minute, signal);
    });
    const next = pgo.loop.ask(() => {
      seen.push(...pgo.asked);
      return Promise.resolve();
    });
    await pgo.until(Promise.all([long, next]));
    assert.deepEqual(seen, [], "no poll came between, though one was due for minutes");
  });
});

suite("it is alive", () => {
  test("while it waits and while it works, and not when a pass hangs for an hour", async () => {
    await using pgo = new Pgo();
    pgo.world.commit(files);
    pgo.start();
    await pgo.pass(2 * minute);
    assert.equal(pgo.loop.alive(), undefined);
    const hanging = pgo.loop.ask((signal) => pgo.clock.sleep(1e9, signal));
    hanging.catch(() => undefined);
    await pgo.pass(50 * minute);
    assert.equal(pgo.loop.alive(), undefined);
    await pgo.pass(15 * minute);
    assert.match(pgo.loop.alive() ?? "", /the present pass has been running for 6\d min/);
  });

  test("not when nobody turns it any more, so that polls are overdue", async () => {
    await using pgo = new Pgo();
    pgo.world.commit(files);
    pgo.start();
    await pgo.clock.advance(90_000);
    pgo.kill();
    await pgo.clock.advance(10 * minute);
    assert.match(pgo.loop.alive() ?? "", /a poll of fleet is overdue by \d+ s/);
  });

  test("not when the state can't be written", async () => {
    await using pgo = new Pgo();
    pgo.world.commit(files);
    pgo.start();
    await pgo.pass(minute);
    assert.equal(pgo.commands.alive(), undefined);
    pgo.faults.add({ kind: "throws", among: "all", after: 0, times: 1 });
    assert.throws(() => pgo.commands.alive(), /check failed/);
  });
});

test("a state database that can't be written doesn't make it ask Git without a pause, and it goes on when it can", async () => {
  await using pgo = new Pgo();
  pgo.world.commit(files);
  pgo.start();
  await pgo.pass(3 * minute);
  pgo.forget();
  pgo.faults.add({ kind: "throws", among: "changes", after: 0, times: 1000 });
  await pgo.pass(10 * minute);
  const polls = pgo.asked.filter((name) => name === "head").length;
  assert.ok(polls <= 12, `${polls} polls in ten minutes`);
  pgo.faults.clear();
  await pgo.push({ "shop/web.container": "[Container]\nImage=localhost/good:2\n" });
  await pgo.pass(10 * minute);
  assert.equal(pgo.outcome("shop"), "deployed");
  assert.deepEqual(pgo.endings, []);
});

/** The Clock port: the real clock and the tests' fake keep the same promises. */

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";
import { openClock } from "../../src/adapters/clock.ts";
import type { Clock } from "../../src/ports.ts";
import { fakeClock } from "../fakes/clock.ts";

interface Scene {
  readonly clock: Clock;
  /** Lets time go by. */
  readonly pass: (ms: number) => Promise<void>;
}

const scenes: Record<string, () => Scene> = {
  "real clock": () => ({
    clock: openClock(),
    pass: (ms) =>
      new Promise((resolve) => {
        setTimeout(resolve, ms);
      }),
  }),
  "fake clock": () => {
    const clock = fakeClock();
    return { clock, pass: (ms) => clock.advance(ms) };
  },
};

for (const [name, scene] of Object.entries(scenes))
  describe(name, () => {
    test("the date and the monotonic time go forward together", async () => {
      const { clock, pass } = scene();
      const [date, monotonic] = [clock.now().getTime(), clock.monotonic()];
      await pass(30);
      assert.ok(clock.now().getTime() - date >= 29);
      assert.ok(clock.monotonic() - monotonic >= 29);
    });

    test("a sleep ends when its time is over, and not before", async () => {
      const { clock, pass } = scene();
      const start = clock.monotonic();
      const woken = clock.sleep(20, new AbortController().signal).then(() => clock.monotonic() - start);
      await pass(60);
      const slept = await woken;
      assert.ok(slept >= 20, `slept ${slept} ms`);
    });

    test("sleepers wake in the order of their times", async () => {
      const { clock, pass } = scene();
      const { signal } = new AbortController();
      const order: number[] = [];
      const sleeps = [40, 10, 25].map((ms) => clock.sleep(ms, signal).then(() => order.push(ms)));
      await pass(80);
      await Promise.all(sleeps);
      assert.deepEqual(order, [10, 25, 40]);
    });

    test("a sleep that is aborted rejects with the signal's reason", async () => {
      const { clock } = scene();
      const controller = new AbortController();
      const reason = new Error("pgo stops");
      const sleep = clock.sleep(60_000, controller.signal);
      controller.abort(reason);
      await assert.rejects(sleep, (error) => error === reason);
    });

    test("a sleep that is aborted before it begins rejects at once", async () => {
      const { clock } = scene();
      const reason = new Error("pgo stops");
      await assert.rejects(clock.sleep(60_000, AbortSignal.abort(reason)), (error) => error === reason);
    });

    test("a sleep leaves no listener behind, whether it ends or is aborted", async () => {
      const { clock, pass } = scene();
      const controller = new AbortController();
      const ended = clock.sleep(5, controller.signal);
      await pass(20);
      await ended;
      assert.equal(getEventListeners(controller.signal, "abort").length, 0);
      const aborted = clock.sleep(60_000, controller.signal);
      controller.abort(new Error("pgo stops"));
      await assert.rejects(aborted);
      assert.equal(getEventListeners(controller.signal, "abort").length, 0);
    });

    test("a sleep of two months does not end at once, nor ask for a longer timer than Node has", async (t) => {
      const { clock, pass } = scene();
      const warn = t.mock.method(process, "emitWarning");
      const controller = new AbortController();
      let over = false;
      const sleep = clock.sleep(60 * 86_400_000, controller.signal).then(() => (over = true));
      await pass(20);
      assert.equal(over, false);
      assert.equal(warn.mock.callCount(), 0);
      controller.abort(new Error("pgo stops"));
      await assert.rejects(sleep);
    });

    test("a sleep of no time ends", async () => {
      const { clock, pass } = scene();
      const sleep = clock.sleep(0, new AbortController().signal);
      await pass(1);
      await sleep;
    });

    test("chance is at least 0 and less than 1", () => {
      const { clock } = scene();
      for (let round = 0; round < 1000; round++) {
        const chance = clock.chance();
        assert.ok(chance >= 0 && chance < 1);
      }
    });
  });

describe("fake clock", () => {
  test("one that sleeps again wakes again within the same advance, at the right times", async () => {
    const clock = fakeClock();
    const { signal } = new AbortController();
    const wakes: number[] = [];
    const loop = (async () => {
      for (let round = 0; round < 3; round++) {
        await clock.sleep(10, signal);
        wakes.push(clock.monotonic());
      }
    })();
    await clock.advance(30);
    await loop;
    assert.deepEqual(wakes, [10, 20, 30]);
    assert.equal(clock.sleepers, 0);
  });

  test("setting the date leaves the monotonic time alone", async () => {
    const clock = fakeClock();
    await clock.advance(5);
    clock.setDate(new Date("2030-01-01T00:00:00Z"));
    await clock.advance(5);
    assert.equal(clock.monotonic(), 10);
    assert.equal(clock.now().toISOString(), "2030-01-01T00:00:00.005Z");
  });
});

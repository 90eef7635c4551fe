/** What is done about what becomes unhealthy after its rollout, how soon a change is looked at, and when health flaps. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { flapping, flappingText, type HealthChange } from "../../src/core/flapping.ts";
import { digestOf, serviceName } from "../../src/core/names.ts";
import { answerTo, broughtAt, lookAfter, looked, type Pace, type Past } from "../../src/core/watching.ts";

const minute = 60_000;
const at = (minutes: number) => new Date(Date.UTC(2026, 0, 1) + minutes * minute);
const [live, other] = [digestOf("live"), digestOf("other")];

suite("what runs may be gone back from", () => {
  const past = (outcome: Past["outcome"], goal: Past["goal"] = live, cause: Past["cause"] = "commit"): Past => ({
    ...{ outcome, goal, cause },
    finishedAt: at(1),
  });
  for (const [what, history, may] of [
    ["after its rollout", [past("deployed")], true],
    ["after a repair of it", [past("repaired", live, "drift"), past("deployed")], true],
    ["after a repair of it that failed", [past("failed", live, "drift"), past("deployed")], true],
    ["while another rollout is under way", [past(undefined, other), past("deployed")], true],
    ["after ctl retry, an image that moved", [past("deployed", live, "image")], true],
    ["not where pgo went back to it in that rollout", [past("rolled-back", other), past("deployed")], false],
    ["not where pgo went back to it later", [past("rolled-back", other, "recovery"), past("deployed", other), past("deployed")], false],
    ["not where a person went back to it", [past("deployed", live, "rollback")], false],
    ["not where nobody can say", [], false],
    ["not where a way back failed", [past("failed", other), past("deployed")], false],
  ] as const)
    test(what, () => {
      assert.equal(broughtAt(history, live) !== undefined, may);
    });

  test("within the window only; else it is restarted", () => {
    const watching = { action: "rollback", window: 30 * minute } as const;
    assert.equal(answerTo(watching, at(0), at(30)), "rollback");
    assert.equal(answerTo(watching, at(0), at(31)), "restart");
    assert.equal(answerTo(watching, undefined, at(1)), "restart");
    for (const action of ["report", "restart"] as const) assert.equal(answerTo({ ...watching, action }, at(0), at(1)), action);
  });
});

suite("a change is looked at", () => {
  test("after a second, when it was calm before", () => {
    assert.equal(lookAfter(5000, undefined), 6000);
    assert.equal(lookAfter(1_000_000, { looks: 9, last: 600_000 }), 1_001_000);
  });

  test("without end at least once a minute, and ever less often until then; never before a second has gone", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 100 }), (gaps) => {
        let pace: Pace | undefined;
        let [heard, last] = [0, -Infinity];
        for (const gap of gaps) {
          heard += gap;
          if (heard < last) continue;
          const due = lookAfter(heard, pace);
          assert.ok(due >= heard + 1000, "what belongs together is over");
          assert.ok(due <= Math.max(heard + 1000, last + 60_000), "it is not forgotten");
          assert.ok(due - last >= 1000);
          pace = looked(due, pace);
          last = due;
        }
      }),
    );
  });

  test("at a tenth of the pace soon, when it goes on", () => {
    let pace: Pace | undefined;
    let looks = 0;
    for (let due = 1000; due < 600_000; looks++) {
      pace = looked(due, pace);
      due = lookAfter(due, pace);
    }
    assert.ok(looks < 20, `${looks} looks in ten minutes`);
  });
});

suite("health flaps", () => {
  const web = serviceName("web.service");
  const changes = (...minutes: readonly number[]): readonly HealthChange[] => [
    { service: web, health: "healthy", at: at(0) },
    ...minutes.map((one, index) => ({
      service: web,
      health: index % 2 === 0 ? ("unhealthy" as const) : ("healthy" as const),
      at: at(one),
    })),
  ];
  for (const [what, minutes, now, turns] of [
    ["with six turns in half an hour", [1, 5, 9, 13, 17, 21], 21, 6],
    ["not with five", [1, 5, 9, 13, 17], 17, undefined],
    ["not with six in forty minutes", [1, 9, 17, 25, 33, 41], 41, undefined],
    ["as long as it is not quiet for half an hour, however slowly it goes on", [1, 5, 9, 13, 17, 21, 45, 70], 71, 2],
    ["no more when it has been", [1, 5, 9, 13, 17, 21], 52, undefined],
    ["not at the first turn after that", [1, 5, 9, 13, 17, 21, 60], 61, undefined],
  ] as const)
    test(what, () => {
      assert.deepEqual(flapping(changes(...minutes), at(now)), turns === undefined ? [] : [{ service: web, turns }]);
    });

  test("by turns between healthy and unhealthy alone, of one unit: to start or to wait is none", () => {
    const between = changes(1, 5, 9, 13).flatMap((one): HealthChange[] => [
      one,
      { ...one, health: "starting" },
      { ...one, health: "waiting" },
    ]);
    assert.deepEqual(flapping(between, at(14)), []);
    const others = changes(1, 5, 9, 13, 17, 21).map((one, index) => ({ ...one, service: serviceName(`web${String(index % 2)}.service`) }));
    assert.deepEqual(flapping(others, at(22)), []);
    assert.equal(flappingText([]), undefined);
    assert.equal(flappingText([{ service: web, turns: 6 }]), "web.service is flapping: 6 changes of its health in 30 min");
  });
});

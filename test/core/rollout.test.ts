/** The phases of a rollout: how each ends, and where a start of pgo goes on. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { digestOf, revision } from "../../src/core/names.ts";
import {
  applied,
  applying,
  isLeft,
  leftAsItIs,
  resumed,
  reverted,
  reverting,
  stuck,
  verified,
  type Attempt,
  type Rollout,
} from "../../src/core/rollout.ts";
import { shop } from "./model.ts";

const noon = new Date("2026-01-01T12:00:00Z");
const attempt: Attempt = {
  deployment: 7,
  application: shop,
  revision: revision("a".repeat(40)),
  cause: "commit",
  goal: digestOf("new"),
  fallback: digestOf("old"),
  startedAt: noon,
  recoveries: 0,
};
const fresh: Attempt = { ...attempt, fallback: "absent" };
const drift: Attempt = { ...attempt, cause: "drift", goal: attempt.fallback };

suite("a rollout ends", () => {
  test("deployed when it is healthy, repaired when that was for drift", () => {
    assert.equal(verified(applied(applying(attempt), noon), noon, "ok").outcome, "deployed");
    assert.equal(verified(applied(applying({ ...attempt, cause: "rollback" }), noon), noon, "ok").outcome, "deployed");
    assert.equal(verified(applied(applying(drift), noon), noon, "ok").outcome, "repaired");
  });

  test("rolled back when it went back, failed when there was nothing to go back to", () => {
    assert.equal(reverted(reverting(applying(attempt), "x"), noon, "x").outcome, "rolled-back");
    assert.equal(reverted(reverting(applying(fresh), "x"), noon, "x").outcome, "failed");
  });

  test("rolled back also without anything to go back to, where it is not to blame and will be tried again", () => {
    const settled = reverted(reverting(applying(fresh), "x", true), noon, "x");
    assert.deepEqual([settled.outcome, settled.blameless], ["rolled-back", true]);
    assert.equal(reverted(reverting(applying(fresh), "x"), noon, "x").blameless, false);
  });

  test("failed when going back failed too", () => {
    assert.equal(stuck(reverting(applying(attempt), "x"), noon, "x").outcome, "failed");
  });

  test("failed, with the new version live, where that is not gone back from: known to be there when all its steps were done", () => {
    const stepFailed = leftAsItIs(applying(attempt), noon, "x");
    assert.deepEqual([stepFailed.outcome, stepFailed.live, stepFailed.shows], ["failed", attempt.goal, undefined]);
    const unhealthy = leftAsItIs(applied(applying(attempt), noon), noon, "x");
    assert.deepEqual([unhealthy.outcome, unhealthy.live, unhealthy.shows], ["failed", attempt.goal, attempt.goal]);
    for (const one of [stepFailed, unhealthy]) assert.ok(isLeft(one));
    for (const one of [stuck(applying(drift), noon, "x"), stuck(reverting(applying(attempt), "x"), noon, "x")]) assert.ok(!isLeft(one));
  });

  test("knowing all that it knew from the start", () => {
    const settled = verified(applied(applying(attempt), noon), noon, "ok");
    assert.deepEqual({ ...settled, ...attempt }, settled);
  });
});

suite("a rollout that was interrupted", () => {
  /** Phases through `times` starts of pgo that none of them survives. */
  function interrupted(first: Rollout, times: number): readonly string[] {
    const phases: string[] = [];
    let rollout: Rollout = first;
    for (let count = 0; count < times; count++) {
      rollout = resumed(rollout);
      phases.push(rollout.phase);
    }
    return phases;
  }

  test("is applied again, three times, and then undone", () => {
    assert.deepEqual(interrupted(applying(attempt), 5), ["applying", "applying", "applying", "reverting", "reverting"]);
  });

  test("waits for a host that does not answer as long as it takes: only starts of pgo count", () => {
    let rollout: Rollout = applying(attempt);
    for (let pass = 0; pass < 20; pass++) rollout = resumed(rollout, 0);
    assert.equal(rollout.phase, "applying");
    assert.equal(rollout.recoveries, 0);
  });

  test("is applied again from where it was being verified: the host may have changed meanwhile", () => {
    assert.equal(resumed(applied(applying(attempt), noon)).phase, "applying");
  });

  test("goes on going back, however often", () => {
    assert.deepEqual(interrupted(reverting(applying(attempt), "x"), 4), ["reverting", "reverting", "reverting", "reverting"]);
  });

  test("is never undone where it goes to the last good itself: there is no other version, and it must not be called bad", () => {
    assert.deepEqual(interrupted(applying(drift), 6), Array<string>(6).fill("applying"));
  });
});

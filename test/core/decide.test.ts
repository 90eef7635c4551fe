/** What is to be done with an application, and how long a failing thing waits. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { backoff, decide, jittered, type Candidate, type Memory } from "../../src/core/decide.ts";
import type { Digest } from "../../src/core/names.ts";
import type { Bound } from "../../src/core/schedule.ts";
import { bundleOf } from "./model.ts";

const noon = new Date("2026-01-01T12:00:00Z");
const later = new Date("2026-01-01T13:00:00Z");
const one = bundleOf({ "web.container": "[Container]\nImage=localhost/web:1\n" });
const other = bundleOf({ "web.container": "[Container]\nImage=localhost/web:2\n" });

const closed: Bound = {
  timing: { windows: [[{ cron: "0 2 * * *", zone: "UTC", duration: 3_600_000 }]], freezes: [], minAge: 0, jitter: 0 },
  seen: new Date("2026-01-01T00:00:00Z"),
  chance: 0,
  doubt: undefined,
};

const nothing: Memory = {
  lastGood: undefined,
  isPlaced: false,
  suspended: undefined,
  quarantined: new Map<Digest, string>(),
  pinnedAgainst: undefined,
};
const wanted: Candidate = { kind: "bundle", bundle: one };
const candidates: readonly Candidate[] = [
  wanted,
  { kind: "rejected", digest: undefined, problems: [] },
  { kind: "blocked", digest: one.digest, why: "x" },
  { kind: "absent" },
];

const verbs = (memory: Partial<Memory>) => candidates.map((candidate) => decide(candidate, { ...nothing, ...memory }, noon).do);

suite("of a bundle, a refused one, a blocked one and none", () => {
  for (const [what, memory, done] of [
    ["nothing is there", {}, ["roll-out", "reject", "hold", "keep"]],
    ["a failed rollout left something", { isPlaced: true }, ["roll-out", "reject", "hold", "roll-out"]],
    ["that bundle is there", { lastGood: one.digest }, ["keep", "reject", "hold", "roll-out"]],
    ["another is there", { lastGood: other.digest }, ["roll-out", "reject", "hold", "roll-out"]],
    ["the bundle has failed before", { quarantined: new Map([[one.digest, "x"]]) }, ["quarantine", "reject", "hold", "keep"]],
    ["another has failed before", { quarantined: new Map([[other.digest, "x"]]) }, ["roll-out", "reject", "hold", "keep"]],
    [
      "the bundle is there, and was once in quarantine",
      { lastGood: one.digest, quarantined: new Map([[one.digest, "x"]]) },
      ["keep", "reject", "hold", "roll-out"],
    ],
    ["a person went back from that bundle", { lastGood: other.digest, pinnedAgainst: one.digest }, ["keep", "reject", "hold", "roll-out"]],
    ["a person went back, for good", { lastGood: other.digest, pinnedAgainst: "anything" }, ["keep", "reject", "hold", "keep"]],
    ["a person went back from another", { lastGood: one.digest, pinnedAgainst: other.digest }, ["keep", "reject", "hold", "roll-out"]],
    ["a person suspended it", { suspended: { until: undefined } }, ["leave", "leave", "leave", "leave"]],
    ["a person suspended it for a time", { suspended: { until: later } }, ["leave", "leave", "leave", "leave"]],
    ["its window is closed", { bound: closed }, ["hold", "reject", "hold", "keep"]],
    ["its window is closed, and another is there", { lastGood: other.digest, bound: closed }, ["hold", "reject", "hold", "hold"]],
    ["its window is closed, and that bundle is there", { lastGood: one.digest, bound: closed }, ["keep", "reject", "hold", "hold"]],
    ["its window is open", { bound: { ...closed, timing: { ...closed.timing, windows: [] } } }, ["roll-out", "reject", "hold", "keep"]],
    ["that time is over", { suspended: { until: noon } }, ["roll-out", "reject", "hold", "keep"]],
  ] as const)
    test(`where ${what}: ${done.join(", ")}`, () => {
      assert.deepEqual(verbs(memory), done);
    });

  test("what is held by its window says why, and until when", () => {
    const decision = decide(wanted, { ...nothing, bound: closed }, noon);
    assert.deepEqual(decision, { do: "hold", why: "outside its maintenance windows", until: new Date("2026-01-02T02:00:00Z") });
  });

  test("the reason for the quarantine is told", () => {
    const decision = decide(wanted, { ...nothing, quarantined: new Map([[one.digest, "it crashed"]]) }, noon);
    assert.deepEqual(decision, { do: "quarantine", reason: "it crashed" });
  });
});

suite("the wait after a failure", () => {
  const inAnHour = 3_600_000 * 1.1;

  test("doubles from the interval on, up to an hour", () => {
    assert.deepEqual(
      [1, 2, 3, 6, 7, 100].map((tries) => backoff(tries, 60_000, 0.5)),
      [60_000, 120_000, 240_000, 1_920_000, 3_600_000, 3_600_000],
    );
  });

  test("is never shorter than the interval, whatever that is", () => {
    assert.equal(backoff(1, 86_400_000, 0.5), 86_400_000);
  });

  test("stays within its bounds, and never gets shorter with more tries", () => {
    const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 3_600_000 }), chance, (tries, interval, by) => {
        const wait = backoff(tries, interval, by);
        assert.ok(wait >= interval * 0.9 && wait <= inAnHour, String(wait));
        assert.ok(backoff(tries + 1, interval, by) >= wait);
      }),
    );
  });

  test("is moved by chance by no more than a tenth", () => {
    assert.deepEqual([jittered(1000, 0), jittered(1000, 0.5), Math.round(jittered(1000, 0.999999))], [900, 1000, 1100]);
  });
});

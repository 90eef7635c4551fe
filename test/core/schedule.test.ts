/** When a change may go, and when the clock is not gone by. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { clockDoubt } from "../../src/core/clock-doubt.ts";
import { openings, opening, type Bound, type Freeze, type Timing, type Window } from "../../src/core/schedule.ts";

const always: Timing = { windows: [], freezes: [], minAge: 0, jitter: 0 };
const hour = 3_600_000;
const sundays: Window = { cron: "0 2 * * SUN", zone: "Europe/Berlin", duration: 4 * hour };
const nightly: Window = { cron: "30 2 * * *", zone: "Europe/Berlin", duration: hour };
const frozen = (from: string, to: string, reason?: string): Freeze => ({ from: new Date(from), to: new Date(to), reason });
const long = new Date("2026-01-01T00:00:00Z");

const bound = (timing: Partial<Timing>, more: Partial<Bound> = {}): Bound => ({
  timing: { ...always, ...timing },
  seen: long,
  chance: 0,
  doubt: undefined,
  ...more,
});
const at = (time: string, one: Bound): string => {
  const found = opening(one, new Date(time));
  return found.open ? "goes" : `${found.why} | ${found.until?.toISOString() ?? "never"}`;
};

suite("a change goes", () => {
  for (const [what, time, one, expected] of [
    ["at any time without a schedule", "2026-11-24T12:00:00Z", bound({}), "goes"],
    [
      "not on a Tuesday where windows are on Sundays",
      "2026-11-24T12:00:00Z",
      bound({ windows: [[sundays]] }),
      "outside its maintenance windows | 2026-11-29T01:00:00.000Z",
    ],
    [
      "not a moment before the window opens",
      "2026-11-29T00:59:59.999Z",
      bound({ windows: [[sundays]] }),
      "outside its maintenance windows | 2026-11-29T01:00:00.000Z",
    ],
    ["from the window's first moment on", "2026-11-29T01:00:00.000Z", bound({ windows: [[sundays]] }), "goes"],
    ["until its last", "2026-11-29T04:59:59.999Z", bound({ windows: [[sundays]] }), "goes"],
    [
      "and not at its end",
      "2026-11-29T05:00:00.000Z",
      bound({ windows: [[sundays]] }),
      "outside its maintenance windows | 2026-12-06T01:00:00.000Z",
    ],
    ["in one of several windows", "2026-11-25T01:45:00Z", bound({ windows: [[sundays, nightly]] }), "goes"],
    [
      "not where only the host's windows are open, but its own are not",
      "2026-11-29T03:00:00Z",
      bound({ windows: [[sundays], [nightly]] }),
      "outside its maintenance windows | 2026-12-06T01:30:00.000Z",
    ],
    ["where both are open", "2026-11-29T01:30:00Z", bound({ windows: [[sundays], [nightly]] }), "goes"],
    [
      "never, where they never meet",
      "2026-11-29T01:30:00Z",
      bound({ windows: [[sundays], [{ ...nightly, cron: "0 12 * * *" }]] }),
      "outside its maintenance windows, with no end in sight | never",
    ],
    [
      "not in a freeze, which comes before the window in what is told",
      "2026-12-24T12:00:00Z",
      bound({ windows: [[sundays]], freezes: [frozen("2026-12-20T00:00:00Z", "2027-01-04T00:00:00Z", "holidays")] }),
      "frozen: holidays | 2027-01-10T01:00:00.000Z",
    ],
    [
      "not before a freeze's end, in the middle of a window",
      "2026-12-27T02:00:00Z",
      bound({ windows: [[sundays]], freezes: [frozen("2026-12-20T00:00:00Z", "2026-12-27T03:00:00Z")] }),
      "frozen | 2026-12-27T03:00:00.000Z",
    ],
    [
      "and from that end on, until the window closes",
      "2026-12-27T03:00:00Z",
      bound({ windows: [[sundays]], freezes: [frozen("2026-12-20T00:00:00Z", "2026-12-27T03:00:00Z")] }),
      "goes",
    ],
    [
      "not before its age",
      "2026-11-24T12:00:00Z",
      bound({ minAge: 24 * hour }, { seen: new Date("2026-11-24T11:00:00Z") }),
      "younger here than min_age: first seen 2026-11-24T11:00:00.000Z | 2026-11-25T11:00:00.000Z",
    ],
    ["at its age", "2026-11-25T11:00:00Z", bound({ minAge: 24 * hour }, { seen: new Date("2026-11-24T11:00:00Z") }), "goes"],
    [
      "in the window after next, where it is too young for the next",
      "2026-11-28T12:00:00Z",
      bound({ windows: [[sundays]], minAge: 24 * hour }, { seen: new Date("2026-11-28T11:00:00Z") }),
      "outside its maintenance windows | 2026-12-06T01:00:00.000Z",
    ],
    [
      "late in a window, where it comes of age there",
      "2026-11-29T03:00:00Z",
      bound({ windows: [[sundays]], minAge: 24 * hour }, { seen: new Date("2026-11-28T03:30:00Z") }),
      "younger here than min_age: first seen 2026-11-28T03:30:00.000Z | 2026-11-29T03:30:00.000Z",
    ],
    [
      "its part of the jitter after the window's begin",
      "2026-11-29T01:02:00Z",
      bound({ windows: [[sundays]], jitter: 600_000 }, { chance: 0.5 }),
      "its turn within the jitter has not come yet | 2026-11-29T01:05:00.000Z",
    ],
    ["when that time has come", "2026-11-29T01:05:00Z", bound({ windows: [[sundays]], jitter: 600_000 }, { chance: 0.5 }), "goes"],
    [
      "within a window that is shorter than the jitter",
      "2026-11-24T12:00:00Z",
      bound({ windows: [[{ ...sundays, duration: 60_000 }]], jitter: hour }, { chance: 0.5 }),
      "outside its maintenance windows | 2026-11-29T01:00:30.000Z",
    ],
    [
      "its part of the jitter after it was seen, without windows",
      "2026-11-24T12:00:00Z",
      bound({ jitter: hour }, { chance: 0.25, seen: new Date("2026-11-24T12:00:00Z") }),
      "its turn within the jitter has not come yet | 2026-11-24T12:15:00.000Z",
    ],
    [
      "in a later window at the same part of it, where the first was missed",
      "2026-12-06T01:04:00Z",
      bound({ windows: [[sundays]], jitter: 600_000 }, { chance: 0.5 }),
      "its turn within the jitter has not come yet | 2026-12-06T01:05:00.000Z",
    ],
  ] as const)
    test(what, () => {
      assert.equal(at(time, one), expected);
    });
});

suite("clocks that are set in summer and winter (Europe/Berlin: 29 March and 25 October 2026)", () => {
  const nights = (from: string, count: number) =>
    openings({ ...always, windows: [[nightly]] }, new Date(from), count).map(
      (one) => `${one.from.toISOString()} ${one.to?.toISOString() ?? ""}`,
    );

  test("a window at 02:30 opens at 03:00 in the night that has no 02:30, and lasts its hour", () => {
    assert.deepEqual(nights("2026-03-28T12:00:00Z", 2), [
      "2026-03-29T01:00:00.000Z 2026-03-29T02:00:00.000Z",
      "2026-03-30T00:30:00.000Z 2026-03-30T01:30:00.000Z",
    ]);
  });

  test("it opens once in the night that has two, and lasts its hour", () => {
    assert.deepEqual(nights("2026-10-24T12:00:00Z", 2), [
      "2026-10-25T00:30:00.000Z 2026-10-25T01:30:00.000Z",
      "2026-10-26T01:30:00.000Z 2026-10-26T02:30:00.000Z",
    ]);
  });

  test("a window over the change is as long as it says", () => {
    const [first] = openings({ ...always, windows: [[{ ...sundays, cron: "0 1 * * SUN" }]] }, new Date("2026-10-24T12:00:00Z"), 1);
    assert.equal((first?.to?.getTime() ?? 0) - (first?.from.getTime() ?? 0), 4 * hour);
  });

  for (const night of ["2026-03-29T00:00:00Z", "2026-10-25T00:00:00Z"])
    test(`whatever moment is asked about around ${night}, the window is the same`, () => {
      const timing = { ...always, windows: [[nightly]] };
      const whole = openings(timing, new Date(Date.parse(night) - 48 * hour), 6);
      fc.assert(
        fc.property(fc.integer({ min: -24 * hour, max: 24 * hour }), (offset) => {
          const now = new Date(Date.parse(night) + offset);
          const isIn = whole.some(({ from, to }) => from <= now && (to === undefined || now < to));
          assert.equal(opening(bound(timing), now).open, isIn, now.toISOString());
        }),
      );
    });
});

test("what is told as the time to go is a time when it goes, and a millisecond before it does not", () => {
  const window = fc.record({
    cron: fc.constantFrom("0 2 * * SUN", "30 2 * * *", "*/20 1-3 * * *", "0 0 1 * *", "15 * * * *"),
    zone: fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"),
    duration: fc.constantFrom(60_000, 900_000, hour, 30 * hour),
  });
  const instant = fc.integer({ min: Date.parse("2026-01-01T00:00:00Z"), max: Date.parse("2027-01-01T00:00:00Z") });
  const freeze = fc
    .tuple(instant, fc.integer({ min: 1, max: 40 * 24 * hour }))
    .map(([from, length]) => ({ from: new Date(from), to: new Date(from + length), reason: undefined }));
  const timing = fc.record({
    windows: fc.array(fc.array(window, { maxLength: 2 }), { maxLength: 2 }),
    freezes: fc.array(freeze, { maxLength: 2 }),
    minAge: fc.constantFrom(0, hour, 24 * hour),
    jitter: fc.constantFrom(0, 600_000, 3 * hour),
  });
  fc.assert(
    fc.property(timing, instant, instant, fc.double({ min: 0, max: 0.999, noNaN: true }), (made, now, seen, chance) => {
      const one: Bound = { timing: made, seen: new Date(seen), chance, doubt: undefined };
      const found = opening(one, new Date(now));
      if (found.open || found.until === undefined) return;
      assert.ok(found.until.getTime() > now);
      assert.deepEqual(opening(one, found.until), { open: true });
      const before = opening(one, new Date(found.until.getTime() - 1));
      assert.deepEqual(before.open ? "open" : before.until, found.until);
    }),
    { numRuns: 300 },
  );
});

suite("a clock", () => {
  const now = new Date("2026-11-24T12:00:00Z");
  const newest = new Date("2026-11-24T11:59:00Z");
  const running = 10 * 60_000;
  for (const [what, evidence, certain] of [
    ["that is later than all that is known is gone by", { now, newest, running }, undefined],
    ["with nothing known is gone by", { now, newest: undefined, running }, undefined],
    [
      "that says 1970 is never gone by, however long it says so",
      { now: new Date("1970-01-01T01:00:00Z"), newest: undefined, running: 100 * hour },
      true,
    ],
    ["that is behind what has been written down is not gone by", { now: new Date("2026-11-10T12:00:00Z"), newest, running }, true],
    [
      "that is behind for more than an hour is believed: what was before was wrong",
      { now: new Date("2026-11-10T12:00:00Z"), newest, running: hour },
      undefined,
    ],
    [
      "that is half an hour behind a commit's is gone by: the committer's may be ahead",
      { now, newest: new Date("2026-11-24T12:30:00Z"), running },
      undefined,
    ],
    ["gets two minutes to be set after pgo's start", { now, newest, running: 119_999 }, false],
    ["and no longer", { now, newest, running: 120_000 }, undefined],
  ] as const)
    test(what, () => {
      assert.equal(clockDoubt(evidence)?.certain, certain);
    });

  test("that can't be right holds what it would open, and is looked at again in a minute", () => {
    const doubt = clockDoubt({ now: new Date("1970-01-04T01:30:00Z"), newest: undefined, running });
    assert.match(
      at("1970-01-04T01:30:00Z", bound({ windows: [[sundays]] }, { doubt, seen: new Date(0) })),
      /^the host's clock can't be right, it says 1970-01-04, before pgo was made: see timedatectl \| 1970-01-04T01:31/,
    );
  });

  test("that may be right all the same holds what is open, and says of what is closed why it is", () => {
    const doubt = { why: "just started", certain: false };
    assert.match(at("2026-11-29T01:30:00Z", bound({ windows: [[sundays]] }, { doubt })), /^just started \| 2026-11-29T01:31/);
    assert.match(
      at("2026-11-24T12:00:00Z", bound({ windows: [[sundays]] }, { doubt })),
      /^outside its maintenance windows \| 2026-11-29T01:00/,
    );
  });
});

/** What holds all applications of a source, and what goes back with them. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { heldWith, membersOf, obstacleIn, plannedTogether, type Member, type Together } from "../../src/core/atomic.ts";
import type { Decision } from "../../src/core/decide.ts";
import { applicationId, applicationName, digestOf, revision, sourceName, type ApplicationId } from "../../src/core/names.ts";
import type { PlannedApplication } from "../../src/core/report.ts";

const fleet = sourceName("fleet");
const id = (name: string): ApplicationId => applicationId(fleet, applicationName(name));
const [old, first, second] = [digestOf("old"), digestOf("first"), digestOf("second")];
const commit = revision("a".repeat(40));
const member = (name: string, changes: Partial<Member> = {}): Member => ({
  ...{ application: id(name), goal: first, before: old, revision: commit, stays: false },
  ...changes,
});
const half = (members: readonly Member[]): Together => ({
  ...{ source: fleet, revision: commit, commit: { ref: "main", author: "Ada", subject: "x" }, members, undoing: undefined },
});

suite("what one application's decision means for the others of its revision", () => {
  const table: readonly (readonly [Decision, boolean, string | undefined])[] = [
    [{ do: "roll-out", bundle: undefined, cause: "commit" }, true, undefined],
    [{ do: "keep" }, false, undefined],
    [{ do: "leave", until: undefined }, false, undefined],
    [{ do: "leave", until: undefined }, true, "shop of the same revision is suspended"],
    [{ do: "reject", problems: [] }, true, "shop of the same revision is rejected"],
    [{ do: "hold", why: "outside its window", until: undefined }, true, "shop of the same revision is held: outside its window"],
    [
      { do: "quarantine", reason: "x" },
      true,
      "shop of the same revision failed, and is not tried again before ctl retry shop or other content",
    ],
  ];
  for (const [decision, differs, expected] of table)
    test(`${decision.do}${differs ? ", with a change" : ""}: ${expected ?? "nothing"}`, () => {
      const found = obstacleIn(id("shop"), decision, differs);
      const told = found === undefined ? undefined : heldWith(found);
      assert.equal(told, expected === undefined ? undefined : `${expected}; its source goes as a whole (atomic = "source")`);
    });
});

suite("what goes together", () => {
  const shop = { application: id("shop"), goal: second, before: first, revision: commit };

  test("goes back to what is live, where nothing is half way", () => {
    assert.deepEqual(
      membersOf([shop], undefined, () => first),
      [{ ...shop, stays: false }],
    );
  });

  test("goes back to what was live before a revision that is half way", () => {
    assert.deepEqual(
      membersOf([shop], half([member("shop")]), () => first),
      [{ ...shop, before: old, stays: false }],
    );
  });

  test("takes along what such a revision has brought already, and not what it has not", () => {
    const earlier = half([member("blog"), member("wiki")]);
    const live = (one: ApplicationId) => (one === id("blog") ? first : old);
    assert.deepEqual(
      membersOf([shop], earlier, live).map(({ application }) => application),
      [id("blog"), id("shop")],
    );
  });
});

test("a plan of a source holds what would go where one does not, and leaves the others as they are", () => {
  const planned = (name: string, state: PlannedApplication["state"], message: string | null = null): PlannedApplication => ({
    ...{ name, source: "fleet", state, message, steps: [], diff: "", problems: [] },
  });
  const all = [planned("a", "pending"), planned("b", "in-sync")];
  assert.deepEqual(plannedTogether(all), all);
  const lacking = planned("c", "pending", "would be held: no room");
  const [a, b, c] = plannedTogether([...all, lacking]);
  assert.deepEqual(
    [a?.state, a?.message],
    ["held", 'c of the same revision is held: no room; its source goes as a whole (atomic = "source")'],
  );
  assert.deepEqual([b, c], [all[1], lacking]);
});

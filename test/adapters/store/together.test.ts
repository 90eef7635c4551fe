/** A revision that goes as a whole, saved before it goes: read back as it was, with all that the way back needs. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { openStore } from "../../../src/adapters/store/store.ts";
import type { Together } from "../../../src/core/atomic.ts";
import { digestOf } from "../../../src/core/names.ts";
import { applicationRecord, blog, bundle, commit, fleet, later, shop } from "./samples.ts";

const together = (changes: Partial<Together> = {}): Together => ({
  source: fleet,
  revision: commit,
  commit: { ref: "main", author: "Ada <ada@example.com>", subject: "Newer image" },
  members: [
    { application: shop, goal: digestOf("new"), before: digestOf("old"), revision: commit, stays: false },
    { application: blog, goal: digestOf("first"), before: "absent", revision: undefined, stays: true },
  ],
  undoing: undefined,
  ...changes,
});

test("a revision under way is read back as it was saved, the last time counts, and it ends", async () => {
  await using store = openStore(":memory:");
  store.saveTogether(together());
  assert.deepEqual(store.together(), [together()]);
  const back = together({ undoing: { blame: shop, why: "failed" } });
  store.saveTogether(back);
  assert.deepEqual(store.together(), [back]);
  store.endTogether(fleet);
  assert.deepEqual(store.together(), []);
});

test("what it may go back to is kept while it is under way, also of an application that it removes, and no longer", async () => {
  await using store = openStore(":memory:");
  const [before, other] = [bundle("before"), bundle("other")];
  store.saveApplication(applicationRecord(shop));
  for (const one of [before, other]) store.saveBundle(one);
  const member = { application: shop, goal: "absent" as const, before: before.digest, revision: commit, stays: false };
  store.saveTogether(together({ members: [member] }));
  store.forgetApplication(shop);
  store.trim({ deployments: 1, days: 1, good: 1 }, later(0));
  assert.deepEqual([store.bundle(before.digest), store.bundle(other.digest)], [before, undefined]);
  store.endTogether(fleet);
  assert.equal(store.bundle(before.digest), undefined);
});

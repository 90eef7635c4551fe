/** Backups and what is put aside, saved: read back as they were, each known as needed as long as a rollout may bring it back. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { openStore } from "../../../src/adapters/store/store.ts";
import { digestOf } from "../../../src/core/names.ts";
import type { Aside } from "../../../src/core/objects.ts";
import { blog, shop } from "./samples.ts";

const at = new Date("2026-01-01T06:15:02.000Z");
const backup = {
  deployment: undefined,
  application: shop,
  volume: "systemd-data",
  file: "volumes/systemd-data/1.tar",
  bytes: 5_000_000_000,
  at,
};

test("a backup is read back as it was saved, newest first, and outlives its application", async () => {
  await using store = openStore(":memory:");
  const [first, second] = [store.addBackup(backup), store.addBackup({ ...backup, application: blog, file: "volumes/b/2.tar" })];
  store.forgetApplication(shop);
  assert.deepEqual(store.backups(), [
    { ...backup, id: second, application: blog, file: "volumes/b/2.tar" },
    { ...backup, id: first },
  ]);
  store.forgetBackup(second);
  assert.deepEqual(store.backups(), [{ ...backup, id: first }]);
});

test("what is put aside is read back as it was saved, and its backup is needed until it is forgotten", async () => {
  await using store = openStore(":memory:");
  const id = store.addBackup(backup);
  const aside: Aside = {
    volume: "systemd-data",
    digest: digestOf("x"),
    createdAt: "2026-01-01T00:00:00.1Z",
    backup: id,
    restored: undefined,
  };
  const other: Aside = { ...aside, volume: "systemd-other", backup: undefined };
  store.saveAside(shop, aside);
  store.saveAside(shop, other);
  store.saveAside(shop, { ...aside, restored: "2026-01-02T00:00:00.2Z" });
  assert.deepEqual(
    [...store.asides(shop)],
    [
      ["systemd-data", { ...aside, restored: "2026-01-02T00:00:00.2Z" }],
      ["systemd-other", other],
    ],
  );
  assert.equal(store.asides(blog).size, 0);
  assert.deepEqual(store.backupsNeeded(), new Set([id]));
  store.forgetAsides(shop);
  assert.deepEqual([store.asides(shop).size, store.backupsNeeded().size], [0, 0]);
});

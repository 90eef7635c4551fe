/** Whatever is saved, in whatever order, is read back as a map of plain records would give it, also after closing and opening again. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import fc from "fast-check";

import { openStore } from "../../../src/adapters/store/store.ts";
import type { UnitHealth } from "../../../src/core/health.ts";
import type { ApplicationId, Digest, RelativePath, ServiceName, SourceName } from "../../../src/core/names.ts";
import type { Rollout } from "../../../src/core/rollout.ts";
import type { ApplicationRecord, Quarantine, SourceRecord, Started, Store, StoredBundle } from "../../../src/ports.ts";
import * as arbitrary from "./arbitraries.ts";
import * as sample from "./samples.ts";

class Model {
  sources = new Map<SourceName, SourceRecord>();
  applications = new Map<ApplicationId, ApplicationRecord>();
  quarantine = new Map<string, Quarantine>();
  bundles = new Map<Digest, StoredBundle>();
  inventory = new Map<ApplicationId, ReadonlyMap<RelativePath, Digest>>();
  started = new Map<ServiceName, readonly [ApplicationId, Started]>();
  rollouts = new Map<ApplicationId, Rollout>();
  health = new Map<ApplicationId, readonly UnitHealth[]>();
  reload = false;
}

/** One call of the store and the same of the model. */
type Call = (store: Store, model: Model) => void;

const calls: fc.Arbitrary<Call> = fc.oneof(
  arbitrary.sources.map((record): Call => (store, model) => {
    store.saveSource(record);
    model.sources.set(record.name, record);
  }),
  arbitrary.names.map((name): Call => (store, model) => {
    store.forgetSource(name);
    model.sources.delete(name);
  }),
  arbitrary.applications.map((record): Call => (store, model) => {
    store.saveApplication(record);
    model.applications.set(record.id, record);
  }),
  arbitrary.ids.map((id): Call => (store, model) => {
    store.forgetApplication(id);
    for (const map of [model.applications, model.inventory, model.rollouts, model.health]) map.delete(id);
    for (const [key, entry] of model.quarantine) if (entry.application === id) model.quarantine.delete(key);
    for (const [key, bundle] of model.bundles) if (bundle.application === id) model.bundles.delete(key);
    for (const [service, [owner]] of model.started) if (owner === id) model.started.delete(service);
  }),
  arbitrary.quarantines.map((entry): Call => (store, model) => {
    store.quarantine(entry);
    model.quarantine.set(`${entry.application} ${entry.digest}`, entry);
  }),
  arbitrary.ids.map((id): Call => (store, model) => {
    store.release(id);
    for (const [key, entry] of model.quarantine) if (entry.application === id) model.quarantine.delete(key);
  }),
  arbitrary.bundles.map((bundle): Call => (store, model) => {
    store.saveBundle(bundle);
    if (!model.bundles.has(bundle.digest)) model.bundles.set(bundle.digest, bundle);
  }),
  fc.tuple(arbitrary.ids, arbitrary.inventories).map(([id, files]): Call => (store, model) => {
    store.saveInventory(id, files);
    model.inventory.set(id, files);
  }),
  fc.boolean().map((pending): Call => (store, model) => {
    store.setReloadPending(pending);
    model.reload = pending;
  }),
  fc.tuple(arbitrary.ids, arbitrary.services, arbitrary.starts).map(([id, service, started]): Call => (store, model) => {
    store.saveStarted(id, service, started);
    model.started.set(service, [id, started]);
  }),
  arbitrary.services.map((service): Call => (store, model) => {
    store.forgetStarted(service);
    model.started.delete(service);
  }),
  arbitrary.rollouts.map((rollout): Call => (store, model) => {
    const deployment = store.beginDeployment(sample.deployment(rollout.goal, { application: rollout.application }));
    store.saveRollout({ ...rollout, deployment });
    model.rollouts.set(rollout.application, { ...rollout, deployment });
  }),
  arbitrary.ids.map((id): Call => (store, model) => {
    store.endRollout(id);
    model.rollouts.delete(id);
  }),
  fc.tuple(arbitrary.ids, arbitrary.unitHealths).map(([id, health]): Call => (store, model) => {
    store.saveHealth(id, health, sample.morning);
    model.health.set(id, health);
  }),
);

/** A call whose transaction fails, and so never was. */
const undone = calls.map((call): Call => (store) => {
  assert.throws(
    () =>
      store.atomically(() => {
        call(store, new Model());
        throw new Error("undone");
      }),
    /^Error: undone$/,
  );
});

const ids: readonly ApplicationId[] = fc.sample(arbitrary.ids, { numRuns: 50, seed: 1 });

function assertSame(store: Store, model: Model): void {
  assert.deepEqual(new Map(store.sources().map((record) => [record.name, record])), model.sources);
  assert.deepEqual(new Map(store.applications().map((record) => [record.id, record])), model.applications);
  assert.deepEqual(new Map(store.rollouts().map((rollout) => [rollout.application, rollout])), model.rollouts);
  assert.equal(store.reloadPending(), model.reload);
  for (const bundle of model.bundles.values()) assert.deepEqual(store.bundle(bundle.digest), bundle);
  for (const id of new Set(ids)) {
    assert.deepEqual(store.application(id), model.applications.get(id));
    assert.deepEqual(
      new Map(store.quarantined(id).map((entry) => [`${id} ${entry.digest}`, entry])),
      new Map([...model.quarantine].filter(([, entry]) => entry.application === id)),
    );
    assert.deepEqual(store.inventory(id), model.inventory.get(id) ?? new Map());
    assert.deepEqual(
      store.started(id),
      new Map([...model.started].filter(([, [owner]]) => owner === id).map(([service, [, started]]) => [service, started])),
    );
    const byName = (one: UnitHealth, other: UnitHealth) => (one.service < other.service ? -1 : 1);
    assert.deepEqual(store.health(id), [...(model.health.get(id) ?? [])].sort(byName));
  }
}

test("any calls leave what a map of records would hold, before and after opening the file again", async () => {
  const directory = mkdtempSync(join(tmpdir(), "pgo-store-"));
  let number = 0;
  try {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof({ weight: 5, arbitrary: calls }, { weight: 1, arbitrary: undone }), { maxLength: 40 }),
        async (all) => {
          const path = join(directory, `${String(number++)}.db`);
          const model = new Model();
          {
            await using store = openStore(path);
            for (const call of all) call(store, model);
            assertSame(store, model);
          }
          await using again = openStore(path, { readonly: true });
          assertSame(again, model);
        },
      ),
      { numRuns: 100 },
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a transaction inside another one that fails is undone alone", async () => {
  await using store = openStore(":memory:");
  store.atomically(() => {
    store.saveApplication(sample.applicationRecord(sample.shop));
    assert.throws(() =>
      store.atomically(() => {
        store.saveApplication(sample.applicationRecord(sample.blog));
        throw new Error("inner");
      }),
    );
    store.setReloadPending(true);
  });
  assert.deepEqual(
    store.applications().map(({ id }) => id),
    [sample.shop],
  );
  assert.equal(store.reloadPending(), true);
});

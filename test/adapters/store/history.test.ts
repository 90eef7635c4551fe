/** Deployments, events and health history: kept in order, cut to size, and forgotten in time. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { openStore } from "../../../src/adapters/store/store.ts";
import type { Event } from "../../../src/core/event.ts";
import { digestOf, serviceName } from "../../../src/core/names.ts";
import type { Store } from "../../../src/ports.ts";
import { applicationRecord, attempt, blog, bundle, commit, day, deployment, fleet, later, morning, settled, shop } from "./samples.ts";

const web = serviceName("web.service");
const goal = digestOf("goal");
const outcome = (message: string, changes: Partial<Extract<Event, { type: "outcome" }>> = {}): Event => ({
  type: "outcome",
  at: morning,
  application: shop,
  outcome: "rejected",
  revision: commit,
  deployment: undefined,
  message,
  ms: undefined,
  ...changes,
});

test("a deployment has no outcome until it is finished, then all that was done", async () => {
  await using store = openStore(":memory:");
  const id = store.beginDeployment(deployment(goal));
  assert.deepEqual(store.deployment(id), {
    ...deployment(goal),
    id,
    finishedAt: undefined,
    outcome: undefined,
    description: "",
    steps: [],
    evidence: [],
  });
  const steps = [
    { kind: "write", target: "web.container", because: "Image= changed", ms: 1.5, error: null },
    { kind: "restart", target: "web.service", because: "Image= changed in web.container", ms: 800, error: "timeout" },
  ];
  for (const step of steps) store.addStep(id, step);
  const evidence = [{ service: web, state: "failed", journal: ['it\'s "over"'], log: [] }];
  store.saveEvidence(id, [{ service: web, state: "older", journal: [], log: [] }]);
  store.saveEvidence(id, evidence);
  store.finishDeployment(settled(id, goal));
  const record = { ...deployment(goal), id, finishedAt: later(4000), outcome: "deployed", description: "deployed in 4 s", steps, evidence };
  assert.deepEqual(store.deployment(id), record);
  assert.deepEqual(store.deployments({ limit: 10 }), [record]);
  assert.equal(store.deployment(id + 1), undefined);
});

test("deployments come newest first, of all or of one application", async () => {
  await using store = openStore(":memory:");
  const ids = [shop, blog, shop].map((application) => store.beginDeployment(deployment(goal, { application })));
  const listed = (filter: Parameters<Store["deployments"]>[0]) => store.deployments(filter).map(({ id }) => id);
  assert.deepEqual(listed({ limit: 10 }), ids.toReversed());
  assert.deepEqual(listed({ limit: 2 }), ids.toReversed().slice(0, 2));
  assert.deepEqual(listed({ application: shop, limit: 10 }), [ids[2], ids[0]]);
});

test("finishing a deployment that is not there, or adding to it, is an error", async () => {
  await using store = openStore(":memory:");
  assert.throws(() => {
    store.finishDeployment(settled(7, goal));
  }, /cannot finish deployment 7: the state database has none of that number/);
  assert.throws(() => {
    store.addStep(7, { kind: "reload", target: "", because: "", ms: 1, error: null });
  }, /FOREIGN KEY/);
});

test("events that are only counted are not kept, the others come newest first and can be asked for from one on", async () => {
  await using store = openStore(":memory:");
  const id = store.beginDeployment(deployment(goal));
  store.addEvent({ type: "git", at: morning, source: fleet, operation: "ls-remote", result: "ok", ms: 12 });
  store.addEvent(outcome("shop/web.container:7: unsupported key", { deployment: id }));
  store.addEvent({ type: "probe", at: morning, application: shop, kind: "http", result: "pass" });
  store.addEvent({ type: "command", at: later(1), command: "retry", target: "shop", message: "" });
  const [newest, oldest, ...rest] = store.events({ limit: 10 });
  assert.deepEqual(rest, []);
  assert.deepEqual(newest, { id: 2, deployment: undefined, at: later(1), type: "command", message: "ctl retry shop" });
  assert.deepEqual(oldest, {
    id: 1,
    deployment: id,
    at: morning,
    type: "outcome",
    message: "fleet@3f2c1ab shop rejected: shop/web.container:7: unsupported key",
  });
  assert.deepEqual(store.events({ limit: 10, after: 1 }), [newest]);
  assert.deepEqual(store.events({ limit: 1 }), [newest]);
});

test("an event of a deployment that is forgotten already is kept without it", async () => {
  await using store = openStore(":memory:");
  store.addEvent(outcome("late", { deployment: 99 }));
  assert.equal(store.events({ limit: 1 })[0]?.deployment, undefined);
});

test("texts are cut to 4 KiB, whole characters only, and events to one line", async () => {
  await using store = openStore(":memory:");
  const long = "é".repeat(5000);
  store.addEvent(outcome(`first\nsecond \u001B[31mred${long}`));
  const { message } = store.events({ limit: 1 })[0] ?? assert.fail();
  assert.ok(message.startsWith("fleet@3f2c1ab shop rejected: first second  [31mredé"));
  assert.ok(Buffer.byteLength(message) <= 4096 && Buffer.byteLength(message) > 4090);
  assert.match(message, /é…$/);

  const id = store.beginDeployment(deployment(goal, { subject: long, author: long, reasons: [long] }));
  store.addStep(id, { kind: "reload", target: "", because: long, ms: 1, error: long });
  store.saveApplication(applicationRecord(shop, { message: long, held: { why: long, until: undefined, tries: 0 } }));
  const record = store.deployment(id) ?? assert.fail();
  const texts = [record.subject, record.author, ...record.reasons, record.steps[0]?.because, record.steps[0]?.error];
  const application = store.application(shop);
  for (const text of [...texts, application?.message, application?.held?.why]) assert.ok(Buffer.byteLength(text ?? assert.fail()) <= 4096);
});

test("repairs are counted by service from a time on", async () => {
  await using store = openStore(":memory:");
  for (const minute of [0, 5, 9]) store.countRepair(web, later(minute * 60_000));
  store.countRepair(serviceName("db.service"), later(0));
  assert.equal(store.repairsBetween(web, morning, later(60 * 60_000)), 3);
  // The clock was set back: what bears a time that is still to come says nothing about now.
  assert.equal(store.repairsBetween(web, new Date(0), new Date(morning.getTime() - 1)), 0);
  assert.equal(store.repairsBetween(web, later(5 * 60_000), later(60 * 60_000)), 2);
  assert.equal(store.repairsBetween(web, later(10 * 60_000), later(60 * 60_000)), 0);
});

const keep = { deployments: 2, days: 10, good: 2 };

test("trimming keeps the newest deployments and all of the last days, whichever is more", async () => {
  await using store = openStore(":memory:");
  const begin = (daysAgo: number) => store.beginDeployment(deployment(goal, { startedAt: later(-daysAgo * day) }));
  const [, , young, newest] = [30, 20, 9, 1].map(begin);
  store.trim(keep, morning);
  assert.deepEqual(
    store.deployments({ limit: 10 }).map(({ id }) => id),
    [newest, young],
  );
  store.trim({ ...keep, days: 0 }, morning);
  assert.equal(store.deployments({ limit: 10 }).length, 2);
  store.trim({ ...keep, deployments: 1, days: 5 }, morning);
  assert.deepEqual(
    store.deployments({ limit: 10 }).map(({ id }) => id),
    [newest],
  );
});

test("trimming never takes the deployment of a rollout under way, and takes the steps of those it takes", async () => {
  await using store = openStore(":memory:");
  const id = store.beginDeployment(deployment(goal, { startedAt: later(-90 * day) }));
  store.addStep(id, { kind: "reload", target: "", because: "", ms: 1, error: null });
  store.addEvent(outcome("kept", { deployment: id, at: morning }));
  store.saveRollout({ ...attempt(id, goal), phase: "applying" });
  store.trim({ ...keep, deployments: 0 }, morning);
  assert.equal(store.deployments({ limit: 10 }).length, 1);
  store.endRollout(shop);
  store.trim({ ...keep, deployments: 0 }, morning);
  assert.equal(store.deployments({ limit: 10 }).length, 0);
  assert.equal(store.events({ limit: 10 })[0]?.deployment, undefined);
});

test("trimming keeps events of the last days, and at most 10,000", async () => {
  await using store = openStore(":memory:");
  store.addEvent(outcome("old", { at: later(-11 * day) }));
  store.atomically(() => {
    for (let number = 0; number < 10_050; number++) store.addEvent(outcome(String(number)));
  });
  store.trim(keep, morning);
  const events = store.events({ limit: 20_000 });
  assert.equal(events.length, 10_000);
  assert.equal(events.at(-1)?.message, "fleet@3f2c1ab shop rejected: 50");
});

test("trimming keeps bundles that run, are wanted, are part of a rollout or were good lately, and no others", async () => {
  await using store = openStore(":memory:");
  const names = ["running", "wanted", "goal", "fallback", "good 1", "good 2", "good 3", "failed", "newest"];
  const all = new Map(names.map((name) => [name, bundle(name)]));
  const of = (name: string) => (all.get(name) ?? assert.fail()).digest;
  for (const one of all.values()) store.saveBundle(one);
  store.saveApplication(applicationRecord(shop, { lastGood: of("running"), desired: { revision: commit, digest: of("wanted") } }));
  for (const name of ["good 1", "good 2", "good 3", "good 2"]) {
    const id = store.beginDeployment(deployment(of(name)));
    store.finishDeployment(settled(id, of(name)));
  }
  const failed = store.beginDeployment(deployment(of("failed")));
  store.finishDeployment({ ...settled(failed, of("failed")), outcome: "rolled-back" });
  const under = store.beginDeployment(deployment(of("goal")));
  store.saveRollout({ ...attempt(under, of("goal")), fallback: of("fallback"), phase: "applying" });
  const before = store.size();
  store.trim({ ...keep, deployments: 100 }, morning);
  assert.deepEqual(
    names.filter((name) => store.bundle(of(name)) === undefined),
    ["good 1", "failed"],
  );
  assert.ok(store.size() <= before);
  assert.deepEqual(store.bundle(of("good 3")), all.get("good 3"));
});

test("the room of what was trimmed is given back", async () => {
  await using store = openStore(":memory:");
  const empty = store.size();
  const noise = (seed: number) => Array.from({ length: 20_000 }, (_, at) => digestOf(String(seed), String(at)).slice(0, 8)).join("");
  for (const seed of [1, 2, 3]) store.saveBundle(bundle(noise(seed)));
  const full = store.size();
  store.trim(keep, morning);
  assert.ok(store.size() - empty < (full - empty) / 2, `${String(store.size())} of ${String(full)}`);
});

test("the same content in many bundles is stored once", async () => {
  await using store = openStore(":memory:");
  const noise = Array.from({ length: 20_000 }, (_, at) => digestOf(String(at)).slice(0, 8)).join("");
  const first = bundle(noise);
  store.saveBundle(first);
  const one = store.size();
  for (const name of ["a", "b", "c"]) store.saveBundle({ ...first, digest: digestOf(name) });
  assert.ok(store.size() < one * 1.1);
  store.trim(keep, morning);
  assert.deepEqual(store.bundle(digestOf("c"))?.entries, first.entries);
});

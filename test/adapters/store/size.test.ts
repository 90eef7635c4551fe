/** The state stays small, whatever happens on a host in the course of a year. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { openStore } from "../../../src/adapters/store/store.ts";
import type { TreeEntry } from "../../../src/core/bundle.ts";
import { expiredVersions } from "../../../src/core/backups.ts";
import { applicationId, applicationName, digestOf, relativePath, serviceName, type RelativePath } from "../../../src/core/names.ts";
import { applicationRecord, commit, deployment, fleet, morning, settled } from "./samples.ts";

const applications = Array.from({ length: 20 }, (_, index) => applicationId(fleet, applicationName(`app${String(index)}`)));
const rollouts = 10_000;
const hour = 3_600_000;

const texts = new Map<string, Uint8Array>();

/** A unit or a configuration file of the usual size, none like another, which deflates as text does. */
function text(seed: string): Uint8Array {
  const known = texts.get(seed);
  if (known !== undefined) return known;
  const lines = Array.from(
    { length: 40 },
    (_, index) =>
      `Environment=KEY_${String(index)}=${createHash("md5")
        .update(`${seed}${String(index)}`)
        .digest("hex")}`,
  );
  const made = Buffer.from(`[Container]\n${lines.join("\n")}\n`);
  texts.set(seed, made);
  return made;
}

test("ten thousand rollouts of bundles with ten files, each with steps, events, health and backups, stay under 50 MB", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "pgo-size-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  await using store = openStore(join(directory, "state.db"));
  let largest = 0;
  for (let begin = 0; begin < rollouts; begin += 250) {
    store.atomically(() => {
      for (let index = begin; index < begin + 250; index++) rollOut(index);
    });
    const now = new Date(morning.getTime() + (begin + 250) * (hour / 2));
    for (const { id } of expiredVersions(store.versionBackups(), { keep: 5, days: 30 }, now)) store.forgetBackup(id);
    store.trim({ deployments: 500, days: 365, good: 5 }, now);
    largest = Math.max(largest, store.size());
  }
  t.diagnostic(`at most ${String(Math.round(largest / 1e5) / 10)} MB`);
  assert.ok(largest < 50e6, `${String(largest)} bytes`);
  const history = store.deployments({ limit: 100_000 });
  assert.ok(history.length >= 500, "the history is there");
  assert.equal(history[0]?.steps.length, 10, "with all that the newest ones did");
  assert.ok(history[0].reasons.length > 0);
  assert.deepEqual(
    [history.length, history.at(-1)?.steps, history.at(-1)?.reasons],
    [rollouts, [], []],
    "of older ones it is only known that they were",
  );
  for (const { bundle } of store.versionBackups()) assert.ok(store.bundle(bundle) !== undefined);

  function rollOut(index: number): void {
    const application = applications[index % applications.length] ?? assert.fail();
    const at = new Date(morning.getTime() + index * (hour / 2));
    // One file of ten is new each time.
    const entries = new Map<RelativePath, TreeEntry>(
      Array.from({ length: 10 }, (_, file) => [
        relativePath(`unit${String(file)}.container`),
        { kind: "file", executable: false, content: text(`${application}${String(file)}${file === index % 10 ? String(index) : ""}`) },
      ]),
    );
    const digest = digestOf(application, String(index));
    const isBad = index % 10 === 0;
    const last = store.application(application)?.lastGood;
    store.saveBundle({ digest, application, revision: commit, entries, vars: new Map(), sealed: new Map(), pins: new Map() });
    const reasons = Array.from(
      { length: 10 },
      (_, file) => `restart unit${String(file)}.service: Image= changed in unit${String(file)}.container`,
    );
    const id = store.beginDeployment(deployment(digest, { application, startedAt: at, reasons }));
    if (last !== undefined) store.addVersionBackup({ deployment: id, application, bundle: last, changed: [], at });
    for (let step = 0; step < 10; step++)
      store.addStep(id, {
        ...{ kind: "restart", target: `unit${String(step)}.service`, ms: 812.25, error: null },
        because: `Image= changed in unit${String(step)}.container`,
      });
    if (isBad)
      store.saveEvidence(
        id,
        Array.from({ length: 3 }, (_, unit) => ({
          service: serviceName(`unit${String(unit)}.service`),
          state: "failed (failed), exit-code, exit 1",
          journal: Array.from(
            { length: 40 },
            (_, line) =>
              `2026-01-01T00:00:00 unit${String(unit)}[4711]: line ${String(line)} ${createHash("md5")
                .update(`${String(index)}${String(line)}`)
                .digest("hex")} of what it said before it failed`,
          ),
          log: Array.from(
            { length: 40 },
            (_, line) =>
              `line ${String(line)} ${createHash("md5")
                .update(`${String(line)}${String(index)}`)
                .digest("hex")}`,
          ),
        })),
      );
    store.saveContainers(
      id,
      Array.from({ length: 10 }, (_, unit) => ({
        service: serviceName(`unit${String(unit)}.service`),
        ...{ quadlet: `unit${String(unit)}.container`, imageId: digestOf(String(unit)), status: "running", health: "healthy" as const },
      })),
    );
    store.saveApplication(applicationRecord(application, { lastGood: isBad ? last : digest, since: at }));
    store.finishDeployment(isBad ? { ...settled(id, digest, application), outcome: "rolled-back" } : settled(id, digest, application));
    store.saveHealth(
      application,
      [
        {
          service: serviceName("unit0.service"),
          health: index % 40 < 20 ? "healthy" : "unhealthy",
          checkedBy: "http",
          message: `GET http://127.0.0.1:8080/ready: ${String(index)}`,
        },
      ],
      at,
    );
    store.addEvent({
      ...{ type: "outcome", at, application, outcome: isBad ? "rolled-back" : "deployed", revision: commit, deployment: id, ms: 4000 },
      message: `unit${String(index % 10)}.service not healthy after 60 s: GET http://127.0.0.1:8080/ready: 503 (12 of 12 probes): see ctl show ${String(id)}`,
    });
  }
});

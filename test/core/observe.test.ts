/** From what systemd and the disk say to what the planner is told: whose a service is, and what it runs. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { serviceName, type Digest, type RelativePath } from "../../src/core/names.ts";
import { observedService, remembered, unitOnDisk, type Readings, type ServiceReading, type StartRecord } from "../../src/core/observe.ts";
import type { Bundle, Unit } from "../../src/core/bundle.ts";
import { bundleOf } from "./model.ts";

const web = serviceName("web.service");
const old = bundleOf({ "web.container": "[Container]\nImage=localhost/web:1\nVolume=./conf:/c\n", "conf/a": "1" });
const now = bundleOf({ "web.container": "[Container]\nImage=localhost/web:2\nVolume=./conf:/c\n", "conf/a": "1" });

function unitOf(bundle: Bundle): Unit {
  const [unit] = bundle.units;
  assert.ok(unit);
  return unit;
}

const [oldUnit, nowUnit] = [unitOf(old), unitOf(now)];
const recordOf = (unit: Unit, invocation: string): StartRecord => ({ digest: unit.digest, inputs: unit.inputs, invocation });

const running: ServiceReading = {
  load: "loaded",
  active: "active",
  result: "success",
  invocation: "7",
  source: "/q/fleet/shop/web.container",
  fragment: "/run/systemd/generator/web.service",
};

const readings = (service: Partial<ServiceReading>, record: StartRecord | undefined, onDisk: Unit | undefined): Readings => ({
  service: { ...running, ...service },
  record,
  onDisk,
  places: { directory: "/q/fleet/shop", units: new Set(["/etc/systemd/system/tick.timer"]) },
  keepsObject: false,
  reloadPending: false,
});

suite("what a service runs", () => {
  const known = (service: Partial<ServiceReading>, record: StartRecord | undefined, onDisk: Unit | undefined) =>
    observedService(readings(service, record, onDisk)).startedFrom?.digest;

  test("is what pgo started it from, as long as it is that start, whatever lies on disk now", () => {
    for (const onDisk of [oldUnit, nowUnit, undefined]) assert.equal(known({}, recordOf(oldUnit, "7"), onDisk), oldUnit.digest);
  });

  test("is the same after another start, when the disk still holds it: a reboot, a crash, systemctl restart", () => {
    assert.equal(known({ invocation: "8" }, recordOf(oldUnit, "7"), oldUnit), oldUnit.digest);
  });

  test("is not known after another start when the disk holds something else", () => {
    assert.equal(known({ invocation: "8" }, recordOf(oldUnit, "7"), nowUnit), undefined);
    assert.equal(known({ invocation: "8" }, recordOf(oldUnit, "7"), undefined), undefined);
  });

  test("is not known after another start while systemd has not read what lies on disk: it may have started the text before", () => {
    const pending = { ...readings({ invocation: "8" }, recordOf(oldUnit, "7"), oldUnit), reloadPending: true };
    assert.equal(observedService(pending).startedFrom, undefined);
    assert.equal(observedService({ ...pending, record: undefined }).startedFrom, undefined);
    assert.equal(observedService({ ...pending, record: recordOf(oldUnit, "8") }).startedFrom?.digest, oldUnit.digest);
  });

  test("is what it ran last, when systemd has forgotten it", () => {
    assert.equal(known({ invocation: "", active: "inactive" }, recordOf(oldUnit, "7"), nowUnit), oldUnit.digest);
  });

  test("of a service that pgo never started is what lies on disk while it runs, and nothing while it doesn't", () => {
    assert.equal(known({}, undefined, oldUnit), oldUnit.digest);
    assert.equal(known({}, undefined, undefined), undefined);
    assert.equal(known({ active: "inactive" }, undefined, oldUnit), undefined);
  });
});

suite("what is remembered before the first file changes", () => {
  const again = (first: Readings, later: Partial<ServiceReading>, onDisk: Unit | undefined) =>
    observedService(readings(later, remembered(first), onDisk)).startedFrom?.digest;

  test("holds through a crash: the old unit still counts as what runs, though the new one lies on disk", () => {
    assert.equal(again(readings({}, undefined, oldUnit), {}, nowUnit), oldUnit.digest);
    assert.equal(again(readings({ invocation: "8" }, recordOf(oldUnit, "7"), oldUnit), { invocation: "8" }, nowUnit), oldUnit.digest);
  });

  test("that nobody can say stays so, even when the disk holds the new unit later", () => {
    assert.equal(again(readings({ invocation: "8" }, recordOf(oldUnit, "7"), undefined), { invocation: "8" }, nowUnit), undefined);
    assert.equal(again(readings({ invocation: "8" }, recordOf(oldUnit, "7"), undefined), { invocation: "9" }, oldUnit), undefined);
  });
});

test("a network is what it was made as, whoever started its unit since, and whatever lies on the disk by now", () => {
  const again = { ...readings({ invocation: "8" }, recordOf(oldUnit, "7"), nowUnit), reloadPending: true };
  assert.equal(observedService({ ...again, keepsObject: true }).startedFrom?.digest, oldUnit.digest);
  assert.equal(observedService(again).startedFrom, undefined, "of a container nobody can say");
});

test("what runs under a name that somebody else has taken is not remembered as one's own", () => {
  const theirs = readings({ source: "/etc/containers/systemd/web.container" }, recordOf(oldUnit, "7"), oldUnit);
  const back = readings({}, remembered(theirs), oldUnit);
  assert.equal(observedService(back).startedFrom, undefined);
});

suite("a service is the application's own", () => {
  const ours = (service: Partial<ServiceReading>) => observedService(readings(service, undefined, undefined)).ours;

  test("when its quadlet lies in the application's directory, or nothing makes it any more", () => {
    assert.equal(ours({}), true);
    assert.equal(ours({ load: "not-found", source: "", fragment: "" }), true);
  });

  test("not when it comes of another directory, though that begins alike, or of a unit file", () => {
    assert.equal(ours({ source: "/q/fleet/shop2/web.container" }), false);
    assert.equal(ours({ source: "", fragment: "/usr/lib/systemd/system/web.service" }), false);
  });
});

test("systemd's states as the planner takes them", () => {
  const activity = (active: string) => observedService(readings({ active }, undefined, undefined)).activity;
  assert.deepEqual(["active", "reloading", "activating", "deactivating", "maintenance", "failed", "inactive"].map(activity), [
    "running",
    "running",
    "changing",
    "changing",
    "changing",
    "failed",
    "stopped",
  ]);
});

test("a run has succeeded only if pgo knows of one", () => {
  const succeeded = (result: string, record: StartRecord | undefined) => observedService(readings({ result }, record, undefined)).succeeded;
  assert.deepEqual(
    [succeeded("success", recordOf(oldUnit, "7")), succeeded("success", undefined), succeeded("exit-code", recordOf(oldUnit, "7"))],
    [true, false, false],
  );
});

suite("which unit lies on disk", () => {
  const disk = (bundle: Bundle, changes: Readonly<Record<string, string | undefined>> = {}) => {
    const files = new Map<RelativePath, { digest: Digest }>(bundle.files.map((file) => [file.path, { digest: file.digest }]));
    for (const [path, digest] of Object.entries(changes))
      if (digest === undefined) files.delete(path as RelativePath);
      else files.set(path as RelativePath, { digest: digest as Digest });
    return files;
  };
  const found = (files: ReturnType<typeof disk>) => unitOnDisk(web, [now, old], files)?.digest;

  test("is the first known one whose files are all there", () => {
    assert.equal(found(disk(old)), oldUnit.digest);
    assert.equal(found(disk(now)), nowUnit.digest);
  });

  test("is none that is known when one of its files is edited or gone", () => {
    assert.equal(found(disk(old, { "web.container": "edited" })), undefined);
    assert.equal(found(disk(old, { "conf/a": "edited" })), undefined);
    assert.equal(found(disk(old, { "conf/a": undefined })), undefined);
  });

  test("is none that is known when a drop-in is there that it doesn't have", () => {
    assert.equal(found(disk(old, { "web.container.d/99-mine.conf": "x" })), undefined);
    assert.equal(found(disk(old, { "deep/web.container.d/99-mine.conf": "x" })), undefined);
  });

  test("doesn't mind other files", () => {
    assert.equal(found(disk(old, { "notes.txt": "x", "db.container.d/1.conf": "x" })), oldUnit.digest);
  });
});

/** What was there before a rollout is kept, listed, and brought back by the one rollout; and all of pgo's state on an empty host. */

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";

import { restoreArchive } from "../../src/adapters/archive/archive.ts";
import { databaseFault } from "../../src/adapters/store/store.ts";
import { quadletDirectory } from "../fakes/world.ts";
import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const files = (image: string, port = "80") => ({
  "shop/web.container": `[Container]\nImage=localhost/${image}\nVolume=./conf:/etc/web\nEnvironmentFile=web.env\nHealthCmd=x\n`,
  "shop/conf/web.conf": `port ${port}\n`,
  "shop/web.env": "PASSWORD=${PASSWORD}\n",
});

async function running(options = {}): Promise<Pgo> {
  const pgo = new Pgo(options);
  pgo.secretValues.set("PASSWORD", "s3cret");
  pgo.start();
  await pgo.push(files("good:1"));
  assert.equal(pgo.outcome("shop"), "deployed");
  return pgo;
}

const conf = `${quadletDirectory}/fleet/shop/conf/web.conf`;
const runs = (pgo: Pgo) => pgo.world.machine.runs(service("web")) ?? "";

test("before a rollout that changes something there is a backup of what was there, and restoring it brings just that back, pinned", async () => {
  await using pgo = await running();
  assert.deepEqual(pgo.commands.backups(undefined).applications, [], "there was nothing before the first one");
  await pgo.push(files("good:2"));
  const [backup] = pgo.commands.backups("shop").applications;
  assert.deepEqual({ ...backup, at: "" }, { id: 1, source: "fleet", application: "shop", at: "", before: 2, changed: [] });
  const report = await pgo.until(pgo.commands.restore(1));
  assert.match(report.message, /^fleet\/shop is back on 0{6}1?/);
  assert.equal(report.done, true);
  assert.match(runs(pgo), /good:1/);
  await pgo.pass(15 * minute);
  assert.match(runs(pgo), /good:1/, "it stays");
  isSettled(pgo);
  await pgo.push(files("good:3"));
  assert.match(runs(pgo), /good:3/, "until a commit changes the application");
  isSettled(pgo);
});

test("what was changed by hand is kept before it is overwritten, secrets among the sealed, and comes back", async () => {
  await using pgo = await running({ config: { quadlet: { drift_interval: "10d" } } });
  const { machine } = pgo.world;
  machine.files.set(conf, { mode: 0o644, content: "port 8443\n" });
  const env = [...machine.files.keys()].find((path) => path.startsWith("/var/lib/pgo/env/")) ?? "";
  machine.files.set(env, { mode: 0o600, content: "PASSWORD=by hand\n" });
  await pgo.push(files("good:2"));
  assert.equal(machine.files.get(conf)?.content, "port 80\n");
  const [backup] = pgo.commands.backups(undefined).applications;
  assert.deepEqual(backup?.changed, ["conf/web.conf", "web.env"]);
  for (const { bundle } of pgo.store.versionBackups())
    for (const entry of pgo.store.bundle(bundle)?.entries.values() ?? [])
      assert.ok(entry.kind === "file" && !Buffer.from(entry.content).toString().includes("by hand"));
  assert.equal((await pgo.until(pgo.commands.restore(backup.id))).done, true);
  assert.equal(machine.files.get(conf)?.content, "port 8443\n");
  assert.equal(machine.files.get(env)?.content, "PASSWORD=by hand\n");
  isSettled(pgo);
});

test("a repair keeps what a person had changed, and one of what was only stopped keeps nothing", async () => {
  await using pgo = await running();
  pgo.world.machine.files.set(conf, { mode: 0o644, content: "port 8443\n" });
  await pgo.pass(10 * minute);
  assert.equal(pgo.world.machine.files.get(conf)?.content, "port 80\n");
  assert.equal(pgo.store.versionBackups().length, 1);
  pgo.world.machine.kill(service("web"));
  await pgo.pass(10 * minute);
  assert.equal(pgo.store.versionBackups().length, 1);
});

test("a change by hand that nobody can read is kept, and not rolled out", async () => {
  await using pgo = await running({ config: { quadlet: { drift_interval: "10d" } } });
  pgo.world.machine.files.set(`${quadletDirectory}/fleet/shop/web.container`, { mode: 0o644, content: "[Container\nImage" });
  await pgo.push(files("good:2"));
  const report = await pgo.until(pgo.commands.restore(1));
  assert.equal(report.done, false);
  assert.match(report.message, /can't go back to backup 1: /);
  assert.match(runs(pgo), /good:2/);
});

test("a change by hand that nobody can read, and that a repair has put right, is no version whose images would be looked for", async () => {
  await using pgo = await running();
  pgo.world.machine.files.set(`${quadletDirectory}/fleet/shop/web.container`, { mode: 0o644, content: "[Container\nImage" });
  await pgo.pass(10 * minute);
  const [backup] = pgo.store.versionBackups();
  assert.ok(backup !== undefined && pgo.store.bundle(backup.bundle) !== undefined);
  assert.ok(!pgo.store.versions(5).includes(backup.bundle));
});

test("a backup of what is gone from Git, and one that there is not, are refused with the way out", async () => {
  await using pgo = await running();
  await assert.rejects(() => pgo.until(pgo.commands.restore(7)), /there is no backup 7 .*ctl backup list/);
  await pgo.push({ ...files("good:2"), "blog/blog.container": "[Container]\nImage=localhost/good:1\n" });
  await pgo.push({ "blog/blog.container": "[Container]\nImage=localhost/good:1\n" });
  const report = await pgo.until(pgo.commands.restore(2));
  assert.deepEqual([report.done, report.message.includes("Git has fleet/shop no more")], [false, true]);
  // It is there for when Git has the application again.
  await pgo.push(files("good:3"));
  const [newest] = pgo.commands.backups("shop").applications;
  const again = await pgo.until(pgo.commands.restore(newest?.id ?? 0));
  assert.deepEqual([again.done, again.message.slice(0, 18)], [true, "fleet/shop is back"]);
  assert.match(runs(pgo), /good:2/);
  isSettled(pgo);
});

test("backups keep their version, however old, and only so many are kept", async () => {
  await using pgo = await running({ config: { backup: { keep: 2, keep_days: 1 }, state: { keep_good: 1 } } });
  for (let port = 81; port < 89; port++) await pgo.push(files("good:1", String(port)));
  assert.equal(pgo.store.versionBackups().length, 8, "of the last day all");
  for (const { bundle } of pgo.store.versionBackups()) assert.ok(pgo.store.bundle(bundle) !== undefined);
  await pgo.pass(25 * 60 * minute);
  await pgo.push(files("good:2"));
  const kept = pgo.store.versionBackups();
  assert.equal(kept.length, 2);
  for (const { bundle } of kept) assert.ok(pgo.store.bundle(bundle) !== undefined);
});

test("all of pgo's state in one file makes an empty host run what it ran, with Git out of reach", async (t) => {
  const [old, fresh] = [temporary(t), temporary(t)];
  await using pgo = await running({ database: join(old, "state.db") });
  // Its contents are in memory here, the file's on disk.
  const made = pgo.commands.backUp();
  let report: Awaited<typeof made> | undefined;
  void made.then((value) => (report = value));
  while (report === undefined) {
    await setTimeout(2);
    await pgo.pass(minute);
  }
  assert.match(report.message, /^\S+\.tar \(.*\): copy it to another machine/);
  const [archive = ""] = report.message.split(" ");
  assert.deepEqual(readdirSync(join(old, "backups/whole")).length, 1, "nothing else is left");
  const restored = await restoreArchive(archive, { state: fresh, database: join(fresh, "state.db"), faultOf: databaseFault });
  assert.deepEqual(restored, { ok: true, value: undefined });

  await using other = new Pgo({ database: join(fresh, "state.db") });
  for (const [digest, content] of pgo.sealedContents) other.sealedContents.set(digest, content);
  other.world.gitTrouble = { reason: "no route", transient: true };
  other.start();
  await other.pass(10 * minute);
  assert.match(runs(other), /good:1/);
  assert.deepEqual([...other.world.filesOf(id("shop"))], [...pgo.world.filesOf(id("shop"))]);
  isSettled(other);
});

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "pgo-backups-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  return directory;
}

/** The state database is lost in the middle of it all: what runs goes on, and Git is followed again. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout } from "node:timers/promises";

import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const files = (image: string) => ({
  "shop/web.container": `[Container]\nImage=localhost/${image}\nVolume=./conf:/etc/web\nEnvironmentFile=web.env\nHealthCmd=x\n`,
  "shop/conf/web.conf": "port 80\n",
  "shop/web.env": "PASSWORD=${PASSWORD}\n",
  "blog/blog.container": "[Container]\nImage=localhost/good:1\nVolume=blog.volume:/data\n",
  "blog/blog.volume": "[Volume]\n",
  "blog/pgo.toml": '[health.blog]\ndeadline = "30s"\n',
  "blog/job.container": "[Container]\nImage=localhost/job:1\n[Service]\nType=oneshot\n",
});

function lost(t: TestContext): {
  readonly database: string;
  readonly copies: string;
  readonly damage: () => void;
  readonly all: () => void;
} {
  const directory = mkdtempSync(join(tmpdir(), "pgo-heal-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  const [database, copies] = [join(directory, "state.db"), join(directory, "backups/state")];
  const damage = () => {
    writeFileSync(database, "no database ".repeat(1000));
  };
  const all = () => {
    damage();
    rmSync(copies, { recursive: true, force: true });
  };
  return { database, copies, damage, all };
}

async function running(place: ReturnType<typeof lost>, image = "good:1"): Promise<Pgo> {
  const pgo = new Pgo({ database: place.database, copies: place.copies });
  pgo.secretValues.set("PASSWORD", "s3cret");
  pgo.start();
  await pgo.push(files(image));
  assert.equal(pgo.outcome("shop"), "deployed");
  assert.equal(pgo.outcome("blog"), "deployed");
  await until(() => pgo.store.copies().length > 0, pgo);
  return pgo;
}

/** What was copied since does not count. */
function onlyFirst(pgo: Pgo): void {
  for (const { path } of pgo.store.copies().slice(0, -1)) rmSync(path);
}

/** Copies are made in real time, and the next pass begins when one is there. */
async function until(isSo: () => boolean, pgo: Pgo): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    assert.ok(tries < 1000, "it never comes");
    await setTimeout(2);
    await pgo.pass(minute);
  }
}

const healed = (pgo: Pgo) => pgo.told.flatMap((event) => (event.type === "warning" && event.subject === "state" ? [event.message] : []));

test("a lost database comes back from its copy: nothing restarts, and it is told once", async (t) => {
  const place = lost(t);
  await using pgo = await running(place);
  pgo.forget();
  await pgo.reopen(place.damage);
  await pgo.pass(15 * minute);
  assert.deepEqual(pgo.world.changes, []);
  assert.equal(healed(pgo).length, 1);
  assert.match(healed(pgo)[0] ?? "", /was damaged .*: restored from the copy of .* lies at .*state\.db\.damaged-/);
  pgo.kill();
  await pgo.pass(5 * minute);
  assert.equal(healed(pgo).length, 1);
  isSettled(pgo);
});

test("what was deployed since the copy goes on too, though the copy knows an older version", async (t) => {
  const place = lost(t);
  await using pgo = await running(place);
  await pgo.push(files("good:2"));
  await until(() => (pgo.world.machine.runs(service("web")) ?? "").includes("good:2") && pgo.store.rollouts().length === 0, pgo);
  onlyFirst(pgo);
  pgo.forget();
  // With Git out of reach nothing says what is wanted: the older version must not come back.
  pgo.world.gitTrouble = { reason: "no route", transient: true };
  await pgo.reopen(place.damage);
  await pgo.pass(15 * minute);
  assert.deepEqual(pgo.world.changes, []);
  pgo.world.gitTrouble = undefined;
  await pgo.pass(20 * minute);
  assert.deepEqual(pgo.world.changes, []);
  assert.equal(pgo.outcome("shop"), "deployed");
  isSettled(pgo);
  // And from then on all is as ever.
  await pgo.push(files("sick:1"));
  await until(() => pgo.outcome("shop") === "rolled-back", pgo);
  isSettled(pgo);
});

test("files and applications that came after the copy are pgo's to change all the same", async (t) => {
  const place = lost(t);
  await using pgo = await running(place);
  const more = (text: string) => ({
    ...files("good:1"),
    "shop/conf/more.conf": text,
    "late/late.container": `[Container]\nImage=localhost/${text}\n`,
  });
  await pgo.push(more("good:1"));
  await until(() => pgo.outcome("late") === "deployed", pgo);
  onlyFirst(pgo);
  await pgo.reopen(place.damage);
  await pgo.push(more("good:2"));
  await until(() => pgo.outcome("late") === "deployed" && pgo.outcome("shop") === "deployed", pgo);
  assert.equal(pgo.world.filesOf(id("shop")).get("conf/more.conf" as never), "good:2");
  isSettled(pgo);
});

test("without a copy, what lies on the host is what runs: nothing restarts, not even a job that has ended", async (t) => {
  const place = lost(t);
  await using pgo = await running(place);
  pgo.forget();
  await pgo.reopen(place.all);
  await pgo.pass(15 * minute);
  assert.deepEqual(pgo.world.changes, []);
  assert.match(healed(pgo)[0] ?? "", /made anew, since there was no whole copy/);
  assert.ok(["in-sync", "deployed"].includes(pgo.outcome("shop") ?? ""), pgo.outcome("shop"));
  assert.ok(["in-sync", "deployed"].includes(pgo.outcome("blog") ?? ""), pgo.outcome("blog"));
  isSettled(pgo);
});

test("without a copy, what Git has changed meanwhile is rolled out, and undone to what was found where it does not work", async (t) => {
  const place = lost(t);
  await using pgo = await running(place);
  await pgo.reopen(place.all);
  pgo.forget();
  await pgo.push({ ...files("sick:1"), "shop/conf/web.conf": "port 81\n" });
  assert.equal(pgo.outcome("shop"), "rolled-back");
  assert.equal(pgo.world.machine.state(service("web")).active, "active");
  assert.match(pgo.world.machine.runs(service("web")) ?? "", /good:1/);
  assert.equal(pgo.world.filesOf(id("shop")).get("conf/web.conf" as never), "port 80\n");
  isSettled(pgo);
  await pgo.push(files("good:2"));
  await until(() => pgo.outcome("shop") === "deployed", pgo);
  isSettled(pgo);
});

test("without a copy, an application that Git has no more is taken away, and its own data stays", async (t) => {
  const place = lost(t);
  await using pgo = await running(place);
  pgo.world.machine.files.set("/etc/containers/systemd/pgo/fleet/shop/data/orders.db", { mode: 0o644, content: "orders" });
  await pgo.reopen(place.all);
  const { "blog/blog.container": blog } = files("good:1");
  await pgo.push({ "blog/blog.container": blog, "blog/blog.volume": "[Volume]\n" });
  assert.equal(pgo.record("shop"), undefined);
  assert.equal(pgo.world.machine.state(service("web")).active, "inactive");
  assert.ok(pgo.world.machine.files.has("/etc/containers/systemd/pgo/fleet/shop/data/orders.db"));
  assert.deepEqual(pgo.world.violations, []);
});

test("damage that shows while pgo runs ends it, and the next start heals", async (t) => {
  const place = lost(t);
  await using pgo = await running(place);
  pgo.forget();
  const { StateDamaged } = await import("../../src/core/healing.ts");
  const source = pgo.store.source.bind(pgo.store);
  let broken = true;
  Object.assign(pgo.store, {
    source: (name: Parameters<typeof source>[0]) => {
      if (broken) throw new StateDamaged("cannot read the state database");
      return source(name);
    },
  });
  pgo.kill();
  pgo.start();
  await pgo.clock.advance(2 * minute);
  assert.deepEqual(pgo.endings, ["cannot read the state database"]);
  broken = false;
  await pgo.reopen(place.damage);
  await pgo.pass(10 * minute);
  assert.deepEqual(pgo.world.changes, []);
  isSettled(pgo);
});

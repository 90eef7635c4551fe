/** All of pgo's state in one file: what is in it, who may read it, and what is refused of one. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { openArchives, restoreArchive } from "../../../src/adapters/archive/archive.ts";
import { databaseFault, openStore } from "../../../src/adapters/store/store.ts";
import { applicationRecord, shop } from "../store/samples.ts";

const at = new Date("2026-01-01T12:00:00.000Z");
const sealed = "a".repeat(64);

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "pgo-archive-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  return directory;
}

async function made(state: string): Promise<string> {
  for (const directory of ["sealed", "secrets", "env/fleet"]) mkdirSync(join(state, directory), { recursive: true });
  writeFileSync(join(state, "sealed", sealed), "sealed ".repeat(1000), { mode: 0o600 });
  writeFileSync(join(state, "secrets/ctl.env"), "PASSWORD=s3cret\n", { mode: 0o600 });
  writeFileSync(join(state, "digest.key"), Buffer.alloc(32, 7), { mode: 0o600 });
  writeFileSync(join(state, "env/fleet/web.env"), "made again\n");
  await using store = openStore(join(state, "state.db"));
  store.saveApplication(applicationRecord(shop));
  const { path, bytes } = await openArchives(state).create(at, (target) => store.copyTo(target));
  assert.equal(bytes, statSync(path).size);
  return path;
}

test("the file is tar's, for its owner alone, and put back it is the same", async (t) => {
  const [state, fresh] = [temporary(t), join(temporary(t), "state")];
  const path = await made(state);
  assert.equal((statSync(path).mode & 0o777).toString(8), "600");
  assert.deepEqual(execFileSync("tar", ["--list", "--file", path], { encoding: "utf8" }).trim().split("\n"), [
    "state.db",
    `sealed/${sealed}`,
    "secrets/ctl.env",
    "digest.key",
  ]);
  const database = join(fresh, "state.db");
  assert.deepEqual(await restoreArchive(path, { state: fresh, database, faultOf: databaseFault }), { ok: true, value: undefined });
  for (const name of [`sealed/${sealed}`, "secrets/ctl.env", "digest.key"]) {
    assert.deepEqual(readFileSync(join(fresh, name)), readFileSync(join(state, name)));
    assert.equal((statSync(join(fresh, name)).mode & 0o777).toString(8), "600");
  }
  for (const name of [".", "sealed", "secrets"]) assert.equal((statSync(join(fresh, name)).mode & 0o777).toString(8), "700");
  await using store = openStore(database);
  assert.equal(store.application(shop)?.id, shop);
});

test("what is no backup, is damaged, or would go elsewhere is refused, and leaves no database", async (t) => {
  const state = temporary(t);
  const path = await made(state);
  const strange = join(state, "strange.tar");
  writeFileSync(join(state, "evil"), "x");
  execFileSync("tar", ["--create", "--file", strange, "--format=ustar", "--transform", "s,^,../,", "-P", "-C", state, "evil"]);
  const variants: Readonly<Record<string, readonly [string, RegExp]>> = {
    "no such file": [join(state, "nowhere"), /^there is no such file$/],
    "a text": [(writeFileSync(join(state, "text"), "Dear aunt ".repeat(500)), join(state, "text")), /^it is no tar archive$/],
    "a path that leads out": [strange, /^it is no backup of pgo's: it has \.\.\/evil$/],
    "cut short": [
      (writeFileSync(join(state, "short"), readFileSync(path)), truncateSync(join(state, "short"), 20_000), join(state, "short")),
      /ends in the middle$/,
    ],
    "a damaged database": [damaged(path, join(state, "damaged"), 5000, 30_000), /^its state database can't be used: .*damaged/],
  };
  for (const [what, [file, reason]] of Object.entries(variants)) {
    const fresh = join(temporary(t), "state");
    const done = await restoreArchive(file, { state: fresh, database: join(fresh, "state.db"), faultOf: databaseFault });
    assert.match(done.ok ? "it was put back" : done.trouble, reason, what);
    assert.ok(!existsSync(join(fresh, "state.db")), what);
  }
});

test("three are kept", async (t) => {
  const state = temporary(t);
  await made(state);
  await using store = openStore(join(state, "state.db"));
  for (const hour of ["13", "14", "15"])
    await openArchives(state).create(new Date(`2026-01-01T${hour}:00:00.000Z`), (target) => store.copyTo(target));
  assert.deepEqual(
    readdirSync(join(state, "backups/whole")).map((name) => name.slice(13, 15)),
    ["13", "14", "15"],
  );
});

function damaged(from: string, to: string, begin: number, end: number): string {
  const content = readFileSync(from);
  writeFileSync(to, content.fill(0xa5, begin, end));
  return to;
}

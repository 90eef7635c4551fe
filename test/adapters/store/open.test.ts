/** Opening the state database: new, old, newer, damaged, and to read only. */

import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import Sqlite from "better-sqlite3";

import { openStore } from "../../../src/adapters/store/store.ts";
import type { Health, UnitHealth } from "../../../src/core/health.ts";
import { serviceName } from "../../../src/core/names.ts";
import { reasonOf } from "../../../src/core/result.ts";
import { applicationRecord, bundle, later, morning, shop } from "./samples.ts";

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "pgo-store-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  return directory;
}

async function made(path: string): Promise<void> {
  await using store = openStore(path);
  store.saveApplication(applicationRecord(shop));
  store.saveBundle(bundle("a text that is easy to find in the file".repeat(20)));
}

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);
const reason = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return reasonOf(error);
  }
  throw new Error("it did not fail");
};

/** How many migrations there are. */
const shape = 12;

test("a new database and its log are for their owner only, and so is the directory made for it", async (t) => {
  const directory = join(temporary(t), "state", "deep");
  await using store = openStore(join(directory, "state.db"));
  store.setReloadPending(true);
  assert.equal(modeOf(directory), "700");
  assert.deepEqual(
    readdirSync(directory).map((file) => [file, modeOf(join(directory, file))]),
    [
      ["state.db", "600"],
      ["state.db-shm", "600"],
      ["state.db-wal", "600"],
    ],
  );
});

test("a database that others could read is closed to them, a directory that was there stays as it is", async (t) => {
  const directory = temporary(t);
  const path = join(directory, "state.db");
  await made(path);
  chmodSync(path, 0o644);
  chmodSync(directory, 0o755);
  await using store = openStore(path);
  assert.equal(store.applications().length, 1);
  assert.equal(modeOf(path), "600");
  assert.equal(modeOf(directory), "755");
});

test("the database has strict tables, a write-ahead log, and a number for its shape", async (t) => {
  const path = join(temporary(t), "state.db");
  await made(path);
  using raw = disposable(new Sqlite(path));
  assert.equal(raw.db.pragma("journal_mode", { simple: true }), "wal");
  assert.equal(raw.db.pragma("user_version", { simple: true }), shape);
  assert.equal(raw.db.pragma("auto_vacuum", { simple: true }), 2);
  assert.deepEqual(
    raw.db.prepare("SELECT name FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND strict = 0").all(),
    [],
  );
  assert.equal(raw.db.pragma("integrity_check", { simple: true }), "ok");
});

test("a database of a newer pgo is refused and left as it is", async (t) => {
  const path = join(temporary(t), "state.db");
  await made(path);
  {
    using raw = disposable(new Sqlite(path));
    raw.db.pragma("user_version = 99");
  }
  const before = readFileSync(path);
  for (const readonly of [false, true])
    assert.match(
      reason(() => openStore(path, { readonly })),
      new RegExp(
        `^the state database /.*state\\.db was written by a newer pgo \\(shape 99, this one knows ${String(shape)}\\): run that version again, or `,
      ),
    );
  assert.deepEqual(readFileSync(path), before);
});

test("a database of the version before keeps what it holds and gets what is new", async (t) => {
  const path = join(temporary(t), "state.db");
  await made(path);
  {
    using raw = disposable(new Sqlite(path));
    raw.db.exec("DROP TABLE together; INSERT INTO meta VALUES ('kept', 'yes')");
    raw.db.pragma(`user_version = ${String(shape - 1)}`);
  }
  await using store = openStore(path);
  assert.deepEqual(store.together(), []);
  using raw = disposable(new Sqlite(path));
  assert.equal(raw.db.pragma("user_version", { simple: true }), shape);
  assert.equal(raw.db.prepare("SELECT value FROM meta WHERE key = 'kept'").pluck().get(), "yes");
});

test("a migration that fails leaves the shape as it was", (t) => {
  const path = join(temporary(t), "state.db");
  {
    using raw = disposable(new Sqlite(path));
    raw.db.exec("CREATE TABLE events (mine TEXT)");
  }
  assert.match(
    reason(() => openStore(path)),
    /events already exists/,
  );
  using raw = disposable(new Sqlite(path));
  assert.equal(raw.db.pragma("user_version", { simple: true }), 0);
  assert.deepEqual(raw.db.prepare("SELECT name FROM pragma_table_list WHERE name NOT LIKE 'sqlite%'").pluck().all(), ["events"]);
});

test("a file that is no database is refused by name, with advice, and not touched", (t) => {
  const path = join(temporary(t), "state.db");
  writeFileSync(path, "this was a letter to my aunt, long enough to be a header. ".repeat(20));
  const before = readFileSync(path);
  for (const readonly of [false, true])
    assert.match(
      reason(() => openStore(path, { readonly })),
      /^cannot read the state database \/.*state\.db: it is damaged\. Start pgo again: .*: file is not a database$/,
    );
  assert.deepEqual(readFileSync(path), before);
});

test("a database with a damaged page is refused at start", async (t) => {
  const path = join(temporary(t), "state.db");
  await made(path);
  const damagedPage = (() => {
    using raw = disposable(new Sqlite(path));
    return Number(raw.db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'started'").pluck().get());
  })();
  // A page that nothing reads at start but the check.
  const content = readFileSync(path);
  content.fill(0xa5, 4096 * (damagedPage - 1), 4096 * damagedPage);
  writeFileSync(path, content);
  assert.match(
    reason(() => openStore(path)),
    /^cannot read the state database .*state\.db: it is damaged\. Start pgo again/,
  );
});

test("a flipped bit in a bundle's content is found when it is read", async (t) => {
  const path = join(temporary(t), "state.db");
  const saved = bundle("[Container]\nImage=localhost/web:1\n");
  {
    await using store = openStore(path);
    store.saveBundle(saved);
  }
  {
    using raw = disposable(new Sqlite(path));
    // Another content, well deflated: of the empty text.
    raw.db.prepare("UPDATE blobs SET content = ?").run(Buffer.from("789c030000000001", "hex"));
  }
  await using store = openStore(path);
  assert.match(
    reason(() => store.bundle(saved.digest)),
    /damaged copy of web\.container: its content does not match its digest/,
  );
});

test("a value that this version does not know is an error, not a guess", async (t) => {
  const path = join(temporary(t), "state.db");
  await made(path);
  {
    using raw = disposable(new Sqlite(path));
    raw.db.exec("UPDATE applications SET outcome = 'postponed'");
  }
  await using store = openStore(path);
  assert.match(
    reason(() => store.applications()),
    /the state database holds 'postponed' in the column "outcome", which this version of pgo can't read/,
  );
});

test("a reader sees what the daemon writes while it runs, and can't write", async (t) => {
  const path = join(temporary(t), "state.db");
  await using daemon = openStore(path);
  await using reader = openStore(path, { readonly: true });
  daemon.saveApplication(applicationRecord(shop));
  assert.equal(reader.applications().length, 1);
  assert.equal(
    reader.atomically(() => reader.applications().length),
    1,
  );
  assert.match(
    reason(() => {
      reader.setReloadPending(true);
    }),
    /readonly/,
  );
  assert.throws(() => {
    reader.check();
  });
});

test("where a reader can't make the files that SQLite needs, it reads a copy and leaves nothing behind", async (t) => {
  const directory = temporary(t);
  const path = join(directory, "state.db");
  await made(path);
  // Stands for a read-only mount, also for root: nothing can be opened at this name.
  symlinkSync("nowhere", `${path}-shm`);
  const copies = () => readdirSync(tmpdir()).filter((name) => name.startsWith("pgo-state-"));
  const before = copies();
  {
    await using reader = openStore(path, { readonly: true });
    assert.equal(reader.applications().length, 1);
  }
  assert.deepEqual(copies(), before);
});

test("reading where there is no database says so and makes none", (t) => {
  const path = join(temporary(t), "state.db");
  assert.match(
    reason(() => openStore(path, { readonly: true })),
    /^cannot open the state database .*state\.db: there is none: has pgo run here/,
  );
  assert.equal(existsSync(path), false);
});

test("the check writes, and says so where it can't", async (t) => {
  const path = join(temporary(t), "state.db");
  await using store = openStore(path);
  const before = store.size();
  store.check();
  assert.ok(store.size() > before);
  using raw = disposable(new Sqlite(path));
  assert.equal(raw.db.prepare("SELECT value FROM meta WHERE key = 'checks'").pluck().get(), "1");
  raw.db.exec("CREATE TRIGGER full BEFORE UPDATE ON meta BEGIN SELECT raise(FAIL, 'disk is full'); END");
  assert.throws(() => {
    store.check();
  }, /disk is full/);
});

test("a unit's health is kept as it is, and in the history as often as it changed", async (t) => {
  const path = join(temporary(t), "state.db");
  const unit = (health: Health, message?: string): UnitHealth => ({
    service: serviceName("web.service"),
    health,
    checkedBy: "http",
    message,
  });
  await using store = openStore(path);
  const row: readonly UnitHealth[] = [
    unit("starting"),
    unit("healthy"),
    unit("healthy"),
    unit("healthy", "slow"),
    unit("unhealthy", "503"),
  ];
  for (const [minute, health] of row.entries()) {
    store.saveHealth(shop, [health], later(minute * 60_000));
    assert.deepEqual(store.health(shop), [health]);
  }
  store.saveHealth(shop, [], later(0));
  assert.deepEqual(store.health(shop), []);
  using raw = disposable(new Sqlite(path));
  assert.deepEqual(raw.db.prepare("SELECT health, time FROM health_history ORDER BY id").raw().all(), [
    ["starting", morning.toISOString()],
    ["healthy", later(60_000).toISOString()],
    ["unhealthy", later(240_000).toISOString()],
  ]);
});

function disposable(db: Sqlite.Database): Disposable & { readonly db: Sqlite.Database } {
  return {
    db,
    [Symbol.dispose]: () => {
      db.close();
    },
  };
}

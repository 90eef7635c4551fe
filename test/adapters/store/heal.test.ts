/** A state database that is damaged or gone: put back from its newest whole copy, or made anew. */

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";

import Sqlite from "better-sqlite3";

import { openStore } from "../../../src/adapters/store/store.ts";
import { StateDamaged } from "../../../src/core/healing.ts";
import { partsOf, serviceName, revision } from "../../../src/core/names.ts";
import { applicationRecord, bundle, shop } from "./samples.ts";

const web = serviceName("web.service");
const noon = new Date("2026-01-01T12:00:00.000Z");
const evening = new Date("2026-01-01T18:00:00.000Z");

function places(t: TestContext): { readonly path: string; readonly copies: string } {
  const directory = mkdtempSync(join(tmpdir(), "pgo-heal-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  return { path: join(directory, "state.db"), copies: join(directory, "backups/state") };
}

/** A database with an application, and a copy of it of noon; what comes after noon is in no copy. */
async function made({ path, copies }: ReturnType<typeof places>): Promise<void> {
  await using store = openStore(path, { copies });
  store.saveApplication(applicationRecord(shop));
  store.saveSource({
    name: partsOf(shop).source,
    revision: revision("a".repeat(40)),
    tag: undefined,
    checkedAt: noon,
    state: "ok",
    message: undefined,
    failures: 0,
  });
  store.saveStarted(shop, web, { digest: bundle("x").digest, inputs: [], invocation: "first" });
  for (let index = 0; index < 30; index++) store.saveBundle(bundle(`${String(index)} ${"text of no use ".repeat(400)}`));
  await store.copy(noon);
  store.setReloadPending(true);
}

const page = 4096;
function overwrite(path: string, from: number, to: number, byte: number): void {
  const content = readFileSync(path);
  content.fill(byte, from, to);
  writeFileSync(path, content);
}

const damages: Readonly<Record<string, (path: string) => void>> = {
  "its header is garbage": (path) => {
    overwrite(path, 0, 100, 0xa5);
  },
  "it is a text": (path) => {
    writeFileSync(path, "Dear aunt, ".repeat(1000));
  },
  "it was cut short": (path) => {
    truncateSync(path, 5 * page);
  },
  "pages in its middle are zero": (path) => {
    overwrite(path, 8 * page, 12 * page, 0);
  },
  "all of it is zero": (path) => {
    overwrite(path, 0, statSync(path).size, 0);
  },
  "it is gone": (path) => {
    rmSync(path);
  },
  "its log is garbage": (path) => {
    writeFileSync(`${path}-wal`, Buffer.alloc(3 * page, 0xa5));
  },
};

for (const [how, damage] of Object.entries(damages))
  test(`a state database is put back from its newest copy when ${how}, and the old one is kept`, async (t) => {
    const place = places(t);
    await made(place);
    damage(place.path);
    const before = existsSync(place.path) ? readFileSync(place.path) : undefined;
    await using store = openStore(place.path, { copies: place.copies, now: evening });
    assert.equal(store.application(shop)?.id, shop);
    assert.equal(store.reloadPending(), false, "it is that of noon");
    assert.equal(store.source(partsOf(shop).source)?.revision, undefined, "Git is to be read anew");
    assert.equal(store.started(shop).get(web)?.invocation, "?first", "what runs may have been started since");
    const healing = store.healing();
    assert.deepEqual(
      { how: healing?.how, at: healing?.at, copiedAt: healing?.copiedAt, told: healing?.told },
      { how: "restored", at: evening, copiedAt: noon, told: false },
    );
    assert.deepEqual(healing?.kept === undefined ? undefined : readFileSync(healing.kept), before);
    assert.equal((statSync(place.path).mode & 0o777).toString(8), "600");
  });

test("a state database that is well is left alone, also with the log of a pgo that was killed", async (t) => {
  const place = places(t);
  await made(place);
  const other = `${place.path}.killed`;
  {
    await using store = openStore(place.path, { copies: place.copies });
    store.setReloadPending(false);
    for (const suffix of ["-wal", ""]) writeFileSync(other + suffix, readFileSync(place.path + suffix));
  }
  assert.ok(statSync(`${other}-wal`).size > 0);
  await using store = openStore(other, { copies: place.copies });
  assert.equal(store.healing(), undefined);
  assert.equal(store.reloadPending(), false);
});

test("a log that a power cut has left unwritten costs nothing", async (t) => {
  const place = places(t);
  await made(place);
  writeFileSync(`${place.path}-wal`, Buffer.alloc(2 * page));
  await using store = openStore(place.path, { copies: place.copies });
  assert.equal(store.healing(), undefined);
  assert.equal(store.reloadPending(), true);
});

test("a copy that is damaged itself is passed over, and so is one that a newer pgo made", async (t) => {
  const place = places(t);
  await made(place);
  for (const [hour, harm] of [
    [
      "13",
      (path: string) => {
        overwrite(path, 8 * page, 12 * page, 0);
      },
    ],
    [
      "14",
      (path: string) => {
        using raw = disposable(new Sqlite(path));
        raw.db.pragma("user_version = 99");
      },
    ],
  ] as const) {
    await using store = openStore(place.path, { copies: place.copies });
    const copy = await store.copy(new Date(`2026-01-01T${hour}:00:00.000Z`));
    harm(copy?.path ?? "");
  }
  writeFileSync(place.path, "nothing");
  await using store = openStore(place.path, { copies: place.copies });
  assert.deepEqual(store.healing()?.copiedAt, noon);
});

test("without a whole copy the database is made anew, and says so", async (t) => {
  const place = places(t);
  await made(place);
  rmSync(place.copies, { recursive: true });
  writeFileSync(place.path, "nothing, but long enough to be taken for something ".repeat(20));
  {
    await using store = openStore(place.path, { copies: place.copies });
    assert.equal(store.healing()?.how, "rebuilt");
    assert.deepEqual(store.applications(), []);
  }
  await using again = openStore(place.path, { copies: place.copies });
  assert.equal(again.healing()?.how, "rebuilt", "it is known at the next start too");
});

test("healing that was cut off is done by the next start, whatever it had done", async (t) => {
  const place = places(t);
  await made(place);
  // The damaged one is aside, its log is not, and half of the new one is there.
  writeFileSync(`${place.path}.damaged-20260101T170000000Z`, "damaged");
  rmSync(place.path);
  writeFileSync(`${place.path}-wal`, "left of the old one".repeat(10));
  writeFileSync(`${place.path}.new`, "half");
  await using store = openStore(place.path, { copies: place.copies });
  assert.equal(store.application(shop)?.id, shop);
  assert.equal(store.healing()?.kept, `${place.path}.damaged-20260101T170000000Z`);
  assert.ok(!existsSync(`${place.path}.new`));
});

test("a first start finds nothing, and heals nothing", async (t) => {
  const place = places(t);
  await using store = openStore(place.path, { copies: place.copies });
  assert.equal(store.healing(), undefined);
});

test("a database of a newer pgo is no damage: it is refused and left as it is", async (t) => {
  const place = places(t);
  await made(place);
  {
    using raw = disposable(new Sqlite(place.path));
    raw.db.pragma("user_version = 99");
  }
  assert.throws(() => openStore(place.path, { copies: place.copies }), /was written by a newer pgo/);
  assert.deepEqual(
    readdirSync(dirname(place.path)).filter((name) => name.includes("damaged")),
    [],
  );
});

test("damage that shows only while pgo runs is told as damage", async (t) => {
  const { path } = places(t);
  const db = openStore(path);
  await using store = db;
  store.saveBundle(bundle("a text that fills a page ".repeat(4000)));
  {
    using raw = disposable(new Sqlite(path));
    raw.db.pragma("wal_checkpoint(TRUNCATE)");
  }
  // Under its feet, as a dying card does it; what is in its cache does not count.
  overwrite(path, page, statSync(path).size, 0xa5);
  {
    using raw = disposable(new Sqlite(path));
    assert.throws(() => raw.db.exec("INSERT INTO meta VALUES ('x', 'y')"));
  }
  assert.throws(() => store.bundle(bundle("another").digest) ?? store.events({ limit: 10 }), StateDamaged);
});

test("copies are whole files for their owner alone, the newest three stay, and nothing else is left", async (t) => {
  const place = places(t);
  await made(place);
  await using store = openStore(place.path, { copies: place.copies });
  for (const hour of ["13", "14", "15"]) await store.copy(new Date(`2026-01-01T${hour}:00:00.000Z`));
  assert.deepEqual(
    store.copies().map(({ at }) => at.getUTCHours()),
    [15, 14, 13],
  );
  assert.deepEqual(readdirSync(place.copies).sort(), ["20260101T130000000Z.db", "20260101T140000000Z.db", "20260101T150000000Z.db"]);
  for (const { path } of store.copies()) assert.equal((statSync(path).mode & 0o777).toString(8), "600");
  assert.equal((statSync(place.copies).mode & 0o777).toString(8), "700");
});

function disposable(db: Sqlite.Database): { readonly db: Sqlite.Database } & Disposable {
  return { db, [Symbol.dispose]: () => db.close() };
}

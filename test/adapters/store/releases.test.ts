/** What earlier releases have left on hosts: their state databases open, whatever was skipped between, and their pgo.toml is understood. */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import Sqlite from "better-sqlite3";

import { openDatabase } from "../../../src/adapters/store/database.ts";
import { migrate, newestShape } from "../../../src/adapters/store/migrations.ts";
import { loadConfig } from "../../../src/config.ts";
import { shownBy } from "./shown.ts";

const releases = new URL("../../fixtures/releases/", import.meta.url);
const versions = readdirSync(releases);

for (const version of versions) {
  test(`the state of ${version} shows the same applications and history, with every number of releases skipped`, async (t) => {
    const shows = JSON.parse(readFileSync(new URL(`${version}/shows.json`, releases), "utf8")) as Readonly<Record<string, unknown>>;
    const path = left(t, version);
    const shape = shapeOf(path);
    assert.ok(shape <= newestShape);
    // Each shape between is one that a release may have had.
    for (let stop = shape; stop <= newestShape; stop++) {
      const copy = left(t, version);
      brought(copy, stop);
      const found = await shownBy(copy);
      for (const [what, was] of Object.entries(shows))
        assert.deepEqual(known(found[what], was), was, `${what}, with a stop at ${String(stop)}`);
      assert.deepEqual(schemaOf(copy), schemaOf(fresh(t)));
    }
  });

  test(`the pgo.toml of ${version} is understood`, async () => {
    const config = await loadConfig({ PGO_MODE: "rootful", PGO_CONFIG: new URL(`${version}/pgo.toml`, releases).pathname });
    // The files that it names are of its host.
    const problems = config.ok ? [] : config.trouble.filter(({ message }) => !message.includes(" does not exist "));
    assert.deepEqual(problems, []);
  });
}

test("every shape that there ever was ends as the newest one", async (t) => {
  const newest = schemaOf(fresh(t));
  for (let shape = 1; shape <= newestShape; shape++) {
    const path = join(temporary(t), "state.db");
    brought(path, shape);
    assert.equal(shapeOf(path), shape);
    await shownBy(path);
    assert.deepEqual(schemaOf(path), newest, `from ${String(shape)}`);
  }
});

/** The state database that a release has left. */
function left(t: TestContext, version: string): string {
  const path = join(temporary(t), "state.db");
  const db = new Sqlite(path);
  db.exec(readFileSync(new URL(`${version}/state.sql`, releases), "utf8"));
  db.close();
  return path;
}

function fresh(t: TestContext): string {
  const path = join(temporary(t), "state.db");
  brought(path, newestShape);
  return path;
}

function brought(path: string, shape: number): void {
  const database = openDatabase(path, false);
  migrate(database, path, shape);
  database.close();
}

/** Of what is found, the keys that the release knew: later ones may tell more. */
function known(found: unknown, was: unknown): unknown {
  if (Array.isArray(found) && Array.isArray(was)) return found.map((one, index) => known(one, was[index]));
  if (typeof found !== "object" || found === null || typeof was !== "object" || was === null) return found;
  return Object.fromEntries(
    Object.keys(was).map((key) => [key, known((found as Record<string, unknown>)[key], (was as Record<string, unknown>)[key])]),
  );
}

function shapeOf(path: string): number {
  const db = new Sqlite(path, { readonly: true });
  const shape = Number(db.pragma("user_version", { simple: true }));
  db.close();
  return shape;
}

/** Columns in the order in which they came, however the text of CREATE TABLE has grown. */
function schemaOf(path: string): readonly unknown[] {
  const db = new Sqlite(path, { readonly: true });
  const rows = db
    .prepare(
      `SELECT m.name AS owner, c.name, c.type, c."notnull", c.pk FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'
       UNION ALL SELECT tbl_name, name, 'index', 0, 0 FROM sqlite_schema WHERE type = 'index' ORDER BY 1, 2`,
    )
    .all();
  db.close();
  return rows;
}

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "pgo-releases-"));
  t.after(() => {
    rmSync(directory, { recursive: true });
  });
  return directory;
}

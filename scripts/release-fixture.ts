/**
 * Writes what a release leaves on a host, for the tests of later ones: `node scripts/release-fixture.ts VERSION`. In test/fixtures/releases/VERSION it makes
 * `state.sql`, the state database of a host with some history, and `shows.json`, what that release tells of it. `pgo.toml` is written by hand: that of the
 * release before, with the keys that came since.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import Sqlite from "better-sqlite3";

import { minute, Pgo } from "../test/controller/pgo.ts";
import { shownBy } from "../test/adapters/store/shown.ts";

const [version = ""] = process.argv.slice(2);
if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error("usage: node scripts/release-fixture.ts VERSION");

const target = join(import.meta.dirname, "../test/fixtures/releases", version);
const directory = mkdtempSync(join(tmpdir(), "pgo-fixture-"));
const database = join(directory, "state.db");

/** Two applications with all that a bundle may hold; one good version after another, one that fails, a repair, a removal. */
const files = (image: string, port: string) => ({
  "shop/web.container": `[Container]\nImage=localhost/${image}\nVolume=./conf:/etc/web\nVolume=data.volume:/data\nEnvironmentFile=web.env\nHealthCmd=x\n`,
  "shop/data.volume": "[Volume]\n",
  "shop/shop.network": "[Network]\n",
  "shop/conf/web.conf": `port ${port}\n`,
  "shop/web.env": "PASSWORD=${PASSWORD}\n",
  "shop/pgo.toml": '[health.web]\ndeadline = "30s"\n',
  "blog/blog.container": "[Container]\nImage=localhost/good:1\n",
});

{
  await using pgo = new Pgo({ database });
  pgo.secretValues.set("PASSWORD", "s3cret");
  pgo.start();
  await pgo.push(files("good:1", "80"));
  await pgo.push(files("good:2", "80"));
  await pgo.push(files("sick:1", "81"));
  await pgo.push({ ...files("good:3", "82"), "gone/gone.container": "[Container]\nImage=localhost/good:1\n" });
  await pgo.push({ ...files("good:3", "82"), "shop/bad.container": "[Container]\n" });
  pgo.world.machine.kill("web.service" as never);
  await pgo.pass(10 * minute);
  pgo.commands.suspend("blog", undefined);
}

mkdirSync(target, { recursive: true });
writeFileSync(join(target, "shows.json"), `${JSON.stringify(await shownBy(database), null, 2)}\n`);
writeFileSync(join(target, "state.sql"), dump(database));
rmSync(directory, { recursive: true });

function dump(path: string): string {
  const db = new Sqlite(path, { readonly: true });
  const schema = db
    .prepare("SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, rowid")
    .all() as readonly { readonly name: string; readonly type: string; readonly sql: string }[];
  const tables = schema.filter(({ type }) => type === "table");
  const rows = [...tables.map(({ name }) => name), "sqlite_sequence"].flatMap((name) =>
    db
      .prepare(`SELECT * FROM ${name}`)
      .raw()
      .all()
      .map((row) => `INSERT INTO ${name} VALUES (${(row as readonly unknown[]).map(literal).join(", ")});`),
  );
  const shape = String(db.pragma("user_version", { simple: true }));
  db.close();
  return `${["PRAGMA foreign_keys = OFF;", ...schema.map(({ sql }) => `${sql};`), ...rows, `PRAGMA user_version = ${shape};`].join("\n")}\n`;
}

function literal(value: unknown): string {
  if (value === null) return "NULL";
  if (typeof value === "number") return String(value);
  if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString("hex")}'`;
  if (typeof value !== "string") throw new Error(`a column holds a ${typeof value}`);
  return `'${value.replaceAll("'", "''")}'`;
}

/** Bundles as Git had them, in the state database: each content once, deflated. */

import { deflateSync, inflateSync } from "node:zlib";

import { z } from "zod";

import type { TreeEntry } from "../../core/bundle.ts";
import { digestOf, relativePath, revision, type Digest, type RelativePath } from "../../core/names.ts";
import { placedPath } from "../../core/placing.ts";
import type { Store, StoredBundle } from "../../ports.ts";
import type { Database } from "./database.ts";
import { application, blob, digest, number, oneOf, text, type Row } from "./rows.ts";

export function bundleTables(database: Database): Pick<Store, "saveBundle" | "bundle" | "usesTemplates" | "sealedInUse"> {
  return {
    saveBundle: (bundle) => {
      database.atomically(() => {
        save(database, bundle);
      });
    },
    usesTemplates: () => database.get("SELECT 1 FROM bundle_files WHERE path LIKE '%.liquid' LIMIT 1", {}) !== undefined,
    sealedInUse: () =>
      new Set(database.all("SELECT sealed FROM bundles", {}).flatMap((row) => [...sealedIn(row).values()].map(({ sealed }) => sealed))),
    bundle: (wanted) => {
      const row = database.get("SELECT * FROM bundles WHERE digest = :wanted", { wanted });
      return row === undefined ? undefined : bundleIn(database, row);
    },
  };
}

function save(database: Database, bundle: StoredBundle): void {
  const { application: owner, digest: key, revision: commit } = bundle;
  // Asked first, so that what is there already costs no write; a pass saves what it saw before.
  if (database.get("SELECT id FROM bundles WHERE digest = :key", { key }) !== undefined) return;
  const { id } = database.run(
    "INSERT INTO bundles (application, digest, revision, vars, sealed, pins) VALUES (:owner, :key, :commit, :vars, :sealed, :pins)",
    { owner, key, commit, vars: varsText(bundle), sealed: sealedText(bundle), pins: JSON.stringify(Object.fromEntries(bundle.pins)) },
  );
  for (const [path, entry] of bundle.entries) {
    database.run(
      `INSERT INTO bundle_files (bundle, path, kind, executable, blob, detail)
       VALUES (:id, :path, :kind, :executable, :blob, :detail)`,
      { id, path, ...columnsOf(database, entry) },
    );
  }
}

function columnsOf(database: Database, entry: TreeEntry) {
  switch (entry.kind) {
    case "file":
      return { kind: entry.kind, executable: entry.executable ? 1 : 0, blob: saveContent(database, entry.content), detail: undefined };
    case "symlink":
      return { kind: entry.kind, executable: 0, blob: undefined, detail: entry.target };
    case "other":
      return { kind: entry.kind, executable: 0, blob: undefined, detail: entry.what };
  }
}

function saveContent(database: Database, content: Uint8Array): Digest {
  const key = digestOf(content);
  if (database.get("SELECT 1 FROM blobs WHERE digest = :key", { key }) === undefined)
    database.run("INSERT INTO blobs (digest, content) VALUES (:key, :content)", { key, content: deflateSync(content) });
  return key;
}

function bundleIn(database: Database, row: Row): StoredBundle {
  const files = database.all(
    `SELECT path, kind, executable, detail, blob, content FROM bundle_files LEFT JOIN blobs ON blobs.digest = bundle_files.blob
     WHERE bundle = :id ORDER BY path`,
    { id: number(row, "id") },
  );
  return {
    digest: digest(row, "digest"),
    application: application(row, "application"),
    revision: revision(text(row, "revision")),
    vars: varsIn(row),
    sealed: sealedIn(row),
    pins: new Map(
      Object.entries(pinsShape.parse(JSON.parse(text(row, "pins")))).map(([path, reference]) => [relativePath(path), reference]),
    ),
    entries: new Map(files.map((file): [RelativePath, TreeEntry] => [relativePath(text(file, "path")), entryIn(file)])),
  };
}

const pinsShape = z.record(z.string(), z.string());
const varsShape = z.record(z.string(), z.string().nullable());
const sealedShape = z.record(z.string(), z.tuple([z.string(), z.string()]));

function varsText({ vars }: StoredBundle): string {
  return JSON.stringify(Object.fromEntries([...vars].map(([name, value]) => [name, value ?? null])));
}

function varsIn(row: Row): StoredBundle["vars"] {
  return new Map(Object.entries(varsShape.parse(JSON.parse(text(row, "vars")))).map(([name, value]) => [name, value ?? undefined]));
}

function sealedText({ sealed }: StoredBundle): string {
  return JSON.stringify(Object.fromEntries([...sealed].map(([path, one]) => [path, [one.sealed, one.digest]])));
}

function sealedIn(row: Row): StoredBundle["sealed"] {
  const found = Object.entries(sealedShape.parse(JSON.parse(text(row, "sealed"))));
  return new Map(found.map(([path, [sealed, file]]) => [placedPath(path), { sealed: sealed as Digest, digest: file as Digest }]));
}

function entryIn(row: Row): TreeEntry {
  const kind = oneOf(row, "kind", ["file", "symlink", "other"]);
  switch (kind) {
    case "file":
      return { kind, executable: number(row, "executable") === 1, content: contentIn(row) };
    case "symlink":
      return { kind, target: text(row, "detail") };
    case "other":
      return { kind, what: text(row, "detail") };
  }
}

/** SQLite's check at start doesn't see a flipped bit in a content, so each one is compared with its digest: it may be what a host goes back to. */
function contentIn(row: Row): Uint8Array {
  const content = new Uint8Array(inflateSync(blob(row, "content")));
  if (digestOf(content) !== digest(row, "blob"))
    throw new Error(`the state database holds a damaged copy of ${text(row, "path")}: its content does not match its digest`);
  return content;
}

/** The state of pgo in one SQLite file: fulfils the port Store. */

import type { Store } from "../../ports.ts";
import { adoptedTable } from "./adopted.ts";
import { applicationTables } from "./applications.ts";
import { backupTables } from "./backups.ts";
import { bundleTables } from "./bundles.ts";
import { damage, openDatabase, refusal, type Database } from "./database.ts";
import { historyTables } from "./history.ts";
import { hostTables } from "./host.ts";
import { imageTables } from "./images.ts";
import { migrate, requireCurrent } from "./migrations.ts";
import { date, optional } from "./rows.ts";
import { rolloutTable } from "./rollouts.ts";
import { sourceTables } from "./sources.ts";
import { trim } from "./trim.ts";

/**
 * Opens the state database, makes it if there is none, and brings an older one up to date; ":memory:" is one that nobody else sees. It has
 * one writer, the daemon. With `readonly` it is read beside the daemon or after its end, never made or migrated.
 *
 * Throws an Error that names the file and says what to do: it is damaged, a newer pgo wrote it, or it can't be opened.
 */
export function openStore(path: string, options: { readonly readonly?: boolean } = {}): Store & AsyncDisposable {
  const database = openDatabase(path, options.readonly ?? false);
  try {
    prepare(database, path);
  } catch (error) {
    database.close();
    throw error;
  }
  const { flush, ...sources } = sourceTables(database);
  return {
    atomically: (work) => database.atomically(work),
    ...sources,
    ...applicationTables(database),
    ...bundleTables(database),
    ...hostTables(database),
    ...imageTables(database),
    ...adoptedTable(database),
    ...backupTables(database),
    ...historyTables(database),
    ...rolloutTable(database),
    trim: (keep, now) => {
      trim(database, keep, now);
    },
    newest: () => newest(database),
    check: () => {
      check(database);
    },
    size: () => database.size(),
    [Symbol.asyncDispose]: () => {
      try {
        flush();
      } catch {
        // The time of the last look at a source is not worth a failing end.
      } finally {
        database.close();
      }
      return Promise.resolve();
    },
  };
}

function prepare(database: Database, path: string): void {
  if (database.readonly) {
    requireCurrent(database, path);
    return;
  }
  let found: unknown;
  try {
    found = database.pragma("quick_check(1)");
  } catch (error) {
    throw new Error(refusal(path, error), { cause: error });
  }
  if (found !== "ok") throw new Error(damage(path), { cause: new Error(String(found)) });
  migrate(database, path);
}

/** Events, deployments and looks at sources are written down with the clock's time. */
function newest(database: Database): Date | undefined {
  const row = database.get(
    `SELECT max(time) AS newest FROM (
       SELECT max(time) AS time FROM events UNION ALL SELECT max(started) FROM deployments UNION ALL SELECT max(checked) FROM sources
     )`,
  );
  return row === undefined ? undefined : optional(row, "newest", date);
}

/**
 * A real write, since a file system that became read-only or full is seen only then. It is asked every few seconds, so it does without the
 * fsync of each commit: NORMAL keeps the database whole, and a power cut may take this row back.
 */
function check(database: Database): void {
  database.pragma("synchronous = NORMAL");
  try {
    database.run("INSERT INTO meta (key, value) VALUES ('checks', '1') ON CONFLICT (key) DO UPDATE SET value = CAST(value AS INTEGER) + 1");
  } finally {
    database.pragma("synchronous = FULL");
  }
}

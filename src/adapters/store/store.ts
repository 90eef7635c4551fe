/** The state of pgo in one SQLite file: fulfils the port Store. */

import type { Store } from "../../ports.ts";
import { adoptedTable } from "./adopted.ts";
import { applicationTables } from "./applications.ts";
import { backupTables } from "./backups.ts";
import { bundleTables } from "./bundles.ts";
import { StateDamaged } from "../../core/healing.ts";
import { reasonOf } from "../../core/result.ts";
import { addCopy, copiesIn, copyWhole, removeHalf } from "./copies.ts";
import { damage, openDatabase, refusal, type Database } from "./database.ts";
import { heal, healingIn, lossOf, saveHealing } from "./heal.ts";
import { historyTables } from "./history.ts";
import { hostTables } from "./host.ts";
import { imageTables } from "./images.ts";
import { migrate, requireCurrent } from "./migrations.ts";
import { date, optional } from "./rows.ts";
import { rolloutTable } from "./rollouts.ts";
import { sourceTables } from "./sources.ts";
import { togetherTable } from "./together.ts";
import { trim, versionsIn } from "./trim.ts";

export interface StoreOptions {
  readonly readonly?: boolean;
  /** The directory of its copies; without it there are none. */
  readonly copies?: string;
  /** Of the opening; default: the clock's. */
  readonly now?: Date;
}

/**
 * Opens the state database, makes it if there is none, and brings an older one up to date; ":memory:" is one that nobody else sees. It has
 * one writer, the daemon. With `readonly` it is read beside the daemon or after its end, never made or migrated.
 *
 * One that is damaged, or gone, is healed where it has copies (heal.ts). Throws an Error that names the file and says what to do: StateDamaged, a newer pgo
 * wrote it, or it can't be opened.
 */
export function openStore(path: string, options: StoreOptions = {}): Store & AsyncDisposable {
  const database = openWhole(path, options);
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
    ...togetherTable(database),
    versions: (good) => versionsIn(database, good),
    trim: (keep, now) => {
      trim(database, keep, now);
    },
    newest: () => newest(database),
    check: () => {
      check(database);
    },
    size: () => database.size(),
    copy: (at) => (options.copies === undefined ? Promise.resolve(undefined) : addCopy(database, options.copies, at)),
    copyTo: (target) => copyWhole(database, target),
    copies: () => (options.copies === undefined ? [] : copiesIn(options.copies)),
    healing: () => healingIn(database),
    saveHealing: (healing) => {
      saveHealing(database, healing);
    },
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

/** Why a file that nobody has open is no state database that this pgo can use, brought up to date; undefined where it is. */
export function databaseFault(path: string): string | undefined {
  try {
    const database = openPrepared(path, false);
    try {
      database.pragma("journal_mode = DELETE");
      return undefined;
    } finally {
      database.close();
    }
  } catch (error) {
    return reasonOf(error);
  }
}

function openWhole(path: string, { readonly = false, copies, now = new Date() }: StoreOptions): Database {
  if (readonly || copies === undefined) return openPrepared(path, readonly);
  const options = { copies, now };
  removeHalf(copies);
  const lost = lossOf(path, options);
  if (lost !== undefined) heal(path, lost, options);
  try {
    return openPrepared(path, false);
  } catch (error) {
    if (!(error instanceof StateDamaged)) throw error;
    const { cause } = error;
    heal(path, `the state database ${path} was damaged${cause === undefined ? "" : ` (${reasonOf(cause)})`}`, options);
    return openPrepared(path, false);
  }
}

function openPrepared(path: string, readonly: boolean): Database {
  const database = openDatabase(path, readonly);
  try {
    prepare(database, path);
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

function prepare(database: Database, path: string): void {
  if (database.readonly) {
    requireCurrent(database, path);
    return;
  }
  let found: unknown;
  try {
    found = database.pragma("integrity_check(1)");
  } catch (error) {
    throw refusal(path, error);
  }
  if (found !== "ok") throw damage(path, new Error(String(found)));
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

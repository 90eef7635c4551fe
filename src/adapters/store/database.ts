/** SQLite as the store needs it: opened safely, statements prepared once, transactions that nest. better-sqlite3 is known here only. */

import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

import Sqlite from "better-sqlite3";

import { StateDamaged } from "../../core/healing.ts";
import type { Row } from "./rows.ts";

export type Value = string | number | Uint8Array | undefined;
/** Values by the name that they have in the statement (`:name`) or, for `put`, of the column; undefined is NULL. */
export type Values = Readonly<Record<string, Value>>;

export interface Database {
  readonly readonly: boolean;
  all(statement: string, values?: Values): readonly Row[];
  get(statement: string, values?: Values): Row | undefined;
  /** Answers how many rows it changed, and the id of the last one inserted. */
  run(statement: string, values?: Values): { readonly changes: number; readonly id: number };
  /** Inserts a row, or overwrites the one with the same key. */
  put(table: string, key: readonly string[], row: Values): void;
  /** All or nothing. Inside another one it is a savepoint: its failure undoes only itself, if the outer one goes on. */
  atomically<Result>(work: () => Result): Result;
  pragma(text: string): unknown;
  /** Several statements at once, without values. */
  execute(statements: string): void;
  /** Bytes on disk with the write-ahead log; of memory for a database in memory. */
  size(): number;
  /**
   * Copies the database as it is at the end, a hundred pages at a time, so that others have their turn between (sqlite.org/backup.html).
   * Neither whole nor durable before its end.
   */
  copyTo(path: string): Promise<void>;
  close(): void;
}

/**
 * Opens a database file, or one in memory (":memory:"). A new file gets mode 0600, and directories that are missing 0700; SQLite gives
 * the -wal and -shm files beside it the same mode. Throws an Error that names the file and says what to do, StateDamaged where it can't be read;
 * so do all that read and write it later.
 *
 * synchronous=FULL, since what is saved is what a power cut must not undo: with NORMAL (better-sqlite3's default in WAL mode) a commit is
 * only in the page cache until the next checkpoint, so a power cut leaves the database whole but takes the last commits back: a saved
 * intention would be gone while files of it are already on disk. FULL costs one fsync of the log for each commit (sqlite.org/pragma.html).
 */
export function openDatabase(path: string, readonly: boolean): Database {
  try {
    return wrapped(path, readonly ? openToRead(path) : openToWrite(path));
  } catch (error) {
    throw refusal(path, error);
  }
}

/**
 * Locks a file against every other process: SQLite's exclusive lock on an empty database, which is the kernel's (fcntl(2)). So it holds across
 * containers, and goes with its process however that ends. Undefined where another one has it. Throws where the file can't be made or
 * written.
 */
export function lockFile(path: string): Disposable | undefined {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const db = new Sqlite(path, { timeout: 0 });
  try {
    // Where it can't be written SQLite would read it only, and lock nothing. Not by opening it: to close it again would end this process's locks.
    accessSync(path, constants.W_OK);
    chmodSync(path, 0o600);
    db.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    db.close();
    if (error instanceof Sqlite.SqliteError && error.code.startsWith("SQLITE_BUSY")) return undefined;
    throw error;
  }
  return {
    [Symbol.dispose]: () => {
      db.close();
    },
  };
}

/** What to tell of a database that can't be opened or read. */
export function refusal(path: string, error: unknown): Error {
  if (error instanceof StateDamaged) return error;
  const what = `cannot open the state database ${path}`;
  if (!(error instanceof Sqlite.SqliteError)) return new Error(what, { cause: error });
  if (isDamage(error)) return damage(path, error);
  if (error.code === "SQLITE_FULL") return new Error(`${what}: the disk is full. Make room and start pgo again`, { cause: error });
  if (error.code.startsWith("SQLITE_BUSY"))
    return new Error(`${what}: another process holds it. Only one pgo may run on a state directory: stop the other one`, { cause: error });
  return new Error(what, { cause: error });
}

export const damage = (path: string, cause: Error): StateDamaged =>
  new StateDamaged(`cannot read the state database ${path}: it is damaged. Start pgo again: it puts its newest copy in its place`, {
    cause,
  });

/** Its content is not a database's, or a part of the disk under it can't be read (sqlite.org/rescode.html). */
function isDamage({ code }: InstanceType<typeof Sqlite.SqliteError>): boolean {
  return (
    code === "SQLITE_NOTADB" || code.startsWith("SQLITE_CORRUPT") || code === "SQLITE_IOERR_READ" || code === "SQLITE_IOERR_SHORT_READ"
  );
}

function openToWrite(path: string): { readonly db: Sqlite.Database; readonly close?: () => void } {
  if (path !== ":memory:") makeFile(path);
  const db = new Sqlite(path, { timeout: busyTimeout });
  try {
    // It has an effect only before the first table, and would write each time. Giving room back matters on a small disk.
    if (db.pragma("page_count", { simple: true }) === 0) db.pragma("auto_vacuum = INCREMENTAL");
    db.pragma("journal_mode = WAL");
    db.pragma("synchronous = FULL");
    // After a long transaction the log stays as long as it was, unless it is cut.
    db.pragma(`journal_size_limit = ${String(4 * 1024 * 1024)}`);
    for (const pragma of common) db.pragma(pragma);
  } catch (error) {
    db.close();
    throw error;
  }
  return { db };
}

/**
 * To read while the daemon runs, or is dead. A reader of a WAL database needs the -shm file, and makes it where it can. Where it can't (a
 * read-only mount after a clean end, which removes that file) it reads a copy of its own: with no -shm nobody is writing.
 */
function openToRead(path: string): { readonly db: Sqlite.Database; readonly close?: () => void } {
  if (!existsSync(path)) throw new Error("there is none: has pgo run here, and is the path right?");
  try {
    return { db: readable(path) };
  } catch (error) {
    if (!(error instanceof Sqlite.SqliteError) || !/^SQLITE_(?:CANTOPEN|READONLY)/.test(error.code)) throw error;
  }
  const directory = mkdtempSync(join(tmpdir(), "pgo-state-"));
  const remove = () => {
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const copy = join(directory, basename(path));
    for (const suffix of ["", "-wal"]) if (existsSync(path + suffix)) copyFileSync(path + suffix, copy + suffix);
    return { db: readable(copy), close: remove };
  } catch (error) {
    remove();
    throw error;
  }
}

function readable(path: string): Sqlite.Database {
  const db = new Sqlite(path, { readonly: true, fileMustExist: true, timeout: busyTimeout });
  try {
    for (const pragma of common) db.pragma(pragma);
    // SQLite opens the files at the first read.
    db.pragma("user_version");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Milliseconds to wait for another process: `ctl` reads beside the daemon, and both are quick. */
const busyTimeout = 5000;
/** better-sqlite3's page cache may grow to 16 MB; 2 MB hold all that a pass reads. */
const common = ["foreign_keys = ON", "cache_size = -2000"];

function makeFile(path: string): void {
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  closeSync(openSync(path, "a", 0o600));
  chmodSync(path, 0o600);
  // SQLite syncs the directory for its own new files, not for this one.
  const handle = openSync(directory, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function wrapped(path: string, { db, close }: { readonly db: Sqlite.Database; readonly close?: () => void }): Database {
  const guarded = <Result>(work: () => Result): Result => {
    try {
      return work();
    } catch (error) {
      throw error instanceof Sqlite.SqliteError && isDamage(error) ? damage(path, error) : error;
    }
  };
  const statements = new Map<string, Sqlite.Statement<[Record<string, unknown>], Row>>();
  const prepared = (text: string) => {
    const known = statements.get(text);
    if (known !== undefined) return known;
    const statement = db.prepare<[Record<string, unknown>], Row>(text);
    statements.set(text, statement);
    return statement;
  };
  const run: Database["run"] = (statement, values = {}) => {
    const { changes, lastInsertRowid } = guarded(() => prepared(statement).run(bound(values)));
    return { changes, id: Number(lastInsertRowid) };
  };
  return {
    readonly: db.readonly,
    all: (statement, values = {}) => guarded(() => prepared(statement).all(bound(values))),
    get: (statement, values = {}) => guarded(() => prepared(statement).get(bound(values))),
    run,
    put: (table, key, row) => {
      const columns = Object.keys(row);
      const rest = columns.filter((column) => !key.includes(column));
      const values = columns.map((column) => `:${column}`).join(", ");
      const update = rest.length === 0 ? "NOTHING" : `UPDATE SET ${rest.map((column) => `${column} = excluded.${column}`).join(", ")}`;
      run(`INSERT INTO ${table} (${columns.join(", ")}) VALUES (${values}) ON CONFLICT (${key.join(", ")}) DO ${update}`, row);
    },
    atomically: (work) => {
      const transaction = db.transaction(work);
      // A writer takes its lock at once: one that begins by reading can be refused later without having waited.
      return guarded(() => (db.readonly ? transaction.deferred() : transaction.immediate()));
    },
    pragma: (text) => guarded(() => db.pragma(text, { simple: true })),
    execute: (statements) => {
      guarded(() => db.exec(statements));
    },
    size: () =>
      path === ":memory:"
        ? Number(db.pragma("page_count", { simple: true })) * Number(db.pragma("page_size", { simple: true }))
        : bytes(path) + bytes(`${path}-wal`),
    copyTo: async (target) => {
      await db.backup(target);
    },
    close: () => {
      db.close();
      close?.();
    },
  };
}

const bytes = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

function bound(values: Values): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, value instanceof Uint8Array ? Buffer.from(value) : (value ?? null)]),
  );
}

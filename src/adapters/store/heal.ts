/** Puts a state database in the place of one that is damaged or gone: its newest whole copy, or a new one. Safe to be cut off anywhere. */

import { chmodSync, closeSync, copyFileSync, existsSync, fsyncSync, openSync, readSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";

import { z } from "zod";

import type { Healing, StateCopy } from "../../core/healing.ts";
import { copiesIn } from "./copies.ts";
import { openDatabase, type Database } from "./database.ts";
import { migrate } from "./migrations.ts";
import { text } from "./rows.ts";

export interface HealOptions {
  /** Where its copies are. */
  readonly copies: string;
  readonly now: Date;
}

/** Why a database that is not even opened is known to be lost; undefined where it may be well, or there never was one. */
export function lossOf(path: string, { copies }: HealOptions): string | undefined {
  if (!existsSync(path))
    return copiesIn(copies).length > 0 || damagedBeside(path).length > 0 ? `the state database ${path} was gone` : undefined;
  // SQLite takes a log that it can't read for an empty one, and the commits of it are lost without a word.
  return isGarbage(`${path}-wal`) ? `the write-ahead log of the state database ${path} was damaged` : undefined;
}

/**
 * The damaged one is kept beside its place, under another name. Throws where the new one can't be written; the next start goes on then, since a
 * database that is gone counts as lost as long as there are copies, or damaged ones.
 */
export function heal(path: string, because: string, { copies, now }: HealOptions): void {
  const kept = putAside(path, now);
  const interim = `${path}.new`;
  remove(interim);
  const healing = { at: now, because, kept, copiedAt: undefined, told: false };
  const copy = copiesIn(copies).find((one) => restored(one, interim));
  if (copy === undefined) {
    remove(interim);
    fill(interim, { ...healing, how: "rebuilt" });
  } else fill(interim, { ...healing, how: "restored", copiedAt: copy.at });
  renameSync(interim, path);
  sync(dirname(path));
}

/** A copy that is not whole, or that a newer pgo made, is passed over. */
function restored(copy: StateCopy, interim: string): boolean {
  try {
    remove(interim);
    copyFileSync(copy.path, interim);
    chmodSync(interim, 0o600);
    const database = openDatabase(interim, false);
    try {
      if (database.pragma("integrity_check(1)") !== "ok") return false;
      migrate(database, interim);
      // What was deployed since is not in it: Git is read anew, and what runs is not believed to be what it was.
      database.execute(
        "UPDATE sources SET revision = NULL, tag = NULL; UPDATE started SET invocation = '?' || invocation WHERE invocation NOT LIKE '?%'",
      );
      return true;
    } finally {
      database.close();
    }
  } catch (error) {
    if (isNoRoom(error)) throw error;
    return false;
  }
}

function fill(interim: string, healing: Healing): void {
  const database = openDatabase(interim, false);
  try {
    migrate(database, interim);
    saveHealing(database, healing);
    // One file, so that a rename puts all of it in its place.
    database.pragma("journal_mode = DELETE");
  } finally {
    database.close();
  }
  sync(interim);
}

export function saveHealing(database: Database, healing: Healing): void {
  database.put("meta", ["key"], { key: "healing", value: JSON.stringify(healing) });
}

export function healingIn(database: Database): Healing | undefined {
  const row = database.get("SELECT value FROM meta WHERE key = 'healing'");
  if (row === undefined) return undefined;
  const { kept, copiedAt, ...rest } = shape.parse(JSON.parse(text(row, "value")));
  return { ...rest, kept, copiedAt };
}

const time = z.iso.datetime().transform((value) => new Date(value));
const shape = z.strictObject({
  at: time,
  how: z.enum(["restored", "rebuilt"]),
  because: z.string(),
  kept: z.string().optional(),
  copiedAt: time.optional(),
  told: z.boolean(),
});

/** The log goes with its database: in another one's place it would be played into that. Answers where the database lies now. */
function putAside(path: string, now: Date): string | undefined {
  const aside = `${path}.damaged-${now.toISOString().replace(/[-:.]/g, "")}`;
  const found = existsSync(path);
  if (found) renameSync(path, aside);
  if (existsSync(`${path}-wal`)) renameSync(`${path}-wal`, `${aside}-wal`);
  rmSync(`${path}-shm`, { force: true });
  for (const old of damagedBeside(path).slice(2)) for (const suffix of ["", "-wal"]) rmSync(old + suffix, { force: true });
  sync(dirname(path));
  return found ? aside : damagedBeside(path)[0];
}

/** Newest first. */
function damagedBeside(path: string): readonly string[] {
  const prefix = `${basename(path)}.damaged-`;
  const names = existsSync(dirname(path)) ? readdirSync(dirname(path)) : [];
  return names
    .filter((name) => name.startsWith(prefix) && !name.endsWith("-wal"))
    .sort()
    .reverse()
    .map((name) => join(dirname(path), name));
}

/**
 * A log begins with a magic number (sqlite.org/fileformat2.html#walformat). One of zeros is what a power cut leaves of a log that was never
 * synced, and nothing is lost with that.
 */
function isGarbage(log: string): boolean {
  if (!existsSync(log)) return false;
  const header = Buffer.alloc(4);
  const handle = openSync(log, "r");
  try {
    if (readSync(handle, header, 0, 4, 0) < 4) return false;
  } finally {
    closeSync(handle);
  }
  return ![0, 0x377f0682, 0x377f0683].includes(header.readUInt32BE());
}

function remove(path: string): void {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
}

function sync(path: string): void {
  const handle = openSync(path, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function isNoRoom(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error ? String(error.code) : "";
  return ["ENOSPC", "EDQUOT", "EROFS", "SQLITE_FULL"].includes(code) || isNoRoom(error.cause);
}

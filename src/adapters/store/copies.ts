/** Copies of the state database, one file each, made while it is in use: whole and durable when they have their name. */

import { constants, readdirSync, rmSync, statSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { StateCopy } from "../../core/healing.ts";
import { makePrivate, privateDirectory, removed, syncDirectory } from "../durable.ts";
import { openDatabase, type Database } from "./database.ts";

/** Two more than one: the newest may be of a database that was damaged already, where no check can see it. */
const kept = 3;

/** Newest first; by their names, since a copy that is carried elsewhere and back gets another time. */
export function copiesIn(directory: string): readonly StateCopy[] {
  return namesIn(directory)
    .flatMap((name): StateCopy[] => {
      const [, year, month, day, hour, minute, second, ms] = pattern.exec(name) ?? [];
      if (ms === undefined) return [];
      const path = join(directory, name);
      const at = new Date(`${String(year)}-${String(month)}-${String(day)}T${String(hour)}:${String(minute)}:${String(second)}.${ms}Z`);
      return [{ path, at, bytes: statSync(path, { throwIfNoEntry: false })?.size ?? 0 }];
    })
    .sort((one, other) => other.at.getTime() - one.at.getTime());
}

const pattern = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z\.db$/;

/** Makes one more, and removes the oldest. Throws where that can't be done; what was there before stays. */
export async function addCopy(database: Database, directory: string, at: Date): Promise<StateCopy> {
  const path = join(directory, `${at.toISOString().replace(/[-:.]/g, "")}.db`);
  await copyWhole(database, path);
  for (const old of copiesIn(directory).slice(kept)) await removed(old.path);
  await syncDirectory(directory);
  return { path, at, bytes: statSync(path).size };
}

/** Removes what a crash left of a copy. Nobody may be making one. */
export function removeHalf(directory: string): void {
  for (const name of namesIn(directory)) if (/\.db\.tmp(?:-wal|-shm|-journal)?$/.test(name)) rmSync(join(directory, name), { force: true });
}

/** A whole, durable copy at a path. Throws where it can't be made. */
export async function copyWhole(database: Database, path: string): Promise<void> {
  const directory = dirname(path);
  const interim = `${path}.tmp`;
  try {
    await privateDirectory(directory);
    await makePrivate(directory);
    await removed(interim);
    // SQLite keeps the mode of a file that is there.
    await (await open(interim, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)).close();
    await database.copyTo(interim);
    const fault = completed(interim);
    if (fault !== undefined) throw new Error(`the copy is not whole: ${fault}`);
    await using file = await open(interim, "r+");
    await file.sync();
    await rename(interim, path);
  } catch (error) {
    for (const suffix of ["", "-wal", "-shm"]) await removed(interim + suffix);
    throw new Error(`copy the state database to ${path}`, { cause: error });
  }
  await syncDirectory(directory);
}

/** Makes one file of a database that was just copied, and answers what is wrong with it. */
function completed(path: string): string | undefined {
  const copy = openDatabase(path, false);
  try {
    copy.pragma("journal_mode = DELETE");
    const found = copy.pragma("integrity_check(1)");
    return found === "ok" ? undefined : String(found);
  } finally {
    copy.close();
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

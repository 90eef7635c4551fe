/** Everything of pgo's state in one tar file (0600), to be carried elsewhere, and put back where there is none. It holds secrets. */

import { constants } from "node:fs";
import { lstat, open, readdir, rename, stat, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { success, trouble, type Result } from "../../core/result.ts";
import type { Archives } from "../../ports.ts";
import { codeOf, makePrivate, privateDirectory, removed, syncDirectory, writeDurably } from "../durable.ts";
import { block, ending, entriesOf, header, type Entry } from "./tar.ts";

/** Beside what a person has carried elsewhere. */
const kept = 3;

/** The state database as it is called in an archive. */
const databaseName = "state.db";

export function openArchives(state: string): Archives {
  const directory = join(state, "backups/whole");
  return {
    async create(at, copyDatabase) {
      const path = join(directory, `pgo-${at.toISOString().replace(/[-:.]/g, "")}.tar`);
      const [interim, database] = [`${path}.tmp`, `${path}.db`];
      await privateDirectory(directory);
      await makePrivate(directory);
      for (const name of await readdir(directory)) if (/\.(?:tmp|db)$/.test(name)) await removed(join(directory, name));
      try {
        await copyDatabase(database);
        {
          await using file = await open(interim, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
          await add(file, databaseName, database);
          for (const name of await partsOf(state)) await add(file, name, join(state, name));
          await file.writeFile(ending);
          await file.sync();
        }
        await rename(interim, path);
      } catch (error) {
        throw new Error(`write ${path}`, { cause: error });
      } finally {
        for (const one of [interim, database]) await removed(one);
      }
      await syncDirectory(directory);
      const old = (await readdir(directory)).filter((name) => name.endsWith(".tar")).sort();
      for (const name of old.slice(0, -kept)) await removed(join(directory, name));
      return { path, bytes: (await stat(path)).size };
    },
  };
}

export interface Destination {
  /** The state directory. */
  readonly state: string;
  readonly database: string;
  /** Why a file is no state database that this pgo can use; undefined where it is. */
  readonly faultOf: (path: string) => string | undefined;
}

/**
 * Puts an archive's content where there is no state database: that comes last, so that one that was cut off can be done again. The trouble
 * says what is wrong with the archive; nothing is put back then.
 */
export async function restoreArchive(path: string, { state, database, faultOf }: Destination): Promise<Result<void, string>> {
  const file = await open(path, "r").catch((error: unknown) => codeOf(error));
  if (typeof file === "string") return trouble(file === "ENOENT" ? "there is no such file" : `it can't be read (${file})`);
  try {
    const entries = await entriesOf(file);
    if (!entries.ok) return entries;
    const stranger = entries.value.find(({ name }) => !isOurs(name));
    if (stranger !== undefined) return trouble(`it is no backup of pgo's: it has ${stranger.name}`);
    const saved = entries.value.find(({ name }) => name === databaseName);
    if (saved === undefined) return trouble("it is no backup of pgo's: it has no state database");
    const interim = `${database}.restored`;
    await privateDirectory(dirname(database));
    await put(file, saved, interim);
    const fault = faultOf(interim);
    if (fault !== undefined) {
      await removed(interim);
      return trouble(`its state database can't be used: ${fault}`);
    }
    for (const entry of entries.value) {
      if (entry === saved) continue;
      const target = join(state, entry.name);
      await privateDirectory(dirname(target));
      await makePrivate(dirname(target));
      await put(file, entry, target);
    }
    for (const suffix of ["-wal", "-shm"]) await removed(database + suffix);
    await rename(interim, database);
    await syncDirectory(dirname(database));
    return success(undefined);
  } finally {
    await file.close();
  }
}

/** What else there is that could not be made again: sealed contents, values that `ctl secret` was given, and the key of digests. */
async function partsOf(state: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const directory of ["sealed", "secrets"]) {
    const names = await readdir(join(state, directory)).catch(() => []);
    found.push(...names.sort().map((name) => `${directory}/${name}`));
  }
  found.push("digest.key");
  const there = await Promise.all(found.map((name) => lstat(join(state, name)).catch(() => undefined)));
  return found.filter((name, index) => isOurs(name) && there[index]?.isFile() === true);
}

function isOurs(name: string): boolean {
  return /^(?:state\.db|digest\.key|sealed\/[0-9a-f]{64}|secrets\/[A-Za-z0-9_][A-Za-z0-9_.-]{0,80})$/.test(name);
}

async function add(archive: FileHandle, name: string, path: string): Promise<void> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { size } = await file.stat();
  await archive.writeFile(header(name, size));
  const piece = Buffer.allocUnsafe(1 << 20);
  for (let done = 0; done < size;) {
    const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, size - done), done);
    if (bytesRead === 0) throw new Error(`${basename(path)} was cut short meanwhile`);
    await archive.writeFile(piece.subarray(0, bytesRead));
    done += bytesRead;
  }
  await archive.writeFile(Buffer.alloc((block - (size % block)) % block));
}

async function put(archive: FileHandle, { at, size }: Entry, path: string): Promise<void> {
  const content = Buffer.alloc(size);
  const { bytesRead } = await archive.read(content, 0, size, at);
  if (bytesRead < size) throw new Error("the backup ends in the middle");
  await writeDurably(path, content);
}

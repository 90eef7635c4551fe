/** What a handover leaves on disk: its record, the new pgo's answer, a copy of the state database; and the files of pgo's own quadlet. */

import { constants, existsSync } from "node:fs";
import { copyFile, mkdir, open, readFile, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { readAnswer, readHandover, type Side } from "../../core/handover.ts";
import type { HandoverFiles } from "../../ports.ts";
import { makePrivate, privateDirectory, removed, syncDirectory, writeDurably } from "../durable.ts";

export function openHandoverFiles(state: string): HandoverFiles {
  const directory = join(state, "handover");
  const [record, said, copy] = ["record.json", "answer.json", "state.db"].map((name) => join(directory, name)) as [string, string, string];
  const save = async (path: string, value: object): Promise<void> => {
    await privateDirectory(directory);
    await makePrivate(directory);
    await writeDurably(path, `${JSON.stringify(value)}\n`);
  };
  return {
    async read() {
      const text = await textOf(record);
      return text === undefined ? undefined : readHandover(text);
    },
    save: (value) => save(record, value),
    async answer() {
      const text = await textOf(said);
      return text === undefined ? undefined : readAnswer(text);
    },
    saveAnswer: (value) => save(said, value),

    async copyDatabase(database) {
      for (const suffix of ["", "-wal"]) {
        await removed(copy + suffix);
        if (existsSync(database + suffix)) await copied(database + suffix, copy + suffix);
      }
      await syncDirectory(directory);
    },
    async restoreDatabase(database) {
      // Without its log first: one of the other database would be played into this one.
      // And without itself: it may have left no room for the copy.
      for (const suffix of ["-wal", "-shm", ""]) await removed(database + suffix);
      await syncDirectory(dirname(database));
      for (const suffix of ["", "-wal"]) {
        if (!existsSync(copy + suffix)) continue;
        await copied(copy + suffix, `${database}${suffix}.back`);
        await rename(`${database}${suffix}.back`, database + suffix);
      }
      await syncDirectory(dirname(database));
    },
    place: placeQuadlet,

    async forgetCopy() {
      for (const suffix of ["", "-wal"]) await rm(copy + suffix, { force: true });
    },
  };
}

/** pgo's own quadlet and its drop-ins as they lie in their directory. */
export async function quadletFiles(directory: string): Promise<Side["files"]> {
  const found: Side["files"] = [];
  for (const below of ["", "pgo.container.d"]) {
    const names = existsSync(join(directory, below)) ? await readdir(join(directory, below), { withFileTypes: true }) : [];
    for (const one of names) {
      const isOwn = below === "" ? one.name === "pgo.container" : one.name.endsWith(".conf");
      if (one.isFile() && isOwn)
        found.push({ path: join(below, one.name), text: await readFile(join(directory, below, one.name), "utf8") });
    }
  }
  return found;
}

/** Writes one version's files, and removes those that only the other one has. */
async function placeQuadlet(directory: string, side: Side, other: Side): Promise<void> {
  for (const { path, text } of side.files) {
    await mkdir(dirname(join(directory, path)), { recursive: true, mode: 0o755 });
    await writeDurably(join(directory, path), text, 0o644);
  }
  for (const { path } of other.files) if (!side.files.some((file) => file.path === path)) await removed(join(directory, path));
  await syncDirectory(directory);
}

async function copied(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await using file = await open(to, constants.O_RDWR);
  await file.chmod(0o600);
  await file.sync();
}

async function textOf(path: string): Promise<string | undefined> {
  return existsSync(path) ? await readFile(path, "utf8") : undefined;
}

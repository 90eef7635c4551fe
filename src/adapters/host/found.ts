/** What lies on the host of a source's applications, with its content: for when nobody remembers what was placed. */

import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";

import { isUnitText } from "../../core/layout.ts";
import { applicationId, applicationName, NameError, type RelativePath, type SourceName } from "../../core/names.ts";
import { marked } from "../../core/placing.ts";
import type { FoundFile, Host } from "../../ports.ts";
import { absentAs, temporary } from "./files.ts";

export function openFound({
  quadletDirectory,
  stateDirectory,
}: {
  readonly quadletDirectory: string;
  readonly stateDirectory: string;
}): Pick<Host, "found"> {
  return {
    async found(source, isWanted, signal) {
      const found = new Map<ReturnType<typeof applicationId>, ReadonlyMap<RelativePath, FoundFile>>();
      for (const application of await applicationsBelow(join(quadletDirectory, source), source)) {
        const files = new Map<RelativePath, FoundFile>();
        const quadlets = (path: string) => isUnitText(path) || isWanted(application, path as RelativePath);
        await read(join(quadletDirectory, application), quadlets, (path, file) => files.set(path as RelativePath, file), signal);
        await read(
          join(stateDirectory, "env", application),
          () => true,
          (path, file) => files.set(marked("env", path), file),
          signal,
        );
        found.set(application, files);
      }
      return found;
    },
  };
}

async function applicationsBelow(directory: string, source: SourceName) {
  const entries = await absentAs([], readdir(directory, { withFileTypes: true }));
  return entries.flatMap((entry) => {
    try {
      return entry.isDirectory() ? [applicationId(source, applicationName(entry.name))] : [];
    } catch (error) {
      if (error instanceof NameError) return [];
      throw error;
    }
  });
}

/** No symlink is followed; a container may have files here that nobody else can read. */
async function read(
  top: string,
  isMeant: (path: string) => boolean,
  take: (path: string, file: FoundFile) => void,
  signal: AbortSignal,
): Promise<void> {
  const visit = async (below: string): Promise<void> => {
    for (const entry of await readdir(join(top, below), { withFileTypes: true }).catch(() => [])) {
      signal.throwIfAborted();
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory()) await visit(path);
      else if (entry.isFile() && isMeant(path) && !temporary.pattern.test(entry.name)) {
        await using file = await open(join(top, path), constants.O_RDONLY | constants.O_NOFOLLOW);
        take(path, { mode: (await file.stat()).mode & 0o7777, content: await file.readFile() });
      }
    }
  };
  await visit("");
}

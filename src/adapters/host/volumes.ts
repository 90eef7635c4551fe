/** Volumes copied to files and back, by the host's own Podman: its service has no way to do that before Podman 5.6. */

import { open, readdir, rename, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { success, trouble, type Result } from "../../core/result.ts";
import type { Host } from "../../ports.ts";
import { absentAs, makeDirectories, privateDirectory, syncDirectory, temporary, unlinked } from "./files.ts";
import type { Ran, Run } from "./run.ts";
import { ending, walk, type Owner } from "./tar.ts";

/** A volume of many gigabytes on a slow disk takes its time. */
const deadlineMs = 12 * 3_600_000;

const mountpoint = '"$(podman volume inspect --format "{{.Mountpoint}}" "$1")"';

export interface VolumesOptions {
  readonly mode: "rootful" | "rootless";
  /** Has the same path on the host. */
  readonly stateDirectory: string;
}

export function openVolumes(
  { mode, stateDirectory }: VolumesOptions,
  run: Run,
): Pick<Host, "exportVolume" | "importVolume" | "removeBackup"> {
  const top = join(stateDirectory, "backups");
  const podman = (words: readonly string[], signal: AbortSignal) => run(["/usr/bin/env", "podman", ...words], { deadlineMs }, signal);
  /** Where files have the owners that containers give them. */
  const inside = (script: string, words: readonly string[], signal: AbortSignal) => {
    const shell = ["/bin/sh", "-c", script, "sh", ...words];
    return mode === "rootful" ? run(shell, { deadlineMs }, signal) : podman(["unshare", ...shell], signal);
  };

  return {
    async exportVolume(volume, file, signal) {
      const target = join(top, file);
      const interim = join(dirname(target), temporary.name());
      const directory = await makeDirectories(stateDirectory, ["backups", ...dirname(file).split("/")], privateDirectory);
      // Those that a crash left.
      for (const name of await readdir(directory)) if (temporary.pattern.test(name)) await unlinked(join(directory, name));
      try {
        // Podman empties a file that is there, and leaves its mode.
        await (await open(interim, "wx", 0o600)).close();
        const owner = await inside(`stat -c "%u %g %a" ${mountpoint}`, [volume], signal);
        const ran = owner.code === 0 ? await podman(["volume", "export", "--output", interim, volume], signal) : owner;
        if (ran.code !== 0) return trouble(wordsOf(ran));
        const root = ownerIn(owner);
        if (root === undefined) return trouble(`stat on the host says ${JSON.stringify(owner.stdout)}`);
        const bytes = await completed(interim, root);
        if (!bytes.ok) return bytes;
        await rename(interim, target);
        await syncDirectory(dirname(target));
        return success({ bytes: bytes.value });
      } finally {
        await unlinked(interim);
      }
    },

    async importVolume(volume, file, signal) {
      const source = join(top, file);
      const root = await rootIn(source);
      if (!root.ok) return root;
      const ran = await podman(["volume", "import", volume, source], signal);
      if (ran.code !== 0) return trouble(wordsOf(ran));
      if (root.value === undefined) return success(undefined);
      // Podman 5.4 leaves the volume's own directory root's, whatever the archive says, and no container changes that of a volume that has data.
      const { uid, gid, mode: bits } = root.value;
      const script = `chown "$2" ${mountpoint} && chmod "$3" ${mountpoint}`;
      const owned = await inside(script, [volume, `${String(uid)}:${String(gid)}`, bits.toString(8)], signal);
      return owned.code === 0 ? success(undefined) : trouble(wordsOf(owned));
    },

    async removeBackup(file, signal) {
      signal.throwIfAborted();
      const target = join(top, file);
      if (!(await unlinked(target))) return;
      await syncDirectory(dirname(target));
      // Fails while there are others.
      await rmdir(dirname(target)).catch(() => undefined);
    },
  };
}

/** Adds what Podman leaves out and makes it durable; answers how many bytes it has. */
async function completed(path: string, root: Owner): Promise<Result<number, string>> {
  await using file = await open(path, "r+");
  try {
    const { end } = await walk(file);
    const last = ending(root);
    await file.truncate(end);
    await file.write(last, 0, last.length, end);
    await file.sync();
    return success(end + last.length);
  } catch (error) {
    return trouble(`the copy is not whole: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function rootIn(path: string): Promise<Result<Owner | undefined, string>> {
  const file = await absentAs(undefined, open(path, "r"));
  if (file === undefined) return trouble(`the backup ${basename(path)} is gone`);
  try {
    return success((await walk(file)).root);
  } catch (error) {
    return trouble(`the backup ${path} is not whole: ${error instanceof Error ? error.message : String(error)}`);
  } finally {
    await file.close();
  }
}

function ownerIn({ stdout }: Ran): Owner | undefined {
  const [, uid, gid, mode] = /^(\d+) (\d+) ([0-7]+)\n$/.exec(stdout) ?? [];
  return mode === undefined ? undefined : { uid: Number(uid), gid: Number(gid), mode: parseInt(mode, 8) };
}

function wordsOf({ code, stderr }: Ran): string {
  const words = stderr
    .trim()
    .split("\n")
    .at(-1)
    ?.replace(/^Error: /, "");
  return words === undefined || words === "" ? `podman on the host ended with ${String(code)}` : words;
}

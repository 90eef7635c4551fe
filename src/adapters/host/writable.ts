/** Whether files can be written: asked of the kernel, with nothing written. */

import { constants } from "node:fs";
import { access, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";

import { bytesText } from "../../core/size.ts";
import type { Host } from "../../ports.ts";

export function openWritable(): Pick<Host, "writable"> {
  return {
    async writable(directories, bytes, signal) {
      for (const directory of new Set(directories)) {
        signal.throwIfAborted();
        const place = await nearest(directory);
        const told = await refused(place);
        if (told !== undefined) return `write below ${directory}: ${told}`;
        const { bavail, bsize, files, ffree } = await statfs(place);
        const free = bavail * bsize;
        const advice = `make room (df ${place})`;
        if (free < bytes) return `write below ${directory}: only ${bytesText(free)} are free, ${bytesText(bytes)} are needed: ${advice}`;
        // A file system that makes them as it needs them says that it has none.
        if (files > 0 && ffree === 0) return `write below ${directory}: the file system has no room for one more file (inodes): ${advice}`;
      }
      return undefined;
    },
  };
}

/** The directory, or where it would be made. One that was removed while it is mounted or open is there without a name: nothing can be made in it. */
async function nearest(directory: string): Promise<string> {
  try {
    const { nlink } = await stat(directory);
    if (nlink === 0)
      throw new Error(`write below ${directory}: that directory has been removed on the host: make it again, and start pgo anew`);
    return directory;
  } catch (error) {
    if (codeOf(error) !== "ENOENT" || dirname(directory) === directory) throw error;
    return nearest(dirname(directory));
  }
}

/** access(2) with W_OK tells a read-only file system apart; root is refused for no mode. */
async function refused(directory: string): Promise<string | undefined> {
  try {
    await access(directory, constants.W_OK);
    return undefined;
  } catch (error) {
    if (codeOf(error) === "EROFS")
      return `the file system is read-only: see why (dmesg), then mount -o remount,rw (findmnt --target ${directory})`;
    if (codeOf(error) === "EACCES" || codeOf(error) === "EPERM") return `pgo's user may not: check owner and mode of ${directory}`;
    throw error;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

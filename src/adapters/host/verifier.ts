/** `systemd-analyze verify` on the host: systemd's own judgement of plain units, over a staging copy of all that would be live. */

import { randomBytes } from "node:crypto";
import { mkdir, realpath, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { reasonOf } from "../../core/result.ts";
import type { Host } from "../../ports.ts";
import type { Run } from "./run.ts";

/** It takes a tenth of a second; this is for a host that is busy or swaps. */
const deadlineMs = 60_000;

/** The exit code of env(1) where there is no such program. */
const notThere = 127;

/** `directory`: has the same path on the host. A verifier that can't be run, crashes or does not end is no reason to throw: the answer says so. */
export function openVerifier(mode: "rootful" | "rootless", directory: string, run: Run): Pick<Host, "verifyUnits"> {
  return {
    async verifyUnits({ units, made, names }, signal) {
      const staging = join(directory, randomBytes(6).toString("hex"));
      try {
        await mkdir(staging, { recursive: true, mode: 0o700 });
        const root = await realpath(staging);
        const place = async (path: string, content: string | Uint8Array) => {
          await mkdir(dirname(path), { recursive: true, mode: 0o700 });
          await writeFile(path, content, { mode: 0o600 });
        };
        for (const [path, content] of units) await place(join(root, "units", path), content);
        for (const [name, text] of made) await place(join(root, "made", name), text);
        const paths = names.map((name) => join(root, made.has(name) ? "made" : "units", name));
        // Distributions have it in different places. Errors of what a unit only names are that one's; the host's own units are not judged.
        const words = ["/usr/bin/env", "systemd-analyze", ...(mode === "rootless" ? ["--user"] : []), "verify"];
        const options = ["--man=no", "--generators=no", "--recursive-errors=no"];
        const environment = {
          // The colon at the end keeps systemd's own search path behind it (systemd.unit(5)).
          SYSTEMD_UNIT_PATH: `${join(root, "units")}:${join(root, "made")}:`,
          SYSTEMD_LOG_TARGET: "console-prefixed",
          SYSTEMD_LOG_LEVEL: "info",
          LC_ALL: "C.UTF-8",
        };
        try {
          const { code, stderr } = await run([...words, ...options, ...paths], { environment, deadlineMs }, signal);
          if (code === notThere) return { code: undefined, output: "systemd-analyze is not on the host", root };
          return { code, output: stderr, root };
        } catch (error) {
          signal.throwIfAborted();
          return { code: undefined, output: reasonOf(error), root };
        }
      } finally {
        await rm(staging, { recursive: true, force: true });
      }
    },
  };
}

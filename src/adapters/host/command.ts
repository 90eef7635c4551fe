/** Runs a health check's command on the host: a transient unit that systemd ends in time, whatever becomes of pgo. */

import { randomBytes } from "node:crypto";
import { mkdir, open, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

import type { ServiceName } from "../../core/names.ts";
import { success, trouble } from "../../core/result.ts";
import type { HostCommands } from "../../ports.ts";
import type { SystemdOptions, Systemd } from "./systemd.ts";

/** How much longer than pgo systemd waits: it ends what a pgo that was killed has left, and pgo's own word on it comes first. */
const longerMs = 1000;

/** From SIGTERM to SIGKILL. */
const stopMs = 2000;

/** A command that writes without end fills no disk; a file of its own rarely needs as much. */
const fileBytes = 16 * 1024 * 1024;

/** systemd's exit codes where it could not begin (systemd.exec(5), "Process exit codes"). */
const notBegun: Readonly<Record<number, string>> = {
  203: "systemd can't execute it",
  217: "there is no such user on the host",
};

/** `directory`: has the same path inside and outside the container, and is emptied when pgo starts. */
export function openHostCommands(systemd: Pick<Systemd, "oneshot">, directory: string, mode: SystemdOptions["mode"]): HostCommands {
  return {
    async runOnHost({ run, user, limit }, deadlineMs, signal) {
      if (mode === "rootless" && user !== undefined)
        return trouble(`pgo is rootless, and can run it as its own user alone: leave user = "${user}" out`);
      const id = randomBytes(6).toString("hex");
      const own = join(directory, id);
      const stdout = join(own, "output");
      await mkdir(own, { recursive: true, mode: 0o700 });
      try {
        // systemd opens it before it becomes the user (tried), so it is root's alone.
        await writeFile(stdout, "", { mode: 0o600 });
        const [program = "", ...rest] = run;
        // Over D-Bus systemd wants an absolute path.
        const argv = program.startsWith("/") ? run : ["/usr/bin/env", "--", program, ...rest];
        const code = await systemd.oneshot(
          {
            name: `pgo-check-${id}.service` as ServiceName,
            description: `Health check of pgo: ${basename(program)}`,
            ...{ argv, environment: {}, stdout, deadlineMs: deadlineMs + longerMs, bounds: { user, fileBytes, stopMs } },
          },
          signal,
        );
        const output = await beginningOf(stdout, limit);
        const why = output === "" ? notBegun[code] : undefined;
        return why === undefined ? success({ code, output }) : trouble(`${why} (exit ${String(code)})`);
      } finally {
        await rm(own, { recursive: true, force: true });
      }
    },
  };
}

async function beginningOf(path: string, bytes: number): Promise<string> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(bytes), 0, bytes, 0);
  return buffer.subarray(0, bytesRead).toString("utf8");
}

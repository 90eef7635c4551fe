/** Runs a program of the host on the host, from inside a container: a transient unit of systemd whose output goes to files. */

import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

import type { ServiceName } from "../../core/names.ts";
import type { Systemd } from "./systemd.ts";

export interface RunOptions {
  /** Added to what systemd gives every unit. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Then systemd ends it, and `run` throws. */
  readonly deadlineMs: number;
}

export interface Ran {
  /** 128 and the signal's number where a signal ended it; systemd's own 203 where the program is not there (systemd.exec(5)). */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** `argv`: the program by its absolute path on the host, and its arguments. It ends when `signal` is aborted. */
export type Run = (argv: readonly string[], options: RunOptions, signal: AbortSignal) => Promise<Ran>;

/** `directory`: has the same path inside and outside the container, and nothing else in it. */
export function openRun(systemd: Systemd, directory: string): Run {
  return async (argv, { environment = {}, deadlineMs }, signal) => {
    const id = randomBytes(6).toString("hex");
    const own = join(directory, id);
    const files = { stdout: join(own, "stdout"), stderr: join(own, "stderr") };
    await mkdir(own, { recursive: true, mode: 0o700 });
    try {
      // systemd would make them 0644.
      for (const file of Object.values(files)) await writeFile(file, "", { mode: 0o600 });
      const name = `pgo-run-${id}.service` as ServiceName;
      const description = `${basename(argv[0] ?? "")} for pgo`;
      const code = await systemd.oneshot({ name, description, argv, environment, ...files, deadlineMs }, signal);
      return { code, stdout: await readFile(files.stdout, "utf8"), stderr: await readFile(files.stderr, "utf8") };
    } finally {
      await rm(own, { recursive: true, force: true });
    }
  };
}

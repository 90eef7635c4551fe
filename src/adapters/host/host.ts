/** The host as pgo changes it: files below the quadlet directory, systemd, and the quadlet generator's judgement. */

import { mkdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";

import type { Changes, Clock, Host, HostCommands } from "../../ports.ts";
import { openAdopted } from "./adopted.ts";
import { openHostCommands } from "./command.ts";
import { openFiles } from "./files.ts";
import { openFound } from "./found.ts";
import { openGenerator } from "./generator.ts";
import { openJournalReader } from "./journal.ts";
import { openRun, type Run } from "./run.ts";
import { filesBelow, foreignFiles, isQuadlet } from "./search.ts";
import { openSystemd } from "./systemd.ts";
import { openRoom } from "./room.ts";
import { openVerifier } from "./verifier.ts";
import { openVolumes } from "./volumes.ts";
import { openWritable } from "./writable.ts";

export interface HostOptions {
  readonly mode: "rootful" | "rootless";
  /** pgo's own directory below Podman's search path; need not exist. */
  readonly quadletDirectory: string;
  /** Where systemd reads the administrator's units; shared with others. */
  readonly unitDirectory: string;
  /** Has the same path on the host, and is pgo's alone. */
  readonly stateDirectory: string;
  /** As in DBUS_SESSION_BUS_ADDRESS, to the system's bus when rootful, to the user's when rootless. */
  readonly busAddress: string;
  /** Podman's search path for quadlets in its order, by the host's paths; what pgo can't see of it is left out. */
  readonly searchPath: readonly string[];
  /** The quadlet generator's path on the host; undefined: where every distribution has it. */
  readonly generator: string | undefined;
  readonly clock: Clock;
}

export interface LocalHost extends Host, HostCommands, AsyncDisposable {
  readonly run: Run;
  readonly changes: Changes;
}

/** Removes what a crash left in the state directory, and connects; throws with the reason when systemd can't be reached. */
export async function openHost(options: HostOptions, signal: AbortSignal): Promise<LocalHost> {
  const { stateDirectory } = options;
  const staging = join(stateDirectory, "staging");
  const runs = join(stateDirectory, "runs");
  for (const directory of [staging, runs]) {
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true, mode: 0o700 });
  }

  const systemd = openSystemd(options);
  try {
    await systemd.connect(signal);
  } catch (error) {
    await systemd[Symbol.asyncDispose]();
    throw error;
  }
  const run = openRun(systemd, runs);
  return {
    ...systemd,
    ...openFiles(options),
    ...openFound(options),
    ...openAdopted(options),
    ...openGenerator(options, staging, run),
    ...openVerifier(options.mode, staging, run),
    ...openRoom(stateDirectory, run),
    ...openWritable(),
    ...openJournalReader(options.mode, run),
    ...openVolumes(options, run),
    ...openHostCommands(systemd, runs, options.mode),
    run,

    async foreign(isPlaced, signal) {
      const elsewhere = (await foreignFiles(options, signal)).map(({ search, below, name }) =>
        join(options.searchPath[search] ?? "", below, name),
      );
      const strays = (await filesBelow(options.quadletDirectory)).filter((path) => !isPlaced(path));
      const quadlets = [...elsewhere, ...strays].filter((path) => isQuadlet(basename(path)));
      // The first of a name is the one that counts, and a Map keeps the last.
      return new Map(quadlets.reverse().map((path) => [basename(path), path]));
    },
  };
}

/** podman-systemd.unit(5), "Podman rootful/rootless unit search path"; `config` is the user's ~/.config, `runtime` its XDG_RUNTIME_DIR. */
export function quadletSearchPath(
  user:
    { readonly mode: "rootful" } | { readonly mode: "rootless"; readonly uid: number; readonly config: string; readonly runtime: string },
): readonly string[] {
  if (user.mode === "rootful") return ["/run/containers/systemd", "/etc/containers/systemd", "/usr/share/containers/systemd"];
  const users = "/etc/containers/systemd/users";
  return [join(user.runtime, "containers/systemd"), join(user.config, "containers/systemd"), users, `${users}/${String(user.uid)}`];
}

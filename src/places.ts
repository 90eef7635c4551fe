/** Where things lie on the host, for root's Podman and for another user's; apart from config.ts so that `ctl` need not load schemas. */

import { homedir } from "node:os";
import { join } from "node:path";

import type { Directories } from "./core/config.ts";

export interface Places {
  readonly mode: "rootful" | "rootless";
  /** pgo.toml of the host. */
  readonly config: string;
  /** Defaults of pgo.toml's directories. */
  readonly directories: Directories;
}

/**
 * From the environment, all paths as the host has them (they are mounted at the same place in the container):
 * - `PGO_MODE`: `rootful` or `rootless`; without it, root is rootful and anybody else rootless.
 * - `PGO_HOME`: the user's home on the host. The rootless quadlet sets it (`Environment=PGO_HOME=%h`), since with `UserNS=keep-id`
 *   the container has the user's id but a home of its own. Without it `HOME`.
 * - `PGO_CONFIG`: the path of pgo.toml, where it is not the usual one.
 */
export function placesOf(environment: NodeJS.ProcessEnv, uid: number = process.getuid?.() ?? 0): Places {
  const { PGO_MODE: mode = uid === 0 ? "rootful" : "rootless", PGO_CONFIG: config } = environment;
  if (mode !== "rootful" && mode !== "rootless") throw new Error(`PGO_MODE must be "rootful" or "rootless", not "${mode}"`);
  const { PGO_HOME: home = environment["HOME"] ?? homedir() } = environment;
  const settings = mode === "rootful" ? "/etc/pgo" : join(home, ".config/pgo");
  return {
    mode,
    config: config ?? join(settings, "pgo.toml"),
    directories:
      mode === "rootful"
        ? {
            quadlet: "/etc/containers/systemd/pgo",
            units: "/etc/systemd/system",
            secrets: join(settings, "secrets"),
            state: "/var/lib/pgo",
          }
        : {
            quadlet: join(home, ".config/containers/systemd/pgo"),
            units: join(home, ".config/systemd/user"),
            secrets: join(settings, "secrets"),
            state: join(home, ".local/share/pgo"),
          },
  };
}

/** The control socket below a state directory: where the daemon listens and `ctl` asks. */
export const socketIn = (stateDirectory: string): string => join(stateDirectory, "pgo.sock");

/** Where below a state directory copies of the state database are kept. */
export const stateCopiesIn = (stateDirectory: string): string => join(stateDirectory, "backups/state");

/** Where below a state directory `ctl secret` writes: pgo's container sees /etc/pgo read only, and the state directory is always there. */
export const ownSecretsIn = (stateDirectory: string): string => join(stateDirectory, "secrets");

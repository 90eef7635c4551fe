/** `pgo backup restore`: puts a backup of all of pgo's state on a host where there is none. No pgo may run there. */

import { existsSync } from "node:fs";

import { restoreArchive } from "./adapters/archive/archive.ts";
import { openClock } from "./adapters/clock.ts";
import { lockState } from "./adapters/store/lock.ts";
import { databaseFault } from "./adapters/store/store.ts";
import { ask } from "./cli/client.ts";
import type { Terminal } from "./cli/ctl.ts";
import { openOffline } from "./offline.ts";
import { socketIn } from "./places.ts";

export interface RestoreSite {
  readonly state: string;
  readonly database: string;
  readonly terminal: Terminal;
  /** How to start pgo. */
  readonly start: string;
}

/** Answers the exit code. */
export async function restoreBackup(file: string, { state, database, terminal, start }: RestoreSite, signal: AbortSignal): Promise<number> {
  const refuse = (why: string): number => {
    terminal.err(`restore ${file}: ${why}\n`);
    return 1;
  };
  const answer = await ask(socketIn(state), { method: "GET", path: "/v1/alive", patience: 5000 }, signal);
  if (answer.kind !== "absent") return refuse("pgo runs here: stop it first, and move its state database away");
  // None may begin meanwhile.
  using closing = new DisposableStack();
  closing.use(await lockState(state, openClock(), signal));
  if (existsSync(database))
    return refuse(
      `${database} is there already, and is left as it is: move it away (with its -wal and -shm files) to put the backup in its place`,
    );
  const done = await restoreArchive(file, { state, database, faultOf: databaseFault });
  if (!done.ok) return refuse(`${done.trouble}; nothing was put back`);
  using reader = await openOffline(database);
  const names = reader?.status().applications.map(({ source, name }) => `${source}/${name}`) ?? [];
  terminal.out(
    `put back into ${state}: ${names.length === 0 ? "no application" : names.join(", ")}\nstart pgo now, and it makes the host run them: ${start}\n`,
  );
  return 0;
}

/** Whether the host can be worked on: systemd or Podman that does not answer, or a disk that can't be written, is the host's trouble, told once, and no application's. */

import { serviceName } from "../core/names.ts";
import { reasonOf } from "../core/result.ts";
import type { Clock, Host, Journal, Podman } from "../ports.ts";
import { Unavailable } from "./commands.ts";
import type { Room } from "./room.ts";

/** Ends a pass, and goes to whoever asked for it: nothing can be done before the host answers again. */
export class HostAway extends Unavailable {}

/** What is asked, and who is told. */
export interface Reached {
  readonly host: Host;
  readonly podman: Podman;
  readonly journal: Journal;
  readonly clock: Clock;
  /** Where pgo notes what it does. */
  readonly room: Room;
}

/** What has just failed for no reason of its own, and has to work before it is tried again. */
export interface Wanted {
  readonly room?: Room | undefined;
  readonly reload?: boolean;
}

interface Away {
  readonly reason: string;
  readonly since: number;
  readonly wanted: Wanted;
  /** It does not answer, rather than that it answers no: then this process may be what can't reach it. */
  readonly isSilent: boolean;
}

/** Until it is asked for the second time, in milliseconds. */
const moment = 1000;

export class Reach {
  readonly #reached: Reached;
  #away: Away | undefined;

  constructor(reached: Reached) {
    this.#reached = reached;
  }

  /** Why the host could not be worked on when last tried; undefined when it could. */
  get trouble(): string | undefined {
    return this.#away?.reason;
  }

  /** For how many milliseconds it has not answered. */
  get silence(): number {
    return this.#away?.isSilent !== true ? 0 : this.#reached.clock.monotonic() - this.#away.since;
  }

  /** Throws HostAway while the host could not be worked on when last tried. */
  refuse(): void {
    if (this.#away !== undefined) throw new HostAway(`the host can't be worked on: ${this.#away.reason}`);
  }

  /**
   * Asks systemd and Podman, and whether what is `wanted` can be had, for as long as it can't; throws HostAway when not. It costs a few
   * questions, so it is for after a surprise, and for each poll until the host is back.
   */
  async check(signal: AbortSignal, wanted: Wanted = {}): Promise<void> {
    const { journal, clock } = this.#reached;
    const before = this.#away?.wanted;
    const all = { room: wanted.room ?? before?.room, reload: wanted.reload ?? before?.reload ?? false };
    let found = await this.#ask(all, signal);
    if (found !== undefined && this.#away === undefined) {
      // A service that is being restarted is not worth telling.
      await clock.sleep(moment, signal);
      found = await this.#ask(all, signal);
    }
    if (found !== undefined) {
      if (this.#away === undefined)
        journal.tell({ type: "host", state: "away", message: `${found.reason}; what runs goes on, and it is tried again at each poll` });
      this.#away = { ...found, wanted: all, since: this.#away?.since ?? clock.monotonic() };
      this.refuse();
      return;
    }
    if (this.#away !== undefined) journal.tell({ type: "host", state: "back", message: backAgain(this.#away) });
    this.#away = undefined;
  }

  async #ask({ room, reload }: Wanted, signal: AbortSignal): Promise<Pick<Away, "reason" | "isSilent"> | undefined> {
    const { host, podman, room: own } = this.#reached;
    try {
      await Promise.all([host.services([serviceName("pgo.service")], signal), podman.containers(signal)]);
      for (const { directories, bytes } of room === undefined ? [own] : [own, room]) {
        const unwritable = await host.writable(directories, bytes, signal);
        if (unwritable !== undefined) return { reason: unwritable, isSilent: false };
      }
    } catch (error) {
      signal.throwIfAborted();
      return { reason: reasonOf(error), isSilent: true };
    }
    try {
      if (reload === true) await host.reload(signal);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      return { reason: `systemd can't read its units again (systemctl daemon-reload): ${reasonOf(error)}`, isSilent: false };
    }
  }
}

function backAgain({ isSilent, wanted: { room, reload } }: Away): string {
  if (isSilent && room === undefined && reload !== true) return "systemd and Podman answer";
  return reload === true ? "systemd and Podman answer, and systemd reads its units" : "systemd and Podman answer, and files can be written";
}

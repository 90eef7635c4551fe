/** Whether the host can be worked on: systemd or Podman that does not answer is the host's trouble, told once, and no application's. */

import { serviceName } from "../core/names.ts";
import { reasonOf } from "../core/result.ts";
import type { Clock, Host, Journal, Podman } from "../ports.ts";
import { Unavailable } from "./commands.ts";

/** Ends a pass, and goes to whoever asked for it: nothing can be done before the host answers again. */
export class HostAway extends Unavailable {}

/** What is asked, and who is told. */
export interface Reached {
  readonly host: Host;
  readonly podman: Podman;
  readonly journal: Journal;
  readonly clock: Clock;
}

/** Until it is asked for the second time, in milliseconds. */
const moment = 1000;

export class Reach {
  readonly #reached: Reached;
  #away: { readonly reason: string; readonly since: number } | undefined;

  constructor(reached: Reached) {
    this.#reached = reached;
  }

  /** Why the host could not be worked on when last tried; undefined when it could. */
  get trouble(): string | undefined {
    return this.#away?.reason;
  }

  /** For how many milliseconds it has not been. */
  get silence(): number {
    return this.#away === undefined ? 0 : this.#reached.clock.monotonic() - this.#away.since;
  }

  /** Throws HostAway while the host could not be worked on when last tried. */
  refuse(): void {
    if (this.#away !== undefined) throw new HostAway(`the host can't be worked on: ${this.#away.reason}`);
  }

  /**
   * Asks systemd and Podman; throws HostAway when one does not answer. It costs two questions, so it is for after a surprise, and for
   * each poll until the host is back.
   */
  async check(signal: AbortSignal): Promise<void> {
    const { journal, clock } = this.#reached;
    let reason = await this.#ask(signal);
    if (reason !== undefined && this.#away === undefined) {
      // A service that is being restarted is not worth telling.
      await clock.sleep(moment, signal);
      reason = await this.#ask(signal);
    }
    if (reason !== undefined) {
      if (this.#away === undefined)
        journal.tell({ type: "host", state: "away", message: `${reason}; what runs goes on, and it is tried again at each poll` });
      this.#away = { reason, since: this.#away?.since ?? clock.monotonic() };
      this.refuse();
      return;
    }
    if (this.#away !== undefined) journal.tell({ type: "host", state: "back", message: "systemd and Podman answer" });
    this.#away = undefined;
  }

  async #ask(signal: AbortSignal): Promise<string | undefined> {
    const { host, podman } = this.#reached;
    try {
      await Promise.all([host.services([serviceName("pgo.service")], signal), podman.containers(signal)]);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      return reasonOf(error);
    }
  }
}

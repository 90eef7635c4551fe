/** What has changed on the host and has not been looked at since: heard of systemd and Podman, for whoever waits for it. */

import type { ServiceName } from "../core/names.ts";
import type { Clock, Ears } from "../ports.ts";
import { linked } from "./linked.ts";

/** Between two looks that changes cause at what a rollout waits for, in milliseconds: a container that crashes all the time is no reason to hurry. */
const breath = 100;

/** Bounded by the services that somebody has asked to hear of. */
export class Unseen implements Ears {
  readonly #clock: Clock;
  /** When the first change was heard that nobody has looked at, in monotonic milliseconds. */
  readonly #changed = new Map<ServiceName, number>();
  /** Of what runs, and of the rollout under way. */
  #live = new Map<string, ServiceName>();
  #rollout = new Map<string, ServiceName>();
  readonly #waiting = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** From now on these are heard of, as long as they are what runs. */
  follow(services: Iterable<ServiceName>): void {
    this.#live = new Map([...services].map((service) => [service, service]));
    for (const service of this.#changed.keys()) if (this.known(service) === undefined) this.#changed.delete(service);
  }

  /** And these, until others are. */
  expect(services: Iterable<ServiceName>): void {
    this.#rollout = new Map([...services].map((service) => [service, service]));
  }

  known(unit: string): ServiceName | undefined {
    return this.#live.get(unit) ?? this.#rollout.get(unit);
  }

  heard(service: ServiceName | undefined): void {
    const now = this.#clock.monotonic();
    for (const one of service === undefined ? [...this.#live.values(), ...this.#rollout.values()] : [service])
      if (!this.#changed.has(one)) this.#changed.set(one, now);
    for (const wake of [...this.#waiting]) wake();
  }

  /** To be called before a look begins: what changes while it lasts may be missed by it. */
  lookedAt(services: Iterable<ServiceName>): void {
    for (const service of services) this.#changed.delete(service);
  }

  changes(): ReadonlyMap<ServiceName, number> {
    return this.#changed;
  }

  /** Calls `wake` at each change, until the function that it answers is called. */
  tell(wake: () => void): () => void {
    this.#waiting.add(wake);
    return () => {
      this.#waiting.delete(wake);
    };
  }

  /** Sleeps, less long when one of these changes. Rejects with the signal's reason. */
  async sleep(ms: number, services: ReadonlySet<ServiceName>, signal: AbortSignal): Promise<void> {
    const isChanged = () => [...this.#changed.keys()].some((service) => services.has(service));
    await this.#clock.sleep(Math.min(ms, breath), signal);
    if (ms <= breath || isChanged()) return;
    await linked(signal, async (inner) => {
      const forget = this.tell(() => {
        if (isChanged()) inner.abort(new Error("something has changed"));
      });
      try {
        await this.#clock.sleep(ms - breath, inner.signal);
      } catch {
        signal.throwIfAborted();
      } finally {
        forget();
      }
    });
  }
}

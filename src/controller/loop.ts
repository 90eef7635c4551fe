/** The loop: one thing at a time, each source in its time, what a person asks for before what is due. */

import type { Source } from "../core/config.ts";
import { backoff, jittered } from "../core/decide.ts";
import { StateDamaged } from "../core/healing.ts";
import { partsOf, type SourceName } from "../core/names.ts";
import { reasonOf } from "../core/result.ts";
import type { Context } from "./context.ts";
import { clearHandover, stayOnTrial } from "./handover.ts";
import { tellHealing } from "./heal.ts";
import { linked } from "./linked.ts";
import { failed, finishInterrupted, pass, type Occasion } from "./pass.ts";
import { HostAway } from "./reach.ts";
import { Vigil } from "./vigil.ts";

interface Schedule {
  readonly source: Source;
  /** In the clock's monotonic milliseconds. */
  next: number;
  nextDrift: number;
  nextTrack: number;
}

/** A single pass or command that lasts longer than this is taken for hanging: every wait in it has a deadline far below. */
const longestWork = 3_600_000;
const overdue = 120_000;
/** systemd or Podman that has not answered for so long is out of reach of this process: a new one gets the mounts anew. */
const longestSilence = 900_000;

/**
 * Invariants: at most one pass, look or command runs at any time; a command starts as soon as the running one is over; every source is
 * polled at its interval, or later by its backoff; `run` ends only when its signal is aborted.
 */
export class Loop {
  readonly #context: Context;
  readonly #schedules: readonly Schedule[];
  readonly #queue: ((signal: AbortSignal) => Promise<void>)[] = [];
  #wake = new AbortController();
  #busySince: number | undefined;
  readonly #firstPasses: Set<SourceName>;
  readonly #vigil: Vigil;

  constructor(context: Context) {
    this.#context = context;
    const now = context.clock.monotonic();
    // Not at once: a pgo that starts again and again would use up what a registry allows, and a fleet's power comes back all at once.
    const track = () => now + context.config.quadlet.trackInterval * context.clock.chance();
    this.#schedules = context.config.sources.map((source) => ({ source, next: now, nextDrift: now, nextTrack: track() }));
    this.#firstPasses = new Set(context.config.sources.map((source) => source.name));
    this.#vigil = new Vigil(context);
  }

  /**
   * Rejects with the signal's reason, or when the host has been silent for too long, or the state database can't be read any more: systemd then
   * starts pgo anew.
   */
  async run(signal: AbortSignal): Promise<never> {
    tellHealing(this.#context);
    this.#tellLeftOver();
    this.#forgetMoves();
    for (const { id } of this.#context.store.applications())
      for (const { service, health } of this.#context.store.health(id))
        this.#context.journal.tell({ type: "health", application: id, service, health });
    this.#vigil.begin(signal);
    this.#context.unseen.tell(() => {
      this.#wake.abort();
    });
    await this.#work(() => stayOnTrial(this.#context, signal), signal);
    await this.#work(() => finishInterrupted(1, this.#context, signal), signal);
    let isClear = false;
    for (;;) {
      signal.throwIfAborted();
      isClear ||= await clearHandover(this.#context, signal);
      this.#vigil.refresh(signal);
      const command = this.#queue.shift();
      if (command !== undefined) {
        await this.#work(() => command(signal), signal);
        continue;
      }
      const due = this.#nextDue();
      const now = this.#context.clock.monotonic();
      const wait = due === undefined ? longestWork : due.next - now;
      const watch = this.#vigil.next - now;
      if (watch <= 0 && watch <= wait) {
        await this.#work(() => this.#vigil.look(signal), signal);
        await this.#listen(signal);
      } else if (due !== undefined && wait <= 0) {
        await this.#poll(due, signal);
        await this.#listen(signal);
      } else await this.#idle(Math.min(wait, watch), signal);
    }
  }

  /** Runs `work` when nothing else runs; resolves or rejects as it does. */
  ask<Value>(work: (signal: AbortSignal) => Promise<Value>): Promise<Value> {
    return new Promise<Value>((resolve, reject) => {
      this.#queue.push(async (signal) => {
        try {
          resolve(await work(signal));
        } catch (error) {
          reject(error instanceof Error ? error : new Error(reasonOf(error)));
          signal.throwIfAborted();
          if (error instanceof StateDamaged) throw error;
        }
      });
      this.#wake.abort();
    });
  }

  /** A pass over a source for an occasion of its own, with the schedule starting anew. For use inside `ask`; throws HostAway. */
  async passNow(name: SourceName, occasion: Occasion, signal: AbortSignal): Promise<void> {
    const schedule = this.#schedules.find((one) => one.source.name === name);
    if (schedule !== undefined) await this.#pass(schedule, occasion, signal);
    // What was away before may be back: whoever asks has often just seen to it.
    if (this.#context.reach.trouble !== undefined) await this.#context.reach.check(signal);
  }

  /** Undefined while the loop is alive, else why it is not thought to be. */
  alive(): string | undefined {
    const now = this.#context.clock.monotonic();
    if (this.#busySince !== undefined)
      return now - this.#busySince > longestWork
        ? `the present pass has been running for ${Math.round((now - this.#busySince) / 60_000)} min`
        : undefined;
    const due = this.#nextDue();
    return due !== undefined && now - due.next > overdue
      ? `a poll of ${due.source.name} is overdue by ${Math.round((now - due.next) / 1000)} s`
      : undefined;
  }

  /** Every source has been polled once. */
  ready(): boolean {
    return this.#firstPasses.size === 0;
  }

  /** An application whose source was taken out of pgo.toml goes on as it is: nothing says that it shall go. */
  #tellLeftOver(): void {
    const { config, journal, store } = this.#context;
    for (const { name } of store.sources()) {
      const left = store.applications().filter(({ id }) => partsOf(id).source === name);
      if (config.sources.some((source) => source.name === name) || left.length === 0) continue;
      const names = left.map(({ id }) => partsOf(id).application).join(", ");
      const message = `is no longer in pgo.toml; ${names} go on as they are: name it again with allow_empty = true and a branch without them to remove them`;
      journal.tell({ type: "warning", subject: `source ${name}`, message });
    }
  }

  /** Where registries are no longer asked, nobody knows what their names stand for by the time they are again. */
  #forgetMoves(): void {
    const { config, store } = this.#context;
    if (!config.quadlet.trackDigests) for (const { id } of store.applications()) store.saveMovedImages(id, new Map());
  }

  #nextDue(): Schedule | undefined {
    return this.#schedules.toSorted((a, b) => a.next - b.next)[0];
  }

  #poll(schedule: Schedule, signal: AbortSignal): Promise<void> {
    const now = this.#context.clock.monotonic();
    const [drift, images] = [now >= schedule.nextDrift, now >= schedule.nextTrack];
    return this.#work(() => this.#pass(schedule, { drift, images, asked: false, retry: undefined }, signal), signal);
  }

  async #pass(schedule: Schedule, occasion: Occasion, signal: AbortSignal): Promise<void> {
    const { clock, config, store } = this.#context;
    const { source } = schedule;
    // First of all, so that no surprise on the way (the state can't be written) lets the next poll come at once.
    schedule.next = clock.monotonic() + jittered(source.interval, clock.chance());
    const away = await this.#guarded(schedule, occasion, signal);
    this.#firstPasses.delete(source.name);
    const failures = store.source(source.name)?.failures ?? 0;
    const wait = failures > 0 ? backoff(failures, source.interval, clock.chance()) : jittered(source.interval, clock.chance());
    const now = clock.monotonic();
    schedule.next = now + wait;
    // What the host did while it could not be seen is looked at soon after.
    if (away) schedule.nextDrift = now + jittered(source.interval, clock.chance());
    else if (occasion.drift || occasion.asked) schedule.nextDrift = now + jittered(config.quadlet.driftInterval, clock.chance());
    if (occasion.images || occasion.asked) schedule.nextTrack = now + jittered(config.quadlet.trackInterval, clock.chance());
    schedule.next = Math.min(schedule.next, failures > 0 ? schedule.nextDrift : Infinity);
  }

  /** A pass whose surprises are told; answers whether it was given up because the host does not answer. */
  async #guarded({ source }: Schedule, occasion: Occasion, signal: AbortSignal): Promise<boolean> {
    const { clock, journal, reach } = this.#context;
    const began = clock.monotonic();
    try {
      await pass(source, occasion, this.#context, signal);
      return false;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StateDamaged) throw error;
      if (!(error instanceof HostAway)) await reach.check(signal).catch(() => undefined);
      if (reach.trouble === undefined) failed(source, { reason: reasonOf(error), transient: true }, this.#context);
      else journal.tell({ type: "pass", source: source.name, outcome: "host-away", ms: clock.monotonic() - began });
      return reach.trouble !== undefined;
    }
  }

  /**
   * After trouble, whether systemd and Podman answer again. A socket file that is mounted stays the old one when its service restarts (a
   * rootless bus is mounted so), and refuses for ever: only a new container helps.
   */
  async #listen(signal: AbortSignal): Promise<void> {
    const { reach } = this.#context;
    if (reach.trouble === undefined) return;
    await reach.check(signal).catch(() => {
      signal.throwIfAborted();
    });
    if (reach.silence > longestSilence)
      throw new Error(`no answer for ${Math.round(reach.silence / 60_000)} min, pgo ends to be started anew: ${reach.trouble}`);
  }

  async #work(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    this.#busySince = this.#context.clock.monotonic();
    try {
      await work();
    } catch (error) {
      // A command's own error has gone to who asked; what is left is a surprise that must not end the loop.
      signal.throwIfAborted();
      if (error instanceof StateDamaged) throw error;
      if (!(error instanceof HostAway)) this.#context.journal.tell({ type: "warning", subject: "loop", message: reasonOf(error) });
    } finally {
      this.#busySince = undefined;
    }
  }

  async #idle(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#queue.length > 0) return;
    try {
      await linked(signal, (wake) => {
        this.#wake = wake;
        return this.#context.clock.sleep(Math.min(ms, longestWork), wake.signal);
      });
    } catch {
      signal.throwIfAborted();
    }
  }
}

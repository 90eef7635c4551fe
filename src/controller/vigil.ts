/** Between rollouts: what changes on the host is looked at soon, and probes are asked from time to time. */

import type { Bundle } from "../core/bundle.ts";
import { checkIn } from "../core/checks.ts";
import { jittered } from "../core/decide.ts";
import type { ApplicationId, Digest, ServiceName } from "../core/names.ts";
import { lookAfter, looked, type Pace } from "../core/watching.ts";
import type { ApplicationRecord } from "../ports.ts";
import type { Bundles, Context } from "./context.ts";
import { linked } from "./linked.ts";
import { suspensionOf } from "./schedule.ts";
import { probeAll, repairAll } from "./survey.ts";

/** Until a unit that has failed, and is not called unhealthy yet, is asked again: in milliseconds. */
const doubtInterval = 10_000;

/** What runs, as far as it is watched. */
interface Watched {
  readonly of: string;
  readonly owners: ReadonlyMap<ServiceName, ApplicationId>;
  /** Applications with a probe. */
  readonly probed: ReadonlySet<ApplicationId>;
}

/** Times are the clock's monotonic milliseconds. To be told of each piece of work that is over: `refresh`. */
export class Vigil {
  readonly #context: Context;
  readonly #paces = new Map<ApplicationId, Pace>();
  #watched: Watched = { of: "", owners: new Map(), probed: new Set() };
  #nextProbes: number;
  #lastProbes: number;
  /** Ends the listening to Podman. */
  #podman: AbortController | undefined;

  constructor(context: Context) {
    this.#context = context;
    this.#lastProbes = context.clock.monotonic();
    this.#nextProbes = this.#lastProbes + this.#interval();
  }

  /** Listens until `signal` is aborted. */
  begin(signal: AbortSignal): void {
    const { changes, unseen } = this.#context;
    void changes.units.hear(unseen, signal);
  }

  /** Another version may be live now, or another application. */
  refresh(signal: AbortSignal): void {
    const { store, bundles, config, unseen } = this.#context;
    const records = store.applications().filter(({ lastGood }) => lastGood !== undefined);
    const of = records.map(({ id, lastGood }) => `${id} ${lastGood ?? ""}`).join("\n");
    if (of === this.#watched.of) return;
    const owners = new Map<ServiceName, ApplicationId>();
    const probed = new Set<ApplicationId>();
    let isPodmans = false;
    for (const { id, lastGood } of records) {
      const bundle = lastGood === undefined ? undefined : readable(lastGood, bundles);
      if (bundle === undefined) continue;
      for (const unit of bundle.units.filter(({ starts }) => starts)) {
        owners.set(unit.service, id);
        const { by } = checkIn(bundle, unit, config);
        if (by === "probe") probed.add(id);
        isPodmans ||= by === "podman" || unit.kind === "kube";
      }
    }
    this.#watched = { of, owners, probed };
    for (const id of this.#paces.keys()) if (!records.some((record) => record.id === id)) this.#paces.delete(id);
    unseen.follow(owners.keys());
    this.#listenToPodman(isPodmans, signal);
  }

  /** When it has something to do next. */
  get next(): number {
    const { symptoms } = this.#context;
    const doubts = symptoms.doubtful().size > 0 ? this.#lastProbes + doubtInterval : Infinity;
    const probes = this.#watched.probed.size > 0 && this.#context.config.watch.interval > 0 ? this.#nextProbes : Infinity;
    return Math.min(doubts, probes, ...this.#dueForChanges().values());
  }

  /** Does what is due. Throws HostAway; what was heard of is then looked at later. */
  async look(signal: AbortSignal): Promise<void> {
    const { clock, store, symptoms, unseen, config } = this.#context;
    const now = clock.monotonic();
    const changed = new Set([...this.#dueForChanges()].flatMap(([id, due]) => (due <= now ? [id] : [])));
    const isTime = config.watch.interval > 0 && this.#nextProbes <= now;
    const isDoubt = this.#lastProbes + doubtInterval <= now;
    const asked = new Set([...(isTime ? this.#watched.probed : []), ...(isDoubt ? symptoms.doubtful() : [])]);
    // First of all, so that no surprise on the way makes it look again at once.
    if (isTime) this.#nextProbes = now + this.#interval();
    if (isTime || isDoubt) this.#lastProbes = now;
    for (const id of changed) this.#paces.set(id, looked(now, this.#paces.get(id)));
    for (const id of symptoms.doubtful()) if (store.application(id) === undefined) symptoms.forget(id);
    const some = (ids: ReadonlySet<ApplicationId>): readonly ApplicationRecord[] => store.applications().filter(({ id }) => ids.has(id));
    try {
      if (changed.size > 0) await repairAll(some(changed), this.#context, signal);
      await probeAll(
        some(asked).filter(({ id }) => !changed.has(id)),
        this.#context,
        signal,
      );
    } catch (error) {
      for (const [service, id] of this.#watched.owners) if (changed.has(id)) unseen.heard(service);
      throw error;
    }
  }

  /** By application, of which something has changed that nobody has looked at. */
  #dueForChanges(): ReadonlyMap<ApplicationId, number> {
    const { store, clock, unseen } = this.#context;
    const due = new Map<ApplicationId, number>();
    for (const [service, heard] of unseen.changes()) {
      const id = this.#watched.owners.get(service);
      if (id === undefined) continue;
      if (suspensionOf(id, store, clock.now()) !== undefined) {
        unseen.lookedAt([service]);
        continue;
      }
      due.set(id, Math.min(due.get(id) ?? Infinity, lookAfter(heard, this.#paces.get(id))));
    }
    return due;
  }

  /** It costs the host a Podman that stays, so only where there is something that systemd does not see: a health check, a container of several. */
  #listenToPodman(isWanted: boolean, signal: AbortSignal): void {
    if (isWanted === (this.#podman !== undefined)) return;
    if (!isWanted) {
      this.#podman?.abort(new Error("nothing to listen for"));
      this.#podman = undefined;
      return;
    }
    const { changes, unseen } = this.#context;
    void linked(signal, async (inner) => {
      this.#podman = inner;
      await changes.containers.hear(unseen, inner.signal);
    }).catch(() => undefined);
  }

  #interval(): number {
    const { config, clock } = this.#context;
    return jittered(config.watch.interval, clock.chance());
  }
}

/** One that can't be read is told when its application's turn comes. */
function readable(digest: Digest, bundles: Bundles): Bundle | undefined {
  try {
    return bundles.get(digest);
  } catch {
    return undefined;
  }
}

/** When an application's change may go on this host: its schedule, since when the change is known, and whether the clock can be gone by. */

import { clockDoubt, type ClockDoubt } from "../core/clock-doubt.ts";
import type { Candidate } from "../core/decide.ts";
import { partsOf, type ApplicationId, type SourceName } from "../core/names.ts";
import type { Target } from "../core/rollout.ts";
import { timingOf, urgentTrailer } from "../core/schedule-config.ts";
import { binds, type Bound } from "../core/schedule.ts";
import { isUrgent } from "../core/urgent.ts";
import type { ApplicationRecord, Clock, Sighting, Snapshot, Store, Suspension } from "../ports.ts";
import { liveBundle, type Context } from "./context.ts";

/** A date that moves by more than this against the monotonic clock has been set. */
const noticed = 60_000;

/** The date as far as it can be believed, over one life of pgo. */
export class Timekeeping {
  readonly #clock: Clock;
  readonly #began: number;
  readonly #offsets = new Map<SourceName, number>();
  readonly #sightings = new Map<ApplicationId, { readonly content: Target; readonly at: number }>();
  #newest: Date | undefined;

  constructor(clock: Clock, store: Pick<Store, "newest">) {
    this.#clock = clock;
    this.#began = clock.monotonic();
    this.#newest = store.newest();
  }

  /** A commit can't be of tomorrow: an earlier date is wrong. */
  learn(time: Date | undefined): void {
    if (time !== undefined && (this.#newest === undefined || time > this.#newest)) this.#newest = time;
  }

  doubt(): ClockDoubt | undefined {
    return clockDoubt({ now: this.#clock.now(), newest: this.#newest, running: this.#clock.monotonic() - this.#began });
  }

  /** Whether the date was set since this was last asked about the source: times that were told before may be wrong by that. */
  wasSet(source: SourceName): boolean {
    const offset = this.#clock.now().getTime() - this.#clock.monotonic();
    const before = this.#offsets.get(source);
    this.#offsets.set(source, offset);
    return before !== undefined && Math.abs(offset - before) > noticed;
  }

  /**
   * Since when content is known. What was seen in this life is counted by the monotonic clock, so that a date which jumps makes nothing
   * older; undefined while the date can't be right.
   */
  sighting(id: ApplicationId, content: Target, before: Sighting | undefined): Pick<Sighting, "seen" | "chance"> | undefined {
    const [now, monotonic] = [this.#clock.now(), this.#clock.monotonic()];
    const certain = this.doubt()?.certain === true;
    if (before?.content !== content) {
      if (certain) return undefined;
      this.#sightings.set(id, { content, at: monotonic });
      return { seen: now, chance: this.#clock.chance() };
    }
    const own = this.#sightings.get(id);
    const seen = own?.content === content ? new Date(now.getTime() - (monotonic - own.at)) : before.seen > now ? now : before.seen;
    const moved = Math.abs(seen.getTime() - before.seen.getTime()) > noticed;
    return { seen: moved && !certain ? seen : before.seen, chance: before.chance };
  }
}

/** What a candidate is, once it is rolled out; undefined where it can't be. */
export function contentOf(candidate: Candidate): Target | undefined {
  switch (candidate.kind) {
    case "bundle":
      return candidate.bundle.digest;
    case "absent":
      return "absent";
    case "rejected":
    case "blocked":
      return candidate.digest;
  }
}

/** What binds the rollout of a candidate; undefined: nothing. */
export function boundOf(application: ApplicationId, candidate: Candidate, context: Context): Bound | undefined {
  const record = context.store.application(application);
  const content = contentOf(candidate);
  if (content === undefined || content === record?.lastGood) return undefined;
  // Where Git has it no more, what it last asked for itself counts.
  const bundle = candidate.kind === "bundle" ? candidate.bundle : liveBundle(application, context);
  const timing = timingOf(application, context.config, bundle?.settings.schedule);
  const known = record?.seen?.content === content ? record.seen : undefined;
  if (!binds(timing) || known?.urgent === true) return undefined;
  const { seen, chance } = known ?? { seen: context.clock.now(), chance: 0 };
  return { timing, seen, chance, doubt: context.time.doubt() };
}

/** What is to be remembered of a candidate's being seen now. `messages`: of the commits that are new with it. */
export function seenNow(
  application: ApplicationId,
  candidate: Candidate,
  messages: Snapshot["messages"],
  { store, config, time, clock }: Context,
): Sighting | undefined {
  const record = store.application(application);
  const content = contentOf(candidate);
  if (content === undefined) return undefined;
  const wanted = record !== undefined && record.desired === undefined ? "absent" : record?.desired?.digest;
  const trailer = urgentTrailer(application, config);
  const name = partsOf(application).application;
  const urgent =
    (trailer !== undefined && isUrgent({ name, isChanged: wanted !== content }, messages, trailer)) || staysUrgent(record, content, store);
  const sighting = time.sighting(application, content, record?.seen) ?? (urgent ? { seen: clock.now(), chance: 0 } : undefined);
  return sighting === undefined ? undefined : { ...sighting, content, urgent };
}

/** What can't wait is not made to by the next commit; but when it has failed, that one starts anew. */
function staysUrgent(record: ApplicationRecord | undefined, content: Target, store: Store): boolean {
  const before = record?.seen;
  if (record === undefined || before?.urgent !== true) return false;
  if (before.content === content) return true;
  return before.content !== (record.lastGood ?? "absent") && !store.quarantined(record.id).some(({ digest }) => digest === before.content);
}

/** Whether a person wants an application left in peace now, alone or with its source; of two wishes the longer one. */
export function suspensionOf(id: ApplicationId, store: Store, now: Date): Suspension | undefined {
  return [store.application(id)?.suspended, store.suspension(partsOf(id).source)]
    .filter((one) => one !== undefined)
    .filter(({ until }) => until === undefined || until > now)
    .toSorted((one, other) => (other.until?.getTime() ?? Infinity) - (one.until?.getTime() ?? Infinity))[0];
}

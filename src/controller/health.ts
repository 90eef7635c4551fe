/** Health after the rollout: what several looks come to, saved, and told once. */

import { flapping, flappingText } from "../core/flapping.ts";
import type { Health } from "../core/health.ts";
import type { ApplicationId } from "../core/names.ts";
import type { Verdict } from "../core/verdict.ts";
import type { ApplicationRecord, Store } from "../ports.ts";
import type { Context } from "./context.ts";
import { worst, type Failures } from "./verify.ts";

/** What was seen of an application. */
export interface Sighted {
  readonly verdicts: readonly Verdict[];
  readonly failures: Failures;
}

/** What is remembered between two looks. After a restart of pgo failures are counted from the beginning. */
export class Symptoms {
  readonly #failures = new Map<ApplicationId, Failures>();
  readonly #doubtful = new Set<ApplicationId>();
  readonly #flapping = new Set<ApplicationId>();

  failuresOf(id: ApplicationId): Failures {
    return this.#failures.get(id) ?? new Map();
  }

  remember(id: ApplicationId, failures: Failures, isDoubtful: boolean): void {
    if (failures.size === 0) this.#failures.delete(id);
    else this.#failures.set(id, failures);
    if (isDoubtful) this.#doubtful.add(id);
    else this.#doubtful.delete(id);
  }

  /** A unit of it has failed, and not often enough yet to be called unhealthy: it is worth to look again soon. */
  doubtful(): ReadonlySet<ApplicationId> {
    return this.#doubtful;
  }

  /** Says whether it flaps; answers whether that was said before. */
  flaps(id: ApplicationId, now: boolean): boolean {
    const before = this.#flapping.has(id);
    if (now) this.#flapping.add(id);
    else this.#flapping.delete(id);
    return before;
  }

  forget(id: ApplicationId): void {
    this.remember(id, new Map(), false);
  }
}

/**
 * Saves what was seen, and tells when an application has become unhealthy, and when it is healthy again; where that comes again and again, only
 * that it flaps, and when it is quiet. Answers the whole application's health, of what can be believed.
 */
export function keepHealth(record: ApplicationRecord, { verdicts, failures }: Sighted, context: Context): Health {
  const { store, journal, clock, symptoms } = context;
  const { id } = record;
  symptoms.remember(
    id,
    failures,
    verdicts.some((one) => isDoubtful(one, failures)),
  );
  const known = new Map(store.health(id).map(({ service, health }) => [service, health]));
  // A single lost probe says nothing: what was known stands.
  const shown = verdicts.map((one) => (isDoubtful(one, failures) ? { ...one, health: known.get(one.service) ?? one.health } : one));
  const seenNow = worst(shown.map(({ health }) => health));
  // A service on its way up is not healthy again yet.
  const isOpen = seenNow === "starting" || (seenNow === "waiting" && record.health === "unhealthy");
  const health = isOpen ? record.health : seenNow;
  const now = store.application(id);
  const flappedBefore = flappingOf(id, store, clock.now()) !== undefined;
  store.atomically(() => {
    store.saveHealth(id, shown, clock.now());
    if (now !== undefined) store.saveApplication({ ...now, health });
  });
  tell(record, health, { bad: shown.find((one) => one.health === "unhealthy"), flappedBefore }, context);
  for (const one of shown) journal.tell({ type: "health", application: id, service: one.service, health: one.health });
  return seenNow;
}

/** In words, while some unit of it turns again and again. */
export function flappingOf(id: ApplicationId, store: Pick<Store, "healthChanges">, now: Date): string | undefined {
  return flappingText(flapping(store.healthChanges(id, new Date(now.getTime() - day)), now));
}

const day = 86_400_000;

function tell(
  { id, health: before }: ApplicationRecord,
  health: Health,
  { bad, flappedBefore }: { readonly bad: Verdict | undefined; readonly flappedBefore: boolean },
  context: Context,
): void {
  const { journal, symptoms, store, clock } = context;
  const warn = (message: string) => {
    journal.tell({ type: "warning", subject: id, message });
  };
  const flaps = flappingOf(id, store, clock.now());
  const wasTold = symptoms.flaps(id, flaps !== undefined) || flappedBefore;
  const turned = health !== before && (health === "unhealthy" || (health === "healthy" && before === "unhealthy"));
  const what = health === "unhealthy" && bad !== undefined ? `${bad.service} is unhealthy: ${bad.message ?? "no reason"}` : health;
  if (flaps !== undefined && !wasTold) warn(`${flaps}; now ${what}; further changes are not told until it is quiet`);
  else if (flaps === undefined && wasTold) warn(`no longer flapping: ${what}`);
  else if (flaps === undefined && turned) warn(health === "healthy" ? "healthy again" : what);
}

function isDoubtful({ service, health }: Verdict, failures: Failures): boolean {
  return health === "starting" && failures.has(service);
}

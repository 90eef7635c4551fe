/** A look at the host for drift: all applications' services and containers asked for at once, and only what differs dealt with. */

import type { Bundle } from "../core/bundle.ts";
import type { ServiceName } from "../core/names.ts";
import type { ApplicationRecord } from "../ports.ts";
import { guarded } from "./act.ts";
import type { Context } from "./context.ts";
import type { Survey } from "./observe.ts";
import { isSecret } from "./podman-secrets.ts";
import { care, repair, sight } from "./repair.ts";
import { seenObjects } from "./volumes.ts";
import { inOrder, needs } from "../core/order.ts";

/** Repairs what differs from the last good, application by application, and measures what changes by itself. */
export async function repairAll(records: readonly ApplicationRecord[], context: Context, signal: AbortSignal): Promise<void> {
  context.unseen.lookedAt(servicesOf(records, context));
  for (const { id, pinnedAgainst } of records)
    context.journal.tell({ type: "pinned", application: id, pinned: pinnedAgainst !== undefined });
  // One question for all; where it fails, each application tells so.
  const taken = measured(lastGoods(records, context), context, signal);
  for (const record of usedFirst(records, context))
    await guarded({ application: record.id, outcome: "failed" }, async () => repair(record, await taken, context, signal), context, signal);
  await taken.then(
    (survey) => {
      measure(survey, context);
    },
    () => {
      signal.throwIfAborted();
    },
  );
}

/** At once, in applications. */
const probedAtOnce = 8;

/**
 * Asks the probes of what runs, and deals with what is not well: less than `repairAll`, since no file is looked at. A service that is found
 * down is repaired.
 */
export async function probeAll(records: readonly ApplicationRecord[], context: Context, signal: AbortSignal): Promise<void> {
  if (records.length === 0) return;
  context.unseen.lookedAt(servicesOf(records, context));
  const survey = await takeSurvey(lastGoods(records, context), context, signal);
  for (let from = 0; from < records.length; from += probedAtOnce) {
    const some = records.slice(from, from + probedAtOnce).map((record) => ({ record, sighted: sight(record, survey, context, signal) }));
    await Promise.allSettled(some.map(({ sighted }) => sighted));
    for (const { record, sighted } of some)
      await guarded(
        { application: record.id, outcome: "failed" },
        async () => care(record, { sighted: await sighted, survey }, context, signal),
        context,
        signal,
      );
  }
}

function servicesOf(records: readonly ApplicationRecord[], context: Context): readonly ServiceName[] {
  return lastGoods(records, context).flatMap(({ units }) => units.map(({ service }) => service));
}

/** With what their containers use: for the looks that follow, and for status and metrics until the next one. */
async function measured(bundles: readonly Bundle[], context: Context, signal: AbortSignal): Promise<Survey> {
  const survey = await takeSurvey(bundles, context, signal);
  await context.resources.sample(bundles, survey, context, signal);
  return survey;
}

/** What all these bundles' services and objects are now. */
export async function takeSurvey(bundles: readonly Bundle[], context: Context, signal: AbortSignal): Promise<Survey> {
  const units = bundles.flatMap((bundle) => bundle.units);
  const names = [...new Set(units.map((unit) => unit.service))];
  const areSecrets = bundles.some(({ files }) => files.some(({ path }) => isSecret(path)));
  const [services, containers, secrets] = await Promise.all([
    context.host.services(names, signal),
    context.podman.containers(signal),
    areSecrets ? context.podman.secrets(signal) : undefined,
  ]);
  // Afterwards: what a unit that is active has made is there by then.
  const objects = await seenObjects(units, context, signal);
  return { services, containers, secrets, objects };
}

/** What applications run, as far as they run anything. */
export function lastGoods(records: readonly ApplicationRecord[], { bundles }: Context): readonly Bundle[] {
  return records.flatMap(({ lastGood }) => (lastGood === undefined ? [] : [bundles.get(lastGood)]));
}

/** What lost its network can't run before the application has it that it is of. */
function usedFirst(records: readonly ApplicationRecord[], { bundles }: Context): readonly ApplicationRecord[] {
  const bundleOf = ({ lastGood }: ApplicationRecord) => (lastGood === undefined ? undefined : bundles.get(lastGood));
  return inOrder(
    records,
    ({ id }) => id,
    (record) => records.filter((other) => other !== record && needs(bundleOf(record), bundleOf(other))),
  );
}

/** Figures that change by themselves; a scrape asks for none of them. */
function measure({ containers }: Survey, { store, journal }: Context): void {
  const states: Record<string, number> = {};
  for (const { state } of containers) states[state] = (states[state] ?? 0) + 1;
  journal.tell({ type: "containers", states });
  const sum = (all: readonly { readonly bytes: number }[]) => all.reduce((total, { bytes }) => total + bytes, 0);
  journal.tell({ type: "storage", kind: "database", bytes: store.size() });
  journal.tell({ type: "storage", kind: "copies", bytes: sum(store.copies()) });
  journal.tell({ type: "storage", kind: "backups", bytes: sum(store.backups()) });
}

/** After a state database was healed: what lies on the host is taken for what applications run, and what happened is told once. */

import { copyIsDue, healingText, unknownInvocation } from "../core/healing.ts";
import { foundBundle } from "../core/found.ts";
import { layout } from "../core/layout.ts";
import { fileDigest } from "../core/files.ts";
import { revision, type Digest, type RelativePath, type SourceName } from "../core/names.ts";
import { reasonOf } from "../core/result.ts";
import type { Context } from "./context.ts";
import type { Seen } from "./seen.ts";

/** Git's own name for no commit. */
const noRevision = revision("0".repeat(40));

/** Once, in the log and the events. */
export function tellHealing({ store, journal }: Context): void {
  const healing = store.healing();
  if (healing === undefined || healing.told) return;
  store.saveHealing({ ...healing, told: true });
  journal.tell({ type: "warning", subject: "state", message: healingText(healing) });
}

/**
 * Whether a source waits for its first judgement since. Until then its applications are left as they are: what the copy calls the last good may be
 * older than what runs.
 */
export function awaitsJudgement(name: SourceName, { store }: Context): boolean {
  return store.healing() !== undefined && store.source(name)?.revision === undefined;
}

/**
 * Before a source is judged for the first time since: each application that lies on the host and is not known is noted as running what lies
 * there, with nothing of it touched; what lies there of one that is known is pgo's.
 */
export async function takeFound({ source, snapshot }: Seen, context: Context, signal: AbortSignal): Promise<void> {
  const { store, host, journal, sealed, clock } = context;
  if (!awaitsJudgement(source.name, context)) return;
  const drafts = new Map(layout(source.name, source.paths, snapshot.entries).map((draft) => [draft.application, draft.files]));
  const found = await host.found(source.name, (application, path) => drafts.get(application)?.has(path) === true, signal);
  for (const [application, files] of found) {
    const placed = store.inventory(application);
    if (store.application(application)?.lastGood !== undefined || placed.size > 0) {
      const there = [...files].map(([path, { mode, content }]): [RelativePath, Digest] => [path, fileDigest(mode, content)]);
      store.saveInventory(application, new Map([...placed, ...there]));
      continue;
    }
    const made = foundBundle(application, files);
    if (!made.ok) {
      const why = made.trouble[0]?.message ?? "";
      const message = `what lies on the host can't be read (${why}): Git's version takes its place, with nothing to go back to`;
      journal.tell({ type: "warning", subject: application, message });
      continue;
    }
    if (made.value === undefined) continue;
    const { digest, entries, units, sealed: secret, contents } = made.value;
    for (const content of contents) await sealed.put(content, signal);
    const states = await host.services(
      units.map(({ service }) => service),
      signal,
    );
    store.atomically(() => {
      store.saveBundle({ digest, application, revision: noRevision, entries, vars: new Map(), sealed: secret, pins: new Map() });
      store.saveInventory(application, new Map(context.bundles.get(digest).files.map((file) => [file.path, file.digest])));
      // Of a oneshot that has ended well nothing else would say so. What they were started from is what lies there, as far as anybody knows.
      for (const { service, digest: from, inputs } of units)
        if (states.get(service)?.invocation !== "")
          store.saveStarted(application, service, { digest: from, inputs, invocation: unknownInvocation });
      store.saveApplication({
        ...{ id: application, revision: noRevision, lastGood: digest, desired: undefined, outcome: "in-sync", since: clock.now() },
        ...{
          message: "found on the host",
          health: "unknown",
          held: undefined,
          suspended: undefined,
          pinnedAgainst: undefined,
          seen: undefined,
        },
      });
    });
  }
}

/** Copies the state database after what was rolled out. A copy that fails is told once, until one succeeds. */
export class StateCopies {
  #told: string | undefined;

  async keep({ store, journal, clock }: Context): Promise<void> {
    // With a rollout under way it would be put back into the middle of that.
    if (store.rollouts().length > 0) return;
    const [newest] = store.copies();
    if (!copyIsDue(newest, store.deployments({ limit: 1 })[0]?.finishedAt, clock.now())) return;
    try {
      await store.copy(clock.now());
      this.#told = undefined;
    } catch (error) {
      const message = `${reasonOf(error)}: it goes on without`;
      if (message !== this.#told) journal.tell({ type: "warning", subject: "state", message });
      this.#told = message;
    }
  }
}

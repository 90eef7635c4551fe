/** What `ctl` can tell from the state database when no pgo runs. */

import { access } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";

import { openStore } from "./adapters/store/store.ts";
import type { OfflineReader } from "./cli/ctl.ts";
import { Bundles } from "./controller/context.ts";
import { eventEntry, historyEntry, statusReport } from "./controller/status.ts";
import { partsOf } from "./core/names.ts";
import { versionOf } from "./version.ts";

/** Undefined where there is no database. */
export async function openOffline(path: string): Promise<OfflineReader | undefined> {
  try {
    await access(path);
  } catch {
    return undefined;
  }
  const store = openStore(path, { readonly: true });
  // Where processed files would go does not matter for looking.
  const bundles = new Bundles(store, dirname(path));
  await bundles.template();
  return {
    status: () =>
      statusReport(
        { store, bundles },
        { version: versionOf(), host: hostname(), now: new Date(), rollbackPin: undefined },
        { live: new Map(), trouble: undefined },
      ),
    history: ({ target, limit, id }) =>
      store
        .deployments({ limit: target === undefined && id === undefined ? limit : 100_000 })
        .filter((one) => id === undefined || one.id === id)
        .filter(
          ({ application }) => target === undefined || [application, ...Object.values(partsOf(application))].includes(target as never),
        )
        .slice(0, limit)
        .map(historyEntry),
    events: (filter) => store.events(filter).map(eventEntry),
    [Symbol.dispose]: () => void store[Symbol.asyncDispose](),
  };
}

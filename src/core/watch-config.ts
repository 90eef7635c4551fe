/** How an application is watched after its rollout, as pgo.toml says it: `[health]`, `[application.NAME]` and the application's own. */

import { z } from "zod";

import { duration, positive } from "./config-values.ts";
import { partsOf, type ApplicationId } from "./names.ts";

export const watchActions = ["report", "restart", "rollback"] as const;

const watch = z.enum(watchActions);
const watchWindow = positive;

const about = {
  watch:
    "What is done about a unit that becomes unhealthy after the rollout: report it; restart it too; or go back to the version before, soon after a rollout.",
  watchWindow: "How long after a rollout `rollback` goes back; later it restarts.",
};

/** Of `[health]`. */
export const watchDefaults = {
  watch_interval: duration
    .default(60_000)
    .describe("Time between two rounds of probes after the rollout; 0s: only with each look at the host."),
  watch: watch.default("report").describe(about.watch),
  watch_window: watchWindow.default(1_800_000).describe(about.watchWindow),
};

/** Of `[application.NAME]` on the host, and of an application's own pgo.toml. */
export const watchKeys = {
  watch: watch.optional().describe(about.watch),
  watch_window: watchWindow.optional().describe(about.watchWindow),
};

export interface Watching {
  readonly action: (typeof watchActions)[number];
  /** Milliseconds after a rollout. */
  readonly window: number;
}

interface Layer {
  readonly watch?: Watching["action"] | undefined;
  readonly watch_window?: number | undefined;
}

/** Key by key: the host's `[application.NAME]`, then the application's own pgo.toml, then `[health]`. */
export function watchingOf(
  id: ApplicationId,
  host: { readonly applications: ReadonlyMap<string, Layer>; readonly watch: Watching },
  own: Layer | undefined,
): Watching {
  const over = host.applications.get(partsOf(id).application);
  return {
    action: over?.watch ?? own?.watch ?? host.watch.action,
    window: over?.watch_window ?? own?.watch_window ?? host.watch.window,
  };
}

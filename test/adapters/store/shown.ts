/** What a state database tells of applications and their history, as `ctl` prints it: the part of it that no release may change. */

import { openStore } from "../../../src/adapters/store/store.ts";
import { Bundles } from "../../../src/controller/context.ts";
import { backupsReport } from "../../../src/controller/backups.ts";
import { historyEntry, statusReport } from "../../../src/controller/status.ts";

export async function shownBy(path: string) {
  await using store = openStore(path);
  const bundles = new Bundles(store, "/var/lib/pgo");
  const about = { version: "x", host: "pi4", now: new Date("2026-06-01T00:00:00.000Z"), rollbackPin: undefined };
  const { sources, applications } = statusReport({ store, bundles }, about, { live: new Map(), trouble: undefined });
  const { applications: versions } = backupsReport(undefined, { store, config: { state: { directory: "/var/lib/pgo" } } } as never);
  return JSON.parse(
    JSON.stringify({
      sources,
      applications,
      history: store.deployments({ limit: 1000 }).map(historyEntry),
      files: store
        .applications()
        .flatMap(({ lastGood }) =>
          lastGood === undefined ? [] : bundles.get(lastGood).files.map((file) => `${file.path} ${file.digest}`),
        ),
      // Where one differs, its service would restart after the update.
      units: store
        .applications()
        .flatMap(({ lastGood }) =>
          lastGood === undefined ? [] : bundles.get(lastGood).units.map((unit) => `${unit.service} ${unit.digest}`),
        ),
      inventory: store.applications().map(({ id }) => [id, ...store.inventory(id).keys()]),
      started: store.applications().map(({ id }) => [id, ...[...store.started(id)].map(([service, { digest }]) => `${service} ${digest}`)]),
      quarantined: store.applications().flatMap(({ id }) => store.quarantined(id)),
      versions,
      events: store.events({ limit: 1000 }).map(({ message }) => message),
    }),
  ) as Readonly<Record<string, unknown>>;
}

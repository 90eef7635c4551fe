/** Backups as people read them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { renderBackups } from "../../src/cli/render-backups.ts";

const view = { colour: false, columns: 120, now: new Date("2026-01-02T12:00:00.000Z") };

test("versions, volumes and copies each have their list, with what was changed by hand and where files lie", () => {
  const text = renderBackups(
    {
      applications: [{ id: 12, source: "fleet", application: "shop", at: "2026-01-02T11:00:00.000Z", before: 41, changed: ["web.env"] }],
      volumes: [
        {
          ...{ id: 11, source: "fleet", application: "shop", at: "2026-01-01T12:00:00.000Z", before: null },
          ...{ volume: "systemd-data", path: "/var/lib/pgo/backups/volumes/systemd-data/x.tar", bytes: 5_000_000 },
        },
      ],
      state: [{ path: "/var/lib/pgo/backups/state/x.db", at: "2026-01-02T11:59:00.000Z", bytes: 700_000 }],
    },
    view,
  );
  assert.equal(
    text,
    `VERSIONS
  12  1 h ago  fleet/shop  before deployment 41
    with changes by hand in web.env

VOLUMES
  11  1 day ago  systemd-data  5 MB
    /var/lib/pgo/backups/volumes/systemd-data/x.tar

STATE DATABASE
  1 min ago  700 kB  /var/lib/pgo/backups/state/x.db
`,
  );
});

test("where there are none, it says when there will be", () => {
  assert.match(renderBackups({ applications: [], volumes: [], state: [] }, view), /^no backups yet: /);
});

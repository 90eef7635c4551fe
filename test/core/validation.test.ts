/** What `pgo validate` reports of a judgement. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { assemble } from "../../src/core/assemble.ts";
import type { TreeEntry } from "../../src/core/bundle.ts";
import type { Candidate } from "../../src/core/decide.ts";
import { layout } from "../../src/core/layout.ts";
import { sourceName, type Digest } from "../../src/core/names.ts";
import { validationReport } from "../../src/core/validation.ts";
import { renderingFor } from "./renderings.ts";

const text = (content: string): TreeEntry => ({ kind: "file", executable: false, content: Buffer.from(content) });
const drafts = layout(
  sourceName("fleet"),
  ["apps"],
  new Map([
    ["apps/web/web.container", text("[Container]\nImage=nginx\n")],
    ["apps/db/db.container", text("[Container]\n")],
    ["apps/db/db.volume", text("[Volume]\n")],
    ["apps/api/api.container", text("[Container]\nImage=x\nVolume=db.volume:/x\n")],
  ]),
);
const digest = "0" as Digest;

function candidates(ofWeb: "warned" | "silent"): ReadonlyMap<(typeof drafts)[number]["application"], Candidate> {
  return new Map(
    drafts.map((draft): [typeof draft.application, Candidate] => {
      if (draft.application === "fleet/db")
        return [
          draft.application,
          {
            kind: "rejected",
            digest,
            problems: [
              { file: "apps/db/db.volume", line: 1, message: "second" },
              { file: "apps/db/db.container", line: 9, message: "first, further down" },
              { file: "apps/db/db.container", line: undefined, message: "first" },
            ],
          },
        ];
      if (draft.application === "fleet/api") return [draft.application, { kind: "blocked", digest, why: "it needs db.volume" }];
      const made = assemble(draft, renderingFor(draft.application));
      assert.ok(made.ok);
      const warnings = ofWeb === "silent" ? [] : [{ file: "web.container", line: undefined, message: "short name" }];
      return [draft.application, { kind: "bundle", bundle: made.value, warnings }];
    }),
  );
}

test("applications by name, each with its units, and with what is wrong by file and line as the repository has them", () => {
  const report = validationReport({
    source: "fleet",
    podman: "5.4.2",
    drafts,
    candidates: candidates("warned"),
    prefix: "deploy/",
    strict: false,
  });
  const nowhere = { column: null };
  assert.deepEqual(report, {
    schema: 1,
    source: "fleet",
    podman: "5.4.2",
    onlyRead: [],
    valid: false,
    applications: [
      { name: "api", units: [{ unit: "api.container", service: null }], problems: [], warnings: [], blocked: "it needs db.volume" },
      {
        name: "db",
        units: [
          { unit: "db.container", service: null },
          { unit: "db.volume", service: null },
        ],
        problems: [
          { file: "deploy/apps/db/db.container", line: null, ...nowhere, message: "first" },
          { file: "deploy/apps/db/db.container", line: 9, ...nowhere, message: "first, further down" },
          { file: "deploy/apps/db/db.volume", line: 1, ...nowhere, message: "second" },
        ],
        warnings: [],
        blocked: null,
      },
      {
        name: "web",
        units: [{ unit: "web.container", service: "web.service" }],
        problems: [],
        warnings: [{ file: "deploy/apps/web/web.container", line: null, ...nowhere, message: "short name" }],
        blocked: null,
      },
    ],
  });
});

test("a warning makes nothing invalid unless it is asked for; a problem does, and so does what can't be judged for it", () => {
  const valid = (names: readonly string[], strict: boolean, ofWeb: "warned" | "silent" = "warned") =>
    validationReport({
      source: "fleet",
      podman: "5.4.2",
      drafts: drafts.filter(({ application }) => names.includes(application)),
      candidates: candidates(ofWeb),
      prefix: "",
      strict,
    }).valid;
  assert.equal(valid(["fleet/web"], false), true);
  assert.equal(valid(["fleet/web"], true), false);
  assert.equal(valid(["fleet/web"], true, "silent"), true);
  assert.equal(valid(["fleet/web", "fleet/db"], false), false);
  assert.equal(valid(["fleet/api"], false), false);
});

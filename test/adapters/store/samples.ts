/** Records to store, made by hand. */

import type { TreeEntry } from "../../../src/core/bundle.ts";
import {
  applicationId,
  applicationName,
  digestOf,
  relativePath,
  revision,
  sourceName,
  type ApplicationId,
  type RelativePath,
} from "../../../src/core/names.ts";
import type { Settled, Target } from "../../../src/core/rollout.ts";
import type { ApplicationRecord, NewDeployment, StoredBundle } from "../../../src/ports.ts";
import { marked } from "../../../src/core/placing.ts";

export const fleet = sourceName("fleet");
export const shop = applicationId(fleet, applicationName("shop"));
export const blog = applicationId(fleet, applicationName("blog"));
export const commit = revision("3f2c1ab".padEnd(40, "0"));
export const morning = new Date("2026-01-01T06:15:02.000Z");
export const later = (ms: number): Date => new Date(morning.getTime() + ms);
export const day = 86_400_000;

export const deployment = (goal: Target, changes: Partial<NewDeployment> = {}): NewDeployment => ({
  application: shop,
  ref: "main",
  revision: commit,
  author: "Ada <ada@example.com>",
  subject: "Newer image",
  cause: "commit",
  goal,
  startedAt: morning,
  reasons: ["web.service: Image= changed in web.container"],
  ...changes,
});

export const attempt = (id: number, goal: Target, application: ApplicationId = shop) => ({
  deployment: id,
  application,
  revision: commit,
  cause: "commit" as const,
  goal,
  fallback: "absent" as const,
  startedAt: morning,
  recoveries: 0,
});

export const settled = (id: number, goal: Target, application: ApplicationId = shop): Settled => ({
  ...attempt(id, goal, application),
  phase: "settled",
  outcome: "deployed",
  shows: goal,
  live: goal,
  finishedAt: later(4000),
  description: "deployed in 4 s",
});

export const applicationRecord = (id: ApplicationId, changes: Partial<ApplicationRecord> = {}): ApplicationRecord => ({
  id,
  revision: commit,
  lastGood: undefined,
  desired: undefined,
  outcome: "deployed",
  since: morning,
  message: undefined,
  health: "healthy",
  held: undefined,
  suspended: undefined,
  pinnedAgainst: undefined,
  seen: undefined,
  ...changes,
});

export const bundle = (text: string, application: ApplicationId = shop): StoredBundle => ({
  digest: digestOf(application, text),
  application,
  revision: commit,
  vars: new Map([
    ["TAG", "1"],
    ["NONE", undefined],
  ]),
  sealed: new Map([[marked("env", "web.service/web.env"), { sealed: digestOf("content", text), digest: digestOf("file", text) }]]),
  pins: new Map([[relativePath("web.container"), "registry.example.com/web@sha256:01"]]),
  entries: new Map<RelativePath, TreeEntry>([
    [relativePath("web.container"), { kind: "file", executable: false, content: new TextEncoder().encode(text) }],
  ]),
});

/** Reports as a small fleet would give them, for the tests of what is shown. */

import type { ApplicationStatus, HistoryEntry, PlanReport, StatusReport } from "../../src/core/report.ts";

export const now = new Date("2026-01-01T12:00:00.000Z");
const ago = (seconds: number): string => new Date(now.getTime() - seconds * 1000).toISOString();
const revision = (start: string): string => start.padEnd(40, "0");

const used: NonNullable<ApplicationStatus["units"][number]["resources"]> = {
  at: ago(60),
  ...{ memoryBytes: null, memoryLimitBytes: 536_870_912, cpuPercent: 3.2, cpuSeconds: 41, restarts: 1, oomKills: null },
  message: "CPU 3.2 % of a core, 1 restart",
  lacking: ["memory, OOM kills: no figure, the kernel's memory controller is not enabled for containers"],
};

const shop: ApplicationStatus = {
  name: "shop",
  source: "fleet",
  revision: revision("3f2c1ab"),
  outcome: "deployed",
  since: ago(190),
  health: "healthy",
  phase: null,
  message: null,
  held: null,
  quarantined: null,
  suspended: null,
  pinned: false,
  pin: null,
  images: [],
  units: [
    {
      unit: "web.container",
      service: "web.service",
      active: "active",
      health: "healthy",
      checkedBy: "http",
      message: null,
      resources: used,
    },
    {
      unit: "shop.network",
      service: "shop-network.service",
      active: "active",
      health: "healthy",
      checkedBy: "unit",
      message: null,
      resources: null,
    },
  ],
};

export const healthyStatus: StatusReport = {
  schema: 1,
  version: "0.1.0",
  host: "pi4",
  healthy: true,
  trouble: null,
  healed: null,
  sources: [{ name: "fleet", revision: revision("3f2c1ab"), tag: null, checkedAt: ago(12), state: "ok", message: null, suspended: null }],
  applications: [shop],
  pulls: [],
};

export const troubledStatus: StatusReport = {
  ...healthyStatus,
  healthy: false,
  sources: [
    ...healthyStatus.sources,
    {
      name: "edge",
      revision: null,
      tag: null,
      checkedAt: ago(200),
      state: "failed",
      message: "connect to git.example.com port 22: Connection refused; the next try is in 2 min, what was deployed before keeps running",
      suspended: null,
    },
  ],
  applications: [
    shop,
    {
      ...shop,
      name: "blog",
      revision: revision("9d0e7c2"),
      outcome: "rolled-back",
      since: ago(7300),
      message: "went back to 9d0e7c2",
      quarantined: {
        digest: "ab",
        reason: "blog.service not healthy after 60 s: GET http://127.0.0.1:8081/ready: 503 (12 of 12 probes)",
        since: ago(7300),
      },
      units: [
        {
          unit: "blog.container",
          service: "blog.service",
          active: "active",
          health: "healthy",
          checkedBy: "podman",
          message: null,
          resources: null,
        },
      ],
    },
    {
      ...shop,
      name: "metrics-collector",
      outcome: "held",
      since: ago(30),
      health: "unhealthy",
      message: "registry.example.com/collector:2: manifest unknown",
      held: { why: "registry.example.com/collector:2: manifest unknown", until: ago(-95) },
      units: [
        {
          unit: "collector.container",
          service: "collector.service",
          active: "failed",
          health: "unhealthy",
          checkedBy: "process",
          message: "exit code 137, restarted 3 times",
          resources: null,
        },
      ],
    },
    {
      ...shop,
      source: "edge",
      outcome: "in-sync",
      since: ago(100_000),
      suspended: { until: ago(-3600) },
      pinned: true,
      pin: { against: "f0", until: "until-change" },
      phase: "verifying",
      health: "starting",
      units: [],
    },
  ],
};

export const planned: PlanReport = {
  applications: [
    {
      name: "shop",
      source: "fleet",
      state: "pending",
      message: null,
      steps: [
        { kind: "write", target: "web.container", because: "changed in Git" },
        { kind: "reload", target: "systemd", because: "unit files changed" },
        { kind: "restart", target: "web.service", because: "Image= changed in web.container" },
      ],
      diff: "--- web.container\n+++ web.container\n@@ -1,3 +1,3 @@\n [Container]\n-Image=localhost/web:1\n+Image=localhost/web:2\n PublishPort=8080:80\n",
      problems: [],
    },
    {
      name: "blog",
      source: "fleet",
      state: "rejected",
      message: null,
      steps: [],
      diff: "",
      problems: [
        {
          file: "blog/blog.container",
          line: 7,
          column: 1,
          message: "unsupported key 'PublishPorts' in group 'Container' (did you mean PublishPort?)",
        },
      ],
    },
    { name: "db", source: "fleet", state: "in-sync", message: null, steps: [], diff: "", problems: [] },
  ],
};

export const history: readonly HistoryEntry[] = [
  {
    id: 41,
    source: "fleet",
    application: "shop",
    revision: revision("9d0e7c2"),
    author: "Ada",
    subject: "web: \u001b[31mnew image",
    cause: "commit",
    startedAt: ago(700),
    finishedAt: ago(636),
    outcome: "rolled-back",
    description: "web.service not healthy after 60 s: GET http://127.0.0.1:8080/ready: 503 (12 of 12 probes)",
    evidence: [
      {
        service: "web.service",
        state: "failed (failed), exit-code, exit 1; its container is gone",
        journal: ["2026-01-01T11:48:21+00:00 web[4711]: can't log in as shop with *** at db.example.com: the server says no"],
        log: ["one line of its own"],
      },
    ],
    reasons: ["web.service restarts: Image= changed in web.container"],
    steps: [
      { kind: "write", target: "web.container", because: "changed in Git", ms: 12, error: null },
      {
        kind: "restart",
        target: "web.service",
        because: "Image= changed in web.container",
        ms: 2300,
        error: "job failed: web.service: exit-code",
      },
    ],
  },
  {
    id: 9,
    source: "fleet",
    application: "blog",
    revision: revision("3f2c1ab"),
    author: "Ada",
    subject: "blog: first",
    cause: "commit",
    startedAt: ago(100_000),
    finishedAt: null,
    outcome: null,
    description: "",
    evidence: [],
    reasons: [],
    steps: [],
  },
];

/** A pgo that answers without there being one: the Commands interface with fixed answers, and a record of what was asked. */

import { UnknownTarget, type Commands } from "../../src/controller/commands.ts";
import type { HistoryEntry, StatusReport } from "../../src/core/report.ts";

export const status: StatusReport = {
  schema: 1,
  version: "0.1.0",
  host: "pi4",
  healthy: true,
  trouble: null,
  healed: null,
  sources: [
    {
      name: "fleet",
      revision: "3f2c1ab".padEnd(40, "0"),
      tag: null,
      checkedAt: "2026-01-01T00:00:00.000Z",
      state: "ok",
      message: null,
      suspended: null,
    },
  ],
  applications: [],
  pulls: [],
};

export const deployment = (id: number): HistoryEntry => ({
  id,
  source: "fleet",
  application: "shop",
  revision: "3f2c1ab".padEnd(40, "0"),
  author: "Ada",
  subject: "web: new image",
  cause: "commit",
  startedAt: "2026-01-01T00:00:00.000Z",
  finishedAt: "2026-01-01T00:00:12.000Z",
  outcome: "deployed",
  description: "1 service restarted",
  evidence: [],
  reasons: ["`web.service` restarts: Image= changed"],
  steps: [{ kind: "restart", target: "web.service", because: "Image= changed", ms: 2300, error: null }],
});

/** `asked` gets a line for each call; `overrides` replace single answers. */
export function fixedCommands(asked: string[], overrides: Partial<Commands> = {}): Commands {
  const told = (name: string, ...details: unknown[]): void =>
    void asked.push([name, ...details.map((one) => JSON.stringify(one))].join(" "));
  const known = (target: string | undefined): void => {
    if (target !== undefined && target !== "shop") throw new UnknownTarget(`there is no "${target}": there are shop, fleet`);
  };
  const done = (target = "all") => ({ done: true, message: `${target}: done` });
  return {
    status: () => (told("status"), Promise.resolve(status)),
    plan: (target) => (told("plan", target), known(target), Promise.resolve({ applications: [] })),
    sync: (target, wait) => (
      told("sync", target, wait),
      known(target),
      Promise.resolve({ waited: wait, sources: status.sources, applications: [] })
    ),
    syncNow: (target, wait) => (
      told("syncNow", target, wait),
      known(target),
      Promise.resolve({ waited: wait, sources: status.sources, applications: [] })
    ),
    history: (filter) => (told("history", filter), [deployment(2), deployment(1)]),
    rollback: (target, to) => (told("rollback", target, to), known(target), Promise.resolve(done(target))),
    retry: (target) => (told("retry", target), known(target), Promise.resolve(done(target))),
    suspend: (target, forMs) => (told("suspend", target, forMs), known(target), done(target)),
    resume: (target) => (told("resume", target), known(target), done(target)),
    backups: (target) => (told("backups", target), known(target), { applications: [], volumes: [], state: [] }),
    backUp: () => (told("backUp"), Promise.resolve(done())),
    restore: (id) => (told("restore", id), Promise.resolve(done(String(id)))),
    events: (filter) => (told("events", filter), []),
    version: () => (told("version"), Promise.resolve({ version: "0.1.0", node: "24.0.0", podman: "5.4.2" })),
    alive: () => undefined,
    ready: () => true,
    ...overrides,
  };
}

/** Rejects when the signal is aborted, with its reason. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener(
      "abort",
      () => {
        reject(signal.reason as Error);
      },
      { once: true },
    );
  });
}

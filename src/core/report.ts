/** What pgo tells about itself: the JSON shapes of `ctl … --json`, times as ISO 8601 in UTC. */

import type { RollbackPin } from "./config.ts";
import type { Health } from "./health.ts";
import type { Pull } from "./pulls.ts";
import type { Cause, Outcome } from "./rollout.ts";

export interface StatusReport {
  readonly schema: 1;
  readonly version: string;
  readonly host: string;
  /** systemd and Podman answer, every source is ok, and every application healthy, and none failed or quarantined. */
  readonly healthy: boolean;
  /** Why the host can't be worked on: what is told of applications is then what was last seen. */
  readonly trouble: string | null;
  /** The state database was damaged in the last month, and what came of it. */
  readonly healed: { readonly since: string; readonly message: string } | null;
  readonly sources: readonly SourceStatus[];
  readonly applications: readonly ApplicationStatus[];
  /** Images that are being pulled; none where the daemon can't be asked. */
  readonly pulls: readonly (Pull & { readonly message: string })[];
}

export interface SourceStatus {
  readonly name: string;
  readonly revision: string | null;
  /** By which that revision was found; null for a branch and a commit. */
  readonly tag: string | null;
  readonly checkedAt: string | null;
  readonly state: "ok" | "failed";
  readonly message: string | null;
  /** Left alone with all its applications, also those that are still to come. */
  readonly suspended: { readonly until: string | null } | null;
}

export interface ApplicationStatus {
  readonly name: string;
  readonly source: string;
  /** Of what runs. */
  readonly revision: string | null;
  readonly outcome: Outcome;
  readonly since: string;
  readonly health: Health;
  /** Phase of a rollout under way; null when there is none. */
  readonly phase: "applying" | "verifying" | "reverting" | null;
  readonly message: string | null;
  readonly held: { readonly why: string; readonly until: string | null } | null;
  /** What will not be tried again until `ctl retry` or new content. */
  readonly quarantined: { readonly digest: string; readonly reason: string; readonly since: string } | null;
  readonly suspended: { readonly until: string | null } | null;
  readonly pinned: boolean;
  /** Set while ctl rollback holds it: the content of Git's that was gone back from, and when Git is followed again. */
  readonly pin: { readonly against: string; readonly until: RollbackPin | null } | null;
  /** Images that pgo holds by their digest: after a rollout that was undone, or with `track_digests`. */
  readonly images: readonly { readonly file: string; readonly image: string; readonly held: string }[];
  readonly units: readonly UnitStatus[];
}

export interface UnitStatus {
  readonly unit: string;
  readonly service: string;
  readonly active: string;
  readonly health: Health;
  readonly checkedBy: string;
  readonly message: string | null;
  /** What its containers use, as of the last look for drift; null where nothing runs, or was looked at yet. */
  readonly resources: UnitResources | null;
}

/** A figure that there is not is null, and `lacking` says why. */
export interface UnitResources {
  readonly at: string;
  readonly memoryBytes: number | null;
  /** The limit, or the host's memory where there is none. */
  readonly memoryLimitBytes: number | null;
  /** Of one core, since the look before. */
  readonly cpuPercent: number | null;
  readonly cpuSeconds: number | null;
  readonly restarts: number;
  readonly oomKills: number | null;
  /** The figures in words. */
  readonly message: string;
  readonly lacking: readonly string[];
}

export interface HistoryEntry {
  readonly id: number;
  readonly source: string;
  readonly application: string;
  readonly revision: string;
  readonly author: string;
  readonly subject: string;
  readonly cause: Cause;
  readonly startedAt: string;
  /** Null while it is under way. */
  readonly finishedAt: string | null;
  readonly outcome: Outcome | null;
  readonly description: string;
  readonly reasons: readonly string[];
  readonly steps: readonly {
    readonly kind: string;
    readonly target: string;
    readonly because: string;
    readonly ms: number;
    readonly error: string | null;
  }[];
  /** What was found of the units that failed, secrets as ***. */
  readonly evidence: readonly {
    readonly service: string;
    readonly state: string;
    readonly journal: readonly string[];
    readonly log: readonly string[];
  }[];
}

export interface PlanReport {
  readonly applications: readonly PlannedApplication[];
}

export interface PlannedApplication {
  readonly name: string;
  readonly source: string;
  /** What would come of it: `in-sync` with no steps, `rejected` with problems, `held`, or `pending`. */
  readonly state: "in-sync" | "pending" | "rejected" | "held";
  readonly message: string | null;
  readonly steps: readonly { readonly kind: string; readonly target: string; readonly because: string }[];
  /** Unified diffs of all files that would change, env files' values as ***. */
  readonly diff: string;
  readonly problems: readonly {
    readonly file: string;
    readonly line: number | null;
    readonly column: number | null;
    readonly message: string;
  }[];
}

/** What `sync` came to. Without `--wait` only that it was asked for. */
export interface SyncReport {
  readonly waited: boolean;
  readonly sources: readonly SourceStatus[];
  readonly applications: readonly {
    readonly name: string;
    readonly source: string;
    readonly outcome: Outcome;
    readonly message: string | null;
  }[];
}

export interface EventEntry {
  readonly id: number;
  readonly deployment: number | null;
  readonly time: string;
  readonly type: string;
  readonly message: string;
}

/** Newest first. `before`: the deployment that each was made for, null where the history has forgotten it. */
export interface BackupsReport {
  readonly applications: readonly {
    readonly id: number;
    readonly source: string;
    readonly application: string;
    readonly at: string;
    readonly before: number | null;
    /** Files that were changed by hand then. */
    readonly changed: readonly string[];
  }[];
  readonly volumes: readonly {
    readonly id: number;
    readonly source: string;
    readonly application: string;
    readonly at: string;
    readonly before: number | null;
    readonly volume: string;
    readonly path: string;
    readonly bytes: number;
  }[];
  readonly state: readonly { readonly path: string; readonly at: string; readonly bytes: number }[];
}

/** The answer to a command that changes something. */
export interface CommandReport {
  readonly done: boolean;
  readonly message: string;
}

export interface VersionReport {
  readonly version: string;
  readonly node: string;
  readonly podman: string | null;
}

/** What happens, as data: the journal turns events into log lines, rows of the events table and metrics. */

import type { Health } from "./health.ts";
import type { ApplicationId, Revision, ServiceName, SourceName } from "./names.ts";
import type { Usage } from "./resources.ts";
import type { Outcome } from "./rollout.ts";

/** What a pass over a source came to; `host-away`: it was given up since systemd or Podman did not answer. */
export const passOutcomes = ["in-sync", "changed", "source-failed", "host-away"] as const;
export type PassOutcome = (typeof passOutcomes)[number];

export type Event = { readonly at: Date } & (
  | { readonly type: "started"; readonly version: string; readonly unfinished: number }
  | { readonly type: "stopping"; readonly because: string }
  /** A source went from working to failing, or back, or tells something once. */
  | {
      readonly type: "source";
      readonly source: SourceName;
      readonly state: "failed" | "recovered" | "rewritten" | "refused";
      readonly message: string;
    }
  /** systemd or Podman does not answer, so that nothing can be seen or done on the host; or both do again. */
  | { readonly type: "host"; readonly state: "away" | "back"; readonly message: string }
  /** An application's outcome, told once: not again at each pass that finds the same. */
  | {
      readonly type: "outcome";
      readonly application: ApplicationId;
      readonly outcome: Outcome;
      readonly revision: Revision | undefined;
      readonly deployment: number | undefined;
      readonly message: string;
      /** How long it took, in milliseconds; undefined where the host was not touched. */
      readonly ms: number | undefined;
    }
  /** What a person asked for with ctl. */
  | { readonly type: "command"; readonly command: string; readonly target: string; readonly message: string }
  /** Data of a volume was copied before the volume went. */
  | {
      readonly type: "backup";
      readonly application: ApplicationId;
      readonly volume: string;
      readonly path: string;
      readonly bytes: number;
    }
  /** An image that nothing needs any more was removed. */
  | { readonly type: "image"; readonly image: string; readonly id: string }
  /** Something that a person should look at, though pgo goes on. */
  | { readonly type: "warning"; readonly subject: string; readonly message: string }
  /** Only counted and measured, never logged above debug nor kept: */
  | {
      readonly type: "git";
      readonly source: SourceName;
      readonly operation: "ls-remote" | "fetch";
      readonly result: "ok" | "failed";
      readonly ms: number;
    }
  | { readonly type: "pass"; readonly source: SourceName; readonly outcome: PassOutcome; readonly ms: number }
  | { readonly type: "probe"; readonly application: ApplicationId; readonly kind: string; readonly result: "pass" | "fail" | "unasked" }
  | { readonly type: "health"; readonly application: ApplicationId; readonly service: ServiceName; readonly health: Health }
  | { readonly type: "resources"; readonly application: ApplicationId; readonly service: ServiceName; readonly usage: Usage }
  /** Whether ctl rollback holds an application, told again at each look at the host. */
  | { readonly type: "pinned"; readonly application: ApplicationId; readonly pinned: boolean }
  /** A service that its application no longer has, or, without `service`, an application that is no longer there: its figures end. */
  | { readonly type: "gone"; readonly application: ApplicationId; readonly service: ServiceName | undefined }
  /** How many containers of pgo's are in each state; all states that pgo has seen, zeros included. */
  | { readonly type: "containers"; readonly states: Readonly<Record<string, number>> }
  | { readonly type: "storage"; readonly kind: string; readonly bytes: number }
);

/** Omit over each member of a union, so that the members stay apart. */
type Without<Union, Key extends PropertyKey> = Union extends unknown ? Omit<Union, Key> : never;
/** An event whose time the journal adds. */
export type Happening = Without<Event, "at">;

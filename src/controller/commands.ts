/** What a person may ask of a running pgo: the interface that http/ serves and `ctl` calls. */

import type {
  BackupsReport,
  CommandReport,
  EventEntry,
  HistoryEntry,
  PlanReport,
  StatusReport,
  SyncReport,
  VersionReport,
} from "../core/report.ts";

/** A target is an application (`shop` or `fleet/shop`) or, where it says so, a source. */
export interface Commands {
  status(signal: AbortSignal): Promise<StatusReport>;
  /** Changes nothing; asks Git, the host and the generator. */
  plan(target: string | undefined, signal: AbortSignal): Promise<PlanReport>;
  /** Polls now, of one source or all; with `wait`, answers when that pass is over. */
  sync(target: string | undefined, wait: boolean, signal: AbortSignal): Promise<SyncReport>;
  /** The same, and what waits for its time goes at once: no window, freeze, age or jitter binds it. */
  syncNow(target: string | undefined, wait: boolean, signal: AbortSignal): Promise<SyncReport>;
  /** Newest first; `id` asks for that one deployment only. */
  history(filter: { readonly target: string | undefined; readonly limit: number; readonly id?: number }): readonly HistoryEntry[];
  /** To the last good before the present one, or to that of deployment `to`; stays as `rollback_pin` says. */
  rollback(target: string, to: number | undefined, signal: AbortSignal): Promise<CommandReport>;
  /** Lifts the quarantine of an application and tries again. */
  retry(target: string, signal: AbortSignal): Promise<CommandReport>;
  /** Leaves an application, all of a source, or all alone, also what comes new; `forMs` undefined: until resumed. */
  suspend(target: string | undefined, forMs: number | undefined): CommandReport;
  resume(target: string | undefined): CommandReport;
  /** What there is to go back to; of one application, or all. */
  backups(target: string | undefined): BackupsReport;
  /** Writes all of pgo's state into one file. */
  backUp(): Promise<CommandReport>;
  /** Brings an application back to what a backup has of it; stays until a commit changes the application. */
  restore(id: number): Promise<CommandReport>;
  events(filter: { readonly limit: number; readonly after?: number }): readonly EventEntry[];
  version(signal: AbortSignal): Promise<VersionReport>;
  /** The loop is alive and the state can be written; else why not. */
  alive(): string | undefined;
  /** The first pass is over. */
  ready(): boolean;
}

/** A target that names nothing, or several things: the message says what there is. */
export class UnknownTarget extends Error {}

/** It can't be done or answered now, for a reason outside of pgo (Git, systemd or Podman does not answer): told to who asked. */
export class Unavailable extends Error {}

/** `ctl`: one command to a running pgo, its answer told, and an exit code that scripts can go by. */

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
import { ask, type Answer, type Question } from "./client.ts";
import { renderBackups } from "./render-backups.ts";
import { renderDeployment, renderHistory } from "./render-history.ts";
import { renderCommand, renderEvents, renderPlan, renderStatus, renderSync, renderVersion } from "./render.ts";
import { cleaned, wrap, type View } from "./text.ts";

export type CtlCommand = { readonly json: boolean } & (
  | { readonly name: "version" }
  | { readonly name: "status"; readonly resources?: true }
  | { readonly name: "plan"; readonly target: string | undefined }
  | { readonly name: "sync"; readonly target: string | undefined; readonly wait: boolean; readonly now?: true }
  | { readonly name: "history"; readonly target: string | undefined; readonly limit: number }
  | { readonly name: "show"; readonly id: number }
  | { readonly name: "rollback"; readonly target: string; readonly to: number | undefined }
  | { readonly name: "retry"; readonly target: string }
  | { readonly name: "resume"; readonly target: string | undefined }
  | { readonly name: "suspend"; readonly target: string | undefined; readonly forMs: number | undefined }
  | { readonly name: "backups"; readonly target: string | undefined }
  | { readonly name: "backup" }
  | { readonly name: "restore"; readonly id: number }
  | { readonly name: "events"; readonly limit: number; readonly follow: boolean }
);

/** Exit codes of the whole program; those that scripts may rely on. */
export const exit = { done: 0, failed: 1, usage: 2, rejected: 3, pending: 4, unreachable: 5 } as const;
export type ExitCode = (typeof exit)[keyof typeof exit];

/** Where text goes. */
export interface Terminal {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** A terminal, and NO_COLOR is not set. */
  readonly colour: boolean;
  /** Infinity where it is no terminal: scripts want no lines broken. */
  readonly columns: number;
  readonly now: () => Date;
}

/** What `ctl` needs of the world; each but the first is only asked when nobody answers. */
export interface CtlEdge {
  /** The control socket in the usual place. */
  readonly socket: string;
  /** The one that pgo.toml leads to; undefined where it can't be read. */
  configuredSocket(): Promise<string | undefined>;
  /** The state database, read only; undefined where there is none. */
  offline(): Promise<OfflineReader | undefined>;
  /** How to look after the daemon: "systemctl status pgo.service". */
  readonly advice: string;
}

/** The state database without a daemon. `target` as for the commands; one that names nothing gives nothing. */
export interface OfflineReader extends Disposable {
  status(): StatusReport;
  history(filter: { readonly target: string | undefined; readonly limit: number; readonly id?: number }): readonly HistoryEntry[];
  events(filter: { readonly limit: number; readonly after?: number }): readonly EventEntry[];
}

/** Runs one command. Throws only when `signal` is aborted. */
export async function ctl(command: CtlCommand, edge: CtlEdge, terminal: Terminal, signal: AbortSignal): Promise<ExitCode> {
  let { socket } = edge;
  let answer = await ask(socket, questionOf(command), signal);
  if (answer.kind === "absent") {
    const configured = await edge.configuredSocket();
    if (configured !== undefined && configured !== socket) {
      socket = configured;
      answer = await ask(socket, questionOf(command), signal);
    }
  }
  if (answer.kind === "absent") return await offline(command, edge, socket, terminal);
  if (answer.kind !== "ok") return refused(answer, socket, edge, terminal);
  const code = tell(command, answer.value, terminal);
  if (command.name === "events" && command.follow)
    return await follow(command, { socket, edge, after: answer.value as EventEntry[] }, terminal, signal);
  return code;
}

const moment = 30_000;
const minutes = 300_000;

function questionOf(command: CtlCommand): Question {
  switch (command.name) {
    case "status":
    case "version":
      return { method: "GET", path: `/v1/${command.name}`, patience: moment };
    case "plan":
      return { method: "GET", path: `/v1/plan${query({ target: command.target })}`, patience: minutes };
    case "history":
      return { method: "GET", path: `/v1/history${query({ target: command.target, limit: command.limit })}`, patience: moment };
    case "show":
      return { method: "GET", path: `/v1/history/${String(command.id)}`, patience: moment };
    case "events":
      return { method: "GET", path: `/v1/events${query({ limit: command.limit })}`, patience: moment };
    case "sync":
      return {
        method: "POST",
        path: "/v1/sync",
        body: { target: command.target, wait: command.wait, now: command.now },
        ...(command.wait ? {} : { patience: moment }),
      };
    // These may take a whole rollout.
    case "rollback":
      return { method: "POST", path: "/v1/rollback", body: { target: command.target, to: command.to } };
    case "retry":
      return { method: "POST", path: "/v1/retry", body: { target: command.target } };
    case "backups":
      return { method: "GET", path: `/v1/backups${query({ target: command.target })}`, patience: moment };
    case "backup":
      return { method: "POST", path: "/v1/backup", body: {} };
    case "restore":
      return { method: "POST", path: "/v1/restore", body: { id: command.id } };
    case "resume":
      return { method: "POST", path: "/v1/resume", body: { target: command.target }, patience: moment };
    case "suspend":
      return { method: "POST", path: "/v1/suspend", body: { target: command.target, forMs: command.forMs }, patience: moment };
  }
}

function query(values: Readonly<Record<string, string | number | undefined>>): string {
  const parts = Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]));
  return parts.length === 0 ? "" : `?${parts.join("&")}`;
}

/** Prints an answer (the wire shapes of core/report.ts, by command) and says what it means for a script. */
function tell(command: CtlCommand, value: unknown, terminal: Terminal): ExitCode {
  const print = <Report>(report: Report, render: (report: Report, view: View) => string): void => {
    terminal.out(command.json ? jsonText(command, report) : render(cleaned(report), viewOf(terminal)));
  };
  switch (command.name) {
    case "status":
      print(value as StatusReport, (report, view) => renderStatus(report, view, command.resources));
      return exit.done;
    case "version":
      print(value as VersionReport, renderVersion);
      return exit.done;
    case "history":
      print(value as readonly HistoryEntry[], renderHistory);
      return exit.done;
    case "show":
      print(value as HistoryEntry, renderDeployment);
      return exit.done;
    case "events":
      print(value as readonly EventEntry[], (events, view) => renderEvents(events, view, command.follow));
      return exit.done;
    case "plan":
      print(value as PlanReport, renderPlan);
      return planCode(value as PlanReport);
    case "sync":
      print(value as SyncReport, renderSync);
      return syncCode(value as SyncReport);
    case "backups":
      print(value as BackupsReport, renderBackups);
      return exit.done;
    case "rollback":
    case "retry":
    case "backup":
    case "restore":
    case "resume":
    case "suspend":
      print(value as CommandReport, renderCommand);
      return (value as CommandReport).done ? exit.done : exit.failed;
  }
}

function planCode({ applications }: PlanReport): ExitCode {
  if (applications.some(({ state }) => state === "rejected")) return exit.rejected;
  return applications.some(({ state, steps }) => state === "pending" || (state === "held" && steps.length > 0)) ? exit.pending : exit.done;
}

/** What failed counts more than what was refused or undone. */
function syncCode({ waited, sources, applications }: SyncReport): ExitCode {
  if (!waited) return exit.done;
  const outcomes = applications.map(({ outcome }) => outcome);
  if (sources.some(({ state }) => state === "failed") || outcomes.some((one) => one === "failed" || one === "source-failed"))
    return exit.failed;
  return outcomes.some((one) => one === "rejected" || one === "rolled-back" || one === "held") ? exit.rejected : exit.done;
}

/** Followed events are one JSON object a line, oldest first, so that a script can read them as they come. */
function jsonText(command: CtlCommand, report: unknown): string {
  if (command.name === "events" && command.follow)
    return (report as readonly EventEntry[])
      .toReversed()
      .map((event) => `${JSON.stringify(event)}\n`)
      .join("");
  return `${JSON.stringify(report, null, 2)}\n`;
}

/** New events as they come, until the signal: then it is done. */
async function follow(
  command: CtlCommand & { readonly name: "events" },
  from: { readonly socket: string; readonly edge: CtlEdge; readonly after: readonly EventEntry[] },
  terminal: Terminal,
  signal: AbortSignal,
): Promise<ExitCode> {
  let after = from.after[0]?.id ?? 0;
  try {
    for (;;) {
      await pause(1000, signal);
      const answer = await ask(
        from.socket,
        { method: "GET", path: `/v1/events${query({ limit: 1000, after })}`, patience: moment },
        signal,
      );
      if (answer.kind !== "ok") return refused(answer, from.socket, from.edge, terminal);
      const events = answer.value as readonly EventEntry[];
      if (events.length > 0) tell(command, events, terminal);
      after = events[0]?.id ?? after;
    }
  } catch (error) {
    if (signal.aborted) return exit.done;
    throw error;
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

async function offline(command: CtlCommand, edge: CtlEdge, socket: string, terminal: Terminal): Promise<ExitCode> {
  const absent = `pgo is not running (no answer at ${socket}): ${edge.advice}`;
  if (command.name !== "status" && command.name !== "history" && command.name !== "events" && command.name !== "show") {
    complain(absent, terminal);
    return exit.unreachable;
  }
  using reader = await edge.offline();
  if (reader === undefined) {
    complain(`${absent}. There is no state database either`, terminal);
    return exit.unreachable;
  }
  complain(`${absent}. What follows is what it last wrote down`, terminal);
  switch (command.name) {
    case "status":
      return tell(command, reader.status(), terminal);
    case "history":
      return tell(command, reader.history({ target: command.target, limit: command.limit }), terminal);
    case "events":
      return tell(command, reader.events({ limit: command.limit }), terminal);
    case "show": {
      const entry = reader.history({ target: undefined, limit: 10_000, id: command.id }).find(({ id }) => id === command.id);
      if (entry !== undefined) return tell(command, entry, terminal);
      complain(`there is no deployment ${String(command.id)} (or it is no longer kept): see ctl history`, terminal);
      return exit.usage;
    }
  }
}

function refused(answer: Exclude<Answer, { readonly kind: "ok" }>, socket: string, edge: CtlEdge, terminal: Terminal): ExitCode {
  switch (answer.kind) {
    case "refused":
      complain(answer.reason, terminal);
      return answer.status >= 500 ? exit.failed : exit.usage;
    case "absent":
      complain(`pgo is not running (no answer at ${socket}): ${edge.advice}`, terminal);
      return exit.unreachable;
    case "unreachable":
      complain(`pgo can't be asked at ${socket}: ${answer.reason}. See: ${edge.advice}`, terminal);
      return exit.unreachable;
  }
}

function complain(message: string, terminal: Terminal): void {
  terminal.err(`${wrap(cleaned(message), 0, viewOf(terminal)).join("\n")}\n`);
}

const viewOf = ({ colour, columns, now }: Terminal): View => ({ colour, columns, now: now() });

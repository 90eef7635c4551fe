/** Jobs of systemd: queue one, wait for its result, and say why it failed. */

import { constants } from "node:os";

import type { ServiceName } from "../../core/names.ts";
import { success, trouble, type Result } from "../../core/result.ts";
import type { ServiceState } from "../../ports.ts";
import { Refusal, callDeadline, systemd1, variant, within, type Call, type Connection } from "./bus.ts";
import { getAll, servicesOf } from "./states.ts";

export interface Queue {
  readonly call: Call;
  readonly about: string;
  readonly deadlineMs: number;
}

/** Queues a job and waits for the signal with its result, which may come before the call's own answer: hence listen first. */
export async function queued(
  connection: Connection,
  { call, about, deadlineMs }: Queue,
  signal: AbortSignal,
): Promise<Result<string, Refusal>> {
  const results = new Map<unknown, PromiseWithResolvers<string>>();
  const resultOf = (job: unknown): PromiseWithResolvers<string> => {
    const result = results.get(job) ?? Promise.withResolvers<string>();
    results.set(job, result);
    return result;
  };
  const hear = ([, job, , result]: readonly unknown[]): void => {
    resultOf(job).resolve(String(result));
  };
  const stop = await connection.listen("JobRemoved", hear, signal);
  try {
    const [answer] = await connection.callAll([call], callDeadline, signal);
    if (answer instanceof Refusal) {
      // systemd's own refusals concern the unit; those of the bus (no rights, nobody there) concern us.
      if (answer.code.startsWith("org.freedesktop.systemd1.")) return trouble(answer);
      throw new Error(about, { cause: answer });
    }
    const late = (): Error => new Error(`${about}: the job has no result after ${String(deadlineMs / 1000)} s`);
    const result = await within(resultOf(answer?.[0]).promise, { ms: deadlineMs, late }, [signal, connection.lost]);
    return success(result);
  } catch (error) {
    if (!connection.lost.aborted || signal.aborted) throw error;
    throw new Error(`${about}: systemd could no longer be heard while the job ran, its result is unknown`, { cause: error });
  } finally {
    stop();
  }
}

/** A job's failure in systemd's words: `job failed (exit-code, exit 125)`. */
export async function reasonFor(connection: Connection, service: ServiceName, result: string, signal: AbortSignal): Promise<string> {
  if (result === "dependency") return `job dependency (${await lacking(connection, service, signal)})`;
  const state = (await servicesOf(connection, [service], signal)).get(service);
  return state === undefined || state.result === "success" ? `job ${result}` : `job ${result} (${endOf(state)})`;
}

/** Which of the units that it can't be without are not there. */
async function lacking(connection: Connection, service: ServiceName, signal: AbortSignal): Promise<string> {
  const path = await pathOf(connection, service, signal);
  const kinds = ["Requires", "BindsTo", "Requisite"].map((property) => ({ path, kind: "Unit", property }));
  const names = [...new Set((await getAll(connection, kinds, signal)).flat() as ServiceName[])];
  const failed = [...(await servicesOf(connection, names, signal))].filter(
    ([, { active, load }]) => active === "failed" || load === "not-found",
  );
  const told = failed.map(([name, state]) => `${name}: ${state.load === "not-found" ? "not found" : endOf(state)}`);
  return told.join(", ") || "a unit that it requires did not start";
}

async function pathOf(connection: Connection, service: ServiceName, signal: AbortSignal): Promise<string> {
  const call = { ...systemd1, member: "LoadUnit", signature: "s", body: [service] };
  const [path] = await connection.call(call, callDeadline, signal);
  return String(path);
}

/** `exit-code, exit 125`; `signal, SIGKILL`; `start-limit-hit`. For a signal, ExecMainStatus= is its number. */
function endOf({ result, exitStatus }: ServiceState): string {
  if (result === "exit-code") return `${result}, exit ${String(exitStatus)}`;
  if (result !== "signal" && result !== "core-dump") return result;
  const name = Object.entries(constants.signals).find(([, number]) => number === exitStatus)?.[0];
  return `${result}, ${name ?? `signal ${String(exitStatus)}`}`;
}

export interface OneShot {
  /** Unique, with `.service`. */
  readonly name: ServiceName;
  readonly description: string;
  /** The program by its absolute path on the host, and its arguments. */
  readonly argv: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Files that exist, by their path on the host; without one for stderr, that goes where stdout does. */
  readonly stdout: string;
  readonly stderr?: string;
  readonly deadlineMs: number;
  /** For what is run again and again, and may be anything. */
  readonly bounds?: Bounds;
}

export interface Bounds {
  /** A user of the host; undefined: the manager's own. */
  readonly user: string | undefined;
  /** Of any file that it writes; beyond that the kernel ends it with SIGXFSZ. */
  readonly fileBytes: number;
  /** From SIGTERM to SIGKILL. */
  readonly stopMs: number;
}

/** CLD_EXITED of waitid(2): the other codes of ExecMainCode= mean that a signal ended it. */
const exited = 1;

/** The exit code, 128 and the signal's number for a program that a signal ended. */
export async function runOnce(connection: Connection, unit: OneShot, signal: AbortSignal): Promise<number> {
  const about = `run ${unit.argv[0] ?? "nothing"} on the host`;
  const call: Call = {
    ...systemd1,
    member: "StartTransientUnit",
    signature: "ssa(sv)a(sa(sv))",
    body: [unit.name, "fail", propertiesFor(unit), []],
  };
  try {
    // systemd itself ends it at its deadline; the wait for that is a little longer.
    const ended = await queued(connection, { call, about, deadlineMs: unit.deadlineMs + callDeadline }, signal);
    if (!ended.ok) throw new Error(about, { cause: ended.trouble });
    const path = await pathOf(connection, unit.name, signal);
    const properties = ["Result", "ExecMainCode", "ExecMainStatus"].map((property) => ({ path, kind: "Service", property }));
    const [result, how, status] = await getAll(connection, properties, signal);
    if (result === "timeout") throw new Error(`${about}: not finished after ${String(unit.deadlineMs / 1000)} s`);
    if (how === undefined || how === 0) throw new Error(`${about}: systemd could not start it (${String(result)})`);
    return how === exited ? Number(status) : 128 + Number(status);
  } finally {
    letGo(connection, unit.name);
  }
}

/** Ends it if it still runs, and gives back the reference; nobody waits for either. */
function letGo(connection: Connection, name: ServiceName): void {
  if (connection.lost.aborted) return;
  const calls = [
    { ...systemd1, member: "StopUnit", signature: "ss", body: [name, "replace"] },
    { ...systemd1, member: "UnrefUnit", signature: "s", body: [name] },
  ];
  connection.callAll(calls, callDeadline, AbortSignal.timeout(callDeadline)).catch(() => undefined);
}

function propertiesFor(unit: OneShot): readonly unknown[] {
  return [
    ["Description", variant("s", unit.description)],
    ["Type", variant("s", "oneshot")],
    // systemd would put variables into the arguments, as it does in unit files.
    ["ExecStartEx", variant("a(sasas)", [[unit.argv[0], unit.argv, ["no-env-expand"]]])],
    [
      "Environment",
      variant(
        "as",
        Object.entries(unit.environment).map(([name, value]) => `${name}=${value}`),
      ),
    ],
    ["StandardOutputFileToTruncate", variant("s", unit.stdout)],
    unit.stderr === undefined ? ["StandardError", variant("s", "inherit")] : ["StandardErrorFileToTruncate", variant("s", unit.stderr)],
    ["TimeoutStartUSec", variant("t", BigInt(unit.deadlineMs) * 1000n)],
    ["CollectMode", variant("s", "inactive-or-failed")],
    // Keeps the unit, and with it its exit code, until UnrefUnit or until the connection is gone.
    ["AddRef", variant("b", true)],
    ...(unit.bounds === undefined ? [] : boundsFor(unit.bounds)),
  ];
}

function boundsFor({ user, fileBytes, stopMs }: Bounds): readonly unknown[] {
  return [
    ...(user === undefined ? [] : [["User", variant("s", user)]]),
    ["LimitFSIZE", variant("t", BigInt(fileBytes))],
    ["TimeoutStopUSec", variant("t", BigInt(stopMs) * 1000n)],
    // Holds for systemd's own words on the unit too (systemd.exec(5); tried, 257): two lines for each probe would fill the journal.
    ["LogLevelMax", variant("i", 2)],
  ];
}

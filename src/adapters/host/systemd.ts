/** systemd by its D-Bus interface (org.freedesktop.systemd1(5)): states of services, jobs and their results, reload, one-shots. */

import { success, trouble, type Result } from "../../core/result.ts";
import type { Changes, Host } from "../../ports.ts";
import { Refusal, callDeadline, content, openBus, refusals, systemd1, within, type Call, type Connection } from "./bus.ts";
import { memoryLimits } from "./figures.ts";
import { queued, reasonFor, runOnce, type OneShot } from "./jobs.ts";
import { servicesOf } from "./states.ts";
import { openUnitChanges } from "./unit-changes.ts";

export interface SystemdOptions {
  /** As in DBUS_SESSION_BUS_ADDRESS: `unix:path=/run/dbus/system_bus_socket`, `unix:path=/run/user/1000/bus`. */
  readonly busAddress: string;
  readonly mode: "rootful" | "rootless";
}

export interface Systemd
  extends
    Pick<Host, "services" | "reload" | "job" | "enable" | "disable" | "enabled" | "resetFailed" | "managerEnvironment" | "memoryLimits">,
    AsyncDisposable {
  /** Throws with the reason when systemd can't be reached. */
  connect(signal: AbortSignal): Promise<void>;
  readonly changes: Changes;
  /** Runs a program as a transient unit until it ends, and gives its exit code. Throws if it does not end in time or could not be started. */
  oneshot(unit: OneShot, signal: AbortSignal): Promise<number>;
}

/** What shows a service's log when its name is put behind. */
export function logsCommand(mode: SystemdOptions["mode"]): string {
  return mode === "rootful" ? "journalctl -u" : "journalctl --user -u";
}

/** A reload runs all generators of the host, and each may take up to 90 s (systemd-system.conf(5)). */
const reloadDeadline = 180_000;
/** Far beyond any TimeoutStartSec= that makes sense, so that a job without one does not stop a pass for ever. */
const jobDeadline = 30 * 60_000;

export function openSystemd({ busAddress, mode }: SystemdOptions): Systemd {
  const bus = openBus(busAddress);
  const journal = logsCommand(mode);
  let lastReload: Promise<void> = Promise.resolve();

  return {
    changes: openUnitChanges(bus),

    async connect(signal) {
      await bus.connection(signal);
    },

    async services(names, signal) {
      const connection = await bus.connection(signal);
      return servicesOf(connection, names, signal);
    },

    reload(signal) {
      const turn = lastReload.then(async () => {
        const connection = await bus.connection(signal);
        await connection.call({ ...systemd1, member: "Reload" }, reloadDeadline, signal);
      });
      lastReload = turn.catch(() => undefined);
      return within(turn, undefined, [signal]);
    },

    async job(verb, service, signal) {
      const connection = await bus.connection(signal);
      const member = { start: "StartUnit", stop: "StopUnit", restart: "RestartUnit", "restart alone": "RestartUnit", reload: "ReloadUnit" }[
        verb
      ];
      // "replace", as systemctl does: a queued job that would do the opposite is cancelled.
      const call = { ...systemd1, member, signature: "ss", body: [service, verb === "restart alone" ? "ignore-dependencies" : "replace"] };
      const done = await queued(connection, { call, about: `${verb} ${service}`, deadlineMs: jobDeadline }, signal);
      if (done.ok) {
        if (done.value === "done" || done.value === "skipped") return success(undefined);
        // That it failed is certain, even where systemd can't be asked why any more.
        const why = await reasonFor(connection, service, done.value, signal).catch(() => `job ${done.value}`);
        return trouble(`${verb} ${service}: ${why}: see ${journal} ${service}`);
      }
      // What systemd does not know does not run.
      if (verb === "stop" && done.trouble.code === refusals.noSuchUnit) return success(undefined);
      return trouble(`${verb} ${service}: ${done.trouble.message.replace(/\.$/, "")}`);
    },

    async enable(service, signal) {
      // Not runtime only, and no link of somebody else's replaced.
      const call = { ...systemd1, member: "EnableUnitFiles", signature: "asbb", body: [[service], false, false] };
      return linking(await bus.connection(signal), { call, about: `enable ${service}` }, signal);
    },

    async disable(service, signal) {
      const call = { ...systemd1, member: "DisableUnitFiles", signature: "asb", body: [[service], false] };
      return linking(await bus.connection(signal), { call, about: `disable ${service}` }, signal);
    },

    async enabled(names, signal) {
      const connection = await bus.connection(signal);
      const calls = names.map((name) => ({ ...systemd1, member: "GetUnitFileState", signature: "s", body: [name] }));
      const answers = await connection.callAll(calls, callDeadline, signal);
      return new Set(names.filter((_, index) => isEnabled(answers[index])));
    },

    async resetFailed(service, signal) {
      const connection = await bus.connection(signal);
      const call = { ...systemd1, member: "ResetFailedUnit", signature: "s", body: [service] };
      const [answer] = await connection.callAll([call], callDeadline, signal);
      if (answer instanceof Refusal && answer.code !== refusals.noSuchUnit) throw answer;
    },

    async memoryLimits(names, signal) {
      return memoryLimits(await bus.connection(signal), names, signal);
    },

    async managerEnvironment(signal) {
      const connection = await bus.connection(signal);
      const get = { path: systemd1.path, interface: "org.freedesktop.DBus.Properties", member: "Get", signature: "ss" };
      const [answer] = await connection.call({ ...get, body: [systemd1.interface, "Environment"] }, callDeadline, signal);
      const assignments = content(answer) as readonly string[];
      return new Map(assignments.map((one) => [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)]));
    },

    async oneshot(unit, signal) {
      return runOnce(await bus.connection(signal), unit, signal);
    },

    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}

/** Changes `[Install]`'s links; systemd sees them at the next reload, which follows. */
async function linking(
  connection: Connection,
  { call, about }: { readonly call: Call; readonly about: string },
  signal: AbortSignal,
): Promise<Result<void, string>> {
  const [answer] = await connection.callAll([call], callDeadline, signal);
  return answer instanceof Refusal ? trouble(`${about}: ${answer.message.replace(/\.$/, "")}`) : success(undefined);
}

/** What is not there has no state, which is an error (NoSuchUnit, or ENOENT as FileNotFound). */
function isEnabled(answer: Refusal | readonly unknown[] | undefined): boolean {
  return answer !== undefined && !(answer instanceof Refusal) && (answer[0] === "enabled" || answer[0] === "alias");
}

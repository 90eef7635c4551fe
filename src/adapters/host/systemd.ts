/** systemd by its D-Bus interface (org.freedesktop.systemd1(5)): states of services, jobs and their results, reload, one-shots. */

import { success, trouble } from "../../core/result.ts";
import type { Host } from "../../ports.ts";
import { Refusal, callDeadline, openBus, refusals, systemd1, within } from "./bus.ts";
import { queued, reasonFor, runOnce, type OneShot } from "./jobs.ts";
import { servicesOf } from "./states.ts";

export interface SystemdOptions {
  /** As in DBUS_SESSION_BUS_ADDRESS: `unix:path=/run/dbus/system_bus_socket`, `unix:path=/run/user/1000/bus`. */
  readonly busAddress: string;
  readonly mode: "rootful" | "rootless";
}

export interface Systemd extends Pick<Host, "services" | "reload" | "job" | "resetFailed">, AsyncDisposable {
  /** Throws with the reason when systemd can't be reached. */
  connect(signal: AbortSignal): Promise<void>;
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
      const member = { start: "StartUnit", stop: "StopUnit", restart: "RestartUnit" }[verb];
      // "replace", as systemctl does: a queued job that would do the opposite is cancelled.
      const call = { ...systemd1, member, signature: "ss", body: [service, "replace"] };
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

    async resetFailed(service, signal) {
      const connection = await bus.connection(signal);
      const call = { ...systemd1, member: "ResetFailedUnit", signature: "s", body: [service] };
      const [answer] = await connection.callAll([call], callDeadline, signal);
      if (answer instanceof Refusal && answer.code !== refusals.noSuchUnit) throw answer;
    },

    async oneshot(unit, signal) {
      return runOnce(await bus.connection(signal), unit, signal);
    },

    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}

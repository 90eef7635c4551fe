/** What the host adapter does when the system's bus restarts under it. Only for a host that is thrown away afterwards. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";

import { openSystemd } from "../../../src/adapters/host/systemd.ts";
import { serviceName } from "../../../src/core/names.ts";

const never = new AbortController().signal;
const ssh = serviceName("ssh.service");
const slow = serviceName("slow.service");

test("after a restart of the bus the job that ran is said to be unknown, and the next call finds its way", async () => {
  mkdirSync("/run/systemd/system", { recursive: true });
  writeFileSync("/run/systemd/system/slow.service", "[Service]\nType=oneshot\nExecStart=/bin/sleep 3\n");
  await using systemd = openSystemd({ busAddress: "unix:path=/run/dbus/system_bus_socket", mode: "rootful" });
  await systemd.reload(never);
  const heard: unknown[] = [];
  const stop = new AbortController();
  const hearing = systemd.changes.hear(
    { known: (name) => (name === slow ? slow : undefined), heard: (one) => heard.push(one) },
    stop.signal,
  );
  const running = systemd.job("start", slow, never);
  const lost = assert.rejects(running, /start slow\.service: systemd could no longer be heard while the job ran, its result is unknown/);
  await systemd.services([ssh], never);

  // The daemon gets its socket from systemd, so a restart keeps it; moving it away as well is a bus that is away for a while.
  execFileSync("systemctl", ["stop", "dbus.socket", "dbus.service"]);
  await lost;
  await assert.rejects(systemd.services([ssh], never), /connect to systemd at unix:path=\/run\/dbus\/system_bus_socket/);
  execFileSync("systemctl", ["start", "dbus.socket"]);
  const states = await systemd.services([ssh], never);
  assert.equal(states.get(ssh)?.active, "active");
  assert.ok((await systemd.job("start", slow, never)).ok, "signals of jobs come through the new connection too");
  const again = Date.now() + 30_000;
  while (!heard.includes(undefined) && Date.now() < again) await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(heard.includes(undefined), "what was missed meanwhile is told as anything");
  heard.length = 0;
  await systemd.job("start", slow, never);
  assert.ok(heard.includes(slow), "and changes are heard by the new connection");
  stop.abort();
  await hearing;
});

/** Ports, paths and free space, as the machine that runs the test has them. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { openRoom, socketsIn } from "../../../src/adapters/host/room.ts";
import type { Run } from "../../../src/adapters/host/run.ts";
import { endpoint, endpointText } from "../../../src/core/endpoint.ts";

const never = new AbortController().signal;

/** In the place of the host: this machine. */
const run: Run = ([program = "", ...args]) =>
  new Promise((resolve) => {
    execFile(program, args, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });

test("what listens is found by its port and address, TCP and UDP, and no more when it has stopped", async () => {
  const room = openRoom(tmpdir(), run);
  const tcp = createServer().listen(0, "127.0.0.1");
  const udp = createSocket("udp4").bind(0, "0.0.0.0");
  await Promise.all([once(tcp, "listening"), once(udp, "listening")]);
  const address = tcp.address();
  assert.ok(typeof address === "object" && address !== null);
  const found = (await room.listening(never)).map(endpointText);
  const mine = [endpoint("tcp", "127.0.0.1", address.port), endpoint("udp", "0.0.0.0", udp.address().port)].map(endpointText);
  for (const one of mine) assert.ok(found.includes(one), `${one} in ${found.join(" ")}`);
  await Promise.all([once(tcp.close(), "close"), once(udp.close(), "close")]);
  const after = (await room.listening(never)).map(endpointText);
  for (const one of mine) assert.equal(after.includes(one), false);
});

test("the kernel's tables are read: who waits, not who talks", () => {
  const lines = (...entries: readonly string[]) =>
    [
      "  sl  local_address rem_address   st tx_queue …",
      ...entries.map((entry, at) => `   ${String(at)}: ${entry} 00000000:00000000`),
      "",
    ].join("\n");
  const read = (name: Parameters<typeof socketsIn>[0], ...entries: readonly string[]) =>
    socketsIn(name, lines(...entries)).map(endpointText);
  assert.deepEqual(read("tcp", "0100007F:1F90 00000000:0000 0A", "00000000:0016 00000000:0000 0A", "0100007F:1F91 0100007F:B0B0 01"), [
    "127.0.0.1:8080/tcp",
    "22/tcp",
  ]);
  const none = "00000000000000000000000000000000:0000";
  assert.deepEqual(
    read(
      "tcp6",
      `00000000000000000000000001000000:0050 ${none} 0A`,
      `0000000000000000FFFF00000100007F:0051 ${none} 0A`,
      `${none} ${none} 0A`,
    ),
    ["[::1]:80/tcp", "127.0.0.1:81/tcp", "[::]:0/tcp"],
  );
  assert.deepEqual(read("tcp6", `B80D0120000000000000000001000000:0050 ${none} 0A`), ["[2001:db8::1]:80/tcp"]);
  assert.deepEqual(read("udp", "3500007F:0035 00000000:0000 07", "0100007F:0036 0100007F:0035 01"), ["127.0.0.53:53/udp"]);
});

test("paths that are not there are told, whatever their names hold; a link that leads nowhere is not there", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "room-"));
  t.after(() => rm(directory, { recursive: true }));
  const there = join(directory, "a b$HOME'\"");
  await writeFile(there, "");
  await symlink(join(directory, "gone"), join(directory, "dangling"));
  const absent = [join(directory, "$(touch x) ${HOME}"), join(directory, "dangling"), join(directory, "-n")];
  assert.deepEqual(await openRoom(directory, run).missing([there, ...absent, directory], never), absent);
});

test("where the host can't look, that is an error and no answer", async () => {
  const broken: Run = () => Promise.resolve({ code: 203, stdout: "", stderr: "" });
  await assert.rejects(openRoom(tmpdir(), broken).missing(["/srv/x"], never), /exit 203/);
});

test("free space is more than nothing", async () => {
  assert.ok((await openRoom(tmpdir(), run).freeSpace(never)) > 0);
});

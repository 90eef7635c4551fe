/** SIGTERM while pgo waits for what does not answer, before it has begun: the process ends by itself, within the five seconds that it has. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** A home with a pgo.toml, and a bus and a Podman that take connections and never say a word. */
async function site(t: TestContext) {
  const home = mkdtempSync(join(tmpdir(), "pgo-ending-"));
  const runtime = join(home, "run");
  const settings = join(home, ".config/pgo");
  for (const directory of [settings, join(runtime, "podman")]) mkdirSync(directory, { recursive: true });
  writeFileSync(join(settings, "pgo.toml"), '[[source]]\nurl = "https://git.example.com/fleet.git"\n[metrics]\nlisten = "off"\n');
  const heard = Promise.withResolvers<true>();
  const servers = ["bus", "podman/podman.sock"].map((path) => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      heard.resolve(true);
    });
    server.listen(join(runtime, path));
    return server;
  });
  await Promise.all(servers.map((server) => once(server, "listening")));
  t.after(() => {
    for (const server of servers) server.close();
    rmSync(home, { recursive: true, force: true });
  });
  const state = join(home, ".local/share/pgo");
  return {
    state,
    heard: heard.promise,
    env: { PATH: process.env["PATH"], PGO_MODE: "rootless", PGO_HOME: home, XDG_RUNTIME_DIR: runtime },
  };
}

/** Starts pgo, and asks it to end when `moment` has come; killed where it has not after five seconds. */
async function ended(env: NodeJS.ProcessEnv, words: readonly string[], moment: Promise<unknown>) {
  const child = spawn(process.execPath, [main, ...words], { env, stdio: ["ignore", "pipe", "pipe"] });
  let told = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (piece: Buffer) => (told += piece.toString()));
  const exit = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  await Promise.race([moment, exit.then(([code]) => Promise.reject(new Error(`it ended by itself with ${String(code)}: ${told}`)))]);
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
  const [code, signal] = await exit;
  clearTimeout(timer);
  return { code, signal, told };
}

test("the daemon, while systemd's bus takes its connection and says nothing", async (t) => {
  const { env, heard } = await site(t);
  assert.deepEqual(await ended(env, ["run"], heard), { code: 0, signal: null, told: "" });
});

test("bootstrap, while systemd's bus says nothing", async (t) => {
  const { env, heard } = await site(t);
  assert.deepEqual(await ended(env, ["bootstrap"], heard), { code: 130, signal: null, told: "" });
});

test("a handover, while systemd's bus says nothing", async (t) => {
  const { env, state, heard } = await site(t);
  mkdirSync(state, { recursive: true });
  assert.deepEqual(await ended(env, ["handover", state], heard), { code: 130, signal: null, told: "" });
});

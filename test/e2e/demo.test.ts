/** `npm run demo` tells its story to the end, and leaves nothing behind when it is told to, or interrupted. */

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

const demo = fileURLToPath(new URL("../../scripts/demo.ts", import.meta.url));
const script = fileURLToPath(new URL("../host/host", import.meta.url));

interface Running {
  readonly child: ChildProcess;
  text(): string;
  /** The exit code. */
  ended(): Promise<number>;
}

function start(program: string, ...words: readonly string[]): Running {
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const closed = once(child, "close");
  return { child, text: () => text, ended: async () => ((await closed) as [number | null])[0] ?? -1 };
}

/** A demo with a host of its own, so that one that a person keeps is left alone. */
function startDemo(t: TestContext, name: string): Running {
  const running = start(process.execPath, demo, "--down", "--name", name);
  t.after(async () => {
    running.child.kill("SIGKILL");
    await start(script, "down", name).ended();
  });
  return running;
}

async function hosts(): Promise<readonly string[]> {
  const list = start(script, "list");
  await list.ended();
  return list
    .text()
    .split("\n")
    .map((line) => line.split("\t")[0] ?? "");
}

test("the demo installs pgo, deploys a commit, shows a refusal and a rollback, and takes its host down", async (t) => {
  const name = `demo-${String(process.pid)}`;
  const running = startDemo(t, name);
  assert.equal(await running.ended(), 0, running.text());
  const told = running
    .text()
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => /^<h1>|^hello +(?:healthy|deployed|rejected|rolled-back)|did you mean/.test(line))
    .map((line) => line.replace(/ just now .*/, ""));
  const [first, second] = ["<h1>Hello from Git.</h1>", "<h1>Hello from a second commit.</h1>"];
  assert.deepEqual(told, [
    "hello  healthy  deployed ",
    first,
    "hello  deployed",
    second,
    "hello  rejected",
    "hello/hello.container:11: unsupported key 'PublishPorts' in group 'Container' (did you mean PublishPort?)",
    second,
    "hello  rolled-back",
    second,
    "hello  rolled-back",
  ]);
  assert.ok(!(await hosts()).includes(name));
});

test("Ctrl-C ends the demo and takes its host down", async (t) => {
  const name = `demo-broken-off-${String(process.pid)}`;
  const running = startDemo(t, name);
  running.child.stdout?.on("data", () => {
    if (running.text().includes("it is up")) running.child.kill("SIGINT");
  });
  assert.equal(await running.ended(), 130, running.text());
  assert.match(running.text(), /it is up.*ended by SIGINT: taking demo-broken-off-\d+ down\n$/s);
  assert.ok(!(await hosts()).includes(name));
});

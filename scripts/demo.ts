/** `npm run demo`: pgo on a disposable test host, from the installation to a commit that is undone, told step by step. */

import { spawn } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import type { StatusReport } from "../src/core/report.ts";
import { missing, thisMachine } from "./needs.ts";

const checkout = fileURLToPath(new URL("../", import.meta.url));
const script = `${checkout}test/host/host`;

/** Where the story is told, and in which host it plays. */
interface Stage {
  readonly name: string;
  readonly colour: boolean;
  readonly signal: AbortSignal;
}

/** What is typed, and the exit code that it is to have. */
interface Typed {
  readonly command: string;
  readonly exit: number;
}
const typed = (command: string, exit = 0): Typed => ({ command, exit });

const page = typed("curl --silent http://127.0.0.1:8080/ | grep -o '<h1>.*</h1>'");
const sync = (exit: number): Typed => typed("podman exec pgo ctl sync --wait", exit);
const push = (message: string): Typed => typed(`git commit --quiet --all --message "${message}" && git push --quiet`);

/** Exit codes of `ctl plan` and `ctl sync --wait`. */
const [pending, refused] = [4, 3];

async function story(stage: Stage): Promise<void> {
  chapter("1  A host boots: Debian with systemd and Podman, in namespaces of this machine", stage);
  await timed("it is up", () => host(["up", stage.name, "--fresh"], stage));
  await timed("pgo's image, built from this checkout, is there", () => host(["image", stage.name], stage));
  await host(["copy", stage.name, `${checkout}quadlet`, "/opt/pgo/quadlet"], stage);

  chapter("2  One command installs pgo, which deploys the example that it carries", stage);
  await type([typed("/opt/pgo/quadlet/install.sh")], stage);
  await type([page], stage);

  chapter("3  A commit changes the greeting: planned, rolled out, checked", stage);
  const greeting = typed('echo "Hello from a second commit." >hello/greeting.txt');
  await type([typed("git clone --quiet /var/lib/pgo/example.git hello"), greeting, push("A new greeting")], stage);
  await type([typed("podman exec pgo ctl plan", pending)], stage);
  await type([sync(0)], stage);
  await type([page], stage);

  chapter("4  A commit with a mistyped key is refused, and the host is not touched", stage);
  await type([typed("sed -i s/PublishPort=/PublishPorts=/ hello/hello.container"), push("Publish the port")], stage);
  await type([sync(refused)], stage);
  await type([page], stage);

  chapter("5  A commit that starts, but is not ready within its deadline, is undone", stage);
  await type([typed("git revert --no-edit HEAD >/dev/null")], stage);
  const fault = typed(`sed -i 's, || request.url === "/ready" ?, ?,' hello/page.mjs`);
  await type([fault, typed(`echo 'deadline = "10s"' >>hello/pgo.toml`), push("Answer less")], stage);
  await watched(() => type([sync(refused)], stage), stage);
  await type([page], stage);

  chapter("6  It is not tried again, and the history says why", stage);
  await type([sync(refused)], stage);
  await type([typed("podman exec pgo ctl history")], stage);
}

/** Tells each phase of the rollout that a command waits for. */
async function watched(command: () => Promise<void>, stage: Stage): Promise<void> {
  const began = performance.now();
  let over = false;
  const watch = async () => {
    let last: string | undefined;
    while (!over) {
      const { code, text } = await run([script, "exec", stage.name, "--", "podman", "exec", "pgo", "ctl", "status", "--json"], stage);
      const phase: string | undefined = code === 0 ? ((JSON.parse(text) as StatusReport).applications[0]?.phase ?? undefined) : last;
      if (phase !== undefined && phase !== last) print(paint(`  … ${phase} (${since(began)})`, "dim", stage));
      last = phase;
      await pause(200, undefined, { signal: stage.signal });
    }
  };
  const end = async () => {
    await command();
    over = true;
  };
  await Promise.all([end(), watch()]);
}

/** Prints commands, runs them in the host, in the clone once there is one, and prints what they say. Throws at an exit code that is not in the story. */
async function type(commands: readonly Typed[], stage: Stage): Promise<void> {
  print("");
  const author = ["user.name", "Demo", "user.email", "demo@example.com"];
  for (const { command, exit } of commands) {
    print(`  ${paint("#", "dim", stage)} ${paint(command, "bold", stage)}`);
    const shell = `set -o pipefail; [ ! -d hello ] || { cd hello && git config "$0" "$1" && git config "$2" "$3"; }; ${command}`;
    const words = [script, "exec", stage.name, "--", "bash", "-c", shell, ...author];
    const { code } = await run(words, stage, (line) => {
      print(line === "" ? "" : `  ${line}`);
    });
    if (code !== exit) throw new Error(`${command}: exit ${String(code)}, not ${String(exit)}`);
  }
}

/** The test host's own script. Its first run on a machine takes a few minutes and says what it does. */
async function host(words: readonly string[], stage: Stage): Promise<void> {
  const { code } = await run([script, ...words], stage, (line) => {
    print(paint(`  ${line}`, "dim", stage));
  });
  if (code !== 0) throw new Error(`test/host/host ${words.join(" ")}: exit ${String(code)}`);
}

async function timed(what: string, work: () => Promise<void>): Promise<void> {
  const began = performance.now();
  await work();
  print(`  ${what} (${since(began)})`);
}

interface Ended {
  readonly code: number;
  /** Both outputs. */
  readonly text: string;
}

/** Runs a program and tells its lines as they come. When the signal is aborted the program is asked to end, and its end is waited for. */
function run([program = "", ...words]: readonly string[], { signal }: Stage, tell?: (line: string) => void): Promise<Ended> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    // A process group of its own: Ctrl-C reaches the demo alone, and nsenter passes no signals on.
    const child = spawn(program, words, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
    const end = () => {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGTERM");
    };
    signal.addEventListener("abort", end, { once: true });
    let text = "";
    let told = 0;
    const tellLines = () => {
      for (let end = text.indexOf("\n", told); end >= 0; end = text.indexOf("\n", told)) {
        tell?.(text.slice(told, end));
        told = end + 1;
      }
    };
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
        tellLines();
      });
    child.on("error", reject);
    child.on("close", (code) => {
      signal.removeEventListener("abort", end);
      if (signal.aborted) reject(signal.reason as Error);
      else resolve({ code: code ?? 1, text });
    });
  });
}

function chapter(title: string, stage: Stage): void {
  print(`\n${paint(title, "bold", stage)}`);
}

function paint(text: string, tone: "bold" | "dim", { colour }: Stage): string {
  return colour ? `\u001b[${tone === "bold" ? "1" : "2"}m${text}\u001b[0m` : text;
}

const since = (began: number): string => `${((performance.now() - began) / 1000).toFixed(1)} s`;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

const usage = `usage: npm run demo [-- --down] [-- --name NAME]

  --down        take the host down at the end (else it stays, to look around)
  --name NAME   another name for the host than pgo-demo
`;

const farewell = (name: string): string => `
The host stays up, with the last commit in quarantine. To look around:

  test/host/host exec ${name} -- bash                          a shell on it; the clone is /root/hello
  test/host/host exec ${name} -- podman exec pgo ctl status    and plan, history, show 3, events, --help
  test/host/host exec ${name} -- journalctl -u pgo.service     pgo's log
  test/host/host exec ${name} -- curl -s 127.0.0.1:9180/metrics
  test/host/host down ${name}                                  take it down
`;

/** Answers the exit code. */
async function main(words: readonly string[]): Promise<number> {
  const options = {
    name: { type: "string", default: "pgo-demo" },
    down: { type: "boolean", default: false },
    help: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args: [...words], options });
  if (values.help === true) {
    print(usage);
    return 0;
  }
  const lack = missing(thisMachine());
  if (lack !== undefined) {
    console.error(lack);
    return 2;
  }
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.on(signal, () => {
      stop.abort(new Error(`ended by ${signal}`));
    });
  const stage: Stage = { name: values.name, colour: process.stdout.isTTY && process.env["NO_COLOR"] === undefined, signal: stop.signal };
  const down = () => run([script, "down", values.name], { ...stage, signal: new AbortController().signal });
  const began = performance.now();
  try {
    await story(stage);
  } catch (error) {
    print(`\n${error instanceof Error ? error.message : String(error)}: taking ${values.name} down`);
    await down();
    return stop.signal.aborted ? 130 : 1;
  }
  print(`\nThe whole took ${since(began)}.`);
  if (values.down) await down();
  else print(farewell(values.name));
  return 0;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));

/** Probes: one HTTP request, one TCP connection or one command in a container or on the host, and what it says about a unit. */

import { connect } from "node:net";

import type { Probe, Sample } from "../../core/health.ts";
import type { Result } from "../../core/result.ts";
import type { Clock, ContainerCommand, Executed, HostCommands, Podman, Prober } from "../../ports.ts";
import { askHttp, type ReadSecret } from "./http.ts";
import { fail, findingOf, pass, unasked, type Finding } from "./trouble.ts";

type TcpProbe = Extract<Probe, { kind: "tcp" }>;
type CommandProbe = Extract<Probe, { kind: "command" }>;

export interface ProberParts {
  readonly clock: Clock;
  readonly podman: Pick<Podman, "exec">;
  readonly host: HostCommands;
  readonly secret: ReadSecret;
}

/** How far is read for `expect`, and of what a command writes. */
const talkLimit = 64 * 1024;
const outputLimit = 16 * 1024;

/** A timeout that comes this late, in milliseconds, tells of a pgo that was not running, not of the unit. */
const stall = 500;

/**
 * Every probe is a connection of its own. HTTP: redirects and certificates as the probe says. TCP: that it connects; behind a
 * rootless port forwarder the forwarder may be what accepts, so `expect` says more. Command: its exit code, and what it writes.
 * `Sample.at` is when the answer was there. No secret is in a message, but what a command writes may be.
 */
export function openProber({ clock, podman, host, secret }: ProberParts): Prober {
  const ask = (probe: Probe, timeout: number, within: AbortSignal): Promise<Finding> => {
    switch (probe.kind) {
      case "http":
        return askHttp(probe, secret, within);
      case "tcp":
        return askTcp(probe, within);
      case "command":
        return askCommand(probe, (command) =>
          probe.on === "host" ? host.runOnHost(command, timeout, within) : podman.exec(probe.container, command, within),
        );
    }
  };
  return {
    async probe(probe, timeout, signal): Promise<Sample> {
      signal.throwIfAborted();
      const finding = await limited(probe, timeout, (within) => ask(probe, timeout, within), signal);
      return { at: clock.now(), ...finding };
    },
  };
}

/** Turns errors and the time limit into findings; throws only the signal's reason. */
async function limited(
  probe: Probe,
  timeout: number,
  ask: (within: AbortSignal) => Promise<Finding>,
  signal: AbortSignal,
): Promise<Finding> {
  const begun = performance.now();
  // One for this probe alone: what Node hangs on a signal that lives on, or on an AbortSignal.any() of it, stays in memory.
  const within = new AbortController();
  const end = () => {
    within.abort();
  };
  signal.addEventListener("abort", end, { once: true });
  const timer = setTimeout(end, timeout);
  const told = (finding: Finding): Finding =>
    finding.result === "pass" ? finding : { ...finding, message: `${subjectOf(probe)}: ${finding.message}` };
  try {
    return told(await ask(within.signal));
  } catch (error) {
    signal.throwIfAborted();
    const late = performance.now() - begun - timeout;
    if (!within.signal.aborted) return told(probe.kind === "command" ? unasked(sentenceOf(error)) : findingOf(error));
    if (late > stall) return told(unasked(`pgo itself stood still for ${duration(late)}`));
    // Podman has no call that ends what runs in a container (5.8); it is not started again while it runs.
    const rest = probe.kind === "command" ? (probe.on === "host" ? "; it was ended" : "; it runs on in the container") : "";
    return told(fail(`no answer within ${duration(timeout)}${rest}`));
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}

function askTcp({ host, port, send, expect }: TcpProbe, signal: AbortSignal): Promise<Finding> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, signal });
    const done = (finding: Finding) => {
      socket.destroy();
      resolve(finding);
    };
    let heard = Buffer.alloc(0);
    socket.on("error", reject).on("connect", () => {
      // Where nobody listens on a port that the kernel gives to clients, a connection may get that same port and meet itself.
      const itself = socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress;
      if (itself) done(fail("connection refused"));
      else if (expect === undefined && send === undefined) done(pass);
      else if (send === undefined) return;
      else
        socket.write(send, () => {
          if (expect === undefined) done(pass);
        });
    });
    if (expect === undefined) return;
    const missing = `${JSON.stringify(expect)} did not come`;
    socket
      .on("data", (chunk: Buffer) => {
        heard = Buffer.concat([heard, chunk]).subarray(0, talkLimit);
        if (heard.includes(expect)) done(pass);
        else if (heard.length === talkLimit) done(fail(`${missing} within ${String(talkLimit / 1024)} KiB`));
      })
      .on("end", () => {
        done(fail(`${missing}: the other side has ended the connection`));
      });
  });
}

async function askCommand(
  { run, user, exit, contains }: CommandProbe,
  execute: (command: ContainerCommand) => Promise<Result<Executed, string>>,
): Promise<Finding> {
  const ran = await execute({ run, user, limit: outputLimit });
  if (!ran.ok) return fail(ran.trouble);
  const { code, output } = ran.value;
  // What it says last says why, mostly.
  const last = output.trim().split(/\r?\n/).at(-1)?.trim() ?? "";
  const said = last === "" ? "" : `: ${last.length > 200 ? `${last.slice(0, 200)}…` : last}`;
  if (!exit.includes(code)) return fail(`exit ${String(code)}${said}`);
  if (contains === undefined || output.includes(contains)) return pass;
  return fail(`exit ${String(code)}, but ${JSON.stringify(contains)} is not in what it wrote`);
}

/** "GET http://127.0.0.1:8080/ready", "run pg_isready -q"; what may be a secret in an address is ***. */
function subjectOf(probe: Probe): string {
  switch (probe.kind) {
    case "http":
      return `${probe.method} ${shown(probe.url)}`;
    case "tcp":
      return `connect ${probe.host.includes(":") ? `[${probe.host}]` : probe.host}:${String(probe.port)}`;
    case "command": {
      const line = (probe.run[0] === "sh" && probe.run[1] === "-c" ? probe.run.slice(2) : probe.run).join(" ").replace(/\s+/g, " ");
      return `run ${probe.on === "host" ? "on the host " : ""}${line.length > 100 ? `${line.slice(0, 100)}…` : line}`;
    }
  }
}

function shown(url: string): string {
  return url.replace(/\/\/[^/?#]*@/, "//***@").replace(/([?&][^=&#]*(?:token|key|secret|pass|auth|sig)[^=&#]*=)[^&#]*/gi, "$1***");
}

const sentenceOf = (error: unknown) => (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").trim();

const duration = (ms: number) => (ms < 1000 ? `${String(Math.round(ms))} ms` : `${String(Math.round(ms / 100) / 10)} s`);

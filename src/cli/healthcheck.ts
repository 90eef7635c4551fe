/** `pgo healthcheck`: the health command of pgo's own quadlet; cheap, since Podman runs it all day. */

import { ask, type Question } from "./client.ts";
import { exit, type CtlEdge, type ExitCode, type Terminal } from "./ctl.ts";

/** Below the quadlet's HealthTimeout=, so that a hung pgo is told as such. */
const question: Question = { method: "GET", path: "/v1/alive", patience: 8000 };

/** 0 while the loop is alive and the state can be written, else 1 and why: podman-healthcheck-run(1) knows no other codes. */
export async function healthcheck(
  edge: Pick<CtlEdge, "socket" | "configuredSocket">,
  terminal: Pick<Terminal, "err">,
  signal: AbortSignal,
): Promise<ExitCode> {
  let answer = await ask(edge.socket, question, signal);
  if (answer.kind === "absent") {
    const configured = await edge.configuredSocket();
    if (configured !== undefined && configured !== edge.socket) answer = await ask(configured, question, signal);
  }
  if (answer.kind === "ok") return exit.done;
  terminal.err(`${answer.kind === "absent" ? `no answer at ${edge.socket}` : answer.reason}\n`);
  return exit.failed;
}

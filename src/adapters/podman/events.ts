/** What happens to containers, as Podman's event stream tells it: a health check that turns, a container that ends inside its unit. */

import { request, type IncomingMessage } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

import type { Changes, Ears } from "../../ports.ts";
import { isRecord } from "./answers.ts";
import { prefix } from "./socket.ts";

/** Between two tries to listen again, doubling, in milliseconds. */
const pauses = { first: 1000, longest: 60_000 };
/** Of one event, in characters; one that is longer is no event. */
const longestLine = 64 * 1024;
/** Containers whose health is remembered. */
const mostContainers = 2000;

/**
 * Events of containers only; exec is left out, which each command probe causes. Podman 5.4 takes a label as a filter only with its value, so
 * whose container it is, is seen here.
 */
const filters = JSON.stringify({ type: ["container"], event: ["died", "start", "health_status", "oom", "remove"] });

/** One connection for as long as it is heard; meanwhile podman.service does not end for idleness, which takes some 50 MB (5.4.2). */
export function openContainerChanges(socketPath: string): Changes {
  return {
    async hear(ears, signal) {
      const health = new Map<string, string>();
      let wait = pauses.first;
      for (let time = 0; !signal.aborted; time++) {
        const connected = () => {
          health.clear();
          if (time > 0) ears.heard(undefined);
        };
        const heard = (line: string) => {
          wait = pauses.first;
          hear(line, health, ears);
        };
        await listen({ socketPath, connected, heard }, signal).catch(() => undefined);
        await pause(wait, undefined, { signal }).catch(() => undefined);
        wait = Math.min(wait * 2, pauses.longest);
      }
    },
  };
}

interface Listener {
  readonly socketPath: string;
  readonly connected: () => void;
  readonly heard: (line: string) => void;
}

/** Ends when the connection does. Podman sends the head of its answer only with the first event (5.4.2), so there is no deadline for it. */
async function listen({ socketPath, connected, heard }: Listener, signal: AbortSignal): Promise<void> {
  // One for this connection alone: what Node hangs on a signal that lives on stays in memory.
  const within = new AbortController();
  const end = () => {
    within.abort();
  };
  signal.addEventListener("abort", end, { once: true });
  try {
    const path = `${prefix}/events?${new URLSearchParams({ stream: "true", filters }).toString()}`;
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ socketPath, path, headers: { Host: "d" }, agent: false, signal: within.signal })
        .on("socket", (socket) => socket.once("connect", connected))
        .on("response", resolve)
        .on("error", reject)
        .end();
    });
    if (answer.statusCode !== 200) return;
    answer.setEncoding("utf8");
    let rest = "";
    for await (const piece of answer as AsyncIterable<string>) {
      const lines = (rest + piece).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line !== "") heard(line);
      if (rest.length > longestLine) return;
    }
  } finally {
    signal.removeEventListener("abort", end);
    within.abort();
  }
}

/** Podman tells each health check: only one that ends otherwise than the last says something. The first that is heard of is news if it is bad. */
function hear(line: string, health: Map<string, string>, ears: Ears): void {
  const { id, action, service: unit, status } = eventIn(line);
  const service = ears.known(unit);
  if (service === undefined) return;
  if (action !== "health_status") {
    if (action === "remove") health.delete(id);
    ears.heard(service);
    return;
  }
  const before = health.get(id) ?? "healthy";
  if (health.size >= mostContainers) health.clear();
  health.set(id, status);
  if (status !== before) ears.heard(service);
}

function eventIn(line: string): { readonly id: string; readonly action: string; readonly service: string; readonly status: string } {
  const event = parsed(line);
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  const actor = isRecord(event["Actor"]) ? event["Actor"] : {};
  const attributes = isRecord(actor["Attributes"]) ? actor["Attributes"] : {};
  return {
    id: text(actor["ID"]),
    action: text(event["Action"]),
    service: text(attributes["PODMAN_SYSTEMD_UNIT"]),
    status: text(event["HealthStatus"]),
  };
}

function parsed(line: string): Readonly<Record<string, unknown>> {
  try {
    const event = JSON.parse(line) as unknown;
    return isRecord(event) ? event : {};
  } catch {
    return {};
  }
}

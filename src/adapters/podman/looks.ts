/** Closer looks at one container: where the host reaches it, and what it has written. */

import type { PortMapping } from "../../core/addresses.ts";
import type { ContainerFigures } from "../../core/resources.ts";
import type { Podman } from "../../ports.ts";
import { expect, isRecord, parsed } from "./answers.ts";
import { unframed } from "./exec.ts";
import type { Ask } from "./socket.ts";

/** A rootless Podman's networks are in a namespace of their own, which the host does not reach (podman-network(1)). */
export function openLooks(ask: Ask, mode: "rootful" | "rootless"): Pick<Podman, "address" | "logs" | "stats"> {
  const inspect = async (container: string, signal: AbortSignal) => {
    const look = { action: `inspect container ${container.slice(0, 12)}`, method: "GET" } as const;
    const answer = await ask({ ...look, path: `/containers/${encodeURIComponent(container)}/json` }, signal);
    if (answer.status === 404) return undefined;
    const found = answer.status === 200 ? parsed(look, answer) : undefined;
    expect(isRecord(found), look, answer);
    return found;
  };
  return {
    async address(container, signal) {
      const { network, address } = networkOf(await inspect(container, signal));
      if (network === "host") return "127.0.0.1";
      // A pod's member shows its pod's addresses, but not whether the pod is on the host's network (5.4 and 5.8).
      const owner = /^container:(.+)$/.exec(network)?.[1];
      if (address === undefined && owner !== undefined)
        return networkOf(await inspect(owner, signal)).network === "host" ? "127.0.0.1" : undefined;
      return mode === "rootful" ? address : undefined;
    },

    // Not as a stream: that waits a second for the CPU's share of it, which is known better from one sample to the next.
    async stats(signal) {
      const look = { action: "read what containers use", method: "GET", path: "/containers/stats?stream=false" } as const;
      const answer = await ask(look, signal);
      const found = answer.status === 200 ? parsed(look, answer) : undefined;
      expect(isRecord(found) && Array.isArray(found["Stats"]), look, answer);
      return new Map((found["Stats"] as readonly unknown[]).flatMap(figuresOf));
    },

    async logs(container, lines, signal) {
      const look = { action: `read the log of container ${container.slice(0, 12)}`, method: "GET", beginning: logLimit } as const;
      const query = new URLSearchParams({ stdout: "true", stderr: "true", tail: String(lines) });
      const answer = await ask({ ...look, path: `/containers/${encodeURIComponent(container)}/logs?${query.toString()}` }, signal);
      if (answer.status === 404) return [];
      expect(answer.status === 200, look, answer);
      return linesIn(unframed(answer.bytes)).slice(-lines);
    },
  };
}

/**
 * Without the memory controller Podman says 0 of memory, which nothing that runs uses, and the host's memory as the limit, as where there
 * is none (5.4). The CPU's time the kernel counts without its controller too.
 */
function figuresOf(one: unknown): readonly (readonly [string, ContainerFigures])[] {
  if (!isRecord(one) || typeof one["ContainerID"] !== "string") return [];
  const figure = (name: string) => (typeof one[name] === "number" && one[name] > 0 ? one[name] : undefined);
  const cpu = figure("CPUNano");
  return [
    [
      one["ContainerID"],
      { memory: figure("MemUsage"), memoryLimit: figure("MemLimit"), cpuSeconds: cpu === undefined ? undefined : cpu / 1e9 },
    ],
  ];
}

/** Of 40 lines, in bytes: journald takes lines of 48 KiB. */
const logLimit = 2 * 1024 * 1024;

function linesIn(text: string): readonly string[] {
  return text.split(/\r?\n/).filter((line) => line.trim() !== "");
}

/** `null` where nothing is published; ports that Podman chose are in it (5.4 and 5.8). */
export function portsOf(ports: unknown): readonly PortMapping[] {
  return (Array.isArray(ports) ? (ports as readonly unknown[]) : []).flatMap((one): readonly PortMapping[] => {
    if (!isRecord(one)) return [];
    const { host_ip: address, container_port: container, host_port: host, range, protocol } = one;
    if (typeof container !== "number" || typeof host !== "number") return [];
    return [
      {
        ...{ container, host, range: typeof range === "number" ? range : 1 },
        address: typeof address === "string" ? address : "",
        protocol: typeof protocol === "string" ? protocol : "tcp",
      },
    ];
  });
}

/** How a container is connected, and the first address that it has on a network. */
function networkOf(found: unknown): { readonly network: string; readonly address: string | undefined } {
  const [host, settings] = isRecord(found) ? [found["HostConfig"], found["NetworkSettings"]] : [];
  const network = isRecord(host) && typeof host["NetworkMode"] === "string" ? host["NetworkMode"] : "";
  const networks = isRecord(settings) && isRecord(settings["Networks"]) ? Object.values(settings["Networks"]) : [];
  const addresses = networks.flatMap((one) => (isRecord(one) ? [one["IPAddress"], one["GlobalIPv6Address"]] : []));
  return { network, address: addresses.find((one): one is string => typeof one === "string" && one !== "") };
}

/** Where the host reaches what a probe asks: the host's port of a container's, or an address of the container's own. */

import type { Probe, WantedProbe } from "./health.ts";
import { success, trouble, type Result } from "./result.ts";

/** A range of ports that a container publishes. */
export interface PortMapping {
  readonly container: number;
  readonly host: number;
  /** Ports in the range; 1 for one. */
  readonly range: number;
  /** Of the host; empty: all of them. */
  readonly address: string;
  readonly protocol: string;
}

/** What is known of a unit's container at the moment. */
export interface Whereabouts {
  /** Undefined where there is none, as of a plain service. */
  readonly container: { readonly id: string; readonly ports: readonly PortMapping[] } | undefined;
  /** Of the container's own, reached from the host; undefined where there is none, or it was not asked for. */
  readonly address: string | undefined;
}

/** Whether a probe can be addressed only with the container's own address. */
export function needsAddress(probe: WantedProbe, { container }: Pick<Whereabouts, "container">): boolean {
  if (probe.kind === "command" || container === undefined) return false;
  if (probe.kind === "http") return probe.url === undefined && published(probe.port, container.ports) === undefined;
  return probe.host === undefined && [published, publishedAs].every((find) => find(probe.port, container.ports) === undefined);
}

/**
 * A port is the container's, wherever the host has it: the published one; without that, the container's own address. For TCP a number that
 * nobody publishes may also be one that the host listens on by another's doing (a proxy, a pod): that is the last resort, on 127.0.0.1.
 */
export function addressed(probe: WantedProbe, { container, address }: Whereabouts): Result<Probe, string> {
  if (probe.kind === "command") {
    if (probe.on === "host") return success({ ...probe, on: "host" });
    if (container === undefined) return trouble("the unit has no container that runs");
    return success({ ...probe, on: "container", container: container.id });
  }
  if (probe.kind === "tcp") {
    if (probe.host !== undefined) return success({ ...probe, host: probe.host });
    const found = published(probe.port, container?.ports ?? []) ?? publishedAs(probe.port, container?.ports ?? []);
    return success({ ...probe, ...(found ?? { host: address ?? "127.0.0.1", port: probe.port }) });
  }
  if (probe.url !== undefined) return success({ ...probe, url: probe.url });
  const { port, path, scheme, ...request } = probe;
  const found = published(port, container?.ports ?? []) ?? (address === undefined ? undefined : { host: address, port });
  if (found !== undefined) return success({ ...request, url: `${scheme}://${bracketed(found.host)}:${String(found.port)}${path}` });
  const reason =
    container === undefined ? "it has no container: write url" : "the container does not publish it, and the host can't reach its network";
  return trouble(`port ${String(port)} can't be asked: ${reason}${container === undefined ? "" : ": use a command, or publish the port"}`);
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

interface Place {
  readonly host: string;
  readonly port: number;
}

/** Where a port of the container is on the host. */
function published(port: number, ports: readonly PortMapping[]): Place | undefined {
  const one = ports.find(({ container, range, protocol }) => protocol === "tcp" && container <= port && port < container + range);
  return one && { host: reachable(one.address), port: one.host + port - one.container };
}

/** The same by the host's number. */
function publishedAs(port: number, ports: readonly PortMapping[]): Place | undefined {
  const one = ports.find(({ host, range, protocol }) => protocol === "tcp" && host <= port && port < host + range);
  return one && { host: reachable(one.address), port };
}

/** What listens on every address is asked on the loopback's. */
function reachable(address: string): string {
  if (address === "" || address === "0.0.0.0") return "127.0.0.1";
  return address === "::" ? "::1" : address;
}

/** Where the host reaches a port that a probe names. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { addressed, needsAddress, type PortMapping, type Whereabouts } from "../../src/core/addresses.ts";
import type { WantedProbe } from "../../src/core/health.ts";
import { httpProbe } from "./probe.ts";

const http = (port: number, more: object = {}): WantedProbe => ({
  ...httpProbe,
  url: undefined,
  port,
  path: "/ready",
  scheme: "http",
  ...more,
});
const tcp = (port: number, host?: string): WantedProbe => ({ kind: "tcp", host, port, send: undefined, expect: undefined });

const mapping = (host: number, container: number, more: Partial<PortMapping> = {}): PortMapping => ({
  ...{ host, container, range: 1, address: "", protocol: "tcp" },
  ...more,
});
const at = (ports: readonly PortMapping[], address?: string): Whereabouts => ({ container: { id: "c1", ports }, address });

function place(probe: WantedProbe, whereabouts: Whereabouts): string {
  const found = addressed(probe, whereabouts);
  if (!found.ok) return found.trouble;
  const { value } = found;
  return value.kind === "http"
    ? value.url
    : value.kind === "tcp"
      ? `${value.host} ${value.port}`
      : value.on === "host"
        ? "host"
        : value.container;
}

suite("a port is the container's, wherever the host has it", () => {
  for (const [what, probe, whereabouts, expected] of [
    ["published elsewhere", http(80), at([mapping(8080, 80)]), "http://127.0.0.1:8080/ready"],
    ["in a range", http(82), at([mapping(8080, 80, { range: 5 })]), "http://127.0.0.1:8082/ready"],
    ["on one address of the host", http(80), at([mapping(8080, 80, { address: "192.0.2.7" })]), "http://192.0.2.7:8080/ready"],
    ["on all of IPv6", http(80, { scheme: "https" }), at([mapping(8080, 80, { address: "::" })]), "https://[::1]:8080/ready"],
    ["published, and a network of its own", http(80), at([mapping(8080, 80)], "10.88.0.2"), "http://127.0.0.1:8080/ready"],
    ["for UDP only", http(53), at([mapping(5353, 53, { protocol: "udp" })], "10.88.0.2"), "http://10.88.0.2:53/ready"],
    ["not published, on a network of its own", http(80), at([], "10.88.0.2"), "http://10.88.0.2:80/ready"],
    [
      "not published, not reached",
      http(80),
      at([mapping(8080, 81)]),
      "port 80 can't be asked: the container does not publish it, and the host can't reach its network: use a command, or publish the port",
    ],
    ["of no container", http(80), { container: undefined, address: undefined }, "port 80 can't be asked: it has no container: write url"],
    ["published elsewhere, for TCP", tcp(5432), at([mapping(15432, 5432)]), "127.0.0.1 15432"],
    ["the host's own number, for TCP", tcp(15432), at([mapping(15432, 5432, { address: "192.0.2.7" })]), "192.0.2.7 15432"],
    ["both, for TCP: the container's", tcp(80), at([mapping(8080, 80), mapping(80, 9999)]), "127.0.0.1 8080"],
    ["not published, for TCP", tcp(5432), at([], "10.88.0.2"), "10.88.0.2 5432"],
    ["not published, not reached, for TCP", tcp(5432), at([]), "127.0.0.1 5432"],
    ["of no container, for TCP", tcp(5432), { container: undefined, address: undefined }, "127.0.0.1 5432"],
    ["with a host named, for TCP", tcp(80, "db.example"), at([mapping(8080, 80)]), "db.example 80"],
  ] as const)
    test(what, () => {
      assert.equal(place(probe, whereabouts), expected);
    });

  test("a whole address stays as it is", () => {
    assert.equal(place({ ...httpProbe, url: "http://a/" }, at([mapping(8080, 80)])), "http://a/");
  });

  test("a command goes into the container, if one runs", () => {
    const command: WantedProbe = { kind: "command", on: "container", run: ["true"], user: undefined, exit: [0], contains: undefined };
    assert.equal(place(command, at([])), "c1");
    assert.equal(place(command, { container: undefined, address: undefined }), "the unit has no container that runs");
    assert.equal(place({ ...command, on: "host" }, { container: undefined, address: undefined }), "host");
  });
});

test("a container is asked for its own address only where nothing else will do", () => {
  const { container } = at([mapping(8080, 80)]);
  const asked = [http(80), http(81), { ...httpProbe, url: "http://a/" }, tcp(80), tcp(8080), tcp(81), tcp(81, "a")] as const;
  assert.deepEqual(
    asked.map((probe) => needsAddress(probe, { container })),
    [false, true, false, false, false, true, false],
  );
  assert.equal(needsAddress(http(80), { container: undefined }), false);
});

/** Which of the host's ports a PublishPort= takes, and when Podman would find one taken. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { endpoint, endpointText, isTaken, publishedPorts } from "../../src/core/endpoint.ts";

suite("PublishPort=", () => {
  for (const [value, ports] of Object.entries({
    "8080:80": ["8080/tcp"],
    "8080:80/udp": ["8080/udp"],
    "8080:80/tcp": ["8080/tcp"],
    "127.0.0.1:8080:80": ["127.0.0.1:8080/tcp"],
    "0.0.0.0:8080:80": ["8080/tcp"],
    "[::1]:8080:80/udp": ["[::1]:8080/udp"],
    "[::]:8080:80": ["[::]:8080/tcp"],
    "[0:0::1]:53:53": ["[::1]:53/tcp"],
    "[::ffff:127.0.0.1]:53:53": ["127.0.0.1:53/tcp"],
    "8080-8082:80-82": ["8080/tcp", "8081/tcp", "8082/tcp"],
    "127.0.0.1:8080-8081:80-81/udp": ["127.0.0.1:8080/udp", "127.0.0.1:8081/udp"],
    " 8080:80 ": ["8080/tcp"],
    // Podman chooses one that is free.
    "80": [],
    "80-90": [],
    "127.0.0.1::80": [],
    "[::1]::80": [],
    "[::1]:80": [],
    ":80": [],
    // systemd fills it in.
    "80%i:80": [],
    "127.0.0.%i:80:80": [],
    // Not to be seen in /proc/net, or refused by Podman.
    "8080:80/sctp": [],
    "8080:http": [],
    "0:80": [],
    "70000:80": [],
    "8082-8080:80-82": [],
    "host:8080:80": [],
    "::1:8080:80": [],
    "": [],
  }))
    test(`"${value}" takes ${ports.join(", ") || "none that is known"}`, () => {
      assert.deepEqual(publishedPorts(value).map(endpointText), ports);
    });
});

suite("a port that is wanted while another is bound", () => {
  // Tried with Podman 5.8, rootful.
  for (const [wanted, bound, taken] of [
    ["0.0.0.0", "0.0.0.0", true],
    ["0.0.0.0", "127.0.0.1", true],
    ["127.0.0.1", "0.0.0.0", true],
    ["127.0.0.1", "127.0.0.1", true],
    ["127.0.0.2", "127.0.0.1", false],
    ["0.0.0.0", "::1", false],
    ["127.0.0.1", "::1", false],
    ["0.0.0.0", "::", true],
    ["127.0.0.1", "::", true],
    ["::1", "::", true],
    ["::1", "::1", true],
    ["::", "::1", true],
    ["::1", "127.0.0.1", false],
    ["::", "127.0.0.1", false],
    ["::1", "fe80::1", false],
  ] as const)
    test(`on ${wanted} while ${bound} is: ${taken ? "taken" : "free"}`, () => {
      assert.equal(isTaken(endpoint("tcp", wanted, 80), endpoint("tcp", bound, 80)), taken);
    });

  test("is taken by the same port of the same protocol alone", () => {
    assert.equal(isTaken(endpoint("tcp", "0.0.0.0", 80), endpoint("udp", "0.0.0.0", 80)), false);
    assert.equal(isTaken(endpoint("tcp", "0.0.0.0", 80), endpoint("tcp", "0.0.0.0", 81)), false);
  });
});

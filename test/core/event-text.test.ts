/** Events in words. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { bounded, isKept, longestMessage, sentence } from "../../src/core/event-text.ts";
import type { Event, Happening } from "../../src/core/event.ts";
import { applicationId, applicationName, revision, serviceName, sourceName } from "../../src/core/names.ts";

const fleet = sourceName("fleet");
const shop = applicationId(fleet, applicationName("shop"));
const web = serviceName("web.service");
const outcome = {
  type: "outcome",
  application: shop,
  outcome: "rolled-back",
  revision: revision("9d0e7c2".padEnd(40, "0")),
  deployment: 41,
  message: "web.service not healthy after 60 s. See: ctl show 41",
  ms: 60_000,
} as const;

const told: readonly (readonly [Happening, string])[] = [
  [outcome, "fleet@9d0e7c2 shop rolled-back: web.service not healthy after 60 s. See: ctl show 41"],
  [{ ...outcome, outcome: "held", revision: undefined, message: "suspended" }, "fleet shop held: suspended"],
  [{ ...outcome, outcome: "deployed", message: "" }, "fleet@9d0e7c2 shop deployed"],
  [{ type: "started", version: "0.1.0", unfinished: 0 }, "pgo 0.1.0 started"],
  [{ type: "started", version: "0.1.0", unfinished: 2 }, "pgo 0.1.0 started, to finish: 2 rollouts"],
  [{ type: "stopping", because: "SIGTERM" }, "pgo stops: SIGTERM"],
  [{ type: "source", source: fleet, state: "failed", message: "Connection refused" }, "source fleet failed: Connection refused"],
  [{ type: "command", command: "suspend", target: "shop", message: "for 1h" }, "ctl suspend shop: for 1h"],
  [{ type: "command", command: "sync", target: "", message: "" }, "ctl sync"],
  [{ type: "warning", subject: "/etc/containers/systemd/x.container", message: "broken" }, "/etc/containers/systemd/x.container: broken"],
];

const counted: readonly (readonly [Happening, string])[] = [
  [{ type: "git", source: fleet, operation: "ls-remote", result: "ok", ms: 12.6 }, "source fleet ls-remote ok after 13 ms"],
  [{ type: "pass", source: fleet, outcome: "in-sync", ms: 300 }, "source fleet pass in-sync after 300 ms"],
  [{ type: "probe", application: shop, kind: "http", result: "fail" }, "fleet/shop http probe: fail"],
  [{ type: "health", application: shop, service: web, health: "healthy" }, "fleet/shop web.service healthy"],
  [{ type: "gone", application: shop, service: web }, "fleet/shop web.service gone"],
  [{ type: "gone", application: shop, service: undefined }, "fleet/shop gone"],
  [{ type: "containers", states: { running: 3, exited: 0 } }, "containers: 3 running, 0 exited"],
  [{ type: "storage", kind: "database", bytes: 4096 }, "storage of database: 4096 bytes"],
];

const event = (happening: Happening): Event => ({ ...happening, at: new Date(0) });

test("each event has its sentence", () => {
  for (const [happening, text] of [...told, ...counted]) assert.equal(sentence(event(happening)), text);
});

test("events that are only counted are not kept", () => {
  for (const [happening] of told) assert.equal(isKept(event(happening)), true, happening.type);
  for (const [happening] of counted) assert.equal(isKept(event(happening)), false, happening.type);
});

test("what comes from outside can neither begin a line nor command a terminal", () => {
  const text = sentence(event({ ...outcome, message: "one\r\ntwo\u2028three\u0000\u009B31mfour\t" }));
  assert.equal(text, "fleet@9d0e7c2 shop rolled-back: one two three 31mfour");
});

test("a text is cut to 4 KiB between two characters", () => {
  for (const character of ["a", "é", "€", "😀"]) {
    for (let before = 0; before < 5; before++) {
      const text = bounded("x".repeat(before) + character.repeat(longestMessage + 1));
      assert.ok(Buffer.byteLength(text) <= longestMessage);
      assert.ok(Buffer.byteLength(text) > longestMessage - 8);
      assert.match(text, new RegExp(`^x{${String(before)}}(?:${character})+…$`, "u"));
    }
  }
  assert.equal(bounded("é".repeat(longestMessage / 2)), "é".repeat(longestMessage / 2));
});

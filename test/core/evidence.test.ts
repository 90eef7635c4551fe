/** What is kept of a unit that failed. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { evidence } from "../../src/core/evidence.ts";
import { serviceName } from "../../src/core/names.ts";
import { redactor } from "../../src/core/redact.ts";
import { secretValues } from "../../src/core/secret-values.ts";
import { assertSilent, planted } from "../planted.ts";

const service = serviceName("web.service");
const asIs = (text: string) => text;

test("the last forty lines of each, bounded, and nothing that a terminal would obey", () => {
  const many = Array.from({ length: 100 }, (_, at) => `line ${at}`);
  const { journal, log } = evidence({ service, state: "failed", journal: many, log: ["\u001b[31mred\u0007", "x".repeat(2000)] }, asIs);
  assert.deepEqual([journal.length, journal[0], journal.at(-1)], [40, "line 60", "line 99"]);
  assert.deepEqual(log, [" [31mred", `${"x".repeat(500)}…`]);
  const long = Array.from({ length: 40 }, () => "y".repeat(500));
  assert.equal(evidence({ service, state: "", journal: long, log: [] }, asIs).journal.length, 24);
});

test("what the journal has already is not told twice", () => {
  const journal = ["2026-01-01T00:00:00+00:00 web[7]: one", "2026-01-01T00:00:01+00:00 web[7]: two"];
  assert.deepEqual(evidence({ service, state: "", journal, log: ["one", "two"] }, asIs).log, []);
  assert.deepEqual(evidence({ service, state: "", journal, log: ["one", "three"] }, asIs).log, ["one", "three"]);
});

test("no secret is in it, whatever line it stands in, also one of several lines", () => {
  const said = evidence(
    {
      service,
      state: `exit ${planted[0] ?? ""}`,
      journal: planted.flatMap((one) => `password: ${one}!`.split("\n")),
      log: planted.map((one) => `"${one}"`),
    },
    redactor(planted),
  );
  assertSilent(said);
});

test("of a processed file its values are secret, but not what Git shows to all", () => {
  const text = 'COLOUR=blue\nURL=postgres://u:hunter22@db/x\nQUOTED="in quotes"\nSHORT=abc\n';
  assert.deepEqual(secretValues(text, ["COLOUR=blue\nURL=postgres://u:${PASSWORD}@db/x\n"]), [
    "postgres://u:hunter22@db/x",
    '"in quotes"',
    "in quotes",
  ]);
  assert.deepEqual(secretValues("db:\n  password: hunter22\n", []), ["hunter22", "db:\n  password: hunter22\n"]);
  assert.deepEqual(secretValues('{"token": "hunter22",\n"other": "second2"}', []).includes("second2"), false);
});

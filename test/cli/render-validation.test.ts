/** The four ways in which `pgo validate` tells what it found. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { z } from "zod";

import { renderValidation, type ValidationFormat } from "../../src/cli/render-validation.ts";
import type { LocatedProblem, ValidatedApplication, ValidationReport } from "../../src/core/validation.ts";

const problem = (message: string, more: Partial<LocatedProblem> = {}): LocatedProblem => ({
  file: "shop/web.container",
  line: null,
  column: null,
  message,
  ...more,
});
const shop: ValidatedApplication = {
  name: "shop",
  units: [{ unit: "web.container", service: null }],
  problems: [
    problem("unsupported key 'PublishPorts' in group 'Container'", { line: 4, column: 1 }),
    problem("requested Quadlet unit db.network was not found", { line: 7 }),
    problem("no Image or Rootfs key specified"),
  ],
  warnings: [],
  blocked: null,
};
const db: ValidatedApplication = {
  name: "db",
  units: [{ unit: "db.container", service: "db.service" }],
  problems: [],
  warnings: [problem("specifies a short name", { file: "db/db.container" })],
  blocked: null,
};
const report = (...applications: readonly ValidatedApplication[]): ValidationReport => ({
  schema: 1,
  source: "fleet",
  podman: "5.4.2",
  applications,
  onlyRead: [],
  valid: applications.every(({ problems, blocked }) => problems.length === 0 && blocked === null),
});
const render = (one: ValidationReport, format: ValidationFormat, colour = false) =>
  renderValidation(one, format, "0.1.0", { now: new Date(0), colour, columns: 40 });

test("text is a line each, as editors read it, with the column where it is known and a count at the end; a narrow terminal breaks none", () => {
  assert.equal(
    render(report(db, shop), "text"),
    [
      "db/db.container: warning: specifies a short name",
      "shop/web.container:4:1: error: unsupported key 'PublishPorts' in group 'Container'",
      "shop/web.container:7: error: requested Quadlet unit db.network was not found",
      "shop/web.container: error: no Image or Rootfs key specified",
      "not valid: 2 applications, 2 units, 3 problems, 1 warning (judged by the generator of Podman 5.4.2)",
      "",
    ].join("\n"),
  );
  assert.equal(
    render(report({ ...db, warnings: [] }), "text"),
    "valid: 1 application, 1 unit, 0 problems, 0 warnings (judged by the generator of Podman 5.4.2)\n",
  );
});

test("plain units are said to be only read", () => {
  const text = render({ ...report({ ...db, warnings: [] }), onlyRead: ["db/db.timer"] }, "text");
  assert.match(text, /^1 plain systemd unit only read: systemd judges on the host, before anything is placed there\nvalid: /);
});

test("what is not judged for another's fault is told", () => {
  const blocked = { ...db, warnings: [], blocked: "it needs web.network of fleet/shop, which is refused" };
  assert.match(render(report(blocked, shop), "text"), /^db: not judged: it needs web\.network of fleet\/shop, which is refused$/m);
  assert.match(render(report(blocked, shop), "github"), /^db: not judged: /m);
});

test("colours only accompany words, and what a file says can't colour a terminal or begin a line", () => {
  const [first = ""] = render(report(shop), "text", true).split("\n");
  assert.equal(
    first,
    "\u001b[1mshop/web.container:4:1:\u001b[0m \u001b[31merror:\u001b[0m unsupported key 'PublishPorts' in group 'Container'",
  );
  const sly = { ...shop, problems: [problem("x\u001b[2J\n::error::fooled")] };
  assert.equal(render(report(sly), "text").split("\n")[0], "shop/web.container: error: x\ufffd[2J ::error::fooled");
});

test("JSON is the report itself", () => {
  assert.deepEqual(JSON.parse(render(report(db, shop), "json")), report(db, shop));
});

test("GitHub's annotations have their properties and their text escaped, each in its way", () => {
  const odd = problem("50%: a,b\r\nsecond line", { file: "shop,1/a:b%.container", line: 3, column: 5 });
  assert.deepEqual(
    render(report({ ...shop, problems: [odd] }, db), "github")
      .trimEnd()
      .split("\n"),
    [
      "::error file=shop%2C1/a%3Ab%25.container,line=3,col=5,title=pgo%3A shop%2C1/a%3Ab%25.container%3A3::50%25: a,b\ufffd%0Asecond line",
      "::warning file=db/db.container,title=pgo%3A db/db.container::specifies a short name",
      "not valid: 2 applications, 2 units, 1 problem, 1 warning (judged by the generator of Podman 5.4.2)",
    ],
  );
});

/** What GitHub's documentation calls required ("SARIF support for code scanning", its tables of supported properties). */
const words = z.object({ text: z.string().min(1) });
const position = z.int().min(1);
const githubSarif = z.strictObject({
  $schema: z.url(),
  version: z.literal("2.1.0"),
  runs: z.tuple([
    z.strictObject({
      tool: z.strictObject({
        driver: z.strictObject({
          name: z.string().min(1),
          semanticVersion: z.string(),
          rules: z
            .array(
              z.strictObject({
                id: z.string().min(1),
                shortDescription: words,
                fullDescription: words,
                help: words,
                defaultConfiguration: z.strictObject({ level: z.enum(["error", "warning", "note"]) }),
              }),
            )
            .min(1),
        }),
      }),
      results: z.array(
        z.strictObject({
          ruleId: z.string().min(1),
          ruleIndex: z.int().min(0),
          level: z.enum(["error", "warning", "note"]),
          message: words,
          locations: z.tuple([
            z.strictObject({
              physicalLocation: z.strictObject({
                artifactLocation: z.strictObject({ uri: z.string().min(1), uriBaseId: z.literal("%SRCROOT%") }),
                region: z.strictObject({ startLine: position, startColumn: position, endLine: position, endColumn: position }),
              }),
            }),
          ]),
        }),
      ),
    }),
  ]),
});

test("SARIF has all that GitHub's code scanning asks for, each finding with a rule that is there", () => {
  const odd = problem("shop/web.container: is not UTF-8 text", { file: "shop/ü b#c.container" });
  const log = githubSarif.parse(JSON.parse(render(report({ ...shop, problems: [...shop.problems, odd] }, db), "sarif")));
  const { tool, results } = log.runs[0];
  assert.deepEqual(
    results.map(({ ruleId, level, locations: [{ physicalLocation }] }) => {
      const { uri } = physicalLocation.artifactLocation;
      return `${level} ${ruleId} ${uri}:${String(physicalLocation.region.startLine)}:${String(physicalLocation.region.startColumn)}`;
    }),
    [
      "error unknown-key shop/web.container:4:1",
      "error missing-unit shop/web.container:7:1",
      "error invalid shop/web.container:1:1",
      "error syntax shop/%C3%BC%20b%23c.container:1:1",
      "warning warning db/db.container:1:1",
    ],
  );
  for (const { ruleId, ruleIndex } of results) assert.equal(tool.driver.rules[ruleIndex]?.id, ruleId);
  assert.equal(new Set(tool.driver.rules.map(({ id }) => id)).size, tool.driver.rules.length);
});

test("nothing found is a SARIF log without results, which closes the alerts of before", () => {
  assert.deepEqual(githubSarif.parse(JSON.parse(render(report({ ...db, warnings: [] }), "sarif"))).runs[0].results, []);
});

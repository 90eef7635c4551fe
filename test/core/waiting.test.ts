/** Who is to blame, and who only waits. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import type { Unit } from "../../src/core/bundle.ts";
import type { Health } from "../../src/core/health.ts";
import { serviceName, type ServiceName, type UnitName } from "../../src/core/names.ts";
import type { Verdict } from "../../src/core/verdict.ts";
import { blame, excused, inLevels, needsAmong } from "../../src/core/waiting.ts";

const name = (letter: string) => serviceName(`${letter}.service`);

/** Units by letter with what each needs. */
const units = (graph: Readonly<Record<string, string>>): readonly Unit[] =>
  Object.entries(graph).map(
    ([letter, needed]) =>
      ({
        name: `${letter}.container` as UnitName,
        service: name(letter),
        uses: [] as readonly UnitName[],
        after: Array.from(needed, name),
      }) as Partial<Unit> as Unit,
  );

function verdicts(seen: Readonly<Record<string, Health | "dead">>): readonly Verdict[] {
  return Object.entries(seen).map(([letter, health]) => ({
    service: name(letter),
    health: health === "dead" ? "unhealthy" : health,
    checkedBy: "process",
    final: health === "dead" || health === "unhealthy",
    message: health === "healthy" ? undefined : "has failed: exit 1",
  }));
}

const brief = (all: readonly Verdict[]) =>
  all.map(
    ({ service, health, waitsFor }) => `${service[0] ?? ""} ${health}${waitsFor === undefined ? "" : ` for ${waitsFor.service[0] ?? ""}`}`,
  );

suite("a service waits while what it needs is not healthy", () => {
  for (const [what, graph, seen, expected] of [
    ["all is well", { a: "", b: "a" }, { a: "healthy", b: "healthy" }, ["a healthy", "b healthy"]],
    ["its need has failed", { a: "", b: "a" }, { a: "dead", b: "dead" }, ["a unhealthy", "b waiting for a"]],
    [
      "the root is told, not the nearest",
      { a: "", b: "a", c: "b" },
      { a: "dead", b: "dead", c: "starting" },
      ["a unhealthy", "b waiting for a", "c waiting for a"],
    ],
    ["its need is on its way", { a: "", b: "a" }, { a: "starting", b: "starting" }, ["a starting", "b waiting for a"]],
    ["it is dead, and its need on its way", { a: "", b: "a" }, { a: "starting", b: "dead" }, ["a starting", "b unhealthy"]],
    ["it is well all the same", { a: "", b: "a" }, { a: "dead", b: "healthy" }, ["a unhealthy", "b healthy"]],
    ["another's need has failed", { a: "", b: "" }, { a: "dead", b: "dead" }, ["a unhealthy", "b unhealthy"]],
    ["two need each other", { a: "b", b: "a" }, { a: "dead", b: "starting" }, ["a unhealthy", "b starting"]],
    [
      "the failed one before the one on its way",
      { a: "", b: "", c: "ab" },
      { a: "starting", b: "dead", c: "starting" },
      ["a starting", "b unhealthy", "c waiting for b"],
    ],
  ] as const)
    test(what, () => {
      assert.deepEqual(brief(excused(verdicts(seen), needsAmong(units(graph)))), expected);
    });

  test("somebody is always to blame, whatever needs whatever", () => {
    const letters = ["a", "b", "c", "d", "e", "f"];
    const graphs = fc.record(
      Object.fromEntries(letters.map((one) => [one, fc.subarray(letters.filter((other) => other !== one)).map((all) => all.join(""))])),
    );
    const states = fc.record(
      Object.fromEntries(letters.map((one) => [one, fc.constantFrom<Health | "dead">("healthy", "starting", "dead")])),
    );
    fc.assert(
      fc.property(graphs, states, (graph, seen) => {
        const said = excused(verdicts(seen), needsAmong(units(graph)));
        for (const { waitsFor } of said)
          assert.ok(waitsFor === undefined || said.some((one) => one.service === waitsFor.service && one.waitsFor === undefined));
        assert.equal(
          said.some((one) => one.health === "unhealthy"),
          said.some((one) => one.final),
        );
        assert.equal(
          said.every((one) => one.health === "healthy"),
          Object.values(seen).every((one) => one === "healthy"),
        );
      }),
    );
  });
});

test("what is needed is asked before what needs it", () => {
  const all = units({ c: "b", b: "a", a: "", d: "", x: "y", y: "x" });
  const levels = inLevels(all, ({ service }) => service, needsAmong(all));
  assert.deepEqual(
    levels.map((level) => level.map(({ service }) => service[0]).sort()),
    [["a", "d", "x", "y"], ["b"], ["c"]],
  );
});

test("the root of a trouble comes first, then who waits for it", () => {
  const told = (graph: Readonly<Record<string, string>>, seen: Parameters<typeof verdicts>[0], bad: ServiceName) => {
    const said = excused(verdicts(seen), needsAmong(units(graph)));
    return blame(said.find(({ service }) => service === bad) ?? assert.fail(), said);
  };
  assert.equal(told({ a: "" }, { a: "dead" }, name("a")), "a.service has failed: exit 1");
  assert.equal(told({ a: "", b: "a" }, { a: "dead", b: "dead" }, name("b")), "a.service has failed: exit 1; b.service waits for it");
  assert.equal(
    told({ a: "", b: "a", c: "a" }, { a: "dead", b: "dead", c: "dead" }, name("a")),
    "a.service has failed: exit 1; b.service, c.service wait for it",
  );
});

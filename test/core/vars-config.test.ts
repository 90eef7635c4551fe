/** `[vars]` of pgo.toml: what is a variable, and whose value wins. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { z } from "zod";

import { readToml } from "../../src/core/toml.ts";
import { factTexts, varsOf, varsTable, type FactName, type Facts } from "../../src/core/vars-config.ts";

const schema = z.strictObject({ vars: varsTable });
const read = (text: string) => readToml(text, "pgo.toml", schema);

const facts: Facts = {
  ...(Object.fromEntries(Object.keys(factTexts).map((name) => [name, undefined])) as Record<FactName, undefined>),
  PGO_HOSTNAME: "pi4",
};

suite("variables in pgo.toml", () => {
  test("are texts; whole numbers and true or false are taken as theirs", () => {
    const result = read('[vars]\nTAG = "1.10"\nport = 8080\n_DEBUG = true\nEMPTY = ""\nMUST = { required = true }\n');
    assert.ok(result.ok, JSON.stringify(result));
    assert.deepEqual({ ...result.value.vars }, { TAG: "1.10", port: "8080", _DEBUG: "true", EMPTY: "", MUST: undefined });
  });

  test("need not be there", () => {
    const result = read("");
    assert.deepEqual(result.ok && result.value.vars, {});
  });

  for (const [text, message] of [
    ["TAG = 1.10", /text in quotes \(a number with a fraction too: "1\.10"\)/],
    ["TAG = [1]", /text in quotes/],
    ["MUST = { required = false }", /required/],
    ["PGO_ARCH = 'x'", /"PGO_ARCH" begins with PGO_/],
    ["my-var = 'x'", /"my-var" is not a variable's name/],
    ["1a = 'x'", /"1a" is not a variable's name/],
  ] as const)
    test(`${text} is refused with its line`, () => {
      const result = read(`[vars]\nOK = "x"\n${text}\n`);
      assert.ok(!result.ok);
      assert.equal(result.trouble[0]?.line, 3);
      assert.match(result.trouble[0].message, message);
    });
});

suite("of several values of one name", () => {
  const layers = { hostApplication: { A: "1" }, host: { A: "2", B: "2" }, application: { A: "3", B: "3", C: "3" } };

  test("the host's for this application wins over the host's for all, that over the application's own", () => {
    const vars = varsOf({ facts, ...layers });
    assert.deepEqual([vars.get("A"), vars.get("B"), vars.get("C")], ["1", "2", "3"]);
  });

  test("a name that is only declared takes nothing away, and stays declared", () => {
    const vars = varsOf({ facts, host: { A: undefined, B: "2", D: undefined }, application: { A: "3", B: undefined } });
    assert.deepEqual([vars.get("A"), vars.get("B"), vars.has("D"), vars.get("D")], ["3", "2", true, undefined]);
  });

  test("a fact is one, known here or not, whatever else says so; names of JavaScript's are names like others", () => {
    const vars = varsOf({ facts, host: { PGO_ARCH: "x", PGO_HOSTNAME: "x", constructor: "y" } });
    assert.deepEqual([vars.get("PGO_HOSTNAME"), vars.get("PGO_ARCH"), vars.get("constructor")], ["pi4", undefined, "y"]);
  });
});

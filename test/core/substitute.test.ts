/** `${NAME}` in units and paths: what is replaced, what stays, and what no value can do. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { substituteName, substituteUnit, type Vars } from "../../src/core/substitute.ts";

const vars: Vars = new Map<string, string | undefined>([
  ["TAG", "1.2"],
  ["EMPTY", ""],
  ["NONE", undefined],
  ["NESTED", "${TAG} $TAG"],
  ["DOLLAR", "$"],
  ["ODD", "a\\"],
]);

function unit(text: string, known: Vars = vars): string {
  const result = substituteUnit(text, known, "web.container");
  assert.ok(result.ok, JSON.stringify(result));
  assert.deepEqual(result.value.missing, []);
  return result.value.text;
}

function problems(text: string, known: Vars = vars): string[] {
  const result = substituteUnit(text, known, "web.container");
  const found = result.ok ? result.value.missing : result.trouble;
  return found.map(({ line, column, message }) => `${String(line)}:${column}: ${message}`);
}

suite("in a unit file, a declared name", () => {
  for (const [text, expected] of [
    ["Image=x:${TAG}", "Image=x:1.2"],
    ["${TAG}${TAG}", "1.21.2"],
    ["a ${TAG:-3} b", "a 1.2 b"],
    ["a ${TAG:?why} b", "a 1.2 b"],
    ["${NONE:-de fault}|${EMPTY:-d}|${NONE:-}", "de fault|d|"],
    ["${EMPTY}", ""],
    ["${NESTED}", "${TAG} $TAG"],
    ["${DOLLAR}{TAG}", "${TAG}"],
    ["${OTHER:-${TAG}}", "${OTHER:-1.2}"],
    ["Exec=a \\\n  ${TAG} \\\n  b\n", "Exec=a \\\n  1.2 \\\n  b\n"],
    ["$$${TAG}", "$$1.2"],
  ] as const)
    test(`is replaced: ${JSON.stringify(text)}`, () => {
      assert.equal(unit(text), expected);
    });

  for (const text of [
    "$TAG",
    "$${TAG}",
    "$$$${TAG}",
    "${OTHER}",
    "${TAG-x}",
    "${TAG%.*}",
    "${#TAG}",
    "${TAG",
    "${ TAG }",
    "${tag}",
    "$(TAG) `TAG` $$ $",
    "# ${TAG} ${NONE}",
    "  ; ${NONE}",
    "Exec=a \\\n# ${NONE}\n  b",
    "a\r\nb\r\n",
  ])
    test(`is not what is meant by ${JSON.stringify(text)}, which stays as it is`, () => {
      assert.equal(unit(text), text);
    });
});

suite("in a unit file, a use that comes to nothing", () => {
  test("is told with its line and column, and left empty for settings that take it for a warning", () => {
    assert.deepEqual(problems("[Container]\nImage=x:${NONE}\nLabel=${TAG}${NONE}"), [
      "2:9: NONE has no value: set it, or write ${NONE:-default} for when there is none",
      "3:13: NONE has no value: set it, or write ${NONE:-default} for when there is none",
    ]);
    const result = substituteUnit("Image=x:${NONE}", vars, "web.container");
    assert.equal(result.ok && result.value.text, "Image=x:");
  });

  test("with :? is refused with its own message, whatever the settings", () => {
    const result = substituteUnit("Image=x:${NONE:?tell which}\n${NONE}${EMPTY:?}", vars, "web.container");
    assert.ok(!result.ok);
    assert.deepEqual(
      result.trouble.map(({ message }) => message),
      [
        "NONE has no value: tell which",
        "EMPTY has no value: it must have one",
        "NONE has no value: set it, or write ${NONE:-default} for when there is none",
      ],
    );
  });

  test("with another use in its default is refused, as a shell would read it otherwise", () => {
    assert.match(problems("${NONE:-${TAG}}")[0] ?? "", /^1:1: what stands behind \$\{NONE:- can't hold another/);
  });
});

suite("in a unit file, a value", () => {
  for (const value of ["a\nExecStartPre=/bin/false", "a\r", "\0"])
    test(`with a line break (${JSON.stringify(value)}) is refused, and not shown`, () => {
      const [problem = ""] = problems("[Unit]\nDescription=${X}", new Map([["X", value]]));
      assert.match(problem, /^2:13: the value of X has a line break/);
      assert.ok(!problem.includes("ExecStartPre"));
    });

  test("can't join its line with the next, nor part two that were joined", () => {
    assert.match(problems("Label=${ODD}\nUser=x")[0] ?? "", /^1:7: the value of ODD would change what kind of line this is/);
    assert.match(problems("Label=${ODD} ${EMPTY} \nUser=x")[0] ?? "", /^1:14: the value of EMPTY would change/);
    assert.match(problems("Label=${ODD}\\\nUser=x")[0] ?? "", /^1:7: /);
    assert.equal(unit("Label=${ODD}b\nUser=x"), "Label=a\\b\nUser=x");
  });

  test("can't make its line a comment or a section", () => {
    for (const value of ["# x", ";", " [Service]"]) assert.match(problems("${X}", new Map([["X", value]]))[0] ?? "", /^1:1: /);
  });
});

const name = fc.constantFrom("A", "B", "TAG");
/** Text of the kind that goes wrong. */
const pieces = fc.constantFrom(
  "$",
  "{",
  "}",
  "A",
  "B",
  "TAG",
  ":-",
  ":?",
  "\\",
  "\n",
  "#",
  ";",
  "[",
  "=",
  " ",
  "x",
  "\r\n",
  "${A}",
  "$${B}",
  "${TAG:-d}",
);
const text = fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join(""));

suite("whatever the text and the values", () => {
  test("without a declared name in it, it stays byte for byte", () => {
    fc.assert(
      fc.property(fc.oneof(text, fc.string({ unit: "binary" })), (source) => {
        assert.equal(unit(source, new Map([["NOT_IN_IT", "x"]])), source);
        assert.equal(unit(source, new Map()), source);
      }),
    );
  });

  test("no value adds, joins or hides a line", () => {
    const value = fc.oneof(text, fc.string({ unit: "binary" }));
    // Which lines are continued, comments or sections, as systemd (odd backslashes) and Podman (any) see them.
    const shape = (source: string) =>
      source.split("\n").map((line) => {
        const backslashes = /\\*$/.exec(line.trim())?.[0].length ?? 0;
        return `${/^[#;[]/.exec(line.trim())?.[0] ?? ""}${backslashes > 0 ? "c" : ""}${backslashes % 2}`;
      });
    fc.assert(
      fc.property(text, fc.dictionary(name, value), (source, values) => {
        const result = substituteUnit(source, new Map(Object.entries(values)), "x");
        if (result.ok) assert.deepEqual(shape(result.value.text), shape(source));
      }),
      { numRuns: 2000 },
    );
  });

  test("a value comes in exactly, and nothing of it is read again", () => {
    const value = fc.string({ unit: "grapheme" }).filter((one) => !/[\n\r\0]|\\\s*$/.test(one));
    fc.assert(
      fc.property(value, (one) => {
        assert.equal(unit("Label=${A}.\n${B:-d}", new Map([["A", one], ["B", ""]])), `Label=${one}.\nd`); // prettier-ignore
      }),
    );
  });
});

suite("in a path of pgo.toml", () => {
  const host: Vars = new Map<string, string | undefined>([
    ["PGO_HOSTNAME", "pi4.example"],
    ["PGO_ARCH", undefined],
    ["UP", ".."],
    ["SLASH", "a/b"],
    ["EMPTY", ""],
  ]);
  for (const [path, expected] of [
    ["hosts/${PGO_HOSTNAME}", "hosts/pi4.example"],
    ["a-${PGO_HOSTNAME}/b", "a-pi4.example/b"],
    ["${PGO_ARCH:-amd64}", "amd64"],
    ["common", "common"],
  ] as const)
    test(`${path} is ${expected}`, () => {
      assert.deepEqual(substituteName(path, host), { ok: true, value: expected });
    });

  for (const [path, message] of [
    ["${UP}", /^the value of UP can't be a part of a path/],
    ["x/${SLASH}", /^the value of SLASH can't/],
    ["hosts/${EMPTY}", /^the value of EMPTY can't/],
    ["${EMPTY:-../..}", /^the value of EMPTY can't/],
    ["${PGO_ARCH}", /^PGO_ARCH has no value/],
    ["${PGO_HOSTNAM}", /did you mean PGO_HOSTNAME\?/],
    ["hosts/${PGO_HOSTNAME", /none of \$\{NAME\}/],
  ] as const)
    test(`${path} is refused`, () => {
      const result = substituteName(path, host);
      assert.ok(!result.ok);
      assert.match(result.trouble, message);
    });
});

/** Files of secrets: read as dotenv does, and written so that dotenv reads back what was meant. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { parse } from "dotenv";
import fc from "fast-check";

import { isVariableName, readEnvText, writeEnvText } from "../../src/core/env-text.ts";
import { assertSilent, planted } from "../planted.ts";

const told = (text: string) => {
  const { problems, warnings } = readEnvText(text, "a.env");
  return [...problems, ...warnings].map(({ line, message }) => `${String(line)} ${message}`);
};

test("assignments are read as dotenv reads them", () => {
  const text =
    "\uFEFFA=1\r\n\r\n# no=comment\nexport B = 'x # y'\nC: yaml\nD=\"two\nlines\" # behind\nE=`a'\"b`\nF=\n  G=$A ${B}\nA=last\n";
  const { values, problems, warnings } = readEnvText(text, "a.env");
  assert.deepEqual(
    [...values],
    [
      ["A", "last"],
      ["B", "x # y"],
      ["C", "yaml"],
      ["D", "two\nlines"],
      ["E", "a'\"b"],
      ["F", ""],
      ["G", "$A ${B}"],
    ],
  );
  assert.deepEqual([...problems, ...warnings], []);
});

test("a line that is no assignment is told by its number, wherever it stands, and never by its content", () => {
  const passed = "is no NAME=value, and would be passed over: correct it or begin it with #";
  assert.deepEqual(told("pl4nted\nA=1\n\nB 2\nC='x\ny'\n=z\n"), [`1 ${passed}`, `4 ${passed}`, `7 ${passed}`]);
  assert.deepEqual(told('A=1\nB="pl4nted\nC=2\n'), ["2 B: the quote at the beginning of the value is not closed at its end: close it"]);
  assert.deepEqual(told("A='a' b\n").length, 1);
  assert.deepEqual(told("A=pl4nted#rest\n"), ['1 A: the value ends before the "#": put it in quotes if the "#" belongs to it']);
  assert.deepEqual(told("A=a # comment\nB='a#b'#comment\nC=#x\n"), []);
  for (const value of planted) assertSilent(told(`${value}\nA=${value}\n"${value}\nB='${value}\n`));
});

test("what is written is read back exactly, all planted secrets among it", () => {
  const values = new Map(planted.map((value, index) => [`V${String(index)}`, value]));
  const text = writeEnvText(values);
  assert.ok(text.ok);
  assert.deepEqual(readEnvText(text.value, ""), { values, problems: [], warnings: [] });
});

test("a value is carried exactly or refused, whatever stands behind it", () => {
  const odd = fc.string({ unit: fc.constantFrom("'", '"', "`", "\\", "\n", "\r", "#", "$", "=", " ", "n", "A", "é"), maxLength: 12 });
  const name = fc.constantFrom("A", "B", "C", "D_1", "x.y");
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.oneof(odd, fc.string({ unit: "binary" }))), { maxLength: 6 }), (entries) => {
      const values = new Map<string, string>(entries);
      const text = writeEnvText(values);
      if (text.ok) assert.deepEqual(new Map(Object.entries(parse(text.value))), values);
      else {
        const value = values.get(text.trouble) ?? "";
        const odd = (/['"`]/.test(value) && /[\r\n#]/.test(value)) || (value.includes("\r") && /\\[nr]/.test(value));
        assert.ok(odd, `${JSON.stringify(value)} could be carried`);
      }
    }),
    { numRuns: 500 },
  );
});

test("a value with all kinds of quotes and a # is refused by its name", () => {
  const values = new Map([
    ["A", "x"],
    ["B", "'\"`#"],
  ]);
  assert.deepEqual(writeEnvText(values), { ok: false, trouble: "B" });
});

test("a backslash at the end of a value does not reach for the quotes behind it", () => {
  const values = new Map([
    ["A", "x#y\\"],
    ["B", "#"],
    ["C", "'#'"],
  ]);
  const text = writeEnvText(values);
  assert.ok(text.ok);
  assert.deepEqual(readEnvText(text.value, ""), { values, problems: [], warnings: [] });
});

test("names are those that shells take", () => {
  for (const name of ["A", "_x1", "DB_PASSWORD"]) assert.ok(isVariableName(name), name);
  for (const name of ["", "1A", "A-B", "A.B", "A B", "A=B", "Ä", "__proto__", "A\n"]) assert.ok(!isVariableName(name), name);
});

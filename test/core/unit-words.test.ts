/** How a value splits into words: as systemd splits it, tried there. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { words } from "../../src/core/unit-text.ts";

suite("words of a value", () => {
  const table: readonly (readonly [value: string, expected: readonly string[]])[] = [
    ["", []],
    ["  \t ", []],
    [" a  b\tc ", ["a", "b", "c"]],
    [`"a b" 'c d' "e \\" f"`, ["a b", "c d", 'e " f']],
    [`"" x ''`, ["", "x", ""]],
    // Quotes inside words, as systemd and Podman have them.
    [`--a="b c" 'd'e"f g"h`, ["--a=b c", "def gh"]],
    [`"it's" 'say "hi"'`, ["it's", 'say "hi"']],
    // C escapes, inside quotes and outside.
    [String.raw`\x41 a\sb "\t" '\n' \\ \" \'`, ["A", "a b", "\t", "\n", "\\", '"', "'"]],
    [String.raw`\a\b\f\v\r`, ["\x07\b\f\v\r"]],
    // Bytes make letters, in hex, octal and both.
    [String.raw`\xc3\xa9 \303\251 \xC3\251 \u00e9 \U0001F600`, ["é", "é", "é", "é", "😀"]],
    [String.raw`\xff`, ["\ufffd"]],
    // What is no escape stays, and protects what follows.
    [String.raw`\q a\ b \x4 \400 \u12 \U00110000 \ud800`, ["\\q", "a\\ b", "\\x4", "\\400", "\\u12", "\\U00110000", "\\ud800"]],
    [String.raw`\x00 \000 \u0000`, ["\\x00", "\\000", "\\u0000"]],
    ["a \\", ["a", "\\"]],
    // A quote that nothing closes ends with the value.
    [`a "b c`, ["a", "b c"]],
    [`"a b\\`, ["a b\\"]],
  ];
  for (const [value, expected] of table)
    test(`${JSON.stringify(value)} is ${JSON.stringify(expected)}`, () => {
      assert.deepEqual(words(value), expected);
    });

  test("of a list of names keep their backslashes, which are part of a unit's name", () => {
    assert.deepEqual(words(String.raw`a\x2db.service "c d\".service`, "keep"), [String.raw`a\x2db.service`, String.raw`c d\.service`]);
  });

  test("that are quoted and joined are the same words", () => {
    const quoted = (word: string) => `"${word.replace(/["\\]/g, "\\$&").replaceAll("\n", "\\n")}"`;
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary" })), (all) => {
        assert.deepEqual(words(all.map(quoted).join(" ")), all);
      }),
    );
  });
});

/** What must hold of every text and every edit of it, for the property tests and for scripts/fuzz-unit-text.ts. */

import assert from "node:assert/strict";

import fc from "fast-check";

import { parseUnit, readUnit, UnitTextError, type PlacedEntry, type Reader } from "../../src/core/unit-text.ts";

export const readers: readonly Reader[] = ["podman", "systemd"];

/** Text of the kind that goes wrong: brackets, equals signs, quotes, backslashes and line ends in any order. */
export const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 200 }),
  fc
    .array(
      fc.constantFrom(
        ...["Image=a \\\n", "Image=a\n", "Image =\n", "Image=", "Image=\\\n", "  b c \\\n", "b"],
        ...["[", "]", "[Container]\n", "[Service]\n", "=", "Image", "Image=x\n", "Container", "\\", "\\\n", "\\\\\n", "\n", "\r\n", "\r"],
        ...["#", ";", "# c\n", "# c \\\n", " ", "\t", '"', "'", "x", "\0", "é", "\u00a0", "\ufeff", "\v"],
      ),
      { maxLength: 60 },
    )
    .map((parts) => parts.join("")),
);

/** A value as a person or a variable may bring it. */
export const anyValue = fc.oneof(
  fc.stringMatching(/^[A-Za-z0-9:/.=#;"'[\]-]{0,12}$/),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc
    .array(fc.constantFrom("a", " ", "\\", "\n", "\r", "\0", "=", "#", "[X]", '"', "\u00a0", "\ufeff"), { maxLength: 8 })
    .map((parts) => parts.join("")),
);

/** Reading gives back the text, and every entry stands where it says. */
export function checkReading(text: string, reader: Reader): void {
  const unit = readUnit(text, reader);
  assert.equal(unit.text(), text);
  assert.deepEqual(unit.entries, parseUnit(text, reader));
  const lines = linesOf(text, reader);
  for (const { key, value, line, column, valueLine, valueColumn } of unit.entries) {
    assert.notEqual(key, "");
    assert.equal(lines[line - 1]?.[column - 1], key[0], `the key's place ${line}:${column}`);
    const behind = lines[valueLine - 1]?.[valueColumn - 1];
    if (value === "") assert.equal(lines[valueLine - 1]?.[valueColumn - 2], "=", `the empty value's place ${valueLine}:${valueColumn}`);
    else assert.equal(behind, value[0], `the value's place ${valueLine}:${valueColumn}`);
    assert.doesNotMatch(value, /\n/);
  }
}

/** The entry at `index` (of as many as there are) gets the value or nothing happens; no other entry, line or comment changes. */
export function checkValueEdit(text: string, reader: Reader, index: number, value: string): "edited" | "refused" | "nothing to edit" {
  const unit = readUnit(text, reader);
  const at = unit.entries.length === 0 ? 0 : index % unit.entries.length;
  const entry = unit.entries[at];
  if (entry === undefined) return "nothing to edit";
  const edited = refusedOr(() => unit.withValue(entry, value));
  if (edited === undefined) return "refused";
  const meant = unit.entries.map((one) => (one === entry ? { ...one, value } : one));
  assert.deepEqual(edited.entries.map(content), meant.map(content));
  // To systemd \n, \r and NUL side by side are one line end: between them an emptied line is none.
  if (reader === "systemd" && /\r(?!\n)|\0/.test(text)) return "edited";
  assert.deepEqual(edited.entries.map(plain), meant.map(plain));
  const before = linesOf(text, reader);
  const after = linesOf(edited.text(), reader);
  assert.equal(after.length, before.length);
  const next = unit.entries[at + 1]?.line ?? Infinity;
  for (const [row, line] of before.entries()) {
    if (line === after[row]) continue;
    assert.ok(row + 1 >= entry.line && row + 1 < next, `line ${row + 1} changed`);
    assert.doesNotMatch(line, /^[ \t]*[#;]/, "a comment changed");
    if (row + 1 > entry.line) assert.match(after[row] ?? "", /^\s*$/, "what continued the old value is empty");
  }
  assert.equal(ends(edited.text(), reader), ends(text, reader));
  return "edited";
}

/** The entry comes last, but for a last line that nothing can follow; what was there stays, byte for byte and on its line. */
export function checkNewEntry(text: string, reader: Reader, section: string, value: string): "edited" | "refused" {
  const unit = readUnit(text, reader);
  const edited = refusedOr(() => unit.withEntry(section, "Added", value));
  if (edited === undefined) return "refused";
  const longer = edited.text();
  let same = 0;
  while (same < text.length && text[same] === longer[same]) same += 1;
  assert.ok(longer.endsWith(text.slice(same)), "nothing but an insertion");
  const at = edited.entries.findLastIndex(({ key }) => key === "Added");
  assert.deepEqual(
    edited.entries.map((one) => content(one)),
    [...unit.entries.slice(0, at).map(content), [section, "Added", value], ...unit.entries.slice(at).map(content)],
  );
  assert.deepEqual(edited.entries.slice(0, at).map(plain), unit.entries.slice(0, at).map(plain));
  if (at < unit.entries.length) {
    assert.equal(at, unit.entries.length - 1);
    assert.match(text, /\\/);
  }
  return "edited";
}

const content = ({ section, key, value }: PlacedEntry) => [section, key, value];
const plain = ({ section, key, value, line }: PlacedEntry) => [section, key, value, line];

function refusedOr<Value>(act: () => Value): Value | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof UnitTextError) return undefined;
    throw error;
  }
}

const lineEnds: Readonly<Record<Reader, RegExp>> = { podman: /\n/, systemd: /\n\r?\0?|\r\n?\0?|\0/ };

function linesOf(text: string, reader: Reader): readonly string[] {
  return text.split(lineEnds[reader]);
}

function ends(text: string, reader: Reader): string {
  return [...text.matchAll(new RegExp(lineEnds[reader], "g"))].join("");
}

/**
 * Throws broken text at the reader of unit files: `node scripts/fuzz-unit-text.ts [RUNS] [SEED]`, 10000 runs unless told.
 * Half is made up, half are the quadlets of this repository with bytes cut, doubled and put in. Ends with 1 when a rule breaks, and
 * prints the seed, with which the same happens again.
 */

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

import fc from "fast-check";

import { words } from "../src/core/unit-text.ts";
import { anyText, anyValue, checkNewEntry, checkReading, checkValueEdit, readers } from "../test/core/unit-text-rules.ts";

const root = dirname(import.meta.dirname);
const suffixes = /\.(?:container|pod|volume|network|kube|image|build|artifact|quadlets|service|timer|socket|path|target|mount|slice|conf)$/;

function realTexts(): readonly string[] {
  const found = ["examples", "quadlet", "test"].flatMap((directory) =>
    readdirSync(join(root, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && suffixes.test(entry.name))
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), "utf8")),
  );
  // Those that tests write as text: `…[Container]\nImage=…`.
  const written = readdirSync(join(root, "test"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .flatMap(
      (entry) =>
        readFileSync(join(entry.parentPath, entry.name), "utf8").match(/"(?:[^"\\\n]|\\.)*\[[A-Z]\w+\]\\n(?:[^"\\\n]|\\.)*"/g) ?? [],
    );
  return [...found, ...written.map((text) => text.slice(1, -1).replaceAll("\\n", "\n").replaceAll("\\r", "\r").replaceAll("\\\\", "\\"))];
}

const piece = fc.oneof(anyText, fc.constantFrom("", "\\", "\n", "\r", "\\\n", "\0", "=", "[", "]", "#", '"', " ", "\ufeff"));
const mutation = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), remove: fc.nat(20), insert: piece });

function mutated(text: string, mutations: readonly { readonly at: number; readonly remove: number; readonly insert: string }[]): string {
  return mutations.reduce((result, { at, remove, insert }) => {
    const from = Math.floor(at * result.length);
    return result.slice(0, from) + insert + result.slice(from + remove);
  }, text);
}

const real = realTexts();
const someText = fc.oneof(
  anyText,
  fc.tuple(fc.constantFrom(...real), fc.array(mutation, { maxLength: 6 })).map(([text, all]) => mutated(text, all)),
);
const runs = Number(process.argv[2] ?? "10000");
const seed = Number(process.argv[3] ?? String(Date.now() % 2 ** 31));
if (!Number.isSafeInteger(runs) || runs < 1 || !Number.isSafeInteger(seed)) throw new Error("usage: fuzz-unit-text.ts [RUNS] [SEED]");

const edit = fc.record({ index: fc.nat(), value: anyValue, section: fc.constantFrom("Container", "Service", "X-New") });
const counts = new Map<string, number>();
const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1);
console.log(`seed ${String(seed)}, ${String(runs)} runs, ${String(real.length)} real texts to change`);
const property = fc.property(someText, fc.constantFrom(...readers), edit, (text, reader, { index, value, section }) => {
  checkReading(text, reader);
  count(`value ${checkValueEdit(text, reader, index, value)}`);
  count(`entry ${checkNewEntry(text, reader, section, value)}`);
  words(text);
});
const outcome = fc.check(property, { numRuns: runs, seed });
console.log([...counts].map(([what, times]) => `${what}: ${String(times)}`).join(", "));
if (outcome.failed) {
  console.error(fc.defaultReportMessage(outcome));
  process.exitCode = 1;
}

/** Which commit a source follows: a branch, a tag, the newest tag of a semver range, or a commit. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";
import semver from "semver";

import { revision } from "../../src/core/names.ts";
import { candidates, chosenTag, strayRef, type Tag } from "../../src/core/refs.ts";

const tags = (...names: readonly string[]): readonly Tag[] =>
  names.map((name, index) => ({ name, revision: revision(index.toString(16).padStart(40, "0")) }));
const newest = (range: string, names: readonly string[], prefix = "") => chosenTag({ kind: "semver", range, prefix }, tags(...names))?.name;

suite("the newest tag of a range", () => {
  const table: readonly (readonly [string, readonly string[], string | undefined])[] = [
    [">=1.2 <2", ["v1.1.0", "v1.2.0", "v1.10.0", "v1.9.3", "v2.0.0"], "v1.10.0"],
    ["^1.2", ["1.2.0", "1.3.0"], "1.3.0"],
    ["~1.2.3", ["v1.2.2", "v1.3.0"], undefined],
    ["1.2.3", ["v1.2.3"], "v1.2.3"],
    ["*", ["latest", "v1", "v1.2", "release-2.0.0", "v0.1.0"], "v0.1.0"],
    // Pre-releases only where the range names one of the same version.
    ["*", ["v1.0.0-rc.1"], undefined],
    ["^1.2", ["v1.2.0", "v1.3.0-rc.1"], "v1.2.0"],
    [">=1.3.0-rc.1", ["v1.2.0", "v1.3.0-rc.1", "v1.3.0-rc.10", "v1.4.0-rc.1"], "v1.3.0-rc.10"],
    [">=1.3.0-rc.1", ["v1.3.0-rc.10", "v1.3.0"], "v1.3.0"],
    // Of one version: what is behind a + decides, then the name.
    ["^1.2", ["v1.2.0+build.2", "v1.2.0+build.10", "v1.2.0"], "v1.2.0+build.10"],
    ["^1.2", ["v1.2.0", "1.2.0"], "1.2.0"],
  ];
  for (const [range, names, expected] of table)
    test(`of ${range} among ${names.join(", ")} is ${expected ?? "none"}`, () => {
      assert.equal(newest(range, names), expected);
      assert.equal(newest(range, names.toReversed()), expected);
    });

  test("is looked for among those with the prefix alone", () => {
    const names = ["v9.0.0", "pgo-v1.2.0", "pgo-1.1.0", "other-v3.0.0", "pgo/v4.0.0"];
    assert.equal(newest("*", names, "pgo-"), "pgo-v1.2.0");
    assert.equal(newest("*", names, "pgo/"), "pgo/v4.0.0");
    assert.deepEqual(candidates({ kind: "semver", range: ">8", prefix: "pgo-" }, tags(...names)), ["pgo-v1.2.0", "pgo-1.1.0"]);
  });

  test("satisfies it, and no other that does is newer", () => {
    const number = fc.nat(3);
    const versions = fc
      .tuple(number, number, number, fc.constantFrom("", "-rc.1", "-rc.2"))
      .map(([a, b, c, pre]) => `v${a}.${b}.${c}${pre}`);
    const ranges = fc.constantFrom("*", "^1", ">=1.2 <3", "~2.1", ">=1.0.0-rc.1 <2", "0.x || 3.1.x");
    fc.assert(
      fc.property(fc.uniqueArray(versions, { maxLength: 12 }), ranges, (names, range) => {
        const fitting = names.filter((name) => semver.satisfies(name, range));
        const found = newest(range, names);
        assert.equal(found === undefined, fitting.length === 0);
        if (found !== undefined) assert.ok(fitting.every((name) => semver.lte(name, found)));
      }),
    );
  });
});

test("a tag is found by its whole name", () => {
  assert.equal(chosenTag({ kind: "tag", tag: "v1.0" }, tags("v1.0.0", "a/v1.0", "v1.0"))?.name, "v1.0");
  assert.equal(chosenTag({ kind: "tag", tag: "v1" }, tags("v1.0")), undefined);
});

test("what there is to choose from begins with the newest version", () => {
  assert.deepEqual(candidates({ kind: "tag", tag: "x" }, tags("b", "v1.2.0", "a", "v1.10.0")), ["v1.10.0", "v1.2.0", "a", "b"]);
});

test("a source follows one thing", () => {
  assert.equal(strayRef({ branch: "main" }), undefined);
  assert.equal(strayRef({ semver: "^1", tag_prefix: "x-" }), undefined);
  assert.deepEqual(strayRef({ branch: "main", tag: "v1" }), {
    key: "tag",
    message: "a source follows one of branch, tag, semver and commit: take out this or branch",
  });
  assert.equal(strayRef({ semver: "^1", commit: "a" })?.key, "commit");
  assert.equal(strayRef({ tag: "v1", tag_prefix: "x-" })?.key, "tag_prefix");
});

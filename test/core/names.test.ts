/** Names: which texts can be one, and that what can't is refused in words. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import {
  NameError,
  applicationId,
  applicationName,
  digestOf,
  partsOf,
  relativePath,
  revision,
  serviceName,
  sourceName,
  unitName,
} from "../../src/core/names.ts";

function refuses(parse: (text: string) => string, texts: readonly string[]): void {
  for (const text of texts) assert.throws(() => parse(text), NameError, JSON.stringify(text));
}

test("sources and applications are named by what can be a directory", () => {
  for (const name of ["shop", "a", "9", "shop-2.b_c", "A".repeat(63)]) assert.equal(applicationName(name), name);
  for (const parse of [sourceName, applicationName])
    refuses(parse, ["", ".", "..", ".git", "-x", "a/b", "a b", "a\n", "ä", "a\0", "A".repeat(64)]);
});

test("a revision is a full commit hash", () => {
  assert.equal(revision("a".repeat(40)), "a".repeat(40));
  assert.equal(revision("0".repeat(64)), "0".repeat(64));
  refuses(revision, ["", "abc", "A".repeat(40), "a".repeat(41), "HEAD", `${"a".repeat(40)}\n`]);
});

test("a path stays inside its application", () => {
  for (const path of ["a", "a/b.c", ".env", "a b", "..a", "a..", "…"]) assert.equal(relativePath(path), path);
  refuses(relativePath, ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "./a", "a\0b"]);
});

test("units and services are named as systemd takes it", () => {
  for (const name of ["web.container", "a-b_c:d\\x20.network", "web@1.service", "web@.service"]) assert.equal(unitName(name), name);
  refuses(unitName, [
    "web",
    ".container",
    "a b.container",
    "a/b.container",
    "web.",
    "ä.container",
    `${"a".repeat(250)}.container`,
    "a@b@c.service",
  ]);
  refuses(serviceName, ["web"]);
});

test("an application's id comes apart into what it was made of", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[a-z][a-z0-9.-]{0,10}$/), fc.stringMatching(/^[a-z][a-z0-9.-]{0,10}$/), (source, name) => {
      const id = applicationId(sourceName(source), applicationName(name));
      assert.deepEqual(partsOf(id), { source, application: name });
    }),
  );
});

suite("a digest", () => {
  test("is the same for text and its bytes", () => {
    assert.equal(digestOf("é"), digestOf(Buffer.from("é")));
  });

  test("differs where the parts differ, also when they are the same joined", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.array(fc.string()), (one, other) => {
        const same = one.length === other.length && one.every((text, index) => text === other[index]);
        assert.equal(digestOf(...one) === digestOf(...other), same);
      }),
    );
    assert.notEqual(digestOf("ab", "c"), digestOf("a", "bc"));
    assert.notEqual(digestOf("1:a"), digestOf("", "a"));
  });
});

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { closest, levenshtein } from "../../src/core/closest.ts";

test("a misspelt word finds the one that is meant", () => {
  assert.equal(closest("intervall", ["interval", "branch"]), "interval");
  assert.equal(closest("PublishPorts", ["PodmanArgs", "PublishPort", "Pull"]), "PublishPort");
  assert.equal(closest("ssh_kye", ["known_hosts", "ssh_key"]), "ssh_key");
  assert.equal(closest("URL", ["url"]), "url");
});

test("the beginning of a word finds it", () => {
  assert.equal(closest("stat", ["contains", "status"]), "status");
});

test("a word that is like none finds none", () => {
  assert.equal(closest("bogus", ["interval", "branch", "url"]), undefined);
  assert.equal(closest("x", []), undefined);
});

test("the distance is the same in both directions, zero only between equal words, and never more than the longer word", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (one, other) => {
      const distance = levenshtein(one, other);
      assert.equal(distance, levenshtein(other, one));
      assert.equal(distance === 0, one === other);
      assert.ok(distance <= Math.max(one.length, other.length));
    }),
  );
});

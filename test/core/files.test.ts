/** The digest of a file. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { fileDigest, fileDigester } from "../../src/core/files.ts";

test("a file's digest is of its content and its permissions, not of its type", () => {
  const content = Buffer.from("[Container]\n");
  assert.equal(fileDigest(0o644, content), fileDigest(0o100644, content));
  assert.notEqual(fileDigest(0o644, content), fileDigest(0o600, content));
  assert.notEqual(fileDigest(0o644, content), fileDigest(0o644, Buffer.from("[Container]")));
});

test("a file read in pieces has the digest of the whole", () => {
  const digester = fileDigester(0o100755, 6);
  for (const piece of ["ab", "", "cdef"]) digester.add(Buffer.from(piece));
  assert.equal(digester.digest(), fileDigest(0o755, Buffer.from("abcdef")));
});

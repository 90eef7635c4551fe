import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { redactor } from "../../src/core/redact.ts";
import { planted } from "../planted.ts";

test("a secret is taken out wherever it stands, and only it", () => {
  const redact = redactor(["hunter2!"]);
  assert.equal(redact("login with hunter2! and hunter2!hunter2!."), "login with *** and ******.");
  assert.equal(redact("hunter2 is not it"), "hunter2 is not it");
  assert.equal(redact(""), "");
  assert.equal(redactor([])("hunter2!"), "hunter2!");
});

test("overlapping secrets leave nothing of either", () => {
  const redact = redactor(["abcdef", "defghi", "abcd"]);
  assert.equal(redact("x abcdefghi y abcd z abcdef"), "x *** y *** z ***");
});

test("the forms in which programs print a secret are taken out too", () => {
  const secret = "p@ss w0rd/ü\"'<$>!";
  const redact = redactor([secret]);
  const forms: Readonly<Record<string, string>> = {
    json: JSON.stringify({ password: secret }),
    "json of Go": JSON.stringify(secret).replaceAll("<", "\\u003c").replaceAll(">", "\\u003e"),
    "json in ASCII": JSON.stringify(secret).replaceAll("ü", "\\u00fc"),
    url: `https://x/?q=${encodeURIComponent(secret)}`,
    "url, all encoded": encodeURIComponent(secret).replaceAll("!", "%21").replaceAll("'", "%27"),
    "url, small letters": encodeURIComponent(secret).toLowerCase(),
    form: new URLSearchParams({ password: secret }).toString(),
    base64: Buffer.from(secret).toString("base64"),
    base64url: Buffer.from(secret).toString("base64url"),
    "base64 of user and password": Buffer.from(`ed:${secret}`).toString("base64"),
    "base64 in the middle": Buffer.from(`{"password":${JSON.stringify("x")},"b":"${secret}"}`).toString("base64"),
  };
  for (const [name, form] of Object.entries(forms)) {
    const left = redact(form);
    assert.ok(left.includes("***"), name);
    for (const piece of ["w0rd", "%40ss", "cEBzcy", "BAc3M"]) assert.ok(!left.includes(piece), `${name}: ${left}`);
  }
});

test("a secret of several lines is taken out of logs, which have it line by line", () => {
  const redact = redactor(["-----BEGIN KEY-----\nc2VjcmV0IHRleHQ\nxyz\n-----END KEY-----\n"]);
  assert.equal(redact("app: c2VjcmV0IHRleHQ"), "app: ***");
  assert.equal(redact("app: xyz"), "app: xyz", "a short line is nobody's secret");
});

test("values that occur everywhere are left out", () => {
  const redact = redactor(["", "a", "abc", "true", "FALSE", "None"]);
  assert.equal(redact("a abc true FALSE None"), "a abc true FALSE None");
  assert.equal(redactor(["abcd"])("abcd"), "***");
});

test("whatever the text, no secret is left in it, and what is no part of one stays", () => {
  const piece = fc.oneof(fc.constantFrom(...planted), fc.string({ maxLength: 6 }), fc.constantFrom("pl4n", "ted-plain-0", "\n", " "));
  const redact = redactor(planted);
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const text = pieces.join("");
      const left = redact(text);
      for (const secret of planted) assert.ok(!left.includes(secret), JSON.stringify([text, left]));
      if (!planted.some((secret) => text.includes(secret.trim().split("\n")[0] ?? ""))) assert.equal(left, text);
    }),
  );
});

test("a long text is one pass, whatever the number of secrets", () => {
  const secrets = Array.from({ length: 500 }, (_, index) => `secret-number-${String(index)}-${String(index * 7919)}`);
  const text = "a line of a log that has no secret in it, secret-number or so\n".repeat(20_000) + (secrets[499] ?? "");
  const redact = redactor(secrets);
  assert.ok(redact(text).endsWith("or so\n***"));
});

/** Which files of Git count as encrypted, and what the plain one is called. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { encryptionOf, plainName, sopsFormatOf } from "../../src/core/encrypted.ts";

test("the format is told by the name, as sops does it", () => {
  const names = ["a.yaml", "a.yml", "a.json", "a.env", ".env", "a.ini", "a.pem", "a", "a.yaml.bak"];
  assert.deepEqual(names.map(sopsFormatOf), ["yaml", "yaml", "json", "dotenv", "dotenv", "ini", "binary", "binary", "binary"]);
});

test("a file is encrypted by its name or by the marks of sops for its format, and not by the mere word", () => {
  const mac = "ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]";
  const cases: readonly (readonly [string, string, "age" | "sops" | undefined])[] = [
    ["a.env.age", "", "age"],
    ["a.yaml", `a: 1\nsops:\n    mac: ${mac}\n`, "sops"],
    ["a.yaml", "sops:\n  mac: no\n", undefined],
    ["a.yaml", `b:\n  sops:\n    mac: ${mac}\n`, undefined],
    ["a.json", `{"sops": {"mac": "${mac}"}}`, "sops"],
    ["a.pem", `{"data": "x", "sops": {"mac": "${mac}"}}`, "sops"],
    ["a.json", '{"sops": 1}', undefined],
    ["a.env", `A=1\nsops_mac=${mac}\n`, "sops"],
    ["a.env", "SOPS=sops_mac\n", undefined],
    ["a.ini", `[sops]\nmac = ${mac}\n`, "sops"],
    ["a.ini", "[sops]\nmac=1\n", undefined],
    ["README.md", "how to use sops", undefined],
  ];
  for (const [path, text, expected] of cases) assert.equal(encryptionOf(path, Buffer.from(text)), expected, `${path} ${text}`);
});

test("the plain file of age loses its suffix, that of sops keeps its name", () => {
  assert.equal(plainName("conf/app.env.age", "age"), "conf/app.env");
  assert.equal(plainName("app.yaml", "sops"), "app.yaml");
  assert.equal(plainName("app.age.txt", undefined), "app.age.txt");
});

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { readSecret, type SecretPlaces } from "../../src/adapters/secrets.ts";
import { success } from "../../src/core/result.ts";
import { directory } from "./git-repository.ts";

const places = (directory: string, more: Partial<SecretPlaces> = {}): SecretPlaces => ({
  directory,
  missing: "error",
  environment: {},
  ...more,
});

test("a file's text without its last line break, by whole path or below the secrets directory", async (t) => {
  const at = await directory(t);
  await writeFile(join(at, "token"), "  a$b\n\n");
  await writeFile(join(at, "dos"), "x\r\n");
  assert.deepEqual(await readSecret({ file: "token" }, places(at)), success("  a$b\n"));
  assert.deepEqual(await readSecret({ file: join(at, "dos") }, places("/nowhere")), success("x"));
});

test("a relative file can't lead out of the secrets directory", async (t) => {
  const at = await directory(t);
  await mkdir(join(at, "secrets"));
  await writeFile(join(at, "token"), "x");
  for (const file of ["../token", "a/../../token"]) {
    const found = await readSecret({ file }, places(join(at, "secrets"), { missing: "empty" }));
    assert.ok(!found.ok && found.trouble.includes("lies outside of"), file);
  }
});

test("a variable: pgo's environment before the *.env files, of these the last by name, dollar signs untouched", async (t) => {
  const at = await directory(t);
  await writeFile(join(at, "10.env"), "A=first\nB=\"pa$$word # ${A}\"\n# C=no\nexport D='x'\n");
  await writeFile(join(at, "20.env"), "A=second\n");
  await writeFile(join(at, "30.txt"), "A=third\n");
  assert.deepEqual(await readSecret({ env: "A" }, places(at)), success("second"));
  assert.deepEqual(await readSecret({ env: "A" }, places(at, { environment: { A: "own" } })), success("own"));
  assert.deepEqual(await readSecret({ env: "B" }, places(at)), success("pa$$word # ${A}"));
  assert.deepEqual(await readSecret({ env: "D" }, places(at)), success("x"));
  const missing = await readSecret({ env: "C" }, places(at));
  assert.deepEqual(missing, { ok: false, trouble: `secret C is not set: add a line C=… to a *.env file in ${at}` });
  for (const name of ["constructor", "__proto__", "toString"]) assert.equal((await readSecret({ env: name }, places(at))).ok, false, name);
});

test("a credential of systemd's, by name only", async (t) => {
  const at = await directory(t);
  await writeFile(join(at, "token"), "x\n");
  const environment = { CREDENTIALS_DIRECTORY: at };
  assert.deepEqual(await readSecret({ credential: "token" }, places("/nowhere", { environment })), success("x"));
  const absent = 'credential "token" is not there: add LoadCredential=token:/PATH to pgo\'s unit';
  assert.deepEqual(await readSecret({ credential: "token" }, places(at)), { ok: false, trouble: absent });
  assert.equal((await readSecret({ credential: "../token" }, places(at, { environment }))).ok, false);
});

test("what is missing is an error, an empty value with a warning, or just empty", async (t) => {
  const at = await directory(t);
  for (const reference of [{ file: "x" }, { env: "X" }, { credential: "x" }]) {
    const told: string[] = [];
    const warn = (message: string) => told.push(message);
    const error = await readSecret(reference, places(at, { warn }));
    assert.ok(!error.ok);
    assert.deepEqual(await readSecret(reference, places(at, { missing: "empty", warn })), success(""));
    assert.deepEqual(told, []);
    assert.deepEqual(await readSecret(reference, places(at, { missing: "warn", warn })), success(""));
    assert.deepEqual(told, [`${error.trouble}; taken as empty`]);
  }
});

test("what is there but can't be read is a trouble whatever missing says", async (t) => {
  const at = await directory(t);
  await mkdir(join(at, "folder"));
  await mkdir(join(at, "folder.env"));
  for (const reference of [{ file: "folder" }, { env: "X" }]) {
    const found = await readSecret(reference, places(at, { missing: "empty" }));
    assert.ok(!found.ok && found.trouble.includes("EISDIR"));
  }
});

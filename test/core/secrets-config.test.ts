/** What pgo.toml may say of secrets: where they are, never what they are. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { z } from "zod";

import { applicationSecrets, hostSecrets, isAllowed, isPodmanSecretName } from "../../src/core/secrets-config.ts";

const host = z.strictObject(hostSecrets);
const wrong = (result: { readonly error?: z.ZodError | undefined }) => (result.error?.issues ?? []).map(({ message }) => message);

test("variables of systemd are named one by one or by their beginning, never all", () => {
  assert.deepEqual(host.parse({}), { manager_environment: [] });
  assert.deepEqual(host.parse({ manager_environment: ["A", "SHOP_*"] }).manager_environment, ["A", "SHOP_*"]);
  for (const one of ["*", "", "A*B", "1A", "A-B"]) assert.equal(wrong(host.safeParse({ manager_environment: [one] })).length, 1, one);
  assert.deepEqual(
    ["A", "AB", "SHOP_", "SHOP_DB", "XSHOP_DB"].map((name) => isAllowed(name, ["A", "SHOP_*"])),
    [true, false, true, true, false],
  );
});

test("the age key is named, never written", () => {
  assert.deepEqual(host.parse({ age_key: { file: "/etc/pgo/age.key" } }).age_key, { file: "/etc/pgo/age.key" });
  assert.deepEqual(host.parse({ age_key: { credential: "age" } }).age_key, { credential: "age" });
  for (const one of ["AGE-SECRET-KEY-1", { file: "a", credential: "b" }, { env: "X" }])
    assert.deepEqual(wrong(host.safeParse({ age_key: one })), [
      'the key is named, not written here: { file = "…" } or { credential = "…" }',
    ]);
});

test("a Podman secret has a name that Podman takes and a value that is elsewhere", () => {
  const { podman } = applicationSecrets.parse({ podman: { db: { env: "DB_PASSWORD" }, "tls.key": { file: "tls/key.pem.age" } } });
  assert.deepEqual(podman, { db: { env: "DB_PASSWORD" }, "tls.key": { file: "tls/key.pem.age" } });
  assert.deepEqual(applicationSecrets.parse({}), { podman: {} });
  for (const value of ["s3cret", { value: "x" }, { file: "../key" }, { file: "/etc/key" }, { env: "" }])
    assert.ok(!applicationSecrets.safeParse({ podman: { db: value } }).success, JSON.stringify(value));
  for (const name of ["", "a=b", "a/b", "a,b", "a\nb", " a", "x".repeat(254)]) {
    assert.ok(!isPodmanSecretName(name), name);
    assert.ok(!applicationSecrets.safeParse({ podman: { [name]: { env: "A" } } }).success, name);
  }
  for (const name of ["a", "a.b", "a_b-c", "-a", "ä", "x".repeat(253)]) assert.ok(isPodmanSecretName(name), name);
});

/** Which policy counts for an application: presets, the three sections, and names that are misspelt. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { policySettings, presetRules, strayPolicies } from "../../src/core/policy-config.ts";
import { applicationId, applicationName, sourceName } from "../../src/core/names.ts";
import { readToml } from "../../src/core/toml.ts";
import { contained, open, policy } from "./policy.ts";

const other = applicationId(sourceName("fleet"), applicationName("shop"));

suite("the policy of an application", () => {
  test("is open where nothing is written, and forbids nothing", () => {
    assert.deepEqual(open.rules, presetRules.open);
    assert.equal(open.restricts, false);
    assert.equal(open.mode, "enforce");
  });

  test("is the preset, with the keys beside it in its place", () => {
    const made = policy('preset = "contained"\nmounts = ["/srv/data"]\nmode = "warn"');
    assert.deepEqual(made.rules, { ...presetRules.contained, mounts: ["/srv/data"] });
    assert.equal(made.mode, "warn");
    assert.equal(contained.restricts, true);
  });

  test("is that of its source before that of all, and its own before both, key by key", () => {
    const toml =
      'podman_args = false\nregistries = ["a.io"]\n[source.guest]\nregistries = ["b.io"]\nkube = false\n[application."guest/shop"]\nkube = true\n';
    const { rules, from } = policy(toml);
    assert.deepEqual([rules.podman_args, rules.registries, rules.kube], [false, ["b.io"], true]);
    assert.deepEqual(
      [from.podman_args, from.registries, from.kube],
      ["[policy]", "[policy.source.guest]", '[policy.application."guest/shop"]'],
    );
    assert.deepEqual(policy(toml, other).rules, { ...presetRules.open, podman_args: false, registries: ["a.io"] });
  });

  test("starts anew at a preset: what loosens all others doesn't loosen what is contained", () => {
    const toml = 'mounts = ["*"]\nprivileged = true\nmode = "warn"\n[source.guest]\npreset = "contained"\nkube = true\n';
    const made = policy(toml);
    assert.deepEqual(made.rules, { ...presetRules.contained, kube: true });
    assert.equal(made.mode, "enforce");
    assert.equal(made.from.mounts, "[policy.source.guest]");
  });

  test("may be open for one source of a host that contains all others", () => {
    assert.equal(policy('preset = "contained"\n[source.guest]\npreset = "open"\n').restricts, false);
  });

  test("is not what every object has, of a source called like that", () => {
    const odd = applicationId(sourceName("constructor"), applicationName("toString"));
    assert.deepEqual(policy("", odd), { ...open, from: { ...policy("", odd).from } });
  });

  test("restricts as soon as one key does", () => {
    for (const line of ['registries = ["a.io"]', "podman_args = false", "require_digest = true", "mounts = []", "root_user = false"])
      assert.equal(policy(line).restricts, true, line);
    for (const line of ['registries = ["*"]', "podman_args = true", "require_digest = false", 'mounts = ["/srv", "*"]'])
      assert.equal(policy(line).restricts, false, line);
  });
});

suite("a section that would never count is a mistake", () => {
  const stray = (toml: string) => {
    const read = readToml(toml, "pgo.toml", policySettings);
    assert.ok(read.ok);
    return strayPolicies(read.value, ["fleet", "guest"]).map(({ path, message }) => `${path.join(".")}: ${message}`);
  };

  test("of a source that isn't there", () => {
    assert.deepEqual(stray('[source.gest]\npreset = "contained"\n[source.fleet]\n'), [
      'source.gest: there is no source "gest" (did you mean "guest"?): the section would never count',
    ]);
  });

  test("of an application without its source, which any source could bring", () => {
    assert.deepEqual(stray("[application.shop]\n"), ['application.shop: must be "SOURCE/APPLICATION", such as "fleet/shop"']);
    assert.deepEqual(stray('[application."other/shop"]\n'), [
      'application.other/shop: there is no source "other": the section would never count',
    ]);
    assert.deepEqual(stray('[application."guest/a/b"]\n').length, 1);
    assert.deepEqual(stray('[application."guest/shop"]\n'), []);
  });

  test("and so is a key that there isn't", () => {
    const read = readToml("podman_arg = false\n", "pgo.toml", policySettings);
    assert.ok(!read.ok);
    assert.match(read.trouble[0]?.message ?? "", /podman_arg/);
  });
});

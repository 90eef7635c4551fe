/** Health checks that run on the host: the host's own pgo.toml may ask for them, Git where the policy lets it. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { Pgo, id, isSettled, minute } from "./pgo.ts";

const web = (image = "good:1") => `[Container]\nImage=localhost/${image}\n`;
const inGit = '[health.web]\ndeadline = "10s"\ncommand = { run = ["check", "web.service"], on = "host" }\n';
const shop = { "shop/web.container": web(), "shop/pgo.toml": inGit };

suite("a command on the host", () => {
  test("that Git asks for is refused with file and line, where nobody has allowed it", async () => {
    await using pgo = new Pgo();
    await pgo.push(shop);
    assert.equal(pgo.outcome("shop"), "rejected");
    assert.match(
      pgo.record("shop")?.message ?? "",
      /^shop\/pgo\.toml:3: command with on = "host" in \[health\.web\] is not allowed by policy/,
    );
    assert.deepEqual(pgo.world.changes, []);
  });

  test("that Git asks for is run where the policy of its source allows it, and undoes what fails it", async () => {
    await using pgo = new Pgo({ config: { policy: { source: { fleet: { host_commands: true } } } } });
    await pgo.push(shop);
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.equal(pgo.store.health(id("shop"))[0]?.checkedBy, "command");
    await pgo.push({ ...shop, "shop/web.container": web("sick:1") });
    assert.equal(pgo.outcome("shop"), "rolled-back");
    isSettled(pgo);
  });

  test("is run no more once the policy has changed, though what it checked runs on", async () => {
    await using pgo = new Pgo({ config: { policy: { host_commands: true } } });
    await pgo.push(shop);
    pgo.reconfigure({});
    pgo.forget();
    await pgo.pass(10 * minute);
    assert.equal(pgo.asked.includes("probe"), false);
    assert.equal(pgo.store.health(id("shop"))[0]?.checkedBy, "process");
  });

  test("that the host's own pgo.toml asks for is run with any policy", async () => {
    const command = { run: ["check", "web.service"], on: "host" };
    await using pgo = new Pgo({ config: { application: { shop: { health: { web: { command } } } } } });
    await pgo.push({ "shop/web.container": web() });
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.equal(pgo.store.health(id("shop"))[0]?.checkedBy, "command");
  });
});

/** A health check whose header is a secret: the secret is there before anything is touched. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { Pgo, isSettled, minute } from "./pgo.ts";

const web = (image: string) => `[Container]\nImage=localhost/${image}\n`;
const asking = '[health.web]\nhttp = { url = "http://web.service/", headers = { Authorization = { secret = "API_TOKEN" } } }\n';
const shop = { "shop/web.container": web("good:1"), "shop/pgo.toml": asking };

suite("a secret that the header of a health check names", () => {
  test("and that is nowhere holds the application with the host untouched, until there is one", async () => {
    await using pgo = new Pgo();
    await pgo.push(shop);
    assert.equal(pgo.outcome("shop"), "held");
    assert.equal(
      pgo.record("shop")?.message,
      "shop/pgo.toml: the health check of web.service needs for its header Authorization the secret API_TOKEN, " +
        "which is nowhere on this host: set it with ctl secret set API_TOKEN",
    );
    assert.deepEqual(pgo.world.changes, []);
    pgo.secretValues.set("SHOP_API_TOKEN", "s3cret");
    await pgo.pass(2 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  test("holds the new version alone: what runs goes on", async () => {
    await using pgo = new Pgo();
    await pgo.push({ "shop/web.container": web("good:1") });
    pgo.forget();
    await pgo.push({ ...shop, "shop/web.container": web("good:2") });
    assert.equal(pgo.outcome("shop"), "held");
    assert.deepEqual(pgo.world.changes, []);
    isSettled(pgo);
  });

  for (const missing of ["warn", "empty"] as const)
    test(`with missing = "${missing}" is empty, ${missing === "warn" ? "with a warning" : "and nothing is said"}`, async () => {
      await using pgo = new Pgo({ config: { secrets: { missing } } });
      await pgo.push(shop);
      assert.equal(pgo.outcome("shop"), "deployed");
      assert.equal(JSON.stringify(pgo.told).includes("API_TOKEN"), missing === "warn");
    });

  test("and that the policy keeps from the application is not there for it", async () => {
    await using pgo = new Pgo({ config: { policy: { secrets: ["OTHER_*"] } } });
    pgo.secretValues.set("API_TOKEN", "s3cret");
    await pgo.push(shop);
    assert.equal(pgo.outcome("shop"), "held");
    assert.match(
      pgo.record("shop")?.message ?? "",
      /header Authorization a secret that the policy of this host keeps from this application/,
    );
  });

  test("is not needed where the host's pgo.toml asks otherwise", async () => {
    const host = { shop: { health: { web: { http: { url: "http://web.service/" } } } } };
    await using pgo = new Pgo({ config: { application: host } });
    await pgo.push(shop);
    assert.equal(pgo.outcome("shop"), "deployed");
  });

  test("is needed where the host's pgo.toml names it, and told of the unit", async () => {
    const headers = { Authorization: { secret: "API_TOKEN" } };
    const host = { shop: { health: { web: { http: { url: "http://web.service/", headers } } } } };
    await using pgo = new Pgo({ config: { application: host } });
    await pgo.push({ "shop/web.container": web("good:1") });
    assert.match(pgo.record("shop")?.message ?? "", /^shop\/web\.container: the health check of web\.service needs .* API_TOKEN/);
  });
});

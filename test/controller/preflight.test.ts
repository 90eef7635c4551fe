/** A rollout that lacks something of the host's is held before anything is touched, and goes on by itself when it is there. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { endpoint } from "../../src/core/endpoint.ts";
import { Pgo, isSettled, minute, service } from "./pgo.ts";

const container = (image: string, ...lines: readonly string[]) => ["[Container]", `Image=localhost/${image}`, ...lines, ""].join("\n");
const asks = ["listening", "secrets", "missing", "storage", "freeSpace"];

suite("a new version", () => {
  for (const [what, lines, lack, mend, why] of [
    [
      "whose port something else has",
      ["PublishPort=8080:80"],
      (pgo: Pgo) => void pgo.world.listening.push(endpoint("tcp", "127.0.0.1", 8080)),
      (pgo: Pgo) => void pgo.world.listening.pop(),
      /^web\.container publishes 8080\/tcp, which something else on the host has: /,
    ],
    [
      "whose secret is missing",
      ["Secret=token"],
      () => undefined,
      (pgo: Pgo) => void pgo.world.podmanSecrets.set("token", { value: "x", labels: {}, updatedAt: new Date(0) }),
      /^web\.container needs the Podman secret token, which is not there: /,
    ],
    [
      "whose directory is missing",
      ["Volume=/srv/data:/data"],
      (pgo: Pgo) => void pgo.world.absent.add("/srv/data"),
      (pgo: Pgo) => void pgo.world.absent.delete("/srv/data"),
      /^web\.container mounts \/srv\/data, which is not on the host/,
    ],
    [
      "that Podman has no room for",
      [],
      (pgo: Pgo) => void Object.assign(pgo.world.free, { podman: 5e6 }),
      (pgo: Pgo) => void Object.assign(pgo.world.free, { podman: 5e9 }),
      /^only 5 MB are free at \/var\/lib\/containers\/storage, and \[state\] min_free is 100 MB: /,
    ],
    [
      "that pgo's state has no room for",
      [],
      (pgo: Pgo) => void Object.assign(pgo.world.free, { state: 0 }),
      (pgo: Pgo) => void Object.assign(pgo.world.free, { state: 5e9 }),
      /^only 0 B are free at \/var\/lib\/pgo, /,
    ],
  ] as const)
    test(`${what} is held with the host untouched, and goes on when that is mended`, async () => {
      await using pgo = new Pgo();
      await pgo.push({ "shop/web.container": container("good:1") });
      pgo.forget();
      lack(pgo);
      await pgo.push({ "shop/web.container": container("good:2", ...lines) });
      assert.equal(pgo.outcome("shop"), "held");
      assert.match(pgo.record("shop")?.message ?? "", why);
      await pgo.pass(10 * minute);
      assert.deepEqual(pgo.world.changes, []);
      assert.equal(pgo.outcomes().length, 1, "told once");
      const plan = await pgo.until(pgo.commands.plan(undefined, new AbortController().signal));
      assert.match(plan.applications[0]?.message ?? "", new RegExp(`^would be held: ${why.source.slice(1)}`));

      mend(pgo);
      await pgo.pass(60 * minute);
      assert.equal(pgo.outcome("shop"), "deployed");
      isSettled(pgo);
    });

  test("restarts with the port that it has, and moves to another", async () => {
    await using pgo = new Pgo();
    for (const [image, port] of [
      ["good:1", "8080:80"],
      ["good:2", "8080:80"],
      ["good:2", "8081:80"],
    ] as const) {
      await pgo.push({ "shop/web.container": container(image, `PublishPort=${port}`) });
      assert.equal(pgo.outcome("shop"), "deployed");
    }
  });

  test("waits for a port that another application has, and takes it when that has moved", async () => {
    await using pgo = new Pgo();
    const shop = { "shop/web.container": container("good:1", "PublishPort=8080:80") };
    await pgo.push(shop);
    await pgo.push({ ...shop, "blog/blog.container": container("good:1", "PublishPort=8080:80") });
    assert.equal(
      pgo.record("blog")?.message,
      "blog.container publishes 8080/tcp, which web.service of fleet/shop has: publish another port",
    );
    await pgo.push({
      "shop/web.container": container("good:1", "PublishPort=8081:80"),
      "blog/blog.container": container("good:1", "PublishPort=8080:80"),
    });
    await pgo.pass(30 * minute);
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "deployed"]);
  });

  test("moves a port from one unit to another in one rollout", async () => {
    await using pgo = new Pgo();
    await pgo.push({ "shop/web.container": container("good:1", "PublishPort=8080:80"), "shop/db.container": container("good:1") });
    await pgo.push({
      "shop/web.container": container("good:1", "PublishPort=8081:80"),
      "shop/db.container": container("good:1", "PublishPort=8080:80"),
    });
    assert.equal(pgo.outcome("shop"), "deployed");
  });
});

suite("what can't be asked, or need not be", () => {
  test("holds nothing: Podman that does not say what it has", async () => {
    await using pgo = new Pgo();
    const { podman, host } = pgo.world.ports;
    const away = () => Promise.reject(new Error("no answer"));
    Object.assign(podman, { secrets: away, storage: away });
    Object.assign(host, { listening: away, missing: away, freeSpace: away });
    pgo.world.podmanSecrets.set("token", { value: "x", labels: {}, updatedAt: new Date(0) });
    await pgo.push({ "shop/web.container": container("good:1", "Secret=token", "PublishPort=8080:80", "Volume=/srv/x:/x") });
    assert.equal(pgo.outcome("shop"), "deployed");
  });

  test("is not asked for a version that starts nothing, nor for what a unit does not name", async () => {
    await using pgo = new Pgo();
    await pgo.push({ "shop/web.container": container("good:1") });
    assert.deepEqual(
      asks.filter((one) => pgo.asked.includes(one)),
      ["storage", "freeSpace"],
    );
    pgo.forget();
    await pgo.push({ "shop/web.container": `# a comment\n${container("good:1")}` });
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.deepEqual(
      asks.filter((one) => pgo.asked.includes(one)),
      [],
    );
  });

  test("a full disk keeps no service from being started again", async () => {
    await using pgo = new Pgo();
    await pgo.push({ "shop/web.container": container("good:1") });
    Object.assign(pgo.world.free, { podman: 0, state: 0 });
    pgo.world.machine.stop(service("web"));
    await pgo.pass(10 * minute);
    assert.equal(pgo.world.machine.state(service("web")).active, "active");
  });

  test('min_free = "0" looks at no disk', async () => {
    await using pgo = new Pgo({ config: { state: { min_free: "0" } } });
    Object.assign(pgo.world.free, { podman: 0, state: 0 });
    await pgo.push({ "shop/web.container": container("good:1") });
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.equal(pgo.asked.includes("storage"), false);
  });
});

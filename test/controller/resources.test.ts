/** What containers use: read with the look for drift, shown in status and metrics, and a failure where it is too much. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { Pgo, id, isSettled, minute, service } from "./pgo.ts";

const never = new AbortController().signal;
const web = (image = "good:1") => `[Container]\nImage=localhost/${image}\n`;
const look = 5 * minute;
const config = { quadlet: { drift_interval: "5m" } };

async function deployed(toml = "", more: object = {}): Promise<Pgo> {
  const pgo = new Pgo({ config: { ...config, ...more } });
  await pgo.push({ "shop/web.container": web(), ...(toml === "" ? {} : { "shop/pgo.toml": toml }) });
  assert.equal(pgo.outcome("shop"), "deployed", pgo.record("shop")?.message);
  return pgo;
}

const warnings = (pgo: Pgo) => pgo.told.flatMap((event) => (event.type === "warning" ? [event.message] : []));

suite("what containers use", () => {
  test("is read with the look for drift, one question for all, and shown in the status until the next", async () => {
    await using pgo = await deployed();
    pgo.world.used.set(service("web"), { memory: 40e6, memoryLimit: 100e6, cpuSeconds: 10, oomKills: 1 });
    await pgo.pass(look);
    pgo.world.used.set(service("web"), { memory: 50e6, memoryLimit: 100e6, cpuSeconds: 40, oomKills: 1 });
    pgo.forget();
    await pgo.pass(look);
    assert.equal(pgo.asked.filter((call) => call === "stats").length, 1);
    pgo.forget();
    const status = await pgo.until(pgo.commands.status(never));
    const { at, ...resources } = status.applications[0]?.units[0]?.resources ?? { at: "" };
    assert.deepEqual(resources, {
      ...{ memoryBytes: 50e6, memoryLimitBytes: 100e6, cpuPercent: 10, cpuSeconds: 40, restarts: 0, oomKills: 1, lacking: [] },
      message: "memory 50 MB of 100 MB, CPU 10 % of a core, 0 restarts, 1 OOM kill",
    });
    assert.ok(Date.parse(at) > 0);
    assert.equal(pgo.asked.includes("stats"), false, "status asks for nothing of it");
  });

  test("says where there is no figure", async () => {
    await using pgo = await deployed();
    await pgo.pass(look);
    const status = await pgo.until(pgo.commands.status(never));
    const resources = status.applications[0]?.units[0]?.resources;
    assert.deepEqual([resources?.memoryBytes, resources?.oomKills], [null, null]);
    assert.equal(pgo.asked.includes("oomKills"), false);
    assert.match(resources?.lacking.join() ?? "", /memory, OOM kills: no figure, the kernel's memory controller is not enabled/);
  });

  test("is not read where the settings say so, unless a threshold needs it", async () => {
    const off = { health: { deadline: "20s", min_healthy_time: "2s", resources: false } };
    await using pgo = await deployed("", off);
    await using needed = await deployed('[health.web]\nmemory = "90%"\n', off);
    for (const one of [pgo, needed]) await one.pass(look);
    assert.deepEqual(
      [pgo, needed].map((one) => one.asked.includes("stats")),
      [false, true],
    );
  });
});

suite("a threshold", () => {
  const toml = '[health.web]\nmemory = "90%"\nfailure_threshold = 2\n';

  test("that is crossed in as many looks as fail a check makes the application unhealthy, told once, and healthy again once", async () => {
    await using pgo = await deployed(toml);
    pgo.world.used.set(service("web"), { memory: 95e6, memoryLimit: 100e6 });
    pgo.forget();
    await pgo.pass(look);
    assert.deepEqual(warnings(pgo), [], "once is not enough");
    await pgo.pass(3 * look);
    assert.equal(pgo.record("shop")?.health, "unhealthy");
    assert.deepEqual(warnings(pgo), ["web.service is unhealthy: it uses 95 MB of memory, more than 90 % of 100 MB (2 looks in a row)"]);
    pgo.world.used.set(service("web"), { memory: 50e6, memoryLimit: 100e6 });
    await pgo.pass(2 * look);
    assert.equal(pgo.record("shop")?.health, "healthy");
    assert.deepEqual(warnings(pgo).slice(1), ["healthy again"]);
    assert.deepEqual(pgo.world.changes, [], "what runs and is unhealthy is left as it is");
  });

  test("does not count where the kernel gives no figure", async () => {
    await using pgo = await deployed(toml);
    await pgo.pass(4 * look);
    assert.equal(pgo.record("shop")?.health, "healthy");
    isSettled(pgo);
  });

  test("is no part of a rollout, and begins anew with another container", async () => {
    await using pgo = await deployed(toml);
    pgo.world.used.set(service("web"), { memory: 95e6, memoryLimit: 100e6 });
    await pgo.pass(3 * look);
    assert.equal(pgo.record("shop")?.health, "unhealthy");
    await pgo.push({ "shop/web.container": web("good:2"), "shop/pgo.toml": toml });
    assert.equal(pgo.outcome("shop"), "deployed");
    const status = await pgo.until(pgo.commands.status(never));
    assert.equal(status.applications[0]?.health, "healthy");
  });

  test("of what is no container is refused", async () => {
    await using pgo = new Pgo({ config });
    await pgo.push({ "shop/job.service": "[Service]\nExecStart=/bin/x\n", "shop/pgo.toml": '[health.job]\ncpu = "80%"\n' });
    assert.match(pgo.record("shop")?.message ?? "", /\[health\.job\] memory and cpu are those of containers, and job\.service has none/);
  });

  for (const [key, value] of [
    ["memory", "lots"],
    ["memory", "0%"],
    ["cpu", "1GB"],
  ] as const)
    test(`${key} = "${value}" is refused with its line`, async () => {
      await using pgo = new Pgo({ config });
      await pgo.push({ "shop/web.container": web(), "shop/pgo.toml": `[health.web]\n${key} = "${value}"\n` });
      assert.match(pgo.record("shop")?.message ?? "", new RegExp(`^shop/pgo\\.toml:2: ${key} must be a part of`));
      assert.equal(pgo.store.application(id("shop"))?.outcome, "rejected");
    });
});

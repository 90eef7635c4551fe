/** Between rollouts: a change of the host is looked at when it happens, probes go on slowly, and what becomes unhealthy is dealt with as `watch` says. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo, service, type PgoOptions } from "./pgo.ts";

const container = (image: string, more = "") => `[Container]\nImage=localhost/${image}\n${more}`;
const probed = '[health.web]\nhttp = { url = "http://web.service/" }\n';
const files = { "shop/web.container": container("good:1"), "blog/blog.container": container("good:1") };
const second = 1000;

async function deployed(options: PgoOptions & { readonly settings?: string } = {}): Promise<Pgo> {
  const pgo = new Pgo(options);
  pgo.world.tellsChanges = true;
  pgo.start();
  await pgo.push({ ...files, ...(options.settings === undefined ? {} : { "shop/pgo.toml": options.settings }) });
  isSettled(pgo);
  await pgo.pass(10 * minute);
  pgo.forget();
  return pgo;
}

const warnings = (pgo: Pgo) => pgo.told.flatMap((event) => (event.type === "warning" ? [event.message] : []));
const looks = (pgo: Pgo) => pgo.asked.filter((name) => name === "containers").length;

suite("a change of the host", () => {
  test("is looked at within seconds, at its application alone, and what is down is started again", async () => {
    await using pgo = await deployed({ config: { quadlet: { drift_interval: "1h" } } });
    pgo.world.machine.kill(service("web"));
    await pgo.clock.advance(10 * second);
    assert.deepEqual(pgo.world.changes, ["start web.service"]);
    assert.equal(pgo.outcome("shop"), "repaired");
    assert.equal(pgo.outcome("blog"), "deployed");
    isSettled(pgo);
  });

  test("that a rollout of pgo's own makes is no reason to look again and again", async () => {
    await using pgo = await deployed({ config: { quadlet: { drift_interval: "10h" } } });
    await pgo.push({ ...files, "shop/web.container": container("good:2") });
    assert.equal(pgo.outcome("shop"), "deployed");
    pgo.forget();
    await pgo.pass(30 * minute);
    assert.equal(looks(pgo), 0);
  });

  test("of a service that comes and goes all the time is looked at ever less often, and other applications still have their turn", async () => {
    await using pgo = await deployed({ config: { quadlet: { drift_interval: "10h" } } });
    for (let time = 0; time < 200; time++) {
      pgo.world.machine.restart(service("web"));
      await pgo.clock.advance(3 * second);
    }
    const times = looks(pgo);
    assert.ok(times >= 8 && times <= 20, `${times} looks in ten minutes`);
    assert.deepEqual(pgo.world.changes, []);
    pgo.world.machine.kill(service("blog"));
    await pgo.clock.advance(10 * second);
    assert.deepEqual(pgo.world.changes, ["start blog.service"]);
  });

  test("of a suspended application is left alone", async () => {
    await using pgo = await deployed();
    pgo.commands.suspend("shop", undefined);
    pgo.world.machine.stop(service("web"));
    await pgo.pass(10 * minute);
    assert.deepEqual(pgo.world.changes, []);
  });

  test("while systemd does not answer is looked at when it does", async () => {
    await using pgo = await deployed({ config: { quadlet: { drift_interval: "10h" } } });
    pgo.world.machine.kill(service("web"));
    pgo.world.away = "connection refused";
    await pgo.pass(3 * minute);
    assert.deepEqual(pgo.world.changes, []);
    pgo.world.away = undefined;
    await pgo.pass(2 * minute);
    assert.deepEqual(pgo.world.changes, ["start web.service"]);
  });

  test("that could not be heard is found, since after that all are looked at", async () => {
    await using pgo = await deployed({ config: { quadlet: { drift_interval: "10h" } } });
    await pgo.push({ ...files, "shop/web.container": container("good:1", "HealthCmd=true\n") });
    pgo.forget();
    pgo.world.tellsChanges = false;
    pgo.world.machine.kill(service("blog"));
    await pgo.clock.advance(10 * second);
    assert.deepEqual(pgo.world.changes, []);
    pgo.world.tell?.(undefined);
    await pgo.clock.advance(10 * second);
    assert.deepEqual(pgo.world.changes, ["start blog.service"]);
  });

  test("is listened for at Podman only while something is there that systemd does not see", async () => {
    await using pgo = await deployed();
    const isListenedTo = () => pgo.world.tell !== undefined;
    assert.equal(isListenedTo(), false);
    await pgo.push({ ...files, "shop/web.container": container("good:1", "HealthCmd=true\n") });
    assert.equal(isListenedTo(), true);
    await pgo.push(files);
    assert.equal(isListenedTo(), false);
  });
});

suite("Podman's health check", () => {
  test("that turns is told at once, and its recovery too", async () => {
    await using pgo = await deployed({ config: { quadlet: { drift_interval: "10h" } } });
    await pgo.push({ ...files, "shop/web.container": container("good:1", "HealthCmd=true\n") });
    pgo.forget();
    pgo.world.machine.behave(service("web"), "sick");
    pgo.world.tell?.(service("web"));
    await pgo.clock.advance(5 * second);
    assert.deepEqual(warnings(pgo), ["web.service is unhealthy: Podman's health check fails: see podman inspect"]);
    pgo.world.machine.behave(service("web"), "good");
    pgo.world.tell?.(service("web"));
    await pgo.clock.advance(10 * second);
    assert.deepEqual(warnings(pgo).slice(1), ["healthy again"]);
    assert.deepEqual(pgo.world.changes, []);
  });
});

suite("a rollout that waits", () => {
  test("sees at once what has happened to its units", async () => {
    await using pgo = await deployed({ config: { health: { deadline: "20s", min_healthy_time: "2s", interval: "15s" } } });
    await pgo.push({
      ...files,
      "shop/web.container": container("good:1", "HealthCmd=true\n"),
      "shop/pgo.toml": '[health.web]\ndeadline = "10m"\ninterval = "5m"\n',
    });
    pgo.world.machine.images.set("localhost/good:2", "sick");
    pgo.world.commit({
      ...files,
      "shop/web.container": container("good:2", "HealthCmd=true\n"),
      "shop/pgo.toml": '[health.web]\ndeadline = "10m"\ninterval = "5m"\n',
    });
    await pgo.pass(4 * minute);
    assert.equal(pgo.store.rollouts()[0]?.phase, "verifying");
    pgo.world.machine.behave(service("web"), "good");
    pgo.world.tell?.(service("web"));
    await pgo.clock.advance(second);
    assert.deepEqual(pgo.store.rollouts(), []);
    assert.equal(pgo.outcome("shop"), "deployed");
  });
});

suite("the slow probe", () => {
  test("finds what has become unhealthy, tells it once, and its recovery once; a single lost probe says nothing", async () => {
    await using pgo = await deployed({ config: { quadlet: { drift_interval: "10h" } }, settings: probed });
    pgo.world.down.add(service("web"));
    await pgo.clock.advance(65 * second);
    pgo.world.down.clear();
    await pgo.pass(5 * minute);
    assert.deepEqual(warnings(pgo), [], "one lost probe");
    assert.equal(pgo.record("shop")?.health, "healthy");
    pgo.world.down.add(service("web"));
    await pgo.pass(10 * minute);
    assert.equal(pgo.record("shop")?.health, "unhealthy");
    pgo.world.down.clear();
    await pgo.pass(5 * minute);
    assert.deepEqual(warnings(pgo), ["web.service is unhealthy: web.service: connection refused", "healthy again"]);
    assert.deepEqual(pgo.world.changes, [], "watch = report");
    assert.deepEqual(
      pgo.store.healthChanges(id("shop"), new Date(0)).map(({ health }) => health),
      ["healthy", "unhealthy", "healthy"],
    );
  });

  test("asks one question a minute of each unit that has a probe, and none of others", async () => {
    await using pgo = await deployed({ config: { quadlet: { drift_interval: "10h" } }, settings: probed });
    await pgo.pass(60 * minute);
    const probes = pgo.asked.filter((name) => name === "probe").length;
    assert.ok(probes >= 55 && probes <= 65, `${probes} probes in an hour`);
    assert.equal(pgo.asked.filter((name) => name === "placed").length, 0, "no file is looked at");
  });

  test("can be turned off", async () => {
    await using pgo = await deployed({
      config: { quadlet: { drift_interval: "10h" }, health: { watch_interval: "0s", min_healthy_time: "2s" } },
      settings: probed,
    });
    await pgo.pass(60 * minute);
    assert.equal(pgo.asked.filter((name) => name === "probe").length, 0);
  });

  test("that finds a service down has it started, though nobody told", async () => {
    await using pgo = await deployed({ config: { quadlet: { drift_interval: "10h" } }, settings: probed });
    pgo.world.tellsChanges = false;
    pgo.world.machine.kill(service("web"));
    await pgo.pass(2 * minute);
    assert.deepEqual(pgo.world.changes, ["start web.service"]);
  });
});

suite("watch = restart", () => {
  test("restarts what runs and is not well, with the reason, and what only waits for it is left alone", async () => {
    await using pgo = new Pgo({ config: { quadlet: { drift_interval: "10h" } } });
    pgo.start();
    await pgo.push({
      "shop/web.container": container("good:1"),
      "shop/front.container": `[Unit]\nAfter=web.service\n${container("good:1")}`,
      "shop/pgo.toml": `watch = "restart"\n${probed}[health.front]\nhttp = { url = "http://front.service/" }\n`,
    });
    pgo.forget();
    pgo.world.machine.behave(service("web"), "sick");
    await pgo.pass(3 * minute);
    assert.deepEqual(pgo.world.changes, ["restart web.service"]);
    assert.deepEqual(pgo.history("shop")[0]?.reasons, ["restart web.service: it is unhealthy: web.service: 503"]);
    assert.match(pgo.outcomes().at(-1) ?? "", /^shop repaired: web\.service \(it is unhealthy: web\.service: 503\); healthy by http after/);
    isSettled(pgo);
  });

  test("that does not help is tried three times in ten minutes at the most", async () => {
    await using pgo = await deployed({ settings: `watch = "restart"\n${probed}` });
    pgo.world.machine.images.set("localhost/good:1", "sick");
    pgo.world.machine.behave(service("web"), "sick");
    await pgo.pass(10 * minute);
    const restarts = pgo.world.changes.filter((change) => change === "restart web.service").length;
    assert.ok(restarts >= 1 && restarts <= 3, `${restarts} restarts in ten minutes`);
    assert.equal(pgo.outcome("shop"), "failed");
    assert.deepEqual(pgo.store.quarantined(id("shop")), []);
    pgo.world.machine.images.set("localhost/good:1", "good");
    pgo.world.machine.behave(service("web"), "good");
    await pgo.pass(60 * minute);
    assert.equal(pgo.record("shop")?.health, "healthy");
    assert.notEqual(pgo.outcome("shop"), "failed");
  });

  test("that helps for a short while each time is limited too, and told", async () => {
    await using pgo = await deployed({ settings: `watch = "restart"\n${probed}` });
    for (let time = 0; time < 18; time++) {
      pgo.world.machine.behave(service("web"), "sick");
      await pgo.clock.advance(110 * second);
    }
    const restarts = pgo.world.changes.filter((change) => change === "restart web.service").length;
    assert.ok(restarts >= 6 && restarts <= 12, `${restarts} restarts in 33 minutes`);
    assert.ok(
      pgo.outcomes().some((line) => line.includes("web.service does not stay well: pgo has started it 3 times in 10 min and waits now")),
    );
  });

  test("on the host wins over the application's own, which wins over [health]", async () => {
    for (const [config, own, restarts] of [
      [{ health: { watch: "restart", min_healthy_time: "2s" } }, "", 1],
      [{ health: { watch: "restart", min_healthy_time: "2s" } }, 'watch = "report"\n', 0],
      [{ application: { shop: { watch: "report" } } }, 'watch = "restart"\n', 0],
      [{ application: { shop: { watch: "restart" } } }, 'watch = "report"\n', 1],
    ] as const) {
      await using pgo = await deployed({ config, settings: own + probed });
      pgo.world.machine.behave(service("web"), "sick");
      await pgo.pass(3 * minute);
      assert.equal(pgo.world.changes.length, restarts, JSON.stringify([config, own]));
    }
  });
});

suite("watch = rollback", () => {
  const settings = `watch = "rollback"\n${probed}`;
  const next = { ...files, "shop/web.container": container("good:2"), "shop/pgo.toml": settings };

  test("goes back to the version before when the new one becomes unhealthy soon, once, and doesn't try it again", async () => {
    await using pgo = await deployed({ settings });
    await pgo.push(next);
    assert.equal(pgo.outcome("shop"), "deployed");
    const bad = pgo.record("shop")?.revision;
    pgo.world.machine.behave(service("web"), "sick");
    await pgo.pass(10 * minute);
    assert.equal(pgo.outcome("shop"), "rolled-back");
    const [last] = pgo.history("shop");
    assert.deepEqual([last?.cause, last?.outcome, last?.revision], ["recovery", "rolled-back", bad]);
    assert.match(
      pgo.record("shop")?.message ?? "",
      /^web\.service is unhealthy: web\.service: 503, \d min after it was deployed; back on the last good version: see ctl show \d+$/,
    );
    assert.notEqual(pgo.record("shop")?.revision, bad, "what runs is what is told");
    assert.equal(last?.evidence[0]?.service, "web.service");
    assert.match(pgo.world.machine.runs(service("web")) ?? "", /good:1/);
    isSettled(pgo);
    await pgo.push({ ...next, "README.md": "x" });
    await pgo.pass(30 * minute);
    assert.match(pgo.world.machine.runs(service("web")) ?? "", /good:1/, "it is quarantined");
    assert.equal(pgo.outcomes().filter((line) => line.includes("rolled-back")).length, 1, "told once");

    await pgo.until(pgo.commands.retry("shop", new AbortController().signal));
    assert.match(pgo.world.machine.runs(service("web")) ?? "", /good:2/, "ctl retry tries it again");
  });

  test("restarts what was gone back to, and never goes back from it", async () => {
    await using pgo = await deployed({ settings });
    await pgo.push({ ...next, "shop/web.container": container("good:3") });
    await pgo.push(next);
    pgo.world.machine.behave(service("web"), "sick");
    await pgo.pass(3 * minute);
    assert.match(pgo.world.machine.runs(service("web")) ?? "", /good:3/);
    pgo.world.machine.behave(service("web"), "sick");
    await pgo.pass(3 * minute);
    assert.match(pgo.world.machine.runs(service("web")) ?? "", /good:3/);
    assert.equal(pgo.history("shop")[0]?.outcome, "repaired");
    assert.equal(pgo.history("shop").filter(({ outcome }) => outcome === "rolled-back").length, 1);
  });

  test("restarts where the window is over, and where there is nothing to go back to, and says so", async () => {
    await using pgo = await deployed({ settings: `watch_window = "20m"\n${settings}` });
    pgo.world.machine.behave(service("web"), "sick");
    await pgo.pass(3 * minute);
    assert.match(pgo.history("shop")[0]?.reasons[0] ?? "", /503; it can't be gone back from: fleet\/shop has no earlier good version/);
    await pgo.push({ ...next, "shop/pgo.toml": `watch_window = "20m"\n${settings}` });
    await pgo.pass(25 * minute);
    pgo.world.machine.behave(service("web"), "sick");
    await pgo.pass(3 * minute);
    assert.match(pgo.world.machine.runs(service("web")) ?? "", /good:2/);
    assert.deepEqual(pgo.history("shop")[0]?.reasons, ["restart web.service: it is unhealthy: web.service: 503"]);
  });

  test("restarts where data can't go back", async () => {
    await using pgo = await deployed({ settings });
    await pgo.push({ ...next, "shop/pgo.toml": `rollback = "never"\n${settings}` });
    pgo.world.machine.behave(service("web"), "sick");
    await pgo.pass(3 * minute);
    assert.match(pgo.world.machine.runs(service("web")) ?? "", /good:2/);
    assert.match(pgo.history("shop")[0]?.reasons[0] ?? "", /503; it can't be gone back from: rollback = "never"$/);
  });

  test("is gone on with after a crash on the way", async () => {
    await using pgo = await deployed({ settings });
    await pgo.push(next);
    pgo.world.machine.behave(service("web"), "sick");
    pgo.world.onChange = () => {
      pgo.world.onChange = undefined;
      pgo.kill();
    };
    await pgo.pass(4 * minute);
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.match(pgo.world.machine.runs(service("web")) ?? "", /good:1/);
    isSettled(pgo);
  });
});

suite("a unit that turns unhealthy and healthy again and again", () => {
  test("is told as flapping, once, shown so, and told again when it is quiet", async () => {
    await using pgo = await deployed({ config: { quadlet: { drift_interval: "10h" } }, settings: probed });
    for (let time = 0; time < 20; time++) {
      pgo.world.down.add(service("web"));
      await pgo.pass(2 * minute);
      pgo.world.down.clear();
      await pgo.pass(2 * minute);
    }
    const told = warnings(pgo);
    assert.equal(told.length, 6, told.join("\n"));
    assert.equal(
      told.at(-1),
      "web.service is flapping: 6 changes of its health in 30 min; now healthy; further changes are not told until it is quiet",
    );
    const status = await pgo.until(pgo.commands.status(new AbortController().signal));
    assert.match(
      status.applications.find(({ name }) => name === "shop")?.message ?? "",
      /web\.service is flapping: \d+ changes of its health in 30 min/,
    );
    await pgo.pass(40 * minute);
    assert.deepEqual(warnings(pgo).slice(6), ["no longer flapping: healthy"]);
  });

  test("leaves no more than a hundred changes in the state", async () => {
    await using pgo = await deployed({ config: { quadlet: { drift_interval: "10h" } }, settings: probed });
    const verdict = { service: service("web"), checkedBy: "http", message: undefined } as const;
    for (let time = 0; time < 300; time++)
      pgo.store.saveHealth(id("shop"), [{ ...verdict, health: time % 2 === 0 ? "unhealthy" : "healthy" }], pgo.clock.now());
    assert.equal(pgo.store.healthChanges(id("shop"), new Date(0)).length, 100);
  });
});

/** Phases and batches, carried out: what fails is undone, what comes later is never touched, and a crash in the middle changes nothing of that. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { isSettled, minute, Pgo, service } from "./pgo.ts";

const container = (image: string) => `[Container]\nImage=localhost/${image}\nHealthCmd=x\n`;
const phases = "[unit.two]\nphase = 2\n[unit.three]\nphase = 3\n";
const shop = (one: string, two: string, three: string) => ({
  "shop/one.container": container(one),
  "shop/two.container": container(two),
  "shop/three.container": container(three),
  "shop/pgo.toml": phases,
});

const instances = (images: readonly string[]) =>
  Object.fromEntries(images.map((image, index) => [`shop/web@${String(index + 1)}.container`, container(image)]));

async function deployed(files: Readonly<Record<string, string>>, config: object = {}): Promise<Pgo> {
  const pgo = new Pgo({ config });
  pgo.start();
  await pgo.push(files);
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

/** The starts and stops that befell a service since the last `forget`. */
const touched = (pgo: Pgo, name: string) => pgo.world.changes.filter((change) => change.endsWith(` ${name}.service`));

suite("phases of an application", () => {
  test("go one after another, each verified before the next, and the history says so", async () => {
    await using pgo = await deployed(shop("good:1", "good:1", "good:1"));
    await pgo.push(shop("good:2", "good:2", "good:2"));
    assert.equal(pgo.outcome("shop"), "deployed");
    const steps = pgo.history("shop")[0]?.steps.filter(({ kind }) => kind === "restart" || kind === "verify");
    assert.deepEqual(
      steps?.map(({ kind, target, because }) => (kind === "verify" ? `verify ${target}: ${because}` : `${kind} ${target}`)),
      [
        "restart one.service",
        "verify one.service: phase 1 before phase 2",
        "restart two.service",
        "verify two.service: phase 2 before phase 3",
        "restart three.service",
      ],
    );
    isSettled(pgo);
  });

  test("end with the first that does not get healthy: it and what went before it is undone, last first, what comes later was never touched", async () => {
    await using pgo = await deployed(shop("good:1", "good:1", "good:1"));
    const { invocation } = pgo.world.machine.state(service("three"));
    await pgo.push(shop("good:2", "sick:1", "good:2"));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.match(
      pgo.record("shop")?.message ?? "",
      /^two\.service .*; the rest was not begun \(phase 2 before phase 3\); back on the last good version/,
    );
    assert.equal(pgo.world.machine.state(service("three")).invocation, invocation);
    const restarts = pgo.world.changes.filter((change) => change.startsWith("restart"));
    assert.deepEqual(restarts, ["restart one.service", "restart two.service", "restart two.service", "restart one.service"]);
    isSettled(pgo);
  });

  test("keep what was seen of the unit that failed", async () => {
    await using pgo = await deployed(shop("good:1", "good:1", "good:1"));
    await pgo.push(shop("good:2", "sick:1", "good:2"));
    const evidence = pgo.store.deployment(pgo.history("shop")[0]?.id ?? 0)?.evidence ?? [];
    assert.deepEqual(
      evidence.map((one) => one.service),
      ["two.service"],
    );
  });

  test("hold for a first deployment too: what never came to its turn was never started", async () => {
    await using pgo = new Pgo();
    pgo.start();
    await pgo.push(shop("good:1", "sick:1", "good:1"));
    assert.equal(pgo.outcome("shop"), "failed");
    assert.deepEqual(touched(pgo, "three"), []);
    assert.deepEqual(pgo.world.machine.visible(), []);
    isSettled(pgo);
  });

  test("hold for a repair: what is down comes up phase by phase", async () => {
    await using pgo = await deployed(shop("good:1", "good:1", "good:1"));
    pgo.world.machine.stop(service("one"));
    pgo.world.machine.stop(service("three"));
    await pgo.pass(11 * minute);
    assert.match(
      pgo.outcomes().join(),
      /^shop repaired: one\.service \(it is not running\), three\.service \(it is not running\); healthy/,
    );
    const steps = pgo.history("shop")[0]?.steps.map(({ kind, target }) => `${kind} ${target}`);
    assert.deepEqual(steps, ["start one.service", "verify one.service", "start three.service"]);
    isSettled(pgo);
  });

  test("hold for a version that is left as it is too: drift repair does not go on behind what is not healthy", async () => {
    await using pgo = await deployed(shop("good:1", "good:1", "good:1"), { application: { shop: { rollback: "never" } } });
    await pgo.push(shop("good:2", "sick:1", "good:2"));
    await pgo.pass(30 * minute);
    assert.equal(pgo.outcome("shop"), "failed");
    assert.deepEqual(touched(pgo, "three"), []);
    assert.equal(pgo.world.machine.runs(service("one"))?.includes("good:2"), true);
    await pgo.push(shop("good:2", "good:2", "good:2"));
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.deepEqual(touched(pgo, "three"), ["restart three.service"]);
    isSettled(pgo);
  });

  test("may be the host's", async () => {
    await using pgo = await deployed(shop("good:1", "good:1", "good:1"), { application: { shop: { unit: { two: { phase: 4 } } } } });
    await pgo.push(shop("good:2", "good:2", "good:2"));
    const restarts = pgo.world.changes.filter((change) => change.startsWith("restart"));
    assert.deepEqual(restarts, ["restart one.service", "restart three.service", "restart two.service"]);
  });

  test("are shown by the plan", async () => {
    await using pgo = await deployed(shop("good:1", "good:1", "good:1"));
    pgo.world.commit(shop("good:2", "good:2", "good:1"));
    const planned = await pgo.until(pgo.commands.plan("shop", new AbortController().signal));
    const steps = planned.applications[0]?.steps.filter(({ kind }) => kind === "verify");
    assert.deepEqual(steps, [{ kind: "verify", target: "one.service", because: "phase 1 before phase 2" }]);
  });
});

suite("a crash in the middle of phases", () => {
  const changes = [
    "write fleet/shop/one.container",
    "reload",
    "restart one.service",
    "restart two.service",
    "restart three.service",
  ] as const;
  for (const change of changes)
    test(`right after "${change}" is gone on with: all of them are deployed, each restarted once`, async () => {
      await using pgo = await deployed(shop("good:1", "good:1", "good:1"));
      pgo.world.commit(shop("good:2", "good:2", "good:2"));
      dieAt(pgo, change);
      await pgo.pass(4 * minute);
      assert.equal(pgo.outcome("shop"), "deployed");
      for (const name of ["one", "two", "three"]) assert.ok(touched(pgo, name).length <= 2, `${name}: ${touched(pgo, name).join(", ")}`);
      isSettled(pgo);
    });

  for (const change of changes.slice(0, 3))
    test(`right after "${change}" lets no bad one of an earlier phase through`, async () => {
      await using pgo = await deployed(shop("good:1", "good:1", "good:1"));
      pgo.world.commit(shop("sick:1", "good:2", "good:2"));
      dieAt(pgo, change);
      await pgo.pass(4 * minute);
      assert.equal(pgo.outcome("shop"), "rolled-back");
      assert.deepEqual([touched(pgo, "two"), touched(pgo, "three")], [[], []]);
      isSettled(pgo);
    });

  test("while a phase is looked at begins with that look again: the next one is not begun on the strength of what came before", async () => {
    await using pgo = await deployed(shop("good:1", "good:1", "good:1"));
    pgo.world.commit(shop("sick:1", "good:2", "good:2"));
    for (let seconds = 0; touched(pgo, "one").length === 0; seconds++) {
      assert.ok(seconds < 120, "it is not begun");
      await pgo.clock.advance(1000);
    }
    await pgo.clock.advance(5000);
    assert.deepEqual(touched(pgo, "one"), ["restart one.service"]);
    pgo.kill();
    await pgo.pass(4 * minute);
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.deepEqual([touched(pgo, "two"), touched(pgo, "three")], [[], []]);
    isSettled(pgo);
  });

  test("on the way back goes on going back", async () => {
    await using pgo = await deployed(shop("good:1", "good:1", "good:1"));
    pgo.world.commit(shop("good:2", "sick:1", "good:2"));
    let restarts = 0;
    pgo.world.onChange = () => {
      if (pgo.world.changes.at(-1) === "restart two.service" && (restarts += 1) === 2) pgo.kill();
    };
    await pgo.pass(6 * minute);
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.deepEqual(touched(pgo, "three"), []);
    isSettled(pgo);
  });
});

suite("instances of a template", () => {
  test("restart one at a time, and the first that fails spares the others", async () => {
    await using pgo = await deployed(instances(["good:1", "good:1", "good:1"]));
    await pgo.push(instances(["good:2", "sick:1", "good:2"]));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.deepEqual(touched(pgo, "web@3"), []);
    assert.deepEqual(touched(pgo, "web@1"), ["restart web@1.service", "restart web@1.service"]);
    isSettled(pgo);
  });

  test("of which all can serve again are all there at any moment but one", async () => {
    await using pgo = await deployed(instances(["good:1", "good:1", "good:1"]));
    await pgo.push(instances(["good:2", "good:2", "good:2"]));
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.deepEqual(
      pgo.history("shop")[0]?.steps.flatMap(({ kind, target }) => (kind === "restart" || kind === "verify" ? [`${kind} ${target}`] : [])),
      ["restart web@1.service", "verify web@1.service", "restart web@2.service", "verify web@2.service", "restart web@3.service"],
    );
    isSettled(pgo);
  });
});

suite("phases of a source's applications", () => {
  const one = (image: string, phase: number) => (name: string) => ({
    [`${name}/${name}.container`]: container(image),
    [`${name}/pgo.toml`]: `phase = ${String(phase)}\n`,
  });

  test("go in that order, whatever the applications are called", async () => {
    await using pgo = new Pgo();
    pgo.start();
    await pgo.push({ ...one("good:1", 3)("blog"), ...one("good:1", 2)("mail"), ...one("good:1", 0)("shop") });
    assert.deepEqual(
      pgo.outcomes().map((line) => line.replace(/:.*/, "")),
      ["shop deployed", "mail deployed", "blog deployed"],
    );
  });

  test("wait while an earlier one is not as Git wants it, and go when it is", async () => {
    const all = (image: string) => ({ ...one("good:1", 2)("blog"), ...one(image, 1)("shop"), ...one("good:1", 1)("mail") });
    await using pgo = await deployed(all("good:1"));
    const next = (image: string) => ({ ...one("good:2", 2)("blog"), ...one(image, 1)("shop"), ...one("good:2", 1)("mail") });
    await pgo.push(next("sick:1"));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.equal(pgo.outcome("mail"), "deployed", "one of the same phase goes");
    assert.equal(pgo.outcome("blog"), "held");
    assert.equal(pgo.record("blog")?.message, "phase 1 comes first: shop was rolled back");
    assert.deepEqual(touched(pgo, "blog"), []);
    isSettled(pgo);

    await pgo.push(next("good:2"));
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "deployed"]);
    isSettled(pgo);
  });

  test("go with the earlier one when a person has it tried again", async () => {
    await using pgo = await deployed({ ...one("good:1", 2)("blog"), ...one("good:1", 1)("shop") });
    pgo.world.machine.images.set("localhost/late:1", "sick");
    await pgo.push({ ...one("good:2", 2)("blog"), ...one("late:1", 1)("shop") });
    assert.equal(pgo.outcome("blog"), "held");
    pgo.world.machine.images.set("localhost/late:1", "good");
    await pgo.until(pgo.commands.retry("shop", new AbortController().signal));
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "deployed"]);
    isSettled(pgo);
  });

  test("wait for one that is refused or suspended too, and not for another source's", async () => {
    await using pgo = await deployed({ ...one("good:1", 2)("blog"), ...one("good:1", 1)("shop") });
    await pgo.push({ ...one("good:2", 2)("blog"), ...one("good:2", 1)("shop"), "shop/bad.container": "nonsense\n" });
    assert.equal(pgo.record("blog")?.message, "phase 1 comes first: shop is refused");
    pgo.commands.suspend("shop", undefined);
    await pgo.push({ ...one("good:3", 2)("blog"), ...one("good:2", 1)("shop") });
    assert.equal(pgo.record("blog")?.message, "phase 1 comes first: shop is held");
    pgo.commands.resume("shop");
    await pgo.pass(12 * minute);
    assert.deepEqual([pgo.outcome("shop"), pgo.outcome("blog")], ["deployed", "deployed"]);
    isSettled(pgo);
  });

  test("may be the host's", async () => {
    await using pgo = new Pgo({ config: { application: { blog: { phase: 0 } } } });
    pgo.start();
    await pgo.push({ ...one("good:1", 3)("blog"), ...one("good:1", 2)("mail") });
    assert.deepEqual(
      pgo.outcomes().map((line) => line.replace(/:.*/, "")),
      ["blog deployed", "mail deployed"],
    );
  });
});

/** pgo dies as soon as it has changed this; systemd starts it anew. */
function dieAt(pgo: Pgo, change: string): void {
  pgo.world.onChange = () => {
    if (pgo.world.changes.at(-1) !== change) return;
    pgo.world.onChange = undefined;
    pgo.kill();
  };
}

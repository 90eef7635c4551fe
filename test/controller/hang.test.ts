/** A unit that hangs on its way up or down, and a systemd that stands still meanwhile: the rollout ends in bounded time, or waits where nobody is to blame. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo } from "./pgo.ts";

const container = (image: string, ...lines: readonly string[]) =>
  ["[Container]", `Image=localhost/${image}`, "HealthCmd=x", ...lines, ""].join("\n");
const files = { "shop/web.container": container("good:1"), "blog/blog.container": container("good:1") };

async function deployed(more: Readonly<Record<string, string>> = {}): Promise<Pgo> {
  const pgo = new Pgo();
  pgo.start();
  await pgo.push({ ...files, ...more });
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

suite("a service that does not stop", () => {
  test("when it is to be restarted ends the rollout in bounded time, says how to end it, and is put right when it has ended", async () => {
    await using pgo = await deployed();
    for (const verb of ["restart", "start", "stop"]) pgo.world.hangs.add(`${verb} web.service`);
    await pgo.push({ ...files, "shop/web.container": container("good:2"), "blog/blog.container": container("good:2") });
    await pgo.pass(3 * minute);
    assert.equal(pgo.outcome("blog"), "deployed", "the others have their turn");
    assert.equal(pgo.outcome("shop"), "failed");
    assert.match(
      pgo.record("shop")?.message ?? "",
      /: it is still stopping after 20 s: see journalctl -u web\.service, or end it: systemctl kill --signal=SIGKILL web\.service/,
    );
    assert.equal(pgo.loop.alive(), undefined);

    // A person does so.
    pgo.world.hangs.clear();
    pgo.world.machine.kill("web.service" as never);
    await pgo.pass(70 * minute);
    isSettled(pgo);
  });

  test("when it is to go is waited for ten minutes", async () => {
    await using pgo = await deployed({ "shop/old.container": container("good:1") });
    pgo.world.hangs.add("stop old.service");
    await pgo.push(files);
    assert.equal(pgo.store.rollouts().length, 1);
    await pgo.pass(15 * minute);
    assert.equal(pgo.outcome("shop"), "failed");
    assert.match(
      pgo.record("shop")?.message ?? "",
      /^stop old\.service: it is still stopping after 600 s: see .* systemctl kill --signal=SIGKILL old\.service/,
    );
    pgo.world.hangs.clear();
    await pgo.pass(70 * minute);
    isSettled(pgo);
  });
});

test("a systemd that stands still while a service restarts makes no version bad: the rollout is gone on with when it answers", async () => {
  await using pgo = await deployed();
  pgo.world.hangs.add("restart web.service");
  pgo.world.commit({ ...files, "shop/web.container": container("good:2") });
  while (!pgo.world.changes.includes("restart web.service")) await pgo.clock.advance(1000);
  pgo.world.away = "systemd did not answer ListUnitsByNames in 60 s";
  await pgo.pass(10 * minute);
  assert.equal(pgo.store.rollouts()[0]?.phase, "applying");
  assert.deepEqual(pgo.outcomes(), []);
  pgo.world.hangs.clear();
  pgo.world.away = undefined;
  await pgo.pass(5 * minute);
  assert.equal(pgo.outcome("shop"), "deployed");
  assert.deepEqual(pgo.store.quarantined(id("shop")), []);
  isSettled(pgo);
});

/** A disk that is full or read-only, and a systemd that does not read its units again: the host's trouble, told once, and no version's. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo } from "./pgo.ts";

const files = (image: string, more: Readonly<Record<string, string>> = {}) => ({
  "shop/web.container": `[Container]\nImage=localhost/${image}\nVolume=./conf:/c\nHealthCmd=x\n`,
  "shop/conf/a": image,
  "shop/conf/b": image,
  ...more,
});

async function deployed(): Promise<Pgo> {
  const pgo = new Pgo();
  pgo.start();
  await pgo.push(files("good:1"));
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

/** Of the host's trouble what was told: `away: …`. */
const hostTold = (pgo: Pgo) => pgo.told.flatMap((event) => (event.type === "host" ? [`${event.state}: ${event.message}`] : []));

const full = "write below /etc/containers/systemd/pgo: only 12 kB are free, 300 kB are needed: make room (df /etc/containers/systemd/pgo)";
const readonly = "write below /etc/containers/systemd/pgo: the file system is read-only";

/** The disk is full from the `count`th change of the host on. */
function fullAfter(pgo: Pgo, count: number): void {
  pgo.world.onChange = () => {
    if (pgo.world.changes.length >= count) pgo.world.unwritable = full;
  };
}

async function mended(pgo: Pgo): Promise<void> {
  pgo.world.onChange = undefined;
  pgo.world.unwritable = undefined;
  pgo.world.reloadTrouble = undefined;
  await pgo.pass(10 * minute);
}

suite("a disk that can't be written", () => {
  test("when a rollout would begin holds it, with the host untouched, and it goes on when it can", async () => {
    await using pgo = await deployed();
    pgo.world.unwritable = readonly;
    await pgo.push(files("good:2"));
    await pgo.pass(10 * minute);
    assert.deepEqual(pgo.outcomes(), [`shop held: ${readonly}`]);
    assert.deepEqual(pgo.world.changes, []);
    assert.deepEqual(hostTold(pgo), []);
    await mended(pgo);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  for (const written of [1, 2, 3])
    test(`any more after ${written} of four files is told once, blames no version, and the rollout goes on when it can`, async () => {
      await using pgo = await deployed();
      fullAfter(pgo, written);
      await pgo.push(files("good:2", { "shop/conf/c": "c" }));
      await pgo.pass(40 * minute);
      assert.equal(pgo.world.changes.length, written);
      assert.deepEqual(hostTold(pgo), [`away: ${full}; what runs goes on, and it is tried again at each poll`]);
      assert.equal(pgo.context.reach.trouble, full, "status tells it");
      assert.deepEqual(pgo.outcomes(), []);
      assert.deepEqual(pgo.store.quarantined(id("shop")), []);
      assert.deepEqual(pgo.endings, [], "a new process would not help");
      await mended(pgo);
      assert.deepEqual(hostTold(pgo).slice(1), ["back: systemd and Podman answer, and files can be written"]);
      assert.equal(pgo.outcome("shop"), "deployed");
      assert.equal(pgo.history("shop").length, 2, "it is the same rollout");
      isSettled(pgo);
    });

  test("when a bad version is undone leaves it on its way back, which it goes when it can", async () => {
    await using pgo = await deployed();
    pgo.world.onChange = () => {
      if (pgo.world.changes.includes("restart web.service")) pgo.world.unwritable = full;
    };
    await pgo.push(files("sick:1"));
    await pgo.pass(10 * minute);
    assert.deepEqual(
      pgo.store.rollouts().map(({ phase }) => phase),
      ["reverting"],
    );
    assert.deepEqual(pgo.outcomes(), []);
    await mended(pgo);
    assert.equal(pgo.outcome("shop"), "rolled-back");
    isSettled(pgo);
  });

  test("nor the state database on it is told once, not at each poll, and nothing is lost", async () => {
    await using pgo = await deployed();
    pgo.world.commit(files("good:2"));
    pgo.world.onChange = () => {
      pgo.world.unwritable = full;
      pgo.faults.add({ kind: "throws", among: "changes", after: 0, times: 100_000 });
    };
    await pgo.pass(30 * minute);
    assert.deepEqual(
      pgo.told.flatMap((event) => (event.type === "host" || event.type === "warning" ? [event.message] : [])),
      [`${full}; what runs goes on, and it is tried again at each poll`],
    );
    assert.deepEqual(pgo.endings, []);
    pgo.faults.clear();
    await mended(pgo);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  test("does not keep what needs no file from being put right", async () => {
    await using pgo = await deployed();
    pgo.world.unwritable = readonly;
    pgo.world.machine.stop("web.service" as never);
    await pgo.pass(10 * minute);
    assert.equal(pgo.outcome("shop"), "repaired");
  });
});

suite("a systemd that does not read its units again", () => {
  test("is told once, blames no version, and the rollout goes on when it does", async () => {
    await using pgo = await deployed();
    pgo.world.reloadTrouble = "Refusing reload, not enough space on /run/systemd";
    await pgo.push(files("good:2"));
    await pgo.pass(40 * minute);
    assert.deepEqual(hostTold(pgo), [
      "away: systemd can't read its units again (systemctl daemon-reload): Refusing reload, not enough space on /run/systemd; " +
        "what runs goes on, and it is tried again at each poll",
    ]);
    assert.deepEqual(pgo.outcomes(), []);
    assert.deepEqual(pgo.endings, []);
    await mended(pgo);
    assert.deepEqual(hostTold(pgo).slice(1), ["back: systemd and Podman answer, and systemd reads its units"]);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });
});

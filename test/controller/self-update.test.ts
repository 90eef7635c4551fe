/** pgo's own quadlet in Git: who may bring it, when it is handed over, and what becomes of one that does not work. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { digestOf } from "../../src/core/names.ts";
import { digestOfId } from "../fakes/machine.ts";
import { selfDirectory } from "../fakes/world.ts";
import { Pgo, minute, service } from "./pgo.ts";

const own = (version: number, more = "") => `[Container]\nImage=localhost/good:${version}\nContainerName=pgo\n${more}`;
const web = "[Container]\nImage=localhost/good:1\n";

/** A pgo that runs by its own quadlet, as bootstrap has placed it. */
async function installed(self: object = { source: "fleet" }): Promise<Pgo> {
  const pgo = new Pgo({ config: { self } });
  pgo.world.edit(`${selfDirectory}/pgo.container`, own(1));
  pgo.world.machine.reload();
  pgo.world.machine.start(service("pgo"));
  pgo.start();
  await pgo.push({ "shop/web.container": web });
  pgo.forget();
  return pgo;
}

const placed = (pgo: Pgo, path = "pgo.container") => pgo.world.machine.files.get(`${selfDirectory}/${path}`)?.content;

suite("a new version in Git", () => {
  test("is handed over to, after all else of the commit, and told as a self-update", async () => {
    await using pgo = await installed();
    await pgo.push({ "a/pgo.container": own(2), "shop/web.container": web.replace("good:1", "good:2") });
    assert.deepEqual(pgo.handovers.begun, ["localhost/good:2"]);
    assert.equal(placed(pgo), own(2));
    assert.deepEqual(
      pgo.outcomes().map((line) => line.split(":")[0]),
      ["shop deployed", "a deployed"],
    );
    const [last] = pgo.history("a");
    assert.deepEqual([last?.cause, last?.outcome, last?.steps.map(({ kind }) => kind)], ["self-update", "deployed", ["hand-over"]]);
    assert.match(last?.reasons[0] ?? "", /hand-over pgo\.service: pgo\.container changed/);
    assert.deepEqual([pgo.store.rollouts(), pgo.world.violations], [[], []]);
  });

  test("that is what runs already is taken as it is: nothing is handed over", async () => {
    await using pgo = await installed();
    await pgo.push({ "a/pgo.container": own(1), "shop/web.container": web });
    assert.deepEqual([pgo.handovers.begun, pgo.outcome("a")], [[], "deployed"]);
    await pgo.pass(11 * minute);
    assert.deepEqual(pgo.world.changes, []);
  });

  test("that does not work is rolled back, put into quarantine and not tried again; a newer one is", async () => {
    await using pgo = await installed();
    pgo.handovers.broken.set("localhost/good:2", "localhost/good:2: it crashes");
    await pgo.push({ "a/pgo.container": own(2), "shop/web.container": web });
    assert.equal(pgo.outcome("a"), "rolled-back");
    assert.match(pgo.record("a")?.message ?? "", /it crashes; back on the last good version/);
    assert.equal(placed(pgo), own(1));
    await pgo.pass(20 * minute);
    assert.deepEqual(pgo.handovers.begun, ["localhost/good:2"], "once");
    await pgo.push({ "a/pgo.container": own(3), "shop/web.container": web });
    assert.deepEqual([pgo.outcome("a"), pgo.handovers.begun.length], ["deployed", 2]);
  });

  test("whose image is not there is held, and this pgo goes on", async () => {
    await using pgo = await installed();
    await pgo.push({ "a/pgo.container": own(9), "shop/web.container": web });
    assert.deepEqual([pgo.outcome("a"), pgo.handovers.begun], ["held", []]);
    assert.equal(placed(pgo), own(1));
  });

  test("that was kept, and then is not healthy, is handed back from", async () => {
    await using pgo = await installed();
    await pgo.push({ "a/pgo.container": own(2), "shop/web.container": web });
    const sick = "[Container]\nImage=localhost/sick:1\nContainerName=pgo\nHealthCmd=true\n";
    await pgo.push({ "a/pgo.container": sick, "shop/web.container": web });
    await pgo.pass(2 * minute);
    assert.deepEqual(pgo.handovers.begun, ["localhost/good:2", "localhost/sick:1", "localhost/good:2"]);
    assert.deepEqual([placed(pgo), pgo.outcome("a")], [own(2), "rolled-back"]);
    assert.deepEqual(
      pgo.history("a").map(({ outcome }) => outcome),
      ["rolled-back", "deployed"],
      "in one rollout, and none to put it right",
    );
  });

  test("that is the first in Git, was kept, and then is not healthy, runs on and is told", async () => {
    await using pgo = await installed();
    const sick = "[Container]\nImage=localhost/sick:1\nContainerName=pgo\nHealthCmd=true\n";
    await pgo.push({ "a/pgo.container": sick, "shop/web.container": web });
    await pgo.pass(2 * minute);
    assert.deepEqual([placed(pgo), pgo.outcome("a")], [sick, "failed"]);
    assert.match(pgo.record("a")?.message ?? "", /it runs on, since Git has no earlier version of pgo to go back to/);
  });

  test("that the host can't begin, or that comes to nothing, is given up for good: no boot begins it later", async () => {
    for (const [stands, why] of [
      [(pgo: Pgo) => (pgo.handovers.refusal = "enable pgo-handover.service: refused"), /enable pgo-handover\.service: refused/],
      [(pgo: Pgo) => (pgo.handovers.isStuck = true), /no sign of its end: see journalctl -u pgo-handover\.service/],
    ] as const) {
      await using pgo = await installed();
      stands(pgo);
      await pgo.push({ "a/pgo.container": own(2), "shop/web.container": web });
      await pgo.pass(20 * minute);
      assert.deepEqual([pgo.outcome("a"), pgo.handovers.saved?.phase.at, pgo.handovers.begun.length], ["rolled-back", "undone", 1]);
      assert.match(pgo.record("a")?.message ?? "", why);
    }
  });

  test("that the generator can't read is refused, and touches nothing", async () => {
    await using pgo = await installed();
    await pgo.push({ "a/pgo.container": own(2, "Bogus=1\n"), "shop/web.container": web });
    assert.deepEqual([pgo.outcome("a"), pgo.handovers.begun], ["rejected", []]);
  });

  test("that goes from Git leaves pgo as it is", async () => {
    await using pgo = await installed();
    await pgo.push({ "a/pgo.container": own(2), "shop/web.container": web });
    await pgo.push({ "shop/web.container": web });
    assert.deepEqual([placed(pgo), pgo.record("a")], [own(2), undefined]);
    assert.equal(pgo.world.machine.state(service("pgo")).active, "active");
  });

  test("that a person changes on the host is put right by another handover", async () => {
    await using pgo = await installed();
    await pgo.push({ "a/pgo.container": own(2), "shop/web.container": web });
    pgo.world.edit(`${selfDirectory}/pgo.container`, own(1));
    await pgo.pass(11 * minute);
    assert.equal(placed(pgo), own(2));
    assert.equal(pgo.history("a")[0]?.outcome, "repaired");
  });

  test("a person's drop-in beside it stays, one of Git's goes with Git's", async () => {
    await using pgo = await installed();
    pgo.world.edit(`${selfDirectory}/pgo.container.d/age.conf`, "[Container]\nLabel=a=1\n");
    const dropIn = { "a/pgo.container.d/mine.conf": "[Container]\nLabel=b=1\n" };
    await pgo.push({ "a/pgo.container": own(2), ...dropIn, "shop/web.container": web });
    const sent = () => pgo.handovers.saved?.to.files.map(({ path }) => path).sort();
    assert.deepEqual(sent(), ["pgo.container", "pgo.container.d/age.conf", "pgo.container.d/mine.conf"]);
    await pgo.push({ "a/pgo.container": own(2), "shop/web.container": web });
    assert.deepEqual(sent(), ["pgo.container", "pgo.container.d/age.conf"]);
  });
});

suite("a floating tag of pgo's own, with track_digests", () => {
  const name = "registry.example.com/pgo:latest";
  const floating = `[Container]\nImage=${name}\nContainerName=pgo\n`;
  const moved = async (pgo: Pgo) => {
    pgo.world.publish(name, "one", "good");
    await pgo.world.ports.podman.pull(name, undefined, new AbortController().signal);
    pgo.world.edit(`${selfDirectory}/pgo.container`, floating);
    pgo.world.machine.reload();
    pgo.world.machine.start(service("pgo"));
    pgo.start();
    await pgo.push({ "a/pgo.container": floating, "shop/web.container": web });
    assert.deepEqual([pgo.outcome("a"), pgo.handovers.begun], ["deployed", []]);
    pgo.world.publish(name, "two", "good");
  };
  const config = { config: { self: { source: "fleet" }, quadlet: { track_digests: true } } };
  const two = `registry.example.com/pgo@${digestOfId("two")}`;

  test("that moved is handed over to as well, held at its digest", async () => {
    await using pgo = new Pgo(config);
    await moved(pgo);
    await pgo.pass(120 * minute);
    assert.deepEqual([pgo.outcome("a"), pgo.handovers.begun], ["deployed", [two]]);
    assert.match(placed(pgo, "pgo.container.d/zz-pgo-image.conf") ?? "", new RegExp(`^Image=${two}$`, "m"));
    assert.equal(pgo.history("a")[0]?.cause, "self-update");
  });

  test("that moved to one that does not work is tried once, and the old one stays", async () => {
    await using pgo = new Pgo(config);
    await moved(pgo);
    pgo.handovers.broken.set(two, `${two}: it crashes`);
    await pgo.pass(300 * minute);
    assert.deepEqual([pgo.outcome("a"), pgo.handovers.begun], ["rolled-back", [two]]);
    assert.doesNotMatch(placed(pgo, "pgo.container.d/zz-pgo-image.conf") ?? "", new RegExp(two));
  });
});

suite("what may not be", () => {
  test("a source that is not pgo's own is refused, with what to set", async () => {
    await using pgo = await installed({});
    await pgo.push({ "a/pgo.container": own(2), "shop/web.container": web });
    assert.equal(pgo.outcome("a"), "rejected");
    assert.match(pgo.record("a")?.message ?? "", /\[self\] source in the host's pgo\.toml/);
    assert.equal(placed(pgo), own(1));
  });

  test("pgo's own source has no other of its names", async () => {
    await using pgo = await installed();
    await pgo.push({ "a/pgo.container": own(1), "b/other.container": `${web}ContainerName=pgo\n`, "shop/web.container": web });
    assert.deepEqual([pgo.outcome("b"), pgo.outcome("a")], ["rejected", "deployed"]);
  });

  test("other units beside it are refused: a handover is of pgo alone", async () => {
    await using pgo = await installed();
    await pgo.push({ "a/pgo.container": own(2), "a/db.container": web, "shop/web.container": web });
    assert.equal(pgo.outcome("a"), "rejected");
    assert.match(pgo.record("a")?.message ?? "", /db\.container: is beside pgo\.container/);
  });

  test("what lies beside it in pgo's own repository is left in Git", async () => {
    await using pgo = await installed();
    await pgo.push({
      "quadlet/pgo.container": own(2),
      "quadlet/pgo-rootless.container": own(3),
      "quadlet/install.sh": "#!/bin/sh\n",
      "shop/web.container": web,
    });
    assert.deepEqual([pgo.outcome("quadlet"), pgo.handovers.begun], ["deployed", ["localhost/good:2"]]);
    assert.equal(pgo.world.file("fleet/quadlet" as never, "install.sh"), undefined);
  });
});

suite("a pgo that a handover has started", () => {
  const trial = async (pgo: Pgo) => {
    await pgo.push({ "a/pgo.container": own(2), "shop/web.container": web });
    const { saved } = pgo.handovers;
    assert.ok(saved);
    pgo.handovers.saved = { ...saved, phase: { at: "switched" } };
    pgo.kill();
    pgo.forget();
  };

  test("says that it works and touches nothing until it is kept; then it goes on", async () => {
    await using pgo = await installed();
    await trial(pgo);
    await pgo.push({ "a/pgo.container": own(2), "shop/web.container": web.replace("good:1", "good:2") });
    await pgo.pass(10 * minute);
    const { invocation } = pgo.world.machine.state(service("pgo"));
    assert.deepEqual(pgo.handovers.answers, [{ schema: 1, invocation }]);
    assert.deepEqual(pgo.world.changes, []);
    const { saved } = pgo.handovers;
    assert.ok(saved);
    pgo.handovers.saved = { ...saved, phase: { at: "done" } };
    await pgo.pass(3 * minute);
    assert.equal(pgo.history("shop")[0]?.outcome, "deployed");
    assert.match(pgo.world.changes.join(), /restart web\.service/);
    assert.equal(pgo.handovers.cleared, 1);
  });

  test("waits with its word until systemd and Podman answer", async () => {
    await using pgo = await installed();
    await trial(pgo);
    pgo.world.away = "connect to Podman: connection refused";
    await pgo.pass(minute);
    assert.deepEqual(pgo.handovers.answers, []);
    pgo.world.away = undefined;
    await pgo.pass(minute);
    assert.deepEqual(
      pgo.handovers.answers.map(({ trouble }) => trouble),
      [undefined],
    );
  });

  test("says what it can't read of the old one's state", async () => {
    await using pgo = await installed();
    await trial(pgo);
    const record = pgo.record("shop");
    assert.ok(record);
    pgo.store.saveApplication({ ...record, lastGood: digestOf("lost") });
    await pgo.pass(minute);
    assert.match(pgo.handovers.answers[0]?.trouble ?? "", /the state database does not hold it/);
  });
});

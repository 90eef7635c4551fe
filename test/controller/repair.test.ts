/** Drift: what a person or a crash changes on the host is put right, within limits, and told. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const shop = "/etc/containers/systemd/pgo/fleet/shop";
const files = {
  "shop/web.container": "[Container]\nImage=localhost/good:1\nVolume=./conf:/c\nNetwork=app.network\n",
  "shop/app.network": "[Network]\n",
  "shop/conf/a": "1",
};

async function deployed(more: Readonly<Record<string, string>> = {}): Promise<Pgo> {
  const pgo = new Pgo();
  pgo.start();
  await pgo.push({ ...files, ...more });
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

suite("at the next look at the host", () => {
  for (const [what, drift, changes] of [
    [
      "a quadlet edited by hand is put back, and its service is left alone",
      (pgo: Pgo) => {
        pgo.world.edit(`${shop}/web.container`, "[Container]\nImage=localhost/good:2\n");
      },
      ["write fleet/shop/web.container", "reload"],
    ],
    [
      "a quadlet edited by hand and taken into use is put back, and its service restarted",
      (pgo: Pgo) => {
        pgo.world.edit(`${shop}/web.container`, "[Container]\nImage=localhost/good:2\n");
        pgo.world.machine.reload();
        pgo.world.machine.restart(service("web"));
      },
      ["write fleet/shop/web.container", "reload", "restart web.service"],
    ],
    [
      "a quadlet deleted by hand is put back, though systemd has forgotten it",
      (pgo: Pgo) => {
        pgo.world.edit(`${shop}/web.container`, undefined);
        pgo.world.machine.reload();
      },
      ["write fleet/shop/web.container", "reload"],
    ],
    [
      "an asset deleted by hand is put back",
      (pgo: Pgo) => {
        pgo.world.edit(`${shop}/conf/a`, undefined);
      },
      ["write fleet/shop/conf/a"],
    ],
    [
      "a service stopped by hand is started",
      (pgo: Pgo) => {
        pgo.world.machine.stop(service("web"));
      },
      ["start web.service"],
    ],
    [
      "a service that systemd has given up on is started",
      (pgo: Pgo) => {
        pgo.world.machine.kill(service("web"));
      },
      ["start web.service"],
    ],
    [
      "a network's unit stopped by hand is started, and so are its users",
      (pgo: Pgo) => {
        pgo.world.machine.stop(service("app-network"));
      },
      ["start app-network.service", "start web.service"],
    ],
  ] as const)
    test(what, async () => {
      await using pgo = await deployed();
      drift(pgo);
      await pgo.pass(6 * minute);
      assert.deepEqual(pgo.world.changes, changes);
      assert.equal(pgo.outcome("shop"), "repaired");
      assert.equal(pgo.outcomes().length, 1);
      assert.equal(pgo.history("shop")[0]?.cause, "drift");
      isSettled(pgo);
    });

  test("a restart by hand is none of pgo's business, and neither is a file that it did not place", async () => {
    await using pgo = await deployed();
    pgo.world.machine.restart(service("web"));
    pgo.world.edit(`${shop}/notes.txt`, "mine");
    await pgo.pass(11 * minute);
    assert.deepEqual(pgo.world.changes, []);
    assert.deepEqual(pgo.outcomes(), []);
  });

  test("a reboot that started everything changes nothing, one that did not is made good", async () => {
    await using pgo = await deployed({
      "shop/boot.container": "[Container]\nImage=localhost/good:1\n[Install]\nWantedBy=default.target\n",
    });
    pgo.kill();
    pgo.world.machine.reboot();
    await pgo.pass(2 * minute);
    assert.deepEqual(
      pgo.world.changes.filter((change) => change !== "reload"),
      ["start app-network.service", "start web.service"],
    );
    isSettled(pgo);
  });

  test("an application is put right as it was last good, not as Git has it since, when that was refused", async () => {
    await using pgo = await deployed();
    await pgo.push({ ...files, "shop/bad.container": "nonsense\n" });
    pgo.world.machine.stop(service("web"));
    await pgo.pass(6 * minute);
    isSettled(pgo);
    assert.equal(pgo.outcome("shop"), "rejected", "that it was repaired does not answer why Git's version is not there");
  });

  test("a unit of the same name that came from elsewhere is told of, and not fought over", async () => {
    await using pgo = await deployed();
    pgo.world.edit("/etc/containers/systemd/web.container", "[Container]\nImage=localhost/good:2\n");
    pgo.world.machine.reload();
    pgo.world.machine.restart(service("web"));
    await pgo.pass(6 * minute);
    assert.equal(pgo.outcome("shop"), "failed");
    assert.match(pgo.record("shop")?.message ?? "", /web\.service comes of a file that pgo did not place/);
    assert.deepEqual(pgo.world.violations, []);
    assert.deepEqual(pgo.world.changes, []);
    pgo.world.edit("/etc/containers/systemd/web.container", undefined);
    pgo.world.machine.reload();
    await pgo.pass(12 * minute);
    isSettled(pgo);
    assert.notEqual(pgo.outcome("shop"), "failed");
  });
});

suite("a service that does not stay up", () => {
  /** Dies a minute before each look at the host, for as long as told. */
  async function dying(pgo: Pgo, looks: number): Promise<void> {
    for (let look = 0; look < looks; look++) {
      pgo.world.machine.kill(service("web"));
      await pgo.until(pgo.commands.sync(undefined, true, new AbortController().signal));
      await pgo.pass(minute);
    }
  }

  test("is started three times in ten minutes, then reported instead, once", async () => {
    await using pgo = await deployed();
    await dying(pgo, 6);
    assert.equal(pgo.world.changes.filter((change) => change === "start web.service").length, 3);
    assert.equal(pgo.outcome("shop"), "failed");
    assert.match(pgo.record("shop")?.message ?? "", /web\.service does not stay up: pgo has started it 3 times in 10 min and waits now/);
    assert.equal(pgo.outcomes().filter((line) => line.includes("does not stay up")).length, 1);
  });

  test("is tried again when those ten minutes are over", async () => {
    await using pgo = await deployed();
    await dying(pgo, 4);
    await pgo.pass(16 * minute);
    assert.equal(pgo.outcome("shop"), "repaired");
    isSettled(pgo);
  });

  test("is no failure any more when somebody else has mended it", async () => {
    await using pgo = await deployed();
    await dying(pgo, 4);
    pgo.world.machine.start(service("web"));
    await pgo.pass(6 * minute);
    assert.equal(pgo.outcome("shop"), "in-sync");
  });
});

suite("a repair that fails", () => {
  test("is tried again later and later, told each time it was tried, and ends when it works", async () => {
    await using pgo = await deployed();
    pgo.world.machine.images.set("localhost/good:1", "crash");
    pgo.world.machine.stop(service("web"));
    await pgo.pass(120 * minute);
    const tries = pgo.history("shop").filter((one) => one.cause === "drift").length;
    assert.ok(tries >= 3 && tries <= 6, `${tries} tries in two hours`);
    assert.equal(pgo.outcome("shop"), "failed");
    assert.deepEqual(pgo.store.quarantined(id("shop")), [], "the last good is not called bad");
    pgo.world.machine.images.set("localhost/good:1", "good");
    await pgo.pass(70 * minute);
    isSettled(pgo);
  });
});

suite("what runs but is not well", () => {
  test("is told once, and once when it is well again; nothing is restarted for it", async () => {
    await using pgo = await deployed({ "shop/pgo.toml": '[health.web]\nhttp = { url = "http://web.service/" }\n' });
    pgo.world.down.add(service("web"));
    await pgo.pass(20 * minute);
    assert.equal(pgo.record("shop")?.health, "unhealthy");
    pgo.world.down.clear();
    await pgo.pass(20 * minute);
    const told = pgo.told.flatMap((event) => (event.type === "warning" ? [event.message] : []));
    assert.deepEqual(told, ["web.service is unhealthy: web.service: connection refused", "healthy again"]);
    assert.deepEqual(pgo.world.changes, []);
    assert.equal(pgo.record("shop")?.health, "healthy");
  });
});

suite("an application that a person has suspended", () => {
  test("is left in peace: neither drift nor a commit touches it", async () => {
    await using pgo = await deployed();
    pgo.commands.suspend("shop", undefined);
    pgo.world.machine.stop(service("web"));
    pgo.world.edit(`${shop}/conf/a`, "mine");
    await pgo.push({ ...files, "shop/conf/a": "2" });
    await pgo.pass(60 * minute);
    assert.deepEqual(pgo.world.changes, []);
    assert.equal(pgo.outcome("shop"), "held");
    assert.deepEqual(pgo.outcomes(), ["shop held: suspended: a change in Git waits"]);
  });

  test("follows Git again when it is resumed, at once", async () => {
    await using pgo = await deployed();
    pgo.commands.suspend("shop", undefined);
    await pgo.push({ ...files, "shop/conf/a": "2" });
    pgo.commands.resume("shop");
    await pgo.clock.advance(10_000);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  test("follows Git again when its time is over", async () => {
    await using pgo = await deployed();
    pgo.commands.suspend("shop", 30 * minute);
    await pgo.push({ ...files, "shop/conf/a": "2" });
    await pgo.pass(20 * minute);
    assert.equal(pgo.outcome("shop"), "held");
    await pgo.pass(12 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
  });

  test("does not keep the others from being looked after", async () => {
    await using pgo = await deployed({ "blog/blog.container": "[Container]\nImage=localhost/good:1\n" });
    pgo.commands.suspend("shop", undefined);
    pgo.world.machine.stop(service("blog"));
    await pgo.pass(6 * minute);
    assert.equal(pgo.outcome("blog"), "repaired");
  });
});

suite("systemd or Podman that does not answer", () => {
  test("is the host's trouble, told once, and no application's; all is put right when it is back", async () => {
    await using pgo = await deployed();
    pgo.world.machine.stop(service("web"));
    pgo.world.away = "connect to the bus: no such file";
    await pgo.pass(8 * minute);
    await pgo.push({ ...files, "shop/conf/a": "2" });
    assert.deepEqual(pgo.outcomes(), []);
    assert.deepEqual(
      pgo.told.flatMap((event) => (event.type === "host" ? [event.state] : [])),
      ["away"],
    );
    pgo.world.away = undefined;
    await pgo.pass(8 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
    assert.deepEqual(
      pgo.told.flatMap((event) => (event.type === "host" ? [event.state] : [])),
      ["away", "back"],
    );
  });

  test("ends no rollout that was under way", async () => {
    await using pgo = await deployed();
    pgo.world.commit({ ...files, "shop/conf/a": "2" });
    pgo.world.onChange = () => {
      pgo.world.away = "connection refused";
    };
    await pgo.pass(3 * minute);
    pgo.world.onChange = undefined;
    assert.equal(pgo.store.rollouts().length, 1, "it is not given up");
    pgo.world.away = undefined;
    await pgo.pass(3 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  test("for a quarter of an hour makes pgo end, to be started anew", async () => {
    await using pgo = await deployed();
    pgo.world.away = "connection refused";
    await pgo.pass(30 * minute);
    assert.ok(pgo.endings.length >= 1);
    assert.match(pgo.endings[0] ?? "", /no answer for 1\d min, pgo ends to be started anew: .*connection refused/);
    pgo.world.away = undefined;
    await pgo.pass(3 * minute);
    isSettled(pgo);
  });
});

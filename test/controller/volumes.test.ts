/** Networks and volumes that go, by pgo's hand or a person's: made anew, with their users, and no data lost on the way. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const container = (image: string, ...lines: readonly string[]) => `[Container]\nImage=localhost/${image}\n${lines.join("\n")}\n`;
const settings = "[volume.data]\nrecreate = true\n[health.db]\nhttp = { url = 'http://db.service/' }\n";

/** A database with its volume; the version tells what changes. */
const db = (version: "1" | "2", image = "good:1") => ({
  "shop/db.container": container(image, "Volume=data.volume:/data"),
  "shop/data.volume": version === "1" ? "[Volume]\n" : "[Volume]\nLabel=v=2\n",
  "shop/pgo.toml": settings,
});

function dataOf(pgo: Pgo): string | undefined {
  return pgo.world.machine.volumes.get("systemd-data")?.data;
}

function textOf(pgo: Pgo): string | undefined {
  return pgo.world.machine.volumes.get("systemd-data")?.text;
}

/** Deployed, with words in its volume that were not there by themselves. */
async function running(files: Readonly<Record<string, string>>, config: object = {}): Promise<Pgo> {
  const pgo = new Pgo({ allowEmpty: true, config });
  pgo.world.registry.set("registry.example.com/far:1", "good");
  await pgo.push(files);
  const volume = pgo.world.machine.volumes.get("systemd-data");
  if (volume !== undefined) volume.data += "precious\n";
  pgo.forget();
  return pgo;
}

suite("a changed volume", () => {
  test("that may be made anew begins empty, what was in it is in a backup, and the plan says so before", async () => {
    await using pgo = await running(db("1"));
    pgo.world.commit(db("2"));
    const plan = await pgo.until(pgo.commands.plan(undefined, new AbortController().signal));
    assert.deepEqual(
      plan.applications[0]?.steps.map(({ kind, target }) => `${kind} ${target}`),
      [
        "write data.volume",
        "reload systemd",
        "stop db.service",
        "stop data-volume.service",
        "backup-volume systemd-data",
        "remove-volume systemd-data",
        "start data-volume.service",
        "restart db.service",
      ],
    );
    assert.equal(
      plan.applications[0].steps[5]?.because,
      "Label= added in data.volume: systemd-data is made anew, and its data goes to a backup in /var/lib/pgo/backups/volumes",
    );
    await pgo.pass(2 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.match(textOf(pgo) ?? "", /v=2/);
    assert.doesNotMatch(dataOf(pgo) ?? "", /precious/);
    const [backup] = pgo.store.backups();
    assert.match(pgo.world.volumeBackups.get(backup?.file ?? "") ?? "", /precious/);
    assert.match(backup?.file ?? "", /^volumes\/systemd-data\/\d{8}T\d{9}Z-\d+-[0-9a-f]{8}\.tar$/);
    const told = pgo.told.flatMap((event) => (event.type === "backup" ? [event.path] : []));
    assert.deepEqual(told, [`/var/lib/pgo/backups/${backup?.file ?? ""}`]);
    assert.equal(pgo.store.asides(id("shop")).size, 0, "the rollout has come to its end");
    isSettled(pgo);
  });

  test("goes back with its data where the new version is not healthy", async () => {
    await using pgo = await running(db("1"));
    await pgo.push(db("2", "sick:1"));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.doesNotMatch(textOf(pgo) ?? "", /v=2/);
    assert.match(dataOf(pgo) ?? "", /precious/);
    assert.equal(pgo.store.backups().length, 2, "what the new version had written is kept too");
    isSettled(pgo);
    pgo.forget();
    await pgo.pass(12 * minute);
    assert.deepEqual(pgo.world.changes, []);
  });

  test("is refused where nobody has said that its data may go, and the message says how to", async () => {
    await using pgo = await running({ ...db("1"), "shop/pgo.toml": "" });
    await pgo.push({ ...db("2"), "shop/pgo.toml": "" });
    assert.equal(pgo.outcome("shop"), "rejected");
    assert.match(
      pgo.record("shop")?.message ?? "",
      /set recreate = true below \[volume\.data\] in pgo\.toml, and it begins empty, after a backup$/,
    );
    assert.match(dataOf(pgo) ?? "", /precious/);
  });

  test("stays as it is where no backup can be made", async () => {
    await using pgo = await running(db("1"));
    pgo.world.backupTrouble = "no space left on device";
    await pgo.push(db("2"));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.match(
      pgo.record("shop")?.message ?? "",
      /^back systemd-data up to \/var\/lib\/pgo\/backups\/.*: no space left on device; it was not removed/,
    );
    assert.match(dataOf(pgo) ?? "", /precious/);
    isSettled(pgo);
  });

  test("waits where there is no room for its backup", async () => {
    await using pgo = await running(db("1"), { state: { min_free: "1kB" } });
    const volume = pgo.world.machine.volumes.get("systemd-data");
    assert.ok(volume !== undefined);
    volume.data += "x".repeat(5000);
    pgo.world.free.state = 5500;
    await pgo.push(db("2"));
    assert.equal(pgo.outcome("shop"), "held");
    assert.match(pgo.record("shop")?.message ?? "", /^a backup of systemd-data needs 5 kB at .*: make room there, or remove old backups$/);
    assert.deepEqual(pgo.world.changes, []);
  });

  test("goes without a backup where a person has said that there are others, and does not come back", async () => {
    await using pgo = await running(db("1"), { backup: { volumes: "never" } });
    await pgo.push(db("2", "sick:1"));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.deepEqual([textOf(pgo), pgo.store.backups().length], ["", 0]);
    pgo.world.violations.length = 0;
    isSettled(pgo);
  });

  test("takes the users of other applications along", async () => {
    const files = { ...db("1"), "blog/blog.container": container("good:1", "Volume=data.volume:/data") };
    await using pgo = await running(files);
    await pgo.push({ ...files, ...db("2") });
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.match(textOf(pgo) ?? "", /v=2/);
    assert.ok(pgo.world.machine.runs(service("blog")) !== undefined);
  });

  test("keeps its data, in it or in a copy that is known, whenever pgo is killed, and comes to the same end", async () => {
    for (const image of ["good:1", "sick:1"])
      for (let after = 0; after < 60; after += 1) {
        await using pgo = await running(db("1"));
        pgo.faults.add({ kind: "killed after", among: "changes", after, times: 1 });
        await pgo.push(db("2", image));
        if (after % 3 === 0 && !pgo.running) pgo.world.machine.reboot();
        pgo.faults.clear();
        await pgo.pass(6 * minute);
        const told = `${image}, killed after call ${String(after)}: ${pgo.faults.happened.join()}`;
        isSettled(pgo);
        const isNew = pgo.record("shop")?.lastGood === pgo.record("shop")?.desired?.digest;
        assert.equal(isNew, image === "good:1", told);
        assert.equal(textOf(pgo)?.includes("v=2"), isNew, told);
        const copies = pgo.store.backups().map(({ file }) => pgo.world.volumeBackups.get(file) ?? "");
        if (isNew)
          assert.ok(
            copies.some((copy) => copy.includes("precious")),
            told,
          );
        else assert.match(dataOf(pgo) ?? "", /precious/, told);
      }
  });
});

suite("a network or volume that Podman has not, though its unit is active", () => {
  test("is no success of a rollout", async () => {
    await using pgo = new Pgo({ allowEmpty: true });
    const { networks } = pgo.world.machine;
    // Somebody takes it away as soon as it is made.
    networks.set = () => networks;
    await pgo.push({ "shop/app.network": "[Network]\n" });
    assert.equal(pgo.outcome("shop"), "failed");
    assert.match(pgo.outcomes()[0] ?? "", /app-network\.service not healthy after 20 s: Podman has no network systemd-app, though/);
  });

  test("shows in the status as what everything waits for, also what another application has, with one question", async () => {
    const files = { "blog/blog.container": container("good:1", "Network=app.network"), "shop/app.network": "[Network]\n" };
    await using pgo = await running({ ...files, "shop/data.volume": "[Volume]\n" });
    pgo.world.machine.lose("networks", "systemd-app");
    pgo.forget();
    const { applications } = await pgo.until(pgo.commands.status(new AbortController().signal));
    const told = applications.flatMap(({ units }) => units.map(({ service: name, health, message }) => [name, health, message]));
    assert.deepEqual(told.sort(), [
      ["app-network.service", "unhealthy", "Podman has no network systemd-app, though app-network.service is active"],
      ["blog.service", "waiting", "waits for app-network.service"],
      ["data-volume.service", "healthy", null],
    ]);
    assert.deepEqual(
      pgo.asked.filter((call) => call === "networks" || call === "volumes"),
      ["networks", "volumes"],
    );
  });

  test("that had been seen there is not asked for at each look of a rollout", async () => {
    await using pgo = await running({ "shop/app.network": "[Network]\n", "shop/web.container": container("good:1") });
    await pgo.push({ "shop/app.network": "[Network]\n", "shop/web.container": container("good:2") });
    assert.equal(pgo.outcome("shop"), "deployed");
    const looks = pgo.asked.filter((call) => call === "containers").length;
    const questions = pgo.asked.filter((call) => call === "networks").length;
    assert.ok(looks > 4, `${looks} looks`);
    assert.equal(questions, 2, "one for the plan, and one for the looks");
  });
});

suite("a network or volume that a person removed", () => {
  test("is made again, and what used it starts again, in other applications too", async () => {
    const net = "Network=app.network";
    await using pgo = await running({
      "shop/app.network": "[Network]\n",
      "shop/web.container": container("good:1", net),
      "blog/blog.container": container("good:1", net),
      "alone/alone.container": container("good:1"),
    });
    pgo.world.machine.lose("networks", "systemd-app");
    await pgo.pass(6 * minute);
    assert.equal(pgo.outcomes().length, 1);
    assert.match(
      pgo.outcomes()[0] ?? "",
      /^shop repaired: .*app-network\.service \(the network systemd-app is not there\), web\.service \(it has failed\)/,
    );
    assert.ok(pgo.world.machine.runs(service("web")) !== undefined && pgo.world.machine.runs(service("blog")) !== undefined);
    isSettled(pgo);
    assert.deepEqual(
      pgo.world.changes.filter((change) => change.includes("alone")),
      [],
    );
  });

  test("a lost volume is made again, empty", async () => {
    await using pgo = await running(db("1"));
    pgo.world.machine.lose("volumes", "systemd-data");
    await pgo.pass(6 * minute);
    assert.equal(pgo.outcome("shop"), "repaired");
    assert.equal(textOf(pgo), "");
    isSettled(pgo);
  });

  test("is none of pgo's where no quadlet of its is about it", async () => {
    await using pgo = await running({ "shop/web.container": container("good:1") });
    pgo.world.machine.networks.set("mine", "");
    pgo.world.machine.lose("networks", "mine");
    await pgo.pass(12 * minute);
    assert.deepEqual(pgo.world.changes, []);
  });
});

suite("what goes with an application", () => {
  const files = {
    ...db("1"),
    "shop/db.container": container("far:1", "Volume=data.volume:/data", "Network=app.network").replace("localhost", "registry.example.com"),
    "shop/app.network": "[Network]\n",
  };
  const rest = { "rest/rest.container": container("good:1") };

  for (const [prune, left] of [
    ["none", { networks: ["systemd-app"], volumes: ["systemd-data"], image: true }],
    ["networks", { networks: [], volumes: ["systemd-data"], image: true }],
    ["all", { networks: [], volumes: [], image: false }],
  ] as const)
    test(`is as prune = "${prune}" says`, async () => {
      await using pgo = await running({ ...files, ...rest }, { quadlet: { prune } });
      await pgo.push(rest);
      const { networks, volumes, images } = pgo.world.machine;
      assert.deepEqual(
        { networks: [...networks.keys()], volumes: [...volumes.keys()], image: images.has("registry.example.com/far:1") },
        left,
      );
      const copies = [...pgo.world.volumeBackups.values()];
      assert.deepEqual(
        copies.map((copy) => copy.includes("precious")),
        prune === "all" ? [true] : [],
      );
      assert.equal(images.has("localhost/good:1"), true, "another application needs it");
      const reasons = pgo.history("shop")[0]?.reasons.filter((reason) => reason.startsWith("remove-"));
      assert.equal(reasons?.length, { none: 0, networks: 1, all: 3 }[prune], "what goes is told before");
      isSettled(pgo);
    });

  test("is not an image that another container runs, or that can't be pulled again", async () => {
    const far = {
      "shop/db.container": container("far:1").replace("localhost", "registry.example.com"),
      "shop/own.container": container("good:2"),
    };
    await using pgo = await running({ ...far, ...rest }, { quadlet: { prune: "all" } });
    pgo.world.edit("/etc/containers/systemd/mine.container", far["shop/db.container"]);
    pgo.world.machine.reload();
    pgo.world.machine.start(service("mine"));
    await pgo.push(rest);
    const { images } = pgo.world.machine;
    assert.deepEqual([images.has("registry.example.com/far:1"), images.has("localhost/good:2")], [true, true]);
    assert.equal(pgo.told.filter((event) => event.type === "warning").length, 1);
  });

  test("is not a volume that another application has a unit for, too", async () => {
    const same = { "rest/other.volume": "[Volume]\nVolumeName=systemd-data\n" };
    const named = { ...files, "shop/data.volume": "[Volume]\nVolumeName=systemd-data\n" };
    await using pgo = await running({ ...named, ...rest, ...same }, { quadlet: { prune: "all" } });
    await pgo.push({ ...rest, ...same });
    assert.equal(pgo.record("shop"), undefined);
    assert.match(dataOf(pgo) ?? "", /precious/);
    assert.deepEqual(
      pgo.world.changes.filter((change) => change.includes("systemd-data")),
      [],
    );
  });

  test("may be said for one application alone", async () => {
    await using pgo = await running({ ...files, ...rest }, { application: { shop: { prune: "all" } } });
    await pgo.push(rest);
    assert.equal(pgo.world.machine.volumes.size, 0);
  });

  test("waits until the new version is well, and stays where it is not", async () => {
    await using pgo = await running(db("1"), { quadlet: { prune: "all" } });
    const without = { "shop/db.container": container("sick:1"), "shop/pgo.toml": settings.replace(/^.*\n.*\n/, "") };
    await pgo.push(without);
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.match(dataOf(pgo) ?? "", /precious/);
    assert.equal(pgo.store.backups().length, 0, "it was never touched");
  });

  test("stays, and that is told, where no backup can be made", async () => {
    await using pgo = await running({ ...files, ...rest }, { quadlet: { prune: "all" } });
    pgo.world.backupTrouble = "no space left on device";
    await pgo.push(rest);
    assert.equal(pgo.record("shop"), undefined);
    assert.match(dataOf(pgo) ?? "", /precious/);
    const told = pgo.told.flatMap((event) => (event.type === "warning" ? [event.message] : []));
    assert.equal(told.length, 1);
    assert.match(
      told[0] ?? "",
      /^back systemd-data up to .*: no space left on device; it was not removed: it is left on the host, remove it by hand$/,
    );
  });
});

test("old backups go, but not those that the settings keep", async () => {
  await using pgo = await running(db("1"), { backup: { keep: 2, keep_days: 1 } });
  for (const version of ["2", "1", "2", "1"] as const) await pgo.push(db(version));
  assert.equal(pgo.store.backups().length, 4);
  await pgo.clock.advance(25 * 60 * minute);
  await pgo.push({ ...db("1"), "other/other.container": container("good:1") });
  assert.equal(pgo.store.backups().length, 2);
  assert.equal(pgo.world.volumeBackups.size, 2);
});

suite("volumes copied before each rollout", () => {
  const config = { backup: { volumes: "before-rollout" } };
  const app = (image: string, other = "good:1") => ({
    "shop/db.container": container(image, "Volume=data.volume:/data"),
    "shop/web.container": container("good:1", "Volume=data.volume:/data:ro"),
    "shop/log.container": container(other, "Volume=log.volume:/log"),
    "shop/data.volume": "[Volume]\n",
    "shop/log.volume": "[Volume]\n",
  });

  test("what changes is stopped, the volumes that it uses are copied, and it starts; what does not change runs on", async () => {
    await using pgo = await running(app("good:1"), config);
    await pgo.push(app("good:2"));
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.deepEqual(pgo.world.changes.slice(2), ["stop db.service", "export systemd-data", "restart db.service"]);
    assert.deepEqual(
      pgo.store.backups().map(({ volume }) => volume),
      ["systemd-data"],
    );
    assert.match(dataOf(pgo) ?? "", /precious/, "nothing of it is touched");
    isSettled(pgo);
  });

  test("the plan says why", async () => {
    await using pgo = await running(app("good:1"), config);
    pgo.world.commit(app("good:2"));
    const { applications } = await pgo.until(pgo.commands.plan(undefined, new AbortController().signal));
    const step = applications[0]?.steps.find(({ kind }) => kind === "backup-volume");
    assert.deepEqual(step, {
      kind: "backup-volume",
      target: "systemd-data",
      because: "db.container changed, and [backup] volumes says so",
    });
  });

  test("on the way back nothing is copied, and the data stays as the new version left it", async () => {
    await using pgo = await running(app("good:1"), config);
    await pgo.push(app("crash:1"));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.equal(pgo.store.backups().length, 1);
    assert.match(dataOf(pgo) ?? "", /precious/);
    isSettled(pgo);
  });

  test("a first rollout, and a service that only died, copy nothing", async () => {
    await using pgo = await running(app("good:1"), config);
    pgo.world.machine.kill(service("db"));
    await pgo.pass(10 * minute);
    assert.deepEqual(pgo.store.backups(), []);
  });

  test("where none can be made the rollout is undone, and the old version runs", async () => {
    await using pgo = await running(app("good:1"), config);
    pgo.world.backupTrouble = "no space left on device";
    await pgo.push(app("good:2"));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.match(pgo.record("shop")?.message ?? "", /^back systemd-data up to .*: no space left on device; it is as it was/);
    isSettled(pgo);
  });

  test("pgo that dies after the copy does not make another one", async () => {
    await using pgo = await running(app("good:1"), config);
    pgo.world.commit(app("good:2"));
    let died = false;
    pgo.world.onChange = () => {
      if (died || pgo.world.changes.at(-1) !== "restart db.service") return;
      died = true;
      pgo.kill();
    };
    await pgo.pass(5 * minute);
    pgo.world.onChange = undefined;
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.equal(pgo.store.backups().length, 1);
    isSettled(pgo);
  });
});

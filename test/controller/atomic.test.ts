/** `atomic = "source"`: all applications of a revision go, or none does; and after a crash it is one or the other too. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const never = new AbortController().signal;
const source = { name: "fleet", url: "https://git.example.com/fleet.git", interval: "60s", allow_empty: true, atomic: "source" };
const container = (image: string, more = "") => `[Container]\nImage=localhost/${image}\nHealthCmd=x\n${more}`;
const names = ["alpha", "beta", "gamma"] as const;
type Images = Readonly<Partial<Record<(typeof names)[number], string>>>;
const files = (images: Images) =>
  Object.fromEntries(Object.entries(images).map(([name, image]) => [`${name}/${name}.container`, container(image)]));
const good = (version: number): Images => Object.fromEntries(names.map((name) => [name, `good:${String(version)}`]));

async function deployed(made: Readonly<Record<string, string>> = files(good(1)), config: object = {}): Promise<Pgo> {
  const pgo = new Pgo({ config: { source: [source], ...config } });
  pgo.start();
  await pgo.push(made);
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

const runs = (pgo: Pgo) => names.map((name) => /localhost\/([a-z]+:\d)/.exec(pgo.world.machine.runs(service(name)) ?? "")?.[1]);
const outcomes = (pgo: Pgo) => names.map((name) => pgo.outcome(name));
const all = (version: number) => names.map(() => `good:${String(version)}`);

suite('a revision of a source with atomic = "source"', () => {
  test("goes as a whole where all is well, and nothing of it is left to do", async () => {
    await using pgo = await deployed();
    await pgo.push(files(good(2)));
    assert.deepEqual([runs(pgo), outcomes(pgo)], [all(2), names.map(() => "deployed")]);
    assert.deepEqual(pgo.store.together(), []);
    isSettled(pgo);
    pgo.forget();
    await pgo.pass(20 * minute);
    assert.deepEqual([pgo.world.changes, pgo.outcomes()], [[], []]);
  });

  for (const [what, spoil, why] of [
    [
      "is rejected",
      { "beta/bad.container": "[Container]\nImage=localhost/good:1\nPublishPorts=80\n" },
      /beta of the same revision is rejected; its source/,
    ],
    ["has an image that can't be pulled", { "beta/beta.container": container("none:1") }, /beta of the same revision is held: .*none:1/],
    [
      "needs a Podman secret that is not there",
      { "gamma/gamma.container": container("good:2", "Secret=token\n") },
      /gamma of the same revision is held: .*token/,
    ],
  ] as const)
    test(`is held as a whole where one of it ${what}, and nothing is touched`, async () => {
      await using pgo = await deployed();
      await pgo.push({ ...files(good(2)), ...spoil });
      await pgo.pass(10 * minute);
      assert.deepEqual(pgo.world.changes, []);
      assert.deepEqual(runs(pgo), all(1));
      assert.equal(pgo.outcome("alpha"), "held");
      assert.match(pgo.record("alpha")?.message ?? "", why);
      pgo.forget();
      await pgo.pass(60 * minute);
      assert.deepEqual(pgo.outcomes(), [], "told once");
      await pgo.push(files(good(3)));
      assert.deepEqual([runs(pgo), outcomes(pgo)], [all(3), names.map(() => "deployed")]);
      isSettled(pgo);
    });

  test("is gone back from as a whole where one fails: those before it in reverse order, those after it are not begun", async () => {
    await using pgo = await deployed();
    await pgo.push(files({ ...good(2), gamma: "sick:1" }));
    assert.deepEqual(runs(pgo), all(1));
    assert.deepEqual(outcomes(pgo), ["held", "held", "rolled-back"]);
    const restarts = pgo.world.changes.filter((change) => change.startsWith("restart "));
    assert.deepEqual(
      restarts,
      ["alpha", "beta", "gamma", "gamma", "beta", "alpha"].map((name) => `restart ${name}.service`),
    );
    assert.equal(
      pgo.record("alpha")?.message,
      'gamma of the same revision failed, and is not tried again before ctl retry gamma or other content; its source goes as a whole (atomic = "source")',
    );
    assert.deepEqual(
      pgo.history("alpha").map(({ cause }) => cause),
      ["rollback", "commit", "commit"],
    );
    isSettled(pgo);
    for (const name of ["alpha", "beta"]) {
      assert.deepEqual(pgo.store.quarantined(id(name)), [], "they are not to blame");
      assert.equal(pgo.record(name)?.pinnedAgainst, undefined, "and follow Git");
    }
    pgo.forget();
    await pgo.pass(60 * minute);
    assert.deepEqual([pgo.world.changes, pgo.outcomes()], [[], []], "and is not tried again by itself");

    await pgo.push(files({ ...good(2), gamma: "good:3" }));
    assert.deepEqual([runs(pgo), outcomes(pgo)], [["good:2", "good:2", "good:3"], names.map(() => "deployed")]);
    isSettled(pgo);
  });

  test("that failed stays held while what failed is in it, whatever else changes, and goes with ctl retry", async () => {
    await using pgo = await deployed();
    await pgo.push(files({ ...good(2), beta: "sick:1" }));
    assert.deepEqual(outcomes(pgo), ["held", "rolled-back", "held"]);
    pgo.forget();
    await pgo.push(files({ alpha: "good:3", beta: "sick:1", gamma: "good:3" }));
    assert.deepEqual([pgo.world.changes, runs(pgo)], [[], all(1)]);
    pgo.world.machine.images.set("localhost/sick:1", "good");
    await pgo.until(pgo.commands.retry("beta", never));
    assert.deepEqual([runs(pgo), outcomes(pgo)], [["good:3", "sick:1", "good:3"], names.map(() => "deployed")]);
    isSettled(pgo);
  });

  test("takes new applications away again, brings back those that it removed, and leaves alone what it does not change", async () => {
    await using pgo = await deployed(files({ alpha: "good:1", beta: "good:1" }));
    await pgo.push({ ...files({ beta: "good:1", gamma: "good:1" }), "zeta/zeta.container": container("sick:1") });
    assert.deepEqual(runs(pgo), ["good:1", "good:1", undefined]);
    assert.ok(!pgo.world.changes.some((change) => change.includes("beta")));
    assert.equal(pgo.outcome("gamma"), "held");
    assert.match(pgo.record("gamma")?.message ?? "", /^zeta of the same revision failed/);
    isSettled(pgo);
    await pgo.push(files({ beta: "good:1", gamma: "good:1" }));
    assert.deepEqual(runs(pgo), [undefined, "good:1", "good:1"]);
    isSettled(pgo);
  });

  test("may move a unit and a port from one application to another", async () => {
    const port = "PublishPort=8080:80\n";
    await using pgo = await deployed({
      "alpha/alpha.container": container("good:1", port),
      "alpha/mover.container": container("good:1"),
      "beta/beta.container": container("good:1"),
    });
    await pgo.push({
      "alpha/alpha.container": container("good:1"),
      "beta/beta.container": container("good:1", port),
      "beta/mover.container": container("good:1"),
    });
    assert.deepEqual([pgo.outcome("alpha"), pgo.outcome("beta")], ["deployed", "deployed"], pgo.outcomes().join("; "));
    isSettled(pgo);
  });

  test("gives a moved unit back where it fails", async () => {
    await using pgo = await deployed({
      ...files({ alpha: "good:1", beta: "good:1", gamma: "good:1" }),
      "alpha/mover.container": container("good:1"),
    });
    await pgo.push({ ...files({ alpha: "good:1", beta: "good:1", gamma: "sick:1" }), "beta/mover.container": container("good:1") });
    await pgo.pass(6 * minute);
    assert.ok(pgo.world.file(id("alpha"), "mover.container") !== undefined);
    assert.deepEqual(pgo.store.together(), []);
    isSettled(pgo);
  });

  test("loses no data on the way: what prune = all takes, goes only when all is well", async () => {
    const kept = { "alpha/alpha.container": container("good:1", "Volume=data.volume:/data\n"), "alpha/data.volume": "[Volume]\n" };
    await using pgo = await deployed({ ...files(good(1)), ...kept }, { quadlet: { prune: "all" } });
    const data = () => pgo.world.machine.volumes.get("systemd-data")?.data;
    const before = data() ?? assert.fail();
    await pgo.push(files({ ...good(2), gamma: "sick:1" }));
    assert.ok(data()?.startsWith(before), "it is the very volume");
    isSettled(pgo);
    await pgo.push(files(good(2)));
    assert.equal(data(), undefined);
    isSettled(pgo);
    await pgo.push({ ...files(good(2)), ...kept });
    await pgo.push(files({ beta: "good:3", gamma: "good:3" }));
    assert.deepEqual([pgo.record("alpha"), data()], [undefined, undefined], "that of an application that goes, too");
    assert.deepEqual(pgo.store.together(), []);
    isSettled(pgo);
  });

  test('leaves what has rollback = "never" on the new version, and says so', async () => {
    await using pgo = await deployed(files(good(1)), { application: { alpha: { rollback: "never" } } });
    await pgo.push(files({ ...good(2), gamma: "sick:1" }));
    assert.deepEqual(runs(pgo), ["good:2", "good:1", "good:1"]);
    const told = pgo.told.flatMap((event) => (event.type === "warning" ? [event.message] : []));
    assert.match(told.join("\n"), /it stays on the version of .*, since rollback = "never", though the rest of its source goes back/);
    assert.deepEqual(pgo.store.together(), []);
    isSettled(pgo);
  });

  test("is whole or not at all after a failed version that is not gone back from", async () => {
    await using pgo = await deployed(files(good(1)), { application: { gamma: { rollback: "never" } } });
    await pgo.push(files({ ...good(2), gamma: "sick:1" }));
    await pgo.pass(20 * minute);
    assert.deepEqual(runs(pgo), ["good:1", "good:1", "sick:1"]);
    assert.deepEqual(outcomes(pgo), ["held", "held", "failed"]);
    pgo.world.machine.behave(service("gamma"), "good");
    await pgo.pass(12 * minute);
    assert.deepEqual(runs(pgo), ["good:2", "good:2", "sick:1"]);
    isSettled(pgo);
  });

  test("shows in ctl plan what holds it", async () => {
    await using pgo = await deployed();
    pgo.world.commit({ ...files(good(2)), "beta/pgo.toml": "nonsense = 1\n" });
    const { applications } = await pgo.until(pgo.commands.plan(undefined, never));
    assert.deepEqual(
      applications.map(({ name, state }) => [name, state]),
      [
        ["alpha", "held"],
        ["beta", "rejected"],
        ["gamma", "held"],
      ],
    );
    assert.match(applications[0]?.message ?? "", /^beta of the same revision is rejected; its source goes as a whole/);
  });
});

suite("pgo that is killed while a revision goes as a whole", () => {
  for (const [what, images, expected] of [
    ["well", good(2), all(2)],
    ["back", { ...good(2), gamma: "sick:1" }, all(1)],
  ] as const)
    test(`brings it to the same end: ${what}`, async () => {
      for (let after = 0, isOver = false; !isOver; after += 2) {
        await using pgo = await deployed();
        pgo.faults.add({ kind: after % 4 === 0 ? "killed before" : "killed after", among: "changes", after, times: 1 });
        await pgo.push(files(images));
        isOver = pgo.faults.happened.length === 0;
        const said = `killed at ${String(after)}: ${pgo.faults.happened.join()}`;
        pgo.faults.clear();
        await pgo.pass(6 * minute);
        assert.deepEqual(runs(pgo), expected, said);
        assert.deepEqual(pgo.store.together(), [], said);
        for (const name of ["alpha", "beta"]) {
          assert.deepEqual(pgo.store.quarantined(id(name)), [], said);
          assert.equal(pgo.record(name)?.pinnedAgainst, undefined, said);
          assert.equal(pgo.outcome(name), what === "well" ? pgo.outcome(name) : "held", said);
        }
        isSettled(pgo);
      }
    });

  test("goes on where Git can't be reached any more", async () => {
    for (const [images, expected] of [
      [good(2), all(2)],
      [{ ...good(2), gamma: "sick:1" }, all(1)],
    ] as const) {
      await using pgo = await deployed();
      pgo.world.commit(files(images));
      pgo.world.onChange = () => {
        if (pgo.world.changes.at(-1) !== "restart beta.service") return;
        pgo.world.gitTrouble = { reason: "no route", transient: true };
        pgo.world.onChange = undefined;
        pgo.kill();
      };
      await pgo.pass(5 * minute);
      assert.deepEqual(runs(pgo), expected);
      assert.deepEqual(pgo.store.together(), []);
      isSettled(pgo);
    }
  });

  test("goes back to what was there before both where Git says something else meanwhile that fails", async () => {
    await using pgo = await deployed();
    pgo.world.commit(files(good(2)));
    pgo.world.onChange = () => {
      if (pgo.world.changes.at(-1) !== "restart alpha.service") return;
      pgo.world.onChange = undefined;
      pgo.world.commit(files({ alpha: "good:3", beta: "good:3", gamma: "sick:1" }));
      pgo.kill();
    };
    await pgo.pass(8 * minute);
    assert.deepEqual([runs(pgo), outcomes(pgo)], [all(2), ["held", "held", "rolled-back"]]);
    isSettled(pgo);
  });
});

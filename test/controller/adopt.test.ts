/** Taking over what a person set up by hand: nothing that is the same restarts, and what fails is as it was before. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { searchPath } from "../fakes/world.ts";
import { id, isSettled, minute, Pgo, service, type PgoOptions } from "./pgo.ts";

const adopting: PgoOptions = { config: { quadlet: { adopt: true } } };

const hand = {
  "app.network": "[Network]\n",
  "web.container": "# by hand\n[Container]\nImage=localhost/good:1\nNetwork=app.network\n[Install]\nWantedBy=default.target\n",
  "db.container": "[Container]\nImage=localhost/good:2\nHealthCmd=x\n",
  "db.container.d/10.conf": "[Container]\nLabel=a=b\n",
};
const services = ["app-network", "web", "db"].map(service);

/** A host on which somebody has placed and started the units, and the same in Git as one application, with changes. */
function furnished(options: PgoOptions = adopting): Pgo {
  const pgo = new Pgo(options);
  const { machine } = pgo.world;
  for (const [path, text] of Object.entries(hand)) machine.files.set(`${searchPath}/${path}`, { mode: 0o640, content: text });
  machine.reload();
  for (const name of services) assert.equal(machine.start(name), undefined);
  return pgo;
}

function inGit(changes: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries({ ...hand, ...changes }).map(([path, text]) => [`shop/${path}`, text]));
}

const invocations = (pgo: Pgo) => services.map((name) => pgo.world.machine.state(name).invocation);

function handFiles(pgo: Pgo): readonly (readonly [string, number, string])[] {
  return [...pgo.world.machine.files]
    .filter(([path]) => !path.startsWith(`${searchPath}/pgo/`))
    .map(([path, { mode, content }]) => [path.slice(searchPath.length + 1), mode, content] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

const asPlaced = Object.entries(hand)
  .map(([path, text]) => [path, 0o640, text] as const)
  .sort(([a], [b]) => (a < b ? -1 : 1));

/** One of both ends, whole. */
function isTakenOver(pgo: Pgo): void {
  assert.ok(["deployed", "in-sync"].includes(pgo.outcome("shop") ?? ""), pgo.record("shop")?.message);
  assert.deepEqual(handFiles(pgo), []);
  assert.deepEqual(
    [...pgo.world.backups].map(([copy, { mode, content }]) => [copy.replace(/^.*?:.*systemd\//, ""), mode, content]).sort(),
    [...asPlaced],
  );
  assert.deepEqual(pgo.store.adoptions(id("shop")), []);
  isSettled(pgo);
}

function isGivenBack(pgo: Pgo): void {
  const { machine, violations } = pgo.world;
  assert.deepEqual(handFiles(pgo), asPlaced);
  assert.deepEqual(pgo.world.filesOf(id("shop")), new Map());
  for (const name of services) {
    assert.equal(machine.state(name).active, "active", name);
    assert.match(machine.state(name).source, new RegExp(`^${searchPath}/[^/]+$`));
  }
  assert.match(machine.runs(service("db")) ?? "", /good:2/);
  assert.deepEqual(pgo.store.adoptions(id("shop")), []);
  assert.deepEqual(pgo.store.started(id("shop")), new Map());
  assert.deepEqual(pgo.store.rollouts(), []);
  assert.deepEqual(violations, []);
}

suite("with adopt = true", () => {
  test("what Git has the same is taken over without a restart", async () => {
    await using pgo = furnished();
    const before = invocations(pgo);
    await pgo.push(inGit({ "web.container": hand["web.container"].replace("# by hand\n", "") }));
    assert.deepEqual(invocations(pgo), before);
    isTakenOver(pgo);
    assert.equal(pgo.record("shop")?.health, "healthy");
    pgo.forget();
    await pgo.pass(20 * minute);
    assert.deepEqual(pgo.world.changes, [], "and all is quiet afterwards");
  });

  test("the plan shows each file that is taken over, and history too", async () => {
    await using pgo = furnished();
    pgo.world.commit(inGit());
    const steps = [
      "write app.network",
      "write db.container",
      "write db.container.d/10.conf",
      "write web.container",
      `adopt ${searchPath}/app.network`,
      `adopt ${searchPath}/db.container`,
      `adopt ${searchPath}/db.container.d/10.conf`,
      `adopt ${searchPath}/web.container`,
      "reload systemd",
    ];
    const told = (list: readonly { readonly kind: string; readonly target: string }[]) =>
      list.map(({ kind, target }) => `${kind} ${target}`);
    pgo.start();
    const asked = pgo.commands.plan(undefined, new AbortController().signal);
    const { applications } = await pgo.until(asked);
    assert.deepEqual(told(applications[0]?.steps ?? []).sort(), [...steps].sort());
    await pgo.pass(3 * minute);
    assert.deepEqual(told(pgo.history("shop")[0]?.steps ?? []).sort(), [...steps].sort());
    isTakenOver(pgo);
  });

  test("what differs restarts, alone, and says why", async () => {
    await using pgo = furnished();
    const before = invocations(pgo);
    await pgo.push(inGit({ "db.container": hand["db.container"].replace("good:2", "good:3") }));
    isTakenOver(pgo);
    const [network, web, db] = invocations(pgo);
    assert.deepEqual([network, web], before.slice(0, 2));
    assert.notEqual(db, before[2]);
    const restart = pgo.history("shop")[0]?.steps.find(({ kind }) => kind === "restart");
    assert.equal(restart?.because, `taken over from ${searchPath}/db.container: Image= differs`);
  });

  test("a directory that is mounted from beside the unit is another one afterwards, so the service restarts", async () => {
    await using pgo = new Pgo(adopting);
    const text = "[Container]\nImage=localhost/good:1\nVolume=./conf:/conf\n";
    pgo.world.edit(`${searchPath}/web.container`, text);
    pgo.world.machine.reload();
    pgo.world.machine.start(service("web"));
    await pgo.push({ "shop/web.container": text, "shop/conf/a": "a" });
    assert.match(
      pgo.history("shop")[0]?.steps.find(({ kind }) => kind === "restart")?.because ?? "",
      /^taken over from .*: \[Service\] ExecStart= differs$/,
    );
    isSettled(pgo);
  });

  test("a later change restarts as ever", async () => {
    await using pgo = furnished();
    await pgo.push(inGit());
    pgo.forget();
    await pgo.push(inGit({ "web.container": hand["web.container"].replace("good:1", "good:3") }));
    assert.deepEqual(
      pgo.world.changes.filter((change) => change.startsWith("restart")),
      ["restart web.service"],
    );
    assert.equal(pgo.history("shop")[0]?.steps.at(-1)?.because, "Image= changed in web.container");
  });

  test("a network or volume that differs is not taken over, and nothing is touched", async () => {
    await using pgo = furnished();
    await pgo.push(inGit({ "app.network": "[Network]\nLabel=x=y\n" }));
    assert.equal(pgo.outcome("shop"), "rejected");
    assert.match(
      pgo.record("shop")?.message ?? "",
      /app\.network can't be taken over: Label= differs, and Podman can't alter systemd-app in place/,
    );
    isGivenBack(pgo);
    assert.deepEqual(pgo.world.changes, []);
  });

  test("what does not get healthy is undone: the old files are back, and what did not change has run on", async () => {
    await using pgo = furnished();
    const before = invocations(pgo);
    await pgo.push(inGit({ "db.container": hand["db.container"].replace("good:2", "sick:1") }));
    assert.equal(pgo.outcome("shop"), "failed");
    assert.match(pgo.record("shop")?.message ?? "", /db\.service .*; it was taken away again, and what was there before it is back/);
    isGivenBack(pgo);
    assert.deepEqual(invocations(pgo).slice(0, 2), before.slice(0, 2));
    pgo.forget();
    await pgo.pass(20 * minute);
    assert.deepEqual(pgo.world.changes, [], "and all is quiet afterwards");
    await pgo.push(inGit());
    assert.deepEqual(handFiles(pgo), []);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  test("an application that is there already gets a unit of a person's, and gives it back when it goes back to its last good", async () => {
    await using pgo = furnished();
    const cache = { "shop/cache.container": "[Container]\nImage=localhost/good:1\n" };
    await pgo.push(cache);
    const before = invocations(pgo);
    await pgo.push({ "shop/cache.container": "[Container]\nImage=localhost/sick:1\nHealthCmd=x\n", ...inGit() });
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.deepEqual(handFiles(pgo), asPlaced);
    assert.deepEqual(invocations(pgo), before);
    assert.match(pgo.world.machine.runs(service("cache")) ?? "", /good:1/);
    assert.deepEqual([...pgo.store.started(id("shop")).keys()], ["cache.service"]);
    isSettled(pgo);
    pgo.world.backups.clear();
    await pgo.push({ ...cache, ...inGit() });
    assert.deepEqual(invocations(pgo), before);
    isTakenOver(pgo);
  });

  test("a unit that has the same service by another file name is refused as ever", async () => {
    await using pgo = furnished();
    await pgo.push({ "shop/site.container": "[Container]\nImage=localhost/good:1\nServiceName=web\n" });
    assert.equal(pgo.outcome("shop"), "rejected");
    assert.match(pgo.record("shop")?.message ?? "", /the host has web\.service already, from .*web\.container, which pgo did not place/);
    isGivenBack(pgo);
  });

  test("a unit of the distribution's is never taken over", async () => {
    await using pgo = new Pgo(adopting);
    pgo.world.machine.installed.set(service("ssh"), "/usr/lib/systemd/system/ssh.service");
    await pgo.push({ "shop/ssh.container": "[Container]\nImage=localhost/good:1\n" });
    assert.equal(pgo.outcome("shop"), "rejected");
  });

  test("files that somebody copied to pgo's own place are taken as they are", async () => {
    await using pgo = new Pgo(adopting);
    const text = "[Container]\nImage=localhost/good:1\n";
    const path = `${searchPath}/pgo/fleet/shop/web.container`;
    pgo.world.edit(path, text);
    pgo.world.machine.reload();
    pgo.world.machine.start(service("web"));
    const { invocation } = pgo.world.machine.state(service("web"));
    await pgo.push({ "shop/web.container": text });
    assert.equal(pgo.outcome("shop"), "deployed", pgo.record("shop")?.message);
    assert.equal(pgo.world.machine.state(service("web")).invocation, invocation);
    await pgo.push({ "shop/web.container": text.replace("good:1", "good:2") });
    assert.match(pgo.world.machine.runs(service("web")) ?? "", /good:2/);
  });

  test("one whose env file says the same in Git runs on, and restarts where it says something else", async () => {
    const text = "[Container]\nImage=localhost/good:1\nEnvironmentFile=web.env\n";
    for (const [inGit, differs] of [
      ["A=1\n", undefined],
      ["A=2\n", "[Service] ExecStart= differs"],
    ] as const) {
      await using pgo = new Pgo(adopting);
      pgo.world.edit(`${searchPath}/web.container`, text);
      pgo.world.edit(`${searchPath}/web.env`, "# by hand\nA=1\n");
      pgo.world.machine.reload();
      pgo.world.machine.start(service("web"));
      const { invocation } = pgo.world.machine.state(service("web"));
      await pgo.push({ "shop/web.container": text, "shop/web.env": inGit });
      assert.equal(pgo.outcome("shop"), "deployed", pgo.record("shop")?.message);
      assert.equal(pgo.world.machine.state(service("web")).invocation === invocation, differs === undefined);
      const restart = pgo.history("shop")[0]?.steps.find(({ kind }) => kind === "restart");
      assert.equal(restart?.because, differs && `taken over from ${searchPath}/web.container: ${differs}`);
      pgo.forget();
      await pgo.pass(20 * minute);
      assert.deepEqual(pgo.world.changes, [], "and all is quiet afterwards");
    }
  });

  test("of an application alone, others are refused", async () => {
    await using pgo = furnished({ config: { application: { shop: { adopt: true } } } });
    await pgo.push({ "blog/web.container": "[Container]\nImage=localhost/good:1\n" });
    assert.match(pgo.record("blog")?.message ?? "", /or let pgo take it over: adopt = true in \[quadlet\]/);
    await pgo.push(inGit());
    isTakenOver(pgo);
  });
});

suite("killed at any moment while it takes over, or gives back, pgo comes to one of both ends", () => {
  const versions = {
    "the same": { changes: {}, end: isTakenOver },
    "a changed one": { changes: { "db.container": hand["db.container"].replace("good:2", "good:3") }, end: isTakenOver },
    "a bad one": { changes: { "db.container": hand["db.container"].replace("good:2", "sick:1") }, end: isGivenBack },
  };
  for (const [name, { changes, end }] of Object.entries(versions))
    for (const kind of ["killed before", "killed after", "throws", "loses the answer"] as const)
      test(`${name}: ${kind}`, async () => {
        for (let after = 0; after < 400; after += 1) {
          await using pgo = furnished();
          const before = invocations(pgo);
          pgo.start();
          await pgo.pass(minute);
          pgo.world.commit(inGit(changes));
          pgo.faults.add({ kind, among: "changes", after, times: 1 });
          await pgo.pass(2 * minute);
          const befell = pgo.faults.happened.join(", ");
          if (befell === "") {
            assert.ok(after > 20, `there are ${after} moments`);
            return;
          }
          pgo.faults.clear();
          await pgo.pass(12 * minute);
          try {
            // A fault that is no crash may have undone what is sound.
            const undone = kind !== "killed before" && kind !== "killed after" && pgo.outcome("shop") === "failed";
            (undone ? isGivenBack : end)(pgo);
            assert.deepEqual(invocations(pgo).slice(0, 2), before.slice(0, 2), "what did not change has run on");
            if (name === "the same") assert.deepEqual(invocations(pgo), before, "nothing has restarted");
          } catch (error) {
            throw new Error(`fault ${after}, ${befell}`, { cause: error });
          }
        }
        assert.fail("it never came to an end");
      });
});

/** The whole controller, from any story of commits, faults and crashes: it ends well, and touches nothing that is not its own. */

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { Bundles } from "../../src/controller/context.ts";
import { id, isSettled, minute, Pgo } from "./pgo.ts";
import { anyTree, applicationFiles, calm, filesOf, happen, soundTree, story, type Container, type Tree } from "./story.ts";
import { bundleOf } from "../core/model.ts";

/** Somebody else's on the host: a unit of the distribution's, a person's quadlet that runs, a broken one. */
function furnish(pgo: Pgo): () => void {
  const { machine, registry } = pgo.world;
  pgo.world.commit({ "README.md": "nothing yet" });
  pgo.secretValues.set("VALUE", "0");
  registry.set("registry.example.com/far:1", "good");
  machine.installed.set("ssh.service" as never, "/usr/lib/systemd/system/ssh.service");
  pgo.world.edit("/etc/containers/systemd/mine.container", "[Container]\nImage=localhost/good:1\n[Install]\nWantedBy=default.target\n");
  pgo.world.edit("/etc/containers/systemd/broken/broken.container", "nonsense\n");
  machine.reload();
  machine.start("mine.service" as never);
  const files = new Map([...machine.files].filter(([path]) => !path.includes("/pgo/")));
  return () => {
    assert.deepEqual(new Map([...machine.files].filter(([path]) => !path.includes("/pgo/"))), files, "nobody else's files were changed");
    assert.deepEqual(pgo.world.violations, [], "nothing of anybody else's was touched");
  };
}

/** Git's version is live, application by application. */
function isAsGitSays(pgo: Pgo, tree: Tree): void {
  const names = Object.keys(tree);
  assert.deepEqual(
    pgo.store.applications().map((record) => record.id),
    names.map(id).sort(),
  );
  for (const name of names) {
    const record = pgo.record(name);
    assert.ok(record?.lastGood !== undefined, `${name} is ${record?.outcome ?? "not there"}: ${record?.message ?? ""}`);
    assert.equal(record.lastGood, record.desired?.digest, `${name} is ${record.outcome}: ${record.message ?? ""}`);
    // Env files are placed apart, and the units that name them say where.
    const own = Object.entries(filesOf(tree)).filter(([path]) => path.startsWith(`${name}/`));
    const bundle = bundleOf(
      Object.fromEntries(own.map(([path, text]) => [path.slice(name.length + 1), text])),
      id(name),
      Object.fromEntries(pgo.secretValues),
    );
    const wanted = bundle.files.map(({ path, content }): [string, string] => [path, Buffer.from(content).toString()]);
    const placed = pgo.world.filesOf(id(name));
    assert.deepEqual(new Map([...placed].sort()), new Map(wanted.sort()), `${name}: the files are Git's`);
  }
}

const runs = Number(process.env["PGO_STORIES"] ?? 60);
/** The same stories each time, so that a commit is judged by what it changed; another PGO_SEED, and more PGO_STORIES, look for new ones. */
const seed = Number(process.env["PGO_SEED"] ?? 1);

test("from any story of commits, faults, incidents and commands, once faults end the host shows the last good and then what Git wants", async () => {
  await fc.assert(
    fc.asyncProperty(story, soundTree, async (incidents, final) => {
      await using pgo = new Pgo({ allowEmpty: true, config: { state: { keep_good: 1 } } });
      const othersAreLeftAlone = furnish(pgo);
      pgo.start();
      for (const one of incidents) await happen(pgo, one);

      await calm(pgo);
      isSettled(pgo);
      othersAreLeftAlone();

      pgo.forget();
      await pgo.pass(11 * minute);
      assert.deepEqual(pgo.world.changes, [], "what is settled stays so");
      assert.deepEqual(pgo.outcomes(), [], "and nothing is told of it");

      await pgo.push(filesOf(final));
      isAsGitSays(pgo, final);
      isSettled(pgo);
      othersAreLeftAlone();

      const { shop } = final;
      assert.ok(shop);
      const left = { shop: { ...shop, web: shop.web && { ...shop.web, shared: false, comment: true }, db: undefined } };
      await pgo.push(filesOf(left));
      isAsGitSays(pgo, left);
      isSettled(pgo);
      othersAreLeftAlone();
      const { units } = new Bundles(pgo.store, "/var/lib/pgo").get(pgo.record("shop")?.lastGood ?? ("" as never));
      const networks = units.filter((unit) => unit.kind === "network").map((unit) => unit.object);
      assert.deepEqual([...pgo.world.machine.networks.keys()].sort(), networks, "no network is left over");
    }),
    { numRuns: runs, seed, interruptAfterTimeLimit: 120_000 },
  );
});

type Name = keyof Tree;

/** What each application must come to when all of `before` is live and Git says `after`: from what they are made of, not from pgo's code. */
function deserved(before: Tree, after: Tree): ReadonlyMap<Name, readonly string[]> {
  const said = new Map<Name, readonly string[]>();
  const containers = (tree: Tree, name: Name) => [tree[name]?.web, tree[name]?.db].filter((one) => one !== undefined);
  const has = (name: Name) => after[name] !== undefined && Object.keys(applicationFiles(name, after[name])).length > 0;
  const isSame = (name: Name) => JSON.stringify(filesOf({ [name]: before[name] })) === JSON.stringify(filesOf({ [name]: after[name] }));
  const usesShared = (tree: Tree, name: Name) => containers(tree, name).some((one) => one.shared);
  const isBad = ({ image, checkedBy, oneshot }: Container) =>
    image.includes("crash") || (image.includes("job") && !oneshot) || (image.includes("sick") && checkedBy !== "process");

  const ofItself = (name: Name): string => {
    if (!has(name)) return "removed";
    if (isSame(name)) return "kept";
    if (after[name]?.flaw !== undefined) return "rejected";
    if (containers(after, name).some((one) => one.image.includes("none"))) return "held";
    return containers(after, name).some(isBad) ? "rolled-back" : "deployed";
  };
  for (const name of ["base", "shop", "blog"] as const) {
    const own = ofItself(name);
    const allowed = [own];
    if (name !== "base" && has(name) && !isSame(name) && usesShared(after, name)) {
      // Of a network that is not as Git wants it, or not there any more.
      const base = ofItself("base");
      if (own !== "rejected" && base === "removed") allowed.splice(0, 1, "rejected");
      else if (base !== "removed" && base !== "kept" && base !== "deployed")
        allowed.splice(
          0,
          own === "rejected" && after[name]?.flaw !== "missing network" ? 0 : 1,
          "held",
          ...(own === "rejected" ? [own] : []),
        );
    }
    said.set(name, allowed);
  }
  // A unit that another application had: it must be given up first.
  for (const [name, home] of [
    ["shop", "blog"],
    ["blog", "shop"],
  ] as const)
    if (before[home]?.wanderer === true && after[name]?.wanderer === true && !["deployed", "removed"].includes(said.get(home)?.[0] ?? ""))
      said.set(name, [...(said.get(name) ?? []), "held", "rejected"]);
  if (said.get("base")?.includes("rejected") === true)
    for (const name of ["shop", "blog"] as const)
      if (has(name) && !isSame(name) && usesShared(after, name)) said.set(name, [...(said.get(name) ?? []), "held"]);
  // The network stays while somebody needs it who stays as it was.
  const users = (["shop", "blog"] as const).filter((name) => usesShared(before, name));
  const stays = (name: Name) => (said.get(name) ?? []).some((one) => one !== "deployed" && one !== "removed");
  if (said.get("base")?.[0] === "removed" && users.some(stays)) said.set("base", ["held", "removed"]);
  return said;
}

function wandererIn(tree: Tree): Name | undefined {
  return (["base", "shop", "blog"] as const).find((name) => tree[name]?.wanderer === true);
}

test("without faults each application comes to what its content deserves, and nothing is started that did not change", async () => {
  await fc.assert(
    fc.asyncProperty(soundTree, anyTree, async (before, after) => {
      await using pgo = new Pgo({ allowEmpty: true });
      const othersAreLeftAlone = furnish(pgo);
      pgo.start();
      await pgo.push(filesOf(before));
      isAsGitSays(pgo, before);
      const good = new Map(Object.keys(before).map((name) => [name, pgo.record(name)?.lastGood]));
      pgo.forget();
      const starts = pgo.world.machine.started.length;

      await pgo.push(filesOf(after));
      isSettled(pgo);
      othersAreLeftAlone();
      const expected = deserved(before, after);
      const comes = new Map<Name, string>();
      for (const [name, allowed] of expected) {
        const record = pgo.record(name);
        const told = pgo.outcomes().filter((line) => line.startsWith(`${name} `));
        // What it gave up, and nobody took after all, is stopped later, and told then.
        const stopped = before[name]?.wanderer === true && told[1]?.startsWith(`${name} repaired: wanderer.service`) === true;
        const came = record === undefined ? "removed" : told.length === 0 ? "kept" : stopped ? "deployed" : record.outcome;
        comes.set(name, came);
        assert.ok(allowed.includes(came), `${name} is ${came}, and not ${allowed.join(" or ")}: ${record?.message ?? ""}`);
        assert.ok(told.length <= (stopped ? 2 : 1), `told once: ${told.join(", ")}`);
        if (came === "deployed") assert.equal(record?.lastGood, record?.desired?.digest);
        else if (record !== undefined) assert.equal(record.lastGood, good.get(name), `${name} stays on its last good version`);
        if (came === "kept" || came === "held" || came === "rejected") {
          const started = pgo.world.machine.started.slice(starts).map((one) => one.service);
          assert.deepEqual(
            started.filter((service) => service.startsWith(`${name}-`)),
            [],
            `nothing of ${name} is started`,
          );
        }
      }
      const [from, to] = [wandererIn(before), wandererIn(after)];
      if (
        from !== undefined &&
        to !== undefined &&
        comes.get(to) === "deployed" &&
        ["deployed", "removed"].includes(comes.get(from) ?? "")
      ) {
        const moved = pgo.world.machine.started.slice(starts).filter((one) => one.service === "wanderer.service");
        assert.deepEqual(moved, [], `wanderer.service runs on from ${from} to ${to}`);
      }
      pgo.forget();
      await pgo.pass(20 * minute);
      assert.deepEqual(pgo.world.changes, [], "and nothing is tried again by itself");
    }),
    { numRuns: runs, seed, interruptAfterTimeLimit: 120_000 },
  );
});

test("killed at any moment of a rollout, and again while it recovers, pgo comes to the same end", async () => {
  const killing = fc.record({
    kind: fc.constantFrom("killed before", "killed after"),
    among: fc.constant("changes" as const),
    after: fc.nat({ max: 45 }),
    times: fc.constant(1),
  });
  const meanwhile = fc.constantFrom("nothing", "nothing", "reboot", "reload");
  await fc.assert(
    fc.asyncProperty(
      soundTree,
      anyTree,
      fc.array(killing, { minLength: 1, maxLength: 2 }),
      meanwhile,
      async (before, after, kills, event) => {
        await using pgo = new Pgo({ allowEmpty: true });
        const othersAreLeftAlone = furnish(pgo);
        pgo.start();
        await pgo.push(filesOf(before));
        isAsGitSays(pgo, before);
        const good = new Map(Object.keys(before).map((name) => [name, pgo.record(name)?.lastGood]));

        pgo.world.commit(filesOf(after));
        for (const kill of kills) {
          pgo.faults.add(kill);
          await pgo.pass(minute);
          if (pgo.running || event === "nothing") continue;
          if (event === "reboot") pgo.world.machine.reboot();
          else pgo.world.machine.reload();
        }
        pgo.faults.clear();
        await pgo.pass(6 * minute);
        isSettled(pgo);
        othersAreLeftAlone();
        for (const [name, allowed] of deserved(before, after)) {
          const record = pgo.record(name);
          const isWanted = record?.lastGood !== undefined && record.lastGood === record.desired?.digest;
          const came = record === undefined ? "removed" : isWanted ? "deployed" : record.outcome;
          assert.ok(
            allowed.map((one) => (one === "kept" ? "deployed" : one)).includes(came),
            `${name} is ${came}, and not ${allowed.join(" or ")}: ${record?.message ?? ""} (${pgo.faults.happened.join(", ")})`,
          );
          if (record !== undefined && !isWanted) assert.equal(record.lastGood, good.get(name), `${name} stays on its last good version`);
        }
      },
    ),
    { numRuns: runs, seed, interruptAfterTimeLimit: 120_000 },
  );
});

test("of a source that goes as a whole all becomes what Git says, or all is as it was, also where pgo is killed on the way", async () => {
  const killing = fc.record({
    kind: fc.constantFrom("killed before", "killed after"),
    among: fc.constant("changes" as const),
    after: fc.nat({ max: 120 }),
    times: fc.constant(1),
  });
  const source = { name: "fleet", url: "https://git.example.com/fleet.git", interval: "60s", allow_empty: true, atomic: "source" };
  const ends = { new: 0, old: 0 };
  await fc.assert(
    fc.asyncProperty(soundTree, anyTree, fc.array(killing, { maxLength: 2 }), async (before, after, kills) => {
      await using pgo = new Pgo({ config: { source: [source] } });
      const othersAreLeftAlone = furnish(pgo);
      pgo.start();
      await pgo.push(filesOf(before));
      isAsGitSays(pgo, before);
      const good = new Map(Object.keys(before).map((name) => [id(name), pgo.record(name)?.lastGood]));

      pgo.world.commit(filesOf(after));
      for (const kill of kills) {
        pgo.faults.add(kill);
        await pgo.pass(minute);
      }
      pgo.faults.clear();
      await pgo.pass(8 * minute);
      isSettled(pgo);
      othersAreLeftAlone();
      assert.deepEqual(pgo.store.together(), []);
      const records = pgo.store.applications();
      const isNew = records.every(({ lastGood, desired }) => lastGood !== undefined && lastGood === desired?.digest);
      const isOld =
        records.every((record) => record.lastGood === good.get(record.id)) &&
        [...good.keys()].every((one) => records.some((record) => record.id === one));
      const said = records.map((one) => `${one.id} ${one.outcome}: ${one.message ?? ""}`).join("\n");
      assert.ok(isNew || isOld, `${said}\n${pgo.faults.happened.join(", ")}`);
      ends[isNew ? "new" : "old"] += 1;
    }),
    { numRuns: runs, seed, interruptAfterTimeLimit: 120_000 },
  );
  assert.ok(ends.new > 0 && ends.old > 0, `both ends were seen: ${JSON.stringify(ends)}`);
});

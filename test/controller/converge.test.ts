/** The whole controller, from any story of commits, faults and crashes: it ends well, and touches nothing that is not its own. */

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { Bundles } from "../../src/controller/context.ts";
import { id, isSettled, minute, Pgo } from "./pgo.ts";
import { calm, filesOf, happen, incident, soundTree, type Tree } from "./story.ts";

/** Somebody else's on the host: a unit of the distribution's, a person's quadlet that runs, a broken one. */
function furnish(pgo: Pgo): () => void {
  const { machine, registry } = pgo.world;
  pgo.world.commit({ "README.md": "nothing yet" });
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
    assert.ok(record !== undefined && record.lastGood !== undefined, `${name} is ${record?.outcome ?? "not there"}: ${record?.message ?? ""}`);
    assert.equal(record.lastGood, record.desired?.digest, `${name} is ${record.outcome}: ${record.message ?? ""}`);
    const wanted = Object.entries(filesOf(tree)).filter(([path]) => path.startsWith(`${name}/`) && !path.endsWith("pgo.toml"));
    const placed = new Map([...pgo.world.filesOf(id(name))].map(([path, text]) => [`${name}/${path}`, text]));
    assert.deepEqual(new Map([...placed].sort()), new Map(wanted.sort()), `${name}: the files are Git's`);
  }
}

const runs = Number(process.env["PGO_STORIES"] ?? 60);

test("from any story of commits, faults, incidents and commands, once faults end the host shows the last good and then what Git wants", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(incident, { minLength: 2, maxLength: 14 }), soundTree, async (story, final) => {
      await using pgo = new Pgo({ allowEmpty: true });
      const othersAreLeftAlone = furnish(pgo);
      pgo.start();
      for (const one of story) await happen(pgo, one);

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
      const { units } = new Bundles(pgo.store).get(pgo.record("shop")?.lastGood ?? ("" as never));
      const networks = units.filter((unit) => unit.kind === "network").map((unit) => unit.object);
      assert.deepEqual([...pgo.world.machine.networks.keys()].sort(), networks, "no network is left over");
    }),
    { numRuns: runs, interruptAfterTimeLimit: 120_000 },
  );
});

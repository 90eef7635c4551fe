/** Units that move from one source to another: two repositories, two commits, and no needless stop. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { applicationId, applicationName, sourceName, type ApplicationId } from "../../src/core/names.ts";
import { isSettled, minute, Pgo, service } from "./pgo.ts";

const good = "[Container]\nImage=localhost/good:1\n";
const wander = {
  "wander.container": `${good}Network=wide.network\nVolume=data.volume:/data\nEnvironmentFile=wander.env\n`,
  "wide.network": "[Network]\n",
  "data.volume": "[Volume]\n",
  "wander.env": "A=1\n",
};
const under = (name: string) => Object.fromEntries(Object.entries(wander).map(([path, text]) => [`${name}/${path}`, text]));

const [shop, blog] = [of("fleet", "shop"), of("annex", "blog")];
type Files = Readonly<Record<string, string>>;
const stays: Readonly<Record<"fleet" | "annex", Files>> = { fleet: { "shop/web.container": good }, annex: { "blog/blog.container": good } };
const before: typeof stays = { fleet: { ...stays.fleet, ...under("shop") }, annex: stays.annex };
const after: typeof stays = { fleet: stays.fleet, annex: { ...stays.annex, ...under("blog") } };

function of(source: string, application: string): ApplicationId {
  return applicationId(sourceName(source), applicationName(application));
}

/** Two sources, the one read in other minutes than the other. */
async function deployed(): Promise<Pgo> {
  const source = ["fleet", "annex"].map((name) => ({
    name,
    url: `https://git.example.com/${name}.git`,
    interval: "60s",
    allow_empty: true,
  }));
  const pgo = new Pgo({ config: { source } });
  commit(pgo, before);
  pgo.start();
  await pgo.pass(2 * minute);
  assert.deepEqual(outcomes(pgo), ["deployed", "deployed"]);
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

function commit(pgo: Pgo, { fleet, annex }: Partial<typeof before>): void {
  if (fleet !== undefined) pgo.world.commit(fleet, { source: "fleet" });
  if (annex !== undefined) pgo.world.commit(annex, { source: "annex" });
}

function outcomes(pgo: Pgo): readonly (string | undefined)[] {
  return [shop, blog].map((application) => pgo.store.application(application)?.outcome);
}

function jobs(pgo: Pgo): readonly string[] {
  return pgo.world.changes.filter((change) => /^(?:start|restart|stop|remove network) /.test(change));
}

/** It is the other application's now, of the same start, and nothing is left to be done. */
async function ranOn(pgo: Pgo, invocation: string): Promise<void> {
  assert.deepEqual(outcomes(pgo), ["deployed", "deployed"], pgo.outcomes().join("; "));
  assert.deepEqual(jobs(pgo), []);
  assert.equal(pgo.world.machine.state(service("wander")).invocation, invocation);
  assert.ok(pgo.store.started(blog).has(service("wander")));
  assert.ok(!pgo.store.started(shop).has(service("wander")));
  isSettled(pgo);
  pgo.forget();
  await pgo.pass(11 * minute);
  assert.deepEqual(pgo.world.changes, [], "and nothing is to be done later");
}

suite("a unit that moves to another source, with its network, volume and env file", () => {
  test("runs on where both commits are there, whichever source is read first", async () => {
    for (const first of ["fleet", "annex"] as const) {
      await using pgo = await deployed();
      const { invocation } = pgo.world.machine.state(service("wander"));
      commit(pgo, after);
      await pgo.until(pgo.commands.sync(first, true, new AbortController().signal));
      await ranOn(pgo, invocation);
    }
  });

  test("is refused while the first source has it, and runs on when that gives it up", async () => {
    await using pgo = await deployed();
    const { invocation } = pgo.world.machine.state(service("wander"));
    commit(pgo, { annex: after.annex });
    await pgo.pass(2 * minute);
    assert.deepEqual(outcomes(pgo), ["deployed", "rejected"]);
    assert.match(pgo.store.application(blog)?.message ?? "", /which application fleet\/shop has already: give it another name/);
    isSettled(pgo);
    commit(pgo, { fleet: after.fleet });
    await pgo.pass(2 * minute);
    await ranOn(pgo, invocation);
  });

  test("is stopped where it is given up first, and starts with its volume when the other source has it", async () => {
    await using pgo = await deployed();
    commit(pgo, { fleet: after.fleet });
    await pgo.pass(2 * minute);
    assert.equal(pgo.world.machine.runs(service("wander")), undefined);
    isSettled(pgo);
    commit(pgo, { annex: after.annex });
    await pgo.pass(2 * minute);
    assert.deepEqual(outcomes(pgo), ["deployed", "deployed"]);
    assert.ok(!pgo.world.changes.some((change) => change.startsWith("remove volume")));
    isSettled(pgo);
  });

  test("is stopped and started where it changes on the way", async () => {
    await using pgo = await deployed();
    commit(pgo, { fleet: after.fleet, annex: { ...after.annex, "blog/wander.env": "A=2\n" } });
    await pgo.pass(2 * minute);
    assert.deepEqual(outcomes(pgo), ["deployed", "deployed"]);
    assert.deepEqual(
      jobs(pgo).filter((job) => job.includes("wander")),
      ["stop wander.service", "start wander.service"],
    );
    isSettled(pgo);
  });

  test("is stopped where the other source can't be read then, and starts when it can", async () => {
    await using pgo = await deployed();
    pgo.world.unreachable.add("annex");
    commit(pgo, after);
    await pgo.pass(3 * minute);
    assert.equal(outcomes(pgo)[0], "deployed");
    assert.equal(pgo.world.machine.runs(service("wander")), undefined);
    isSettled(pgo);
    pgo.world.unreachable.clear();
    await pgo.pass(12 * minute);
    assert.deepEqual(outcomes(pgo), ["deployed", "deployed"]);
    isSettled(pgo);
  });

  test("comes to the same end wherever pgo is killed on the way", async () => {
    for (let at = 0; at < 10; at++)
      for (const kind of ["killed before", "killed after"] as const) {
        await using pgo = await deployed();
        pgo.faults.add({ kind, among: "changes", after: at, times: 1 });
        commit(pgo, after);
        await pgo.pass(12 * minute);
        assert.deepEqual(outcomes(pgo), ["deployed", "deployed"]);
        isSettled(pgo);
      }
  });

  test("is planned so, by each source for its own", async () => {
    await using pgo = await deployed();
    commit(pgo, after);
    const { applications } = await pgo.until(pgo.commands.plan(undefined, new AbortController().signal));
    const steps = applications.map(({ name, state, steps }) => `${name} ${state}: ${steps.map(({ kind }) => kind).join(", ")}`);
    assert.deepEqual(steps.sort(), [
      "blog pending: write, write, write, write, reload",
      "shop pending: remove, remove, remove, remove, reload",
    ]);
  });
});

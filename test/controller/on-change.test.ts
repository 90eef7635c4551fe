/** Changed files that a service only has mounted: it is reloaded, gets a signal or is left alone, where its application says so. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const quadlet = (more: string) => `[Container]\nImage=localhost/good:1\n${more}`;
const directory = quadlet("Volume=./conf:/conf:ro\n[Service]\nExecReload=/bin/true\n");
const single = quadlet("Volume=./conf/a:/a:ro\n[Service]\nExecReload=/bin/true\n");

async function deployed(files: Parameters<Pgo["push"]>[0]): Promise<Pgo> {
  const pgo = new Pgo();
  pgo.start();
  await pgo.push(files);
  isSettled(pgo);
  pgo.forget();
  return pgo;
}

const says = (what: string) => ({ "shop/pgo.toml": `[on_change]\nweb = "${what}"\n` });

suite("a changed mounted file", () => {
  for (const [what, change] of [
    ["reload", "reload web.service"],
    ["signal:HUP", "signal HUP web.service"],
    ["restart", "restart web.service"],
  ] as const)
    test(`with on_change = "${what}" means: ${change}`, async () => {
      await using pgo = await deployed({ ...says(what), "shop/web.container": directory, "shop/conf/a": "1" });
      const { invocation } = pgo.world.machine.state(service("web"));
      await pgo.push({ ...says(what), "shop/web.container": directory, "shop/conf/a": "2", "shop/conf/b": "new" });
      assert.deepEqual(pgo.world.changes, ["write fleet/shop/conf/a", "write fleet/shop/conf/b", change]);
      assert.equal(pgo.world.machine.state(service("web")).invocation === invocation, what !== "restart");
      assert.equal(pgo.outcome("shop"), "deployed");
      isSettled(pgo);
      pgo.forget();
      await pgo.pass(11 * minute);
      assert.deepEqual(pgo.world.changes, [], "and nothing more later");
    });

  test('with on_change = "none" is written, and what runs is noted, so that a later restart has one reason', async () => {
    await using pgo = await deployed({ ...says("none"), "shop/web.container": directory, "shop/conf/a": "1" });
    await pgo.push({ ...says("none"), "shop/web.container": directory, "shop/conf/a": "2" });
    assert.deepEqual(pgo.world.changes, ["write fleet/shop/conf/a"]);
    await pgo.push({ ...says("none"), "shop/web.container": `${directory}Restart=no\n`, "shop/conf/a": "2" });
    assert.equal(pgo.history("shop")[0]?.steps.at(-1)?.because, "[Service] Restart= added in web.container");
    isSettled(pgo);
  });

  test("that is mounted alone is written in place, so that the container sees it, there and back", async () => {
    await using pgo = await deployed({ ...says("reload"), "shop/web.container": single, "shop/conf/a": "1" });
    const sees = () => /shop\/conf\/a 644 (.*)/.exec(pgo.world.machine.runs(service("web")) ?? "")?.[1];
    await pgo.push({ ...says("reload"), "shop/web.container": single, "shop/conf/a": "2" });
    assert.deepEqual(pgo.world.changes, ["write into fleet/shop/conf/a", "reload web.service"]);
    assert.equal(sees(), "2");
    isSettled(pgo);

    const bad = { "shop/bad.container": "[Container]\nImage=localhost/crash:1\n" };
    await pgo.push({ ...says("reload"), ...bad, "shop/web.container": single, "shop/conf/a": "3" });
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.equal(sees(), "2");
    isSettled(pgo);
  });

  test("together with a changed key, or a changed env file, restarts", async () => {
    const text = single.replace("Volume", "EnvironmentFile=web.env\nVolume");
    const before = { ...says("reload"), "shop/web.container": text, "shop/conf/a": "1", "shop/web.env": "A=1\n" };
    await using pgo = await deployed(before);
    await pgo.push({ ...before, "shop/conf/a": "2", "shop/web.env": "A=2\n" });
    assert.equal(pgo.world.changes.at(-1), "restart web.service");
    await pgo.push({ ...before, "shop/conf/a": "3", "shop/web.container": text.replace("good:1", "good:2") });
    assert.equal(pgo.world.changes.at(-1), "restart web.service");
    isSettled(pgo);
  });

  test("restarts a service when what it needs restarts", async () => {
    const files = { ...says("signal:HUP"), "shop/web.container": `[Unit]\nRequires=db.service\n${directory}`, "shop/conf/a": "1" };
    await using pgo = await deployed({ ...files, "shop/db.container": quadlet("") });
    await pgo.push({ ...files, "shop/conf/a": "2", "shop/db.container": quadlet("Label=a=b\n") });
    assert.ok(!pgo.world.changes.some((change) => change.startsWith("signal")));
    assert.equal(pgo.history("shop")[0]?.steps.at(-1)?.because, "conf/a changed, and db.service, which it needs, restarts");
    isSettled(pgo);
  });
});

for (const [what, change] of [
  ["signal:HUP", "signal HUP web.service"],
  ["reload", "reload web.service"],
] as const)
  test(`pgo that dies right after "${change}" can't say what was read: its next start restarts the service`, async () => {
    await using pgo = await deployed({ ...says(what), "shop/web.container": directory, "shop/conf/a": "1" });
    pgo.world.commit({ ...says(what), "shop/web.container": directory, "shop/conf/a": "2" });
    pgo.world.onChange = () => {
      if (pgo.world.changes.at(-1) !== change) return;
      pgo.world.onChange = undefined;
      pgo.kill();
    };
    await pgo.pass(3 * minute);
    assert.deepEqual(pgo.world.changes.slice(-2), [change, "restart web.service"]);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

suite("a reload that does not work out", () => {
  test("is undone with a restart, since nobody can say what it has read", async () => {
    await using pgo = await deployed({ ...says("reload"), "shop/web.container": single, "shop/conf/a": "1" });
    pgo.world.refuses.add("reload web.service");
    await pgo.push({ ...says("reload"), "shop/web.container": single, "shop/conf/a": "2" });
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.deepEqual(pgo.world.changes.slice(-1), ["restart web.service"]);
    isSettled(pgo);
  });

  test("is undone with a reload when the service gets unhealthy by it", async () => {
    const probed = `${says("reload")["shop/pgo.toml"]}[health.web]\nhttp = { url = "http://web.service/" }\n`;
    await using pgo = await deployed({ "shop/pgo.toml": probed, "shop/web.container": directory, "shop/conf/a": "1" });
    pgo.world.onChange = () => {
      if (pgo.world.changes.at(-1) !== "reload web.service") return;
      if (pgo.world.file(id("shop"), "conf/a") === "2") pgo.world.down.add(service("web"));
      else pgo.world.down.delete(service("web"));
    };
    await pgo.push({ "shop/pgo.toml": probed, "shop/web.container": directory, "shop/conf/a": "2" });
    assert.equal(pgo.outcome("shop"), "rolled-back");
    const jobs = pgo.world.changes.filter((change) => change.endsWith("web.service"));
    assert.deepEqual(jobs, ["reload web.service", "reload web.service"]);
    isSettled(pgo);
  });

  test("for pgo's end at any moment is done at the next start", async () => {
    for (const what of ["reload", "signal:HUP"])
      for (let after = 0; after < 8; after++)
        for (const kind of ["killed before", "killed after"] as const) {
          await using pgo = await deployed({ ...says(what), "shop/web.container": single, "shop/conf/a": "1" });
          pgo.faults.add({ kind, among: "changes", after, times: 1 });
          pgo.world.commit({ ...says(what), "shop/web.container": single, "shop/conf/a": "2" });
          await pgo.pass(6 * minute);
          assert.equal(pgo.record("shop")?.lastGood, pgo.record("shop")?.desired?.digest);
          isSettled(pgo);
        }
  });
});

suite("an [on_change] that can't be meant is refused", () => {
  for (const [what, toml, reason] of [
    ["a name of no unit", '[on_change]\nwep = "reload"\n', /\[on_change\] wep: names no unit of this application: did you mean web\?/],
    [
      "a reload that the unit does not know",
      '[on_change]\nweb = "reload"\n',
      /web\.container does not say how to reload it: add ReloadSignal=/,
    ],
    ["a signal to a network", '[on_change]\nnet = "signal:HUP"\n', /net\.network is no container/],
    ["a signal that ends a process", '[on_change]\nweb = "signal:KILL"\n', /must be "restart", "reload", "none" or "signal:"/],
  ] as const)
    test(what, async () => {
      await using pgo = new Pgo();
      pgo.start();
      await pgo.push({
        "shop/web.container": quadlet("Volume=./conf:/conf\n"),
        "shop/net.network": "[Network]\n",
        "shop/conf/a": "1",
        "shop/pgo.toml": toml,
      });
      assert.equal(pgo.outcome("shop"), "rejected");
      assert.match(pgo.record("shop")?.message ?? "", reason);
    });
});

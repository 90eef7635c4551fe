/** What a person's `ctl rollback` went back to stays, for as long as the setting says, and every place says so. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { isSettled, minute, Pgo, service } from "./pgo.ts";

const never = new AbortController().signal;
const web = (version: number) => ({ "shop/web.container": `[Container]\nImage=localhost/good:${String(version)}\n` });
const runs = (pgo: Pgo) => /localhost\/good:(\d)/.exec(pgo.world.machine.runs(service("web")) ?? "")?.[1];

/** Version 2 was deployed, and a person went back to 1. */
async function wentBack(setting?: "until-change" | "until-resumed"): Promise<Pgo> {
  const pgo = new Pgo({ allowEmpty: true, config: setting === undefined ? {} : { quadlet: { rollback_pin: setting } } });
  pgo.start();
  await pgo.push(web(1));
  await pgo.push(web(2));
  pgo.forget();
  const report = await pgo.until(pgo.commands.rollback("shop", undefined, never));
  assert.ok(report.done, report.message);
  return pgo;
}

suite("after ctl rollback", () => {
  test("Git is followed again when it changes the application", async () => {
    await using pgo = await wentBack();
    await pgo.pass(20 * minute);
    assert.equal(runs(pgo), "1");
    await pgo.push({ ...web(2), "README.md": "of no application" });
    assert.equal(runs(pgo), "1", "another commit is none of its business");
    await pgo.push(web(3));
    assert.equal(runs(pgo), "3");
    isSettled(pgo);
  });

  test('with rollback_pin = "until-resumed" Git is not followed whatever it says, also after a crash, and then at once', async () => {
    await using pgo = await wentBack("until-resumed");
    for (const files of [web(3), {}, { "shop/web.container": "[Container]\nnonsense\n" }, web(3)]) {
      await pgo.push(files);
      assert.equal(runs(pgo), "1");
    }
    pgo.kill();
    await pgo.pass(20 * minute);
    assert.equal(runs(pgo), "1");
    const { message } = pgo.commands.resume("shop");
    assert.equal(message, "fleet/shop resumed: Git is followed again");
    await pgo.pass(minute);
    assert.equal(runs(pgo), "3");
    isSettled(pgo);
  });

  test("ctl resume of the application follows Git again at once, and one of its source leaves it", async () => {
    await using pgo = await wentBack();
    pgo.commands.resume("fleet");
    await pgo.pass(2 * minute);
    assert.equal(runs(pgo), "1");
    pgo.commands.resume("shop");
    await pgo.pass(minute);
    assert.equal(runs(pgo), "2");
    isSettled(pgo);
  });

  for (const [setting, until] of [
    ["until-change", "until a commit changes it, or ctl resume shop"],
    ["until-resumed", "until ctl resume shop"],
  ] as const)
    test(`status, plan, history, what is told and the metrics say it: ${setting}`, async () => {
      await using pgo = await wentBack(setting);
      const { applications } = await pgo.until(pgo.commands.status(never));
      assert.deepEqual(applications[0]?.pin, { against: pgo.record("shop")?.desired?.digest, until: setting });
      const plan = await pgo.until(pgo.commands.plan(undefined, never));
      assert.deepEqual(
        plan.applications.map(({ state, message }) => [state, message]),
        [["in-sync", `ctl rollback holds it: it stays there ${until}`]],
      );
      assert.match(pgo.history("shop")[0]?.description ?? "", new RegExp(`; it stays there ${until}$`));
      assert.match(pgo.outcomes()[0] ?? "", new RegExp(`^shop deployed: .*; it stays there ${until}$`));
      const pinned = () => pgo.told.flatMap((event) => (event.type === "pinned" ? [event.pinned] : [])).at(-1);
      assert.equal(pinned(), true);
      pgo.commands.resume("shop");
      assert.equal(pinned(), false);
      await pgo.pass(minute);
      assert.equal((await pgo.until(pgo.commands.status(never))).applications[0]?.pin, null);
    });
});

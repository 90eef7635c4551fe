/** What a failed rollout leaves to be read, and who is blamed. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { Pgo, minute, service } from "./pgo.ts";

const container = (image: string, more = "") => `[Container]\nImage=localhost/${image}\n${more}`;

suite("a rollout that failed", () => {
  test("keeps the units' state and journal with the deployment, secrets hidden", async () => {
    await using pgo = new Pgo();
    pgo.secretValues.set("TOKEN", "hunter22");
    pgo.world.journals.set(service("web"), ["starting", "can't log in with hunter22"]);
    await pgo.push({ "shop/web.container": container("good:1") });
    await pgo.push({ "shop/web.container": container("crash:1") });
    const [failed, first] = pgo.history("shop");
    assert.equal(failed?.outcome, "rolled-back");
    assert.deepEqual(
      failed.evidence.map((one) => [one.service, one.journal]),
      [["web.service", ["starting", "can't log in with ***"]]],
    );
    assert.match(failed.evidence[0]?.state ?? "", /^failed \(.*\), .*; its container is gone$/);
    assert.deepEqual(first?.evidence, []);
  });

  test("names the root of it, and who only waits", async () => {
    await using pgo = new Pgo();
    const web = `[Unit]\nAfter=db.service\n${container("sick:1", "HealthCmd=true\n")}`;
    await pgo.push({ "shop/db.container": container("sick:1", "HealthCmd=true\n"), "shop/web.container": web });
    await pgo.pass(10 * minute);
    const [entry] = pgo.history("shop");
    assert.match(
      entry?.description ?? "",
      /^db\.service not healthy after 20 s: .*; web\.service waits for it; there was nothing to go back to/,
    );
    assert.deepEqual(
      entry?.evidence.map((one) => one.service as string),
      ["db.service"],
    );
  });
});

test("a service of another application that is not healthy is named as the cause", async () => {
  await using pgo = new Pgo();
  const checked = (port: string) => `[health.${port}]\nhttp = { url = "http://${port}.service/" }\n`;
  await pgo.push({ "base/db.container": container("good:1", "HealthCmd=true\n") });
  pgo.world.machine.behave(service("db"), "sick");
  await pgo.push({
    "base/db.container": container("good:1", "HealthCmd=true\n"),
    "shop/web.container": `[Unit]\nAfter=db.service\n${container("good:1")}`,
    "shop/pgo.toml": checked("web"),
  });
  await pgo.pass(10 * minute);
  const { outcome, message } = pgo.record("shop") ?? {};
  assert.equal(outcome, "held");
  assert.match(message ?? "", /Podman's health check fails/);
  assert.match(message ?? "", /db\.service/);
  // Only base is told of as unhealthy.
  const warned = pgo.told.flatMap((event) => (event.type === "warning" ? [event.subject] : []));
  assert.deepEqual([...new Set(warned)], ["fleet/base"]);
});

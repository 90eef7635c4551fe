/** pgo taken away while what it deployed goes on, and put back. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Installed, web } from "./installed.ts";

test("uninstall --keep-running leaves the applications alone, and a pgo that is installed again goes on with them", async (t) => {
  const pgo = await Installed.up(t, { files: { "shop/web.container": web("good", 8080) } });
  const { host } = pgo;
  await pgo.outcome("shop", await pgo.repository.head(), "deployed");
  const before = await pgo.invocation("web.service");

  const { stdout } = await pgo.install("--uninstall", "--keep-running");
  assert.match(stdout, /the applications go on as they are/);
  assert.equal((await host.systemctl(["show", "--property=LoadState", "--value", "pgo.service"])).stdout, "not-found\n");
  assert.equal((await host.get("http://127.0.0.1:8080/")).body, "good\n");

  await pgo.install(pgo.repository.url);
  await pgo.polls(1);
  assert.equal((await pgo.application("shop"))?.outcome, "deployed");
  assert.equal(await pgo.invocation("web.service"), before);
  const next = await pgo.repository.commit({ "shop/web.container": web("v2", 8080) });
  await pgo.outcome("shop", next, "deployed");
  assert.equal((await host.get("http://127.0.0.1:8080/")).body, "v2\n");
});

/** What the health command loads, since Podman runs it all day: counted in modules, as times differ. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

test("the health command loads an HTTP client, and not the second one that Node has", (t) => {
  const home = mkdtempSync(join(tmpdir(), "pgo-start-"));
  t.after(() => {
    rmSync(home, { recursive: true });
  });
  const telling = `process.on("exit", () => process.stdout.write(JSON.stringify(process.moduleLoadList)))`;
  const argv = ["--import", `data:text/javascript,${encodeURIComponent(telling)}`, main, "healthcheck"];
  const env = { PGO_MODE: "rootless", PGO_HOME: home, NODE_NO_WARNINGS: "1" };
  const { stdout, stderr } = spawnSync(process.execPath, argv, { env, encoding: "utf8" });
  assert.match(stderr, /^no answer at .*pgo\.sock$/m);
  const loaded = JSON.parse(stdout) as readonly string[];
  assert.ok(loaded.includes("NativeModule http"), "else the names have changed, and this test says nothing");
  assert.deepEqual(
    loaded.filter((name) => /undici|http2$/.test(name)),
    [],
  );
});

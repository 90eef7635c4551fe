/** Prometheus' own judge reads the metrics: promtool from Debian's package, unpacked beside the test hosts, nothing installed. */

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { openMetrics } from "../../src/adapters/journal/metrics.ts";
import { healths } from "../../src/core/health.ts";
import { applicationId, applicationName, serviceName, sourceName } from "../../src/core/names.ts";
import { outcomes } from "../../src/core/rollout.ts";

test("promtool finds nothing to say about the metrics, those of each kind of event included", async () => {
  const source = sourceName("fleet");
  const application = applicationId(source, applicationName("shop"));
  const at = new Date();
  using metrics = openMetrics({ version: "0.1.0" });
  for (const outcome of outcomes)
    metrics.sink({ type: "outcome", at, application, outcome, revision: undefined, deployment: 1, message: "", ms: 1234 });
  for (const health of healths) metrics.sink({ type: "health", at, application, service: serviceName("web@1.service"), health });
  metrics.sink({ type: "probe", at, application, kind: "http", result: "pass" });
  metrics.sink({ type: "pass", at, source, outcome: "changed", ms: 12 });
  metrics.sink({ type: "git", at, source, operation: "fetch", result: "ok", ms: 12 });
  const usage = { at, of: ["c"], memory: 1, memoryLimit: 2, cpuSeconds: 3, cpu: 0.4, restarts: 5, oomKills: 6 };
  metrics.sink({ type: "resources", at, application, service: serviceName("web@1.service"), usage });
  metrics.sink({ type: "containers", at, states: { running: 3, exited: 0 } });
  metrics.sink({ type: "storage", at, kind: "database", bytes: 4096 });

  const { status, stdout, stderr } = spawnSync(promtool(), ["check", "metrics"], { input: await metrics.text(), encoding: "utf8" });
  assert.deepEqual({ status, said: stdout + stderr }, { status: 0, said: "" });
});

/** The path of promtool, fetched by apt where the machine has none. */
function promtool(): string {
  if (spawnSync("promtool", ["--version"]).status === 0) return "promtool";
  const { PGO_TEST_CACHE, XDG_CACHE_HOME } = process.env;
  const cache = PGO_TEST_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), ".cache"), "pgo-test-host");
  const path = join(cache, "promtool");
  if (existsSync(path)) return path;
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, "promtool-"));
  try {
    execFileSync("apt-get", ["download", "prometheus"], { cwd: directory, stdio: "pipe" });
    const [file = ""] = readdirSync(directory);
    execFileSync("dpkg-deb", ["-x", file, "."], { cwd: directory, stdio: "pipe" });
    renameSync(join(directory, "usr/bin/promtool"), path);
  } catch (error) {
    throw new Error("cannot get promtool from Debian's package prometheus: is this machine's apt set up (apt-get update)?", {
      cause: error,
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
  return path;
}

/** Which check vouches for a unit, and with whose patience. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { checkOf, strayChecks } from "../../src/core/checks.ts";
import { applicationSettings, type UnitHealthSettings } from "../../src/core/config.ts";
import type { Check, Patience } from "../../src/core/health.ts";
import { bundleOf } from "./model.ts";

const patience: Patience = {
  deadline: 120_000,
  interval: 2000,
  timeout: 3000,
  successThreshold: 1,
  failureThreshold: 3,
  startPeriod: 0,
  minHealthyTime: 5000,
};

/** The check of web.container, with an application's and a host's `[health.…]` in TOML's shape. */
function check(own: string, host: Readonly<Record<string, unknown>> = {}, quadlet = ""): Check {
  const bundle = bundleOf({ "web.container": `[Container]\nImage=x\n${quadlet}`, "pgo.toml": own });
  const [unit] = bundle.units;
  assert.ok(unit);
  const settings: Readonly<Record<string, UnitHealthSettings>> = applicationSettings.parse({ health: host }).health;
  return checkOf(unit, bundle, { host: settings, patience });
}

const kind = (found: Check) =>
  found.by === "probe" ? `${found.probe.kind} ${found.probe.kind === "http" ? found.probe.url : found.probe.port}` : found.by;

suite("what vouches for a unit, the most specific first", () => {
  test("nothing said: systemd and Podman that it runs", () => {
    assert.equal(kind(check("")), "process");
  });

  test("HealthCmd= of the quadlet", () => {
    assert.equal(kind(check("", {}, "HealthCmd=true\n")), "podman");
    assert.equal(kind(check("", {}, "HealthCmd=none\n")), "process");
  });

  test("the application's pgo.toml before HealthCmd=", () => {
    assert.equal(kind(check("[health.web]\ntcp = { port = 80 }\n", {}, "HealthCmd=true\n")), "tcp 80");
  });

  test("the host's pgo.toml before the application's", () => {
    assert.equal(kind(check("[health.web]\ntcp = { port = 80 }\n", { web: { http: { url: "http://a/" } } })), "http http://a/");
  });

  test("timing alone doesn't take a probe away", () => {
    assert.equal(kind(check("[health.web]\ntcp = { port = 80 }\n", { web: { deadline: "5s" } })), "tcp 80");
    assert.equal(kind(check('[health.web]\ndeadline = "5s"\n', {}, "HealthCmd=true\n")), "podman");
  });
});

test("each time comes from the host's section of the unit, else the application's, else the host's [health]", () => {
  const found = check('[health.web]\ndeadline = "60s"\ninterval = "1s"\nsuccess_threshold = 2\n', {
    web: { deadline: "30s", min_healthy_time: "0s", failure_threshold: 7, start_period: "4s", timeout: "9s" },
  });
  assert.deepEqual(found.patience, {
    deadline: 30_000,
    interval: 1000,
    timeout: 9000,
    successThreshold: 2,
    failureThreshold: 7,
    startPeriod: 4000,
    minHealthyTime: 0,
  });
});

test("a section names its unit by service, by file, or by file without suffix", () => {
  for (const name of ["web", "web.container", "web.service"])
    assert.equal(kind(check(`[health."${name}"]\ntcp = { port = 80 }\n`)), "tcp 80");
});

test("a section that names no unit is refused, with the names that there are", () => {
  const bundle = bundleOf({
    "web.container": "[Container]\nImage=x\n",
    "app.network": "[Network]\n",
    "pgo.toml": '[health.wbe]\ndeadline = "5s"\n',
  });
  assert.deepEqual(strayChecks(bundle, "shop/pgo.toml"), [
    { file: "shop/pgo.toml", line: undefined, message: "[health.wbe] names no unit of this application: there are app, web" },
  ]);
  assert.deepEqual(strayChecks(bundleOf({ "web.container": "[Container]\nImage=x\n" }), "x"), []);
});

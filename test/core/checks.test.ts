/** Which check vouches for a unit, and with whose patience. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { checkOf, strayChecks } from "../../src/core/checks.ts";
import { applicationSettings, hostConfig, type UnitHealthSettings } from "../../src/core/config.ts";
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
function check(own: string, host: Readonly<Record<string, unknown>> = {}, quadlet = "", hostCommands = false): Check {
  const bundle = bundleOf({ "web.container": `[Container]\nImage=x\n${quadlet}`, "pgo.toml": own });
  const [unit] = bundle.units;
  assert.ok(unit);
  const settings: Readonly<Record<string, UnitHealthSettings>> = applicationSettings.parse({ health: host }).health;
  const allows = (name: string) => name !== "FORBIDDEN";
  return checkOf(unit, bundle, { host: settings, patience, directory: "/quadlets/fleet/shop", allows, hostCommands });
}

const kind = (found: Check) =>
  found.by !== "probe"
    ? found.by
    : `${found.probe.kind} ${found.probe.kind === "http" ? (found.probe.url ?? found.probe.port) : found.probe.kind === "tcp" ? found.probe.port : found.probe.run.join(" ")}`;

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

suite("what is asked of a unit", () => {
  const probe = (own: string, host: Readonly<Record<string, unknown>> = {}) => {
    const found = check(own, host);
    assert.ok(found.by === "probe");
    return found.probe;
  };

  test("a kind of check by its name, in the place of a probe or the default", () => {
    assert.equal(kind(check('[health.web]\ncheck = "podman"\n')), "podman");
    assert.equal(kind(check('[health.web]\ncheck = "process"\n', {}, "HealthCmd=true\n")), "process");
    assert.equal(kind(check('[health.web]\ncheck = "unit"\n')), "unit");
    assert.equal(kind(check("[health.web]\ntcp = { port = 80 }\n", { web: { check: "unit" } })), "unit");
  });

  test("a command: a line for the shell, or a program and its arguments", () => {
    assert.equal(kind(check('[health.web]\ncommand = { run = "test -e /ready" }\n')), "command sh -c test -e /ready");
    assert.equal(kind(check('[health.web]\ncommand = { run = ["pg_isready", "-q"] }\n')), "command pg_isready -q");
  });

  test("a command has time enough on a slow disk, unless the unit's own section says otherwise", () => {
    const command = '[health.web]\ncommand = { run = "true" }\n';
    const { interval, timeout } = check(command).patience;
    assert.deepEqual([interval, timeout], [5000, 15_000]);
    const own = check(`${command}interval = "1s"\ntimeout = "2s"\n`).patience;
    assert.deepEqual([own.interval, own.timeout], [1000, 2000]);
  });

  test("statuses as numbers, classes and ranges", () => {
    const found = probe('[health.web]\nhttp = { port = 80, status = [204, "3xx", "400-403"] }\n');
    assert.deepEqual(found.kind === "http" && found.status, [
      { from: 204, to: 204 },
      { from: 300, to: 399 },
      { from: 400, to: 403 },
    ]);
  });

  test("a secret in Git has a name, which may be for the application or the service alone, and which the policy must allow", () => {
    const header = (secret: string) => {
      const found = probe(`[health.web]\nhttp = { port = 80, headers = { X = { secret = "${secret}", prefix = "Bearer " } } }\n`);
      return found.kind === "http" ? found.headers["X"] : undefined;
    };
    assert.deepEqual(header("TOKEN"), { from: { names: ["WEB_TOKEN", "SHOP_TOKEN", "TOKEN"] }, prefix: "Bearer " });
    assert.deepEqual(header("FORBIDDEN"), { from: { names: ["WEB_FORBIDDEN", "SHOP_FORBIDDEN"] }, prefix: "Bearer " });
  });

  test("a ca of Git's is a file of the application", () => {
    const found = check('[health.web]\nhttp = { port = 443, scheme = "https", ca = "./tls/ca.pem" }\n');
    assert.ok(found.by === "probe" && found.probe.kind === "http");
    assert.equal(found.probe.tls.ca, "/quadlets/fleet/shop/tls/ca.pem");
  });
});

suite("what Git may not say of a check", () => {
  const refused = (health: unknown) => {
    const parsed = applicationSettings.safeParse({ health: { web: health } });
    return parsed.success ? undefined : parsed.error.issues.map(({ message }) => message).join();
  };
  for (const [what, health, why] of [
    ["where a secret is on the host", { http: { port: 80, headers: { X: { file: "/etc/shadow" } } } }, /must be a text, or \{ secret/],
    ["a ca outside of the application", { http: { port: 80, ca: "../../other/ca.pem" } }, /must be a file of the application/],
    ["a ca of the host's", { http: { port: 80, ca: "/etc/pgo/ca.pem" } }, /must be a file of the application/],
    ["an address and a port", { http: { url: "http://a/", port: 80 } }, /needs either url or port/],
    ["a path behind a whole address", { http: { url: "http://a/", path: "/x" } }, /path and scheme go with port/],
    ["a pattern that is none", { http: { port: 80, matches: "(" } }, /must be a regular expression/],
    ["a status that is none", { http: { port: 80, status: ["2x"] } }, /must be a status such as 200/],
    ["a header with a line break", { http: { port: 80, headers: { X: "a\r\nY: b" } } }, /must be one line of plain text/],
    ["two things at once", { tcp: { port: 80 }, check: "unit" }, /exclude each other: keep one/],
  ] as const)
    test(what, () => {
      assert.match(refused(health) ?? "", why);
    });

  test("of the host's own file, these say where a secret is", () => {
    const headers = { X: { file: "token", prefix: "Bearer " }, Y: { env: "T" }, Z: { credential: "t" } };
    const host = hostConfig({ quadlet: "/q", units: "/u", secrets: "/s", state: "/v" });
    const health = { web: { http: { port: 80, ca: "/etc/pgo/ca.pem", headers } } };
    assert.equal(host.safeParse({ application: { shop: { health } } }).success, true);
  });
});

test("what a unit can't be asked is refused, unless another unit of that name can", () => {
  const problems = (own: string, more: Readonly<Record<string, string>> = {}) =>
    strayChecks(
      bundleOf({
        "web.container": "[Container]\nImage=x\n",
        "web.volume": "[Volume]\n",
        "app.network": "[Network]\n",
        "pgo.toml": own,
        ...more,
      }),
      "shop/pgo.toml",
    ).map(({ message }) => message);
  assert.deepEqual(problems("[health.web]\ntcp = { port = 80 }\n"), []);
  assert.deepEqual(problems('[health.app]\ncheck = "unit"\ndeadline = "5s"\n'), []);
  assert.deepEqual(problems("[health.app]\ntcp = { port = 80 }\n"), [
    "[health.app] tcp can't be asked of app.network: nothing of its own runs, its unit's state is what counts",
  ]);
  const service = { "job.service": "[Service]\nExecStart=true\n[Install]\nWantedBy=default.target\n" };
  assert.deepEqual(problems('[health.job]\ncommand = { run = "true" }\n', service), [
    '[health.job] command runs inside a container, and job.service is none: on the host it runs with on = "host"',
  ]);
  assert.deepEqual(problems('[health.web]\nhttp = { port = 443, ca = "ca.pem" }\n'), [
    "[health.web] ca: there is no file ca.pem in this application",
  ]);
  assert.deepEqual(problems('[health.web]\nhttp = { port = 443, ca = "./ca.pem" }\n', { "ca.pem": "x" }), []);
});

test("a probe of a container's name is not asked of the volume of that name", () => {
  const bundle = bundleOf({
    "web.container": "[Container]\nImage=x\n",
    "web.volume": "[Volume]\n",
    "pgo.toml": "[health.web]\ntcp = { port = 80 }\n",
  });
  const by = bundle.units.map(
    (unit) =>
      `${unit.name} ${kind(checkOf(unit, bundle, { host: {}, patience, directory: "/q", allows: () => true, hostCommands: false }))}`,
  );
  assert.deepEqual(by, ["web.container tcp 80", "web.volume process"]);
});

test("a command on the host is the host's to ask for, and Git's only where the policy says so", () => {
  const onHost = { command: { run: ["fsck"], on: "host" } };
  const inGit = '[health.web]\ncommand = { run = "fsck", on = "host" }\n';
  assert.equal(kind(check("", { web: onHost })), "command fsck");
  assert.equal(kind(check(inGit, {}, "", true)), "command sh -c fsck");
  assert.equal(kind(check(inGit)), "process", "what was deployed under another policy is not run any more");
  assert.equal(kind(check(inGit, { web: { deadline: "5s" } })), "process");
});

test("a command on the host can be asked of what is no container", () => {
  const bundle = (on: string) =>
    bundleOf({ "job.service": "[Service]\nExecStart=/bin/x\n", "pgo.toml": `[health.job]\ncommand = { run = "a"${on} }\n` });
  assert.deepEqual(strayChecks(bundle(', on = "host"'), "pgo.toml"), []);
  assert.match(strayChecks(bundle(""), "pgo.toml")[0]?.message ?? "", /on the host it runs with on = "host"$/);
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

/** Revisions that are refused: with file, line and reason, before anything on the host is touched, and one application's for itself. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Installed, web } from "./installed.ts";

const running = ["alpha.service", "beta.service", "gamma.service", "gamma-net-network.service", "delta.service", "epsilon.service"];

test("an unparsable quadlet, an unknown key and a missing network are refused with file, line and reason, and everything goes on running", async (t) => {
  const good = {
    "alpha/alpha.container": web("good", 8081),
    "beta/beta.container": web("good", 8082),
    "gamma/gamma.container": web("good", 8083, "Network=gamma-net.network"),
    "gamma/gamma-net.network": "[Network]\n",
    // It uses a network of gamma's.
    "delta/delta.container": web("good", 8084, "Network=gamma-net.network"),
    "epsilon/epsilon.container": web("good", 8085),
  };
  const pgo = await Installed.up(t, { files: good });
  for (const name of ["alpha", "beta", "gamma", "delta", "epsilon"]) await pgo.outcome(name, await pgo.repository.head(), "deployed");
  const before = { services: await pgo.services(...running), files: await tree(pgo), reloads: await pgo.reloads() };
  const logged = (await pgo.log()).length;

  const bad = await pgo.repository.commit({
    "alpha/alpha.container": "[Container]\nImage=localhost/test/web:v2\nthis is no line of a quadlet\n",
    "alpha/more.container": web("v2", 8091),
    "beta/beta.container": web("v2", 8082, "PublishPorts=8092:8080"),
    "gamma/gamma.container": web("v2", 8083, "Network=nowhere.network"),
    "delta/delta.container": web("v2", 8084, "Network=gamma-net.network"),
    "epsilon/epsilon.container": web("v2", 8085),
  });
  await pgo.outcome("epsilon", bad, "deployed");
  const problems = {
    alpha: "alpha/alpha.container:3: “this is no line of a quadlet” which is not a key-value pair, group, or comment",
    beta: "beta/beta.container:4: unsupported key 'PublishPorts' in group 'Container' (did you mean PublishPort?)",
    gamma: "gamma/gamma.container:4: requested Quadlet unit nowhere.network was not found",
  };

  await t.test("each is told by itself, in status, plan, log and events", async () => {
    const status = await pgo.status();
    assert.equal(status.healthy, false);
    assert.deepEqual(
      Object.fromEntries(status.applications.filter(({ outcome }) => outcome === "rejected").map(({ name, message }) => [name, message])),
      problems,
    );
    assert.deepEqual(
      status.applications.map(({ name, health, outcome }) => ({ name, health, outcome })),
      [
        { name: "alpha", health: "healthy", outcome: "rejected" },
        { name: "beta", health: "healthy", outcome: "rejected" },
        { name: "delta", health: "healthy", outcome: "held" },
        { name: "epsilon", health: "healthy", outcome: "deployed" },
        { name: "gamma", health: "healthy", outcome: "rejected" },
      ],
    );
    assert.equal((await pgo.application("delta"))?.held?.why, "it needs gamma-net.network of fleet/gamma, which is refused");

    const { code, stdout } = await pgo.ctl("plan");
    assert.equal(code, 3);
    for (const line of Object.values(problems)) assert.ok(stdout.includes(line), `plan does not say "${line}":\n${stdout}`);

    await pgo.polls(3);
    const told = (await pgo.log()).slice(logged);
    const short = bad.slice(0, 7);
    assert.deepEqual(
      told.map((line) => line.replace(/(epsilon deployed).*/, "$1")).sort(),
      [
        `fleet@${short} alpha rejected: ${problems.alpha}`,
        `fleet@${short} beta rejected: ${problems.beta}`,
        `fleet@${short} delta held: it needs gamma-net.network of fleet/gamma, which is refused`,
        `fleet@${short} epsilon deployed`,
        `fleet@${short} gamma rejected: ${problems.gamma}`,
      ].sort(),
      "each is told once, not at each poll",
    );
    const events = (await pgo.events()).map(({ message }) => message);
    for (const line of told) assert.equal(events.filter((event) => event === line).length, 1, line);
  });

  await t.test("what ran runs on, as it was, and systemd still knows it", async () => {
    const { "epsilon.service": changed, ...after } = await pgo.services(...running);
    const { "epsilon.service": old, ...untouched } = before.services;
    assert.deepEqual(after, untouched);
    for (const [name, shown] of Object.entries({ ...after, changed }))
      assert.deepEqual({ name, load: shown?.load, active: shown?.active }, { name, load: "loaded", active: "active" });
    assert.notEqual(changed?.invocation, old?.invocation);
    assert.equal((await pgo.reloads()) - before.reloads, 1, "epsilon's");
    assert.deepEqual(
      (await tree(pgo)).filter((line) => !line.includes("/epsilon")),
      before.files.filter((line) => !line.includes("/epsilon")),
    );
    assert.equal(await pgo.host.exists(`${pgo.placed}/alpha/more.container`), false, "a refused revision is refused whole");
    for (const port of [8081, 8082, 8083, 8084]) assert.equal((await pgo.host.get(`http://127.0.0.1:${port}/`)).body, "good\n");
    assert.equal((await pgo.host.get("http://127.0.0.1:8085/")).body, "v2\n");
    assert.deepEqual(
      (await pgo.history()).filter(({ revision }) => revision === bad).map(({ application }) => application),
      ["epsilon"],
    );
  });

  await t.test("systemd reads its units again, and nothing of pgo's is lost by it", async () => {
    await pgo.host.systemctl(["daemon-reload"]);
    for (const { load, active } of Object.values(await pgo.services(...running)))
      assert.deepEqual({ load, active }, { load: "loaded", active: "active" });
  });

  await t.test("ctl sync --wait says so by its exit code", async () => {
    const { code, stdout } = await pgo.ctl("sync", "--wait");
    assert.equal(code, 3);
    assert.ok(stdout.includes(problems.alpha), stdout);
  });

  await t.test("the corrected revision is deployed, and what waited for it too", async () => {
    const corrected = await pgo.repository.commit({
      "alpha/alpha.container": web("v2", 8081),
      "alpha/more.container": null,
      "beta/beta.container": web("v2", 8082),
      "gamma/gamma.container": web("v2", 8083, "Network=gamma-net.network"),
    });
    for (const name of ["alpha", "beta", "gamma", "delta"]) await pgo.outcome(name, corrected, "deployed");
    for (const port of [8081, 8082, 8083, 8084]) assert.equal((await pgo.host.get(`http://127.0.0.1:${port}/`)).body, "v2\n");
    assert.equal((await pgo.status()).healthy, true);
  });
});

test("a source that is contained by policy deploys what asks nothing of the host; what does is refused with file, line and rule", async (t) => {
  const rules = '[policy.source.fleet]\npreset = "contained"\nlocal_images = true\n';
  const pgo = await Installed.up(t, { files: { "web/web.container": web("good", 8081) }, config: rules });
  await pgo.outcome("web", await pgo.repository.head(), "deployed");
  for (const [file, text, rule] of [
    ["web/web.container", web("v2", 8081, "Volume=/:/host"), "mounts"],
    ["web/web.container", web("v2", 8081, "PodmanArgs=--privileged"), "podman_args"],
    ["web/web.container", `${web("v2", 8081)}[Service]\nExecStartPre=/bin/touch /srv/taken\n`, "keys"],
    ["web/tick.timer", "[Timer]\nOnBootSec=1h\n", "plain_units"],
    ["web/pgo.container", web("v2", 8082), "own_names"],
  ] as const)
    await t.test(rule, async () => {
      const { repository } = pgo;
      const before = await repository.head();
      const { message } = await pgo.outcome("web", await repository.commit({ [file]: text }), "rejected");
      assert.match(message ?? "", new RegExp(`^${file.replace(".", "\\.")}(?::\\d+)?: .*rule ${rule}`));
      await repository.reset(before);
    });
  assert.equal(await pgo.host.exists("/srv/taken"), false);
  assert.equal((await pgo.host.get("http://127.0.0.1:8081/")).body, "good\n");
});

test("a new application that is refused leaves no trace, and what else can't be deployed says so", async (t) => {
  const pgo = await Installed.up(t, { files: { "web/web.container": web("good", 8081), "web/web.volume": "[Volume]\n" } });
  const begin = await pgo.repository.head();
  await pgo.outcome("web", begin, "deployed");
  const before = { services: await pgo.services("web.service"), files: await tree(pgo), reloads: await pgo.reloads() };

  const refusals: Readonly<Record<string, readonly [file: string, content: string, message: RegExp]>> = {
    "no image": ["new/new.container", "[Container]\nExec=true\n", /^new\/new\.container: no Image or Rootfs key specified$/],
    "a broken drop-in": [
      "new/new.container.d/10-bad.conf",
      "[Container]\nnonsense\n",
      /^new\/new\.container\.d\/10-bad\.conf:2: “nonsense” which is not a key-value pair/,
    ],
    "a key that is wrong in a drop-in": [
      "new/new.container.d/10-bad.conf",
      "[Container]\nLabel=a=b\nLabels=c=d\n",
      /^new\/new\.container\.d\/10-bad\.conf:3: unsupported key 'Labels' in group 'Container' \(did you mean Label\?\)$/,
    ],
    "a drop-in of nobody's": [
      "new/old.container.d/10.conf",
      "[Container]\nLabel=a=b\n",
      /^new\/old\.container\.d\/10\.conf: is a drop-in for old\.container, which is not a unit of this application \(did you mean new\.container\.d\?\)$/,
    ],
    "settings with a wrong key": [
      "new/pgo.toml",
      '[health.new]\nhtpp = { url = "http://127.0.0.1/" }\n',
      /^new\/pgo\.toml:2: .*did you mean "?http"?\?/,
    ],
    "a check of no unit": [
      "new/pgo.toml",
      "[health.now]\ntcp = { port = 80 }\n",
      /^new\/pgo\.toml.*: \[health\.now\] names no unit of this application: there are new$/,
    ],
    "a plain unit that systemd would not load": ["new/new.timer", "[Timer]\n", /^new\/new\.timer: .*lacks value setting/],
    "a service that another application has": [
      "new/web.container",
      web("v2", 8082),
      /^new\/web\.container: web\.container makes web\.service, which application fleet\/web has already/,
    ],
  };
  for (const [what, [file, content, message]] of Object.entries(refusals))
    await t.test(what, async () => {
      const { repository } = pgo;
      await repository.reset(begin);
      const revision = await repository.commit({ "new/new.container": web("good", 8083), [file]: content });
      const { message: said } = await pgo.outcome("new", revision, "rejected");
      assert.match(said ?? "", message);
    });

  await t.test("a changed volume, which Podman can't alter in place", async () => {
    await pgo.repository.reset(begin);
    const revision = await pgo.repository.commit({ "web/web.volume": "[Volume]\nLabel=x=1\n" });
    const { message } = await pgo.outcome("web", revision, "rejected");
    assert.match(message ?? "", /^web\/web\.volume: Podman can't alter the volume systemd-web in place, .* another file name/);
  });

  await t.test("none of them has touched the host", async () => {
    assert.deepEqual(await pgo.services("web.service"), before.services);
    assert.deepEqual(await tree(pgo), before.files);
    assert.equal(await pgo.reloads(), before.reloads);
    assert.equal((await pgo.services("new.service"))["new.service"]?.load, "not-found");
    assert.equal((await pgo.history()).length, 1);
  });

  await t.test("without the new application, all is well again", async () => {
    await pgo.repository.reset(begin);
    await pgo.outcome("web", begin, "in-sync");
    assert.deepEqual(
      (await pgo.status()).applications.map(({ name }) => name),
      ["web"],
    );
    assert.equal((await pgo.status()).healthy, true);
  });
});

/** All that lies below pgo's directory, with mode, time and content. */
async function tree(pgo: Installed): Promise<readonly string[]> {
  const { placed } = pgo;
  return (await pgo.host.sh(`find ${placed} -printf '%p %m %T@\\n'; find ${placed} -type f -exec sha256sum {} +`)).split("\n").sort();
}

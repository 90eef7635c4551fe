/** What a start needs of the host is looked for before anything is stopped: without it the rollout is held, and goes on by itself when it is there. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Installed, web } from "./installed.ts";

test("a taken port, a missing path and a missing secret each hold the rollout, what ran runs on, and it goes on once the cause is gone", async (t) => {
  const pgo = await Installed.up(t, {
    files: {
      "port/port.container": web("good", 8081),
      "path/path.container": web("good", 8082),
      "secret/secret.container": web("good", 8083),
    },
  });
  await pgo.deployed("port", "path", "secret");
  const services = ["port.service", "path.service", "secret.service"];
  const before = await pgo.services(...services);
  const file = pgo.placed;
  const placed = () => pgo.host.sh(`find ${file} -type f -exec sha256sum {} + | sort`);
  const files = await placed();
  // Something of the host's own, which is no container.
  await pgo.host.sh("systemd-run --quiet --unit=squatter busybox httpd -f -p 127.0.0.1:8091");

  const held = await pgo.repository.commit({
    "port/port.container": web("v2", 8091),
    "path/path.container": web("v2", 8082, "Volume=/srv/not here:/data:ro", "Mount=type=bind,source=/srv/nor-here,destination=/more"),
    "secret/secret.container": web("v2", 8083, "Secret=token,type=env"),
    // Its own port is no hindrance, and that of an application which runs is.
    "rival/rival.container": web("good", 8083),
  });
  const why = {
    port: "port.container publishes 8091/tcp, which something else on the host has: see ss -lnp 'sport = :8091', and stop it or publish another port",
    path:
      "path.container mounts /srv/not here, which is not on the host, and Podman does not make it: create it there; " +
      "path.container mounts /srv/nor-here, which is not on the host, and Podman does not make it: create it there",
    secret: "secret.container needs the Podman secret token, which is not there: podman secret create token FILE",
    rival: "rival.container publishes 8083/tcp, which secret.service of fleet/secret has: publish another port",
  };
  await t.test("each is told with what to do, in status and plan", async () => {
    for (const [name, message] of Object.entries(why)) assert.equal((await pgo.outcome(name, held, "held")).message, message);
    const { stdout } = await pgo.ctl("plan");
    for (const message of Object.values(why)) assert.ok(stdout.replace(/\s+/g, " ").includes(message), `no "${message}" in ${stdout}`);
  });
  await t.test("what ran runs on, and no file has changed", async () => {
    assert.deepEqual(await pgo.services(...services), before);
    assert.equal(await placed(), files);
    for (const port of [8081, 8082, 8083]) assert.equal(await pgo.page(port), "good");
  });
  await t.test("with the cause gone, it goes on by itself", async () => {
    await pgo.host.sh("systemctl stop squatter; mkdir -p '/srv/not here' /srv/nor-here; printf x | podman secret create token -");
    for (const name of ["port", "path", "secret"]) await pgo.outcome(name, held, "deployed");
    for (const port of [8091, 8082, 8083]) assert.equal(await pgo.page(port), "v2");
    assert.equal((await pgo.application("rival"))?.outcome, "held");
  });
  await t.test("a service that restarts with the port it has is in its own way no more than before", async () => {
    await pgo.repository.commit({ "port/port.container": web("good", 8091), "rival/rival.container": null });
    await pgo.deployed("port");
    assert.equal(await pgo.page(8091), "good");
  });
});

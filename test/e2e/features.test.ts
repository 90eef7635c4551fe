/** Changed files that a running service only has mounted, on a real host: it is reloaded or gets a signal, runs on, and sees the new file. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Installed } from "./installed.ts";

/** Says what it reads when it starts, and again at each SIGHUP. */
const speaker = (more: string, mount: string) => `[Container]
Image=localhost/test/busybox
Volume=${mount}:ro
Exec=sh -c 'hup() { echo hup: $$(cat /conf/a); }; trap hup HUP; echo start: $$(cat /conf/a); while :; do sleep 1; done'
StopSignal=KILL
${more}`;

test("a file that is mounted changes under a service that runs on", async (t) => {
  const files = {
    // Alone, where a new file in its place would never be seen.
    "shop/one.container": speaker("", "./conf/a:/conf/a"),
    "shop/two.container": speaker("[Service]\nExecReload=/usr/bin/podman kill --signal HUP systemd-two\n", "./conf:/conf"),
    "shop/three.container": speaker("", "./conf:/conf"),
    "shop/conf/a": "first\n",
    "shop/pgo.toml": '[on_change]\none = "signal:HUP"\ntwo = "reload"\nthree = "none"\n',
    "blog/blog.container": "[Container]\nImage=localhost/test/busybox\nExec=sleep infinity\nStopSignal=KILL\n",
  };
  const pgo = await Installed.up(t, { files, interval: "1h" });
  const { host, repository } = pgo;
  const names = ["one", "two", "three"] as const;
  const units = names.map((name) => `${name}.service`);
  const ids = async () => (await host.sh(`podman ps --no-trunc --format '{{.Names}} {{.ID}}' | sort`)).trim();
  const said = async (name: string) => (await host.sh(`podman logs systemd-${name}`)).trim().split("\n");
  const sees = async (name: string) => (await host.sh(`podman exec systemd-${name} cat /conf/a`)).trim();
  const push = async (change: Parameters<typeof repository.commit>[0], code = 0) => {
    await repository.commit(change);
    const synced = await pgo.ctl("sync", "--wait");
    assert.equal(synced.code, code, synced.stdout + synced.stderr);
  };
  const heard = async (name: string, last: string) =>
    host.waitFor(`systemd-${name} says "${last}"`, async () => (await said(name)).at(-1) === last);

  await t.test("no process is restarted, each sees the new file, and those that asked for it are told", async () => {
    const before = await pgo.services(...units);
    const containers = await ids();
    await push({ "shop/conf/a": "second\n" });
    assert.deepEqual(await pgo.services(...units), before);
    assert.equal(await ids(), containers);
    for (const name of names) assert.equal(await sees(name), "second");
    await heard("one", "hup: second");
    await heard("two", "hup: second");
    assert.deepEqual(await said("three"), ["start: first"]);
    const [entry] = await pgo.history("shop");
    assert.equal(entry?.outcome, "deployed");
    assert.deepEqual(
      entry.steps.map(({ kind, target }) => `${kind} ${target}`),
      ["write conf/a", "signal one.service", "keep three.service", "reload-service two.service"],
    );
  });

  await t.test("a second look finds nothing to do", async () => {
    const [last] = await pgo.history("shop");
    await push({ "README.md": "hello\n" });
    assert.equal((await pgo.history("shop"))[0]?.id, last?.id);
  });

  await t.test("the way back of a version that fails is told to them too", async () => {
    const before = await pgo.services(...units);
    await push({ "shop/conf/a": "third\n", "shop/bad.container": "[Container]\nImage=localhost/test/busybox\nExec=false\n" }, 3);
    assert.equal((await pgo.history("shop"))[0]?.outcome, "rolled-back");
    assert.deepEqual(await pgo.services(...units), before);
    for (const name of names) assert.equal(await sees(name), "second");
    await push({ "shop/bad.container": null, "shop/conf/a": "second\n" });
  });

  await t.test("a unit that moves to another application runs on", async () => {
    const wanderer = "[Container]\nImage=localhost/test/busybox\nExec=sleep infinity\nStopSignal=KILL\nVolume=kept.volume:/kept\n";
    await push({ "shop/wanderer.container": wanderer, "shop/kept.volume": "[Volume]\n" });
    const before = await pgo.services("wanderer.service", "kept-volume.service");
    const containers = await ids();
    assert.equal(before["wanderer.service"]?.active, "active");
    await push({
      "shop/wanderer.container": null,
      "shop/kept.volume": null,
      "blog/wanderer.container": wanderer,
      "blog/kept.volume": "[Volume]\n",
    });
    assert.deepEqual(await pgo.services("wanderer.service", "kept-volume.service"), before);
    assert.equal(await ids(), containers);
    const source = (await host.systemctl(["show", "--property=SourcePath", "--value", "wanderer.service"])).stdout.trim();
    assert.equal(source, `${pgo.placed}/blog/wanderer.container`);
  });
});

/** The examples of features on a real host: deployed, changed and removed, with every restart counted; above all, files that change under services that run on. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Installed } from "./installed.ts";
import { changed, textOf, tree, type Tree } from "./tree.ts";

const examples = tree(fileURLToPath(new URL("../../examples/features", import.meta.url)));
const conf = "reload/conf/site.conf";

test("examples of features: mounted files change under services that run on, and each other change restarts what it is about", async (t) => {
  const pgo = await Installed.boot(t);
  const { host, repository } = pgo;
  // In the place of the registry, which a test host can't reach.
  await host.sh("podman tag localhost/test/busybox docker.io/library/busybox:1.37");
  const files: Tree = {
    ...Object.fromEntries(Object.entries(examples).filter(([path]) => /^(?:reload|secrets|health|phases)\//.test(path))),
    "blog/blog.container": "[Container]\nImage=localhost/test/busybox\nExec=sleep infinity\nStopSignal=KILL\n",
  };
  await repository.commit(files);
  await pgo.configure(
    `[quadlet]\ndrift_interval = "1h"\n[health]\ninterval = "500ms"\nmin_healthy_time = "1s"\n${textOf(examples["secrets/host.toml"])}`,
    "1h",
  );
  await pgo.install(repository.url);
  const names = ["signalled", "reloaded", "watching"] as const;
  const units = names.map((name) => `${name}.service`);
  const ids = async () => (await host.sh(`podman ps --no-trunc --format '{{.Names}} {{.ID}}' | sort`)).trim();
  const said = async (name: string) => (await host.sh(`podman logs systemd-${name}`)).trim().split("\n");
  const sees = async (name: string) => (await host.sh(`podman exec systemd-${name} cat /conf/site.conf`)).trim();
  const push = async (change: Parameters<typeof repository.commit>[0], code = 0) => {
    await repository.commit(change);
    const synced = await pgo.ctl("sync", "--wait");
    assert.equal(synced.code, code, synced.stdout + synced.stderr);
  };
  const heard = async (name: string, last: string) =>
    host.waitFor(`systemd-${name} says "${last}"`, async () => (await said(name)).at(-1) === last);

  await t.test("references wait for their values, are filled in for the container, and a new value restarts it", async () => {
    assert.equal((await pgo.application("secrets"))?.outcome, "held");
    const give = async (value: string) => {
      await host.exec(["podman", "exec", "-i", "pgo", "ctl", "secret", "set", "SECRETS_DB_PASSWORD"], { input: value });
      const synced = await pgo.ctl("sync", "--wait");
      assert.equal(synced.code, 0, synced.stdout + synced.stderr);
    };
    const environment = async (container: string) =>
      (await host.sh(`podman exec ${container} cat /proc/1/environ | tr '\\0' '\\n'`)).split("\n");
    await give("one$two");
    const seen = await environment("systemd-shop");
    const hostname = (await host.sh("hostname")).trim();
    for (const line of ["DB_PASSWORD=one$two", "DB_URL=postgres://shop:one$two@db/shop", `ON=${hostname}`, "KEEP=$HOME"])
      assert.ok(seen.includes(line), `no ${line} in ${seen.join(" ")}`);
    assert.ok((await environment("systemd-mode")).includes("RUNS=as-root"));
    const before = await pgo.services("shop.service", "mode.service");
    await give("three");
    assert.notEqual((await pgo.services("shop.service"))["shop.service"]?.invocation, before["shop.service"]?.invocation);
    assert.equal((await pgo.services("mode.service"))["mode.service"]?.invocation, before["mode.service"]?.invocation);
  });

  await t.test("no process is restarted, each sees the new file, and those that asked for it are told", async () => {
    const before = await pgo.services(...units);
    const containers = await ids();
    await push(changed(files, conf, "first", "second"));
    assert.deepEqual(await pgo.services(...units), before);
    assert.equal(await ids(), containers);
    for (const name of names) assert.equal(await sees(name), "second");
    await heard("signalled", "hup: second");
    await heard("reloaded", "hup: second");
    assert.deepEqual(await said("watching"), ["start: first"]);
    const [entry] = await pgo.history("reload");
    assert.equal(entry?.outcome, "deployed");
    assert.deepEqual(
      entry.steps.map(({ kind, target }) => `${kind} ${target}`),
      ["write conf/site.conf", "reload-service reloaded.service", "signal signalled.service", "keep watching.service"],
    );
  });

  await t.test("a second look finds nothing to do", async () => {
    const [last] = await pgo.history("reload");
    await push({ "README.md": "hello\n" });
    assert.equal((await pgo.history("reload"))[0]?.id, last?.id);
  });

  await t.test("the way back of a version that fails is told to them too", async () => {
    const before = await pgo.services(...units);
    await push({ [conf]: "third\n", "reload/bad.container": "[Container]\nImage=localhost/test/busybox\nExec=false\n" }, 3);
    assert.equal((await pgo.history("reload"))[0]?.outcome, "rolled-back");
    assert.deepEqual(await pgo.services(...units), before);
    for (const name of names) assert.equal(await sees(name), "second");
    await push({ "reload/bad.container": null, [conf]: "second\n" });
  });

  await t.test("a unit that moves to another application runs on", async () => {
    const wanderer = "[Container]\nImage=localhost/test/busybox\nExec=sleep infinity\nStopSignal=KILL\nVolume=kept.volume:/kept\n";
    await push({ "reload/wanderer.container": wanderer, "reload/kept.volume": "[Volume]\n" });
    const before = await pgo.services("wanderer.service", "kept-volume.service");
    const containers = await ids();
    assert.equal(before["wanderer.service"]?.active, "active");
    await push({
      "reload/wanderer.container": null,
      "reload/kept.volume": null,
      "blog/wanderer.container": wanderer,
      "blog/kept.volume": "[Volume]\n",
    });
    assert.deepEqual(await pgo.services("wanderer.service", "kept-volume.service"), before);
    assert.equal(await ids(), containers);
    const source = (await host.systemctl(["show", "--property=SourcePath", "--value", "wanderer.service"])).stdout.trim();
    assert.equal(source, `${pgo.placed}/blog/wanderer.container`);
  });

  await t.test(
    "an HTTP answer, a port and a command tell that a service is healthy, and a changed page restarts the one that serves it",
    async () => {
      const before = await pgo.services("page.service", "port.service", "command.service");
      await push(changed(files, "health/www/index.html", "hello", "hello again"));
      const after = await pgo.services("page.service", "port.service", "command.service");
      const restarted = Object.keys(after).filter((name) => before[name]?.invocation !== after[name]?.invocation);
      assert.deepEqual(restarted, ["page.service"]);
      const health = await pgo.application("health");
      const told = health?.units.map(({ unit, checkedBy }) => `${unit} ${checkedBy}`).sort();
      assert.deepEqual([health?.health, told], ["healthy", ["command.container podman", "page.container http", "port.container tcp"]]);
      const reason = { "health/www/index.html": "good bye\n", "health/pgo.toml": textOf(examples["health/pgo.toml"]).replace("30s", "3s") };
      await push(reason, 3);
      assert.match((await pgo.application("health"))?.message ?? "", /page\.service .*GET http:\/\/127\.0\.0\.1:8121\//);
      await push({ "health/www/index.html": "hello\n", "health/pgo.toml": textOf(examples["health/pgo.toml"]) });
    },
  );

  await t.test("a bad version of phase 2 ends the rollout: phase 3 runs on untouched, and phase 1 is back as it was", async () => {
    const unitsOf = ["db", "api", "web", "job@a", "job@b", "job@c"].map((name) => `orders-${name}.service`);
    const version = (name: string, text: string) =>
      changed(files, `phases/orders-${name}.container`, "[Container]\n", `[Container]\nLabel=v=${text}\n`);
    const before = await pgo.services(...unitsOf);
    const bad = { "phases/orders-api.container": textOf(files["phases/orders-api.container"]).replace("sleep infinity", "false") };
    await push({ ...version("db", "2"), ...version("web", "2"), ...version("job@", "2"), ...bad }, 3);
    const [entry] = await pgo.history("phases");
    assert.equal(entry?.outcome, "rolled-back");
    assert.match(entry.description, /^orders-api\.service .*the rest was not begun \(phase 2 before phase 3\)/);
    const after = await pgo.services(...unitsOf);
    assert.deepEqual(after["orders-web.service"], before["orders-web.service"]);
    assert.notEqual(after["orders-db.service"]?.invocation, before["orders-db.service"]?.invocation);
    assert.deepEqual(
      unitsOf.filter((name) => after[name]?.active !== "active"),
      [],
    );

    await push({ "phases/orders-api.container": textOf(files["phases/orders-api.container"]) });
    const [good] = await pgo.history("phases");
    const looks = good?.steps.filter(({ kind }) => kind === "verify").map(({ because }) => because.replace(/^before orders-job@/, ""));
    assert.deepEqual(looks, [
      "phase 1 before phase 2",
      "b.service: orders-job@.container, 1 at a time",
      "c.service: orders-job@.container, 1 at a time",
      "phase 2 before phase 3",
    ]);
  });

  await t.test("what leaves Git leaves the host", async () => {
    await push({ reload: null, secrets: null, health: null, phases: null });
    assert.equal(await host.sh("podman ps --all --format '{{.Names}}' | sort | tr '\\n' ' '"), "pgo systemd-blog systemd-wanderer ");
    assert.equal(await host.sh(`ls ${pgo.placed}`), "blog");
  });
});

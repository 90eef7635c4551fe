/** Images of a registry whose tags move: seen without a commit, undone with the image of then, beside podman auto-update, and by the host's registries.conf. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Installed } from "./installed.ts";
import { startRegistry } from "./registry.ts";

const registry = "127.0.0.1:5000";

const config = `
[quadlet]
drift_interval = "3s"
track_digests = true
track_interval = "2s"
[health]
deadline = "20s"
interval = "500ms"
min_healthy_time = "3s"
[images]
prune = true
[state]
keep_good = 1
`;

/** A mirror stands in for a registry that this host can't reach, and short names are looked for in one that speaks plain HTTP. */
const registries = `
unqualified-search-registries = ["${registry}"]
[[registry]]
location = "${registry}"
insecure = true
[[registry]]
prefix = "registry.example.com/acme"
location = "registry.example.com/acme"
[[registry.mirror]]
location = "${registry}/team"
insecure = true
`;

const quadlet = (image: string, port: number, ...more: readonly string[]) =>
  ["[Container]", `Image=${image}`, `PublishPort=${port}:8080`, ...more, "[Install]", "WantedBy=multi-user.target", ""].join("\n");

test("images whose tags move", async (t) => {
  const pgo = await Installed.boot(t);
  const { host, repository } = pgo;
  await host.write("/etc/containers/registries.conf.d/90-test.conf", registries);
  await startRegistry(host, 5000);
  /** Pushes one of the test images as a tag, and leaves none of its names on the host. */
  const push = (image: string, name: string) =>
    host.sh(`
      podman build --quiet --tag ${registry}/made --label pushed-as=${name} --file - . <<< "FROM localhost/test/web:${image}" >&2
      podman push --quiet ${registry}/made docker://${registry}/team/${name} >&2
      podman rmi --force ${registry}/made >&2`);
  const reference = async (name: string) =>
    `@${(await host.sh(`curl -sI -H 'Accept: application/vnd.oci.image.manifest.v1+json' http://${registry}/v2/team/${name.replace(":", "/manifests/")} | tr -d '\\r' | sed -n 's/^Docker-Content-Digest: //p'`)).trim()}`;
  for (const name of ["app:latest", "plain:1", "short:1", "auto:1"]) await push("good", name);

  const autoUpdated = ["AutoUpdate=registry", "HealthCmd=healthy", "HealthInterval=1s", "Notify=healthy"];
  const autoService = ["[Service]", "TimeoutStartSec=5"];
  const auto = (...more: readonly string[]) => quadlet(`${registry}/team/auto:1`, 8084, ...autoUpdated, ...more, ...autoService);
  await repository.commit({
    "app/app.container": quadlet("registry.example.com/acme/app:latest", 8081),
    "plain/plain.container": quadlet("plain.image", 8082),
    "plain/plain.image": `[Image]\nImage=${registry}/team/plain:1\n`,
    "short/short.container": quadlet("team/short:1", 8083),
    "auto/auto.container": auto(),
  });
  await pgo.configure(config);
  await pgo.install(repository.url);

  await t.test("a mirror, a registry without TLS and a short name work as the host's registries.conf says", async () => {
    await pgo.deployed("app", "plain", "short", "auto");
    for (const port of [8081, 8082, 8083, 8084]) assert.equal(await pgo.page(port), "good");
  });

  const others = ["plain.service", "short.service", "auto.service"];
  const untouched = await pgo.services(...others);

  await t.test("a tag that moved is rolled out without a commit, by the mirror too, and held at its digest", async () => {
    await push("v2", "app:latest");
    await host.waitFor("v2", async () => (await pgo.page(8081)) === "v2");
    const held = await reference("app:latest");
    const app = await host.waitFor("the end of the rollout", async () => {
      const one = await pgo.application("app");
      return one?.phase === null && one.images.length > 0 ? one : undefined;
    });
    assert.equal(app.outcome, "deployed");
    assert.deepEqual(app.images, [
      { file: "app.container", image: "registry.example.com/acme/app:latest", held: `registry.example.com/acme/app${held}` },
    ]);
    const [last] = await pgo.history("app");
    assert.equal(last?.cause, "image");
    const reason = `restart app.service: Image= registry.example.com/acme/app:latest moved to ${held.slice(1, 20)}…`;
    assert.ok(last.reasons.includes(reason), String(last.reasons));
    assert.ok((await pgo.ctl("status")).stdout.replace(/\s+/g, " ").includes(`is held at registry.example.com/acme/app${held}`));
  });

  await t.test("one that does not run is undone by its digest, and tried once; a still newer one is taken", async () => {
    const good = await reference("app:latest");
    await push("crash", "app:latest");
    await host.waitFor("the rollback", async () => (await pgo.application("app"))?.outcome === "rolled-back", 60_000);
    assert.equal(await pgo.page(8081), "v2");
    const tries = (await pgo.history("app")).length;
    await pgo.polls(3);
    assert.equal((await pgo.history("app")).length, tries);
    const app = await pgo.application("app");
    assert.deepEqual(
      app?.images.map(({ held }) => held),
      [`registry.example.com/acme/app${good}`],
    );
    assert.match(app.quarantined?.reason ?? "", /app\.service/);
    await push("good", "app:latest");
    await host.waitFor("good", async () => (await pgo.page(8081)) === "good");
    const left = () => host.sh("podman images --all --quiet --filter label=pushed-as=app:latest | sort -u | wc -l");
    await host.waitFor("the images that nothing needs any more to be gone", async () => (await left()) === "1");
  });

  await t.test("an .image unit's tag moves all that use it", async () => {
    await push("v2", "plain:1");
    await host.waitFor("v2", async () => (await pgo.page(8082)) === "v2");
    const { "short.service": short, "auto.service": untracked } = untouched;
    assert.deepEqual(await pgo.services("short.service", "auto.service"), { "short.service": short, "auto.service": untracked });
  });

  await t.test("a registry that can't be reached is told once for each image, and nothing restarts", async () => {
    await host.waitFor("quiet", async () =>
      (await pgo.status()).applications.every(({ phase, outcome }) => phase === null && outcome === "deployed"),
    );
    const before = await pgo.services("app.service", ...others);
    await host.sh("systemctl stop registry");
    const told = async () => (await pgo.events()).filter(({ message }) => message.includes("can't be asked")).length;
    await host.waitFor("the warnings", async () => (await told()) >= 3);
    await pgo.polls(3);
    assert.equal(await told(), 3);
    assert.deepEqual(await pgo.services("app.service", ...others), before);
    assert.equal((await pgo.status()).healthy, true);
    await host.sh("systemctl start registry");
  });

  await t.test("podman auto-update is no drift, nor is its own way back", async () => {
    const entries = (await pgo.history("auto")).length;
    await push("v2", "auto:1");
    await host.exec(["podman", "auto-update"]);
    assert.equal(await pgo.page(8084), "v2");
    const updated = await pgo.services("auto.service");
    assert.notDeepEqual(updated["auto.service"], untouched["auto.service"]);
    await pgo.polls(3);
    assert.deepEqual(await pgo.services("auto.service"), updated);
    assert.equal((await pgo.history("auto")).length, entries);
    const auto = await pgo.application("auto");
    assert.deepEqual([auto?.outcome, auto?.health], ["deployed", "healthy"]);

    await push("never-healthy", "auto:1");
    await host.exec(["podman", "auto-update"], { check: false });
    await host.waitFor("its way back", async () => (await pgo.page(8084)) === "v2");
    const back = await pgo.services("auto.service");
    await pgo.polls(3);
    assert.deepEqual(await pgo.services("auto.service"), back);
    assert.equal((await pgo.application("auto"))?.health, "healthy");
  });

  await t.test("with Pull=newer a failed commit goes back to the image that ran, which nobody prunes", async () => {
    const bad = await repository.commit({ "auto/auto.container": auto("Pull=newer") });
    await pgo.outcome("auto", bad, "rolled-back");
    assert.equal(await pgo.page(8084), "v2");
    const held = (await pgo.application("auto"))?.images[0]?.held ?? "";
    assert.match(held, /^127\.0\.0\.1:5000\/team\/auto@sha256:[0-9a-f]{64}$/);
    await host.sh("podman image prune --force");
    await host.systemctl(["restart", "auto.service"]);
    assert.equal(await pgo.page(8084), "v2");
    assert.equal((await host.exec(["podman", "auto-update"])).code, 0);
    assert.equal(await pgo.page(8084), "v2");
  });

  await t.test("the next deployment takes the tag again, and nothing of the pin is left", async () => {
    await push("good", "auto:1");
    await repository.commit({ "auto/auto.container": auto("Pull=newer", "Environment=A=2") });
    await pgo.deployed("auto");
    assert.equal(await pgo.page(8084), "good");
    assert.deepEqual((await pgo.application("auto"))?.images, []);
    assert.equal(await host.sh(`ls ${pgo.placed}/auto`), "auto.container");
    assert.equal(await host.sh(`podman images --format '{{.Repository}}:{{.Tag}}' | grep auto:pgo- || true`), "");
  });
});

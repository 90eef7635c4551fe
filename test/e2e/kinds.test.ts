/** The examples, one application for each kind of unit: each deployed, changed and removed on a real host, with every restart counted. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";

import type { Change } from "../host/test-host.ts";
import { Installed } from "./installed.ts";
import { startRegistry } from "./registry.ts";
import * as trees from "./tree.ts";

const examples = fileURLToPath(new URL("../../examples/kinds", import.meta.url));

const services = [
  ...["shop-pod", "shop-web", "shop-api", "site", "busybox-image", "idle", "built", "worker@red", "worker@blue"],
  ...[
    "inner-network",
    "peer-a",
    "peer-b",
    "outsider",
    "web-front",
    "pair-network",
    "pair-one",
    "pair-two",
    "data-volume",
    "keeper",
    "teller",
    "words-artifact",
    "reader",
  ],
].map((name) => `${name}.service`);

// One on each Podman: pgo splits `.quadlets` files for both.
for (const { user, release } of [
  { user: "root", release: "trixie" },
  { user: "edge", release: "forky" },
] as const)
  suite(`${user} on ${release}: the examples of all kinds`, () => {
    test("are deployed, changed one by one with no needless restart, and removed without a trace", async (t) => {
      const pgo = await Installed.boot(t, { user, suite: release });
      const { host, repository } = pgo;
      // In the place of the registry, which a test host can't reach.
      await host.sh("podman tag localhost/test/busybox docker.io/library/busybox:1.37");
      await pgo.configure(
        '[quadlet]\ndrift_interval = "1h"\nprune = "all"\n[health]\ndeadline = "60s"\ninterval = "500ms"\nmin_healthy_time = "1s"\n',
        "1h",
      );
      // Of these only a newer Podman knows the kind, and they need a registry: one test below.
      const isArtifact = ([path]: readonly [string, unknown]) => path.startsWith("artifact/");
      const examplesThere = Object.fromEntries(Object.entries(trees.tree(examples)).filter((one) => !isArtifact(one)));
      // A registry is not to be had: the image unit loads what the host has saved.
      const archive = "Image=docker-archive:/tmp/busybox.tar\nImageTag=docker.io/library/busybox:1.37";
      const files: Readonly<Record<string, Change>> = { ...examplesThere, "image/busybox.image": `[Image]\n${archive}\n` };
      await host.sh("podman save --quiet --output /tmp/busybox.tar docker.io/library/busybox:1.37");
      await repository.commit(files);
      await host.sh(`mkdir -p -m 700 ${pgo.settings}/secrets && umask 077 && echo TOKEN=one >${pgo.settings}/secrets/kinds.env`);
      await pgo.install(repository.url);
      const deployed = async (...names: readonly string[]) => {
        const { applications } = await pgo.status();
        for (const name of names) {
          const one = applications.find((application) => application.name === name);
          assert.equal(
            `${name}: ${String(one?.outcome)} ${String(one?.health)} ${String(one?.message)}`,
            `${name}: deployed healthy ${String(one?.message)}`,
          );
        }
      };
      await deployed("several", "pod", "kube", "image", "build", "template", "timer", "network", "volume", "dropins", "socket", "secret");
      assert.equal(await pgo.page(8101), "web");
      assert.equal(await pgo.page(8102), "api");
      assert.equal(await pgo.page(8103), "hello from kube");
      assert.equal(await pgo.page(8104), "built from Git");
      assert.equal((await host.sh("exec 3<>/dev/tcp/127.0.0.1/8105; echo hi >&3; head -1 <&3")).trim(), "hi");

      /** Commits, waits for the rollout, and answers which services were started anew. */
      const push = async (change: Readonly<Record<string, Change>>) => {
        const before = await pgo.services(...services);
        await repository.commit(change);
        const synced = await pgo.ctl("sync", "--wait");
        assert.equal(synced.code, 0, synced.stdout + synced.stderr);
        const after = await pgo.services(...services);
        return services.filter((name) => before[name]?.invocation !== after[name]?.invocation && after[name]?.active !== "inactive");
      };
      const changed = (path: string, from: string, to: string) => trees.changed(files, path, from, to);

      await t.test("comments only restart nothing, in no kind", async () => {
        const all = Object.entries(files).filter(
          ([path, text]) =>
            /\.(?:container|pod|network|kube|image|build|timer|service|socket|quadlets)$/.test(path) && typeof text === "string",
        );
        assert.deepEqual(await push(Object.fromEntries(all.map(([path, text]) => [path, `# changed\n${trees.textOf(text)}`]))), []);
      });
      await t.test("a member of a pod restarts alone while the other stays up", async () => {
        assert.deepEqual(await push(changed("pod/shop-web.container", "StopSignal=KILL", "StopSignal=KILL\nLabel=v=2")), [
          "shop-web.service",
        ]);
      });
      await t.test("a changed pod restarts with its members, each once", async () => {
        const change = changed("pod/shop.pod", "[Pod]\n", "[Pod]\nPodmanArgs=--label=v=2\n");
        assert.deepEqual(await push(change), ["shop-pod.service", "shop-web.service", "shop-api.service"]);
        assert.equal(await pgo.page(8101), "web");
      });
      await t.test("all members restart with their pod, since the last to stop would take it along", async () => {
        const change = {
          ...changed("pod/shop-web.container", "[Container]", "[Container]\nLabel=v=3"),
          ...changed("pod/shop-api.container", "[Container]", "[Container]\nLabel=v=3"),
        };
        assert.deepEqual(await push(change), ["shop-pod.service", "shop-web.service", "shop-api.service"]);
      });
      await t.test("a changed ConfigMap plays the YAML anew", async () => {
        assert.deepEqual(await push(changed("kube/settings.yml", "hello", "good day")), ["site.service"]);
        assert.equal(await pgo.page(8103), "good day from kube");
      });
      await t.test("a changed image unit restarts its user", async () => {
        assert.deepEqual(await push(changed("image/busybox.image", "[Image]\n", "[Image]\nPodmanArgs=--quiet\n")), [
          "busybox-image.service",
          "idle.service",
        ]);
      });
      await t.test("one of several quadlets in a file restarts alone", async () => {
        const text = trees.textOf(files["several/pair.quadlets"]);
        const at = text.lastIndexOf("[Container]");
        const change = { "several/pair.quadlets": `${text.slice(0, at)}[Container]\nLabel=v=2${text.slice(at + "[Container]".length)}` };
        assert.deepEqual(await push(change), ["pair-two.service"]);
      });
      await t.test("a changed build context builds anew and restarts the user, once", async () => {
        const restarted = await push(changed("build/site/index.html", "built from Git", "built again"));
        assert.deepEqual(restarted, ["built.service"]);
        assert.equal(await pgo.page(8104), "built again");
        const [entry] = await pgo.history("build");
        assert.match((entry?.reasons ?? []).join("\n"), /^restart built\.service: built\.build changed$/m);
      });
      await t.test("a changed template restarts its instances", async () => {
        assert.deepEqual(await push(changed("template/worker@.container", "Environment=WORKER=%i", "Environment=WORKER=%i NEW=1")), [
          "worker@red.service",
          "worker@blue.service",
        ]);
      });
      await t.test("an instance more starts alone, one less stops alone", async () => {
        assert.deepEqual(await push({ "template/pgo.toml": '[instances]\n"worker@" = ["blue", "green"]\n' }), []);
        assert.equal(await pgo.isActive("worker@green.service"), true);
        assert.deepEqual(await push({ "template/pgo.toml": '[instances]\n"worker@" = ["blue"]\n' }), []);
        assert.equal(await pgo.isActive("worker@green.service"), false);
      });
      await t.test("a value that changed on the host is in the Podman secret, and its user restarts alone", async () => {
        await host.sh(`echo TOKEN=two >${pgo.settings}/secrets/kinds.env`);
        assert.deepEqual(await push({}), ["teller.service"]);
        assert.equal((await host.sh("podman secret inspect --showsecret --format '{{.SecretData}}' token")).trim(), "two");
      });
      await t.test("a timer is enabled and waits; its service is not started, and a changed time restarts the timer alone", async () => {
        const state = async (what: string, unit: string) => (await host.systemctl([what, unit], { check: false })).stdout.trim();
        assert.deepEqual(
          [await state("is-enabled", "tidy.timer"), await state("is-active", "tidy.timer"), await state("is-active", "tidy.service")],
          ["enabled", "active", "inactive"],
        );
        assert.deepEqual(await push(changed("timer/tidy.timer", "04:00:00", "05:00:00")), []);
        assert.match((await host.systemctl(["list-timers", "--no-pager", "tidy.timer"])).stdout, /0[45]:\d\d:\d\d/);
        assert.equal(await state("is-active", "tidy.service"), "inactive");
      });
      await t.test("a changed network is made anew, and its users restart once, in another application too", async () => {
        await push({ "outsider/outsider.container": trees.textOf(files["network/peer-a.container"]) });
        await deployed("outsider");
        assert.deepEqual(await push(changed("network/inner.network", "Internal=true", "Internal=true\nLabel=v=2")), [
          "inner-network.service",
          "peer-a.service",
          "peer-b.service",
          "outsider.service",
        ]);
        assert.equal((await host.sh("podman network inspect systemd-inner --format '{{.Labels.v}}'")).trim(), "2");
      });
      await t.test("a network that a person removed is made again, and its users start, in another application too", async () => {
        await host.sh("podman network rm --force --time 0 systemd-inner");
        const synced = await pgo.ctl("sync", "--wait");
        assert.equal(synced.code, 0, synced.stdout + synced.stderr);
        assert.match((await pgo.history("network"))[0]?.description ?? "", /the network systemd-inner is not there/);
        for (const name of ["inner-network", "peer-a", "peer-b", "outsider"])
          assert.equal(await pgo.isActive(`${name}.service`), true, name);
        assert.deepEqual(await push({}), []);
      });
      await t.test("a volume made anew for a version that fails is back as it was, with what was in it, and whose it was", async () => {
        await host.sh("podman exec systemd-keeper sh -c 'echo precious >/data/word; chown -R 99:98 /data; chmod 2750 /data'");
        const label = changed("volume/data.volume", "v=1", "v=2");
        await repository.commit({ ...label, ...changed("volume/keeper.container", "sleep infinity", "false") });
        assert.equal((await pgo.ctl("sync", "--wait")).code, 3);
        assert.equal((await pgo.application("volume"))?.outcome, "rolled-back", (await pgo.application("volume"))?.message ?? "");
        const inside = () => host.sh("podman exec systemd-keeper sh -c 'ls -ldn /data; ls /data; cat /data/*'");
        assert.match((await inside()).trim(), /^drwxr-s--- +2 99 +98 .*\nword\nprecious$/);
        assert.equal((await host.sh("podman volume inspect systemd-data --format '{{.Labels.v}}'")).trim(), "1");

        assert.deepEqual(await push(changed("volume/keeper.container", "[Container]", "[Container]\nLabel=v=2")), [
          "data-volume.service",
          "keeper.service",
        ]);
        assert.equal((await host.sh("podman volume inspect systemd-data --format '{{.Labels.v}}'")).trim(), "2");
        assert.doesNotMatch(await host.sh("podman exec systemd-keeper ls /data"), /word/);
        const backups = await host.sh(`cd ${pgo.state}/backups && find volumes -printf '%m %y\n' | sort | uniq -c`);
        assert.match(backups.trim(), /^3 600 f\n +2 700 d$/, "one of the old, one of the version that failed, one of the old again");
      });
      await t.test("drop-ins of all forms are in force, and one for all containers is for this application's only", async () => {
        const labels = async (container: string) =>
          JSON.parse(await host.sh(`podman inspect ${container} --format '{{json .Config.Labels}}'`)) as Record<string, string>;
        const { from, all, beginning, own } = await labels("systemd-web-front");
        assert.deepEqual({ from, all, beginning, own }, { from: "all", all: "yes", beginning: "yes", own: "yes" });
        assert.equal((await labels("systemd-idle"))["all"], undefined);
        assert.equal((await host.systemctl(["show", "--property=RestartUSec", "--value", "web-front.service"])).stdout.trim(), "3s");
        assert.deepEqual(await push(changed("dropins/container.d/10-label.conf", "all=yes", "all=no")), ["web-front.service"]);
      });
      if (release === "forky")
        await t.test("an artifact is fetched and mounted, and another one restarts its user", async () => {
          await startRegistry(host, 5000);
          for (const [tag, word] of [
            ["1", "one"],
            ["2", "two"],
          ] as const) {
            const name = `127.0.0.1:5000/words:${tag}`;
            await host.sh(`echo ${word} >/tmp/words && podman artifact add ${name} /tmp/words`);
            await host.sh(`podman artifact push --tls-verify=false ${name} && podman artifact rm ${name}`);
          }
          const artifact = (tag: string) => ({
            "artifact/words.artifact": `[Artifact]\nArtifact=127.0.0.1:5000/words:${tag}\nTLSVerify=false\n`,
          });
          const reader = Object.fromEntries(Object.entries(trees.tree(examples)).filter(isArtifact));
          assert.deepEqual(await push({ ...reader, ...artifact("1") }), ["words-artifact.service", "reader.service"]);
          assert.equal(await host.sh("podman exec systemd-reader cat /words"), "one");
          assert.deepEqual(await push(artifact("2")), ["words-artifact.service", "reader.service"]);
          assert.equal(await host.sh("podman exec systemd-reader cat /words"), "two");
          assert.deepEqual(await push({ artifact: null }), []);
          assert.equal(await pgo.isActive("reader.service"), false);
        });
      await t.test("what leaves Git leaves the host: services, files, links and networks", async () => {
        const gone = Object.fromEntries(
          [
            "pod",
            "kube",
            "image",
            "template",
            "timer",
            "network",
            "volume",
            "dropins",
            "socket",
            "build",
            "outsider",
            "several",
            "secret",
          ].map((name) => [name, null]),
        );
        await push({
          ...gone,
          "rest/rest.container": trees.textOf(files["network/peer-a.container"]).replace("Network=inner.network\n", ""),
        });
        const left = await pgo.services(...services, "tidy.timer", "echo.socket");
        for (const [name, { load, active }] of Object.entries(left))
          assert.ok(load === "not-found" || active === "inactive", `${name}: ${load} ${active}`);
        const units = user === "root" ? "/etc/systemd/system" : `${host.home}/.config/systemd/user`;
        assert.equal((await host.sh(`find ${units} -name 'tidy*' -o -name 'echo*' -o -name 'web-front*'`)).trim(), "");
        assert.equal((await host.sh("podman network ls --format '{{.Name}}'")).includes("systemd-inner"), false);
        assert.equal((await host.sh("podman volume ls --format '{{.Name}}'")).includes("systemd-data"), false);
        assert.equal((await host.sh(`find ${pgo.state}/backups -name '*.tar' | wc -l`)).trim(), "4");
        assert.equal((await host.sh("podman pod ls --quiet")).trim(), "");
        assert.equal((await host.sh("podman secret ls --quiet")).trim(), "");
        assert.deepEqual((await host.sh(`ls ${pgo.placed}`)).trim(), "rest");
      });
    });
  });

/** The Podman adapter against real Podmans, of root and of a user, with a real registry. */

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { openContainerChanges } from "../../src/adapters/podman/events.ts";
import { openPodman } from "../../src/adapters/podman/podman.ts";
import { serviceName } from "../../src/core/names.ts";
import { podmanContract } from "../contracts/podman.ts";
import { TestHost } from "../host/test-host.ts";
import { registryProgram } from "./registry.ts";

const { signal } = new AbortController();

/** The socket as this process sees it: a unix socket is reached by its file, from whatever namespace. */
const socketOf = (host: TestHost) =>
  `/proc/${host.pid}/root/run/${host.user === "root" ? "podman/podman.sock" : "user/1000/podman/podman.sock"}`;

function open(t: TestContext, host: TestHost, silence?: number) {
  const podman = openPodman({
    socket: socketOf(host),
    mode: host.user === "root" ? "rootful" : "rootless",
    ...(silence === undefined ? {} : { silence }),
  });
  t.after(() => podman[Symbol.asyncDispose]());
  return podman;
}

/** Images and containers as the contract names them. */
const world = `
  mkdir -p /tmp/busybox-$UID/bin
  cp /usr/bin/busybox /tmp/busybox-$UID/bin/
  for applet in sh sleep true false id; do ln -s busybox /tmp/busybox-$UID/bin/$applet; done
  tar -C /tmp/busybox-$UID -c . | podman import --quiet - localhost/test/busybox:latest
  for image in 127.0.0.1:5999/kept:1 127.0.0.1:5000/team/one:1 127.0.0.1:5000/team/two:1; do podman tag localhost/test/busybox $image; done
  podman push --quiet 127.0.0.1:5000/team/one:1
  podman push --quiet 127.0.0.1:5000/team/two:1
  podman untag localhost/test/busybox 127.0.0.1:5000/team/one:1 127.0.0.1:5000/team/two:1
  podman network create spare
  podman network create busy
  podman volume create spare
  podman volume create busy
  podman volume create --opt type=tmpfs --opt device=tmpfs shown
  printf theirs | podman secret create foreign -
  podman run --detach --network busy --volume busy:/busy --name alone localhost/test/busybox sleep 1000
  service() { podman "$1" --name "$2" --label "PODMAN_SYSTEMD_UNIT=$2.service" "\${@:4}" localhost/test/busybox:latest $3; }
  service run healthy "sleep 1000" --detach --health-cmd true --health-interval 1s
  service run unhealthy "sleep 1000" --detach --health-cmd false --health-interval 1s --health-retries 1
  service create made "sleep 1000"
  service run ended "true"
  service run hosted "sleep 1000" --detach --network host
  podman run --detach --name published --label PODMAN_SYSTEMD_UNIT=published.service --publish 127.0.0.1:18080:80 --publish 90 \\
    localhost/test/busybox:latest sh -c 'echo one; echo two; sleep 0.2; echo three >&2; exec sleep 1000'
  podman healthcheck run healthy
  podman healthcheck run unhealthy || true
`;

const quadlet = "[Container]\nImage=localhost/test/busybox:latest\nExec=sleep 1000\nPodmanArgs=--init=false\nStopTimeout=1\n";

/** The same images behind two doors, one of which asks for ed's password. */
async function startRegistries(host: TestHost): Promise<void> {
  const insecure = [5000, 5001, 5997, 5998, 5999].map((port) => `[[registry]]\nlocation = "127.0.0.1:${port}"\ninsecure = true\n`);
  await host.write("/etc/containers/registries.conf.d/90-test.conf", insecure.join(""), 0o644, "root");
  // bcrypt of "s3cret-token".
  await host.write("/etc/test-registry/users", "ed:$2y$05$abcdefghijklmnopqrstuurqlfNK1j3DPm23UErfIbGaYIPKJXOC2\n", 0o644, "root");
  const settings = (port: number) =>
    `version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/test-registry}}\nhttp: {addr: "127.0.0.1:${port}"}\n`;
  await host.write("/etc/test-registry/open.yml", settings(5000), 0o644, "root");
  const closed = `${settings(5001)}auth: {htpasswd: {realm: test, path: /etc/test-registry/users}}\n`;
  await host.write("/etc/test-registry/closed.yml", closed, 0o644, "root");
  const program = await registryProgram(host);
  for (const name of ["open", "closed"])
    await host.exec(["systemd-run", "--quiet", `--unit=registry-${name}`, program, "serve", `/etc/test-registry/${name}.yml`], {
      user: "root",
    });
  for (const port of [5000, 5001])
    await host.waitFor(`the registry on port ${port}`, async () => (await host.get(`http://127.0.0.1:${port}/v2/`)).status > 0);
}

for (const { suite, user, version } of [
  { suite: "trixie", user: "root", version: /^5\.4\./ },
  { suite: "trixie", user: "edge", version: /^5\.4\./ },
  { suite: "forky", user: "root", version: /^5\.[89]\./ },
] as const)
  test(`the port's promises, with Podman of ${user} on ${suite}`, async (t) => {
    const host = await TestHost.up(t, { suite, user });
    await startRegistries(host);
    await host.sh(world);
    await host.write(`${host.quadlets}/plain.container`, quadlet);
    await host.systemctl(["daemon-reload"]);
    await host.systemctl(["start", "plain.service"]);

    const directory = await mkdtemp(join(tmpdir(), "auth-"));
    t.after(() => rm(directory, { recursive: true }));
    const authFile = async (name: string, login: string) => {
      await writeFile(join(directory, name), JSON.stringify({ auths: { "127.0.0.1:5001": { auth: btoa(login) } } }));
      return join(directory, name);
    };
    await podmanContract(t, {
      podman: open(t, host),
      authFiles: { right: await authFile("right.json", "ed:s3cret-token"), wrong: await authFile("wrong.json", "ed:wr0ng") },
      async logIn() {
        // The very command that the refusal advises.
        await host.sh("podman login 127.0.0.1:5001 --authfile ~/.config/containers/auth.json --username ed --password s3cret-token");
      },
      // As a container sees it, by way of base64, since a terminal's text would lose what is not text.
      async valueOf(name) {
        const command = `podman run --rm --network none --secret ${name} localhost/test/busybox busybox base64 /run/secrets/${name}`;
        return Buffer.from(await host.sh(command), "base64").toString();
      },
      version,
      reachesNetworks: user === "root",
    });

    await t.test(
      "what happens to containers is heard, a health check only when it turns, and what was missed as anything",
      // A user's Podman is the same one.
      { skip: user !== "root" },
      async (inner) => {
        const stop = new AbortController();
        const heard: (string | undefined)[] = [];
        const known = (name: string) => (/^(?:turning|plain)\.service$/.test(name) ? serviceName(name) : undefined);
        const hearing = openContainerChanges(socketOf(host)).hear({ known, heard: (one) => heard.push(one) }, stop.signal);
        inner.after(async () => {
          stop.abort();
          await hearing;
        });
        /** What was heard of `turning` while this was done: all that came before another container's start, as events keep their order. */
        const during = async (script: string) => {
          heard.length = 0;
          await host.sh(script);
          await host.waitFor("the mark to be heard", async () => {
            await host.sh("podman run --rm --network none --label PODMAN_SYSTEMD_UNIT=plain.service localhost/test/busybox:latest true");
            return heard.includes("plain.service");
          });
          return heard.includes("turning.service");
        };
        await during("true");
        const run =
          "podman run --detach --name turning --label PODMAN_SYSTEMD_UNIT=turning.service --health-interval 1s --health-retries 1";
        const check = "podman healthcheck run turning || true";
        assert.ok(await during(`${run} --health-cmd "test ! -e /sick" localhost/test/busybox:latest sleep 1000; ${check}`), "it started");
        assert.ok(!(await during(`${check}; ${check}; podman exec turning true`)), "nothing is new");
        assert.ok(await during(`podman exec turning busybox touch /sick; ${check}`), "it turned");
        assert.ok(!(await during(check)), "it stays so");
        assert.ok(await during("podman kill turning"), "it ended");
        await host.systemctl(["stop", "podman.service"]);
        await host.waitFor("the next connection", () => Promise.resolve(heard.includes(undefined)));
        assert.ok(await during("podman rm --force turning"), "it was removed");
      },
    );

    await t.test("a podman.socket that was restarted is a new file, and found again", async () => {
      const podman = open(t, host);
      await podman.version(signal);
      await host.systemctl(["stop", "podman.socket", "podman.service"]);
      await assert.rejects(podman.version(signal), /connection refused: is podman\.socket running\?/);
      await host.systemctl(["start", "podman.socket"]);
      assert.match(await podman.version(signal), version);
    });

    await t.test("reads come through while podman.service goes and is started again", async () => {
      const podman = open(t, host);
      for (let round = 0; round < 5; round++) {
        const [containers] = await Promise.all([podman.containers(signal), host.systemctl(["stop", "podman.service"])]);
        assert.equal(containers.length, 7);
      }
    });

    await t.test("how far a pull is can be seen while it is under way", async () => {
      const podman = open(t, host);
      const slow = "server { listen 127.0.0.1:5997; location / { proxy_pass http://127.0.0.1:5000; limit_rate 300k; } }";
      await host.write("/etc/nginx/conf.d/slow.conf", slow, 0o644, "root");
      await host.exec(["systemctl", "restart", "nginx"], { user: "root" });
      await host.sh(
        "head -c 1500000 /dev/urandom > big && echo 'FROM scratch\nADD big /' | podman build --quiet --tag 127.0.0.1:5000/big:1 -f - .",
      );
      await host.sh("podman push --quiet 127.0.0.1:5000/big:1 && podman rmi 127.0.0.1:5000/big:1");
      const pulling = podman.pull("127.0.0.1:5997/big:1", undefined, signal);
      const pull = await host.waitFor("bytes to come", async () => (await podman.pulls(signal)).find(({ bytes }) => bytes > 0));
      assert.ok(pull.image === "127.0.0.1:5997/big:1" && pull.layers > 0 && pull.bytes < pull.bytesTotal, JSON.stringify(pull));
      assert.deepEqual([await pulling, await podman.pulls(signal)], [{ ok: true, value: undefined }, []]);
    });

    await t.test("a pull from a registry that falls silent is given up, by Podman too", async () => {
      const podman = open(t, host, 1000);
      // The kernel accepts for a service that never does.
      const listen = "--socket-property=ListenStream=127.0.0.1:5998";
      await host.exec(["systemd-run", "--quiet", "--unit=silent", listen, "sleep", "1000"], { user: "root" });
      const connections = () => host.sh("ss --no-header --tcp --numeric state established dst 127.0.0.1:5998", { user: "root" });
      const pulling = podman.pull("127.0.0.1:5998/one:1", undefined, signal);
      await host.waitFor("Podman's connection", connections);
      const pulled = await pulling;
      assert.ok(!pulled.ok);
      assert.match(pulled.trouble, /^pull 127\.0\.0\.1:5998\/one:1: podman socket .*: nothing came for 1 s$/);
      await host.waitFor("the end of Podman's connection", async () => (await connections()) === "");
    });
  });

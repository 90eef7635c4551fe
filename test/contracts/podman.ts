/** What the Podman port promises: run against the fake, and against real ones. */

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { ContainerState, Podman } from "../../src/ports.ts";

/**
 * The world that the promises are about. Registries: 127.0.0.1:5000 has `team/one:1`, `team/two:1`; 127.0.0.1:5001 has the
 * same for `ed` with password `s3cret-token`; none answers at 127.0.0.1:5999. Images: `localhost/test/busybox:latest`, also
 * known as `127.0.0.1:5999/kept:1`. Containers of `healthy.service`, `unhealthy.service`, `plain.service`, `made.service` (not
 * started), `ended.service`, and one of no service. Networks: `spare`, and `busy`, which a container uses.
 */
export interface PodmanScene {
  readonly podman: Podman;
  /** Auth files where the adapter runs. */
  readonly authFiles: { readonly right: string; readonly wrong: string };
  /** `podman login 127.0.0.1:5001` on the host, by its user. */
  logIn(): Promise<void>;
  readonly version: RegExp;
}

export async function podmanContract(t: TestContext, scene: PodmanScene): Promise<void> {
  const { podman, authFiles } = scene;
  const { signal } = new AbortController();

  await t.test("containers are found by their service, with state, health, image and time of start", async () => {
    const containers = new Map((await podman.containers(signal)).map((one) => [String(one.service), one]));
    const brief = ({ state, health, image, startedAt }: ContainerState) => [state, health, image, startedAt !== undefined];
    const image = "localhost/test/busybox:latest";
    assert.deepEqual(Object.fromEntries([...containers].sort().map(([service, one]) => [service, brief(one)])), {
      "ended.service": ["exited", undefined, image, true],
      "healthy.service": ["running", "healthy", image, true],
      "made.service": ["created", undefined, image, false],
      "plain.service": ["running", undefined, image, true],
      "unhealthy.service": ["running", "unhealthy", image, true],
    });
    const plain = containers.get("plain.service");
    assert.match(plain?.id ?? "", /^[0-9a-f]{64}$/);
    assert.match(plain?.imageId ?? "", /^[0-9a-f]{64}$/);
    assert.ok((plain?.startedAt?.getTime() ?? 0) > new Date("2025-01-01").getTime());
  });

  await t.test("an image is there by its full name or a short one, or it is not", async () => {
    assert.equal(await podman.hasImage("localhost/test/busybox:latest", signal), true);
    assert.equal(await podman.hasImage("test/busybox", signal), true);
    assert.equal(await podman.hasImage("127.0.0.1:5000/team/one:1", signal), false);
  });

  await t.test("a pull brings an image, and again changes nothing", async () => {
    for (let round = 0; round < 2; round++)
      assert.deepEqual(await podman.pull("127.0.0.1:5000/team/one:1", undefined, signal), { ok: true, value: undefined });
    assert.equal(await podman.hasImage("127.0.0.1:5000/team/one:1", signal), true);
  });

  await t.test("an image that is there is not asked for at its registry", async () => {
    assert.deepEqual(await podman.pull("127.0.0.1:5999/kept:1", undefined, signal), { ok: true, value: undefined });
    assert.deepEqual(await podman.pull("localhost/test/busybox:latest", undefined, signal), { ok: true, value: undefined });
  });

  await t.test("a pull without the login that it needs says which registry and how to log in", async () => {
    assert.deepEqual(await podman.pull("127.0.0.1:5001/team/one:1", undefined, signal), {
      ok: false,
      trouble:
        'pull 127.0.0.1:5001/team/one:1: unauthorized: run "podman login 127.0.0.1:5001 --authfile ~/.config/containers/auth.json" ' +
        "on the host (as the user that runs pgo) or set AuthFile=",
    });
  });

  await t.test("a wrong login of an AuthFile= is refused, and not shown", async () => {
    assert.deepEqual(await podman.pull("127.0.0.1:5001/team/one:1", authFiles.wrong, signal), {
      ok: false,
      trouble: `pull 127.0.0.1:5001/team/one:1: unauthorized: run "podman login 127.0.0.1:5001 --authfile ${authFiles.wrong}" on the host`,
    });
  });

  await t.test("the login of an AuthFile= is used", async () => {
    assert.deepEqual(await podman.pull("127.0.0.1:5001/team/one:1", authFiles.right, signal), { ok: true, value: undefined });
  });

  await t.test("what `podman login` left on the host is used, but not instead of an AuthFile=", async () => {
    await scene.logIn();
    assert.equal((await podman.pull("127.0.0.1:5001/team/two:1", authFiles.wrong, signal)).ok, false);
    assert.deepEqual(await podman.pull("127.0.0.1:5001/team/two:1", undefined, signal), { ok: true, value: undefined });
  });

  await t.test("an unknown tag is told apart from a registry that does not answer", async () => {
    assert.deepEqual(await podman.pull("127.0.0.1:5000/team/one:2", undefined, signal), {
      ok: false,
      trouble: "pull 127.0.0.1:5000/team/one:2: not found in registry 127.0.0.1:5000: check name and tag",
    });
    assert.deepEqual(await podman.pull("127.0.0.1:5999/team/one:1", undefined, signal), {
      ok: false,
      trouble: "pull 127.0.0.1:5999/team/one:1: connection refused",
    });
  });

  await t.test("an image of localhost/ that is not there is never looked for in a registry", async () => {
    assert.deepEqual(await podman.pull("localhost/nope:1", undefined, signal), {
      ok: false,
      trouble: "pull localhost/nope:1: no such image on the host: localhost/ images are built or loaded there (podman build), never pulled",
    });
  });

  await t.test("a name that is no image's is refused in one line", async () => {
    const pulled = await podman.pull("UPPER/x", undefined, signal);
    assert.ok(!pulled.ok);
    assert.match(pulled.trouble, /^pull UPPER\/x: Invalid image name "UPPER\/x".*$/);
  });

  await t.test("a network goes when no container uses it, and may be gone already", async () => {
    for (let round = 0; round < 2; round++) assert.deepEqual(await podman.removeNetwork("spare", signal), { ok: true, value: undefined });
    assert.deepEqual(await podman.removeNetwork("busy", signal), {
      ok: false,
      trouble: "remove network busy: containers still use it",
    });
  });

  await t.test("Podman tells its version", async () => {
    assert.match(await podman.version(signal), scene.version);
  });

  await t.test("an aborted call throws the signal's reason", async () => {
    const reason = new Error("pgo stops");
    const aborted = AbortSignal.abort(reason);
    for (const call of [
      () => podman.containers(aborted),
      () => podman.hasImage("alpine", aborted),
      () => podman.pull("alpine", undefined, aborted),
      () => podman.removeNetwork("spare", aborted),
      () => podman.version(aborted),
    ])
      await assert.rejects(call, (error) => error === reason);
  });
}

/** What the Podman port promises: run against the fake, and against real ones. */

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import type { ContainerState, Podman } from "../../src/ports.ts";
import { assertSilent, planted } from "../planted.ts";

/**
 * The world that the promises are about. Registries: 127.0.0.1:5000 has `team/one:1`, `team/two:1`; 127.0.0.1:5001 has the
 * same for `ed` with password `s3cret-token`; none answers at 127.0.0.1:5999. Images: `localhost/test/busybox:latest`, also
 * known as `127.0.0.1:5999/kept:1`. Containers of `healthy.service`, `unhealthy.service`, `plain.service`, `made.service` (not
 * started), `ended.service`, `hosted.service` on the host's network, `published.service`, which publishes 80 as 18080 of 127.0.0.1 and 90 as
 * Podman likes, and has written one, two and, to stderr, three; and one of no service. Networks and volumes: `spare`, and `busy`, which a
 * container uses; a volume `shown` with a device. Secrets: `foreign`, with
 * no labels, whose value is `theirs`.
 */
export interface PodmanScene {
  readonly podman: Podman;
  /** Auth files where the adapter runs. */
  readonly authFiles: { readonly right: string; readonly wrong: string };
  /** `podman login 127.0.0.1:5001` on the host, by its user. */
  logIn(): Promise<void>;
  /** What a container would see of a secret. */
  valueOf(secret: string): Promise<string>;
  readonly version: RegExp;
  /** Whether the host reaches the networks of containers: not those of a rootless Podman. */
  readonly reachesNetworks: boolean;
}

export async function podmanContract(t: TestContext, scene: PodmanScene): Promise<void> {
  const { podman, authFiles } = scene;
  const { signal } = new AbortController();
  const idOf = async (service: string) => (await podman.containers(signal)).find((one) => (one.service as string) === service)?.id ?? "";

  await t.test("containers are found by their service, with state, health, image and time of start", async () => {
    const containers = new Map((await podman.containers(signal)).map((one) => [String(one.service), one]));
    const brief = ({ state, health, image, startedAt }: ContainerState) => [state, health, image, startedAt !== undefined];
    const image = "localhost/test/busybox:latest";
    assert.deepEqual(Object.fromEntries([...containers].sort().map(([service, one]) => [service, brief(one)])), {
      "ended.service": ["exited", undefined, image, true],
      "healthy.service": ["running", "healthy", image, true],
      "hosted.service": ["running", undefined, image, true],
      "made.service": ["created", undefined, image, false],
      "plain.service": ["running", undefined, image, true],
      "published.service": ["running", undefined, image, true],
      "unhealthy.service": ["running", "unhealthy", image, true],
    });
    const plain = containers.get("plain.service");
    assert.match(plain?.id ?? "", /^[0-9a-f]{64}$/);
    assert.match(plain?.imageId ?? "", /^[0-9a-f]{64}$/);
    assert.ok((plain?.startedAt?.getTime() ?? 0) > new Date("2025-01-01").getTime());
  });

  await t.test("what running containers use is known as far as the kernel counts it, and nothing of others", async () => {
    const stats = await podman.stats(signal);
    const used = stats.get(await idOf("published.service"));
    assert.ok((used?.cpuSeconds ?? 0) > 0, JSON.stringify(used));
    // Without the memory controller there is no figure, never a 0.
    assert.ok(used?.memory === undefined || used.memory > 1000, JSON.stringify(used));
    assert.ok((used?.memoryLimit ?? 0) > 1_000_000, JSON.stringify(used));
    assert.equal(stats.get(await idOf("ended.service"))?.memory, undefined);
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

  await t.test("an update asks the registry also for what is there, so that one which is away is seen", async () => {
    assert.deepEqual(await podman.update("127.0.0.1:5000/team/one:1", undefined, signal), { ok: true, value: undefined });
    const away = await podman.update("127.0.0.1:5999/kept:1", undefined, signal);
    assert.deepEqual(away, { ok: false, trouble: "pull 127.0.0.1:5999/kept:1: connection refused" });
    assert.equal(await podman.hasImage("127.0.0.1:5999/kept:1", signal), true);
  });

  await t.test("an image is known by its id and its digest, and found by that while it has a name in its repository", async () => {
    const name = { repository: "127.0.0.1:5000/team/one", tag: "pgo-test" };
    const image = await podman.image("127.0.0.1:5000/team/one:1", signal);
    assert.ok(image !== undefined);
    assert.match(image.id, /^[0-9a-f]{64}$/);
    assert.match(image.digest, /^sha256:[0-9a-f]{64}$/);
    const reference = `${name.repository}@${image.digest}`;
    assert.ok(image.repoDigests.includes(reference), JSON.stringify(image));
    // One image may have several manifests: which of their digests is told, when asked by id, is Podman's choice.
    const byId = await podman.image(image.id, signal);
    assert.deepEqual([byId?.id, byId?.repoDigests], [image.id, image.repoDigests]);
    assert.deepEqual(await podman.nameImage(reference, name, signal), { ok: true, value: undefined });
    assert.equal((await podman.image(`${name.repository}:${name.tag}`, signal))?.id, image.id);
    assert.equal((await podman.image(reference, signal))?.id, image.id);
    for (let round = 0; round < 2; round++) assert.deepEqual(await podman.unnameImage(name, signal), { ok: true, value: undefined });
    assert.equal(await podman.image(`${name.repository}:${name.tag}`, signal), undefined);
    const named = await podman.nameImage("127.0.0.1:5000/team/nope:1", name, signal);
    assert.match(named.ok ? "" : named.trouble, /^name image 127\.0\.0\.1:5000\/team\/nope:1 .*: podman answers 404: /);
  });

  await t.test("whether a container was made of an image can be told, whoever made it", async () => {
    const used = (await podman.containers(signal))[0]?.imageId ?? "";
    assert.deepEqual([await podman.isImageUsed(used, signal), await podman.isImageUsed("0".repeat(64), signal)], [true, false]);
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

  await t.test("a signal goes to a container's first process, and one that is not there is told", async () => {
    const plain = (await podman.containers(signal)).find((one) => (one.service as string) === "plain.service");
    assert.deepEqual(await podman.signal(plain?.id ?? "", "CONT", signal), { ok: true, value: undefined });
    assert.deepEqual(await podman.signal("nosuch", "CONT", signal), {
      ok: false,
      trouble: 'send SIGCONT to container nosuch: podman answers 404: no container with name or ID "nosuch" found: no such container',
    });
  });

  await t.test("a program runs inside a container, as a user of its own, and its exit code and both streams are told", async () => {
    const id = await idOf("plain.service");
    const run = (line: readonly string[], user?: string, limit = 1000) => podman.exec(id, { run: line, user, limit }, signal);
    assert.deepEqual(await run(["sh", "-c", "echo out; echo err >&2; exit 3"]), { ok: true, value: { code: 3, output: "out\nerr\n" } });
    assert.deepEqual(await run(["id", "-u"], "65534"), { ok: true, value: { code: 0, output: "65534\n" } });
    const long = await run(["sh", "-c", "i=0; while [ $i -lt 9000 ]; do echo 0123456789; i=$((i+1)); done"], undefined, 100);
    assert.deepEqual(long, { ok: true, value: { code: 0, output: "0123456789\n".repeat(10).slice(0, 100) } });
    const absent = await run(["nosuch"]);
    assert.ok(absent.ok && absent.value.code === 127);
    assert.match(absent.value.output, /executable file `nosuch` not found/);
    const unknown = await run(["id"], "nobody9");
    assert.ok(!unknown.ok);
    assert.match(unknown.trouble, /^podman answers 500: unable to find user nobody9: no matching entries in passwd file$/);
    const none = await podman.exec("nosuch", { run: ["id"], user: undefined, limit: 10 }, signal);
    assert.ok(!none.ok);
    assert.match(none.trouble, /no container with name or ID "nosuch" found/);
  });

  await t.test("a program that does not end is waited for as long as wanted, and not started again beside itself", async () => {
    const id = await idOf("plain.service");
    const sleep = { run: ["sleep", "1000"], user: undefined, limit: 10 };
    const controller = new AbortController();
    const waiting = podman.exec(id, sleep, controller.signal);
    const reason = new Error("too late");
    setTimeout(() => {
      controller.abort(reason);
    }, 1500);
    await assert.rejects(waiting, (error) => error === reason);
    assert.deepEqual(await podman.exec(id, sleep, signal), { ok: false, trouble: "the one of before still runs in the container" });
  });

  await t.test("a container tells what it publishes, with the port that Podman chose, and its own address", async () => {
    const published = (await podman.containers(signal)).find((one) => (one.service as string) === "published.service");
    const [fixed, chosen] = (published?.ports ?? []).toSorted((one, other) => one.container - other.container);
    assert.deepEqual(fixed, { container: 80, host: 18_080, range: 1, address: "127.0.0.1", protocol: "tcp" });
    assert.deepEqual({ ...chosen, host: 0 }, { container: 90, host: 0, range: 1, address: "", protocol: "tcp" });
    assert.ok((chosen?.host ?? 0) > 0);
    const address = await podman.address(published?.id ?? "", signal);
    if (scene.reachesNetworks) assert.match(address ?? "", /^10\.\d+\.\d+\.\d+$/);
    else assert.equal(address, undefined);
    assert.equal(await podman.address(await idOf("hosted.service"), signal), "127.0.0.1");
    assert.equal(await podman.address("nosuch", signal), undefined);
  });

  await t.test("a container's last lines are told, of both streams, and none of one that is gone", async () => {
    assert.deepEqual(await podman.logs(await idOf("published.service"), 2, signal), ["two", "three"]);
    assert.deepEqual(await podman.logs("nosuch", 2, signal), []);
  });

  await t.test("networks are told by name, and volumes with when they were made and whether Podman keeps what is in them", async () => {
    const networks = await podman.networks(signal);
    assert.deepEqual([networks.has("spare"), networks.has("busy"), networks.has("shown")], [true, true, false]);
    const volumes = await podman.volumes(signal);
    assert.deepEqual(
      ["spare", "busy", "shown"].map((name) => volumes.get(name)?.holdsData),
      [true, true, false],
    );
    assert.match(volumes.get("spare")?.createdAt ?? "", /^20\d\d-.*\.\d{6,9}/);
    const size = (await podman.volumeSizes(signal)).get("spare") ?? -1;
    assert.ok(size >= 0 && size <= 4096, String(size));
  });

  await t.test("a volume goes when no container uses it, and may be gone already", async () => {
    for (let round = 0; round < 2; round++) assert.deepEqual(await podman.removeVolume("spare", signal), { ok: true, value: undefined });
    assert.equal((await podman.volumes(signal)).has("spare"), false);
    assert.deepEqual(await podman.removeVolume("busy", signal), { ok: false, trouble: "remove volume busy: a container still uses it" });
  });

  await t.test("an image loses its name, and may be gone already", async () => {
    for (let round = 0; round < 2; round++)
      assert.deepEqual(await podman.removeImage("127.0.0.1:5000/team/two:1", signal), { ok: true, value: undefined });
    assert.equal(await podman.hasImage("127.0.0.1:5000/team/two:1", signal), false);
  });

  await t.test("a network goes when no container uses it, and may be gone already", async () => {
    for (let round = 0; round < 2; round++) assert.deepEqual(await podman.removeNetwork("spare", signal), { ok: true, value: undefined });
    assert.deepEqual(await podman.removeNetwork("busy", signal), {
      ok: false,
      trouble: "remove network busy: containers still use it",
    });
  });

  const brief = async (name: string) => {
    const found = (await podman.secrets(signal)).find((one) => one.name === name);
    return found === undefined ? undefined : found.labels;
  };
  const saved = { ok: true, value: undefined };

  await t.test("a secret is made with its labels, and each planted value is in it exactly", async () => {
    assert.deepEqual(await brief("foreign"), {});
    const labels = { "io.github.podman-gitops.application": "fleet/shop", odd: 'a "b" & c=ü' };
    for (const [index, value] of planted.entries()) {
      const name = `made-${String(index)}`;
      assert.deepEqual(await podman.saveSecret({ name, value: Buffer.from(value), labels, replace: false }, signal), saved);
      assert.equal(await scene.valueOf(name), value);
      assert.deepEqual(await brief(name), labels);
    }
  });

  await t.test("a secret is replaced when that is wanted, with new labels and a new time", async () => {
    const before = (await podman.secrets(signal)).find(({ name }) => name === "made-0");
    const next = { name: "made-0", value: Buffer.from("next"), labels: { a: "b" }, replace: true };
    assert.deepEqual(await podman.saveSecret(next, signal), saved);
    const after = (await podman.secrets(signal)).find(({ name }) => name === "made-0");
    assert.equal(await scene.valueOf("made-0"), "next");
    assert.deepEqual(after?.labels, { a: "b" });
    assert.ok(after.updatedAt.getTime() > (before?.updatedAt.getTime() ?? Infinity));
    const fresh = { ...next, name: "fresh" };
    assert.deepEqual(await podman.saveSecret(fresh, signal), saved);
  });

  await t.test("a secret that somebody else made is left alone", async () => {
    const value = Buffer.from(planted[0] ?? "");
    assert.deepEqual(await podman.saveSecret({ name: "foreign", value, labels: {}, replace: false }, signal), {
      ok: false,
      trouble: "save secret foreign: there is one of that name that pgo did not make: choose another name, or remove it (podman secret rm)",
    });
    assert.equal(await scene.valueOf("foreign"), "theirs");
  });

  await t.test("what Podman can't take as a secret is told, and the value is not", async () => {
    const save = async (name: string, value: Uint8Array) => {
      const done = await podman.saveSecret({ name, value, labels: {}, replace: true }, signal);
      assert.ok(!done.ok);
      assertSilent(done.trouble);
      return done.trouble;
    };
    assert.match(await save("empty", Buffer.alloc(0)), /^save secret empty: the value is empty, .*: give it one$/);
    assert.match(
      await save("big", Buffer.alloc(512_000)),
      /^save secret big: the value has 512000 bytes, and Podman takes 511999 at most$/,
    );
    assert.match(
      await save("a/b", Buffer.from(planted[0] ?? "")),
      /^save secret a\/b: podman answers 500: secret name "a\/b" can not include/,
    );
    const largest = Buffer.alloc(511_999, "x");
    assert.deepEqual(await podman.saveSecret({ name: "largest", value: largest, labels: {}, replace: false }, signal), saved);
  });

  await t.test("a secret goes by its whole name, and may be gone already", async () => {
    for (let round = 0; round < 2; round++) assert.deepEqual(await podman.removeSecret("made-1", signal), saved);
    assert.equal(await brief("made-1"), undefined);
    const before = (await podman.secrets(signal)).length;
    // Podman would take these for the beginning of an id.
    for (const name of "0123456789abcdef".split("")) assert.deepEqual(await podman.removeSecret(name, signal), saved);
    assert.equal((await podman.secrets(signal)).length, before);
  });

  await t.test("Podman tells where it keeps images, and how much room is left there", async () => {
    const { directory, free } = await podman.storage(signal);
    assert.match(directory, /^\/.*containers\/storage$/);
    assert.ok(free > 1e6 && free < 1e18, String(free));
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
      () => podman.secrets(aborted),
      () => podman.saveSecret({ name: "a", value: Buffer.from("x"), labels: {}, replace: false }, aborted),
      () => podman.removeSecret("a", aborted),
    ])
      await assert.rejects(call, (error) => error === reason);
  });
}

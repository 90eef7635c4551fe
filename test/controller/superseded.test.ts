/** Images that earlier versions needed: with `[images] prune` they go when no version that can be gone back to needs them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { isSettled, minute, Pgo } from "./pgo.ts";

const registry = "registry.example.com";
const image = (version: number) => `${registry}/web:${version}`;
const web = (version: number, ...more: readonly string[]) => ({
  "shop/web.container": ["[Container]", `Image=${image(version)}`, ...more, ""].join("\n"),
});
const rest = { "rest/rest.container": "[Container]\nImage=localhost/good:1\n" };

function opened({ prune = true, keep = 2, track = false }: { prune?: boolean; keep?: number; track?: boolean } = {}): Pgo {
  const config = { images: { prune }, state: { keep_good: keep }, quadlet: { track_digests: track, drift_interval: "5m" } };
  const pgo = new Pgo({ config });
  for (let version = 1; version <= 9; version++) pgo.world.publish(image(version), `id${version}`, "good");
  return pgo;
}

const there = (pgo: Pgo) => [...pgo.world.machine.images.keys()].filter((name) => name.startsWith(registry)).sort();
const removed = (pgo: Pgo) => pgo.told.flatMap((event) => (event.type === "image" ? [event.image] : []));

test("images go with the versions that can't be gone back to any more, and are told", async () => {
  await using pgo = opened();
  for (const version of [1, 2, 3, 4]) await pgo.push({ ...web(version), ...rest });
  assert.deepEqual(there(pgo), [image(3), image(4)]);
  assert.deepEqual(removed(pgo), [image(1), image(2)]);
  assert.equal(pgo.world.machine.images.has("localhost/good:1"), true);
  isSettled(pgo);
  await pgo.pass(60 * minute);
  assert.deepEqual(there(pgo), [image(3), image(4)]);
});

test("without the setting all stay", async () => {
  await using pgo = opened({ prune: false });
  for (const version of [1, 2, 3, 4]) await pgo.push(web(version));
  assert.deepEqual(there(pgo), [1, 2, 3, 4].map(image));
});

test("an image that was on the host before pgo needed it stays", async () => {
  await using pgo = opened({ keep: 1 });
  await pgo.world.ports.podman.pull(image(1), undefined, new AbortController().signal);
  for (const version of [1, 2, 3]) await pgo.push(web(version));
  assert.deepEqual(there(pgo), [image(1), image(3)]);
});

test("an image stays while another application's version names it, and while a container of a person's uses it", async () => {
  await using pgo = opened({ keep: 1 });
  const other = { "blog/blog.container": `[Container]\nImage=${image(1)}\n` };
  await pgo.push({ ...web(1), ...other });
  await pgo.push({ ...web(2), ...other });
  pgo.world.edit("/etc/containers/systemd/mine.container", web(2)["shop/web.container"]);
  pgo.world.machine.reload();
  pgo.world.machine.start("mine.service" as Parameters<typeof pgo.world.machine.start>[0]);
  await pgo.push({ ...web(3), ...other });
  assert.deepEqual(there(pgo), [image(1), image(2), image(3)]);
});

test("what a version that failed fell back to stays, and the image that failed goes when something else is wanted", async () => {
  await using pgo = opened({ keep: 1 });
  pgo.world.publish(image(2), "id2", "crash");
  await pgo.push(web(1));
  await pgo.push(web(2));
  assert.equal(pgo.outcome("shop"), "rolled-back");
  assert.deepEqual(there(pgo), [image(1), image(2)]);
  await pgo.push(web(3));
  assert.deepEqual(there(pgo), [image(3)]);
  isSettled(pgo);
});

test("an image whose tag has moved on goes too, when no version can be gone back to that ran it", async () => {
  await using pgo = opened({ keep: 1, track: true });
  await pgo.push(web(1));
  for (const id of ["two", "three"]) {
    pgo.world.publish(image(1), id, "good");
    await pgo.pass(120 * minute);
  }
  assert.equal(pgo.world.machine.containers()[0]?.imageId, "three");
  assert.deepEqual([...pgo.world.machine.contents.keys()], ["three"]);
});

test("an image whose tag has moved on stays while a version can be gone back to that ran it", async () => {
  await using pgo = opened({ keep: 2, track: true });
  await pgo.push(web(1));
  pgo.world.publish(image(1), "two", "good");
  await pgo.pass(120 * minute);
  assert.deepEqual([...pgo.world.machine.contents.keys()], ["id1", "two"]);
});

test("ctl rollback finds the images of all versions that are kept", async () => {
  await using pgo = opened({ keep: 3 });
  for (const version of [1, 2, 3, 4]) await pgo.push(web(version));
  pgo.world.registryUp = false;
  const wanted = pgo.history("shop").find(({ id }) => id === 2);
  assert.ok(wanted !== undefined);
  await pgo.until(pgo.commands.rollback("shop", wanted.id, new AbortController().signal));
  assert.equal(pgo.outcome("shop"), "deployed");
  assert.equal(pgo.world.machine.containers()[0]?.imageId, "id2");
});

/** Images whose tag moves: with track_digests they are rolled out without a commit, and going back always brings the image of then. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { digestOfId } from "../fakes/machine.ts";
import { id, isSettled, minute, Pgo, service } from "./pgo.ts";

const { signal } = new AbortController();
const name = "registry.example.com/app:latest";
const hour = 60 * minute;
const quadlet = (...more: readonly string[]) => ["[Container]", `Image=${name}`, ...more, ""].join("\n");
const files = (...more: readonly string[]) => ({ "shop/web.container": quadlet(...more) });
const reference = (image: string) => `registry.example.com/app@${digestOfId(image)}`;

async function shop(options: { readonly track?: boolean; readonly more?: readonly string[] } = {}): Promise<Pgo> {
  const { track = true, more = [] } = options;
  const pgo = new Pgo({ config: { quadlet: { track_digests: track, drift_interval: "5m" } } });
  pgo.world.publish(name, "one", "good");
  await pgo.push(files(...more));
  assert.equal(pgo.outcome("shop"), "deployed");
  return pgo;
}

const runs = (pgo: Pgo) => pgo.world.machine.containers().find((one) => one.service === service("web"))?.imageId;
const starts = (pgo: Pgo) => pgo.world.machine.started.length;
const pins = async (pgo: Pgo) => (await pgo.commands.status(signal)).applications.flatMap(({ images }) => images);
const warnings = (pgo: Pgo) => pgo.told.flatMap((one) => (one.type === "warning" ? [one.message] : []));

test("a tag that moved is seen without a commit, pulled, and rolled out with that as the reason", async () => {
  await using pgo = await shop();
  pgo.world.publish(name, "two", "good");
  await pgo.pass(2 * hour);
  assert.equal(runs(pgo), "two");
  const [last] = pgo.history("shop");
  assert.ok(last !== undefined);
  assert.equal(last.cause, "image");
  assert.equal(last.outcome, "deployed");
  assert.ok(last.reasons.includes(`restart web.service: Image= ${name} moved to ${digestOfId("two").slice(0, 19)}…`), String(last.reasons));
  assert.deepEqual(await pins(pgo), [{ file: "web.container", image: name, held: reference("two") }]);
  isSettled(pgo);
});

test("a registry with nothing new is asked once an hour, and nothing restarts", async () => {
  await using pgo = await shop();
  await pgo.pass(10 * hour);
  assert.ok(pgo.world.looks.length >= 8 && pgo.world.looks.length <= 12, `${String(pgo.world.looks.length)} looks`);
  assert.equal(starts(pgo), 1);
  assert.equal(pgo.history("shop").length, 1);
  assert.deepEqual(await pins(pgo), []);
});

test("without track_digests no registry is asked, though a tag has moved", async () => {
  await using pgo = await shop({ track: false });
  pgo.world.publish(name, "two", "good");
  await pgo.pass(5 * hour);
  assert.deepEqual(pgo.world.looks, []);
  assert.equal(runs(pgo), "one");
});

test("ctl sync asks the registry at once", async () => {
  await using pgo = await shop();
  pgo.world.publish(name, "two", "good");
  await pgo.until(pgo.commands.sync(undefined, true, signal));
  assert.equal(runs(pgo), "two");
});

test("a moved image that does not work is undone, held at the old digest, and not tried again until the tag moves on", async () => {
  await using pgo = await shop();
  pgo.world.publish(name, "bad", "crash");
  await pgo.pass(2 * hour);
  assert.equal(pgo.outcome("shop"), "rolled-back");
  assert.equal(runs(pgo), "one");
  assert.deepEqual(await pins(pgo), [{ file: "web.container", image: name, held: reference("one") }]);
  isSettled(pgo);
  const tries = pgo.history("shop").length;
  await pgo.pass(10 * hour);
  assert.equal(pgo.history("shop").length, tries, "it is not tried again each hour");
  pgo.world.publish(name, "three", "good");
  await pgo.pass(2 * hour);
  assert.equal(runs(pgo), "three");
  assert.equal(pgo.outcome("shop"), "deployed");
  isSettled(pgo);
});

test("a tag that is put back to what runs already restarts nothing", async () => {
  await using pgo = await shop();
  pgo.world.publish(name, "bad", "crash");
  await pgo.pass(2 * hour);
  const before = starts(pgo);
  pgo.world.publish(name, "one", "good");
  await pgo.pass(5 * hour);
  assert.equal(starts(pgo), before);
  assert.equal(runs(pgo), "one");
});

test("a registry that can't be reached is told once, and changes nothing", async () => {
  await using pgo = await shop();
  pgo.world.registryUp = false;
  await pgo.pass(5 * hour);
  assert.equal(warnings(pgo).filter((one) => one.includes("can't be asked")).length, 1);
  assert.equal(pgo.outcome("shop"), "deployed");
  assert.equal(starts(pgo), 1);
  pgo.world.registryUp = true;
  await pgo.pass(2 * hour);
  assert.equal(warnings(pgo).filter((one) => one.includes("again")).length, 1);
});

test("what moved while Git could not be read is rolled out when it can", async () => {
  await using pgo = await shop();
  pgo.world.publish(name, "two", "good");
  pgo.world.gitTrouble = { reason: "connection refused", transient: true };
  await pgo.pass(3 * hour);
  assert.equal(runs(pgo), "one");
  pgo.world.gitTrouble = undefined;
  await pgo.pass(2 * hour);
  assert.equal(runs(pgo), "two");
});

test("what moved just before pgo was killed is rolled out by the next one", async () => {
  await using pgo = await shop();
  pgo.world.publish(name, "two", "good");
  pgo.world.gitTrouble = { reason: "connection refused", transient: true };
  await pgo.pass(3 * hour);
  pgo.kill();
  pgo.world.gitTrouble = undefined;
  await pgo.pass(5 * minute);
  assert.equal(runs(pgo), "two");
});

test("the next commit keeps the digest that the tag has moved to, and restarts nothing for it", async () => {
  await using pgo = await shop();
  pgo.world.publish(name, "two", "good");
  await pgo.pass(2 * hour);
  const before = starts(pgo);
  await pgo.push({ ...files(), "shop/README.md": "more", "shop/notes.txt": "more" });
  assert.equal(starts(pgo), before);
  assert.equal(runs(pgo), "two");
});

for (const [what, more] of [
  ["podman auto-update looks after", ["AutoUpdate=registry"]],
  ["a digest names", []],
] as const)
  test(`an image that ${what} is not asked for`, async () => {
    const digest = more.length === 0;
    await using pgo = new Pgo({ config: { quadlet: { track_digests: true } } });
    pgo.world.publish(name, "one", "good");
    await pgo.push({ "shop/web.container": digest ? quadlet().replace(name, reference("one")) : quadlet(...more) });
    assert.equal(pgo.outcome("shop"), "deployed");
    await pgo.pass(5 * hour);
    assert.deepEqual(pgo.world.looks, []);
  });

test("an application that is suspended is left alone", async () => {
  await using pgo = await shop();
  pgo.commands.suspend("shop", undefined);
  pgo.world.publish(name, "two", "good");
  await pgo.pass(5 * hour);
  assert.equal(runs(pgo), "one");
  assert.deepEqual(pgo.world.looks, []);
});

for (const pull of ["newer", "always"])
  test(`with Pull=${pull} a failed rollout goes back to the image that ran, not to what its tag has become`, async () => {
    await using pgo = await shop({ track: false, more: [`Pull=${pull}`] });
    pgo.world.publish(name, "bad", "crash");
    await pgo.push(files(`Pull=${pull}`, "Environment=A=1"));
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.equal(runs(pgo), "one");
    assert.deepEqual(await pins(pgo), [{ file: "web.container", image: name, held: reference("one") }]);
    assert.match(
      pgo.world.file(id("shop"), "web.container.d/zz-pgo-image.conf") ?? "",
      new RegExp(`Image=${reference("one")}\nPull=missing\n$`),
    );
    isSettled(pgo);
    // Until the next deployment.
    pgo.world.publish(name, "three", "good");
    await pgo.push(files(`Pull=${pull}`, "Environment=A=2"));
    assert.equal(runs(pgo), "three");
    assert.deepEqual(await pins(pgo), []);
    assert.equal(pgo.world.file(id("shop"), "web.container.d/zz-pgo-image.conf"), undefined);
    assert.deepEqual(
      [...pgo.world.machine.images.keys()].filter((one) => one.includes(":pgo-")),
      [],
      "no name of pgo's is left",
    );
    isSettled(pgo);
  });

test("a rollback whose image has not moved needs no pin", async () => {
  await using pgo = await shop({ track: false });
  await pgo.push({ "shop/web.container": quadlet().replace(name, "localhost/crash:1") });
  assert.equal(pgo.outcome("shop"), "rolled-back");
  assert.equal(runs(pgo), "one");
  assert.deepEqual(await pins(pgo), []);
});

test("going back without the registry takes the image that is still on the host", async () => {
  await using pgo = await shop({ track: false, more: ["Pull=newer"] });
  pgo.world.publish(name, "bad", "crash");
  pgo.world.onChange = () => {
    if (runs(pgo) === "bad") pgo.world.registryUp = false;
  };
  await pgo.push(files("Pull=newer", "Environment=A=1"));
  assert.equal(pgo.outcome("shop"), "rolled-back");
  assert.equal(runs(pgo), "one");
});

test("an old image that somebody pruned is pulled by its digest; where that is gone too, what there is is tried, and it is told", async () => {
  for (const isGone of [false, true]) {
    await using pgo = await shop({ track: false, more: ["Pull=newer"] });
    pgo.world.publish(name, "bad", "crash");
    pgo.world.onChange = () => {
      if (runs(pgo) !== "bad") return;
      pgo.world.prune();
      pgo.world.registryUp = !isGone;
    };
    await pgo.push(files("Pull=newer", "Environment=A=1"));
    assert.equal(runs(pgo), isGone ? undefined : "one");
    assert.equal(
      warnings(pgo).some((one) => one.includes(`can't go back to ${reference("one")}`)),
      isGone,
    );
  }
});

test("with Pull=always going back does not take what the tag has become meanwhile, though the failed version had another image", async () => {
  await using pgo = await shop({ track: false, more: ["Pull=always"] });
  pgo.world.publish(name, "two", "good");
  await pgo.push({ "shop/web.container": quadlet().replace(name, "localhost/crash:1") });
  assert.equal(pgo.outcome("shop"), "rolled-back");
  assert.equal(runs(pgo), "one");
  isSettled(pgo);
});

test("an image that is held needs no registry to be gone back to, though its tag has moved on", async () => {
  await using pgo = await shop();
  pgo.world.publish(name, "two", "good");
  await pgo.pass(2 * hour);
  pgo.world.publish(name, "bad", "crash");
  pgo.world.onChange = () => {
    if (runs(pgo) === "bad") pgo.world.registryUp = false;
  };
  await pgo.pass(2 * hour);
  assert.equal(pgo.outcome("shop"), "rolled-back");
  assert.equal(runs(pgo), "two");
});

test("a service that is down when the next commit comes goes back to the image that it was deployed with", async () => {
  await using pgo = await shop({ track: false, more: ["Pull=newer"] });
  pgo.world.publish(name, "bad", "crash");
  pgo.world.machine.restart(service("web"));
  await pgo.push(files("Pull=newer", "Environment=A=1"));
  assert.equal(pgo.outcome("shop"), "rolled-back");
  assert.equal(runs(pgo), "one");
  isSettled(pgo);
});

test("ctl rollback brings the image that ran then, and stays there though the tag moves", async () => {
  await using pgo = await shop();
  pgo.world.publish(name, "two", "good");
  await pgo.pass(2 * hour);
  const done = await pgo.until(pgo.commands.rollback("shop", undefined, signal));
  assert.ok(done.done, done.message);
  assert.equal(runs(pgo), "one");
  pgo.world.publish(name, "three", "good");
  await pgo.pass(5 * hour);
  assert.equal(runs(pgo), "one");
  isSettled(pgo);
});

test("ctl rollback after a rollout that was undone goes further back than what runs", async () => {
  await using pgo = await shop({ track: false, more: ["Pull=newer", "Environment=A=0"] });
  await pgo.push(files("Pull=newer", "Environment=A=1"));
  pgo.world.publish(name, "bad", "crash");
  await pgo.push(files("Pull=newer", "Environment=A=2"));
  assert.equal(pgo.outcome("shop"), "rolled-back");
  const done = await pgo.until(pgo.commands.rollback("shop", undefined, signal));
  assert.ok(done.done, done.message);
  assert.match(pgo.world.file(id("shop"), "web.container") ?? "", /A=0/);
  assert.equal(runs(pgo), "one");
});

test("a failed commit is not tried again for the tag that it was tried with", async () => {
  await using pgo = await shop({ more: ["Pull=newer"] });
  pgo.world.publish(name, "bad", "crash");
  await pgo.push(files("Pull=newer", "Environment=A=1"));
  assert.equal(pgo.outcome("shop"), "rolled-back");
  const tries = pgo.history("shop").length;
  await pgo.pass(5 * hour);
  assert.equal(pgo.history("shop").length, tries);
  pgo.world.publish(name, "three", "good");
  await pgo.pass(2 * hour);
  assert.equal(runs(pgo), "three");
  assert.match(pgo.world.file(id("shop"), "web.container") ?? "", /A=1/);
});

test("podman auto-update brings another image under a running pgo: no drift, no restart, and the next rollout goes on from there", async () => {
  await using pgo = await shop({ track: false, more: ["AutoUpdate=registry"] });
  pgo.world.publish(name, "two", "good");
  // What it does: pull, and restart the service by systemd.
  pgo.world.machine.pullAnew?.(name);
  pgo.world.machine.restart(service("web"));
  assert.equal(runs(pgo), "two");
  const before = starts(pgo);
  await pgo.pass(hour);
  assert.equal(starts(pgo), before);
  assert.equal(pgo.outcome("shop"), "deployed");
  assert.equal(pgo.record("shop")?.health, "healthy");
  pgo.world.publish(name, "bad", "crash");
  pgo.world.machine.pullAnew?.(name);
  await pgo.push(files("AutoUpdate=registry", "Environment=A=1"));
  assert.equal(pgo.outcome("shop"), "rolled-back");
  assert.equal(runs(pgo), "two", "back to what ran last, not to what was deployed once");
});

test("with track_digests off again the image is Git's matter as before, and old moves are forgotten", async () => {
  await using pgo = await shop();
  pgo.world.publish(name, "two", "good");
  await pgo.pass(2 * hour);
  assert.equal(pgo.store.movedImages(id("shop")).size, 1);
  pgo.reconfigure({ quadlet: { track_digests: false } });
  await pgo.pass(5 * minute);
  assert.equal(pgo.store.movedImages(id("shop")).size, 0);
  assert.deepEqual(await pins(pgo), []);
  assert.equal(runs(pgo), "two");
  isSettled(pgo);
});

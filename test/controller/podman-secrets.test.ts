/** Podman secrets that applications bring: made before what uses them starts, followed when they change, and taken away by their label alone. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import type { Fault } from "../fakes/faults.ts";
import { id, isSettled, minute, Pgo, service } from "./pgo.ts";
import { calm } from "./story.ts";

const web = (image = "good:1", ...lines: readonly string[]) =>
  ["[Container]", `Image=localhost/${image}`, "Secret=db,type=env,target=DB_PASSWORD", ...lines, ""].join("\n");
const toml = '[secrets.podman]\ndb = { env = "DB_PASSWORD" }\n';
const shop = { "shop/web.container": web(), "shop/pgo.toml": toml, "shop/side.container": "[Container]\nImage=localhost/good:1\n" };

const starts = (pgo: Pgo) => pgo.world.changes.filter((change) => /^(?:start|restart|stop) /.test(change));
const valueOf = (pgo: Pgo, name: string) => pgo.world.podmanSecrets.get(name)?.value;

/** pgo with the secret's value, and the application that brings it. */
async function deployed(files: Readonly<Record<string, string>> = shop, value = "one"): Promise<Pgo> {
  const pgo = new Pgo({ config: { quadlet: { drift_interval: "5m" } } });
  pgo.secretValues.set("DB_PASSWORD", value);
  pgo.start();
  await pgo.push(files);
  assert.equal(pgo.outcome("shop"), "deployed", pgo.record("shop")?.message);
  isSettled(pgo);
  return pgo;
}

suite("a Podman secret of an application", () => {
  test("is made before what uses it, with a label that says whose it is and one that tells nothing of the value", async () => {
    await using pgo = await deployed();
    const secret = pgo.world.podmanSecrets.get("db");
    assert.equal(secret?.value, "one");
    assert.deepEqual(Object.keys(secret.labels).sort(), ["pgo.application", "pgo.value"]);
    assert.equal(secret.labels["pgo.application"], "fleet/shop");
    assert.doesNotMatch(JSON.stringify(secret.labels), /one/);
    const changes = pgo.world.changes;
    assert.ok(changes.indexOf("save secret db") < changes.indexOf("start web.service"));
    const [first] = pgo.history("shop");
    assert.ok(
      first?.steps.some(({ kind, target, because }) => `${kind} ${target}: ${because}` === "write Podman secret db: not on the host"),
    );
  });

  test("follows its value on the host without a commit, and restarts its users alone, by name", async () => {
    await using pgo = await deployed();
    pgo.forget();
    pgo.secretValues.set("SHOP_DB_PASSWORD", "two");
    await pgo.pass(2 * minute);
    assert.equal(valueOf(pgo, "db"), "two", "the prefixed name wins");
    assert.deepEqual(starts(pgo), ["restart web.service"]);
    assert.ok(pgo.history("shop")[0]?.steps.some(({ because }) => because === "secret db changed"));
    isSettled(pgo);
    pgo.forget();
    await pgo.pass(20 * minute);
    assert.deepEqual(pgo.world.changes, [], "once");
  });

  test("whose value makes the version fail goes back to the value before", async () => {
    await using pgo = await deployed();
    pgo.secretValues.set("DB_PASSWORD", "two");
    await pgo.push({ ...shop, "shop/web.container": web("crash:1") });
    assert.equal(pgo.outcome("shop"), "rolled-back");
    assert.equal(valueOf(pgo, "db"), "one");
    isSettled(pgo);
  });

  test("that nobody uses is made all the same; what is no longer in pgo.toml goes, and with the application the rest", async () => {
    await using pgo = await deployed({ ...shop, "shop/pgo.toml": `${toml}spare = { env = "DB_PASSWORD" }\n` });
    assert.equal(valueOf(pgo, "spare"), "one");
    pgo.world.podmanSecrets.set("theirs", { value: "x", labels: {}, updatedAt: new Date(0) });
    pgo.forget();
    await pgo.push(shop);
    assert.deepEqual([...pgo.world.podmanSecrets.keys()], ["db", "theirs"]);
    assert.deepEqual(starts(pgo), []);
    const blog = { "blog/blog.container": "[Container]\nImage=localhost/good:1\n" };
    await pgo.push(blog);
    assert.deepEqual([...pgo.world.podmanSecrets.keys()], ["theirs"]);
    isSettled(pgo);
  });

  test("that somebody removed is made again at the next look, and what runs is left alone", async () => {
    await using pgo = await deployed();
    pgo.forget();
    pgo.world.podmanSecrets.delete("db");
    await pgo.pass(6 * minute);
    assert.equal(valueOf(pgo, "db"), "one");
    assert.equal(pgo.outcome("shop"), "repaired");
    assert.match(pgo.record("shop")?.message ?? "", /^Podman secret db \(not on the host\); /);
    assert.deepEqual(starts(pgo), []);
  });

  test("with a value that this pgo can't know is written once more", async () => {
    await using pgo = await deployed();
    const before = pgo.world.podmanSecrets.get("db");
    assert.ok(before !== undefined);
    pgo.world.podmanSecrets.set("db", { ...before, value: "?", labels: { ...before.labels, "pgo.value": "by another key" } });
    await pgo.pass(6 * minute);
    assert.equal(valueOf(pgo, "db"), "one");
  });

  test("that carries the label of its application but belongs to no version of it goes too", async () => {
    await using pgo = await deployed();
    const labels = { "pgo.application": "fleet/shop", "pgo.value": "?" };
    pgo.world.podmanSecrets.set("stray", { value: "x", labels, updatedAt: new Date(0) });
    await pgo.pass(6 * minute);
    assert.deepEqual([...pgo.world.podmanSecrets.keys()], ["db"]);
  });

  test("is asked for once in a look at the host, whoever brings it, and not at all where nobody does", async () => {
    const blog = { "blog/blog.container": "[Container]\nImage=localhost/good:1\n" };
    await using pgo = await deployed({ ...shop, ...blog, "blog/pgo.toml": toml.replace("db =", "blog =") });
    await using plain = await deployed({ "shop/side.container": shop["shop/side.container"], ...blog });
    for (const [one, times] of [
      [pgo, 1],
      [plain, 0],
    ] as const) {
      one.forget();
      await one.pass(5 * minute);
      assert.equal(one.asked.filter((call) => call === "secrets").length, times);
    }
  });

  test("of a file of Git holds its whole content, and the file lies nowhere else", async () => {
    const files = { ...shop, "shop/pgo.toml": '[secrets.podman]\ndb = { file = "conf/db.txt" }\n', "shop/conf/db.txt": "a\n$b\n" };
    await using pgo = await deployed(files);
    assert.equal(valueOf(pgo, "db"), "a\n$b\n");
    assert.equal(pgo.world.file(id("shop"), "conf/db.txt"), undefined);
  });
});

suite("a Podman secret that can't be made", () => {
  test("for want of a value holds the application with the host untouched, and is made when there is one", async () => {
    await using pgo = new Pgo();
    pgo.start();
    await pgo.push(shop);
    assert.equal(pgo.outcome("shop"), "held");
    assert.match(pgo.record("shop")?.message ?? "", /^shop\/pgo\.toml:2: Podman secret db: DB_PASSWORD has no value: /);
    assert.deepEqual(pgo.world.changes, []);
    pgo.secretValues.set("DB_PASSWORD", "");
    await pgo.pass(2 * minute);
    assert.match(pgo.record("shop")?.message ?? "", /^shop\/pgo\.toml:2: Podman secret db: the value of DB_PASSWORD is empty/);
    pgo.secretValues.set("DB_PASSWORD", "one");
    await pgo.pass(2 * minute);
    assert.equal(pgo.outcome("shop"), "deployed");
    isSettled(pgo);
  });

  test('with missing = "empty" holds what uses it, and nothing else', async () => {
    await using pgo = new Pgo({ config: { secrets: { missing: "empty" } } });
    pgo.start();
    await pgo.push(shop);
    assert.equal(pgo.outcome("shop"), "held");
    assert.match(
      pgo.record("shop")?.message ?? "",
      /web\.container needs the Podman secret db, .*: give it the value that pgo\.toml names$/,
    );
    await pgo.push({ "shop/pgo.toml": toml, "shop/side.container": shop["shop/side.container"] });
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.equal(pgo.world.podmanSecrets.size, 0);
  });

  test("for one of its name that a person made is told, and that one is left alone", async () => {
    await using pgo = new Pgo();
    pgo.secretValues.set("DB_PASSWORD", "one");
    pgo.world.podmanSecrets.set("db", { value: "theirs", labels: {}, updatedAt: new Date(0) });
    pgo.start();
    await pgo.push(shop);
    assert.equal(pgo.outcome("shop"), "rejected");
    assert.match(
      pgo.record("shop")?.message ?? "",
      /^Podman secret db: one that pgo did not make for this application is there on the host: remove it \(podman secret rm db\)/,
    );
    assert.equal(valueOf(pgo, "db"), "theirs");
    assert.deepEqual(pgo.world.changes, []);
  });

  test("since a person has put another in its place: it is told, and neither overwritten nor removed", async () => {
    await using pgo = await deployed();
    pgo.world.podmanSecrets.set("db", { value: "theirs", labels: {}, updatedAt: new Date(0) });
    await pgo.pass(6 * minute);
    assert.equal(pgo.outcome("shop"), "failed");
    assert.match(pgo.record("shop")?.message ?? "", /podman secret rm db/);
    await pgo.push({ "blog/blog.container": "[Container]\nImage=localhost/good:1\n" });
    assert.equal(valueOf(pgo, "db"), "theirs");
    assert.deepEqual(pgo.world.violations, []);
  });

  test("since another application brings one of its name is refused with file and line, and moves in one commit", async () => {
    await using pgo = await deployed();
    const blog = { "blog/blog.container": "[Container]\nImage=localhost/good:1\nSecret=db\n", "blog/pgo.toml": `\n${toml}` };
    await pgo.push({ ...shop, ...blog });
    assert.equal(pgo.outcome("blog"), "rejected");
    assert.match(
      pgo.record("blog")?.message ?? "",
      /^blog\/pgo\.toml:3: Podman secret db is one that application fleet\/shop brings already: give it another name$/,
    );
    assert.equal(pgo.outcome("shop"), "deployed");
    await pgo.push({ "shop/side.container": shop["shop/side.container"], ...blog });
    assert.equal(pgo.outcome("blog"), "deployed", pgo.record("blog")?.message);
    assert.equal(pgo.world.podmanSecrets.get("db")?.labels["pgo.application"], "fleet/blog");
    isSettled(pgo);
  });

  test("since an application that is suspended still has it: it waits, and goes on by itself", async () => {
    await using pgo = await deployed();
    pgo.commands.suspend("shop", 10 * minute);
    const blog = { "blog/blog.container": "[Container]\nImage=localhost/good:1\nSecret=db\n", "blog/pgo.toml": toml };
    await pgo.push({ "shop/side.container": shop["shop/side.container"], ...blog });
    assert.equal(pgo.outcome("blog"), "held");
    assert.equal(pgo.record("blog")?.message, "Podman secret db is one that fleet/shop still has");
    await pgo.pass(90 * minute);
    assert.equal(pgo.outcome("blog"), "deployed", pgo.record("blog")?.message);
    isSettled(pgo);
  });

  test("by a source that is contained: only values that are listed for it, and its own secrets need no listing", async () => {
    const source = { fleet: { preset: "contained", local_images: true, secrets: ["SHOP_*"] } };
    await using pgo = new Pgo({ config: { policy: { source } } });
    pgo.secretValues.set("SHOP_DB_PASSWORD", "one").set("ROOT_PASSWORD", "r00t");
    pgo.start();
    await pgo.push({ "shop/web.container": web(), "shop/pgo.toml": toml });
    assert.equal(pgo.outcome("shop"), "deployed", pgo.record("shop")?.message);
    await pgo.push({ "shop/web.container": web("good:1", "Secret=other"), "shop/pgo.toml": toml });
    assert.match(pgo.record("shop")?.message ?? "", /the secret other is not listed/);
    await pgo.push({ "shop/web.container": web(), "shop/pgo.toml": toml.replace("DB_PASSWORD", "ROOT_PASSWORD") });
    assert.equal(pgo.outcome("shop"), "rejected");
    assert.match(pgo.record("shop")?.message ?? "", /^shop\/pgo\.toml:2: Podman secret db: ROOT_PASSWORD has no value/);
    assert.equal(valueOf(pgo, "db"), "one");
  });
});

suite("whatever befalls pgo while a secret is made, changed or taken away", () => {
  for (const kind of ["throws", "loses the answer", "answers with trouble", "killed before", "killed after"] as const)
    test(`${kind}: it ends with the secret of the version that runs, and none that is left over`, async () => {
      for (let after = 0; after < 12; after += 1) {
        await using pgo = await deployed();
        const fault: Fault = { kind, among: "host", after, times: 1 };
        pgo.faults.add(fault);
        pgo.secretValues.set("DB_PASSWORD", "two");
        await pgo.push({ ...shop, "shop/pgo.toml": `${toml}spare = { env = "DB_PASSWORD" }\n` });
        await calm(pgo);
        isSettled(pgo);
        pgo.faults.add({ ...fault, after: Math.floor(after / 2) });
        await pgo.push({ "blog/blog.container": "[Container]\nImage=localhost/good:1\n" });
        await calm(pgo);
        isSettled(pgo);
        assert.deepEqual([...pgo.world.podmanSecrets.keys()], [], `${kind} ${after}`);
      }
    });

  test("Podman that is away for a while fails no version", async () => {
    await using pgo = await deployed();
    const { podman } = pgo.world.ports;
    const saveSecret = podman.saveSecret.bind(podman);
    let tries = 0;
    Object.assign(podman, {
      saveSecret: (...given: Parameters<typeof saveSecret>) => {
        if (tries++ > 0) return saveSecret(...given);
        pgo.world.away = "connection refused";
        return Promise.resolve({ ok: false, trouble: "save secret db: connection refused" });
      },
    });
    pgo.secretValues.set("DB_PASSWORD", "two");
    await pgo.pass(3 * minute);
    pgo.world.away = undefined;
    await pgo.pass(10 * minute);
    assert.equal(valueOf(pgo, "db"), "two");
    assert.equal(pgo.outcome("shop"), "deployed");
    assert.equal(pgo.world.machine.state(service("web")).active, "active");
    isSettled(pgo);
  });
});

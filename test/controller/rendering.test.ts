/** What comes of the host's name and secrets, pass by pass. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { id, isSettled, minute, Pgo } from "./pgo.ts";

const web = "[Container]\nImage=localhost/good:1\nEnvironmentFile=web.env\n";
const starts = (pgo: Pgo) => pgo.world.changes.filter((change) => /^(?:start|restart|stop) /.test(change));

suite("a secret", () => {
  test("that is nowhere holds the application, with file, line and name, and is found at the next poll once it is there", async () => {
    await using pgo = new Pgo();
    pgo.start();
    await pgo.push({
      "shop/web.container": web,
      "shop/web.env": "A=1\nPASSWORD=${DB_PASSWORD}\n",
      "blog/blog.container": "[Container]\nImage=localhost/good:1\n",
    });
    assert.equal(pgo.record("shop")?.outcome, "held");
    assert.match(pgo.record("shop")?.message ?? "", /^shop\/web\.env:2: .*DB_PASSWORD/);
    assert.equal(pgo.record("blog")?.outcome, "deployed");
    pgo.secretValues.set("DB_PASSWORD", "s3cret");
    await pgo.pass(2 * minute);
    assert.equal(pgo.record("shop")?.outcome, "deployed");
    assert.equal(pgo.world.file(id("shop"), "web.container")?.includes("s3cret"), false);
    isSettled(pgo);
  });

  test("that changes restarts what uses it, without a commit, and nothing else", async () => {
    await using pgo = new Pgo();
    pgo.start();
    pgo.secretValues.set("DB_PASSWORD", "one");
    await pgo.push({
      "shop/web.container": web,
      "shop/web.env": "PASSWORD=${DB_PASSWORD}\n",
      "shop/side.container": "[Container]\nImage=localhost/good:1\n",
    });
    isSettled(pgo);
    pgo.forget();
    pgo.secretValues.set("DB_PASSWORD", "two");
    await pgo.pass(2 * minute);
    assert.deepEqual(starts(pgo), ["restart web.service"]);
    isSettled(pgo);
    pgo.forget();
    await pgo.pass(10 * minute);
    assert.deepEqual(starts(pgo), [], "it is noticed once");
  });

  test("of the version that runs is still there when what came after it is undone", async () => {
    await using pgo = new Pgo();
    pgo.start();
    pgo.secretValues.set("DB_PASSWORD", "old");
    await pgo.push({ "shop/web.container": web, "shop/web.env": "PASSWORD=${DB_PASSWORD}\n" });
    pgo.secretValues.set("DB_PASSWORD", "new");
    await pgo.push({ "shop/web.container": web.replace("good:1", "crash:1"), "shop/web.env": "PASSWORD=${DB_PASSWORD}\n" });
    assert.equal(pgo.record("shop")?.outcome, "rolled-back");
    const placed = pgo.world.machine.files.get("/var/lib/pgo/env/fleet/shop/web.service/web.env");
    assert.equal(placed?.content, "PASSWORD=old\n");
    assert.equal(placed.mode, 0o600);
  });
});

test("a directory with the host's name overlays the common one, file by file", async () => {
  const source = [
    {
      name: "fleet",
      url: "https://git.example.com/fleet.git",
      interval: "60s",
      paths: ["common", "hosts/${PGO_HOSTNAME}"],
      optional_paths: true,
    },
  ];
  await using pgo = new Pgo({ config: { source } });
  pgo.start();
  await pgo.push({
    "common/shop/web.container": "[Container]\nImage=localhost/good:1\n",
    "common/shop/side.container": "[Container]\nImage=localhost/good:1\n",
    "hosts/pi4/shop/web.container": "[Container]\nImage=localhost/good:2\n",
    "hosts/other/shop/web.container": "[Container]\nImage=localhost/good:3\n",
  });
  assert.equal(pgo.record("shop")?.outcome, "deployed");
  assert.match(pgo.world.file(id("shop"), "web.container") ?? "", /good:2/);
  assert.match(pgo.world.file(id("shop"), "side.container") ?? "", /good:1/);
  assert.deepEqual(
    pgo.store.applications().map((one) => one.id),
    [id("shop")],
  );
});

test("a path with a name that nobody knows is the source's trouble, told once, and nothing is touched", async () => {
  const source = [{ name: "fleet", url: "https://git.example.com/fleet.git", interval: "60s", paths: ["hosts/${PGO_HOSTNAM}"] }];
  await using pgo = new Pgo({ config: { source } });
  pgo.start();
  await pgo.push({ "hosts/pi4/web.container": "[Container]\nImage=localhost/good:1\n" });
  await pgo.pass(10 * minute);
  const told = pgo.told.filter((event) => event.type === "source");
  assert.equal(told.length, 1);
  assert.match(JSON.stringify(told[0]), /hosts\/\$\{PGO_HOSTNAM\}.*did you mean PGO_HOSTNAME/);
  assert.deepEqual(pgo.world.changes, []);
});

suite("a source that is contained by policy", () => {
  const contained = { policy: { source: { fleet: { preset: "contained", mounts: ["/srv/shop"], local_images: true } } } };

  test("deploys what asks nothing of the host, and is refused with file, line and rule where it does", async () => {
    await using pgo = new Pgo({ config: contained });
    pgo.start();
    const good = "[Container]\nImage=localhost/good:1\nVolume=/srv/shop:/data\n";
    await pgo.push({ "shop/web.container": good, "blog/blog.container": "[Container]\nImage=localhost/good:1\n" });
    assert.equal(pgo.record("shop")?.outcome, "deployed", pgo.record("shop")?.message);
    pgo.forget();
    await pgo.push({
      "shop/web.container": good.replace("/srv/shop:", "/:"),
      "blog/blog.container": "[Container]\nImage=localhost/good:2\n",
    });
    assert.equal(pgo.record("shop")?.outcome, "rejected");
    assert.match(
      pgo.record("shop")?.message ?? "",
      /^shop\/web\.container:3: .*not allowed by policy \(rule mounts of \[policy\.source\.fleet\]\)/,
    );
    assert.deepEqual(starts(pgo), ["restart blog.service"]);
    isSettled(pgo);
  });

  test("sees no secret of the host that is not listed for it", async () => {
    await using pgo = new Pgo({ config: contained });
    pgo.start();
    pgo.secretValues.set("ROOT_PASSWORD", "s3cret");
    await pgo.push({ "shop/web.container": web, "shop/web.env": "STOLEN=${ROOT_PASSWORD}\n" });
    assert.equal(pgo.record("shop")?.outcome, "held");
    assert.equal(
      [...pgo.world.machine.files.values()].some(({ content }) => content.includes("s3cret")),
      false,
    );
  });
});

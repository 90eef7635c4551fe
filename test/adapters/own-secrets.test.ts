/** The secrets that ctl keeps: written for their owner alone, read back exactly, told by name only. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { parse } from "dotenv";

import { openOwnSecrets } from "../../src/adapters/sealed/own-secrets.ts";
import { success } from "../../src/core/result.ts";
import { assertSilent, planted } from "../planted.ts";
import { directory } from "./git-repository.ts";

test("each planted secret is read back by dotenv as it was given, in a file for pgo's user alone", async (t) => {
  const own = join(await directory(t), "state/secrets");
  const store = openOwnSecrets(own, []);
  for (const [index, value] of planted.entries())
    assert.deepEqual(await store.set({ name: `V${String(index)}`, value, file: "ctl.env" }), success(undefined));
  assert.deepEqual(Object.values(parse(await readFile(join(own, "ctl.env"), "utf8"))), planted);
  assert.deepEqual([(await stat(own)).mode & 0o777, (await stat(join(own, "ctl.env"))).mode & 0o777], [0o700, 0o600]);
  assert.deepEqual(await readdir(own), ["ctl.env"], "nothing else is left");
  assertSilent(await store.list());
});

test("setting again replaces, and the other values of a file stay", async (t) => {
  const own = await directory(t);
  const store = openOwnSecrets(own, []);
  await writeFile(join(own, "shop.env"), "# by hand\nA=1\nB='x y'\nA=2\n");
  await store.set({ name: "A", value: "3", file: "shop.env" });
  assert.deepEqual(parse(await readFile(join(own, "shop.env"), "utf8")), { B: "x y", A: "3" });
});

test("names are listed with the file that each stands in, in the order that counts, and removed only where ctl writes", async (t) => {
  const root = await directory(t);
  const [other, own] = [join(root, "etc"), join(root, "own")];
  await mkdir(other);
  await writeFile(join(other, "10.env"), "A=1\nB=1\n");
  const store = openOwnSecrets(own, [other]);
  await store.set({ name: "A", value: "2", file: "ctl.env" });
  await store.set({ name: "A", value: "3", file: "more.env" });
  const listed = async () =>
    (await store.list()).found.map(({ name, file, own: mine }) => `${name} ${file.slice(root.length)} ${String(mine)}`);
  assert.deepEqual(await listed(), ["A /etc/10.env false", "B /etc/10.env false", "A /own/ctl.env true", "A /own/more.env true"]);
  assert.deepEqual(await store.remove("A"), success([join(own, "ctl.env"), join(own, "more.env")]));
  assert.deepEqual(await listed(), ["A /etc/10.env false", "B /etc/10.env false"]);
  assert.deepEqual(await readdir(own), [], "files without values go");
  assert.deepEqual(await store.remove("B"), success([]));
});

test("what dotenv can't carry, and a file that is not all assignments, are refused and left as they are", async (t) => {
  const own = await directory(t);
  const store = openOwnSecrets(own, []);
  const refused = await store.set({ name: "A", value: "pl4nted '\"`\n#", file: "ctl.env" });
  assert.ok(!refused.ok);
  assert.match(refused.trouble, /^the value of A can't be written in dotenv's syntax/);
  await writeFile(join(own, "ctl.env"), "A=1\npl4nted\n");
  const broken = await store.set({ name: "B", value: "pl4nted", file: "ctl.env" });
  assert.ok(!broken.ok);
  assert.match(broken.trouble, /ctl\.env:2: is no NAME=value, .* then try again$/);
  assert.equal(await readFile(join(own, "ctl.env"), "utf8"), "A=1\npl4nted\n");
  await mkdir(join(own, "x.env"));
  const unreadable = await store.remove("A");
  assert.ok(!unreadable.ok);
  assertSilent([refused, broken, unreadable, await store.list()]);
});

test("several at once all count, in one process and in others", async (t) => {
  const own = await directory(t);
  const names = Array.from({ length: 6 }, (_, index) => `V${String(index)}`);
  const module = new URL("../../src/adapters/sealed/own-secrets.ts", import.meta.url);
  const set = (name: string) => openOwnSecrets(own, []).set({ name, value: name, file: "ctl.env" });
  const elsewhere = (name: string) => {
    const script = `const { openOwnSecrets } = await import("${module.href}"); await openOwnSecrets(${JSON.stringify(own)}, []).set({ name: "${name}", value: "${name}", file: "ctl.env" });`;
    return promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script]);
  };
  await Promise.all(names.map((name, index) => (index % 2 === 0 ? set(name) : elsewhere(name))));
  assert.deepEqual(Object.keys(parse(await readFile(join(own, "ctl.env"), "utf8"))).sort(), names);
  assert.deepEqual(await readdir(own), ["ctl.env"]);
});

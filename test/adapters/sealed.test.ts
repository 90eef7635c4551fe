/** Sealed contents on a real file system: durable, found again, damage noticed, and swept when nobody needs them. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readFile, readdir, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import fc from "fast-check";

import { openKeyedDigest, openSealed } from "../../src/adapters/sealed/sealed.ts";
import { digestOf, type Digest } from "../../src/core/names.ts";
import { planted } from "../planted.ts";
import { directory } from "./git-repository.ts";

const { signal } = new AbortController();
const bytes = (text: string) => Buffer.from(text);
const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

test("what is put comes back by its digest, after a restart too", async (t) => {
  const at = join(await directory(t), "a/sealed");
  const sealed = await openSealed(at);
  const digests = await Promise.all(planted.map((one) => sealed.put(bytes(one), signal)));
  assert.deepEqual(
    digests,
    planted.map((one) => digestOf(one)),
  );
  const again = await openSealed(at);
  for (const [index, digest] of digests.entries()) assert.equal(String(await again.get(digest, signal)), planted[index]);
  assert.equal(await again.get(digestOf("never put"), signal), undefined);
  assert.equal(await again.put(bytes(planted[0] ?? ""), signal), digests[0]);
  assert.equal((await readdir(at)).length, planted.length);
});

test("only pgo's user can read it, whatever the umask and the modes before", async (t) => {
  const at = join(await directory(t), "sealed");
  await mkdir(at);
  await chmod(at, 0o755);
  const before = process.umask(0);
  t.after(() => process.umask(before));
  const sealed = await openSealed(at);
  const digest = await sealed.put(bytes("x"), signal);
  assert.deepEqual([await modeOf(at), await modeOf(join(at, digest))], [0o700, 0o600]);
});

test("content that was damaged is not there, and can be put again", async (t) => {
  const at = await directory(t);
  const sealed = await openSealed(at);
  const digest = await sealed.put(bytes("content"), signal);
  for (const damage of [() => truncate(join(at, digest)), () => writeFile(join(at, digest), "Content")]) {
    await damage();
    assert.equal(await sealed.get(digest, signal), undefined);
    assert.equal(await sealed.put(bytes("content"), signal), digest);
    assert.equal(String(await sealed.get(digest, signal)), "content");
  }
});

test("keep removes what is not named, and nothing that is not its own", async (t) => {
  const at = await directory(t);
  const sealed = await openSealed(at);
  await writeFile(join(at, "note"), "");
  await fc.assert(
    fc.asyncProperty(fc.subarray(planted.slice(0, 6)), fc.subarray(planted.slice(0, 6)), async (put, kept) => {
      await sealed.keep(new Set(), signal);
      for (const one of put) await sealed.put(bytes(one), signal);
      await sealed.keep(new Set(kept.map((one) => digestOf(one))), signal);
      const left = put.filter((one) => kept.includes(one)).map((one): string => digestOf(one));
      assert.deepEqual((await readdir(at)).sort(), [...left, "note"].sort());
    }),
    { numRuns: 20 },
  );
});

test("what a crash left is swept away at the next start", async (t) => {
  const at = await directory(t);
  const left = `.pgo-${"a1".repeat(12)}.tmp`;
  await writeFile(join(at, left), "half a secr");
  await writeFile(join(at, ".pgo-note.tmp"), "");
  await openSealed(at);
  assert.deepEqual(await readdir(at), [".pgo-note.tmp"]);
});

test("killed at any moment, it is whole: each name has its content, and nothing else is left", async (t) => {
  const at = await directory(t);
  const module = fileURLToPath(new URL("../../src/adapters/sealed/sealed.ts", import.meta.url));
  const program = `
    const { openSealed } = await import(${JSON.stringify(module)});
    const sealed = await openSealed(${JSON.stringify(at)});
    for (let n = 0; ; n++) {
      await sealed.put(Buffer.from("content " + n + " ".repeat(n % 5000)), new AbortController().signal);
      if (n === 0) console.log("ready");
    }`;
  for (let round = 0; round < 4; round++) {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    await new Promise((resolve) => setTimeout(resolve, 5 + round * 11));
    child.kill("SIGKILL");
    await once(child, "exit");
    const sealed = await openSealed(at);
    const names = await readdir(at);
    assert.ok(names.length > 0);
    for (const name of names) assert.ok((await sealed.get(name as Digest, signal)) !== undefined, name);
  }
});

test("a directory that can't be written is an error that names it, and an aborted signal is its reason", async (t) => {
  const at = join(await directory(t), "sealed");
  const sealed = await openSealed(at);
  const reason = new Error("pgo stops");
  await assert.rejects(sealed.put(bytes("x"), AbortSignal.abort(reason)), (error) => error === reason);
  await writeFile(join(at, "..", "file"), "");
  await assert.rejects(openSealed(join(at, "..", "file", "sealed")), /ENOTDIR/);
});

test("a keyed digest is the same after a restart, another on another host, and tells nothing", async (t) => {
  const at = await directory(t);
  const file = join(at, "state/digest.key");
  const digest = await openKeyedDigest(file, signal);
  assert.match(digest("value"), /^[0-9a-f]{64}$/);
  assert.equal((await openKeyedDigest(file, signal))("value"), digest("value"));
  assert.notEqual((await openKeyedDigest(join(at, "other"), signal))("value"), digest("value"));
  assert.notEqual(digest("value"), digest("valuf"));
  assert.equal(await modeOf(file), 0o600);
  await truncate(file, 3);
  await openKeyedDigest(file, signal);
  assert.equal((await readFile(file)).length, 32, "a key that was cut off is made anew");
});

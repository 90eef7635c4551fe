/** Files on a real file system, in a directory of its own for each test. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, chown, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { openFiles } from "../../../src/adapters/host/files.ts";
import type { BundleFile } from "../../../src/core/bundle.ts";
import { fileDigest } from "../../../src/core/files.ts";
import { applicationId, applicationName, relativePath, sourceName } from "../../../src/core/names.ts";
import { marked } from "../../../src/core/placing.ts";
import type { Clock } from "../../../src/ports.ts";

const shop = applicationId(sourceName("fleet"), applicationName("shop"));
const never = new AbortController().signal;

/** Far ahead, so that what a test wrote a moment ago counts as settled. */
const clock: Clock = {
  now: () => new Date(Date.now() + 60_000),
  monotonic: () => performance.now(),
  sleep: () => Promise.reject(new Error("files do not sleep")),
  chance: () => 0,
};

async function place(t: TestContext) {
  const base = await mkdtemp(join(tmpdir(), "pgo-files-"));
  t.after(() => rm(base, { recursive: true }));
  const root = join(base, "etc", "systemd", "pgo");
  return {
    base,
    root,
    directory: join(root, shop),
    files: openFiles({ quadletDirectory: root, unitDirectory: join(base, "units"), stateDirectory: join(base, "state"), clock }),
  };
}

function file(path: string, text: string, mode = 0o644): BundleFile {
  const content = Buffer.from(text);
  return { path: relativePath(path), mode, content, digest: fileDigest(mode, content) };
}

const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o7777).toString(8);

test("what was written is placed with the bundle's own digest, and has exactly the mode asked for under any umask", async (t) => {
  const { directory, files } = await place(t);
  const umask = process.umask(0o077);
  t.after(() => process.umask(umask));
  const written = [file("web.container", "[Container]\n"), file("bin/start", "#!/bin/sh\n", 0o755), file("env/db.env", "A=1\n", 0o600)];
  for (const one of written) await files.write(shop, one, never);
  const placed = await files.placed(shop, new Set(), never);
  assert.deepEqual(Object.fromEntries([...placed].map(([path, { digest }]) => [path, digest])), {
    "web.container": written[0]?.digest,
    "bin/start": written[1]?.digest,
    "env/db.env": written[2]?.digest,
  });
  assert.deepEqual([await modeOf(join(directory, "web.container")), await modeOf(join(directory, "bin/start"))], ["644", "755"]);
  assert.deepEqual([await modeOf(directory), await modeOf(join(directory, "bin"))], ["755", "755"]);
});

test("an application without a directory has no files", async (t) => {
  const { files } = await place(t);
  assert.equal((await files.placed(shop, new Set(), never)).size, 0);
});

test("a directory is closed to others while it directly holds a 0600 file", async (t) => {
  const { directory, files } = await place(t);
  await files.write(shop, file("conf/site.conf", "x"), never);
  await files.write(shop, file("conf/db.env", "A=1", 0o600), never);
  assert.deepEqual([await modeOf(directory), await modeOf(join(directory, "conf"))], ["755", "700"]);
  await files.write(shop, file("conf/other.conf", "x"), never);
  assert.equal(await modeOf(join(directory, "conf")), "700");
  await files.remove(shop, relativePath("conf/db.env"), never);
  assert.equal(await modeOf(join(directory, "conf")), "755");
  await files.write(shop, file("conf/site.conf", "x", 0o600), never);
  await files.write(shop, file("conf/site.conf", "x", 0o644), never);
  assert.equal(await modeOf(join(directory, "conf")), "755");
});

test("a changed file is seen as changed: its content, its mode, also with size and time put back", async (t) => {
  const { directory, files } = await place(t);
  const web = file("web.container", "one");
  await files.write(shop, web, never);
  const digest = async (): Promise<string | undefined> => (await files.placed(shop, new Set(), never)).get(web.path)?.digest;
  const path = join(directory, "web.container");
  await utimes(path, 1000, 1000);
  assert.equal(await digest(), web.digest);
  await writeFile(path, "two");
  await utimes(path, 1000, 1000);
  assert.equal(await digest(), fileDigest(0o644, Buffer.from("two")));
  await chmod(path, 0o600);
  assert.equal(await digest(), fileDigest(0o600, Buffer.from("two")));
  await writeFile(path, "one");
  await chmod(path, 0o644);
  assert.equal(await digest(), web.digest);
});

const bytesRead = async (): Promise<number> => Number(/rchar: (\d+)/.exec(await readFile("/proc/self/io", "utf8"))?.[1]);

test("a second look at unchanged files reads none of them", async (t) => {
  const { files } = await place(t);
  await files.write(shop, file("large.bin", "x".repeat(5_000_000)), never);
  const before = await bytesRead();
  const first = await files.placed(shop, new Set(), never);
  const between = await bytesRead();
  assert.deepEqual(await files.placed(shop, new Set(), never), first);
  assert.ok(between - before >= 5_000_000, "the first look reads");
  assert.ok((await bytesRead()) - between < 1_000_000, "the second does not");
});

test("what changed within the last moments is read again, since a change in the same tick would look the same", async (t) => {
  const { base, root } = await place(t);
  const files = openFiles({
    quadletDirectory: root,
    unitDirectory: join(base, "units"),
    stateDirectory: join(base, "state"),
    clock: { ...clock, now: () => new Date() },
  });
  await files.write(shop, file("large.bin", "x".repeat(5_000_000)), never);
  await files.placed(shop, new Set(), never);
  const before = await bytesRead();
  await files.placed(shop, new Set(), never);
  assert.ok((await bytesRead()) - before >= 5_000_000);
});

test("a large file has the same digest as in a bundle", async (t) => {
  const { files } = await place(t);
  const large = file("assets/large.bin", "0123456789abcdef".repeat(200_000));
  await files.write(shop, large, never);
  assert.equal((await files.placed(shop, new Set(), never)).get(large.path)?.digest, large.digest);
});

test("temporary files of a crash are not shown, are cleaned up, and keep no directory alive", async (t) => {
  const { root, directory, files } = await place(t);
  const left = ".pgo-0123456789abcdef01234567.tmp";
  await files.write(shop, file("web.container", "one"), never);
  await writeFile(join(directory, left), "half");
  assert.deepEqual([...(await files.placed(shop, new Set(), never)).keys()], ["web.container"]);
  assert.deepEqual(await readdir(directory), ["web.container"]);
  await writeFile(join(directory, left), "half");
  await files.remove(shop, relativePath("web.container"), never);
  assert.deepEqual(await readdir(root), []);
});

test("temporary files of a crash among systemd's own units go when the unit is written again", async (t) => {
  const { base, files } = await place(t);
  const unit = { ...file("tidy.timer", "[Timer]\n"), path: marked("unit", "tidy.timer") };
  await files.write(shop, unit, never);
  await writeFile(join(base, "units", ".pgo-0123456789abcdef01234567.tmp"), "half");
  await writeFile(join(base, "units", ".pgo-mine.tmp"), "a person's");
  await files.write(shop, unit, never);
  assert.deepEqual((await readdir(join(base, "units"))).sort(), [".pgo-mine.tmp", "tidy.timer"]);
});

test("a removal takes empty directories along, up to the quadlet directory, and leaves what others put there", async (t) => {
  const { root, directory, files } = await place(t);
  await files.write(shop, file("web.container", "one"), never);
  await files.write(shop, file("a/b/c.conf", "x"), never);
  await files.remove(shop, relativePath("a/b/c.conf"), never);
  assert.deepEqual(await readdir(directory), ["web.container"]);
  await writeFile(join(directory, "mine.txt"), "a person's");
  await files.remove(shop, relativePath("web.container"), never);
  assert.deepEqual(await readdir(directory), ["mine.txt"]);
  await rm(join(directory, "mine.txt"));
  await files.remove(shop, relativePath("web.container"), never);
  assert.deepEqual(await readdir(root), []);
  await files.remove(shop, relativePath("web.container"), never);
});

test("a symlink in a directory's place is never followed, and what it leads to is left alone", async (t) => {
  const { base, directory, files } = await place(t);
  const outside = join(base, "outside");
  await mkdir(outside);
  await writeFile(join(outside, "site.conf"), "a person's");
  await files.write(shop, file("web.container", "one"), never);
  await symlink(outside, join(directory, "conf"));
  assert.deepEqual([...(await files.placed(shop, new Set(), never)).keys()].sort(), ["conf", "web.container"]);
  await files.remove(shop, relativePath("conf/site.conf"), never);
  assert.equal(await readFile(join(outside, "site.conf"), "utf8"), "a person's");
  await files.write(shop, file("conf/site.conf", "from Git"), never);
  assert.equal(await readFile(join(outside, "site.conf"), "utf8"), "a person's");
  assert.equal(await readFile(join(directory, "conf/site.conf"), "utf8"), "from Git");
});

test("a symlink in the application's own place is replaced, not followed", async (t) => {
  const { base, root, directory, files } = await place(t);
  const outside = join(base, "outside");
  await mkdir(outside);
  await writeFile(join(outside, "web.container"), "a person's");
  await mkdir(join(root, "fleet"), { recursive: true });
  await symlink(outside, directory);
  assert.equal((await files.placed(shop, new Set(), never)).size, 0);
  await files.remove(shop, relativePath("web.container"), never);
  await files.write(shop, file("web.container", "from Git"), never);
  assert.equal(await readFile(join(outside, "web.container"), "utf8"), "a person's");
  assert.equal(await readFile(join(directory, "web.container"), "utf8"), "from Git");
});

test("a symlink in a file's place is another file, and a write replaces it", async (t) => {
  const { base, directory, files } = await place(t);
  const web = file("web.container", "one");
  await writeFile(join(base, "same"), "one", { mode: 0o644 });
  await mkdir(directory, { recursive: true });
  await symlink(join(base, "same"), join(directory, "web.container"));
  assert.notEqual((await files.placed(shop, new Set(), never)).get(web.path)?.digest, web.digest);
  await files.write(shop, file("web.container", "two"), never);
  assert.equal(await readFile(join(base, "same"), "utf8"), "one");
  assert.equal(await readFile(join(directory, "web.container"), "utf8"), "two");
});

test("an empty directory in a file's place gives way; one with something in it, and a file in a directory's, are refused with their path", async (t) => {
  const { directory, files } = await place(t);
  await mkdir(join(directory, "web.container"), { recursive: true });
  await files.write(shop, file("web.container", "one"), never);
  await mkdir(join(directory, "site", "mine"), { recursive: true });
  await assert.rejects(files.write(shop, file("site", "x"), never), /^Error: write .*\/fleet\/shop\/site$/);
  await assert.rejects(files.write(shop, file("web.container/x", "x"), never), ({ cause }: Error) =>
    String(cause).includes("web.container is not a directory: move it away"),
  );
  assert.deepEqual((await readdir(directory)).sort(), ["site", "web.container"]);
});

test("pipes and devices are shown, never opened", async (t) => {
  const { directory, files } = await place(t);
  await mkdir(directory, { recursive: true });
  execFileSync("mkfifo", [join(directory, "pipe")]);
  assert.deepEqual([...(await files.placed(shop, new Set(), never)).keys()], ["pipe"]);
});

test(
  "what pgo may not read is shown and stops nothing",
  { skip: process.getuid?.() !== 0 && "needs root, to give a file away" },
  async (t) => {
    const { base, root, directory, files } = await place(t);
    await files.write(shop, file("web.container", "one"), never);
    await mkdir(join(directory, "data"));
    await writeFile(join(directory, "data", "secret"), "x", { mode: 0o600 });
    await mkdir(join(directory, "closed"), { mode: 0o700 });
    await chmod(base, 0o755);
    for (const path of [root, join(root, "fleet"), directory, join(directory, "data")]) await chown(path, 65534, 65534);
    t.after(() => process.seteuid?.(0));
    process.seteuid?.(65534);
    const placed = await files.placed(shop, new Set(), never);
    process.seteuid?.(0);
    assert.deepEqual([...placed.keys()].sort(), ["closed", "data/secret", "web.container"]);
  },
);

test("an aborted signal stops before anything is written", async (t) => {
  const { root, files } = await place(t);
  await assert.rejects(files.write(shop, file("web.container", "one"), AbortSignal.abort(new Error("stop"))), /stop/);
  await assert.rejects(stat(root), /ENOENT/);
});

test("a file that is overwritten stays the same file, so that a container which has it mounted alone sees the new content", async (t) => {
  const { directory, files } = await place(t);
  const path = join(directory, "conf/site.conf");
  await files.write(shop, file("conf/site.conf", "a longer first text"), never);
  const before = await stat(path);
  const next = file("conf/site.conf", "second", 0o755);
  await files.overwrite(shop, next, never);
  assert.equal(await readFile(path, "utf8"), "second");
  assert.equal((await stat(path)).ino, before.ino);
  assert.equal((await files.placed(shop, new Set(), never)).get(next.path)?.digest, next.digest);
  assert.deepEqual(await readdir(join(directory, "conf")), ["site.conf"], "no copy is left");
  await files.write(shop, file("conf/site.conf", "third"), never);
  assert.notEqual((await stat(path)).ino, before.ino, "as a write is not");
});

test("where there is no file to overwrite, or a symlink, it is written anew", async (t) => {
  const { base, directory, files } = await place(t);
  await files.overwrite(shop, file("conf/new.conf", "x"), never);
  assert.equal(await readFile(join(directory, "conf/new.conf"), "utf8"), "x");
  await writeFile(join(base, "theirs"), "theirs");
  await symlink(join(base, "theirs"), join(directory, "conf/link.conf"));
  await files.overwrite(shop, file("conf/link.conf", "x"), never);
  assert.equal(await readFile(join(base, "theirs"), "utf8"), "theirs");
  assert.equal(await readFile(join(directory, "conf/link.conf"), "utf8"), "x");
});

/** The staging copy and the foreign quadlets, on a real file system; the generator itself is in test/e2e/host-adapter.test.ts. */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { test, type TestContext } from "node:test";

import { openGenerator } from "../../../src/adapters/host/generator.ts";
import type { Run } from "../../../src/adapters/host/run.ts";
import { foreignFiles, isRead } from "../../../src/adapters/host/search.ts";
import type { BundleFile } from "../../../src/core/bundle.ts";
import { fileDigest } from "../../../src/core/files.ts";
import { applicationId, applicationName, relativePath, sourceName } from "../../../src/core/names.ts";

const shop = applicationId(sourceName("fleet"), applicationName("shop"));
const never = new AbortController().signal;

async function place(t: TestContext, files: readonly string[]) {
  const base = await mkdtemp(join(tmpdir(), "pgo-staging-"));
  t.after(() => rm(base, { recursive: true }));
  for (const file of files) {
    await mkdir(dirname(join(base, file)), { recursive: true });
    await writeFile(join(base, file), file);
  }
  const searchPath = [join(base, "run"), join(base, "etc/containers/systemd"), join(base, "usr")];
  const quadletDirectory = join(base, "etc/containers/systemd/pgo");
  return { base, state: join(base, "state"), options: { searchPath, quadletDirectory, mode: "rootful" as const, generator: undefined } };
}

function file(path: string, text: string): BundleFile {
  const content = Buffer.from(text);
  return { path: relativePath(path), mode: 0o644, content, digest: fileDigest(0o644, content) };
}

async function tree(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .sort();
}

test("the generator reads quadlets and their drop-ins, no assets and no half-written files", () => {
  const read = ["web.container", "a/b/db.volume", "web.container.d/10-env.conf", "container.d/all.conf", "x.quadlets"];
  const not = [
    "site.conf",
    "web.env",
    "README.md",
    "conf.d/readme.txt",
    "conf.d/default.conf",
    ".pgo-0123456789abcdef01234567.tmp",
    "web.container.d/x.container",
  ];
  assert.deepEqual(read.filter(isRead), read);
  assert.deepEqual(not.filter(isRead), []);
});

test("foreign quadlets are all of the search path but pgo's and other users', in the generator's order, round symlinks", async (t) => {
  const { base, options } = await place(t, [
    "run/a.container",
    "etc/containers/systemd/b.container",
    "etc/containers/systemd/b.container.d/x.conf",
    "etc/containers/systemd/note.txt",
    "etc/containers/systemd/pgo/fleet/shop/web.container",
    "etc/containers/systemd/pgo-self/pgo.container",
    "etc/containers/systemd/users/1000/mine.container",
    "elsewhere/c.network",
  ]);
  await symlink(join(base, "elsewhere"), join(base, "etc/containers/systemd/linked"));
  await symlink(".", join(base, "etc/containers/systemd/circle"));
  await symlink("pgo/fleet", join(base, "etc/containers/systemd/sneaky"));
  const found = (await foreignFiles(options, never)).map(({ search, below, name }) => `${String(search)}:${join(below, name)}`);
  assert.deepEqual(found, ["0:a.container", "1:b.container", "1:b.container.d/x.conf", "1:linked/c.network", "1:pgo-self/pgo.container"]);
});

test("the staging copy has the search path's order, pgo's candidates in their place, foreign files by symlink, what pgo can't see as it is and first, and is gone afterwards", async (t) => {
  const { base, state, options } = await place(t, [
    "run/a.container",
    "etc/containers/systemd/shared.network",
    "etc/containers/systemd/pgo/fleet/shop/web.container",
  ]);
  let staging = "";
  const run: Run = async (argv, { environment }) => {
    assert.deepEqual(argv, ["/usr/lib/systemd/system-generators/podman-system-generator", "--dryrun"]);
    const directories = environment?.["QUADLET_UNIT_DIRS"]?.split(":") ?? [];
    staging = dirname(directories[1] ?? "");
    assert.deepEqual(
      directories.map((directory) => relative(staging, directory)),
      [relative(staging, join(base, "usr")), "0", "1"],
    );
    assert.deepEqual(await tree(staging), ["0/a.container", "1/pgo/web.container", "1/pgo/web.container.d/10.conf", "1/shared.network"]);
    assert.equal(await readFile(join(staging, "1/pgo/web.container"), "utf8"), "candidate");
    assert.equal(await readFile(join(staging, "1/shared.network"), "utf8"), "etc/containers/systemd/shared.network");
    const stderr = [
      `error loading "${staging}/1/x.container"`,
      `converting "web.container": unsupported key 'X' in group 'Container' in ${staging}/1/pgo/web.container`,
      `in ${staging}/0/y`,
    ].join("\n");
    return { code: 1, stdout: "", stderr };
  };
  const candidate = [
    file("web.container", "candidate"),
    file("web.container.d/10.conf", "x"),
    file("web.env", "SECRET=1"),
    file("conf/site.conf", "x"),
  ];
  const { root, stderr } = await openGenerator(options, state, run).dryRun(new Map([[shop, candidate]]), new Set(), never);
  assert.equal(root, join(staging, "1/pgo"));
  const [run_, etc] = options.searchPath;
  assert.deepEqual(stderr.split("\n"), [
    `error loading "${etc ?? ""}/x.container"`,
    `converting "web.container": unsupported key 'X' in group 'Container' in ${root}/fleet/shop/web.container`,
    `in ${run_ ?? ""}/y`,
  ]);
  assert.deepEqual(await readdir(state), []);
});

test("nothing is left of a staging copy whose dry run failed, and the error says what was under way", async (t) => {
  const { state, options } = await place(t, []);
  const failing = openGenerator(options, state, () => Promise.reject(new Error("no bus")));
  await assert.rejects(
    failing.dryRun(new Map([[shop, [file("web.container", "x")]]]), new Set(), never),
    /dry run of the quadlet generator/,
  );
  assert.deepEqual(await readdir(state), []);
  const absent = openGenerator(options, state, () => Promise.resolve({ code: 203, stdout: "", stderr: "" }));
  await assert.rejects(absent.dryRun(new Map(), new Set(), never), ({ cause }: Error) =>
    String(cause).includes("is Podman installed there?"),
  );
});

test("the rootless generator is asked as the user's", async (t) => {
  const { state, options } = await place(t, []);
  const run: Run = (argv) => {
    assert.deepEqual(argv, ["/usr/lib/systemd/user-generators/podman-user-generator", "--user", "--dryrun"]);
    return Promise.resolve({ code: 0, stdout: "", stderr: "" });
  };
  await openGenerator({ ...options, mode: "rootless" }, state, run).dryRun(new Map(), new Set(), never);
});

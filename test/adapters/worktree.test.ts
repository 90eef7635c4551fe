/** Directories as Git would have them, with real git and a real file system. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";

import { readWorkTree, type WorkTree } from "../../src/adapters/git/worktree.ts";
import { largestFile } from "../../src/adapters/git/tree.ts";

const never = new AbortController().signal;

async function place(t: TestContext, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "pgo-worktree-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
  return directory;
}

function git(directory: string, ...args: readonly string[]): void {
  const identity = { GIT_AUTHOR_NAME: "a", GIT_AUTHOR_EMAIL: "a@b", GIT_COMMITTER_NAME: "a", GIT_COMMITTER_EMAIL: "a@b" };
  execFileSync("git", ["-C", directory, ...args], { stdio: "pipe", env: { ...process.env, ...identity } });
}

async function read(directory: string, ...paths: readonly string[]): Promise<WorkTree> {
  const tree = await readWorkTree(directory, paths, process.env, never);
  assert.ok(tree.ok, JSON.stringify(tree));
  return tree.value;
}

const names = (tree: WorkTree): readonly string[] => [...tree.entries.keys()].sort();

test("a directory that is no repository is read whole: files, executable ones, links as links, and what is neither", async (t) => {
  const directory = await place(t, { "a/web.container": "[Container]\n", "a/run.sh": "#!/bin/sh\n", "b/deep/er/x.conf": "x" });
  await chmod(join(directory, "a/run.sh"), 0o755);
  await symlink("../a/web.container", join(directory, "b/link.container"));
  await symlink("../a", join(directory, "b/linked"));
  execFileSync("mkfifo", [join(directory, "b/pipe")]);
  await writeFile(join(directory, "b/large.bin"), new Uint8Array(largestFile + 1));
  const { entries, prefix, unasked } = await read(directory);
  const told = [...entries].map(([path, entry]) => {
    switch (entry.kind) {
      case "file":
        return `${path} ${entry.executable ? "executable " : ""}${Buffer.from(entry.content).toString().trim()}`;
      case "symlink":
        return `${path} -> ${entry.target}`;
      case "other":
        return `${path} is ${entry.what}`;
    }
  });
  assert.deepEqual(told.sort(), [
    "a/run.sh executable #!/bin/sh",
    "a/web.container [Container]",
    "b/deep/er/x.conf x",
    "b/large.bin is larger than 1 MiB",
    "b/link.container -> ../a/web.container",
    "b/linked -> ../a",
    "b/pipe is a FIFO",
  ]);
  assert.deepEqual({ prefix, unasked }, { prefix: "", unasked: undefined });
});

test("of a work tree it is what is tracked or could be: nothing ignored, nothing deleted, nothing of Git's own", async (t) => {
  const directory = await place(t, {
    ".gitignore": "*.log\n/build/\n",
    "web/web.container": "old",
    "web/gone.container": "x",
    "web/new.container": "x",
    "web/noise.log": "x",
    "build/out.container": "x",
    "web/kept.log": "tracked, though ignored",
  });
  git(directory, "init", "--quiet");
  git(directory, "add", "--force", ".gitignore", "web/web.container", "web/gone.container", "web/kept.log");
  await rm(join(directory, "web/gone.container"));
  await writeFile(join(directory, "web/web.container"), "changed since");
  const tree = await read(directory);
  assert.deepEqual(names(tree), [".gitignore", "web/kept.log", "web/new.container", "web/web.container"]);
  const web = tree.entries.get("web/web.container");
  assert.equal(web?.kind === "file" ? Buffer.from(web.content).toString() : "", "changed since");
});

test("a directory of a work tree knows where it is in it, and what its remote is called", async (t) => {
  const directory = await place(t, {
    ".gitignore": "secret\n",
    "deploy/web/web.container": "x",
    "deploy/secret/x.container": "x",
    "other/y": "x",
  });
  git(directory, "init", "--quiet");
  git(directory, "remote", "add", "origin", "ssh://git@example.com/ops/fleet.git");
  const tree = await read(join(directory, "deploy"));
  assert.deepEqual(names(tree), ["web/web.container"]);
  assert.deepEqual([tree.prefix, tree.origin], ["deploy/", "ssh://git@example.com/ops/fleet.git"]);
});

test("only what is below the paths is read", async (t) => {
  const directory = await place(t, { "common/web/a": "x", "hosts/pi/web/b": "x", "hosts/pi4/web/c": "x", "other/d": "x" });
  assert.deepEqual(names(await read(directory, "common/", "./hosts/pi")), ["common/web/a", "hosts/pi/web/b"]);
  git(directory, "init", "--quiet");
  assert.deepEqual(names(await read(directory, "common", "hosts/pi")), ["common/web/a", "hosts/pi/web/b"]);
  assert.equal((await read(directory, "common", ".")).entries.size, 4);
});

test("a submodule and a repository inside are no files", async (t) => {
  const directory = await place(t, { "web/web.container": "x", "nested/x.container": "x" });
  git(directory, "init", "--quiet");
  git(join(directory, "nested"), "init", "--quiet");
  git(join(directory, "nested"), "add", ".");
  git(join(directory, "nested"), "commit", "--quiet", "--message", "x");
  assert.deepEqual((await read(directory)).entries.get("nested"), { kind: "other", what: "a submodule" });
});

test("where the repository itself is out of reach, all files are read, and that is told", async (t) => {
  const directory = await place(t, { ".gitignore": "*.log\n", "web/web.container": "x", "web/x.log": "x", ".git": "gitdir: /nowhere\n" });
  const tree = await read(directory);
  assert.deepEqual(names(tree), [".gitignore", "web/web.container", "web/x.log"]);
  assert.match(tree.unasked ?? "", /not a git repository/);
});

test("nothing that a repository's configuration names is run", async (t) => {
  const directory = await place(t, { "web/web.container": "x" });
  git(directory, "init", "--quiet");
  git(directory, "add", ".");
  const marker = join(directory, "ran");
  git(directory, "config", "core.fsmonitor", `touch ${marker} #`);
  await read(directory);
  assert.deepEqual(names(await read(directory)), ["web/web.container"]);
});

test("what can't be read is trouble with its reason", async (t) => {
  const directory = await place(t, { "web/web.container": "x", file: "x" });
  const reason = async (at: string, ...paths: readonly string[]) => {
    const tree = await readWorkTree(at, paths, process.env, never);
    return tree.ok ? "" : tree.trouble;
  };
  assert.equal(await reason(join(directory, "nowhere")), `${directory}/nowhere is not there`);
  assert.equal(await reason(join(directory, "file")), `${directory}/file is no directory`);
  assert.equal(await reason(directory, "nowhere"), `${directory}/nowhere is not there`);
  assert.equal(await reason(directory, "file"), `${directory}/file is no directory`);
  assert.equal(await reason(directory, "../x"), 'path "../x" leads out of the repository');
  const many = await place(t, Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`x/${String(at)}`, new Uint8Array(largestFile)])));
  assert.match(await reason(many), /^65 MiB of files at .*, more than 64: name the directories of the applications in paths$/);
  git(directory, "init", "--quiet");
  await writeFile(join(directory, ".gitignore"), "*\n");
  assert.equal(await reason(directory), `git knows no files in ${directory}: all of them are ignored, or there are none`);
});

test("a file whose name is not UTF-8 is named, and not read", async (t) => {
  const directory = await place(t, { "web/web.container": "x" });
  await rename(
    Buffer.from(join(directory, "web/web.container")),
    Buffer.concat([Buffer.from(join(directory, "web/")), Buffer.from([0xff, 0x61])]),
  );
  const expected = [["web/\uFFFDa", { kind: "other", what: "a file whose name is not UTF-8" }]];
  assert.deepEqual([...(await read(directory)).entries], expected);
  git(directory, "init", "--quiet");
  assert.deepEqual([...(await read(directory)).entries], expected);
});

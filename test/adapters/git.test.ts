import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { chmod, cp, mkdir, readFile, readdir, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

import { revision, type Revision } from "../../src/core/names.ts";
import { bad, content, directory, good, never, open, repository, source } from "./git-repository.ts";

const nowhere = revision("0".repeat(40));

test("head is the commit that the branch names, and no branch that only ends like it", async (t) => {
  const served = await repository(t);
  const first = await served.commit({ "shop/web.container": "[Container]\n" });
  await served.git("push", "--quiet", "origin", `${first}:refs/heads/other/refs/heads/main`);
  const second = await served.commit({ "shop/web.container": "[Container]\nImage=x\n" });
  const git = open(await directory(t));
  assert.equal(good(await git.head(source(served.path), never)), second);
  assert.equal(good(await git.head(source(served.path, { branch: "other/refs/heads/main" }), never)), first);
});

test("without a branch, head is what the remote's HEAD names", async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ a: "1" });
  const git = open(await directory(t));
  await served.served("symbolic-ref", "HEAD", "refs/heads/main");
  assert.equal(good(await git.head(source(served.path, { branch: undefined }), never)), commit);
  await served.served("symbolic-ref", "HEAD", "refs/heads/trunk");
  const trouble = bad(await git.head(source(served.path, { branch: undefined }), never));
  assert.match(trouble.reason, /has no commit that its HEAD names: push one, or set branch/);
});

test("an empty repository and a deleted branch are troubles that waiting does not mend", async (t) => {
  const served = await repository(t);
  const git = open(await directory(t));
  const empty = bad(await git.head(source(served.path), never));
  assert.match(empty.reason, /^branch "main" is not in .*: push it, or change branch in pgo\.toml$/);
  assert.equal(empty.transient, false);
  await served.commit({ a: "1" });
  good(await git.head(source(served.path), never));
  await served.served("update-ref", "-d", "refs/heads/main");
  assert.deepEqual(bad(await git.head(source(served.path), never)), empty);
});

test("a poll is one git process and what that needs itself", async (t) => {
  const served = await repository(t);
  await served.commit({ a: "1" });
  const { git, log } = await logged(t, await directory(t));
  good(await git.head(source(served.path), never));
  assert.deepEqual(await log(), [["ls-remote", "origin", "refs/heads/main"]]);
});

test("the newest commit is found and brought by one process that connects, and asked for first only without a clone", async (t) => {
  const served = await repository(t);
  const first = await served.commit({ a: "1" });
  const { git, log } = await logged(t, await directory(t));
  const connecting = async () => (await log()).map(([verb = ""]) => verb).filter((verb) => verb === "ls-remote" || verb === "fetch");
  assert.equal(good(await git.fetch(source(served.path), "newest", undefined, never)).revision, first);
  assert.deepEqual(await connecting(), ["ls-remote", "fetch"]);
  const second = await served.commit({ a: "2" });
  const snapshot = good(await git.fetch(source(served.path), "newest", first, never));
  assert.deepEqual([snapshot.revision, content(snapshot.entries, "a")], [second, "2"]);
  assert.deepEqual(await connecting(), ["fetch"]);
  const same = good(await git.fetch(source(served.path), "newest", second, never));
  assert.deepEqual([same.revision, content(same.entries, "a")], [second, "2"]);
  assert.deepEqual(await connecting(), ["fetch"]);
});

test("the newest commit is that which the branch names, or without one HEAD, whatever was read last", async (t) => {
  const served = await repository(t);
  const first = await served.commit({ a: "1" });
  const second = await served.commit({ a: "2" });
  await served.git("push", "--quiet", "origin", `${first}:refs/heads/old`);
  const git = open(await directory(t));
  const newest = async (branch: string | undefined, previous: typeof first) => {
    const { revision, entries, rewritten } = good(await git.fetch(source(served.path, { branch }), "newest", previous, never));
    return [revision, content(entries, "a"), rewritten];
  };
  assert.deepEqual(await newest("main", first), [second, "2", false]);
  assert.deepEqual(await newest("old", second), [first, "1", true]);
  assert.deepEqual(await newest(undefined, first), [second, "2", false]);
});

test("what a poll says of a branch that is not there, or of a server that is not, the newest commit's fetch says too", async (t) => {
  const served = await repository(t);
  await served.commit({ a: "1" });
  const git = open(await directory(t));
  good(await git.fetch(source(served.path), "newest", undefined, never));
  await served.served("update-ref", "-d", "refs/heads/main");
  for (const gone of ["main", "refs/heads/main", undefined].map((branch) => source(served.path, { branch }))) {
    const polled = bad(await git.head(gone, never));
    assert.match(polled.reason, /^branch ".*main" is not in .*: push it, or|has no commit that its HEAD names: push one, or/);
    assert.deepEqual(bad(await git.fetch(gone, "newest", undefined, never)), polled);
  }
  await rename(served.path, `${served.path}-away`);
  assert.deepEqual(bad(await git.fetch(source(served.path), "newest", undefined, never)), bad(await git.head(source(served.path), never)));
});

test("a clone that is damaged, or a commit that takes longer than a poll may, keep nobody from the newest commit", async (t) => {
  const served = await repository(t);
  await served.commit({ a: "1" });
  const state = await directory(t);
  const { git } = await logged(t, state, { deadlines: { head: 2000, fetch: 30_000 } });
  good(await git.fetch(source(served.path), "newest", undefined, never));
  await rm(join(state, "fleet/HEAD"));
  const second = await served.commit({ a: "2" });
  assert.equal(good(await git.fetch(source(served.path), "newest", undefined, never)).revision, second);
  const third = await served.commit({ a: "3" });
  const slow = await logged(t, state, { deadlines: { head: 2000, fetch: 30_000 } }, 'case "$*" in "fetch "*) sleep 3;; esac');
  assert.equal(good(await slow.git.fetch(source(served.path), "newest", undefined, never)).revision, third);
});

test("fetch reads every kind of entry as Git has it, byte for byte", async (t) => {
  const served = await repository(t);
  const binary = Uint8Array.from({ length: 5000 }, (_, index) => (index * 7) % 256);
  const files = {
    ".gitattributes": "*.container text eol=crlf\n*.txt ident\n*.bin filter=lfs\n",
    "shop/web.container": "[Container]\r\nImage=x\n",
    "shop/run.sh": "#!/bin/sh\n",
    "shop/data.bin": binary,
    "shop/id.txt": "$Id$\n",
    "shop/empty": "",
    "shop/current": "->../elsewhere/../../etc/passwd",
    'shop/Grüße 👋\n\t"x".conf': "ö",
  };
  await served.git("config", "core.attributesFile", "/dev/null");
  const commit = await served.commit(files, "Füge hinzu\n\nLonger text.");
  const snapshot = good(await open(await directory(t)).fetch(source(served.path), commit, undefined, never));
  assert.deepEqual([...snapshot.entries.keys()].sort(), Object.keys(files).sort());
  const data = snapshot.entries.get("shop/data.bin");
  assert.ok(data?.kind === "file" && Buffer.from(data.content).equals(binary) && !data.executable);
  assert.deepEqual(snapshot.entries.get("shop/current"), { kind: "symlink", target: "../elsewhere/../../etc/passwd" });
  const script = snapshot.entries.get("shop/run.sh");
  assert.ok(script?.kind === "file" && script.executable);
  assert.equal(content(snapshot.entries, "shop/empty"), "");
  assert.equal(content(snapshot.entries, 'shop/Grüße 👋\n\t"x".conf'), "ö");
  // What Git has, whatever .gitattributes says.
  const stored = await served.served("cat-file", "-p", `${commit}:shop/web.container`);
  assert.equal(content(snapshot.entries, "shop/web.container").trim(), stored);
  assert.equal(content(snapshot.entries, "shop/id.txt"), "$Id$\n");
  assert.equal(snapshot.author, "Ann Example <ann@example.com>");
  assert.equal(snapshot.subject, "Füge hinzu");
  assert.equal(snapshot.revision, commit);
  assert.equal(snapshot.rewritten, false);
});

test("line ends stay as they were committed", async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ "a.conf": "one\r\ntwo\nthree\r\n" });
  const snapshot = good(await open(await directory(t)).fetch(source(served.path), commit, undefined, never));
  assert.equal(content(snapshot.entries, "a.conf"), "one\r\ntwo\nthree\r\n");
});

test("a submodule, a file above 1 MiB and a name that is not UTF-8 are named, not read", async (t) => {
  const served = await repository(t);
  await served.commit({ "shop/big": Buffer.alloc(1024 * 1024 + 1), "shop/fits": Buffer.alloc(1024 * 1024) });
  await served.git("update-index", "--add", "--cacheinfo", `160000,${"1".repeat(40)},shop/module`);
  await served.git("commit", "--quiet", "-m", "module");
  await served.git("push", "--quiet", "origin", "HEAD:main");
  const tree = await served.git("rev-parse", "HEAD:shop");
  const blob = await served.git("rev-parse", "HEAD:shop/fits");
  // An execFile argument can't carry the byte.
  const lines = `printf '100644 blob ${blob}\\tb\\377d\\0'; printf '040000 tree ${tree}\\tshop\\0'`;
  const made = await promisify(execFile)("sh", ["-c", `{ ${lines}; } | git -C '${served.path}' mktree -z`]);
  const commit = revision(await served.served("-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", made.stdout.trim(), "-m", "odd"));
  await served.served("update-ref", "refs/heads/main", commit);
  const { entries } = good(await open(await directory(t)).fetch(source(served.path), commit, undefined, never));
  assert.deepEqual(entries.get("shop/big"), { kind: "other", what: "larger than 1 MiB" });
  assert.deepEqual(entries.get("shop/module"), { kind: "other", what: "a submodule" });
  assert.equal(entries.get("shop/fits")?.kind, "file");
  assert.deepEqual(entries.get("b\uFFFDd"), { kind: "other", what: "a file whose name is not UTF-8" });
});

test("only what is below the paths is read, also from a server that filters", async (t) => {
  for (const filters of ["true", "false"]) {
    const served = await repository(t);
    await served.served("config", "uploadpack.allowFilter", filters);
    const commit = await served.commit({
      "hosts/pi/a": "1",
      "hosts/pi/deep/b": "2",
      "hosts/pi2/c": "3",
      other: Buffer.alloc(3_000_000, "x"),
    });
    const state = await directory(t);
    const fleet = source(served.path, { paths: ["./hosts/pi/", "hosts/pi/deep"] });
    const { entries } = good(await open(state).fetch(fleet, commit, undefined, never));
    assert.deepEqual([...entries.keys()], ["hosts/pi/a", "hosts/pi/deep/b"]);
    const has = await inClone(state, "rev-list", "--objects", "--missing=print", "--all");
    assert.equal(has.includes(`?${await served.git("rev-parse", "HEAD:other")}`), filters === "true");
    const next = await served.commit({ "hosts/pi/a": "new", "hosts/pi/d": "4" });
    const after = good(await open(state).fetch(fleet, next, commit, never));
    assert.equal(content(after.entries, "hosts/pi/a"), "new");
    assert.deepEqual([...after.entries.keys()], ["hosts/pi/a", "hosts/pi/d", "hosts/pi/deep/b"]);
  }
});

test("a path that is not in the commit, is a file, or leads out is a trouble, not an empty source", async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ "hosts/pi/a": "1" });
  const git = open(await directory(t));
  const reason = async (...paths: string[]) => bad(await git.fetch(source(served.path, { paths }), commit, undefined, never));
  assert.deepEqual(await reason("hosts/pi", "hosts/p"), {
    reason: `path "hosts/p" is not in the repository at ${commit.slice(0, 7)}: check paths in pgo.toml`,
    transient: false,
  });
  assert.match((await reason("hosts/pi/a")).reason, /is not a directory/);
  assert.match((await reason("hosts/../../x")).reason, /leads out of the repository/);
  assert.match((await reason(":(top)hosts")).reason, /is not in the repository/);
  assert.match((await reason("hosts/*")).reason, /is not in the repository/);
});

test("a path that need not be there is passed over, also when it is the only one, and read once it comes", async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ "common/a": "1" });
  const git = open(await directory(t));
  const read = async (at: typeof commit, ...paths: string[]) => [
    ...good(await git.fetch(source(served.path, { paths, optionalPaths: true }), at, undefined, never)).entries.keys(),
  ];
  assert.deepEqual(await read(commit, "common", "hosts/pi"), ["common/a"]);
  assert.deepEqual(await read(commit, "hosts/pi"), []);
  const next = await served.commit({ "hosts/pi/b": "2" });
  assert.deepEqual(await read(next, "common", "hosts/pi"), ["common/a", "hosts/pi/b"]);
});

test("what links below the paths lead to is read too, link by link, and nothing else of what lies beside them, also from a server that filters", async (t) => {
  for (const filters of ["true", "false"]) {
    const served = await repository(t);
    await served.served("config", "uploadpack.allowFilter", filters);
    const commit = await served.commit({
      "deploy/web/web.container": "x",
      "deploy/web/src": "->../../code/web",
      "deploy/web/nginx.conf": "->../../conf/current.conf",
      "deploy/web/out": "->../../../etc/passwd",
      "deploy/web/nowhere": "->../../gone",
      "deploy/web/beside": "->web.container",
      "conf/current.conf": "->2026.conf",
      "conf/2026.conf": "listen 80;",
      "conf/2025.conf": "listen 8080;",
      "code/web/index.html": "hello",
      "code/api/app.sh": "exit",
    });
    const git = open(await directory(t));
    const { entries } = good(await git.fetch(source(served.path, { paths: ["deploy"] }), commit, undefined, never));
    assert.deepEqual(
      [...entries.keys()].filter((path) => !path.startsWith("deploy/")),
      ["code/web/index.html", "conf/current.conf", "conf/2026.conf"],
    );
    assert.equal(content(entries, "code/web/index.html"), "hello");
  }
});

test("links that lead round in a circle are read to an end", async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ "deploy/a": "->../one", one: "->two", two: "->one" });
  const git = open(await directory(t));
  const { entries } = good(await git.fetch(source(served.path, { paths: ["deploy"] }), commit, undefined, never));
  assert.deepEqual([...entries.keys()].sort(), ["deploy/a", "one", "two"]);
});

test("a commit without files is a snapshot without entries", async (t) => {
  const served = await repository(t);
  await served.commit({ a: "1" });
  const commit = await served.commit({ a: null });
  assert.equal(good(await open(await directory(t)).fetch(source(served.path), commit, undefined, never)).entries.size, 0);
});

test("a repository with SHA-256 hashes is read too", async (t) => {
  const served = await repository(t, "--object-format=sha256");
  const commit = await served.commit({ a: "1" });
  const git = open(await directory(t));
  assert.equal(good(await git.head(source(served.path), never)), commit);
  assert.equal(content(good(await git.fetch(source(served.path), commit, undefined, never)).entries, "a"), "1");
});

test("later fetches bring only what is new", async (t) => {
  const served = await repository(t);
  const noise = Buffer.from(Array.from({ length: 400_000 }, () => Math.floor(Math.random() * 256)));
  const first = await served.commit({ "a/noise": noise, "a/b": "1" });
  const state = await directory(t);
  good(await open(state).fetch(source(served.path), first, undefined, never));
  const second = await served.commit({ "a/b": "2" });
  const { entries } = good(await open(state).fetch(source(served.path), second, first, never));
  assert.equal(content(entries, "a/b"), "2");
  const sizes = await Promise.all((await packs(state)).map(async (file) => (await stat(file)).size));
  assert.equal(sizes.length, 2);
  assert.ok(Math.min(...sizes) < 2000, `packs of ${sizes.join(" and ")} bytes`);
});

test("a commit that the clone has is read without the remote", async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ a: "1" });
  const state = await directory(t);
  good(await open(state).fetch(source(served.path), commit, undefined, never));
  await rename(served.path, `${served.path}.away`);
  assert.equal(content(good(await open(state).fetch(source(served.path), commit, undefined, never)).entries, "a"), "1");
});

test("a rewritten branch is told, commits on top of what was read are not", async (t) => {
  const served = await repository(t);
  const git = open(await directory(t));
  const fleet = source(served.path);
  const first = await served.commit({ a: "1" });
  good(await git.fetch(fleet, first, undefined, never));
  await served.commit({ a: "2" });
  await served.commit({ a: "3" });
  const fourth = await served.commit({ a: "4" });
  assert.equal(good(await git.fetch(fleet, fourth, first, never)).rewritten, false);
  const fifth = await served.commit({ a: "5" });
  assert.equal(good(await git.fetch(fleet, fifth, fourth, never)).rewritten, false);
  await served.git("reset", "--quiet", "--hard", fourth);
  const other = await served.commit({ a: "5b" });
  assert.equal(good(await git.fetch(fleet, other, fifth, never)).rewritten, true);
  await served.git("reset", "--quiet", "--hard", first);
  assert.equal(good(await git.fetch(fleet, first, other, never)).rewritten, true);
});

suite("the messages of new commits", () => {
  const messagesOf = async (t: TestContext, more: Parameters<typeof source>[1], paths: readonly string[] = ["."]) => {
    const served = await repository(t);
    const git = open(await directory(t));
    const fleet = source(served.path, { ...more, paths });
    const first = await served.commit({ "a/b": "1" }, "First");
    const at = async (revision: Revision, previous: Revision | undefined) =>
      good(await git.fetch(fleet, revision, previous, never)).messages.map((message) => message.trim());
    return { served, first, at };
  };

  test("are that of the newest alone where there is no previous one, and all since where there is", async (t) => {
    for (const paths of [["."], ["a"]]) {
      const { served, first, at } = await messagesOf(t, { trailers: true }, paths);
      assert.deepEqual(await at(first, undefined), ["First"]);
      await served.commit({ "a/b": "2" }, "Second\n\nPgo-Urgent: true");
      const third = await served.commit({ "a/b": "3" }, "Third");
      assert.deepEqual(await at(third, first), ["Third", "Second\n\nPgo-Urgent: true"]);
      const fourth = await served.commit({ "a/b": "4" }, "Fourth");
      assert.deepEqual(await at(fourth, third), ["Fourth"]);
    }
  });

  test("have those among them that a merge brings", async (t) => {
    const { served, first, at } = await messagesOf(t, { trailers: true });
    await at(first, undefined);
    await served.git("checkout", "--quiet", "-b", "side");
    await served.git("commit", "--quiet", "--allow-empty", "-m", "Fix\n\nPgo-Urgent: true");
    await served.git("checkout", "--quiet", "-");
    await served.git("merge", "--quiet", "--no-ff", "-m", "Merge", "side");
    await served.git("push", "--quiet", "origin", "HEAD:main");
    const merge = revision(await served.git("rev-parse", "HEAD"));
    assert.deepEqual((await at(merge, first)).toSorted(), ["Fix\n\nPgo-Urgent: true", "Merge"]);
  });

  test("are not looked for where nobody wants them", async (t) => {
    const { served, first, at } = await messagesOf(t, {});
    await at(first, undefined);
    await served.commit({ "a/b": "2" }, "Second");
    const third = await served.commit({ "a/b": "3" }, "Third");
    assert.deepEqual(await at(third, first), ["Third"]);
  });

  test("come with the time of the newest", async (t) => {
    const served = await repository(t);
    const commit = await served.commit({ a: "1" });
    const { committedAt } = good(await open(await directory(t)).fetch(source(served.path), commit, undefined, never));
    assert.equal(committedAt?.getTime(), Number(await served.git("log", "-1", "--format=%ct")) * 1000);
  });
});

test("an amended commit on a history longer than is looked at is told as rewritten", async (t) => {
  const served = await repository(t);
  await served.git("commit", "--quiet", "--allow-empty", "-m", "0");
  for (let count = 0; count < 70; count++) await served.git("commit", "--quiet", "--allow-empty", "-m", String(count));
  const state = await directory(t);
  const before = await served.commit({ a: "1" });
  good(await open(state).fetch(source(served.path), before, undefined, never));
  await served.git("reset", "--quiet", "--hard", "HEAD~1");
  const after = await served.commit({ a: "2" });
  assert.equal(good(await open(state).fetch(source(served.path), after, before, never)).rewritten, true);
  assert.notEqual(await readFile(join(state, "fleet/shallow"), "utf8"), "");
});

test("a server that gives out no commit by its hash is asked for the branch", async (t) => {
  const served = await repository(t);
  const first = await served.commit({ a: "1" });
  const second = await served.commit({ a: "2" });
  const state = await directory(t);
  const git = open(state);
  const wrapped = await withProtocolZero(state);
  assert.equal(content(good(await wrapped.fetch(source(served.path), second, undefined, never)).entries, "a"), "2");
  const trouble = bad(await wrapped.fetch(source(served.path), first, undefined, never));
  assert.equal(trouble.transient, true);
  assert.match(trouble.reason, new RegExp(`no longer gives out ${first.slice(0, 7)}: the branch has moved on`));
  // The old clone is still good.
  assert.equal(content(good(await git.fetch(source(served.path), second, undefined, never)).entries, "a"), "2");
});

test("whatever has happened to the clone, the next fetch reads the commit", async (t) => {
  const served = await repository(t);
  const first = await served.commit({ "shop/a": "1", "shop/b": "x".repeat(5000) });
  const second = await served.commit({ "shop/a": "2" });
  const whole = await directory(t);
  good(await open(whole).fetch(source(served.path), first, undefined, never));
  const damages: Record<string, (clone: string) => Promise<unknown>> = {
    "no objects": (clone) => rm(join(clone, "objects"), { recursive: true }),
    "no HEAD": (clone) => rm(join(clone, "HEAD")),
    "an empty pack": async (clone) => {
      for (const file of await packs(join(clone, ".."))) await chmod(file, 0o600).then(() => truncate(file, 0));
    },
    "a pack cut short": async (clone) => {
      for (const file of await packs(join(clone, ".."))) await chmod(file, 0o600).then(() => truncate(file, 200));
    },
    "an altered byte": async (clone) => {
      for (const file of await packs(join(clone, ".."))) {
        await chmod(file, 0o600);
        const bytes = await readFile(file);
        bytes.writeUInt8(bytes.readUInt8(bytes.length - 60) ^ 0xff, bytes.length - 60);
        await writeFile(file, bytes);
      }
    },
    "an odd ref": (clone) => writeFile(join(clone, "refs/pgo/head"), "\0\0\0\0"),
    "an empty ref": (clone) => writeFile(join(clone, "refs/pgo/head"), ""),
    "a ref to nothing": (clone) => writeFile(join(clone, "refs/pgo/head"), `${second}\n`),
    "shallow.lock": (clone) => writeFile(join(clone, "shallow.lock"), ""),
    "the ref's lock": (clone) => writeFile(join(clone, "refs/pgo/head.lock"), ""),
    "config.lock": (clone) => writeFile(join(clone, "config.lock"), ""),
    "a broken configuration": (clone) => writeFile(join(clone, "config"), "[core\n"),
    "a file in its place": async (clone) => rm(clone, { recursive: true }).then(() => writeFile(clone, "")),
    "half made": (clone) => rm(join(clone, "pgo-clone")),
    "a half-made one beside it": (clone) => mkdir(join(clone, "../.fleet.new/objects"), { recursive: true }),
  };
  for (const [what, damage] of Object.entries(damages))
    for (const wanted of [first, second]) {
      const state = await directory(t);
      await cp(whole, state, { recursive: true });
      await damage(join(state, "fleet"));
      const result = await open(state).fetch(source(served.path), wanted, first, never);
      assert.equal(content(good(result).entries, "shop/a"), wanted === first ? "1" : "2", what);
      assert.deepEqual((await readdir(state)).sort(), [".gitconfig", "fleet"], what);
    }
});

test("a source whose URL changes is cloned anew, and a remote that is broken costs no clone", async (t) => {
  const served = await repository(t);
  const other = await repository(t);
  const first = await served.commit({ a: "1" });
  const second = await other.commit({ a: "other" });
  const state = await directory(t);
  good(await open(state).fetch(source(served.path), first, undefined, never));
  const gone = bad(await open(state).fetch(source(`${other.path}-not-there`), nowhere, first, never));
  assert.match(gone.reason, /is not a repository, or this login may not see it/);
  assert.equal(gone.transient, false);
  assert.equal(await inClone(state, "rev-parse", "refs/pgo/head"), first);
  assert.equal(content(good(await open(state).fetch(source(other.path), second, first, never)).entries, "a"), "other");
});

test("a commit that the remote does not have leaves the clone as it was", async (t) => {
  const served = await repository(t);
  const first = await served.commit({ a: "1" });
  const state = await directory(t);
  good(await open(state).fetch(source(served.path), first, undefined, never));
  const trouble = bad(await open(state).fetch(source(served.path), nowhere, first, never));
  assert.equal(trouble.transient, true);
  good(await open(state).fetch(source(served.path), first, undefined, never));
});

test("the clone does not grow for ever", async (t) => {
  const served = await repository(t);
  const first = await served.commit({ a: "1" });
  const state = await directory(t);
  good(await open(state).fetch(source(served.path), first, undefined, never));
  const [pack = ""] = await packs(state);
  for (let count = 0; count < 100; count++) await cp(pack, pack.replace(/pack-.*/, `pack-${String(count).padStart(40, "0")}.pack`));
  await writeFile(pack.replace(/pack-.*/, "tmp_pack_x"), "half");
  const second = await served.commit({ a: "2" });
  good(await open(state).fetch(source(served.path), second, first, never));
  assert.equal((await packs(state)).length, 1);
});

test("nothing of the user's git configuration gets in", async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ a: "1" });
  const home = await directory(t);
  await writeFile(join(home, ".gitconfig"), '[url "/nowhere/"]\n\tinsteadOf = /\n[core]\n\tsshCommand = false\n');
  const environment = { ...process.env, HOME: home, GIT_DIR: "/nowhere", GIT_CONFIG_GLOBAL: join(home, ".gitconfig"), GIT_TRACE: "1" };
  const git = open(await directory(t), { environment });
  assert.equal(good(await git.head(source(served.path), never)), commit);
  good(await git.fetch(source(served.path), commit, undefined, never));
});

test("a repository of another owner is read", { skip: process.getuid?.() !== 0 }, async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ a: "1" });
  await promisify(execFile)("chown", ["-R", "65534:65534", served.path]);
  const git = open(await directory(t));
  assert.equal(good(await git.head(source(served.path), never)), commit);
  good(await git.fetch(source(served.path), commit, undefined, never));
});

test("URLs that would run a program, or that look like an option, do nothing", async (t) => {
  const state = await directory(t);
  const git = open(state);
  for (const url of [
    `ext::sh -c touch% ${state}/run`,
    `--upload-pack=touch ${state}/run`,
    "git://127.0.0.1/x",
    "ftp://127.0.0.1/x",
    "fd::3",
  ]) {
    assert.equal(bad(await git.head(source(url), never)).transient, false, url);
    assert.equal(bad(await git.fetch(source(url), nowhere, undefined, never)).transient, false, url);
  }
  assert.deepEqual(await readdir(state), [".gitconfig"]);
});

test("a server that refuses or does not answer is a transient trouble in time", async (t) => {
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as AddressInfo;
  const git = open(await directory(t), { deadlines: { head: 300, fetch: 300 } });
  const url = `http://127.0.0.1:${String(port)}/fleet.git`;
  assert.deepEqual(bad(await git.head(source(url), never)), { reason: `git ls-remote of ${url}: not done within 0 s`, transient: true });
  assert.equal(bad(await git.fetch(source(url), nowhere, undefined, never)).transient, true);
  silent.close();
  const refused = bad(await open(await directory(t)).head(source(url), never));
  assert.equal(refused.transient, true);
  assert.match(refused.reason, new RegExp(`^connect to 127\\.0\\.0\\.1 port ${String(port)}`));
});

test("an abort rejects with its reason and leaves no process behind", async (t) => {
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  t.after(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  const url = `http://127.0.0.1:${String(port)}/abort-${String(process.pid)}.git`;
  const git = open(await directory(t));
  for (const ask of ["head", "fetch"] as const) {
    const stop = new AbortController();
    const reason = new Error("stopping");
    const work = ask === "head" ? git.head(source(url), stop.signal) : git.fetch(source(url), nowhere, undefined, stop.signal);
    const rejected = assert.rejects(work, (error) => error === reason);
    if (ask === "fetch") for (let round = 0; round < 100 && (await processes(url)).length === 0; round++) await pause(20);
    stop.abort(reason);
    await rejected;
    assert.deepEqual(await processes(url), []);
  }
  await assert.rejects(git.head(source(url), AbortSignal.abort(new Error("before"))), /before/);
});

test("an abort ends an ssh that does not care about git's end or SIGTERM", async (t) => {
  const bin = await directory(t);
  await writeFile(join(bin, "ssh"), `#!/bin/sh\ntrap "" TERM INT HUP PIPE\nwhile :; do sleep 1; done\n`, { mode: 0o755 });
  const git = open(await directory(t), { environment: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` } });
  const stop = new AbortController();
  const rejected = assert.rejects(git.head(source("ssh://git@host.invalid/x.git"), stop.signal), /stopping/);
  while (!(await processes(bin)).some((line) => line.includes(`${bin}/ssh`))) await pause(20);
  stop.abort(new Error("stopping"));
  await rejected;
  assert.deepEqual(await processes(bin), []);
});

test("killed while it fetches, the next process reads the commit", async (t) => {
  const served = await repository(t);
  const first = await served.commit({ a: "1" });
  const state = await directory(t);
  good(await open(state).fetch(source(served.path), first, undefined, never));
  const noise = Buffer.from(Array.from({ length: 900_000 }, () => Math.floor(Math.random() * 256)));
  const second = await served.commit({ noise, more: Buffer.from(noise).reverse(), a: "2" });
  const script = `
    const { open, source, never } = await import(${JSON.stringify(join(import.meta.dirname, "git-repository.ts"))});
    console.log("ready");
    await open(${JSON.stringify(state)}).fetch(source(${JSON.stringify(served.path)}), ${JSON.stringify(second)}, undefined, never);
  `;
  for (const delay of [5, 15, 25, 40]) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { detached: true, stdio: ["ignore", "pipe", "ignore"] });
    const closed = new Promise((resolve) => child.once("close", resolve));
    await new Promise((resolve) => child.stdout.once("data", resolve));
    await pause(delay);
    // The whole group, as when a container dies.
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    await closed;
    assert.equal(content(good(await open(state).fetch(source(served.path), second, undefined, never)).entries, "a"), "2");
    await rm(join(state, "fleet/refs/pgo/head"));
  }
});

test("a git that is killed before it has said all is a trouble, never a source with fewer files", async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ a: "1", b: "2" });
  for (const command of ["ls-tree", "cat-file", "ls-remote"]) {
    const bin = await directory(t);
    await writeFile(join(bin, "git"), `#!/bin/sh\ncase "$*" in *${command}*) kill -9 $$ ;; esac\nexec ${await realGit()} "$@"\n`, {
      mode: 0o755,
    });
    const git = open(await directory(t), { environment: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` } });
    const found =
      command === "ls-remote" ? await git.head(source(served.path), never) : await git.fetch(source(served.path), commit, undefined, never);
    assert.ok(!found.ok && found.trouble.transient && found.trouble.reason !== "", command);
  }
});

test("two fetches of one source at once wait for each other", async (t) => {
  const served = await repository(t);
  const first = await served.commit({ a: "1" });
  const second = await served.commit({ a: "2" });
  const git = open(await directory(t));
  const both = await Promise.all([first, second].map((commit) => git.fetch(source(served.path), commit, undefined, never)));
  assert.deepEqual(
    both.map((result) => content(good(result).entries, "a")),
    ["1", "2"],
  );
});

test("a state directory that can't be written is a trouble with its name", async (t) => {
  const state = await directory(t);
  await writeFile(join(state, "git"), "");
  const trouble = bad(await open(join(state, "git")).head(source("/nowhere"), never));
  assert.match(trouble.reason, /^keep clones in .*\/git: /);
  assert.equal(trouble.transient, false);
});

test("200 files are read quickly", async (t) => {
  const served = await repository(t);
  const files = Object.fromEntries(
    Array.from({ length: 200 }, (_, index) => [`a${String(index % 20)}/f${String(index)}.container`, `Image=x${String(index)}\n`]),
  );
  const first = await served.commit(files);
  const git = open(await directory(t));
  const timed = async (what: string, work: () => Promise<unknown>) => {
    const start = performance.now();
    await work();
    t.diagnostic(`${what}: ${(performance.now() - start).toFixed(0)} ms`);
  };
  await timed("head", async () => good(await git.head(source(served.path), never)));
  await timed("first fetch", async () => good(await git.fetch(source(served.path), first, undefined, never)));
  await timed("same again", async () => good(await git.fetch(source(served.path), first, undefined, never)));
  const second = await served.commit({ "a1/f1.container": "Image=y\n" });
  await timed("next fetch", async () => good(await git.fetch(source(served.path), second, first, never)));
});

async function packs(state: string): Promise<readonly string[]> {
  const at = join(state, "fleet/objects/pack");
  return (await readdir(at)).filter((name) => name.endsWith(".pack")).map((name) => join(at, name));
}

async function inClone(state: string, ...args: readonly string[]): Promise<string> {
  const env = { PATH: process.env["PATH"], GIT_CONFIG_GLOBAL: join(state, ".gitconfig"), GIT_CONFIG_NOSYSTEM: "1" };
  return (await promisify(execFile)("git", [...args], { cwd: join(state, "fleet"), env })).stdout.trim();
}

/** Processes whose arguments contain a text. */
async function processes(text: string): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid,args"]);
  return stdout.split("\n").filter((line) => line.includes(text));
}

/** Git whose processes are noted: `log` answers the words of those since it was last asked. `first`: shell that runs before each. */
async function logged(t: TestContext, state: string, more: Parameters<typeof open>[1] = {}, first = ":") {
  const bin = await directory(t);
  await writeFile(join(bin, "log"), "");
  const script = `#!/bin/sh\necho "$@" >> ${bin}/log\n${first}\nexec ${await realGit()} "$@"\n`;
  await writeFile(join(bin, "git"), script, { mode: 0o755 });
  const git = open(state, { ...more, environment: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` } });
  const log = async () => {
    const lines = (await readFile(join(bin, "log"), "utf8")).split("\n").filter((line) => line !== "");
    await writeFile(join(bin, "log"), "");
    return lines.map((line) => line.split(" "));
  };
  return { git, log };
}

async function realGit(): Promise<string> {
  return (await promisify(execFile)("sh", ["-c", "command -v git"])).stdout.trim();
}

/** Git that speaks protocol 0, whose servers give out only commits that a ref names. */
async function withProtocolZero(state: string) {
  const bin = join(state, "..", `${state.split("/").at(-1) ?? ""}-bin`);
  await mkdir(bin);
  await writeFile(join(bin, "git"), `#!/bin/sh\nexec ${await realGit()} -c protocol.version=0 "$@"\n`, { mode: 0o755 });
  return open(state, { environment: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` } });
}

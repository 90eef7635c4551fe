/** Sources at a tag, a range of versions or a commit: real repositories, by a path, by http and by protocol 0. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test, type TestContext } from "node:test";
import { promisify } from "node:util";

import { revision, type Revision } from "../../src/core/names.ts";
import type { FixedRef } from "../../src/core/refs.ts";
import type { Git } from "../../src/ports.ts";
import { bad, content, directory, good, never, open, repository, source, webServer, type Repository } from "./git-repository.ts";

const range = (range: string, prefix = ""): FixedRef => ({ kind: "semver", range, prefix });
const tag = (tag: string): FixedRef => ({ kind: "tag", tag });
const commit = (revision: Revision): FixedRef => ({ kind: "commit", revision });
const at = (url: string, ref: FixedRef) => source(url, { branch: undefined, at: ref });
const login = { user: "pgo", password: "s3cret $HOME 'x'" };

/** v1.0.0 annotated, v1.1.0 a plain one, of commits that no branch begins with; main has gone on. */
async function released(t: TestContext) {
  const served = await repository(t);
  const [first, second] = [await served.commit({ a: "1.0.0" }), await served.commit({ a: "1.1.0" })];
  await served.git("tag", "--annotate", "-m", "The first", "v1.0.0", first);
  await served.git("tag", "v1.1.0", second);
  await served.git("push", "--quiet", "--tags", "origin");
  const main = await served.commit({ a: "main" });
  return { served, first, second, main };
}

async function found(git: Git, url: string, ref: FixedRef, previous?: Revision) {
  const head = good(await git.head(at(url, ref), never));
  const [exact, newest] = [
    good(await git.fetch(at(url, ref), head, previous, never)),
    good(await git.fetch(at(url, ref), "newest", previous, never)),
  ];
  assert.deepEqual(newest, exact);
  assert.equal(exact.revision, head);
  return { head, tag: exact.tag, a: content(exact.entries, "a"), rewritten: exact.rewritten };
}

/** As those behind an sshd that passes no GIT_PROTOCOL: they give out only what a ref names. */
async function protocolZero(t: TestContext): Promise<Git> {
  const bin = await directory(t);
  const real = (await promisify(execFile)("sh", ["-c", "command -v git"])).stdout.trim();
  await writeFile(join(bin, "git"), `#!/bin/sh\nexec ${real} -c protocol.version=0 "$@"\n`, { mode: 0o755 });
  return open(await directory(t), { environment: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` } });
}

const servers: Readonly<Record<string, (t: TestContext, served: Repository) => Promise<{ readonly url: string; readonly git: Git }>>> = {
  "on this machine": async (t, { path }) => ({ url: path, git: open(await directory(t)) }),
  "of a server that gives out only what a ref names": async (t, { path }) => ({ url: `file://${path}`, git: await protocolZero(t) }),
  "by http": async (t, served) => {
    const { url } = await webServer(t, served, login);
    return { url: url.replace("//", `//pgo:${encodeURIComponent(login.password)}@`), git: open(await directory(t)) };
  },
};

for (const [where, serve] of Object.entries(servers))
  suite(`a repository ${where}`, () => {
    test("is read at a tag, annotated or not, and at the newest of a range", async (t) => {
      const { served, first, second } = await released(t);
      const { url, git } = await serve(t, served);
      assert.deepEqual(await found(git, url, tag("v1.0.0")), { head: first, tag: "v1.0.0", a: "1.0.0", rewritten: false });
      assert.deepEqual(await found(git, url, tag("v1.1.0")), { head: second, tag: "v1.1.0", a: "1.1.0", rewritten: false });
      assert.deepEqual(await found(git, url, range("<1.1"), second), { head: first, tag: "v1.0.0", a: "1.0.0", rewritten: false });
      assert.deepEqual(await found(git, url, range("^1")), { head: second, tag: "v1.1.0", a: "1.1.0", rewritten: false });
    });

    test("is read at a commit that no branch begins with, and is not asked again", async (t) => {
      const { served, first, main } = await released(t);
      await served.git("push", "--quiet", "--delete", "origin", "v1.0.0", "v1.1.0");
      const { url, git } = await serve(t, served);
      assert.equal(good(await git.fetch(source(url), "newest", undefined, never)).revision, main);
      assert.deepEqual(await found(git, url, commit(first), main), { head: first, tag: undefined, a: "1.0.0", rewritten: false });
      await served.served("update-ref", "-d", "refs/heads/main");
      assert.equal((await found(git, url, commit(first))).a, "1.0.0");
    });

    test("that does not have the commit says what to do", async (t) => {
      const { served } = await released(t);
      const { url, git } = await serve(t, served);
      const nowhere = revision("123456789".repeat(5).slice(0, 40));
      const trouble = bad(await git.fetch(at(url, commit(nowhere)), nowhere, undefined, never));
      assert.match(
        trouble.reason,
        /^commit 1234567891234567891234567891234567891234 is in no branch or tag of .*: push it, or change commit/,
      );
      assert.equal(trouble.transient, false);
    });
  });

test("a new tag of the range is a new revision, one outside it and a commit without a tag are not", async (t) => {
  const { served, second } = await released(t);
  const git = open(await directory(t));
  const follows = at(served.path, range("^1"));
  good(await git.fetch(follows, "newest", undefined, never));
  await served.git("tag", "v2.0.0", await served.commit({ a: "2.0.0" }));
  await served.git("tag", "v1.2.0-rc.1");
  await served.git("push", "--quiet", "--tags", "origin");
  assert.equal(good(await git.head(follows, never)), second);
  await served.git("tag", "--annotate", "-m", "x", "v1.2.0");
  await served.git("push", "--quiet", "--tags", "origin");
  const { revision, tag, entries } = good(await git.fetch(follows, "newest", second, never));
  assert.deepEqual([revision, tag, content(entries, "a")], [await served.git("rev-parse", "HEAD"), "v1.2.0", "2.0.0"]);
});

test("tags of two lines of history, and one that was taken back, are no rewritten branch", async (t) => {
  const { served, first, second, main } = await released(t);
  await served.git("checkout", "--quiet", "--orphan", "other");
  await served.git("tag", "v1.2.0", await served.commit({ a: "1.2.0" }));
  await served.git("push", "--quiet", "--tags", "origin");
  const git = open(await directory(t));
  for (const previous of [first, second, main])
    assert.equal(good(await git.fetch(at(served.path, range("^1")), "newest", previous, never)).rewritten, false);
  await served.git("push", "--quiet", "--delete", "origin", "v1.2.0");
  const back = good(await git.fetch({ ...at(served.path, range("^1")), trailers: true }, "newest", main, never));
  assert.deepEqual([back.tag, back.rewritten], ["v1.1.0", false]);
});

test("a tag that is not there is named with those that are, and waiting does not mend it", async (t) => {
  const { served } = await released(t);
  const git = open(await directory(t));
  const cases: readonly (readonly [FixedRef, string])[] = [
    [
      tag("v1.1.1"),
      `tag "v1.1.1" is not in ${served.path} (did you mean "v1.1.0"?): there are v1.1.0, v1.0.0; push it, or change tag in pgo.toml`,
    ],
    [range("^2"), `no tag of ${served.path} is within semver "^2": there are v1.1.0, v1.0.0; push one, or change semver in pgo.toml`],
    [
      range("^2", "pgo-"),
      `no tag of ${served.path} is within semver "^2": none of its tags is "pgo-" and a version; push one, or change semver in pgo.toml`,
    ],
  ];
  for (const [ref, reason] of cases) {
    const expected = { reason, transient: false };
    assert.deepEqual(bad(await git.head(at(served.path, ref), never)), expected);
    assert.deepEqual(bad(await git.fetch(at(served.path, ref), "newest", undefined, never)), expected);
  }
  const bare = await repository(t);
  await bare.commit({ a: "1" });
  assert.match(bad(await git.head(at(bare.path, tag("v1")), never)).reason, /: it has no tags; push it/);
});

test("a poll for tags is one ls-remote that asks for tags alone, and for a commit none", async (t) => {
  const { served, first } = await released(t);
  const bin = await directory(t);
  const real = (await promisify(execFile)("sh", ["-c", "command -v git"])).stdout.trim();
  const log = join(bin, "log");
  await writeFile(log, "");
  await writeFile(join(bin, "git"), `#!/bin/sh\necho "$@" >> ${log}\nexec ${real} "$@"\n`, { mode: 0o755 });
  const git = open(await directory(t), { environment: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` } });
  for (const ref of [tag("v1.0.0"), range("^1"), commit(first)]) good(await git.head(at(served.path, ref), never));
  assert.deepEqual((await readFile(log, "utf8")).trim().split("\n"), ["ls-remote --tags origin", "ls-remote --tags origin"]);
});

test("pgo's own repository, at the newest tag of a range, brings the quadlet of each release", async (t) => {
  const served = await repository(t);
  const release = async (version: string) => {
    const quadlet = `[Container]\nImage=ghcr.io/podman-gitops/pgo:${version}\n`;
    const made = await served.commit({ "quadlet/pgo.container": quadlet, "src/main.ts": version });
    await served.git("tag", "--annotate", "-m", version, `v${version}`);
    await served.git("push", "--quiet", "--tags", "origin");
    return made;
  };
  const git = open(await directory(t));
  const own = source(served.path, { branch: undefined, at: range(">=0.1 <1"), paths: ["quadlet"] });
  const first = await release("0.1.0");
  assert.equal(good(await git.fetch(own, "newest", undefined, never)).revision, first);
  await release("0.2.0-rc.1");
  assert.equal(good(await git.head(own, never)), first);
  const second = await release("0.2.0");
  assert.equal(good(await git.head(own, never)), second);
  const snapshot = good(await git.fetch(own, second, first, never));
  assert.deepEqual([...snapshot.entries.keys()], ["quadlet/pgo.container"]);
  assert.match(content(snapshot.entries, "quadlet/pgo.container"), /^Image=ghcr\.io\/podman-gitops\/pgo:0\.2\.0$/m);
});

import assert from "node:assert/strict";
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { trouble } from "../../src/core/result.ts";
import { bad, content, directory, good, never, open, repository, source, webServer } from "./git-repository.ts";

const password = "s3cret $HOME 'x'";
const auth = { username: "pgo", password: { file: "git.token" } };

test("a password opens an http source, and stands in no file", async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ a: "1", "b/c": "2" });
  const web = await webServer(t, served, { user: "pgo", password });
  const state = await directory(t);
  const git = open(state);
  for (const paths of [["."], ["b"]]) {
    const fleet = source(web.url, { auth, paths });
    assert.equal(good(await git.head(fleet, never)), commit);
    assert.equal(content(good(await git.fetch(fleet, commit, undefined, never)).entries, "b/c"), "2");
  }
  const files = (await readdir(state, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  assert.ok(files.length > 5);
  for (const file of files) assert.ok(!(await readFile(join(file.parentPath, file.name))).includes("s3cret"), file.name);
});

test("a login in the URL works like one beside it, and is not in the clone", async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ a: "1" });
  const web = await webServer(t, served, { user: "pgo", password });
  const state = await directory(t);
  const fleet = source(web.url.replace("//", `//pgo:${encodeURIComponent(password)}@`));
  assert.equal(good(await open(state).head(fleet, never)), commit);
  good(await open(state).fetch(fleet, commit, undefined, never));
  assert.ok(!(await readFile(join(state, "fleet/pgo-clone"), "utf8")).includes("s3cret"));
  web.answer = 500;
  assert.doesNotMatch(bad(await open(state).head(fleet, never)).reason, /s3cret/);
});

test("a wrong, a missing and an unreadable password say what to do, and never the password", async (t) => {
  const served = await repository(t);
  await served.commit({ a: "1" });
  const web = await webServer(t, served, { user: "pgo", password: "another" });
  const state = await directory(t);
  const reason = async (git = open(state), fleet = source(web.url, { auth })) => bad(await git.head(fleet, never));
  assert.deepEqual(await reason(), {
    reason: `${web.url} refuses the user name or password: renew the token that auth in pgo.toml names`,
    transient: false,
  });
  assert.deepEqual(await reason(open(state), source(web.url)), {
    reason: `${web.url} wants a login: add auth = { username = …, password = { file = … } } to the source in pgo.toml`,
    transient: false,
  });
  assert.deepEqual(await reason(open(state, { secrets: () => Promise.resolve(trouble("secret file x is not there")) })), {
    reason: "secret file x is not there",
    transient: false,
  });
});

test("a password is not sent to another server that the source's redirects to", async (t) => {
  const served = await repository(t);
  await served.commit({ a: "1" });
  const web = await webServer(t, served, { user: "pgo", password });
  const other = await webServer(t, served, { user: "pgo", password });
  web.answer = { redirect: new URL(other.url).origin };
  const refused = bad(await open(await directory(t)).head(source(web.url, { auth }), never));
  assert.equal(refused.transient, false);
  assert.ok(other.requests.length > 0);
  assert.deepEqual(
    other.requests.filter((request) => request.endsWith("login")),
    [],
  );
});

test("the user's .netrc is not read", async (t) => {
  const served = await repository(t);
  await served.commit({ a: "1" });
  const web = await webServer(t, served, { user: "pgo", password: "netrc" });
  const home = await directory(t);
  await writeFile(join(home, ".netrc"), "machine 127.0.0.1 login pgo password netrc\n", { mode: 0o600 });
  const git = open(await directory(t), { environment: { ...process.env, HOME: home } });
  assert.match(bad(await git.head(source(web.url), never)).reason, /wants a login/);
});

test("a server in trouble is transient, one that says no is not", async (t) => {
  const served = await repository(t);
  const commit = await served.commit({ a: "1" });
  const web = await webServer(t, served, { user: "pgo", password });
  const git = open(await directory(t));
  const answers = { 500: true, 502: true, 503: true, 429: true, 403: false, 404: false };
  for (const [status, transient] of Object.entries(answers)) {
    web.answer = Number(status);
    const fleet = source(web.url, { auth });
    const troubles = [bad(await git.head(fleet, never)), bad(await git.fetch(fleet, commit, undefined, never))];
    for (const found of troubles) assert.deepEqual([status, found.transient], [status, transient]);
  }
});

test("a poll over http costs the server no more than git alone does", async (t) => {
  const served = await repository(t);
  await served.commit({ a: "1" });
  const web = await webServer(t, served, { user: "pgo", password });
  good(await open(await directory(t)).head(source(web.url, { auth }), never));
  assert.deepEqual(web.requests, [
    "GET /fleet.git/info/refs?service=git-upload-pack -",
    "GET /fleet.git/info/refs?service=git-upload-pack login",
    "POST /fleet.git/git-upload-pack login",
  ]);
});

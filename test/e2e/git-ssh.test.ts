import assert from "node:assert/strict";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { appendFile, chmod, copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

import { revision, sourceName } from "../../src/core/names.ts";
import { bad, content, directory, good, never, open, repository, source, type Repository } from "../adapters/git-repository.ts";

const sshd = "/usr/sbin/sshd";
const needs = { skip: existsSync(sshd) ? false : "needs sshd: apt-get install openssh-server" };
const nowhere = revision("0".repeat(40));

interface SshServer {
  readonly served: Repository;
  readonly port: number;
  readonly url: string;
  readonly auth: { readonly ssh_key: string; readonly known_hosts: string };
  /** A key pair: the path of its private half. */
  key(name: string, ...options: readonly string[]): Promise<string>;
  /** Stops it, and starts it with another host key if one is given. */
  restart(hostKey?: string): Promise<void>;
}

/** An sshd of the test's own, for its own user, whose files have names that need quoting; `more`: options of sshd_config(5). */
async function sshServer(t: TestContext, ...more: readonly string[]): Promise<SshServer> {
  const served = await repository(t);
  const at = join(await directory(t), `it's "a" 100%h dir`);
  await mkdir(at);
  // sshd's own configuration can't name files so.
  const plain = await directory(t);
  if (process.getuid?.() === 0) await mkdir("/run/sshd", { recursive: true });
  const key = async (name: string, ...options: readonly string[]) => {
    const path = join(at, name);
    await promisify(execFile)("ssh-keygen", ["-q", "-t", "ed25519", "-f", path, ...(options.length === 0 ? ["-N", ""] : options)]);
    return path;
  };
  const port = await freePort();
  const client = await key("id client");
  const host = await key("host");
  await copyFile(`${client}.pub`, join(plain, "authorized_keys"));
  const knownHosts = join(at, "known hosts");
  await writeFile(knownHosts, `[127.0.0.1]:${String(port)} ${(await readFile(`${host}.pub`, "utf8")).trim()}\n`);
  let running: ChildProcess | undefined;
  const stop = async () => {
    if (running === undefined) return;
    const closed = new Promise((resolve) => running?.once("close", resolve));
    running.kill();
    await closed;
    running = undefined;
  };
  const start = async (hostKey: string) => {
    await copyFile(hostKey, join(plain, "host_key"));
    await chmod(join(plain, "host_key"), 0o600);
    const options = [
      "PidFile=none",
      "UsePAM=no",
      "StrictModes=no",
      "PermitRootLogin=yes",
      "PasswordAuthentication=no",
      "ListenAddress=127.0.0.1",
    ];
    options.push(`HostKey=${plain}/host_key`, `AuthorizedKeysFile=${plain}/authorized_keys`, ...more);
    const args = ["-D", "-e", "-f", "/dev/null", "-p", String(port), ...options.flatMap((option) => ["-o", option])];
    const child = spawn(sshd, args, { stdio: ["ignore", "ignore", "pipe"] });
    running = child;
    let said = "";
    await new Promise<void>((resolve, reject) => {
      child.once("close", () => {
        reject(new Error(`sshd ended: ${said}`));
      });
      child.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes("Server listening")) resolve();
      });
    });
  };
  t.after(stop);
  await start(host);
  return {
    served,
    port,
    url: `ssh://${userInfo().username}@127.0.0.1:${String(port)}${served.path}`,
    auth: { ssh_key: client, known_hosts: knownHosts },
    key,
    async restart(hostKey) {
      await stop();
      if (hostKey !== undefined) await start(hostKey);
    },
  };
}

test("a key and known hosts open an SSH source, whatever the names of their files", needs, async (t) => {
  // Debian's sshd accepts no GIT_PROTOCOL: then git speaks protocol 0, where nothing is given out by its hash but what a ref names.
  for (const options of [[], ["AcceptEnv=GIT_PROTOCOL"]]) {
    const server = await sshServer(t, ...options);
    await server.served.served("config", "uploadpack.allowFilter", "true");
    const first = await server.served.commit({ "a/b": "1", "c/d": "2" });
    const git = open(await directory(t));
    const all = source(server.url, { auth: server.auth, name: sourceName("all") });
    const some = source(server.url, { auth: server.auth, name: sourceName("some"), paths: ["c"] });
    for (const fleet of [all, some]) {
      assert.equal(good(await git.head(fleet, never)), first);
      assert.equal(content(good(await git.fetch(fleet, first, undefined, never)).entries, "c/d"), "2");
    }
    const second = await server.served.commit({ "c/d": "3" });
    for (const fleet of [all, some]) assert.equal(content(good(await git.fetch(fleet, second, first, never)).entries, "c/d"), "3");
    await server.served.git("reset", "--quiet", "--hard", first);
    const third = await server.served.commit({ "c/d": "4" });
    for (const fleet of [all, some]) assert.equal(good(await git.fetch(fleet, third, second, never)).rewritten, true);
  }
});

test("an unknown host key is refused with what to do, and is not learnt", needs, async (t) => {
  const server = await sshServer(t);
  await server.served.commit({ a: "1" });
  const empty = join(await directory(t), "known_hosts");
  await writeFile(empty, "");
  const git = open(await directory(t));
  const fleet = source(server.url, { auth: { ...server.auth, known_hosts: empty } });
  for (const found of [bad(await git.head(fleet, never)), bad(await git.fetch(fleet, nowhere, undefined, never))])
    assert.deepEqual(found, {
      reason: `the host key of 127.0.0.1 is not known: run "ssh-keyscan -p ${String(server.port)} 127.0.0.1 >> ${empty}" and compare the fingerprint with the server's`,
      transient: false,
    });
  assert.equal(await readFile(empty, "utf8"), "");
  // The advice is good advice.
  const { stdout } = await promisify(execFile)("ssh-keyscan", ["-p", String(server.port), "127.0.0.1"]);
  await appendFile(empty, stdout);
  good(await git.head(fleet, never));
});

test("a changed host key is refused until a person says otherwise", needs, async (t) => {
  const server = await sshServer(t);
  await server.served.commit({ a: "1" });
  const git = open(await directory(t));
  const fleet = source(server.url, { auth: server.auth });
  good(await git.head(fleet, never));
  const before = await readFile(server.auth.known_hosts, "utf8");
  await server.restart(await server.key("other host"));
  const found = bad(await git.head(fleet, never));
  assert.equal(found.transient, false);
  assert.match(found.reason, /^the host key of 127\.0\.0\.1 is not the known one: someone may be listening in/);
  assert.equal(await readFile(server.auth.known_hosts, "utf8"), before);
});

test("a key that is not let in, is missing, open to others, locked, or no key at all says so", needs, async (t) => {
  const server = await sshServer(t);
  await server.served.commit({ a: "1" });
  const git = open(await directory(t));
  const reason = async (ssh_key: string) => {
    const found = bad(await git.head(source(server.url, { auth: { ...server.auth, ssh_key } }), never));
    assert.equal(found.transient, false);
    return found.reason;
  };
  assert.match(
    await reason(await server.key("stranger")),
    /lets nobody in with this login \(permission denied\): allow the public half of .*stranger/,
  );
  assert.match(await reason("/nowhere/id"), /^SSH key \/nowhere\/id can't be read \(ENOENT\): check the path/);
  await chmod(server.auth.ssh_key, 0o644);
  assert.match(await reason(server.auth.ssh_key), /is readable by others and ssh won't use it: chmod 600 it/);
  assert.match(await reason(await server.key("locked", "-N", "passphrase")), /without passphrase/);
  const text = join(await directory(t), "text");
  await writeFile(text, "not a key\n", { mode: 0o600 });
  assert.match(await reason(text), /can't be used: .*: it must be a private key/);
});

test("a repository or branch that is not there is no transient trouble, a server that is down is", needs, async (t) => {
  const server = await sshServer(t);
  const commit = await server.served.commit({ a: "1" });
  const git = open(await directory(t));
  const fleet = source(server.url, { auth: server.auth });
  const gone = bad(await git.head({ ...fleet, url: `${server.url}x` }, never));
  assert.deepEqual(
    [gone.transient, gone.reason],
    [false, `${server.url}x is not a repository, or this login may not see it: check url and auth in pgo.toml`],
  );
  assert.match(bad(await git.head({ ...fleet, branch: "trunk" }, never)).reason, /^branch "trunk" is not in ssh:/);
  good(await git.fetch(fleet, commit, undefined, never));
  await server.restart();
  const down = bad(await git.head(fleet, never));
  assert.deepEqual(down, { reason: `connect to host 127.0.0.1 port ${String(server.port)}: Connection refused`, transient: true });
  assert.equal(bad(await git.fetch(fleet, nowhere, commit, never)).transient, true);
  good(await git.fetch(fleet, commit, undefined, never));
});

test("a server that accepts and stays silent is given up in time, and no ssh stays behind", needs, async (t) => {
  const silent = createServer();
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  t.after(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  const fleet = source(`ssh://git@127.0.0.1:${String(port)}/silent.git`);
  const late = bad(await open(await directory(t), { deadlines: { head: 1000, fetch: 1000 } }).head(fleet, never));
  assert.deepEqual(late, { reason: `git ls-remote of ${fleet.url}: not done within 1 s`, transient: true });
  assert.deepEqual(await processes(String(port)), []);
  for (const ask of ["head", "fetch"] as const) {
    const git = open(await directory(t));
    const stop = new AbortController();
    const work = ask === "head" ? git.head(fleet, stop.signal) : git.fetch(fleet, nowhere, undefined, stop.signal);
    const rejected = assert.rejects(work, /stopping/);
    while ((await processes(String(port))).length === 0) await pause(20);
    stop.abort(new Error("stopping"));
    await rejected;
    assert.deepEqual(await processes(String(port)), []);
  }
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** ssh processes to a port. */
async function processes(port: string): Promise<readonly string[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "pid,args"]);
  return stdout.split("\n").filter((line) => line.includes("ssh") && line.includes(`-p ${port}`));
}

import assert from "node:assert/strict";
import { test } from "node:test";

import { addressOf } from "../../src/adapters/git/access.ts";
import { commitOf, isRewritten, objectContents, remoteRef, treePaths } from "../../src/adapters/git/tree.ts";
import { failureOf, spoken, type About } from "../../src/adapters/git/trouble.ts";
import { revision } from "../../src/core/names.ts";
import { success } from "../../src/core/result.ts";

const about: About = {
  url: "ssh://git@git.example.com:2222/ops/fleet.git",
  host: "git.example.com",
  port: "2222",
  branch: "main",
  sshKey: "/etc/pgo/id_ed25519",
  knownHosts: "/etc/pgo/known_hosts",
  secrets: ["pa$$word"],
};
const remote =
  "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n";

/** What git and ssh printed, as seen with git 2.39 to 2.47, OpenSSH 9 and 10, GnuTLS and OpenSSL. */
const seen: readonly (readonly [stderr: string, transient: boolean, reason: RegExp])[] = [
  [
    `ssh: connect to host git.example.com port 2222: Connection refused\r\n${remote}`,
    true,
    /^connect to host git\.example\.com port 2222: Connection refused$/,
  ],
  [`ssh: connect to host git.example.com port 2222: No route to host\r\n${remote}`, true, /No route to host$/],
  [`ssh: connect to host git.example.com port 22: Connection timed out\r\n${remote}`, true, /Connection timed out$/],
  [
    `ssh: Could not resolve hostname git.example.com: Name or service not known\r\n${remote}`,
    true,
    /^find git\.example\.com: .*Name or service not known$/,
  ],
  [`ssh: Could not resolve hostname git.example.com: Temporary failure in name resolution\r\n${remote}`, true, /Temporary failure/],
  [
    `kex_exchange_identification: Connection closed by remote host\r\nConnection closed by 192.0.2.1 port 22\r\n${remote}`,
    true,
    /Connection closed/,
  ],
  [`Connection reset by 192.0.2.1 port 22\r\n${remote}`, true, /Connection reset/],
  [`Connection timed out during banner exchange\r\nConnection to 192.0.2.1 port 22 timed out\r\n${remote}`, true, /timed out/],
  [`Timeout, server git.example.com not responding.\r\n${remote}`, true, /not responding/],
  [remote, true, /^read ssh:.*: Could not read from remote repository\.$/],
  [
    "fetch-pack: unexpected disconnect while reading sideband packet\nfatal: early EOF\nfatal: fetch-pack: invalid index-pack output\n",
    true,
    /disconnect|early EOF/,
  ],
  ["fatal: the remote end hung up unexpectedly\n", true, /hung up/],
  ["error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502\nfatal: expected flush after ref listing\n", true, /502/],
  ["fatal: unable to access 'https://git.example.com/': Could not resolve host: git.example.com\n", true, /^find git\.example\.com: .*$/],
  [
    "fatal: unable to access 'https://git.example.com/': Failed to connect to git.example.com port 443 after 3 ms: Couldn't connect to server\n",
    true,
    /^connect to git\.example\.com port 443/,
  ],
  ["fatal: unable to access 'https://git.example.com/': The requested URL returned error: 503\n", true, /503/],
  [
    "fatal: unable to access 'https://git.example.com/': Operation too slow. Less than 500 bytes/sec transferred the last 60 seconds\n",
    true,
    /too slow/,
  ],
  [
    "fatal: unable to access 'https://git.example.com/': gnutls_handshake() failed: The TLS connection was non-properly terminated.\n",
    true,
    /gnutls_handshake/,
  ],
  ["Error: spawn git EAGAIN\n", true, /EAGAIN/],
  ["", true, /without a word/],

  [
    `git@git.example.com: Permission denied (publickey).\r\n${remote}`,
    false,
    /permission denied\): allow the public half of \/etc\/pgo\/id_ed25519 .* to read ssh:/,
  ],
  [
    `@@@\nWARNING: UNPROTECTED PRIVATE KEY FILE!\n@@@\nPermissions 0644 for '/etc/pgo/id_ed25519' are too open.\nThis private key will be ignored.\nLoad key "/etc/pgo/id_ed25519": bad permissions\ngit@x: Permission denied (publickey).\n${remote}`,
    false,
    /chmod 600/,
  ],
  [
    `Load key "/etc/pgo/id_ed25519": error in libcrypto\r\ngit@x: Permission denied (publickey).\r\n${remote}`,
    false,
    /can't be used: error in libcrypto: it must be/,
  ],
  [
    `No ED25519 host key is known for [git.example.com]:2222 and you have requested strict checking.\r\nHost key verification failed.\r\n${remote}`,
    false,
    /^the host key of git\.example\.com is not known: run "ssh-keyscan -p 2222 git\.example\.com >> \/etc\/pgo\/known_hosts" and compare the fingerprint/,
  ],
  [
    `@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\r\nThe fingerprint for the ED25519 key sent by the remote host is\r\nSHA256:abc.\r\nHost key verification failed.\r\n${remote}`,
    false,
    /is not the known one: .* "ssh-keygen -R '\[git\.example\.com\]:2222' -f \/etc\/pgo\/known_hosts" and "ssh-keyscan/,
  ],
  [
    `Unable to negotiate with 192.0.2.1 port 22: no matching host key type found. Their offer: ssh-rsa\r\n${remote}`,
    false,
    /no matching host key type/,
  ],
  [`ERROR: Repository not found.\n${remote}`, false, /is not a repository, or this login may not see it/],
  [
    `remote: \nremote: The project you were looking for could not be found or you don't have permission to view it.\n${remote}`,
    false,
    /is not a repository/,
  ],
  [`fatal: '/srv/x.git' does not appear to be a git repository\n${remote}`, false, /is not a repository/],
  ["remote: Not Found\nfatal: repository 'https://git.example.com/x.git/' not found\n", false, /is not a repository/],
  ["fatal: Authentication failed for 'https://git.example.com/x.git/'\n", false, /refuses the user name or password/],
  ["fatal: could not read Username for 'https://git.example.com': terminal prompts disabled\n", false, /wants a login/],
  ["fatal: unable to access 'https://git.example.com/': The requested URL returned error: 403\n", false, /forbids reading/],
  ["fatal: couldn't find remote ref refs/heads/main\n", false, /^branch "main" is not in/],
  [
    "fatal: unable to access 'https://git.example.com/': server certificate verification failed. CAfile: none CRLfile: none\n",
    false,
    /TLS certificate of git\.example\.com is not trusted: .*GIT_SSL_CAINFO/,
  ],
  [
    "fatal: unable to access 'https://git.example.com/': SSL certificate problem: self-signed certificate in certificate chain\n",
    false,
    /self-signed.*GIT_SSL_CAINFO/,
  ],
  ["fatal: transport 'ext' not allowed\n", false, /not a URL that pgo takes/],
  [
    "fatal: write error: No space left on device\nfatal: fetch-pack: invalid index-pack output\n",
    false,
    /clone can't be written: No space left on device/,
  ],
];

test("what git and ssh print becomes a reason, transient only where waiting may help", () => {
  for (const [stderr, transient, reason] of seen) {
    const failure = failureOf(stderr, about);
    assert.match(failure.reason, reason);
    assert.equal(failure.transient, transient, failure.reason);
    assert.ok(!/[\r\n]/.test(failure.reason));
  }
});

test("only a failure that may be the clone's has a new one made", () => {
  const fault = (stderr: string) => failureOf(stderr, about).fault;
  assert.equal(fault("fatal: Unable to create '/var/lib/pgo/git/fleet/shallow.lock': File exists.\n\nAnother git process\n"), "clone");
  assert.equal(fault("error: object file ./objects/ab/cd is empty\nfatal: loose object abcd is corrupt\n"), "clone");
  assert.equal(fault("fatal: words never heard\n"), "clone");
  assert.equal(fault(remote), "remote");
  assert.equal(fault("fatal: write error: No space left on device\n"), "disk");
});

test("a reason shows no password, no control characters, and has an end", () => {
  assert.equal(spoken("to https://pgo:abc@host/x\u001B[31m\r\n  and pa$$word", ["pa$$word", ""]), "to https://***@host/x [31m and ***");
  assert.equal(spoken("ssh://git@host/x", []), "ssh://git@host/x");
  assert.equal(spoken("x".repeat(1000), []).length, 400);
  assert.doesNotMatch(failureOf("fatal: strange words about pa$$word\n", about).reason, /pa\$\$/);
});

test("addresses are taken apart as git does it", () => {
  const short = (url: string) => {
    const { kind, host, port } = addressOf(url);
    return [kind, host, port];
  };
  assert.deepEqual(short("ssh://git@git.example.com:2222/a.git"), ["ssh", "git.example.com", "2222"]);
  assert.deepEqual(short("git@git.example.com:a/b.git"), ["ssh", "git.example.com", ""]);
  assert.deepEqual(short("host:a"), ["ssh", "host", ""]);
  assert.deepEqual(short("ssh://[2001:db8::1]:22/a"), ["ssh", "2001:db8::1", "22"]);
  assert.deepEqual(short("git@[2001:db8::1]:a"), ["ssh", "2001:db8::1", ""]);
  assert.deepEqual(short("https://git.example.com/a"), ["http", "git.example.com", ""]);
  for (const path of ["/srv/a.git", "./a:b", "../a", "file:///srv/a.git", "ext::sh -c x", "--upload-pack=x"])
    assert.equal(short(path)[0], "path", path);
  const login = addressOf("https://me:a%2Fb@git.example.com:8443/a");
  assert.deepEqual(login, {
    kind: "http",
    url: "https://git.example.com:8443/a",
    host: "git.example.com",
    port: "8443",
    username: "me",
    password: "a/b",
  });
});

test("paths of a source are made those of a tree", () => {
  assert.deepEqual(treePaths(["./hosts/pi/", "/common", "a//b/../c"]), success(["hosts/pi", "common", "a/c"]));
  assert.deepEqual(treePaths(["hosts", "."]), success([]));
  for (const path of ["..", "../x", "a/../../b"]) assert.equal(treePaths([path]).ok, false, path);
});

test("a commit is read with signature, encoding and odd subjects", () => {
  const commit = commitOf(
    Buffer.from(
      "tree 1\nparent aa\nparent bb\nauthor Jos\xe9 <j@x> 1700000000 +0100\ncommitter x <y> 1700000001 +0100\nencoding ISO-8859-1\ngpgsig -----BEGIN\n author no\n parent no\n\n\n  Fu\xdf\u0007note\t!  \n\nauthor body <x> 1 +0000\n",
      "latin1",
    ),
  );
  assert.deepEqual(commit, {
    ...{ author: "José <j@x>", subject: "Fuß note !", parents: ["aa", "bb"], committedAt: new Date(1_700_000_001_000) },
    message: "Fuß\u0007note\t!  \n\nauthor body <x> 1 +0000\n",
  });
  assert.equal(commitOf(Buffer.from("tree 1\nauthor a <b> 1 +0000\nencoding nonsense\n\nx")).subject, "x");
  assert.equal(commitOf(Buffer.from("tree 1\nauthor a <b> 1 +0000\ncommitter nobody\n\nx")).committedAt, undefined);
});

test("objects are taken only whole and with their own hash", () => {
  const good = Buffer.from("ce013625030ba8dba906f756967f9e9ca394464a blob 6\nhello\n\n");
  const read = objectContents(good);
  assert.ok(read.ok && Buffer.from(read.value.get("ce013625030ba8dba906f756967f9e9ca394464a") ?? []).toString() === "hello\n");
  for (const bad of [good.subarray(0, 50), Buffer.from(good.toString().replace("hello", "hallo")), Buffer.from("ce01 missing\n")])
    assert.equal(objectContents(bad).ok, false, bad.toString());
});

test("of the refs that a server lists, only the one that was asked for counts", () => {
  assert.equal(remoteRef("aa\trefs/heads/x/refs/heads/main\nbb\trefs/heads/main\n", "refs/heads/main"), "bb");
  assert.equal(remoteRef("aa\trefs/remotes/origin/HEAD\n", "HEAD"), undefined);
  assert.equal(remoteRef("", "HEAD"), undefined);
});

test("a branch is rewritten only where that is known", () => {
  const previous = revision("a".repeat(40));
  const history = new Set(["c2", "c1", "c0"]);
  const unknown = { shallow: ["c0"], previousParents: ["elsewhere"] };
  assert.equal(isRewritten(previous, new Set([...history, previous]), { shallow: [], previousParents: ["c1"] }), false);
  assert.equal(isRewritten(previous, history, unknown), false);
  assert.equal(isRewritten(previous, history, { ...unknown, previousParents: undefined }), false);
  assert.equal(isRewritten(previous, history, { ...unknown, shallow: ["of another commit"] }), true);
  assert.equal(isRewritten(previous, history, { ...unknown, previousParents: ["c1"] }), true);
});

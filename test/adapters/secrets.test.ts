import assert from "node:assert/strict";
import { chmod, mkdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { openClock } from "../../src/adapters/clock.ts";
import { openSecrets, readSecret, type SecretPlaces, type SecretSources } from "../../src/adapters/secrets.ts";
import { success } from "../../src/core/result.ts";
import type { Secrets } from "../../src/ports.ts";
import { assertSilent, planted } from "../planted.ts";
import { directory } from "./git-repository.ts";

const places = (directory: string, more: Partial<SecretPlaces> = {}): SecretPlaces => ({
  directory,
  missing: "error",
  environment: {},
  ...more,
});

test("a file's text without its last line break, by whole path or below the secrets directory", async (t) => {
  const at = await directory(t);
  await writeFile(join(at, "token"), "  a$b\n\n");
  await writeFile(join(at, "dos"), "x\r\n");
  assert.deepEqual(await readSecret({ file: "token" }, places(at)), success("  a$b\n"));
  assert.deepEqual(await readSecret({ file: join(at, "dos") }, places("/nowhere")), success("x"));
});

test("a relative file can't lead out of the secrets directory", async (t) => {
  const at = await directory(t);
  await mkdir(join(at, "secrets"));
  await writeFile(join(at, "token"), "x");
  for (const file of ["../token", "a/../../token"]) {
    const found = await readSecret({ file }, places(join(at, "secrets"), { missing: "empty" }));
    assert.ok(!found.ok && found.trouble.includes("lies outside of"), file);
  }
});

test("a variable: pgo's environment before the *.env files, of these the last by name, dollar signs untouched", async (t) => {
  const at = await directory(t);
  await writeFile(join(at, "10.env"), "A=first\nB=\"pa$$word # ${A}\"\n# C=no\nexport D='x'\n");
  await writeFile(join(at, "20.env"), "A=second\n");
  await writeFile(join(at, "30.txt"), "A=third\n");
  assert.deepEqual(await readSecret({ env: "A" }, places(at)), success("second"));
  assert.deepEqual(await readSecret({ env: "A" }, places(at, { environment: { A: "own" } })), success("own"));
  assert.deepEqual(await readSecret({ env: "B" }, places(at)), success("pa$$word # ${A}"));
  assert.deepEqual(await readSecret({ env: "D" }, places(at)), success("x"));
  const missing = await readSecret({ env: "C" }, places(at));
  assert.deepEqual(missing, { ok: false, trouble: `secret C is not set: add a line C=… to a *.env file in ${at}` });
  for (const name of ["constructor", "__proto__", "toString"]) assert.equal((await readSecret({ env: name }, places(at))).ok, false, name);
});

test("a credential of systemd's, by name only", async (t) => {
  const at = await directory(t);
  await writeFile(join(at, "token"), "x\n");
  const environment = { CREDENTIALS_DIRECTORY: at };
  assert.deepEqual(await readSecret({ credential: "token" }, places("/nowhere", { environment })), success("x"));
  const absent = 'credential "token" is not there: add LoadCredential=token:/PATH to pgo\'s unit';
  assert.deepEqual(await readSecret({ credential: "token" }, places(at)), { ok: false, trouble: absent });
  assert.equal((await readSecret({ credential: "../token" }, places(at, { environment }))).ok, false);
});

test("what is missing is an error, an empty value with a warning, or just empty", async (t) => {
  const at = await directory(t);
  for (const reference of [{ file: "x" }, { env: "X" }, { credential: "x" }]) {
    const told: string[] = [];
    const warn = (message: string) => told.push(message);
    const error = await readSecret(reference, places(at, { warn }));
    assert.ok(!error.ok);
    assert.deepEqual(await readSecret(reference, places(at, { missing: "empty", warn })), success(""));
    assert.deepEqual(told, []);
    assert.deepEqual(await readSecret(reference, places(at, { missing: "warn", warn })), success(""));
    assert.deepEqual(told, [`${error.trouble}; taken as empty`]);
  }
});

test("what is there but can't be read is a trouble whatever missing says", async (t) => {
  const at = await directory(t);
  await mkdir(join(at, "folder"));
  await mkdir(join(at, "folder.env"));
  for (const reference of [{ file: "folder" }, { env: "X" }]) {
    const found = await readSecret(reference, places(at, { missing: "empty" }));
    assert.ok(!found.ok && found.trouble.includes("EISDIR"));
  }
});

test("what ctl has set comes after the *.env files, and pgo's environment after that", async (t) => {
  const at = await directory(t);
  const own = join(at, "own");
  await mkdir(own);
  await writeFile(join(at, "99.env"), "A=file\nB=file\n");
  await writeFile(join(own, "ctl.env"), "A='ctl'\nC='ctl'\n");
  const read = (env: string) => readSecret({ env }, places(at, { own, environment: { C: "environment" } }));
  assert.deepEqual(await Promise.all(["A", "B", "C"].map(read)), [success("ctl"), success("file"), success("environment")]);
  assert.deepEqual(await readSecret({ env: "B" }, places(at, { own: join(at, "nowhere") })), success("file"));
});

// ---- all of them ----

const { signal } = new AbortController();

interface Scene {
  readonly at: string;
  readonly own: string;
  readonly manager: Map<string, string>;
  readonly secrets: Secrets;
  readonly asked: { times: number };
}

async function scene(t: TestContext, more: Partial<SecretSources> = {}): Promise<Scene> {
  const root = await directory(t);
  const [at, own] = [join(root, "secrets"), join(root, "own")];
  for (const one of [at, own]) await mkdir(one, { mode: 0o700 });
  const manager = new Map<string, string>();
  const asked = { times: 0 };
  const read = () => {
    asked.times++;
    return Promise.resolve(manager);
  };
  const sources = { directory: at, own, environment: {}, manager: { allowed: [], read }, watched: [], clock: openClock() };
  return {
    at,
    own,
    manager,
    asked,
    secrets: openSecrets({ ...sources, ...more, manager: { allowed: more.manager?.allowed ?? [], read } }),
  };
}

const allowed = (...names: string[]) => ({ allowed: names, read: () => Promise.resolve(new Map<string, string>()) });

test("all values: of one name pgo's environment wins, then ctl's, then the files, then what is allowed of systemd's", async (t) => {
  const environment = { A: "environment", PATH: "/bin", HOME: "/root", PGO_MODE: "rootful", NODE_VERSION: "24", X: undefined };
  const { at, own, manager, secrets } = await scene(t, { environment, manager: allowed("A", "B", "D", "SHOP_*") });
  for (const name of ["A", "B", "D", "E", "SHOP_DB", "PATH"]) manager.set(name, "manager");
  await writeFile(join(at, "10.env"), "A=10\nB=10\nC=10\nF=10\n", { mode: 0o600 });
  await writeFile(join(at, "20.env"), "C=20\n", { mode: 0o600 });
  await writeFile(join(at, "note.txt"), "Z=1\n");
  await writeFile(join(own, "ctl.env"), "F='own'\nA='own'\n", { mode: 0o600 });
  const { values, problems, warnings } = await secrets.snapshot(signal);
  assert.deepEqual(Object.fromEntries([...values].sort()), {
    A: "environment",
    B: "10",
    C: "20",
    D: "manager",
    F: "own",
    SHOP_DB: "manager",
  });
  assert.deepEqual([...problems, ...warnings], []);
});

test("systemd is not asked while nothing of its environment is allowed, and its failure is the caller's to hear", async (t) => {
  const { secrets, asked } = await scene(t);
  await secrets.snapshot(signal);
  await secrets.fingerprint(signal);
  assert.equal(asked.times, 0);
  const gone = openSecrets({
    directory: "/nowhere",
    own: "/nowhere",
    environment: {},
    manager: { allowed: ["A"], read: () => Promise.reject(new Error("no bus")) },
    watched: [],
    clock: openClock(),
  });
  await assert.rejects(gone.snapshot(signal), /no bus/);
  await assert.rejects(gone.fingerprint(signal), /no bus/);
});

test("directories that are not there hold no values", async () => {
  const nothing = { directory: "/nowhere/a", own: "/nowhere/b", environment: {}, manager: allowed(), watched: [], clock: openClock() };
  const { values, problems, warnings } = await openSecrets(nothing).snapshot(signal);
  assert.deepEqual([values.size, problems, warnings], [0, [], []]);
});

test("files that can't be read and lines that are none are told by file and line, and the rest is read", async (t) => {
  const { at, secrets } = await scene(t);
  await writeFile(join(at, "a.env"), `A=1\n${planted[0] ?? ""}\nB="pl4nted\nC=3\n`, { mode: 0o600 });
  await mkdir(join(at, "b.env"));
  await writeFile(join(at, "c.env"), Buffer.from([65, 61, 0xff, 10]), { mode: 0o600 });
  const { values, problems } = await secrets.snapshot(signal);
  assert.deepEqual(values.get("C"), "3");
  assert.deepEqual(
    problems.map(({ file, line, message }) => `${file.slice(at.length + 1)}:${String(line)}: ${message}`),
    [
      "a.env:2: is no NAME=value, and would be passed over: correct it or begin it with #",
      "a.env:3: B: the quote at the beginning of the value is not closed at its end: close it",
      "b.env:undefined: can't be read (EISDIR): check its owner and mode",
      "c.env:undefined: is not UTF-8 text: write it as such",
    ],
  );
});

test("no planted secret is in what is told of a file, however it is broken", async (t) => {
  const { at, secrets } = await scene(t);
  for (const [index, value] of planted.entries()) {
    await writeFile(join(at, `${String(index)}.env`), `${value}\nA${String(index)}=${value}\nB="${value}\nC='${value}' x\n`, {
      mode: 0o644,
    });
  }
  await chmod(at, 0o755);
  const { problems, warnings } = await secrets.snapshot(signal);
  assert.ok(problems.length >= planted.length && warnings.length >= planted.length);
  assertSilent([problems, warnings]);
});

test("a file that others can read is warned about, unless its directory keeps them out", async (t) => {
  const { at, secrets } = await scene(t);
  await writeFile(join(at, "a.env"), "A=1\n");
  await chmod(join(at, "a.env"), 0o640);
  assert.deepEqual((await secrets.snapshot(signal)).warnings, []);
  await chmod(at, 0o755);
  const file = join(at, "a.env");
  assert.deepEqual((await secrets.snapshot(signal)).warnings, [
    { file, line: undefined, message: `can be read by others: chmod 600 ${file}` },
  ]);
});

test("the fingerprint stays while nothing changes, and differs after any change of a value", async (t) => {
  const root = await directory(t);
  const key = join(root, "age.key");
  const { at, own, manager, secrets } = await scene(t, { manager: allowed("A"), watched: [key] });
  await writeFile(join(at, "a.env"), "A=1\n");
  const changes: readonly (readonly [string, () => Promise<unknown>])[] = [
    ["same length, written in place", () => writeFile(join(at, "a.env"), "A=2\n")],
    [
      "same length and time, renamed over it",
      async () => {
        const before = await stat(join(at, "a.env"));
        await writeFile(join(at, "new"), "A=3\n");
        await utimes(join(at, "new"), before.atime, before.mtime);
        await rename(join(at, "new"), join(at, "a.env"));
      },
    ],
    ["a new file", () => writeFile(join(own, "ctl.env"), "B=1\n")],
    ["a renamed file", () => rename(join(at, "a.env"), join(at, "z.env"))],
    ["a removed file", () => rm(join(own, "ctl.env"))],
    ["systemd's environment", () => Promise.resolve(manager.set("A", "1"))],
    ["a key that is there now", () => writeFile(key, "x")],
    ["a mode", () => chmod(join(at, "z.env"), 0o640)],
  ];
  let before = await secrets.fingerprint(signal);
  for (const [what, change] of changes) {
    assert.equal(await secrets.fingerprint(signal), before, `before ${what}`);
    await change();
    const after = await secrets.fingerprint(signal);
    assert.notEqual(after, before, what);
    assert.equal((await secrets.snapshot(signal)).fingerprint, after);
    before = after;
  }
  manager.set("Z", "not allowed");
  await writeFile(join(at, "note.txt"), "x");
  assert.equal(await secrets.fingerprint(signal), before, "what is no value");
});

test("a file that was touched but not changed leaves the fingerprint as it is", async (t) => {
  const later = { ...openClock(), now: () => new Date(Date.now() + 60_000) };
  const { at, secrets } = await scene(t, { clock: later });
  await writeFile(join(at, "a.env"), "A=1\n");
  const before = await secrets.fingerprint(signal);
  await utimes(join(at, "a.env"), new Date(), new Date(1000));
  assert.equal(await secrets.fingerprint(signal), before);
});

test("the fingerprint tells nothing of the values: another process has another", async (t) => {
  const { at, own } = await scene(t);
  await writeFile(join(at, "a.env"), "A=1\n");
  const one = { directory: at, own, environment: {}, manager: allowed(), watched: [], clock: openClock() };
  assert.notEqual(await openSecrets(one).fingerprint(signal), await openSecrets(one).fingerprint(signal));
});

test("a file that changed a moment ago is read again, since its times may not tell, and one that is old is not", async () => {
  // Has other content at each read, and always the same times, size and inode.
  const file = "/proc/sys/kernel/random/uuid";
  const { ctimeMs } = await stat(file);
  const differs = async (age: number) => {
    const clock = { ...openClock(), now: () => new Date(ctimeMs + age) };
    const secrets = openSecrets({ directory: "/nowhere", own: "/nowhere", environment: {}, manager: allowed(), watched: [file], clock });
    return (await secrets.fingerprint(signal)) !== (await secrets.fingerprint(signal));
  };
  assert.deepEqual([await differs(1000), await differs(60_000)], [true, false]);
});

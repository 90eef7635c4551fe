/** Files made by the real sops and age (test/adapters/encrypted), and what is said of those that can't be decrypted. */

import assert from "node:assert/strict";
import { chmod, copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { Encrypter, armor, generateHybridIdentity, generateX25519Identity, identityToRecipient } from "age-encryption";
import { parse, parseAllDocuments } from "yaml";

import { ageKeyFile, openDecrypter, type DecrypterSettings } from "../../src/adapters/decrypt/decrypt.ts";
import { assertSilent, planted } from "../planted.ts";
import { directory } from "./git-repository.ts";

const { signal } = new AbortController();
const made = new URL("encrypted/", import.meta.url);
const encrypted = (name: string) => readFile(new URL(name, made));

/** The fixtures' key as a file that only its user can read. */
async function keyFile(t: TestContext): Promise<string> {
  const file = join(await directory(t), "age.key");
  await copyFile(new URL("ours.key", made), file);
  await chmod(file, 0o600);
  return file;
}

async function decrypter(t: TestContext, settings: Partial<DecrypterSettings> = {}) {
  return openDecrypter({ key: { file: await keyFile(t) }, directory: "/", environment: {}, ...settings });
}

async function plain(t: TestContext, name: string, content?: Uint8Array): Promise<string> {
  const done = await (await decrypter(t)).decrypt({ path: `conf/${name}`, content: content ?? (await encrypted(name)) }, signal);
  assert.ok(done.ok, done.ok ? "" : done.trouble);
  return Buffer.from(done.value).toString("latin1");
}

const utf8 = (latin1: string) => Buffer.from(latin1, "latin1").toString();

async function refused(t: TestContext, name: string, content: Uint8Array | string, settings: Partial<DecrypterSettings> = {}) {
  const done = await (await decrypter(t, settings)).decrypt({ path: name, content: Buffer.from(content) }, signal);
  assert.ok(!done.ok, "it was decrypted");
  assert.ok(!done.trouble.includes("s3cret") && !done.trouble.includes("AGE-SECRET"), done.trouble);
  assertSilent(done.trouble);
  return done.trouble;
}

test("age: binary and armored, and for several recipients", async (t) => {
  assert.equal(await plain(t, "token.age"), 's3cret of age: "quotes" $X #\nsecond line\n');
  assert.match(utf8(await plain(t, "armored.env.age")), /^# about the password\nPASSWORD="s3cr'et #1 \$HOME ä"\n/);
});

test("sops: YAML with its types, comments and documents", async (t) => {
  const text = utf8(await plain(t, "app.yaml"));
  assert.match(text, /^# about the file\ndb:\n {2}# about the password\n {2}password: /);
  assert.ok(!text.includes("ENC[") && !text.includes("sops"));
  const [first, second] = parseAllDocuments(text).map((one) => one.toJS() as unknown);
  assert.deepEqual(first, {
    db: {
      password: "s3cr\"et #1 $HOME 'x' ä😀€".replace("😀€", "€😀"),
      port: 5432,
      ratio: 1.5,
      tls: true,
      nothing: null,
      empty: "",
      when: "2024-01-02T03:04:05Z",
      hosts: ["one", { name: "two", ports: [1, 2] }],
    },
    looks: ["yes please", "yes", "0777", "12:30", "null"],
    key: "-----BEGIN KEY-----\nc2VjcmV0\n-----END KEY-----\n",
    level_unencrypted: 1000,
  });
  assert.deepEqual(second, { second: "document" });
  assert.deepEqual((parse(text.split("---\nsecond")[0] ?? "", { version: "1.1" }) as { looks: unknown }).looks, [
    "yes please",
    "yes",
    "0777",
    "12:30",
    "null",
  ]);
});

test("sops: JSON in its order", async (t) => {
  const text = utf8(await plain(t, "app.json"));
  assert.deepEqual(text.match(/^\t"\w+"/gm), [
    '\t"z"',
    '\t"10"',
    '\t"2"',
    '\t"big"',
    '\t"on"',
    '\t"nothing"',
    '\t"empty"',
    '\t"list"',
    '\t"open_unencrypted"',
  ]);
  assert.deepEqual(JSON.parse(text), {
    z: 's3cr"et <&> ü',
    10: 1,
    2: 2.5,
    big: 1e21,
    on: true,
    nothing: null,
    empty: "",
    list: [1, "x", { y: "😀\n" }],
    open_unencrypted: { n: 1e-9 },
  });
});

test("sops: dotenv, INI and binary, byte for byte", async (t) => {
  assert.equal(
    utf8(await plain(t, "app.env")),
    '# about the password\nPASSWORD="s3cr\'et #1 $HOME ä"\nLINES=one\\ntwo\nEMPTY=\nEQUALS=a=b=\nOPEN_unencrypted=open\n',
  );
  assert.equal(
    await plain(t, "app.ini"),
    'top = first\n\n; about the section\n[db]\n; about the password\npassword = `s3cret;#1 "x"`\nempty    = \n\n[other]\nopen_unencrypted = `a;b`\n',
  );
  assert.equal(await plain(t, "cert.der"), "bin\0\xff\xfe\n");
});

test("sops: rules of what is encrypted, and a MAC over that alone", async (t) => {
  assert.deepEqual(parse(await plain(t, "only.yaml")), { user: "ed", password: "s3cret-only" });
  assert.deepEqual(parse(await plain(t, "marked.yaml")), { user: "ed", password: "s3cret-marked" });
  const moved = String(await encrypted("only.yaml")).replace("user: ed", "user: eve");
  assert.deepEqual(parse(await plain(t, "only.yaml", Buffer.from(moved))), { user: "eve", password: "s3cret-only" });
});

test("any change that was not made by sops is refused, whatever the format", async (t) => {
  const changes: readonly (readonly [string, (text: string) => string, RegExp])[] = [
    ["app.yaml", (text) => text.replace("level_unencrypted: 1000", "level_unencrypted: 1001"), /^was changed without sops/],
    ["app.yaml", (text) => text.replace(/^ {4}port: .*\n/m, ""), /^was changed without sops/],
    [
      "app.yaml",
      (text) => text.replace(/password: ENC.*/, "password: s3cret-mine"),
      /value at db\.password is not encrypted: edit it with sops/,
    ],
    ["app.yaml", (text) => text.replace("    port:", "    porter:"), /value at db\.porter is damaged, or was moved there/],
    [
      "app.yaml",
      (text) => text.replace(/second: ENC\[AES256_GCM,data:.../, "second: ENC[AES256_GCM,data:AAA"),
      /value at second is damaged/,
    ],
    ["app.yaml", (text) => text.replace("    port: ", "    port: : "), /it is no YAML: see its line \d+/],
    ["app.yaml", (text) => text.replace('empty: ""', "empty: *x"), /./],
    ["app.json", (text) => text.replace('"n": 1e-9', '"n": 1e-8'), /^was changed without sops/],
    ["app.json", (text) => text.replace('"empty": ""', '"empty": "s3cret"'), /value at empty is not encrypted/],
    ["app.json", (text) => text.slice(0, -20), /it is no JSON/],
    ["app.env", (text) => text.replace("=open", "=opened"), /^was changed without sops/],
    ["app.env", (text) => text.replace(/^EQUALS.*\n/m, ""), /^was changed without sops/],
    ["app.env", (text) => `${text}s3cret\n`, /its line 15 is no NAME=value/],
    ["app.ini", (text) => text.replace("`a;b`", "`a;c`"), /^was changed without sops/],
    ["app.ini", (text) => text.replace("`a;b`", "`a;c"), /quote in its line \d+ is not closed/],
    ["cert.der", (text) => text.replace(/tag:..../, "tag:AAAA"), /value at data is damaged/],
    ["only.yaml", (text) => text.replace(/lastmodified: "20/, 'lastmodified: "21'), /^was changed without sops/],
    ["app.json", (text) => text.replace(/"lastmodified": ".*",/, ""), /what sops wrote about it is damaged/],
    ["app.json", (text) => text.replace('"age":', '"key_groups": [{}], "age":'), /several groups/],
    ["app.json", (text) => text.replace('"age":', '"pgp":'), /it is for no age key: add one with sops updatekeys/],
    ["token.age", (text) => text.slice(0, -3), /it is damaged, or is no file of age/],
    ["token.age", () => "s3cret, never encrypted", /it is damaged, or is no file of age/],
    ["armored.env.age", (text) => text.replace("-----END", "----END"), /it is damaged, or is no file of age/],
  ];
  for (const [name, change, expected] of changes) {
    const before = (await encrypted(name)).toString("latin1");
    const after = change(before);
    assert.notEqual(after, before, `${name}: the change is none`);
    assert.match(await refused(t, name, Buffer.from(after, "latin1")), expected, name);
  }
});

test("a file for somebody else's key says for which key it must be encrypted", async (t) => {
  const recipient = /age1\w+/.exec(await readFile(new URL("ours.key", made), "utf8"))?.[0] ?? "";
  for (const name of ["others.json", "others.age"])
    assert.match(
      await refused(t, name, await encrypted(name)),
      new RegExp(`^can't be decrypted: the key of key file /.*/age\\.key is none of its recipients: encrypt it for ${recipient} too$`),
    );
});

test("one of several keys in a file is enough, hybrid ones too, and comments are passed over", async (t) => {
  const file = await keyFile(t);
  const [x, hybrid] = [await generateX25519Identity(), await generateHybridIdentity()];
  await writeFile(file, `# old\n${x}\n\n# new\r\n${hybrid}\n${await readFile(file, "utf8")}`);
  const open = await decrypter(t, { key: { file } });
  for (const [index, identity] of [x, hybrid].entries()) {
    const encrypter = new Encrypter();
    encrypter.addRecipient(await identityToRecipient(identity));
    const content = await encrypter.encrypt(planted[index] ?? "");
    for (const form of [content, Buffer.from(armor.encode(content))]) {
      const done = await open.decrypt({ path: "x.age", content: form }, signal);
      assert.equal(done.ok && Buffer.from(done.value).toString(), planted[index]);
    }
  }
  assert.ok((await open.decrypt({ path: "app.json", content: await encrypted("app.json") }, signal)).ok);
  assert.match(
    await refused(t, "others.age", await encrypted("others.age"), { key: { file } }),
    /the 3 keys of .* encrypt it for age1\w+, age1pq1\w+…, age1/,
  );
});

test("without a key, or with one that can't be used, the trouble says what to do", async (t) => {
  const content = await encrypted("token.age");
  const file = await keyFile(t);
  const of = (settings: Partial<DecrypterSettings>) => refused(t, "token.age", content, settings);
  assert.equal(await of({ key: undefined }), "is encrypted with age, and pgo has no key: set age_key below [secrets] in pgo.toml");
  assert.match(await of({ key: { file: "/nowhere/age.key" } }), /^is encrypted with age: key file \/nowhere\/age\.key is not there/);
  assert.match(await of({ key: { file: "/" } }), /can't be read \(EISDIR\)|others/);
  assert.match(await of({ key: { credential: "age" } }), /credential "age" is not there/);
  assert.match(
    await of({ key: { credential: "../age" }, environment: { CREDENTIALS_DIRECTORY: "/" } }),
    /credential "..\/age" is not there/,
  );
  await chmod(file, 0o640);
  assert.match(await of({ key: { file } }), /can be read by others: chmod 600 \//);
  await chmod(file, 0o600);
  for (const [text, expected] of [
    ["", /holds no key: age-keygen makes one/],
    [`# x\n${planted[0] ?? ""}\n`, /has in line 2 no secret key of age/],
    ["age1jj7pnfc2n7tt608xrr43pq7p2v56ly0rnlw3hzqmjdue9vugfphs873l0v\n", /has in line 1 no secret key of age/],
    ["AGE-SECRET-KEY-1ABCDEF\n", /can't be used: it is cut off or mistyped/],
  ] as const) {
    await writeFile(file, text);
    assert.match(await of({ key: { file } }), expected);
  }
});

test("a key may lie below the secrets directory or be a credential, and one that is replaced counts at once", async (t) => {
  const file = await keyFile(t);
  const below = { directory: join(file, ".."), environment: { CREDENTIALS_DIRECTORY: join(file, "..") } };
  const content = await encrypted("token.age");
  for (const key of [{ file: "age.key" }, { credential: "age.key" }]) {
    const settings = { ...below, key };
    assert.equal(ageKeyFile(settings), file);
    const open = openDecrypter(settings);
    assert.ok((await open.decrypt({ path: "a.age", content }, signal)).ok);
    const before = await readFile(file);
    await writeFile(file, await generateX25519Identity());
    assert.ok(!(await open.decrypt({ path: "a.age", content }, signal)).ok);
    await writeFile(file, before);
  }
});

test("a file that is not encrypted comes back as it is, without any key", async (t) => {
  const content = Buffer.from("sops: no\n");
  const done = await (await decrypter(t, { key: undefined })).decrypt({ path: "a.yaml", content }, signal);
  assert.ok(done.ok && done.value === content);
});

/** Podman secrets of an application: what they are made of, which units use them, and what is wrong with an entry. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { assemble } from "../../src/core/assemble.ts";
import type { Bundle } from "../../src/core/bundle.ts";
import type { Draft } from "../../src/core/layout.ts";
import { applicationId, applicationName, relativePath, sourceName, type RelativePath } from "../../src/core/names.ts";
import { rolloutOrder } from "../../src/core/order.ts";
import { placeOf, placedPath, shownPath } from "../../src/core/placing.ts";
import { secretPath } from "../../src/core/podman-secrets.ts";
import { freshRendering, recalledRendering, type FreshSources, type Rendering } from "../../src/core/rendering.ts";
import { bundleOf, shop } from "./model.ts";
import { noFacts } from "./renderings.ts";

const envDirectory = `/var/lib/pgo/env/${shop}`;
const db = '[secrets.podman]\ndb = { env = "DB_PASSWORD" }\n';

function draftOf(files: Readonly<Record<string, string>>): Draft {
  const located = Object.entries(files).map(
    ([path, text]) =>
      [relativePath(path), { entry: { kind: "file", executable: false, content: Buffer.from(text) }, origin: `shop/${path}` }] as const,
  );
  return { application: shop, files: new Map(located), problems: [] };
}

function fresh(more: Partial<FreshSources> = {}): Rendering {
  return freshRendering({
    ...{ application: "shop" as never, hostApplication: undefined, host: undefined, envDirectory, template: undefined, facts: noFacts },
    ...{ secrets: new Map([["DB_PASSWORD", "s3cret"]]), decrypted: { contents: new Map(), problems: [] }, self: undefined },
    ...more,
  });
}

function made(files: Readonly<Record<string, string>>, rendering = fresh()): Bundle {
  const found = assemble(draftOf(files), rendering);
  assert.ok(found.ok, JSON.stringify(found));
  return found.value;
}

const valueIn = (bundle: Bundle, name: string) => {
  const file = bundle.files.find(({ path }) => path === secretPath(name));
  return file && Buffer.from(file.content).toString();
};

/** Encrypted in Git, of this plain content. */
const encrypted = (path: string, text: string) =>
  fresh({ decrypted: { contents: new Map([[relativePath(path), Buffer.from(text)]]), problems: [] } });
const age = "age-encryption.org/v1\n…";

suite("units that use a Podman secret", () => {
  const container = (...lines: readonly string[]) => ({ "u.container": ["[Container]", "Image=x", ...lines, ""].join("\n") });
  const yaml = (name: string) => `env:\n- valueFrom: {secretKeyRef: {name: ${name}, key: pw}}\n`;
  const cases: readonly (readonly [string, Readonly<Record<string, string>>, boolean])[] = [
    ["by Secret=", container("Secret=db"), true],
    ["with options", container("Secret=db,type=env,target=DB_PASSWORD"), true],
    ["in quotes, beside another", container('Secret=other "db,type=mount"'), true],
    ["in a drop-in", { ...container(), "u.container.d/10.conf": "[Container]\nSecret=db\n" }, true],
    ["by an option of Podman's", container("PodmanArgs=--secret=db,type=env"), true],
    ["by an option of Podman's, apart", container("PodmanArgs=--secret db"), true],
    [
      "in a plain unit",
      { "u.service": "[Service]\nExecStart=/usr/bin/podman run --secret db x\n[Install]\nWantedBy=default.target\n" },
      true,
    ],
    ["by a specifier that may stand for it", container("Secret=%p"), true],
    ["by a specifier that can't", container("Secret=%p-token"), false],
    ["by another name", container("Secret=db2", "Environment=A=db"), false],
    ["in a kube unit's YAML", { "u.kube": "[Kube]\nYaml=u.yml\n", "u.yml": yaml("db") }, true],
    ["by another name there", { "u.kube": "[Kube]\nYaml=u.yml\n", "u.yml": yaml("db-2") }, false],
    ["reset by a drop-in", { ...container("Secret=db"), "u.container.d/10.conf": "[Container]\nSecret=\n" }, false],
  ];
  for (const [how, files, uses] of cases)
    test(`${how}: ${uses ? "restart when it changes" : "do not"}`, () => {
      const [one, other] = ["1", "2"].map((value) =>
        made({ ...files, "pgo.toml": db }, fresh({ secrets: new Map([["DB_PASSWORD", value]]) })),
      );
      const [unit, changed] = [one, other].map((bundle) => bundle?.units[0]);
      assert.ok(unit !== undefined && changed !== undefined);
      assert.equal(unit.digest !== changed.digest, uses);
      assert.equal(unit.files.includes(secretPath("db")), uses);
      assert.equal(
        unit.inputs.some(({ label }) => label === "secret db"),
        uses,
      );
    });

  test("an encrypted YAML may name any, since it is not read when its bundle is recalled", () => {
    const files = { "u.kube": "[Kube]\nYaml=u.yml\n", "u.yml.age": age, "pgo.toml": db };
    assert.ok(made(files, encrypted("u.yml.age", "nothing")).units[0]?.files.includes(secretPath("db")));
  });
});

suite("a Podman secret of a file", () => {
  const web = "[Container]\nImage=x\nSecret=key\n";
  const toml = '[secrets.podman]\nkey = { file = "tls/key.pem.age" }\n';

  test("holds its decrypted content exactly, and the file is placed nowhere else", () => {
    for (const name of ["tls/key.pem.age", "tls/key.pem"]) {
      const files = { "web.container": web, "tls/key.pem.age": age, "pgo.toml": toml.replace("tls/key.pem.age", name) };
      const bundle = made(files, encrypted("tls/key.pem.age", "KEY $x\n"));
      assert.equal(valueIn(bundle, "key"), "KEY $x\n");
      assert.deepEqual(
        bundle.files.map(({ path }) => shownPath(path)),
        ["Podman secret key", "web.container"],
      );
      assert.deepEqual(bundle.warnings, []);
    }
  });

  test("is an asset too where something else names it", () => {
    for (const line of ["Volume=./tls:/tls", "Volume=./tls/key.pem:/k", "EnvironmentFile=tls/key.pem"]) {
      const bundle = made(
        { "web.container": `${web}${line}\n`, "tls/key.pem.age": age, "pgo.toml": toml },
        encrypted("tls/key.pem.age", "A=1\n"),
      );
      assert.ok(
        bundle.files.some(({ path }) => shownPath(path) === "tls/key.pem"),
        line,
      );
    }
  });

  test("that is not encrypted in Git is warned about, by the entry's line", () => {
    const { warnings } = made({ "web.container": web, key: "hunter2", "pgo.toml": '\n[secrets.podman]\nkey = { file = "key" }\n' });
    assert.deepEqual(
      warnings.map(({ file, line }) => `${file}:${String(line)}`),
      ["shop/pgo.toml:3"],
    );
    assert.match(warnings[0]?.message ?? "", /^Podman secret key: shop\/key is not encrypted in Git: /);
  });

  test("an env file that only a secret is made of is not rendered", () => {
    const bundle = made({
      "web.container": web,
      "app.env": "A=${NOWHERE}\n",
      "pgo.toml": '[secrets.podman]\nkey = { file = "app.env" }\n',
    });
    assert.equal(valueIn(bundle, "key"), "A=${NOWHERE}\n");
    assert.deepEqual(bundle.missing, []);
  });
});

test("what is recalled is the same as what was made, without a value; a secret that had none has none again", () => {
  const files = {
    "web.container": "[Container]\nImage=x\nSecret=db\nSecret=key\n",
    "key.age": age,
    "pgo.toml": `${db}none = { env = "NOWHERE" }\nkey = { file = "key.age" }\n`,
  };
  const bundle = made(files, encrypted("key.age", "KEY"));
  const sealed = new Map(
    bundle.files.flatMap(({ path, digest, sealed: content }): [RelativePath, { sealed: typeof digest; digest: typeof digest }][] =>
      content === undefined ? [] : [[path, { sealed: content, digest }]],
    ),
  );
  const again = made(
    files,
    recalledRendering({ vars: bundle.vars, sealed, envDirectory, template: undefined, pins: new Map(), self: undefined }),
  );
  const essence = ({ digest, files: all, units }: Bundle) => ({
    digest,
    units,
    files: all.map((file) => [file.path, file.mode, file.digest]),
  });
  assert.deepEqual(essence(again), essence(bundle));
  assert.deepEqual([...sealed.keys()].sort(), [secretPath("db"), secretPath("key")]);
  assert.doesNotMatch(JSON.stringify([again, bundle.missing]), /s3cret|KEY"/);
});

test("a variable of pgo.toml is meant before a secret of its name, as in an env file", () => {
  const toml = '[vars]\nSITE = "blue"\n[secrets.podman]\nsite = { env = "SITE" }\n';
  const bundle = made({ "web.container": "[Container]\nImage=x\n", "pgo.toml": toml }, fresh({ secrets: new Map([["SITE", "other"]]) }));
  assert.equal(valueIn(bundle, "site"), "blue");
});

suite("an entry of [secrets.podman] that can't be", () => {
  const told = (toml: string, files: Readonly<Record<string, string>> = {}, rendering = fresh()) => {
    const found = assemble(draftOf({ "web.container": "[Container]\nImage=x\n", "pgo.toml": toml, ...files }), rendering);
    return (found.ok ? found.value.missing : found.trouble).map(({ file, line, message }) => `${file}:${String(line)} ${message}`);
  };
  for (const [what, toml, message] of [
    ["names no file", 'key = { file = "key.pem" }', /^shop\/pgo\.toml:2 Podman secret key: there is no file key\.pem beside pgo\.toml$/],
    ["holds the value", 'key = "hunter2"', /^shop\/pgo\.toml:2 .*the value itself does not belong into Git$/],
    ["leaves the application", 'key = { file = "../key" }', /^shop\/pgo\.toml:2 /],
    ["has a name that Podman refuses", '"a/b" = { env = "A" }', /^shop\/pgo\.toml:2 .*must be a name that Podman takes/],
    ["has no value", 'key = { env = "NOWHERE" }', /^shop\/pgo\.toml:2 Podman secret key: NOWHERE has no value: set it/],
  ] as const)
    test(`${what}: told with file and line, without a value`, () => {
      const problems = told(`[secrets.podman]\n${toml}\n`);
      assert.equal(problems.length, 1, problems.join("; "));
      assert.match(problems[0] ?? "", message);
      assert.doesNotMatch(problems[0] ?? "", /hunter2/);
    });

  test("is empty or too long for Podman", () => {
    const long = (length: number) => told(db, {}, fresh({ secrets: new Map([["DB_PASSWORD", "ü".repeat(length)]]) }));
    assert.match(long(0)[0] ?? "", /the value of DB_PASSWORD is empty, and Podman takes no empty secrets/);
    assert.deepEqual(long(255_999), []);
    assert.match(long(256_000)[0] ?? "", /the value of DB_PASSWORD has 512000 bytes, and Podman takes 511999 at most$/);
    assert.match(told('[secrets.podman]\nkey = { file = "key" }\n', { key: "" })[0] ?? "", /pgo\.toml:2 .*the file is empty/);
  });
});

test("a secret's path is read as it was saved, whatever its name, and shown as people call it", () => {
  for (const name of ["db", "a b", "web.container", "x.conf", "ü€"]) {
    const path = placedPath(secretPath(name));
    assert.deepEqual(placeOf(path), { place: "secret", path: name });
    assert.equal(shownPath(path), `Podman secret ${name}`);
  }
});

test("an application that gives a secret up takes its turn before the one that takes it", () => {
  const id = (name: string) => applicationId(sourceName("fleet"), applicationName(name));
  const [container, key] = ["[Container]\nImage=x\n", { "pgo.toml": '[secrets.podman]\nkey = { file = "key" }\n', key: "1" }];
  const [a, z] = [id("a"), id("z")];
  const turns = [
    { id: a, live: bundleOf({ "a.container": container }, a), next: bundleOf({ "a.container": container, ...key }, a) },
    { id: z, live: bundleOf({ "z.container": container, ...key }, z), next: bundleOf({ "z.container": container }, z) },
  ];
  assert.deepEqual(rolloutOrder(turns), [z, a]);
});

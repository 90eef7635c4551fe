/** What is rendered now and recalled later is the same, and no secret is part of what is saved. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { assemble } from "../../src/core/assemble.ts";
import type { Bundle } from "../../src/core/bundle.ts";
import type { Draft } from "../../src/core/layout.ts";
import { relativePath, type RelativePath } from "../../src/core/names.ts";
import { shownPath } from "../../src/core/placing.ts";
import { freshRendering, recalledRendering, type FreshSources } from "../../src/core/rendering.ts";
import { rendered } from "../../src/core/template.ts";
import { shop } from "./model.ts";
import { noFacts } from "./renderings.ts";

const envDirectory = `/var/lib/pgo/env/${shop}`;

function draftOf(files: Readonly<Record<string, string>>): Draft {
  const located = Object.entries(files).map(
    ([path, text]) =>
      [relativePath(path), { entry: { kind: "file", executable: false, content: Buffer.from(text) }, origin: `shop/${path}` }] as const,
  );
  return { application: shop, files: new Map(located), problems: [] };
}

function fresh(more: Partial<FreshSources> = {}) {
  return freshRendering({
    ...{ application: "shop" as never, hostApplication: undefined, host: { TAG: "2" }, envDirectory, template: rendered },
    ...{
      facts: { ...noFacts, PGO_HOSTNAME: "pi4" },
      secrets: new Map([["DB_PASSWORD", "s3cret"]]),
      decrypted: { contents: new Map(), problems: [] },
      self: undefined,
    },
    ...more,
  });
}

function made(draft: Draft, rendering = fresh()): Bundle {
  const found = assemble(draft, rendering);
  assert.ok(found.ok, JSON.stringify(found));
  return found.value;
}

const textIn = (bundle: Bundle, path: string) =>
  Buffer.from(bundle.files.find((file) => shownPath(file.path) === path)?.content ?? "").toString();

const files = {
  "pgo.toml": '[vars]\nPORT = 8080\n[instances]\n"work@" = ["a"]\n',
  "web.container":
    "[Container]\nImage=localhost/web:${TAG}\nPublishPort=${PORT}:80\nEnvironment=HOST=${PGO_HOSTNAME} KEEP=${OTHER}\nEnvironmentFile=./web.env\nVolume=./tls:/tls\n",
  "web.env": "PASSWORD=${DB_PASSWORD}\nNOTE=a $$ sign\n",
  "tls/key.pem.age": "age-encryption.org/v1\n…",
  "work@.container": "[Container]\nImage=localhost/work\n",
  "extra.container.liquid": "[Container]\nImage=localhost/extra:{{ TAG }}\n",
};
const plain = { contents: new Map([[relativePath("tls/key.pem.age"), Buffer.from("KEY")]]), problems: [] };

suite("an application with variables, a template, an env file and an encrypted file", () => {
  const bundle = made(draftOf(files), fresh({ decrypted: plain }));

  test("is filled in: declared names in units, secrets in env files, all else as it stands", () => {
    assert.match(
      textIn(bundle, "web.container"),
      /^Image=localhost\/web:2\nPublishPort=8080:80\nEnvironment=HOST=pi4 KEEP=\$\{OTHER\}\nEnvironmentFile=\/var\/lib\/pgo\/env\/fleet\/shop\/web\.service\/web\.env\n/m,
    );
    assert.equal(textIn(bundle, "web.env"), "PASSWORD=s3cret\nNOTE=a $ sign\n");
    assert.equal(textIn(bundle, "extra.container"), "[Container]\nImage=localhost/extra:2\n");
    assert.equal(textIn(bundle, "tls/key.pem"), "KEY");
    assert.deepEqual(bundle.units.map(({ service, starts }) => `${service} ${String(starts)}`).sort(), [
      "extra.service true",
      "web.service true",
      "work@.service false",
      "work@a.service true",
    ]);
  });

  test("keeps what may be secret apart, for its owner alone", () => {
    const sealed = bundle.files.filter((file) => file.sealed !== undefined);
    assert.deepEqual(
      sealed.map(({ path, mode }) => `${shownPath(path)} ${mode.toString(8)}`),
      ["tls/key.pem 600", "web.env 600"],
    );
    for (const file of bundle.files)
      if (file.sealed === undefined) assert.doesNotMatch(Buffer.from(file.content).toString(), /s3cret|KEY$/);
  });

  test("is the same when it is recalled, without any secret", () => {
    const sealed = new Map(
      bundle.files.flatMap(({ path, digest, sealed: content }): [RelativePath, { sealed: typeof digest; digest: typeof digest }][] =>
        content === undefined ? [] : [[path, { sealed: content, digest }]],
      ),
    );
    const recalled = { vars: bundle.vars, sealed, envDirectory, pins: new Map(), template: rendered, self: undefined };
    const again = made(draftOf(files), recalledRendering(recalled));
    const essence = ({ digest, files: all, units }: Bundle) => ({
      digest,
      files: all.map((file) => [file.path, file.mode, file.digest, file.sealed]),
      units,
    });
    assert.deepEqual(essence(again), essence(bundle));
    for (const file of again.files) if (file.sealed !== undefined) assert.equal(file.content.length, 0);
  });

  test("a variable of pgo.toml is meant before a secret of its name", () => {
    const both = made(draftOf({ ...files, "web.env": "T=$TAG\n" }), fresh({ decrypted: plain, secrets: new Map([["TAG", "s3cret"]]) }));
    assert.equal(textIn(both, "web.env"), "T=2\n");
  });

  test("changes with a secret, and says what restarts for it", () => {
    const changed = made(draftOf(files), fresh({ decrypted: plain, secrets: new Map([["DB_PASSWORD", "other"]]) }));
    assert.notEqual(changed.digest, bundle.digest);
    const differing = changed.units.filter((unit) => unit.digest !== bundle.units.find(({ name }) => name === unit.name)?.digest);
    assert.deepEqual(
      differing.map(({ name }) => name),
      ["web.container"],
    );
  });
});

test("a value with a line break goes to the container by way of the service, which reads a second file", () => {
  const bundle = made(
    draftOf({ "web.container": "[Container]\nImage=x\nEnvironmentFile=web.env\n", "web.env": "KEY=${TLS_KEY}\n" }),
    fresh({ secrets: new Map([["TLS_KEY", "one\ntwo"]]) }),
  );
  const text = textIn(bundle, "web.container");
  assert.match(text, new RegExp(`\\[Service\\]\nEnvironmentFile=${envDirectory}/web.service/web.env.service\n$`));
  assert.equal(textIn(bundle, "web.env"), "KEY\n");
  assert.equal(textIn(bundle, "web.env.service"), 'KEY="one\ntwo"\n');
  assert.ok(bundle.units[0]?.files.some((path) => shownPath(path) === "web.env.service"));
});

test("a value that stands in Git is warned about, unless the file is encrypted there", () => {
  const unit = { "web.container": "[Container]\nImage=x\nEnvironmentFile=web.env\n" };
  const open = made(draftOf({ ...unit, "web.env": "PASSWORD=hunter2\n" }));
  assert.deepEqual(
    open.warnings.map(({ file, line }) => `${file}:${String(line)}`),
    ["shop/web.env:1"],
  );
  assert.doesNotMatch(JSON.stringify(open.warnings), /hunter2/);
  const contents = new Map([[relativePath("web.env.age"), Buffer.from("PASSWORD=hunter2 $x\n")]]);
  const closed = made(draftOf({ ...unit, "web.env.age": "age-encryption.org/v1\n" }), fresh({ decrypted: { contents, problems: [] } }));
  assert.deepEqual(closed.warnings, []);
  assert.equal(textIn(closed, "web.env"), "PASSWORD=hunter2 $x\n", "a $ in it is a $");
});

suite("what is missing or wrong is told with file and line", () => {
  const told = (more: Readonly<Record<string, string>>, rendering = fresh({ decrypted: plain })) => {
    const found = assemble(draftOf({ ...files, ...more }), rendering);
    return (found.ok ? found.value.missing : found.trouble).map(({ file, line, message }) => `${file}:${String(line)} ${message}`);
  };

  test("a secret: the application waits for it, its file is not at fault", () => {
    const [first, ...more] = told({}, fresh({ decrypted: plain, secrets: new Map() }));
    assert.match(first ?? "", /^shop\/web\.env:1 .*DB_PASSWORD/);
    assert.deepEqual(more, []);
  });

  test("a variable that the host must set", () => {
    assert.match(told({ "pgo.toml": "[vars]\nPORT = { required = true }\n" })[0] ?? "", /^shop\/web\.container:3 .*PORT/);
  });

  test("an unknown name in a template", () => {
    assert.match(
      told({ "extra.container.liquid": "[Container]\nImage={{ TAGS }}\n" })[0] ?? "",
      /^shop\/extra\.container\.liquid:2 .*TAGS/,
    );
  });

  test("a file that no key decrypts, and a unit that is encrypted", () => {
    const problems = [{ file: "shop/tls/key.pem.age", line: undefined, message: "no key fits" }];
    assert.deepEqual(told({}, fresh({ decrypted: { contents: new Map(), problems } })), ["shop/tls/key.pem.age:undefined no key fits"]);
    assert.match(told({ "x.container.age": "…" })[0] ?? "", /^shop\/x\.container\.age:undefined is encrypted, and a unit must be readable/);
  });
});

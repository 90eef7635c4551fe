/** From files to a bundle: what is refused and in which words, how files are placed, and what each unit is made of. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { assemble } from "../../src/core/assemble.ts";
import type { Bundle, TreeEntry, Unit } from "../../src/core/bundle.ts";
import { differences } from "../../src/core/starts.ts";
import { applicationId, applicationName, relativePath, sourceName } from "../../src/core/names.ts";
import { bundleOf, shop } from "./model.ts";
import { renderingFor } from "./renderings.ts";

const web = "[Container]\nImage=localhost/web:1\n";

function assembled(files: Readonly<Record<string, string | TreeEntry>>, application = shop) {
  const located = Object.entries(files).map(([path, content]) => {
    const entry: TreeEntry = typeof content === "string" ? { kind: "file", executable: false, content: Buffer.from(content) } : content;
    return [relativePath(path), { entry, origin: `apps/shop/${path}` }] as const;
  });
  return assemble({ application, files: new Map(located), problems: [] }, renderingFor(application));
}

function refusals(files: Readonly<Record<string, string | TreeEntry>>): readonly string[] {
  const made = assembled(files);
  assert.ok(!made.ok, "it was not refused");
  return made.trouble.map(({ file, line, message }) => `${file}${line === undefined ? "" : `:${line}`} ${message}`);
}

function unitIn(bundle: Bundle, name: string): Unit {
  const unit = bundle.units.find((one) => one.name === name);
  assert.ok(unit, `no unit ${name}`);
  return unit;
}

suite("a path to where `cp` would have put a file of the application is that file", () => {
  const files = { "conf/site.conf": "x", "web.env": "A=b\n", "deep/settings.yml": "x" };
  for (const [what, path, line, wanted] of [
    ["of a rootless host", "web.container", "Volume=%h/.config/containers/systemd/conf:/etc/web:ro", "Volume=./conf:/etc/web:ro"],
    [
      "of root's, with the application's directory",
      "web.container",
      "Volume=/etc/containers/systemd/shop/conf/site.conf:/x",
      "Volume=./conf/site.conf:/x",
    ],
    [
      "by systemd's own name for it",
      "web.container",
      "Mount=type=bind,source=%E/containers/systemd/conf/,target=/x",
      "Mount=type=bind,source=./conf,target=/x",
    ],
    ["from a unit in a subdirectory", "a/b/web.container", "Volume=%h/.config/containers/systemd/conf:/x", "Volume=./../../conf:/x"],
    ["beside the unit", "deep/web.container", "Volume=%h/.config/containers/systemd/settings.yml:/x", "Volume=./../deep/settings.yml:/x"],
    [
      "that no file here has",
      "web.container",
      "Volume=/etc/containers/systemd/shop/nothing:/x",
      "Volume=/etc/containers/systemd/shop/nothing:/x",
    ],
    ["in a key that takes none", "web.container", "Exec=cat /etc/containers/systemd/conf", "Exec=cat /etc/containers/systemd/conf"],
    ["elsewhere", "web.container", "Volume=/srv/containers/systemd/conf:/x", "Volume=/srv/containers/systemd/conf:/x"],
  ] as const)
    test(what, () => {
      const made = assembled({ ...files, [path]: `${web}${line}\n` });
      assert.ok(made.ok);
      const placed = made.value.files.find((file) => file.path.endsWith("web.container"));
      assert.equal(Buffer.from(placed?.content ?? "").toString("utf8"), `${web}${wanted}\n`);
    });

  test("so a change of it is the unit's reason to restart, and an env file is rendered", () => {
    const unit = `${web}Volume=%h/.config/containers/systemd/conf:/x\nEnvironmentFile=%h/.config/containers/systemd/web.env\n`;
    const made = assembled({ ...files, "web.container": unit });
    assert.ok(made.ok);
    const { inputs } = unitIn(made.value, "web.container");
    assert.deepEqual(
      inputs.filter(({ within }) => within === undefined).map(({ label }) => label),
      ["web.env", "conf/site.conf"],
    );
  });

  test("in a drop-in too, where it is relative to the unit", () => {
    const dropIn = "[Container]\nVolume=/etc/containers/systemd/conf:/x\n";
    const made = assembled({ ...files, "a/web.container": web, "a/web.container.d/10.conf": dropIn });
    assert.ok(made.ok);
    const placed = made.value.files.find((file) => file.path.endsWith("10.conf"));
    assert.equal(Buffer.from(placed?.content ?? "").toString("utf8"), "[Container]\nVolume=./../conf:/x\n");
  });
});

test("a container that only a timer starts is not started with it, and one that is installed as well is", () => {
  const timer = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n";
  const install = "[Install]\nWantedBy=default.target\n";
  const files = { "a.container": web, "b.container": web, "b.timer": timer, "c.container": `${web}${install}`, "c.timer": timer };
  const made = assembled(files);
  assert.ok(made.ok);
  const starts = made.value.units.filter((unit) => unit.starts).map(({ name }) => name as string);
  assert.deepEqual(starts.sort(), ["a.container", "b.timer", "c.container", "c.timer"]);
});

suite("refused, with the file as Git has it and what to do", () => {
  for (const [what, files, message] of [
    ["several quadlets in one file", { "all.quadlets": "" }, "apps/shop/all.quadlets holds no quadlet: remove it, or write one into it"],
    [
      "a drop-in of a service that is none here",
      { "a.service.d/x.conf": "[Service]\n" },
      "apps/shop/a.service.d/x.conf is a drop-in for a.service, which is not a unit of this application (did you mean ok.service.d?)",
    ],
    [
      "a symlink that leads out of the source",
      { link: { kind: "symlink", target: "/etc/passwd" } },
      "apps/shop/link is a symbolic link to /etc/passwd, which is no file of this source: put the file itself here",
    ],
    ["a submodule", { sub: { kind: "other", what: "a submodule" } }, "apps/shop/sub is a submodule: only files can be deployed"],
    [
      "a unit that is no text",
      { "bad.container": { kind: "file", executable: false, content: Buffer.from([0x5b, 0xff, 0xfe]) } },
      "apps/shop/bad.container is not UTF-8 text",
    ],
    [
      "a drop-in of no unit here",
      { "db.container.d/x.conf": "[Container]\n" },
      "apps/shop/db.container.d/x.conf is a drop-in for db.container, which is not a unit of this application (did you mean ok.container.d?)",
    ],
    [
      "a drop-in of a name's beginning",
      { "my-.container.d/x.conf": "[Container]\n" },
      "apps/shop/my-.container.d/x.conf is a drop-in for units my-*.container, of which this application has none",
    ],
    [
      "a drop-in of all pods, where there is none",
      { "pod.d/x.conf": "[Pod]\n" },
      "apps/shop/pod.d/x.conf is a drop-in for every pod of this application, which has none",
    ],
    [
      "a name that systemd does not take",
      { "my web.container": web },
      'apps/shop/my web.container "my web.container" is not a name that systemd takes',
    ],
    [
      "a service name that systemd does not take",
      { "x.container": `${web}ServiceName=a b\n` },
      'apps/shop/x.container "a b.service" is not a name that systemd takes',
    ],
    [
      "two units of one name",
      { "a/web.container": web, "web.container": web },
      "apps/shop/web.container a second unit is called web.container: the first is a/web.container",
    ],
    [
      "two units of one service",
      { "other.container": `${web}ServiceName=front\n`, "web.container": `${web}ServiceName=front\n` },
      "apps/shop/web.container front.service comes of it and of other.container: the first is other.container",
    ],
  ] as const)
    test(what, () => {
      assert.deepEqual(refusals({ "ok.container": web, ...files }), [message]);
    });

  test("settings with a key that is none, with its line", () => {
    assert.match(
      refusals({ "web.container": web, "pgo.toml": '[health.web]\ndeadlin = "5s"\n' })[0] ?? "",
      /^apps\/shop\/pgo\.toml:2 .*deadline/,
    );
  });

  test("a quadlet of a .quadlets file that is there as a file too, with its line", () => {
    const part = "[Container]\n# FileName=web\nImage=localhost/x\n";
    assert.deepEqual(refusals({ "all.quadlets": `[Network]\n# FileName=app\n---\n${part}`, "web.container": web }), [
      "apps/shop/all.quadlets:4 holds web.container, which apps/shop/web.container is too",
    ]);
  });

  test("a carriage return inside a line, which systemd takes for its end and Podman does not, with its line", () => {
    assert.match(
      refusals({ "web.container": `${web}Environment=A=b\rExecStartPre=/bin/evil\n` })[0] ?? "",
      /^apps\/shop\/web\.container:3 a carriage return or NUL/,
    );
  });

  test("everything at once, not one after the other", () => {
    assert.equal(refusals({ "a.quadlets": "", "b.pod.d/x.conf": "", link: { kind: "symlink", target: "x" }, "pgo.toml": "x" }).length, 4);
  });

  test("what the layout had against it", () => {
    const made = assemble(
      { application: shop, files: new Map(), problems: [{ file: "my shop", line: undefined, message: "rename it" }] },
      renderingFor(shop),
    );
    assert.ok(!made.ok && made.trouble[0]?.message === "rename it");
  });
});

suite("files are placed", () => {
  const files = (bundle: Bundle) => bundle.files.map(({ path, mode }) => `${mode.toString(8)} ${path}`);

  test("644, what is executable 755, env files 600: those that a quadlet or drop-in names, and all that are called so", () => {
    const bundle = assembled({
      "web.container": `${web}EnvironmentFile=-conf/settings\n`,
      "web.container.d/10.conf": "[Container]\nEnvironmentFile=more\n",
      "conf/settings": "A=1",
      more: "B=1",
      "other.env": "C=1",
      "page.html": "x",
      "run.sh": { kind: "file", executable: true, content: Buffer.from("x") },
    });
    assert.ok(bundle.ok);
    assert.deepEqual(files(bundle.value), [
      "600 //env/web.service/conf/settings",
      "600 //env/web.service/more",
      "600 //env/other.env",
      "644 page.html",
      "755 run.sh",
      "644 web.container",
      "644 web.container.d/10.conf",
    ]);
  });

  test("paths are relative to the directory of the unit that has them", () => {
    const bundle = bundleOf({
      "deep/web.container": `${web}EnvironmentFile=../up.env\nVolume=./x:/x\n`,
      "up.env": "A=1",
      "deep/x/y": "1",
      "x/z": "1",
    });
    assert.deepEqual(unitIn(bundle, "web.container").files, ["deep/web.container", "//env/web.service/up.env", "deep/x/y"]);
  });

  test("pgo.toml, READMEs, licences, editors' leftovers and Git's own files stay in Git", () => {
    const bundle = bundleOf({
      "web.container": web,
      "pgo.toml": "",
      "README.md": "x",
      "docs/LICENSE": "x",
      ".gitignore": "x",
      "web.container~": "x",
      ".web.container.swp": "x",
      "a.orig": "x",
    });
    assert.deepEqual(files(bundle), ["644 web.container"]);
  });
});

suite("pgo starts by itself", () => {
  const starting = (files: Readonly<Record<string, string>>) =>
    bundleOf(files).units.flatMap(({ service, starts }) => (starts ? [service] : []));
  const install = "[Install]\nWantedBy=default.target\n";
  const run = "[Service]\nExecStart=/bin/true\n";
  for (const [what, files, started] of [
    ["quadlets, whatever their [Install] says", { "web.container": web, "a.network": "[Network]\n" }, ["a-network.service", "web.service"]],
    ["a plain service that is to be installed, and no other", { "a.service": `${run}${install}`, "b.service": run }, ["a.service"]],
    ["a timer, but not what it triggers", { "a.timer": "[Timer]\nOnBootSec=1\n", "a.service": `${run}${install}` }, ["a.timer"]],
    ["a timer, but not the unit that it names", { "a.timer": "[Timer]\nUnit=b.service\n", "b.service": `${run}${install}` }, ["a.timer"]],
    ["a socket, but not the service of its connections", { "a.socket": "[Socket]\nAccept=yes\n", "a@.service": run }, ["a.socket"]],
    ["instances, but not their template", { "w@.container": web, "w@x.container": web }, ["w@x.service"]],
    [
      "the default instance of a template that is to be installed",
      { "w@.container": `${web}${install}DefaultInstance=zero\n` },
      ["w@zero.service"],
    ],
    ["no default instance where nothing installs it", { "w@.container": `${web}[Install]\nDefaultInstance=zero\n` }, []],
  ] as const)
    test(what, () => {
      assert.deepEqual([...starting(files)].sort(), started);
    });
});

test("a byte order mark stays, for the generator to refuse: nothing of a file is changed in silence", () => {
  const bundle = bundleOf({ "web.container": `\ufeff${web}` });
  assert.deepEqual(Buffer.from(bundle.files[0]?.content ?? "").subarray(0, 3), Buffer.from([0xef, 0xbb, 0xbf]));
});

suite("a unit is made of", () => {
  const inputs = (unit: Unit) => unit.inputs.map(({ label, within }) => (within === undefined ? label : `${label} in ${within}`));

  test("its keys, its drop-ins, and the files that it mounts or names, and of nothing else", () => {
    const bundle = bundleOf({
      "web.container": `# c\n[Unit]\nDescription=Web\nAfter=db.service\n${web}Volume=./conf:/c\nVolume=./page.html:/p\nEnvironmentFile=web.env\n[Install]\nWantedBy=default.target\n`,
      "web.container.d/10-a.conf": "[Container]\nLabel=a=1\n",
      "web.container.d/20-b.conf": "[Install]\nWantedBy=x.target\n",
      "conf/a": "1",
      "conf/deep/b": "1",
      confetti: "1",
      "page.html": "1",
      "web.env": "A=1",
      "other.html": "1",
    });
    assert.deepEqual(inputs(unitIn(bundle, "web.container")), [
      "[Unit] After= in web.container",
      "Image= in web.container",
      "Volume= in web.container",
      "EnvironmentFile= in web.container",
      "web.container.d/10-a.conf",
      "web.env",
      "conf/a",
      "conf/deep/b",
      "page.html",
    ]);
  });

  test("what a drop-in mounts too", () => {
    const bundle = bundleOf({ "web.container": web, "web.container.d/1.conf": "[Container]\nVolume=./conf:/c\n", "conf/a": "1" });
    assert.ok(inputs(unitIn(bundle, "web.container")).includes("conf/a"));
  });

  test("a mounted directory that is called like one of drop-ins", () => {
    const bundle = bundleOf({ "web.container": `${web}Volume=./conf.d:/etc/nginx/conf.d:ro\n`, "conf.d/site.conf": "server {}" });
    assert.ok(inputs(unitIn(bundle, "web.container")).includes("conf.d/site.conf"));
  });

  test("all of the application where it mounts that, but other units' texts", () => {
    const bundle = bundleOf({ "web.container": `${web}Volume=.:/all\n`, "db.container": web, "conf/a": "1" });
    assert.deepEqual(unitIn(bundle, "web.container").files, ["web.container", "conf/a"]);
  });

  test("nothing outside of the application", () => {
    const bundle = bundleOf({
      "web.container": `${web}Volume=../../etc:/e\nVolume=/conf:/c\nEnvironmentFile=~/x\n`,
      "conf/a": "1",
      "etc/a": "1",
    });
    assert.deepEqual(unitIn(bundle, "web.container").files, ["web.container"]);
  });

  test("its drop-ins' keys where they say more than the unit: image, health, names", () => {
    const bundle = bundleOf({
      "web.container": web,
      "web.container.d/10.conf": "[Container]\nImage=localhost/web:2\nHealthCmd=true\nServiceName=front\n",
    });
    const { image, healthCmd, service } = unitIn(bundle, "web.container");
    assert.deepEqual([image, healthCmd, service], ["localhost/web:2", true, "front.service"]);
  });

  test("drop-ins in the order of their names, whatever directory they are in", () => {
    const bundle = bundleOf({
      "a/web.container.d/20.conf": "[Container]\nImage=localhost/web:20\n",
      "b/web.container.d/10.conf": "[Container]\nImage=localhost/web:10\n",
      "web.container": web,
    });
    assert.equal(unitIn(bundle, "web.container").image, "localhost/web:20");
  });
});

test("what is built or fetched for a unit is a part of it: a changed build context is its reason to restart", () => {
  const files = {
    "web.container": "[Container]\nImage=web.build\n",
    "web.build": "[Build]\nImageTag=localhost/web\nSetWorkingDirectory=./src\n",
    "src/page": "1",
  };
  const [before, after] = [bundleOf(files), bundleOf({ ...files, "src/page": "2" })].map((bundle) => unitIn(bundle, "web.container"));
  assert.deepEqual(differences(before?.inputs ?? [], after?.inputs ?? []), ["web.build changed"]);
});

suite("a change is a reason to restart, named by what changed", () => {
  const before = {
    "web.container": `${web}Label=a=1\nVolume=./conf:/c\n`,
    "conf/a": "1",
    "web.container.d/1.conf": "[Container]\nLabel=b=1\n",
  };
  const reasons = (after: Readonly<Record<string, string>>) =>
    differences(unitIn(bundleOf(before), "web.container").inputs, unitIn(bundleOf({ ...before, ...after }), "web.container").inputs);

  for (const [what, after, said] of [
    ["a key", { "web.container": before["web.container"].replace("web:1", "web:2") }, ["Image= changed in web.container"]],
    ["a key added", { "web.container": `${before["web.container"]}Exec=run\n` }, ["Exec= added in web.container"]],
    ["a key removed", { "web.container": before["web.container"].replace("Label=a=1\n", "") }, ["Label= removed in web.container"]],
    ["one of several values", { "web.container": `${before["web.container"]}Label=c=1\n` }, ["Label= changed in web.container"]],
    ["a file", { "conf/a": "2" }, ["conf/a changed"]],
    ["a file added", { "conf/b": "2" }, ["conf/b added"]],
    ["a drop-in", { "web.container.d/1.conf": "[Container]\nLabel=b=2\n" }, ["web.container.d/1.conf changed"]],
    [
      "a key of another section",
      { "web.container": `${before["web.container"]}[Service]\nLabel=a=1\n` },
      ["[Service] Label= added in web.container"],
    ],
    ["a comment", { "web.container": `# hello\n${before["web.container"]}` }, []],
    ["a description", { "web.container": `[Unit]\nDescription=x\n${before["web.container"]}` }, []],
    ["a drop-in's comment", { "web.container.d/1.conf": "# x\n[Container]\nLabel=b=1\n" }, []],
    ["the order of different keys", { "web.container": "[Container]\nVolume=./conf:/c\nLabel=a=1\nImage=localhost/web:1\n" }, []],
    ["a file that it does not use", { other: "1" }, []],
  ] as const)
    test(`${what}: ${said.join(", ") || "no reason"}`, () => {
      assert.deepEqual(reasons(after), said);
    });

  test("and there is a restart exactly when there is a reason", () => {
    const keys = fc.constantFrom(
      "Image=x",
      "Image=y",
      "Label=a",
      "Label=b",
      "[Service]",
      "[Container]",
      "[Unit]",
      "Environment=A=1",
      "# x",
      "[Install]",
    );
    const text = fc.array(keys, { maxLength: 6 }).map((lines) => `[Container]\n${lines.join("\n")}\n`);
    fc.assert(
      fc.property(text, text, (one, other) => {
        const [first, second] = [one, other].map((content) => unitIn(bundleOf({ "web.container": content }), "web.container"));
        assert.ok(first !== undefined && second !== undefined);
        assert.equal(first.digest === second.digest, differences(first.inputs, second.inputs).length === 0);
      }),
      { numRuns: 1000 },
    );
  });
});

suite("the digest of a bundle", () => {
  const files = { "web.container": web, "conf/a": "1" };
  const digest = (more: Readonly<Record<string, string | TreeEntry>>) => {
    const made = assembled({ ...files, ...more });
    assert.ok(made.ok);
    return made.value.digest;
  };

  test("is that of what is placed and how it is checked: a README or the files' order don't change it", () => {
    assert.equal(digest({ "README.md": "x", ".gitignore": "y" }), digest({}));
    const turned = assembled({ "conf/a": "1", "web.container": web });
    assert.ok(turned.ok && turned.value.digest === digest({}));
  });

  test("changes with any other byte, with pgo.toml, and with a file's being executable", () => {
    const all = [
      digest({}),
      digest({ "pgo.toml": "# x\n" }),
      digest({ "pgo.toml": '[health.web]\ndeadline = "5s"\n' }),
      digest({ "web.container": `# x\n${web}` }),
      digest({ "conf/a": "2" }),
      digest({ "conf/b": "1" }),
      digest({ "conf/a": { kind: "file", executable: true, content: Buffer.from("1") } }),
    ];
    assert.equal(new Set(all).size, all.length);
  });

  test("differs between applications, so that what fails in one is not in quarantine for the other", () => {
    const other = assembled(files, applicationId(sourceName("fleet"), applicationName("blog")));
    assert.ok(other.ok && other.value.digest !== digest({}));
  });
});

test("whatever the files, they make a bundle or problems, each with a file of theirs, and the same again the next time", () => {
  const name = fc.constantFrom(
    "web.container",
    "app.network",
    "data.volume",
    "web.container.d/1.conf",
    "container.d/1.conf",
    "conf.d/a.conf",
    "a/web.container",
    "pgo.toml",
    "x.pod",
    "x@.container",
    "a.env",
    "README",
    ".gitkeep",
    "we b.container",
    "x.timer",
  );
  const content = fc.oneof(
    fc.constantFrom(
      web,
      "[Container]\nServiceName=x\n",
      "[Network]\n",
      "Volume=./conf.d:/x\n",
      "[Container]\nVolume=..:/x\nEnvironmentFile=./../a.env\n",
    ),
    fc.string({ unit: "binary", maxLength: 30 }),
  );
  const entry: fc.Arbitrary<TreeEntry> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant("file" as const),
        executable: fc.boolean(),
        content: content.map((text) => Buffer.from(text)),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.uint8Array({ maxLength: 9 }).map((bytes) => ({ kind: "file" as const, executable: false, content: bytes })),
    },
    { weight: 1, arbitrary: fc.constantFrom<TreeEntry>({ kind: "symlink", target: "/" }, { kind: "other", what: "a submodule" }) },
  );
  fc.assert(
    fc.property(fc.dictionary(name, entry, { maxKeys: 8, noNullPrototype: true }), (files) => {
      const made = assembled(files);
      assert.deepEqual(assembled(files), made);
      if (!made.ok) for (const { file } of made.trouble) assert.ok(Object.hasOwn(files, file.replace("apps/shop/", "")), file);
      else
        for (const unit of made.value.units)
          for (const path of unit.files)
            assert.ok(
              made.value.files.some((file) => file.path === path),
              path,
            );
    }),
    { numRuns: 500 },
  );
});

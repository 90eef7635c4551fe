/** Which applications a source's files make. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import type { TreeEntry } from "../../src/core/bundle.ts";
import { dropInOwner, isDropIn, layout, type Draft } from "../../src/core/layout.ts";
import { followLinks } from "../../src/core/links.ts";
import { partsOf, sourceName } from "../../src/core/names.ts";

const fleet = sourceName("fleet");

const web = "[Container]\nImage=localhost/x\n";
const entry = (text: string): TreeEntry => ({ kind: "file", executable: false, content: Buffer.from(text) });

function drafts(files: Readonly<Record<string, string>> | readonly string[], paths: readonly string[] = ["."]): readonly Draft[] {
  const texts: readonly (readonly [string, string])[] = Array.isArray(files)
    ? (files as readonly string[]).map((file) => [file, "[Container]\nImage=localhost/x\n"])
    : Object.entries(files);
  return layout(fleet, paths, new Map(texts.map(([path, text]) => [path, entry(text)])));
}

/** `application: path <- origin`, sorted. */
function shown(found: readonly Draft[]): readonly string[] {
  return found
    .flatMap(({ application, files }) =>
      [...files].map(([path, { origin }]) => `${partsOf(application).application}: ${path} <- ${origin}`),
    )
    .sort();
}

suite("a first-level directory with a unit at any depth is an application", () => {
  test("with all its files, assets and pgo.toml too", () => {
    const files = ["shop/web.container", "shop/conf/site.conf", "shop/pgo.toml", "blog/deep/er/blog.container"];
    assert.deepEqual(shown(drafts(files)), [
      "blog: deep/er/blog.container <- blog/deep/er/blog.container",
      "shop: conf/site.conf <- shop/conf/site.conf",
      "shop: pgo.toml <- shop/pgo.toml",
      "shop: web.container <- shop/web.container",
    ]);
  });

  test("one without is ignored, a drop-in alone makes none", () => {
    assert.deepEqual(drafts(["docs/guide.md", "scripts/deploy.sh", "extra/web.container.d/10.conf"]), []);
  });

  test("hidden directories are ignored", () => {
    assert.deepEqual(drafts([".github/web.container", ".web.container"]), []);
  });

  test("units that this version can't place still make an application, so that it can be told", () => {
    assert.deepEqual(shown(drafts(["shop/all.kube"])), ["shop: all.kube <- shop/all.kube"]);
  });
});

suite("left out are", () => {
  test("units in directories for documentation and examples, which the generator would make live; other files there stay", () => {
    const files = [
      "shop/web.container",
      "shop/docs/sample.container",
      "shop/Examples/a/b.timer",
      "shop/samples/web.container.d/10.conf",
      "shop/docs/page.html",
      "docs/only.container",
    ];
    assert.deepEqual(shown(drafts(files)), ["shop: docs/page.html <- shop/docs/page.html", "shop: web.container <- shop/web.container"]);
  });

  test("but a path that is called so is meant", () => {
    assert.deepEqual(shown(drafts(["examples/shop/web.container"], ["examples"])), ["shop: web.container <- examples/shop/web.container"]);
  });

  test("what a .pgoignore names, in its directory and below", () => {
    const files = {
      ".pgoignore": "/old\n*.bak\n",
      "old/a.container": web,
      "shop/web.container": web,
      "shop/x.bak": "",
      "shop/conf/.pgoignore": "*\n!keep\n",
      "shop/conf/gone": "",
      "shop/conf/keep": "",
    };
    assert.deepEqual(
      shown(drafts(files)).filter((line) => !line.includes(".pgoignore")),
      ["shop: conf/keep <- shop/conf/keep", "shop: web.container <- shop/web.container"],
    );
  });
});

suite("a symbolic link", () => {
  const link = (target: string): TreeEntry => ({ kind: "symlink", target });
  const kinds = (links: Readonly<Record<string, string>>, files: readonly string[]) => {
    const tree = new Map<string, TreeEntry>([
      ...files.map((path): [string, TreeEntry] => [path, entry(`text of ${path}`)]),
      ...Object.entries(links).map(([path, target]): [string, TreeEntry] => [path, link(target)]),
    ]);
    const followed = followLinks(tree);
    return [...followed]
      .filter(([path]) => !files.includes(path))
      .map(([path, one]) => `${path}: ${one.kind === "file" ? Buffer.from(one.content).toString() : one.kind}`)
      .sort();
  };

  for (const [what, links, files, found] of [
    [
      "is the file that it leads to",
      { "shop/web@a.container": "web@.container" },
      ["shop/web@.container"],
      ["shop/web@a.container: text of shop/web@.container"],
    ],
    [
      "is the directory that it leads to",
      { "shop/conf": "../common/conf" },
      ["common/conf/a", "common/conf/b/c"],
      ["shop/conf/a: text of common/conf/a", "shop/conf/b/c: text of common/conf/b/c"],
    ],
    ["leads over others", { a: "b", b: "c/x" }, ["c/x"], ["a: text of c/x", "b: text of c/x"]],
    [
      "that leads out of the source stays one, to be refused",
      { out: "../secret", "a/out": "../../etc/passwd" },
      ["etc/passwd"],
      ["a/out: symlink", "out: symlink"],
    ],
    ["that is absolute stays one, though the source has such a file", { abs: "/etc/passwd" }, ["etc/passwd"], ["abs: symlink"]],
    [
      "that leads in a circle, nowhere, or above itself stays one",
      { a: "b", b: "a", none: "x", "d/up": "..", "d/self": "." },
      ["d/x"],
      ["a: symlink", "b: symlink", "d/self: symlink", "d/up: symlink", "none: symlink"],
    ],
  ] as const)
    test(what, () => {
      assert.deepEqual(kinds(links, files), found);
    });
});

test("drop-ins of all units of a kind at the top of a path are every application's, but where it has its own", () => {
  const files = { "container.d/10.conf": "top", "shop/web.container": web, "blog/blog.container": web, "blog/container.d/10.conf": "own" };
  assert.deepEqual(
    shown(drafts(files)).filter((line) => line.includes("10.conf")),
    ["blog: container.d/10.conf <- blog/container.d/10.conf", "shop: container.d/10.conf <- container.d/10.conf"],
  );
});

suite("units at the top of a path", () => {
  test("form the application named after the source, with the files beside them", () => {
    const files = { "web.container": "[Container]\n", "web.env": "A=1", "shop/shop.container": "[Container]\n" };
    assert.deepEqual(shown(drafts(files)), [
      "fleet: web.container <- web.container",
      "fleet: web.env <- web.env",
      "shop: shop.container <- shop/shop.container",
    ]);
  });

  for (const line of [
    "Volume=./conf:/etc/web",
    "Volume=./conf/sub:/x",
    "Mount=type=bind,source=./conf,destination=/x",
    "EnvironmentFile=conf/a",
    "EnvironmentFile=-conf/a",
  ])
    test(`take along the directory that they name by ${line}`, () => {
      const files = { "web.container": `[Container]\n${line}\n`, "conf/sub/site.conf": "x", "docs/guide.md": "x" };
      assert.deepEqual(shown(drafts(files)), ["fleet: conf/sub/site.conf <- conf/sub/site.conf", "fleet: web.container <- web.container"]);
    });

  test("with a hidden file that one of them names, such as an .env, and no other", () => {
    const unit = "[Container]\nImage=localhost/x\nEnvironmentFile=.env\nVolume=./.htpasswd:/x\n";
    const files = { "web.container": unit, ".env": "A=b\n", ".htpasswd": "", ".env.example": "", ".gitignore": "", ".github/.env": "" };
    assert.deepEqual(shown(drafts(files)), [
      "fleet: .env <- .env",
      "fleet: .htpasswd <- .htpasswd",
      "fleet: web.container <- web.container",
    ]);
  });

  test("take along their drop-ins", () => {
    assert.deepEqual(shown(drafts(["web.container", "web.container.d/10.conf"])), [
      "fleet: web.container <- web.container",
      "fleet: web.container.d/10.conf <- web.container.d/10.conf",
    ]);
  });

  test("and a directory of the source's name are one too many, which is told where the unit is", () => {
    const found = drafts(["hosts/pi/web.container", "hosts/pi/fleet/db.container"], ["hosts/pi"]);
    assert.deepEqual(
      found.map(({ application, problems }) => [application, problems.map(({ file }) => file)]),
      [["fleet/fleet", ["hosts/pi/web.container"]]],
    );
    assert.match(found[0]?.problems[0]?.message ?? "", /move them into a directory of their own, or name the source otherwise/);
  });
});

suite("several paths", () => {
  test("are overlaid by application and file, the later one wins", () => {
    const files = ["base/shop/web.container", "base/shop/web.env", "pi/shop/web.env", "base/blog/blog.container", "pi/cam/cam.container"];
    assert.deepEqual(shown(drafts(files, ["base", "pi"])), [
      "blog: blog.container <- base/blog/blog.container",
      "cam: cam.container <- pi/cam/cam.container",
      "shop: web.container <- base/shop/web.container",
      "shop: web.env <- pi/shop/web.env",
    ]);
  });

  test("may hold in one of them no more than a drop-in or a file of an application", () => {
    const files = [
      "base/shop/web.container",
      "pi/shop/web.container.d/10.conf",
      "base/top.container",
      "pi/top.env",
      "pi/top.container.d/1.conf",
    ];
    assert.deepEqual(shown(drafts(files, ["base", "pi"])), [
      "fleet: top.container <- base/top.container",
      "fleet: top.container.d/1.conf <- pi/top.container.d/1.conf",
      "fleet: top.env <- pi/top.env",
      "shop: web.container <- base/shop/web.container",
      "shop: web.container.d/10.conf <- pi/shop/web.container.d/10.conf",
    ]);
  });

  test("hide all that lies beside them", () => {
    assert.deepEqual(shown(drafts(["hosts/pi/shop/web.container", "hosts/pi5/shop/web.container"], ["hosts/pi"])), [
      "shop: web.container <- hosts/pi/shop/web.container",
    ]);
  });

  test("are the same however they are written", () => {
    const files = ["hosts/pi/shop/web.container"];
    for (const path of ["hosts/pi", "./hosts/pi", "hosts/pi/"]) assert.equal(drafts(files, [path]).length, 1, path);
    for (const path of [".", "./", ""]) assert.equal(drafts(["shop/web.container"], [path]).length, 1, path);
  });
});

test("a directory whose name can't be an application's is refused rather than left out", () => {
  const found = drafts(["my shop/web.container", "-x/x.container", `${"n".repeat(70)}/n.container`]);
  assert.equal(found.length, 3);
  for (const { problems } of found) assert.match(problems[0]?.message ?? "", /is not an application name.*rename the directory/);
});

test("a drop-in belongs to a unit or to all of a kind; any other .conf is an asset", () => {
  assert.equal(dropInOwner("a/web.container.d/10.conf"), "web.container");
  assert.equal(dropInOwner("container.d/10.conf"), "container");
  assert.equal(dropInOwner("web.service.d/10.conf"), "web.service");
  for (const path of ["conf.d/site.conf", "web.container/10.conf", "10.conf", ".d/10.conf"]) assert.equal(isDropIn(path), false, path);
  assert.equal(isDropIn("web.container.d/readme.txt"), false);
});

/** Trees of few names, so that directories and files meet. */
const part = fc.constantFrom("a", "b", "fleet", "conf.d", "web.container.d", ".git", "my dir");
const leaf = fc.constantFrom("web.container", "app.network", "x.env", "10.conf", "README.md", "all.kube");
const tree = fc.uniqueArray(
  fc.tuple(fc.array(part, { maxLength: 3 }), leaf).map(([parts, last]) => [...parts, last].join("/")),
  { maxLength: 10 },
);
const anyPaths = fc.uniqueArray(fc.constantFrom(".", "a", "b", "a/b"), { minLength: 1, maxLength: 3 });

test("no visible unit vanishes, and each file lies in the application of its directory, from the last path that has it", () => {
  fc.assert(
    fc.property(tree, anyPaths, (files, paths) => {
      const found = drafts(files, paths);
      assert.equal(new Set(found.map(({ application }) => application)).size, found.length);
      const placed = new Map(
        found.flatMap((draft) => [...draft.files].map(([path, { origin }]) => [`${draft.application}/${path}`, origin])),
      );
      const expected = new Map<string, string>();
      for (const path of paths) {
        const prefix = path === "." ? "" : `${path}/`;
        for (const file of files.filter((one) => one.startsWith(prefix) && /\.(?:container|network|kube)$/.test(one))) {
          const below = file.slice(prefix.length);
          if (!below.startsWith("."))
            expected.set(below.includes("/") ? `fleet/${below.replace(/^my dir\//, "my_dir/")}` : `fleet/fleet/${below}`, file);
        }
      }
      for (const [target, origin] of expected) assert.equal(placed.get(target), origin, target);
      for (const draft of found)
        for (const [path, { origin }] of draft.files) assert.ok(files.includes(origin) && `/${origin}`.endsWith(`/${path}`), origin);
    }),
  );
});

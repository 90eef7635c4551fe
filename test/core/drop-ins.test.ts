/** Which drop-ins a unit gets, and in which order: what the generators of Podman 5.4 and 5.8 and systemd 257 and 262 did with the same files. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { dropInOwners, dropInsOf } from "../../src/core/drop-ins.ts";

const origins = (unit: string, paths: readonly string[], others: readonly string[] = []) =>
  dropInsOf([unit, ...others], paths)
    .applied.get(unit)
    ?.map(({ origin }) => origin);

const told = (units: readonly string[], paths: readonly string[]) =>
  dropInsOf(units, paths).problems.map(({ file, message }) => `${file} ${message}`);

/** In each of the directories one file of a common name and one of its own. */
const inEach = (...directories: readonly string[]) => directories.flatMap((one) => [`${one}/10.conf`, `${one}/only-${one}.conf`]);

suite("the directories of a unit, the most specific first", () => {
  const table: readonly (readonly [unit: string, owners: readonly string[]])[] = [
    ["web.container", ["web.container", "container"]],
    ["a-b-c.container", ["a-b-c.container", "a-b-.container", "a-.container", "container"]],
    ["a--b.container", ["a--b.container", "a--.container", "a-.container", "container"]],
    ["a.b-c.pod", ["a.b-c.pod", "a.b-.pod", "pod"]],
    ["foo-.container", ["foo-.container", "container"]],
    ["-x.container", ["-x.container", "-.container", "container"]],
    ["foo@1.container", ["foo@1.container", "foo@.container", "container"]],
    ["foo@a-b.container", ["foo@a-b.container", "foo@.container", "container"]],
    ["foo-bar@.container", ["foo-bar@.container", "foo-@.container", "foo-.container", "container"]],
    ["foo-bar@1.container", ["foo-bar@1.container", "foo-bar@.container", "foo-@.container", "foo-.container", "container"]],
    // systemd has rules of its own.
    ["a-b-c.service", ["a-b-c.service", "a-b-.service", "a-.service", "service"]],
    ["a-b@1.service", ["a-b@1.service", "a-b@.service", "a-.service", "a-@1.service", "a-@.service", "service"]],
    ["a-.service", ["a-.service", "service"]],
    ["a--b.service", ["a--b.service", "a--.service", "a-.service", "service"]],
    ["a-b--.service", ["a-b--.service", "a-b-.service", "a-.service", "service"]],
    ["-x.timer", ["-x.timer", "timer"]],
  ];
  for (const [unit, owners] of table)
    test(unit, () => {
      assert.deepEqual(dropInOwners(unit), owners);
    });
});

suite("the drop-ins of a unit", () => {
  const table: readonly (readonly [what: string, unit: string, paths: readonly string[], expected: readonly string[]])[] = [
    [
      "of files of one name the most specific counts, all apply by name, byte by byte",
      "foo-bar.container",
      [
        ...["container.d/é.conf", "container.d/a.conf", "container.d/Z.conf", "container.d/99.conf", "foo-bar.container.d/50.conf"],
        ...["container.d/10.conf", "foo-.container.d/10.conf", "foo-bar.container.d/10.conf"],
        ...["container.d/07.conf", "foo-.container.d/07.conf", "container.d/05.conf"],
      ],
      [
        ...["container.d/05.conf", "foo-.container.d/07.conf", "foo-bar.container.d/10.conf", "foo-bar.container.d/50.conf"],
        ...["container.d/99.conf", "container.d/Z.conf", "container.d/a.conf", "container.d/é.conf"],
      ],
    ],
    [
      "of three dashes the longer prefix counts",
      "a-b-c.container",
      [
        ...["a-b-c.container.d/10.conf", "a-b-.container.d/10.conf", "a-.container.d/10.conf", "container.d/10.conf"],
        ...["container.d/20.conf", "a-.container.d/20.conf", "a-b-.container.d/20.conf", "container.d/30.conf", "a-.container.d/30.conf"],
      ],
      ["a-b-c.container.d/10.conf", "a-b-.container.d/20.conf", "a-.container.d/30.conf"],
    ],
    [
      "an instance gets its own, its template's, and those of both prefixes",
      "foo-bar@1.container",
      inEach("foo-bar@1.container.d", "foo-bar@.container.d", "foo-@.container.d", "foo-.container.d", "container.d"),
      [
        ...["foo-bar@1.container.d/10.conf", "container.d/only-container.d.conf", "foo-.container.d/only-foo-.container.d.conf"],
        ...["foo-@.container.d/only-foo-@.container.d.conf", "foo-bar@.container.d/only-foo-bar@.container.d.conf"],
        "foo-bar@1.container.d/only-foo-bar@1.container.d.conf",
      ],
    ],
    [
      "of a template's prefix the one with the @ counts",
      "foo-bar@.container",
      ["container.d/10.conf", "foo-.container.d/10.conf", "foo-@.container.d/10.conf", "container.d/20.conf", "foo-.container.d/20.conf"],
      ["foo-@.container.d/10.conf", "foo-.container.d/20.conf"],
    ],
    [
      "of an instance of systemd the prefix without the @ counts, as systemd comes to it first",
      "zz-b@1.service",
      ["zz-@1.service.d/30.conf", "zz-@.service.d/30.conf", "zz-.service.d/30.conf", "zz-@1.service.d/20.conf", "zz-b@.service.d/20.conf"],
      ["zz-b@.service.d/20.conf", "zz-.service.d/30.conf"],
    ],
    [
      "other directories of the application count too: a directory before those in it, and these by name",
      "web.container",
      [
        ...["z/web.container.d/10.conf", "web.container.d/10.conf", "a/b/web.container.d/10.conf"],
        ...["a.b/web.container.d/20.conf", "a-b/web.container.d/20.conf", "a/b/web.container.d/20.conf"],
        ...["a-b/web.container.d/30.conf", "B/web.container.d/30.conf", "a/web.container.d/30.conf"],
      ],
      ["web.container.d/10.conf", "a/b/web.container.d/20.conf", "B/web.container.d/30.conf"],
    ],
    [
      "more specific in a later directory wins over more general in an earlier",
      "web.container",
      ["a/container.d/50.conf", "c/web.container.d/50.conf", "container.d/40.conf", "b/z/web.container.d/40.conf"],
      ["b/z/web.container.d/40.conf", "c/web.container.d/50.conf"],
    ],
    [
      "names may begin with a dot and hold others",
      "web.container",
      ["web.container.d/a.b.conf", "web.container.d/.hidden.conf", "web.container.d/.conf"],
      ["web.container.d/.conf", "web.container.d/.hidden.conf", "web.container.d/a.b.conf"],
    ],
    [
      "every kind has its own",
      "my-x.network",
      ["network.d/10.conf", "my-.network.d/20.conf", "my-x.network.d/30.conf", "my-x.volume.d/40.conf", "volume.d/50.conf"],
      ["network.d/10.conf", "my-.network.d/20.conf", "my-x.network.d/30.conf"],
    ],
  ];
  for (const [what, unit, paths, expected] of table)
    test(what, () => {
      assert.deepEqual(origins(unit, paths), expected);
      assert.deepEqual(origins(unit, paths.toReversed()), expected);
    });

  test("go to the unit's own directory, under their names", () => {
    const { applied } = dropInsOf(["web.container", "db.container", "x.pod"], ["container.d/10.conf", "sub/web.container.d/10.conf"]);
    assert.deepEqual(
      [...applied],
      [
        ["web.container", [{ origin: "sub/web.container.d/10.conf", directory: "web.container.d", name: "10.conf" }]],
        ["db.container", [{ origin: "container.d/10.conf", directory: "db.container.d", name: "10.conf" }]],
        ["x.pod", []],
      ],
    );
  });
});

suite("a drop-in that is for no unit is told", () => {
  const units = ["web.container", "web-db.container", "x@.container", "data.volume"];
  const table: readonly (readonly [path: string, message: string])[] = [
    ["pod.d/10.conf", "is a drop-in for every pod of this application, which has none"],
    ["wbe.container.d/10.conf", "is a drop-in for wbe.container, which is not a unit of this application (did you mean web.container.d?)"],
    ["other.kube.d/10.conf", "is a drop-in for other.kube, which is not a unit of this application"],
    ["app-.container.d/10.conf", "is a drop-in for units app-*.container, of which this application has none"],
    [
      "x@1.container.d/10.conf",
      "is a drop-in for x@1.container, an instance that this application doesn't have: add x@1.container as a symlink to x@.container",
    ],
    ["y@.volume.d/10.conf", "is a drop-in for y@.volume, which is not a unit of this application"],
    ["conf.d/web.container.d/10.conf", "is a drop-in inside another directory *.d, where nobody looks for it"],
  ];
  for (const [path, message] of table)
    test(path, () => {
      assert.deepEqual(told(units, [path]), [`${path} ${message}`]);
    });

  test("but one that a more specific one hides is for a unit", () => {
    assert.deepEqual(
      told(units, [
        "container.d/10.conf",
        "web.container.d/10.conf",
        "web-.container.d/10.conf",
        "volume.d/10.conf",
        "data.volume.d/10.conf",
      ]),
      [],
    );
  });

  test("a path that is no drop-in is a mistake of the caller", () => {
    assert.throws(() => dropInsOf(units, ["web.container.d/README"]), /is not a drop-in/);
    assert.throws(() => dropInsOf(units, ["conf/10.conf"]), /is not a drop-in/);
  });
});

suite("whatever the units and drop-ins", () => {
  const stem = fc.constantFrom("a", "a-b", "a-", "a-b-c", "b", "a@", "a@1", "a-b@", "a-b@1", "a-@", "-");
  const suffix = fc.constantFrom("container", "service", "pod");
  const unit = fc.tuple(stem, suffix).map((parts) => parts.join("."));
  const owner = fc.oneof(unit, suffix);
  const path = fc
    .tuple(fc.constantFrom("", "a/", "a/b/", "c/", "A/"), owner, fc.constantFrom("10", "20", "x"))
    .map(([above, name, file]) => `${above}${name}.d/${file}.conf`);
  const units = fc.uniqueArray(unit, { maxLength: 5 });
  const paths = fc.uniqueArray(path, { maxLength: 15 });

  test("what is placed instead means the same to every unit, by the same rules", () => {
    fc.assert(
      fc.property(units, paths, (units, paths) => {
        const { applied } = dropInsOf(units, paths);
        const placed = new Map([...applied.values()].flat().map(({ directory, name, origin }) => [`${directory}/${name}`, origin]));
        const again = dropInsOf(units, [...placed.keys()]);
        assert.deepEqual(again.problems, []);
        for (const unit of units)
          assert.deepEqual(
            again.applied.get(unit)?.map(({ origin }) => placed.get(origin)),
            applied.get(unit)?.map(({ origin }) => origin),
          );
      }),
      { numRuns: 1000 },
    );
  });

  test("each is some unit's, or hidden from all that it is for, or told", () => {
    fc.assert(
      fc.property(units, paths, (units, paths) => {
        const { applied, problems } = dropInsOf(units, paths);
        const used = new Set([...applied.values()].flat().map(({ origin }) => origin));
        for (const one of paths) {
          const owner = one.split("/").at(-2)?.slice(0, -2) ?? "";
          const owners = units.filter((unit) => dropInOwners(unit).includes(owner));
          assert.equal(
            problems.some(({ file }) => file === one),
            owners.length === 0,
          );
          if (owners.length === 0) assert.ok(!used.has(one));
        }
      }),
    );
  });
});

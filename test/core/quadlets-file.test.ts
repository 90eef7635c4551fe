/** How a `.quadlets` file falls into quadlets: as `podman quadlet install` of Podman 5.8 takes it apart, tried there. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { parseUnit } from "../../src/core/unit-text.ts";
import { splitQuadlets } from "../../src/core/quadlets-file.ts";

const split = (text: string) => {
  const result = splitQuadlets("shop/web.quadlets", text);
  return result.ok ? result.value.map(({ name, offset, text: own }) => `${name}+${offset} ${JSON.stringify(own)}`) : result.trouble;
};

const problems = (text: string): readonly string[] => {
  const result = splitQuadlets("shop/web.quadlets", text);
  return result.ok ? [] : result.trouble.map(({ file, line, message }) => `${file}:${String(line)}: ${message}`);
};

suite("a .quadlets file is taken apart", () => {
  test("at lines of three dashes, each quadlet named by its comment and its section", () => {
    assert.deepEqual(split("# FileName=web\n[Container]\nImage=x\n---\n# FileName=data\n[Volume]\n"), [
      'web.container+0 "# FileName=web\\n[Container]\\nImage=x\\n"',
      'data.volume+4 "# FileName=data\\n[Volume]\\n"',
    ]);
  });

  const kinds: readonly (readonly [section: string, suffix: string])[] = [
    ["Container", "container"],
    ["Volume", "volume"],
    ["Network", "network"],
    ["Kube", "kube"],
    ["Image", "image"],
    ["Build", "build"],
    ["Pod", "pod"],
    ["Artifact", "artifact"],
    ["CONTAINER", "container"],
  ];
  for (const [section, suffix] of kinds)
    test(`[${section}] makes it a .${suffix}`, () => {
      assert.deepEqual(split(`# FileName=a\n[Unit]\nDescription=x\n[${section}]\n`), [
        `a.${suffix}+0 "# FileName=a\\n[Unit]\\nDescription=x\\n[${section}]\\n"`,
      ]);
    });

  const table: readonly (readonly [what: string, text: string, expected: readonly string[]])[] = [
    ["a single quadlet is fine", "# FileName=a\n[Pod]\n", ['a.pod+0 "# FileName=a\\n[Pod]\\n"']],
    [
      "the name may stand anywhere in its part, the first counts",
      "[Pod]\n# FileName=a\n# FileName=b\n",
      ['a.pod+0 "[Pod]\\n# FileName=a\\n# FileName=b\\n"'],
    ],
    [
      "white space around names, sections and dashes counts for nothing",
      "  #   FileName=  a  \n [Pod] \n  ---\t\n#FileName=b\n[Pod]",
      ['a.pod+0 "  #   FileName=  a  \\n [Pod] \\n"', 'b.pod+3 "#FileName=b\\n[Pod]\\n"'],
    ],
    [
      "empty parts and empty lines at the ends are left out",
      "---\n\n---\n\n# FileName=a\n[Pod]\n\n\n---\n---\n",
      ['a.pod+4 "# FileName=a\\n[Pod]\\n"'],
    ],
    [
      "Windows line ends stay",
      "# FileName=a\r\n[Pod]\r\n---\r\n# FileName=b\r\n[Volume]\r\n",
      ['a.pod+0 "# FileName=a\\r\\n[Pod]\\r\\n"', 'b.volume+3 "# FileName=b\\r\\n[Volume]\\r\\n"'],
    ],
    [
      "quadlets of different kinds may have one name",
      "# FileName=a\n[Pod]\n---\n# FileName=a\n[Volume]\n",
      ['a.pod+0 "# FileName=a\\n[Pod]\\n"', 'a.volume+3 "# FileName=a\\n[Volume]\\n"'],
    ],
    ["a template has a name that ends in @", "# FileName=a@\n[Container]\n", ['a@.container+0 "# FileName=a@\\n[Container]\\n"']],
    ["a dot in a name is no suffix", "# FileName=a.b\n[Pod]\n", ['a.b.pod+0 "# FileName=a.b\\n[Pod]\\n"']],
    [
      "more or fewer dashes are none, and dashes in a line neither",
      "# FileName=a\n----\n--\n# ---\n[Pod]\n",
      ['a.pod+0 "# FileName=a\\n----\\n--\\n# ---\\n[Pod]\\n"'],
    ],
    [
      "dashes end a value that goes on",
      "# FileName=a\n[Container]\nExec=a \\\n---\n# FileName=b\n[Pod]\n",
      ['a.container+0 "# FileName=a\\n[Container]\\nExec=a \\\\\\n"', 'b.pod+4 "# FileName=b\\n[Pod]\\n"'],
    ],
    ["a [Quadlet] section says nothing of the kind", "# FileName=a\n[Quadlet]\n[Pod]\n", ['a.pod+0 "# FileName=a\\n[Quadlet]\\n[Pod]\\n"']],
    ["a byte order mark is left out", "\ufeff# FileName=a\n[Pod]\n", ['a.pod+0 "# FileName=a\\n[Pod]\\n"']],
  ];
  for (const [what, text, expected] of table)
    test(what, () => {
      assert.deepEqual(split(text), expected);
    });
});

suite("a .quadlets file is refused", () => {
  const table: readonly (readonly [
    what: string,
    text: string,
    expected: readonly (readonly [line: number | undefined, message: RegExp])[],
  ])[] = [
    ["that is empty", "", [[undefined, /holds no quadlet/]]],
    ["that holds nothing but dashes", "---\n\n---\n", [[undefined, /holds no quadlet/]]],
    [
      "for a quadlet without a name, also if it is the only one",
      "\n[Pod]\n",
      [[2, /that begins here has no name: add a line # FileName=NAME/]],
    ],
    ["for a name in a ; comment", "; FileName=a\n[Pod]\n", [[1, /has no name/]]],
    ["for a name in lower case", "# filename=a\n[Pod]\n", [[1, /has no name/]]],
    ["for blanks before the equals sign", "# FileName =a\n[Pod]\n", [[1, /has no name/]]],
    ["for an empty name", "# c\n# FileName=\n[Pod]\n", [[2, /FileName= is empty/]]],
    ["for a path", "# FileName=a/b\n[Pod]\n", [[1, /FileName=a\/b is a path/]]],
    ["for a backslash", "# FileName=a\\x2db\n[Pod]\n", [[1, /is a path/]]],
    ["for a suffix", "# FileName=a.pod\n[Pod]\n", [[1, /FileName=a\.pod has a suffix.*leave \.pod away/]]],
    ["for another kind's suffix", "# FileName=a.volume\n[Pod]\n", [[1, /leave \.volume away/]]],
    [
      "for a name that systemd can't take",
      "# FileName=a b\n[Pod]\n",
      [[1, /FileName=a b can't be used: "a b\.pod" is not a name that systemd takes/]],
    ],
    [
      "for a part without a kind's section",
      "# license\n---\n# FileName=a\n[Pod]\n",
      [
        [1, /no section says what kind/],
        [1, /has no name/],
      ],
    ],
    ["for a section that is no kind", "# FileName=a\n[Quadlets]\n", [[1, /no section says/]]],
    ["for a comment behind the section", "# FileName=a\n[Pod] # c\n", [[1, /no section says/]]],
    [
      "for two kinds in one part",
      "# FileName=a\n[Pod]\n\n[Volume]\n",
      [[4, /\[Volume\] stands in the same quadlet as \[Pod\] on line 2: put a line ---/]],
    ],
    [
      "for two quadlets of one name",
      "# FileName=a\n[Pod]\n---\n# c\n# FileName=a\n[Pod]\n",
      [[5, /a second quadlet is called a\.pod: the first is on line 1/]],
    ],
    [
      "with all that is wrong at once",
      "[Pod]\n---\n# FileName=\n[Pod]\n---\n# FileName=a\n[Unit]\n",
      [
        [1, /no name/],
        [3, /empty/],
        [6, /no section/],
      ],
    ],
  ];
  for (const [what, text, expected] of table)
    test(what, () => {
      const told = problems(text);
      assert.equal(told.length, expected.length, told.join("\n"));
      for (const [index, [line, message]] of expected.entries()) {
        assert.ok(told[index]?.startsWith(`shop/web.quadlets:${String(line)}: `), told[index]);
        assert.match(told[index] ?? "", message);
      }
    });
});

test("whatever the quadlets: each comes back as it was, and its lines point into the file", () => {
  const body = fc.array(fc.constantFrom("", "Image=x", "# c", "  Exec=a \\", "b", "[Unit]", "----"), { maxLength: 6 });
  const gap = fc.array(fc.constantFrom("", " ", "---"), { maxLength: 3 });
  fc.assert(
    fc.property(fc.array(fc.record({ body, gap }), { minLength: 1, maxLength: 5 }), (parts) => {
      const written = parts.map(({ body }, index) => [`# FileName=q${index}`, "[Container]", ...body].join("\n"));
      const text = written
        .map((part, index) => [...(parts[index]?.gap ?? []), part, ...(index + 1 < written.length ? ["---"] : [])].join("\n"))
        .join("\n");
      const result = splitQuadlets("a.quadlets", text);
      assert.ok(result.ok);
      assert.deepEqual(
        result.value.map((one) => one.text.trim()),
        written.map((part) => part.trim()),
      );
      const lines = text.split("\n");
      for (const { text: own, offset } of result.value)
        for (const { line, column, key } of parseUnit(own)) assert.ok(lines[line + offset - 1]?.slice(column - 1).startsWith(key));
    }),
  );
});

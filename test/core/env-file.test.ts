/** Env files: what references come to, what is told and never shown, and that a container or service sees each value exactly. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { readEnvFile, renderForPodman, renderForSystemd, secretNames, type EnvFile, type EnvSyntax } from "../../src/core/env-file.ts";

const stored: Readonly<Partial<Record<string, string>>> = {
  A: "1",
  B: "two words",
  DB_PASSWORD: "p$A ${A} 'q' \"r\" # \\ é",
  EMPTY: "",
  NUL: "x\0y",
};

function result(text: string, syntax: EnvSyntax = "podman", values: Readonly<Partial<Record<string, string>>> = stored) {
  return readEnvFile(text, "shop/web.env", { syntax, lookup: (name) => (Object.hasOwn(values, name) ? values[name] : undefined) });
}

function read(text: string, syntax: EnvSyntax = "podman", values = stored): EnvFile {
  const found = result(text, syntax, values);
  assert.ok(found.ok, JSON.stringify(found));
  return found.value;
}

const pairs = (text: string, syntax: EnvSyntax = "podman"): unknown => read(text, syntax).entries.map(({ name, value }) => [name, value]);

function refusals(text: string, syntax: EnvSyntax = "podman"): string[] {
  const found = result(text, syntax);
  return found.ok ? [] : found.trouble.map(({ line, message }) => `${String(line)}: ${message}`);
}

/** Podman's pkg/env/env.go: lines of Go's scanner, one trailing \r dropped, cut at the first =. */
function asPodmanReads(text: string, environment: Readonly<Record<string, string>> = {}): Record<string, string> {
  const seen: Record<string, string> = {};
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const whole of lines) {
    assert.ok(Buffer.byteLength(whole) <= 65_535, "bufio.Scanner: token too long");
    const line = whole.replace(/\r$/, "").replace(/^[ \t]+/, "");
    if (line === "" || line.startsWith("#")) continue;
    const equals = line.indexOf("=");
    assert.notEqual(equals, 0, "invalid variable");
    if (equals > 0) seen[line.slice(0, equals)] = line.slice(equals + 1);
    else if (environment[line] !== undefined) seen[line] = environment[line];
  }
  return seen;
}

/** systemd's src/basic/env-file.c, as far as it is used here: a value in double quotes. */
function asSystemdReads(text: string): Record<string, string> {
  const seen: Record<string, string> = {};
  for (const [whole, name = "", value = ""] of text.matchAll(/([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\[^])*)"\n/g)) {
    seen[name] = value.replace(/\\([^])/g, (escape, letter: string) => ('"\\`$'.includes(letter) ? letter : letter === "\n" ? "" : escape));
    text = text.replace(whole, () => "");
  }
  assert.equal(text, "", "everything is an assignment");
  return seen;
}

function containerSees(file: EnvFile): Record<string, string> {
  const rendered = renderForPodman(file);
  assert.ok(rendered.ok, JSON.stringify(rendered));
  const { container, service } = rendered.value;
  return asPodmanReads(container, service === undefined ? {} : asSystemdReads(service));
}

suite("a file for a container is read as Podman reads it", () => {
  test("quotes, #, white space and backslashes are a part of the value; comments are lines that begin with #", () => {
    const text = "# c\n\n  # d\n  SP=x\nQ=\"a b\"\nS='x'\nH=a # b\nT= a \t\nE=\nL=a=b\nN=\\n\\\nCR=x\r\nI=é€𝄞\nLAST=x";
    assert.deepEqual(pairs(text), [
      ["SP", "x"],
      ["Q", '"a b"'],
      ["S", "'x'"],
      ["H", "a # b"],
      ["T", " a \t"],
      ["E", ""],
      ["L", "a=b"],
      ["N", "\\n\\"],
      ["CR", "x"],
      ["I", "é€𝄞"],
      ["LAST", "x"],
    ]);
  });

  test("a name alone is handed over from what Podman was started with, as written", () => {
    assert.deepEqual(pairs("LANG\nLC_*\n"), [
      ["LANG", undefined],
      ["LC_*", undefined],
    ]);
    const rendered = renderForPodman(read("LANG\nLC_*\nx.y-z=1\n"));
    assert.deepEqual(rendered.ok && rendered.value, { container: "LANG\nLC_*\nx.y-z=1\n", service: undefined });
  });

  test("a byte order mark is not a part of the first name", () => {
    assert.deepEqual(pairs("\ufeffX=1"), [["X", "1"]]);
  });

  test("a line without a name is refused, as Podman would not start", () => {
    assert.match(refusals("X=1\n=2")[0] ?? "", /^2: has no name before the =/);
  });

  test("a NUL character is refused", () => {
    assert.match(refusals("X=1\nY=a\0b")[0] ?? "", /^2: holds a NUL/);
  });
});

suite("a file for a service is read as systemd reads it", () => {
  test("with quotes, continuation lines, and both kinds of comments", () => {
    const text =
      "; c\n# d \\\nX = 1 \n'\nQ=\"a \\\"b\\\" \\x\" 'c \\ d'e\nM='l1\nl2'\nU=a\\ b\\\n c \\\n\nE=\nW=a 'b' \nexport V=1\nNOEQ\n1A=x\nLAST='x";
    assert.deepEqual(pairs(text, "systemd"), [
      ["X", "1"],
      ["Q", 'a "b" \\xc \\ de'],
      ["M", "l1\nl2"],
      ["U", "a b c "],
      ["E", ""],
      ["W", "a 'b'"],
      ["LAST", "x"],
    ]);
    assert.deepEqual(
      read(text, "systemd").warnings.map(({ line, message }) => `${String(line)}: ${message}`),
      [
        '4: systemd leaves "\'" out: it has no =; write NAME=value',
        '13: systemd leaves "export V" out: it is no name of a variable; write NAME=value',
        '14: systemd leaves "NOEQ" out: it has no =; write NAME=value',
        '15: systemd leaves "1A" out: it is no name of a variable; write NAME=value',
      ],
    );
  });

  test("and what is in single quotes or behind a backslash is no reference", () => {
    assert.deepEqual(pairs("X='$A ${A}' \"$A \\$A\"\nY=\\$A$A$$A\n", "systemd"), [
      ["X", "$A ${A}1 $A"],
      ["Y", "$A1$A"],
    ]);
  });
});

suite("a reference in a value", () => {
  for (const [value, expected] of [
    ["$A", "1"],
    ["${A}", "1"],
    ["x${A}y$A-z", "x1y1-z"],
    ["${NONE:-d e}|${EMPTY:-f}|${A:-g}|${NONE:-}", "d e|f|1|"],
    ["${A:?why}", "1"],
    ["$EMPTY", ""],
    ["$DB_PASSWORD", "p$A ${A} 'q' \"r\" # \\ é"],
    ["$$A $${A} $$$$", "$A ${A} $$"],
    ["$ $1 $( x$", "$ $1 $( x$"],
  ] as const)
    test(`${value} comes out as ${JSON.stringify(expected)}`, () => {
      assert.deepEqual(pairs(`X=${value}`), [["X", expected]]);
    });

  test("makes its name one that the file depends on, found or not, used or not", () => {
    assert.deepEqual(read("X=$A ${B} $A\nY=${NONE:-x}$GONE\n").names, ["A", "B", "NONE", "GONE"]);
  });

  test("without a value is told with file, line and variable, and is empty for settings that take it for a warning", () => {
    const { missing, entries } = read("X=1\nY=a${NONE}\n Z=$GONE");
    assert.deepEqual(missing, [
      {
        file: "shop/web.env",
        line: 2,
        column: 4,
        message: "Y: NONE has no value: set it, or write ${NONE:-default} for when there is none",
      },
      {
        file: "shop/web.env",
        line: 3,
        column: 4,
        message: "Z: GONE has no value: set it, or write ${GONE:-default} for when there is none (a plain $ is written $$)",
      },
    ]);
    assert.deepEqual(
      entries.map(({ value }) => value),
      ["1", "a", ""],
    );
  });

  test("with :? and no value is refused whatever the settings", () => {
    assert.deepEqual(refusals("X=${NONE:?see the wiki}\nY=${EMPTY:?}"), [
      "1: X: NONE has no value: see the wiki",
      "2: Y: EMPTY has no value: it must have one",
    ]);
  });

  test("that is none is refused, and so is one within another", () => {
    assert.match(refusals("X=${a.b}")[0] ?? "", /^1: the value of X has a \$\{ that begins no reference/);
    assert.match(refusals("X=${A")[0] ?? "", /^1: the value of X has a \$\{/);
    assert.match(refusals("X=${NONE:-${A}}")[0] ?? "", /can't hold another/);
  });

  test("whose value no environment can hold is refused", () => {
    assert.deepEqual(refusals("X=$NUL"), ["1: X: the value of NUL holds a NUL character, which no environment can: change it"]);
  });

  test("in a value over several lines is told at its own line", () => {
    const { missing } = read("X='a'\nM=\"l1\nl2 $NONE\"", "systemd");
    assert.deepEqual([missing[0]?.line, missing[0]?.column], [3, 4]);
  });
});

suite("what is worth a warning", () => {
  const warnings = (text: string) => read(text).warnings.map(({ line, message }) => `${String(line)}: ${message.split(":")[0] ?? ""}`);

  for (const line of [
    "DB_PASSWORD=x",
    "apiToken=x",
    "JWT_SECRET=a$$b",
    "STRIPE_KEY=x",
    "X_PW=x",
    "TOKEN=${NONE:-changeme}",
    "URL=postgres://u:p@db/x",
  ])
    test(`a secret in Git: ${line}`, () => {
      assert.equal(warnings(line).length, 1, JSON.stringify(warnings(line)));
      assert.match(warnings(line)[0] ?? "", /has its value here, in Git/);
    });

  for (const line of [
    "DB_PASSWORD=$B",
    "TOKEN=",
    "TOKEN",
    "PASSWORD_FILE=/run/secrets/x",
    "SSH_PUBLIC_KEY=x",
    "KEYCLOAK=x",
    "URL=http://db:80/@x",
    "URL=http://u:$A@db",
  ])
    test(`but not ${line}`, () => {
      assert.deepEqual(warnings(line), []);
    });

  test("once for each name, and the value is not in it", () => {
    const found = read("TOKEN=hunter2\nTOKEN=hunter3\nKEY=hunter4").warnings;
    assert.deepEqual(
      found.map(({ line }) => line),
      [1, 3],
    );
    assert.ok(!JSON.stringify(found).includes("hunter"));
  });

  test("quotes that Podman takes for a part of the value, and names with white space", () => {
    assert.deepEqual(warnings('X="a"\nY=\'$A\'\nexport Z=1\nU =1\nV="\nW=a"b"'), [
      "1: the quotes around the value of X are a part of it, as Podman reads env files",
      "2: the quotes around the value of Y are a part of it, as Podman reads env files",
      '3: Podman takes "export Z" with its white space as the name',
      '4: Podman takes "U " with its white space as the name',
    ]);
  });
});

suite("what a container sees", () => {
  test("a value with line breaks goes through the service's environment, and the container's file has its name alone", () => {
    const rendered = renderForPodman(read("X=$KEY\nY=1\n", "podman", { KEY: 'l1\n"l2" $x \\ `\n' }));
    assert.deepEqual(rendered.ok && rendered.value, { container: "X\nY=1\n", service: 'X="l1\n\\"l2\\" \\$x \\\\ \\`\n"\n' });
  });

  test("so does one that is too long for a line of Podman's, and one that is too long for any environment is refused", () => {
    const x = (length: number) => renderForPodman(read("X=$KEY\n", "podman", { KEY: "é".repeat(length) }));
    const [short, long, longest, beyond] = [x(32_766), x(32_767), x(65_534), x(65_535)];
    assert.equal(short.ok && short.value.service, undefined);
    assert.equal(long.ok && long.value.container, "X\n");
    assert.ok(longest.ok);
    assert.ok(!beyond.ok);
    assert.match(beyond.trouble[0]?.message ?? "", /^the value of X can't be in an environment/);
  });

  test("a name that Podman itself would read, or that systemd does not take, can't go that way: the Problem says what to do", () => {
    for (const name of ["LD_PRELOAD", "PATH", "CONTAINER_HOST", "https_proxy", "a.b"]) {
      const rendered = renderForPodman(read(`${name}=$KEY\n`, "podman", { KEY: "s3cret\n" }));
      assert.ok(!rendered.ok);
      assert.equal(rendered.trouble[0]?.line, 1);
      assert.match(rendered.trouble[0].message, new RegExp(`make it a Podman secret, and write Secret=NAME,type=env,target=${name}$`));
      assert.ok(!rendered.trouble[0].message.includes("s3cret"));
    }
  });

  const value = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.string({ unit: "binary" }).filter((one) => one.isWellFormed()),
    fc
      .array(fc.constantFrom("'", '"', "$", "${", "}", "#", "\\", "\n", "\r", " ", "\t", "=", "`", "é", "x", "A", "%", "\u2028"), {
        maxLength: 12,
      })
      .map((parts) => parts.join("")),
  );
  const values = fc.dictionary(
    fc.stringMatching(/^V_[A-Z]{1,4}$/),
    value.map((one) => one.replaceAll("\0", "")),
  );

  test("is each value exactly, whatever is in it", () => {
    fc.assert(
      fc.property(values, (all) => {
        const text = Object.keys(all).map((name) => `${name}=$${name}\n`);
        assert.deepEqual(containerSees(read(text.join(""), "podman", all)), { ...all });
      }),
      { numRuns: 1000 },
    );
  });

  test("and a service too", () => {
    fc.assert(
      fc.property(values, (all) => {
        const file = read(
          Object.keys(all)
            .map((name) => `${name}=\${${name}}\n`)
            .join(""),
          "systemd",
          all,
        );
        const rendered = renderForSystemd(file);
        assert.ok(rendered.ok);
        assert.deepEqual(asSystemdReads(rendered.value), { ...all });
        assert.deepEqual(
          read(rendered.value, "systemd").entries.map(({ name, value }) => [name, value]),
          Object.entries(all),
        );
      }),
      { numRuns: 1000 },
    );
  });

  test("is what it saw before pgo, for a file without a $", () => {
    const text = fc
      .array(fc.constantFrom("X", "Y", "=", "=", "'", '"', "#", "\\", "\n", "\n", "\r", " ", "\t", "é", "*"))
      .map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, (source) => {
        const found = result(source);
        if (found.ok) assert.deepEqual(containerSees(found.value), asPodmanReads(source));
        else assert.throws(() => asPodmanReads(source), /invalid variable/);
      }),
      { numRuns: 2000 },
    );
  });

  test("never depends on how the file is read: any text is read, or refused with lines that it has", () => {
    const text = fc
      .array(fc.constantFrom("X", "=", "'", '"', "#", ";", "\\", "\n", "\r", " ", "$", "$A", "${", "}", ":-", ":?", "\0"))
      .map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, fc.constantFrom<EnvSyntax>("podman", "systemd"), (source, syntax) => {
        const found = result(source, syntax);
        const all = found.ok ? [...found.value.missing, ...found.value.warnings] : found.trouble;
        for (const { line = 0 } of all) assert.ok(line >= 1 && line <= source.split("\n").length);
      }),
      { numRuns: 2000 },
    );
  });
});

suite("a secret may be stored", () => {
  for (const [application, service, name, expected] of [
    ["shop", undefined, "DB_PASSWORD", ["SHOP_DB_PASSWORD", "DB_PASSWORD"]],
    ["my-shop.eu", "web@1.service", "T", ["WEB_1_T", "MY_SHOP_EU_T", "T"]],
    ["shop", "shop", "T", ["SHOP_T", "T"]],
    ["shop", "api", "token", ["API_token", "SHOP_token", "token"]],
  ] as const)
    test(`under ${expected.join(", then ")}`, () => {
      assert.deepEqual(secretNames(application, service, name), expected);
    });
});

/** The syntax of unit files: what is a key, where it stands, what its value is; and no text makes the reader stumble. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { lastValue, parseUnit, values, words } from "../../src/core/unit-text.ts";

const keys = (text: string) => parseUnit(text).map(({ section, key, value, line }) => `${line} [${section}] ${key}=${value}`);

suite("a unit file is read as systemd and Podman read it", () => {
  test("each key has its section, its value and its line", () => {
    const text = "# web\n[Unit]\nDescription=Web\n\n[Container]\nImage=localhost/web:1\nExec=run --a=b\n";
    assert.deepEqual(keys(text), ["3 [Unit] Description=Web", "6 [Container] Image=localhost/web:1", "7 [Container] Exec=run --a=b"]);
  });

  test("white space around sections, keys and values counts for nothing, and neither do Windows line ends", () => {
    assert.deepEqual(keys("  [Container]\r\n  Image =  localhost/web:1 \r\n"), ["2 [Container] Image=localhost/web:1"]);
  });

  test("lines that begin with # or ; are comments, a # behind a value is not", () => {
    assert.deepEqual(keys("[Container]\n#Image=a\n ;Image=b\nLabel=a#b\n"), ["4 [Container] Label=a#b"]);
  });

  test("a backslash at the end goes on in the next line, and comments between don't end it", () => {
    const text = "[Container]\nExec=sh \\\n  -c \\\n# why\n; and why else\n  true\nImage=x\n";
    assert.deepEqual(keys(text), ["2 [Container] Exec=sh -c true", "7 [Container] Image=x"]);
  });

  test("an empty line doesn't end a continuation either", () => {
    assert.deepEqual(keys("[Container]\nExec=sh \\\n\nImage=x\nLabel=y\n"), ["2 [Container] Exec=sh Image=x", "5 [Container] Label=y"]);
  });

  test("a continuation at the end of the file ends with it", () => {
    assert.deepEqual(keys("[Container]\nExec=sh \\"), ["2 [Container] Exec=sh"]);
  });

  test("a line that is nothing known is left to the generator, and keys after it are still found", () => {
    assert.deepEqual(keys("[Container]\nnonsense\n=x\n[half\nImage=x\n"), ["5 [Container] Image=x"]);
  });
});

suite("a key that stands several times", () => {
  const entries = parseUnit("[Container]\nVolume=a:/a\nVolume=b:/b\n[Service]\nVolume=c:/c\n[Container]\nVolume=d:/d\n");

  test("has all its values, in file order, those of a section that comes back too", () => {
    assert.deepEqual(
      values(entries, "Container", "Volume").map(({ value }) => value),
      ["a:/a", "b:/b", "d:/d"],
    );
  });

  test("counts with its last value where it takes one", () => {
    assert.equal(lastValue(entries, "Container", "Volume"), "d:/d");
    assert.equal(lastValue(entries, "Container", "Image"), undefined);
  });

  test("forgets what came before an empty value", () => {
    const emptied = parseUnit("[Container]\nVolume=a:/a\nVolume=\nVolume=b:/b\nImage=x\nImage=\n");
    assert.deepEqual(
      values(emptied, "Container", "Volume").map(({ value }) => value),
      ["b:/b"],
    );
    assert.equal(lastValue(emptied, "Container", "Image"), undefined);
  });
});

suite("words of a value", () => {
  test("are split at white space, quotes keep it, backslashes protect", () => {
    assert.deepEqual(words(` a  b\tc `), ["a", "b", "c"]);
    assert.deepEqual(words(`"a b" 'c d' "e \\" f"`), ["a b", "c d", 'e " f']);
    assert.deepEqual(words(""), []);
    assert.deepEqual(words(`"" x`), ["", "x"]);
  });

  test("with a quote that nothing closes are still read", () => {
    assert.deepEqual(words(`"a b`), ['"a', "b"]);
  });
});

/** Text of the kind that goes wrong: brackets, equals signs, quotes, backslashes and line ends in any order. */
const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 200 }),
  fc
    .array(fc.constantFrom("[", "]", "=", "\\", "\n", "\r\n", "#", ";", " ", '"', "'", "Container", "Image", "x", "\0", "é"), {
      maxLength: 60,
    })
    .map((parts) => parts.join("")),
);

suite("whatever the text", () => {
  test("reading it never throws, and every key stands on its line or the ones that continue it", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const lines = text.split("\n");
        for (const { key, value, line } of parseUnit(text)) {
          assert.ok(line >= 1 && line <= lines.length);
          assert.equal(key, key.trim());
          assert.equal(value, value.trim());
          assert.notEqual(key, "");
          assert.ok(!value.includes("\n"));
          const rest = lines.slice(line - 1).join("\n");
          assert.ok(rest.includes(key.split(" ")[0] ?? ""), `nothing from line ${line} on holds ${key}`);
        }
        words(text);
      }),
      { numRuns: 2000 },
    );
  });

  const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,8}$/);
  const plainValue = fc.stringMatching(/^[A-Za-z0-9:/.=#;"'[\]-]{1,12}( [a-z]{1,5})?$/);
  const file = fc.array(
    fc.record({
      section: name,
      pairs: fc.array(fc.record({ key: name, value: plainValue, noise: fc.constantFrom("", "# c\n", "\n", "  ; c\n") })),
    }),
  );

  test("what is written as a unit file is read as it was meant, with the right lines, comments or not", () => {
    fc.assert(
      fc.property(file, (sections) => {
        let text = "";
        const expected: string[] = [];
        for (const { section, pairs } of sections) {
          text += `[${section}]\n`;
          for (const { key, value, noise } of pairs) {
            text += noise;
            expected.push(`${text.split("\n").length} [${section}] ${key}=${value}`);
            text += `${key}=${value}\n`;
          }
        }
        assert.deepEqual(keys(text), expected);
      }),
    );
  });

  test("a value broken over lines at its spaces is the same value", () => {
    fc.assert(
      fc.property(
        fc.array(fc.stringMatching(/^[a-z]{1,6}$/), { minLength: 1 }),
        fc.constantFrom("", "# c\n", "; c\n", "\n"),
        (parts, noise) => {
          const text = `[Container]\nExec=${parts.join(` \\\n${noise}`)}\nImage=x\n`;
          assert.equal(lastValue(parseUnit(text), "Container", "Exec"), parts.join(" "));
          assert.equal(lastValue(parseUnit(text), "Container", "Image"), "x");
        },
      ),
    );
  });

  test("words that are quoted and joined are the same words", () => {
    const quoted = (word: string) => `"${word.replace(/["\\]/g, "\\$&")}"`;
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme-ascii" })), (all) => {
        assert.deepEqual(words(all.map(quoted).join(" ")), all);
      }),
    );
  });
});

/** The syntax of unit files: what is a key, where it stands, what its value is; and no text makes the reader stumble. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { hiddenLineBreak, lastValue, parseUnit, readUnit, UnitTextError, values, type Reader } from "../../src/core/unit-text.ts";
import { anyText, anyValue, checkNewEntry, checkReading, checkValueEdit, readers } from "./unit-text-rules.ts";

const keys = (text: string, reader?: Reader) =>
  parseUnit(text, reader).map(({ section, key, value, line }) => `${line} [${section}] ${key}=${value}`);

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

suite("Podman and systemd read differently", () => {
  const table: readonly (readonly [what: string, text: string, podman: readonly string[], systemd: readonly string[]])[] = [
    ["a line that goes on is joined by nothing, or by a blank", "[S]\nK=a\\\nb\n", ["2 [S] K=ab"], ["2 [S] K=a b"]],
    ["indentation is dropped, or kept", "[S]\nK=a \\\n  b\n", ["2 [S] K=a b"], ["2 [S] K=a    b"]],
    ["a comment between is passed over", "[S]\nK=a \\\n # c \\\nb\nL=c\n", ["2 [S] K=a b", "5 [S] L=c"], ["2 [S] K=a  b", "5 [S] L=c"]],
    ["an empty line between is passed over, or ends it", "[S]\nK=a \\\n\nL=b\n", ["2 [S] K=a L=b"], ["2 [S] K=a", "4 [S] L=b"]],
    ["one with blanks as well", "[S]\nK=a \\\n \t\nL=b\n", ["2 [S] K=a L=b"], ["2 [S] K=a", "4 [S] L=b"]],
    ["what goes on at the end of the file is read", "[S]\nK=a \\\n", ["2 [S] K=a"], ["2 [S] K=a"]],
    ["but Podman forgets it when an empty line follows", "[S]\nK=a \\\n\n", [], ["2 [S] K=a"]],
    ["or a comment", "[S]\nK=a \\\n# c", [], ["2 [S] K=a"]],
    ["two backslashes go on, or are one", "[S]\nK=a\\\\\nL=b\n", ["2 [S] K=a\\L=b"], ["2 [S] K=a\\\\", "3 [S] L=b"]],
    ["three go on in both", "[S]\nK=a\\\\\\\nL=b\n", ["2 [S] K=a\\\\L=b"], ["2 [S] K=a\\\\ L=b"]],
    ["a backslash with a blank behind it goes on, or doesn't", "[S]\nK=a \\ \nL=b\n", ["2 [S] K=a L=b"], ["2 [S] K=a \\", "3 [S] L=b"]],
    ["a backslash alone begins nothing, or joins", "[S]\n\\\nK=a\n", ["3 [S] K=a"], ["3 [S] K=a"]],
    ["a comment behind it is one", "\\\n# c\n[S]\nK=a\n", ["4 [S] K=a"], ["4 [S] K=a"]],
    ["a section's name may go on, or becomes another", "[S\\\nT]\nK=a\n", ["3 [ST] K=a"], ["3 [S T] K=a"]],
    ["a key may go on, or becomes another", "[S]\nK\\\nL=a\n", ["2 [S] KL=a"], ["2 [S] K L=a"]],
    ["a comment never goes on", "[S]\n# c \\\nK=a\n", ["3 [S] K=a"], ["3 [S] K=a"]],
    ["carriage returns before line ends count for nothing", "[S]\r\nK=a \\\r\nb\r\n", ["2 [S] K=a b"], ["2 [S] K=a  b"]],
    ["one inside a line ends it for systemd", "[S]\nK=a\rL=b\n", ["2 [S] K=a\rL=b"], ["2 [S] K=a", "3 [S] L=b"]],
    ["a NUL does as well", "[S]\nK=a\0L=b\n", ["2 [S] K=a\0L=b"], ["2 [S] K=a", "3 [S] L=b"]],
    ["a byte order mark is a refusal, or passed over", "\ufeff[S]\nK=a\n", ["2 [] K=a"], ["2 [S] K=a"]],
    [
      "also on a later line, but once",
      "# c\n\ufeff[S]\nK=a\n\ufeffL=b\n",
      ["3 [] K=a", "4 [] \ufeffL=b"],
      ["3 [S] K=a", "4 [S] \ufeffL=b"],
    ],
    ["a no-break space around a line is white space, or not", "[S]\n\u00a0K=a\u00a0\n", ["2 [S] K=a"], ["2 [S] \u00a0K=a\u00a0"]],
    ["behind the equals sign it is a part of the value", "[S]\nK=\u00a0a\n", ["2 [S] K=\u00a0a"], ["2 [S] K=\u00a0a"]],
    ["a vertical tab is white space, or not", "[S]\nK=\va\v\n", ["2 [S] K=a"], ["2 [S] K=\va\v"]],
    ["blanks around a section's name", " [S] \t\nK=a\n", ["2 [S] K=a"], ["2 [S] K=a"]],
    ["a bracket inside a section's name", "[a]b]\nK=a\n", ["2 [] K=a"], ["2 [a]b] K=a"]],
    ["a section that isn't closed is a key, or nothing", "[S]\n[T=a\nK=b\n", ["2 [S] [T=a", "3 [S] K=b"], ["3 [S] K=b"]],
    ["a comment behind a section's name", "[S] # c\nK=a\n", ["2 [] K=a"], ["2 [] K=a"]],
    ["no key, no equals sign", "[S]\n=a\nnothing\nK=b\n", ["4 [S] K=b"], ["4 [S] K=b"]],
  ];
  for (const [what, text, podman, systemd] of table)
    test(what, () => {
      assert.deepEqual(keys(text, "podman"), podman);
      assert.deepEqual(keys(text, "systemd"), systemd);
    });
});

suite("each entry has its place", () => {
  const places = (text: string) =>
    readUnit(text).entries.map(({ key, line, column, valueLine, valueColumn }) => `${key} ${line}:${column} ${valueLine}:${valueColumn}`);

  test("columns count from 1, behind indentation and behind blanks around the equals sign", () => {
    assert.deepEqual(places("[Container]\nImage=a\n  Label  =  b\n"), ["Image 2:1 2:7", "Label 3:3 3:13"]);
  });

  test("an empty value is behind its equals sign", () => {
    assert.deepEqual(places("[Container]\nImage=\nLabel =  \n"), ["Image 2:1 2:7", "Label 3:1 3:8"]);
  });

  test("a value may begin on a later line than its key, and so may the equals sign", () => {
    assert.deepEqual(places("[Container]\nExec=\\\n# c\n  a\nIma\\\n ge=b\n"), ["Exec 2:1 4:3", "Image 5:1 6:5"]);
  });
});

suite("an edit changes what is meant and nothing else", () => {
  const edited = (text: string, key: string, value: string, reader?: Reader) => {
    const unit = readUnit(text, reader);
    const entry = unit.entries.find((one) => one.key === key);
    assert.ok(entry !== undefined);
    return unit.withValue(entry, value).text();
  };

  test("comments, blanks, order, line ends and a missing last line end stay", () => {
    assert.equal(
      edited("# c\r\n[Container]\r\n  Image =  a  \r\n;d\r\nLabel=x", "Image", "b"),
      "# c\r\n[Container]\r\n  Image =  b  \r\n;d\r\nLabel=x",
    );
    assert.equal(edited("[Container]\nImage=a", "Image", "b"), "[Container]\nImage=b");
    assert.equal(edited("[Container]\nImage=\n", "Image", "b"), "[Container]\nImage=b\n");
    assert.equal(edited("[Container]\nExec=a \\", "Exec", "b"), "[Container]\nExec=b");
  });

  test("of a key that stands twice the one on the named line", () => {
    const unit = readUnit("[Container]\nLabel=a\nLabel=a\n");
    assert.equal(unit.withValue({ line: 3, key: "Label" }, "b").text(), "[Container]\nLabel=a\nLabel=b\n");
    assert.throws(() => unit.withValue({ line: 1, key: "Label" }, "b"), /no Label= on line 1/);
  });

  test("a value over several lines leaves empty lines, and the comments between them", () => {
    const text = "[Container]\nExec=sh \\\n  -c \\\n# why\n  true\nImage=x\n";
    assert.equal(edited(text, "Exec", "id"), "[Container]\nExec=id\n\n# why\n\nImage=x\n");
    assert.equal(edited(text, "Exec", "id", "systemd"), "[Container]\nExec=id\n\n# why\n\nImage=x\n");
    assert.equal(edited("[Container]\n Ex\\\nec \\\n= a\nImage=x\n", "Exec", "id"), "[Container]\n Exec=id\n\n\nImage=x\n");
  });

  test("edits follow each other by the lines of the first", () => {
    const unit = readUnit("[Container]\nExec=a \\\n b\nImage=x\n");
    const [exec, image] = unit.entries;
    assert.ok(exec !== undefined && image !== undefined);
    assert.equal(unit.withValue(exec, "c").withValue(image, "y").text(), "[Container]\nExec=c\n\nImage=y\n");
    assert.equal(unit.text(), "[Container]\nExec=a \\\n b\nImage=x\n");
  });

  const added = (text: string, section: string, reader?: Reader) => readUnit(text, reader).withEntry(section, "K", "v").text();

  test("a further entry goes to the end, under a header where it needs one", () => {
    assert.equal(added("[Container]\nImage=x\n", "Container"), "[Container]\nImage=x\nK=v\n");
    assert.equal(added("[Container]\nImage=x\n", "Service"), "[Container]\nImage=x\n[Service]\nK=v\n");
    assert.equal(added("[Container]\nImage=x\n[Service]\n", "Container"), "[Container]\nImage=x\n[Service]\n[Container]\nK=v\n");
    assert.equal(added("", "Service"), "[Service]\nK=v\n");
  });

  test("a further entry ends the last line first, as the others end", () => {
    assert.equal(added("[Container]\nImage=x", "Container"), "[Container]\nImage=x\nK=v\n");
    assert.equal(added("[Container]\r\nImage=x", "Service"), "[Container]\r\nImage=x\r\n[Service]\r\nK=v\r\n");
  });

  test("a further entry goes before a last line that would swallow it", () => {
    assert.equal(added("[Container]\nExec=a \\", "Container"), "[Container]\nK=v\nExec=a \\");
    assert.equal(added("[Container]\nExec=a \\\n", "Service"), "[Container]\n[Service]\nK=v\n[Container]\nExec=a \\\n");
    // Podman has forgotten Exec=, and it stays forgotten.
    assert.equal(added("[Container]\nExec=a \\\n# c\n", "Container"), "[Container]\nK=v\nExec=a \\\n# c\n");
  });

  const refused: readonly (readonly [value: string, why: RegExp])[] = [
    ["a\nb", /line break/],
    ["a\rb", /line break/],
    ["a\0b", /NUL/],
    ["a\nExecStartPre=/bin/evil", /line break/],
    [" a", /white space/],
    ["a\t", /white space/],
    ["a\\", /backslash/],
    ["a\\\\", /backslash/],
    ["a\u0085", /read back/],
  ];
  for (const [value, why] of refused)
    test(`a value ${JSON.stringify(value)} is refused, and can't add a line`, () => {
      const unit = readUnit("[Container]\nImage=x\n");
      const isRefusal = (error: unknown) => error instanceof UnitTextError && why.test(error.message);
      assert.throws(() => unit.withValue({ line: 2, key: "Image" }, value), isRefusal);
      assert.throws(() => unit.withEntry("Container", "Label", value), isRefusal);
    });

  test("a section or a key that would be read as something else is refused", () => {
    const unit = readUnit("[Container]\nImage=x\n");
    assert.throws(() => unit.withEntry("A]\n[B", "K", "v"), UnitTextError);
    assert.throws(() => unit.withEntry("Container", "#K", "v"), UnitTextError);
    assert.throws(() => unit.withEntry("Container", "K=L", "v"), UnitTextError);
    assert.throws(() => unit.withEntry("Container", "K\nL", "v"), UnitTextError);
  });
});

test("a line break that only systemd sees is found, with its line", () => {
  assert.equal(hiddenLineBreak("[Service]\r\nEnvironment=A=b\r\n"), undefined);
  assert.equal(hiddenLineBreak("[Service]\nEnvironment=A=b\r"), undefined);
  assert.equal(hiddenLineBreak("[Service]\nEnvironment=A=b\rExecStartPre=/bin/evil\n"), 2);
  assert.equal(hiddenLineBreak("[Service]\n\nEnvironment=A=b\0ExecStartPre=/bin/evil\n"), 3);
});

suite("whatever the text", () => {
  for (const reader of readers) {
    test(`it comes back byte for byte, and every entry stands where it says (${reader})`, () => {
      fc.assert(
        fc.property(anyText, (text) => {
          checkReading(text, reader);
        }),
        { numRuns: 1000 },
      );
    });

    test(`another value for one entry changes no other entry, line or comment (${reader})`, () => {
      const seen = new Set<string>();
      fc.assert(
        fc.property(anyText, fc.nat(), anyValue, (text, index, value) => {
          seen.add(checkValueEdit(text, reader, index, value));
        }),
        { numRuns: 1000 },
      );
      assert.deepEqual([...seen].sort(), ["edited", "nothing to edit", "refused"]);
    });

    test(`a further entry is read as it was meant, and what was there stays (${reader})`, () => {
      const seen = new Set<string>();
      fc.assert(
        fc.property(anyText, fc.constantFrom("Container", "Service", "X-New"), anyValue, (text, section, value) => {
          seen.add(checkNewEntry(text, reader, section, value));
          assert.equal(checkNewEntry(`[Unit]\n${text}`, reader, section, "v"), "edited");
        }),
        { numRuns: 1000 },
      );
      assert.deepEqual([...seen].sort(), ["edited", "refused"]);
    });
  }

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
});

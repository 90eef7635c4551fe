/** Lines and words on which readers of a unit file differ. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { argumentTrouble, oddLines, splitWords } from "../../src/core/policy-text.ts";

const odd = (text: string) => oddLines(text).map(({ line }) => line);

suite("lines that readers take differently are found", () => {
  for (const [what, text, lines] of [
    ["a section that goes on in the next line, which Podman joins", "[X-A]\n[Ser\\\nvice]\nExecStartPre=x\n", [2]],
    ["a section behind an empty continuation, which Podman sees", "[X-A]\n\\\n[Service]\nExecStartPre=x\n", [2]],
    ["a key that goes on in the next line", "[Container]\nPodman\\\nArgs=--privileged\n", [2]],
    ["a key that goes on in the next line after a space", "[Container]\nPodman \\\nArgs=--privileged\n", [2]],
    ["a word that goes on in the next line", "[Container]\nVolume=/srv/.\\\n./etc:/x\n", [2]],
    ["a word that goes on after an equals sign", "[Container]\nEnvironment=A=1 \\\nB=\\\n2\n", [3]],
    ["a doubled backslash at the end", "[Container]\nExec=a \\\\\nImage=x\n", [2]],
    ["a carriage return within a line, where systemd ends it", "[Unit]\nDescription=a\r[Service]\rExecStartPre=x\n", [2]],
    ["a NUL, where systemd ends a line", "[Unit]\nDescription=a\0ExecStartPre=x\n", [2]],
    ["white space that Podman takes off and others don't", "[X-A]\nDescription=a \\\u0085\n[Service]\n", [2]],
    ["a no-break space", "[Unit]\u00a0\n", [1]],
    ["a form feed", "[Unit]\nDescription=a\f\n", [2]],
    ["a line separator in a comment", "# a\u2028b\n", [1]],
    ["a byte order mark", "\ufeff[Unit]\n", [1]],
    ["a line that is nothing", "[Unit]\nnonsense\n", [2]],
    ["a key that is none", "[Unit]\nA B=x\n", [2]],
    ["something behind a section", "[Unit] # why\n", [1]],
  ] as const)
    test(what, () => {
      assert.deepEqual(odd(text), lines);
    });

  for (const [what, text] of [
    ["comments, empty lines and indents", "# a\n; b\n\n  [Unit]\n\tDescription = x\n"],
    ["Windows line ends", "[Unit]\r\nDescription=x\r\n"],
    ["values that go on after a space", "[Container]\nExec=a \\\n  b \\\n# why\n\n  c\nImage=x\n"],
    ["values that begin in the next line", "[Container]\nExec=\\\n  a\n"],
    ["a continuation at the end of the file", "[Container]\nExec=a \\"],
    ["letters of any language", "[Unit]\nDescription=Lädchen — 店\n"],
    ["backslashes within a line", '[Container]\nExec=sh -c "a\\tb" \\; c\\\\d\n'],
  ] as const)
    test(`and not ${what}`, () => {
      assert.deepEqual(odd(text), []);
    });
});

test("words are split as systemd splits them: quotes anywhere, escapes as in C", () => {
  for (const [value, words] of [
    ["a  b\tc", ["a", "b", "c"]],
    [`a"b c"d 'e f'`, ["ab cd", "e f"]],
    [`"" x`, ["", "x"]],
    [`''";"`, [";"]],
    ["\\x3b \\073 \\u003b \\U0000003b", [";", ";", ";", ";"]],
    ["a\\sb \\x24X", ["a b", "$X"]],
    [`"a\\"b" 'c\\'d'`, [`a"b`, "c'd"]],
    ["\\q a\\", ["\\q", "a\\"]],
    [`"open end`, ["open end"]],
    ["", []],
  ] as const)
    assert.deepEqual(splitWords(value), words, value);
});

suite("arguments that change the command", () => {
  for (const [value, style, isTrouble] of [
    ["true ; /bin/evil", "command", true],
    ['true ";" /bin/evil', "command", true],
    ["true \\x3b /bin/evil", "command", true],
    [`sh -c "a ; b"`, "command", false],
    ["a;b", "command", false],
    ["echo $HOME", "command", true],
    ["echo ${HOME}", "command", true],
    ["echo a$HOME", "command", false],
    ["echo $$HOME $${HOME}", "command", false],
    ["echo $$${HOME}", "command", true],
    ["-x --flag", "command", false],
    ["%I", "command", false],
    ["$NOPE", "words", true],
    ["\\x24NOPE", "words", true],
    ['"$NOPE"', "words", true],
    ["a $NOPE", "words", true],
    ["a=$NOPE", "words", false],
    ["--privileged", "words", true],
    ["-1", "words", false],
    ["-", "words", false],
    ["%I", "words", true],
    ["%i-%N %%I", "words", false],
    [";", "words", true],
    ['";"', "whole", true],
    ["test $A = 1", "whole", false],
    ["$A", "whole", true],
    ["--help", "whole", false],
    ["-/dev/kvm", "dashed", false],
  ] as const)
    test(`${value} as ${style === "words" ? "words" : `a ${style} value`} ${isTrouble ? "is" : "is not"} one`, () => {
      assert.equal(argumentTrouble(value, style) !== undefined, isTrouble);
    });
});

/** Splits a unit's value into words: quotes, and backslashes as in C (systemd.syntax(7), "Quoting"). */

/**
 * The words of a value, split at white space outside of quotes. As systemd and Podman do, and other than the man page says,
 * a quote may open inside a word too: `--a="b c"` is one word.
 * "unescape" is for what is a command line or a list of assignments (Exec=, Environment=, Label=); bytes such as `\xc3\xa9`
 * make one letter, as in systemd. "keep" leaves backslashes as they are, for lists of names (After=, WantedBy=), where `\x2d`
 * is part of a unit's name.
 * What systemd would warn of is read all the same: an unknown escape stays as it stands, a quote that nothing closes ends
 * with the value. (Podman 5.4 and 5.8 drop the whole value for an unknown escape, and what comes from an empty word `""` on.)
 */
export function words(value: string, backslashes: "unescape" | "keep" = "unescape"): readonly string[] {
  const found: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let at = 0; at < value.length;) {
    const char = value.charAt(at);
    if (char === "\\" && backslashes === "unescape") {
      const escape = escapeAt(value, at);
      word = (word ?? "") + escape.means;
      at += escape.length;
      continue;
    }
    at += 1;
    if (char === quote) quote = undefined;
    else if (quote !== undefined) word = (word ?? "") + char;
    else if (char === '"' || char === "'") [quote, word] = [char, word ?? ""];
    else if (!" \t\n\r".includes(char)) word = (word ?? "") + char;
    else if (word !== undefined) {
      found.push(word);
      word = undefined;
    }
  }
  return word === undefined ? found : [...found, word];
}

const letters: ReadonlyMap<string, string> = new Map(
  Object.entries({ a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\\": "\\", '"': '"', "'": "'", s: " " }),
);

/** What the backslash at `at` and what belongs to it mean, and how long they are. Nothing means NUL. */
function escapeAt(value: string, at: number): { readonly means: string; readonly length: number } {
  const letter = letters.get(value.charAt(at + 1));
  if (letter !== undefined) return { means: letter, length: 2 };
  const bytes = match(/(?:\\x(?!00)[0-9a-f]{2}|\\(?!000)[0-3][0-7]{2})+/iy, value, at);
  if (bytes !== undefined) {
    const numbers = [...bytes.matchAll(/\\x(..)|\\(...)/gi)].map(([, hex, octal]) =>
      hex === undefined ? parseInt(octal ?? "", 8) : parseInt(hex, 16),
    );
    return { means: new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(numbers)), length: bytes.length };
  }
  const unicode = match(/\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8})/y, value, at);
  const code = unicode === undefined ? 0 : parseInt(unicode.slice(2), 16);
  if (unicode !== undefined && code !== 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff))
    return { means: String.fromCodePoint(code), length: unicode.length };
  // Unknown: both stay, and what follows the backslash is neither quote nor white space.
  const kept = value.slice(at, at + 2);
  return { means: kept, length: kept.length };
}

function match(form: RegExp, value: string, at: number): string | undefined {
  form.lastIndex = at;
  return form.exec(value)?.[0];
}

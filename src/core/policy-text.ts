/** How Podman's generator and systemd take a unit's text apart, where a policy must not be evaded by what one reader sees and another doesn't. */

/** A line on which readers may differ. */
export interface OddLine {
  /** From 1. */
  readonly line: number;
  readonly what: string;
}

/**
 * Lines that pgo, Podman's generator and systemd may read differently. Tried on Podman 5.4 and 5.8 and systemd 257:
 * the generator joins continued lines without a space before it looks for sections and keys, so that `[Ser\` and `vice]` begin a section;
 * it trims white space that others don't (U+0085); and systemd ends a line at a carriage return or a NUL, which the generator passes on.
 */
export function oddLines(text: string): readonly OddLine[] {
  const found: OddLine[] = [];
  const lines = text.split("\n").map((line) => line.replace(/\r$/, ""));
  let continued = false;
  lines.forEach((raw, index) => {
    const odd = (what: string) => found.push({ line: index + 1, what });
    const strange = strangeIn(raw);
    if (strange !== undefined) {
      odd(`the character U+${strange.toString(16).toUpperCase().padStart(4, "0")} ends a line for some readers and not for others`);
      return;
    }
    const line = raw.trim();
    if (line === "" || line.startsWith("#") || line.startsWith(";")) return;
    const goesOn = line.endsWith("\\");
    const isKey = !continued && /^[A-Za-z0-9-]+\s*=/.test(line);
    // With no space before the backslash one reader joins two words to one.
    if (goesOn && !/(?:^|\s)\\$/.test(isKey ? line.replace(/^[^=]+=/, "") : line))
      odd("a line that goes on must have a space before its backslash");
    else if (goesOn && !continued && !isKey) odd("only a key's value may go on in the next line");
    else if (!continued && !isKey && !/^\[[^[\]\\]+\]$/.test(line)) odd("is neither a section nor a key");
    continued = goesOn;
  });
  return found;
}

/**
 * The words of a value as systemd's extract_first_word() and its port in Podman find them: quotes anywhere in a word, escapes as in C.
 * An escape that is none stays as it is.
 */
export function splitWords(value: string): readonly string[] {
  const found: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < value.length; at += 1) {
    const char = value[at] ?? "";
    if (char === "\\") {
      const [decoded, length] = unescape(value.slice(at));
      word = (word ?? "") + decoded;
      at += length - 1;
    } else if (quote !== "") {
      if (char === quote) quote = "";
      else word = (word ?? "") + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= "";
    } else if (/\s/.test(char)) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else word = (word ?? "") + char;
  }
  if (word !== undefined) found.push(word);
  return found;
}

/** A value without one pair of double quotes around it, as Podman's generator takes values that are not split. */
export function unquoted(value: string): string {
  return /^"(.*)"$/s.exec(value)?.[1] ?? value;
}

export type ArgumentStyle = "command" | "whole" | "words" | "dashed";

/**
 * What a value could do to the command line that the generator makes of it (AddCmdline of Podman's pkg/systemd; tried on 5.4 and 5.8):
 * a word `;` ends the command, and what follows runs on the host; a word that begins with `$` is one that systemd replaces by any number of
 * words of the host's environment (systemd.service(5), "Command lines"), so that the next option becomes a value, and its value an option.
 */
export function argumentTrouble(value: string, style: ArgumentStyle): string | undefined {
  // Podman 5.4 takes all quotes off the ends.
  const whole = value.replace(/^"+|"+$/g, "").trim();
  const words = style === "whole" ? [whole] : [whole, ...splitWords(value)];
  if (words.includes(";")) return 'a word ";" ends the command, and what follows would run on the host';
  if (style !== "command" && value !== "" && words.includes("")) return "of an empty word nothing is left, and the next takes its place";
  if (words.some((word) => /^\$(?!\$)|(?<!\$)(?:\$\$)*\$\{/.test(word)))
    return "systemd puts variables of the host's environment in: write $$ for a $";
  if (style === "command") return undefined;
  const specifier = /%(?![%nNpijHlabmvhtuUgGsTV])./.exec(value.replace(/%%/g, ""));
  if (specifier !== null) return `the specifier ${specifier[0]} may stand for anything`;
  if (style === "words" && words.some((word) => /^-(?!\d|$)/.test(word))) return "it looks like an option of podman's";
  return undefined;
}

/** Control characters and white space other than blanks and tabs. */
function strangeIn(line: string): number | undefined {
  for (const char of line) {
    const code = char.codePointAt(0) ?? 0;
    if (code === 9 || code === 32) continue;
    if (code < 32 || (code >= 127 && code < 160) || code === 0x180e || /\s/u.test(char)) return code;
  }
  return undefined;
}

/** What stands at the beginning, and how long it is written. */
function unescape(text: string): readonly [string, number] {
  const simple: Readonly<Record<string, string>> = {
    ...{ a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" },
    ...{ "\\": "\\", '"': '"', "'": "'", s: " " },
  };
  const one = simple[text[1] ?? ""];
  if (one !== undefined) return [one, 2];
  const coded = /^\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))/.exec(text);
  const [written = "", hex, short, long, octal] = coded ?? [];
  const code = octal === undefined ? Number.parseInt(hex ?? short ?? long ?? "", 16) : Number.parseInt(octal, 8);
  return Number.isNaN(code) || code > 0x10ffff ? ["\\", 1] : [String.fromCodePoint(code), written.length];
}

/** Files of `NAME=value` lines on the host, in dotenv's syntax: read with every line that is none told, and written so that dotenv reads back the same. */

import { parse } from "dotenv";

import type { Problem } from "./bundle.ts";
import { success, trouble, type Result } from "./result.ts";

export interface EnvText {
  /** As dotenv's `parse` gives them: a `$` stays a `$`. */
  readonly values: ReadonlyMap<string, string>;
  /** Lines that dotenv would pass over, or take for something else than was meant. No value is in them. */
  readonly problems: readonly Problem[];
  /** What is right, but may be a mistake. */
  readonly warnings: readonly Problem[];
}

/** `file` is only for the problems. */
export function readEnvText(text: string, file: string): EnvText {
  const plain = text.replaceAll(/\r\n?/g, "\n");
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const lineAt = lineCounter(plain);
  let end = 0;
  for (const match of plain.matchAll(assignment)) {
    problems.push(...strayLines(plain, { from: end, to: match.index }, file, lineAt));
    end = match.index + match[0].length;
    const [whole, name = "", raw = ""] = match;
    const line = lineAt(match.index + whole.indexOf(name));
    const value = raw.trim();
    if (/^['"`]/.test(value) && !isQuoted(value))
      problems.push({ file, line, message: `${name}: the quote at the beginning of the value is not closed at its end: close it` });
    else if (!isQuoted(value) && /[^\s#]#/.test(whole.slice(whole.indexOf("=") + 1)))
      warnings.push({ file, line, message: `${name}: the value ends before the "#": put it in quotes if the "#" belongs to it` });
  }
  problems.push(...strayLines(plain, { from: end, to: plain.length }, file, lineAt));
  return { values: new Map(Object.entries(parse(plain))), problems, warnings };
}

/**
 * A text from which `readEnvText` reads exactly these values. The trouble names the first that dotenv's syntax can't carry: it has no
 * escapes for quotes, so that a value with all three kinds of them, and a line break or a "#" besides, has no way to be written.
 */
export function writeEnvText(values: ReadonlyMap<string, string>): Result<string, string> {
  const lines: string[] = [];
  for (const [name, value] of values) {
    const written = carried(name, value);
    if (written === undefined) return trouble(name);
    lines.push(`${name}=${written}\n`);
  }
  return success(lines.join(""));
}

/** A name that shells, systemd and Podman take too. `__proto__` would be lost in dotenv's plain object. */
export function isVariableName(text: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]{0,254}$/.test(text) && text !== "__proto__";
}

/** Dotenv's own expression for an assignment (its LINE), which alone knows where a value of several lines ends. */
const assignment =
  /(?:^|^)\s*(?:export\s+)?([\w.-]+)(?:\s*=\s*?|:\s+?)(\s*'(?:\\'|[^'])*'|\s*"(?:\\"|[^"])*"|\s*`(?:\\`|[^`])*`|[^#\r\n]+)?\s*(?:#.*)?(?:$|$)/gm;

const isQuoted = (value: string): boolean => /^(['"`])[\s\S]*\1$/.test(value) && value.length > 1;

/** What comes behind a value must not change it. */
const behind = "\nA='#'\nB=\"#\"\nC=`#`\n";

/** The first way to write a value that reads back as it is; all of them are tried, as dotenv has no rule that says which one does. */
function carried(name: string, value: string): string | undefined {
  const escaped = value.replaceAll("\n", "\\n").replaceAll("\r", "\\r");
  const ways = [`'${value}'`, `\`${value}\``, `"${value}"`, `"${escaped}"`, value];
  // Behind a backslash at a value's end dotenv takes the closing quote for one of the value and looks for the next, unless that can't be it.
  const guarded = ways.slice(0, 4).map((written) => `${written}\n# ${written.charAt(0).repeat(2)}-`);
  return [...ways, ...guarded].find((written) => {
    const { values, problems } = readEnvText(`_${name}=${written}${behind}`, "");
    return problems.length === 0 && values.size === 4 && values.get(`_${name}`) === value && values.get("C") === "#";
  });
}

function strayLines(
  text: string,
  { from, to }: { readonly from: number; readonly to: number },
  file: string,
  lineAt: (offset: number) => number,
): readonly Problem[] {
  let offset = from;
  return text
    .slice(from, to)
    .split("\n")
    .flatMap((line) => {
      const at = lineAt(offset);
      offset += line.length + 1;
      return /^\s*(?:#|$)/.test(line)
        ? []
        : [{ file, line: at, message: "is no NAME=value, and would be passed over: correct it or begin it with #" }];
    });
}

/** From one; asked in the order of the text. */
function lineCounter(text: string): (offset: number) => number {
  let line = 1;
  let seen = 0;
  return (offset) => {
    for (; seen < offset; seen++) if (text.charCodeAt(seen) === 10) line++;
    return line;
  };
}

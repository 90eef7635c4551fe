/** The syntax of systemd unit files (systemd.syntax(7)): sections, keys and values, each with its line. */

export interface Entry {
  readonly section: string;
  readonly key: string;
  /** Continuation lines joined by a space; surrounding white space taken off. */
  readonly value: string;
  /** Of the key, from 1. */
  readonly line: number;
}

/** Reads what it can: a line that is neither section, key nor comment is left to the generator to judge, who does so better. */
export function parseUnit(text: string): readonly Entry[] {
  const lines = text.split("\n");
  const entries: Entry[] = [];
  let section = "";
  for (let at = 0; at < lines.length; at += 1) {
    const line = (lines[at] ?? "").trim();
    if (isComment(line)) continue;
    const header = /^\[([^\]]*)\]$/.exec(line);
    if (header !== null) {
      section = header[1] ?? "";
      continue;
    }
    const start = at;
    const parts = [line];
    // A comment or an empty line between continuation lines doesn't end them (systemd.syntax(7); tried on Podman's generator).
    while ((parts.at(-1) ?? "").endsWith("\\") && at + 1 < lines.length) {
      at += 1;
      const next = (lines[at] ?? "").trim();
      if (!isComment(next)) parts.push(next);
    }
    const joined = parts
      .map((part) => part.replace(/\\$/, "").trim())
      .join(" ")
      .trim();
    const equals = joined.indexOf("=");
    if (equals > 0) entries.push({ section, key: joined.slice(0, equals).trim(), value: joined.slice(equals + 1).trim(), line: start + 1 });
  }
  return entries;
}

/** All values of a key in file order; an empty assignment drops what came before it, as systemd does for lists. */
export function values(entries: readonly Entry[], section: string, key: string): readonly Entry[] {
  const found = entries.filter((entry) => entry.section === section && entry.key === key);
  const reset = found.findLastIndex((entry) => entry.value === "");
  return found.slice(reset + 1);
}

/** The value that counts for a key that takes one: the last. */
export function lastValue(entries: readonly Entry[], section: string, key: string): string | undefined {
  return values(entries, section, key).at(-1)?.value;
}

/** Splits a value at white space, minding single and double quotes and backslashes (systemd.syntax(7), "Quoting"). */
export function words(value: string): readonly string[] {
  const found: string[] = [];
  for (const [, double, single, bare] of value.matchAll(/"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\S+)/g))
    found.push((double ?? single ?? bare ?? "").replace(/\\(.)/g, "$1"));
  return found;
}

function isComment(line: string): boolean {
  return line === "" || line.startsWith("#") || line.startsWith(";");
}

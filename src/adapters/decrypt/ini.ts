/** SOPS's INI format, as the library that it uses reads and writes it (stores/ini, gopkg.in/ini.v1). */

import { Damaged, unflattened, type Leaf, type SopsDocument } from "./document.ts";

/** Comments, order and white space stay; the section `[sops]` goes. */
export function iniDocument(text: string): SopsDocument {
  const metadata = new Map<string, string>();
  const lines: string[] = [];
  const leaves: Leaf[] = [];
  /** Keys before the first section belong to one of this name. */
  let section = "DEFAULT";
  /** Comments belong to the key or the section behind them. */
  let comments: { readonly at: number; readonly before: string; readonly value: string }[] = [];
  const place = (path: string): void => {
    for (const { at, before, value } of comments)
      leaves.push({ paths: [[path], [section]], value, comment: true, write: ({ bytes }) => (lines[at] = before + bytes.toString()) });
    comments = [];
  };

  const source = text.split(/\r?\n/);
  for (let index = 0; index < source.length; index++) {
    const line = source[index] ?? "";
    const trimmed = line.trim();
    const [, header] = /^\[(.*)\]$/.exec(trimmed) ?? [];
    if (header !== undefined) {
      place(header);
      section = header;
      if (section !== "sops") lines.push(line);
      continue;
    }
    if (section === "sops") {
      const [, key, value = ""] = /^([^=\s]+)\s*=\s*(.*)$/.exec(trimmed) ?? [];
      if (key !== undefined) metadata.set(key, value);
      continue;
    }
    const at = lines.push(line) - 1;
    if (trimmed === "") continue;
    const [, before, comment] = /^([;#]\s*)(.*)$/.exec(trimmed) ?? [];
    if (before !== undefined) {
      comments.push({ at, before, value: comment ?? "" });
      continue;
    }
    const [, head = "", key = "", , raw = ""] = /^(\s*(.*?)\s*([=:])\s*)(.*)$/.exec(line) ?? [];
    if (head === "") throw new Damaged(`its line ${String(index + 1)} is neither a key nor a section`);
    place(section);
    const end = endOfValue(source, index, raw);
    for (; index < end; index++) lines.push(source[index + 1] ?? "");
    const whole = [raw, ...lines.slice(at + 1)].join("\n");
    const name = key.replace(/^(["`])(.*)\1$/, "$2");
    const write: Leaf["write"] = ({ bytes }) => (lines[at] = head + quoted(bytes.toString()));
    leaves.push({ paths: [[section, name]], value: valueOf(whole), comment: false, write });
  }
  place(section);
  return { metadata: unflattened(metadata), leaves, content: () => Buffer.from(`${lines.join("\n").trimEnd()}\n`) };
}

/** The last line of a value that begins in line `index`: of one in three quotes or in backquotes it may be a later one. */
function endOfValue(source: readonly string[], index: number, raw: string): number {
  const quote = raw.startsWith('"""') ? '"""' : raw.startsWith("`") ? "`" : undefined;
  if (quote === undefined || raw.includes(quote, quote.length)) return index;
  const end = source.findIndex((line, at) => at > index && line.includes(quote));
  if (end < 0) throw new Damaged(`the quote in its line ${String(index + 1)} is not closed`);
  return end;
}

function valueOf(raw: string): string {
  for (const quote of ['"""', "`"]) if (raw.startsWith(quote)) return raw.slice(quote.length, raw.indexOf(quote, quote.length));
  const plain = raw.replace(/[#;].*$/s, "").trim();
  return plain.replace(/^(["'])(.*)\1$/s, "$2");
}

function quoted(value: string): string {
  if (/[\n`]/.test(value)) return `"""${value}"""`;
  if (/[#;]/.test(value)) return `\`${value}\``;
  return value.trim() === value ? value : `"${value}"`;
}

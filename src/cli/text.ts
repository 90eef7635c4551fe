/** Text for a terminal: aligned columns, wrapped lines, relative times, colours that only ever accompany a word. */

/** How a text is shown: the moment that times are relative to, whether colours are wanted, the width (Infinity: no wrapping). */
export interface View {
  readonly now: Date;
  readonly colour: boolean;
  readonly columns: number;
}

export type Tone = "good" | "care" | "bad" | "dim" | "bold";
export type Cell = string | { readonly text: string; readonly tone: Tone | undefined };

const codes: Readonly<Record<Tone, number>> = { good: 32, care: 33, bad: 31, dim: 2, bold: 1 };

export function paint(text: string, tone: Tone | undefined, view: View): string {
  return view.colour && tone !== undefined && text !== "" ? `\u001b[${String(codes[tone])}m${text}\u001b[0m` : text;
}

/** Rows with their columns aligned, two blanks apart, no blanks at the end. */
export function table(rows: readonly (readonly Cell[])[], indent: number, view: View): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, index) => (widths[index] = Math.max(widths[index] ?? 0, textOf(cell).length)));
  return rows.map((row) => {
    const last = row.findLastIndex((cell) => textOf(cell) !== "");
    const cells = row.slice(0, last + 1).map((cell, index) => {
      const text = textOf(cell);
      const shown = typeof cell === "string" ? text : paint(text, cell.tone, view);
      return index === last ? shown : shown + " ".repeat((widths[index] ?? 0) - text.length);
    });
    return " ".repeat(indent) + cells.join("  ");
  });
}

const textOf = (cell: Cell): string => (typeof cell === "string" ? cell : cell.text).replaceAll("\n", " ");

/** A text on lines of at most the view's width, broken between words, each with the indent, those after the first with `hanging` more. */
export function wrap(text: string, indent: number, view: View, hanging = 0): string[] {
  return text.split("\n").flatMap((line) => {
    const lines: string[] = [];
    let current = "";
    for (const word of line.split(" ").filter((one) => one !== "")) {
      const margin = indent + (lines.length === 0 ? 0 : hanging);
      if (current !== "" && margin + current.length + 1 + word.length > view.columns) {
        lines.push(" ".repeat(margin) + current);
        current = word;
      } else current = current === "" ? word : `${current} ${word}`;
    }
    lines.push(current === "" ? "" : " ".repeat(indent + (lines.length === 0 ? 0 : hanging)) + current);
    return lines;
  });
}

/** "just now", "3 min ago", "in 2 h": one unit, rounded down; what is no time stays as it is. */
export function relative(time: string, now: Date): string {
  const ms = Date.parse(time) - now.getTime();
  if (Number.isNaN(ms)) return time;
  const seconds = Math.abs(ms) / 1000;
  if (seconds < 1) return "just now";
  return ms < 0 ? `${span(Math.abs(ms))} ago` : `in ${span(ms)}`;
}

/** A length of time for people: "850 ms", "12 s", "3 min", "2 h", "5 days". */
export function span(ms: number): string {
  if (ms < 1000) return `${String(Math.round(ms))} ms`;
  const steps = [
    [86_400_000, "days"],
    [3_600_000, "h"],
    [60_000, "min"],
    [1000, "s"],
  ] as const;
  const [length, unit] = steps.find(([one]) => ms >= one) ?? steps[3];
  const count = Math.floor(ms / length);
  return `${String(count)} ${unit === "days" && count === 1 ? "day" : unit}`;
}

/** "2026-01-01 12:00:03 UTC" */
export const absolute = (time: string): string => time.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/, "$1 $2 UTC");

/**
 * A report with the control characters of all its texts replaced but line ends and tabs: commit subjects and messages of others must not
 * move the cursor or colour the terminal.
 */
export function cleaned<Report>(report: Report): Report {
  return JSON.parse(JSON.stringify(report), (_, value: unknown) =>
    typeof value === "string" ? value.replace(/[\p{Cc}\p{Cf}]/gu, (one) => (one === "\n" || one === "\t" ? one : "\ufffd")) : value,
  ) as Report;
}

/** The text of systemd unit files: sections, keys and values, each with its place, and edits that leave all else as it is. */

import { logicalLines, sourceOf, stripped, type LogicalLine, type Reader } from "./unit-lines.ts";

export type { Reader } from "./unit-lines.ts";
export { words } from "./unit-words.ts";

export interface Entry {
  readonly section: string;
  readonly key: string;
  /** Continuation lines joined as the reader joins them; surrounding white space taken off. */
  readonly value: string;
  /** Of the key, from 1. */
  readonly line: number;
}

/** An entry with its place in the text. Columns count UTF-16 units from 1, as editors do. */
export interface PlacedEntry extends Entry {
  readonly column: number;
  /** Where the value begins, which may be on a line that continues the key's; behind the equals sign when it is empty. */
  readonly valueLine: number;
  readonly valueColumn: number;
}

/** A unit file as it was read. Nothing changes it: edits give another one. */
export interface UnitText {
  readonly entries: readonly PlacedEntry[];
  /** What was read, byte for byte. */
  text(): string;
  /**
   * With another value for the entry that has this entry's line and key. No line moves: of a value over several lines the first
   * gets the new value, the others become empty, and comments between them stay.
   * Throws UnitTextError for a value that would not be read back as given: one with a line break or a NUL, which could add a
   * line to the unit, with white space at its ends, or with a backslash at its end.
   */
  withValue(entry: Pick<Entry, "line" | "key">, value: string): UnitText;
  /**
   * With a further entry at the end of the text, so that no line moves, under a header of its own where another section is the
   * last: both readers join the parts of a section. Where the last line ends in a backslash, nothing can follow it, and the entry
   * goes before it. Throws UnitTextError as `withValue` does, and for a section, a key or a place that can't be written.
   */
  withEntry(section: string, key: string, value: string): UnitText;
}

/** What can't be written into a unit file, in words that fit behind the key. */
export class UnitTextError extends Error {}

/**
 * Reads what it can: a line that is neither section, key nor comment is left to Podman's generator or to systemd to judge, who do
 * so better. No text makes it throw.
 */
export function readUnit(text: string, reader: Reader = "podman"): UnitText {
  const { places, tail, section: last } = placesOf(text, reader);
  const entries = places.map(({ entry }) => entry);
  return {
    entries,
    text: () => text,
    withValue: ({ line, key }, value) => {
      const index = entries.findIndex((entry) => entry.line === line && entry.key === key);
      const place = places[index];
      if (place === undefined) throw new Error(`no ${key}= on line ${line}`);
      refuse(value);
      const edited = readUnit(replaced(text, place, value), reader);
      const meant = entries.map((entry, at) => (at === index ? { ...entry, value } : entry));
      return checked(edited, meant);
    },
    withEntry: (section, key, value) => {
      refuse(value);
      const at = tail?.pieces[0]?.lineStart ?? text.length;
      const newline = /^[^\n]*\r\n/.test(text) ? "\r\n" : "\n";
      const ended = at === 0 || (reader === "podman" ? "\n" : "\n\r\0").includes(text.charAt(at - 1));
      const lines = [...(last === section ? [] : [`[${section}]`]), `${key}=${value}`];
      if (tail !== undefined && last !== section && last !== undefined) lines.push(`[${last}]`);
      const added = `${ended ? "" : newline}${lines.join(newline)}${newline}`;
      const edited = readUnit(text.slice(0, at) + added + text.slice(at), reader);
      const before = places.filter(({ key }) => key < at).length;
      const meant = [...entries.slice(0, before), { section, key, value }, ...entries.slice(before)];
      return checked(edited, meant);
    },
  };
}

/** The entries alone, as Podman reads them unless another reader is named. */
export function parseUnit(text: string, reader: Reader = "podman"): readonly PlacedEntry[] {
  return placesOf(text, reader).places.map(({ entry }) => entry);
}

/** All values of a key in file order; an empty assignment drops what came before it, as systemd does for lists. */
export function values<Found extends Entry>(entries: readonly Found[], section: string, key: string): readonly Found[] {
  const found = entries.filter((entry) => entry.section === section && entry.key === key);
  const reset = found.findLastIndex((entry) => entry.value === "");
  return found.slice(reset + 1);
}

/** The value that counts for a key that takes one: the last. */
export function lastValue(entries: readonly Entry[], section: string, key: string): string | undefined {
  return values(entries, section, key).at(-1)?.value;
}

/**
 * The first line, from 1, with a carriage return inside it or a NUL. For systemd these end a line, for Podman they don't: through
 * them a quadlet's value carries a line into its service that nobody sees in the quadlet (tried on Podman 5.8 and systemd 257).
 */
export function hiddenLineBreak(text: string): number | undefined {
  const at = /\r(?!\n|$)|\0/.exec(text)?.index;
  return at === undefined ? undefined : text.slice(0, at).split("\n").length;
}

/** An entry, and where in the text its parts begin. */
interface Place {
  readonly entry: PlacedEntry;
  readonly line: LogicalLine;
  readonly key: number;
  readonly equals: number;
  readonly value: number;
  /** Behind the value's last character. */
  readonly end: number;
}

function placesOf(text: string, reader: Reader): { places: readonly Place[]; tail: LogicalLine | undefined; section: string | undefined } {
  const places: Place[] = [];
  let section: string | undefined;
  for (const line of logicalLines(text, reader)) {
    // Podman forgets a last line that goes on and is followed by nothing but comments; systemd reads it.
    if (line.lost) return { places, tail: line, section };
    const before = section;
    const header = headerOf(line.text, reader);
    if (header !== undefined) section = header;
    else places.push(...placeOf(line, section ?? "", reader));
    if (line.unfinished) return { places, tail: line, section: before };
  }
  return { places, tail: undefined, section };
}

/** Podman takes blanks behind the bracket, systemd nothing else at all. */
function headerOf(line: string, reader: Reader): string | undefined {
  const [from, to] = stripped(line, 0, line.length, reader);
  if (line[from] !== "[") return undefined;
  const close = reader === "podman" ? line.indexOf("]", from) : to - 1;
  const whole = reader === "podman" ? /^[ \t]*$/.test(line.slice(close + 1, to)) : line[close] === "]" && close > from;
  return close > from && whole ? line.slice(from + 1, close) : undefined;
}

function placeOf(line: LogicalLine, section: string, reader: Reader): readonly Place[] {
  const [from, to] = stripped(line.text, 0, line.text.length, reader);
  const equals = line.text.indexOf("=", from);
  // systemd refuses the whole unit for a header that isn't closed.
  if (equals <= from || (reader === "systemd" && line.text[from] === "[")) return [];
  const [, keyEnd] = stripped(line.text, from, equals, reader === "podman" ? "ascii" : reader);
  const [valueFrom] = stripped(line.text, equals + 1, to, reader === "podman" ? "ascii" : reader);
  const key = sourceOf(line, from);
  const sign = sourceOf(line, equals);
  const value = valueFrom < to ? sourceOf(line, valueFrom) : { piece: sign.piece, offset: sign.offset + 1 };
  return [
    {
      entry: {
        section,
        key: line.text.slice(from, keyEnd),
        value: line.text.slice(valueFrom, to),
        line: key.piece.line,
        column: key.offset - key.piece.lineStart + 1,
        valueLine: value.piece.line,
        valueColumn: value.offset - value.piece.lineStart + 1,
      },
      line,
      key: key.offset,
      equals: sign.offset,
      value: value.offset,
      end: valueFrom < to ? sourceOf(line, to - 1).offset + 1 : value.offset,
    },
  ];
}

function replaced(text: string, { entry, line, key, equals, value, end }: Place, wanted: string): string {
  const pieces = line.pieces.filter((piece) => piece.to > key);
  const [first, ...others] = pieces;
  if (first === undefined) throw new Error(`nothing holds ${entry.key}= of line ${entry.line}`);
  const inFirst = equals < first.to;
  const head = inFirst ? text.slice(0, value < first.to ? value : equals + 1) : `${text.slice(0, key)}${entry.key}=`;
  // Of a value over several lines the ends of its lines stay, and comments between them.
  const ends = pieces.length === 1 && !line.unfinished ? [end] : pieces.map(({ to }) => to);
  const nexts = [...others.map(({ lineStart }) => lineStart), text.length];
  return head + wanted + ends.map((from, at) => text.slice(from, nexts[at])).join("");
}

function refuse(value: string): void {
  if (/[\n\r\0]/.test(value)) throw new UnitTextError("can't hold a line break or a NUL: a unit's value is one line");
  if (/^[ \t\v\f]|[ \t\v\f]$/.test(value))
    throw new UnitTextError("can't begin or end with white space, which is not read: put it in quotes");
  if (value.endsWith("\\")) throw new UnitTextError("can't end in a backslash, which would join the next line to it: put it in quotes");
}

/** Whatever the text is: an edit that would be read as something else than meant is none. */
function checked(edited: UnitText, meant: readonly Omit<Entry, "line">[]): UnitText {
  const same =
    edited.entries.length === meant.length &&
    edited.entries.every(({ section, key, value }, at) => {
      const other = meant[at];
      return section === other?.section && key === other.key && value === other.value;
    });
  if (!same) throw new UnitTextError("can't be written so that it is read back as given");
  return edited;
}

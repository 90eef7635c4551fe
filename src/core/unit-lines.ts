/** The lines of a unit file, those that a backslash continues joined, as Podman or systemd joins them. */

/**
 * Who reads the text: Podman's generator its quadlets and their drop-ins (pkg/systemd/parser/unitfile.go of Podman), systemd all
 * other units and theirs (systemd.syntax(7), config_parse in its conf-parser.c). All differences were tried on Podman 5.4 and 5.8,
 * systemd 257 and 262.
 *
 * |                                       | podman                          | systemd                              |
 * | ends of lines                         | \n                              | \n, \r, both in either order, NUL    |
 * | white space around a line             | any of Unicode                  | blank, tab, \n, \r                   |
 * | byte order mark                       | is no white space: a refusal    | passed over once, at a line's start  |
 * | goes on in the next line              | with a backslash and blanks     | with an odd number of backslashes    |
 * | is joined                             | by nothing, indentation dropped | by a blank, indentation kept         |
 * | a comment between                     | is passed over                  | is passed over                       |
 * | an empty line between                 | is passed over                  | ends it                              |
 * | goes on, and only comments follow     | is forgotten                    | is read                              |
 */
export type Reader = "podman" | "systemd";

/** A part of a logical line that lies on one line of the text. */
export interface Piece {
  readonly text: string;
  /** From 1. */
  readonly line: number;
  /** Where in the whole text its line begins, where it does, and where it ends: behind the backslash if there is one. */
  readonly lineStart: number;
  readonly from: number;
  readonly to: number;
}

/** Neither empty nor a comment. */
export interface LogicalLine {
  readonly text: string;
  readonly pieces: readonly Piece[];
  /** It ends in a backslash that nothing follows: the last of the text. */
  readonly unfinished: boolean;
  /** It is unfinished, and not read for that. */
  readonly lost: boolean;
}

export function* logicalLines(text: string, reader: Reader): Generator<LogicalLine> {
  const podman = reader === "podman";
  const lines = [...physicalLines(text, reader)];
  let open: readonly Piece[] = [];
  let markSeen = podman;
  for (const [index, { start, end }] of lines.entries()) {
    const [inner, innerEnd] = stripped(text, start, end, reader);
    const [opening] = text.slice(inner, innerEnd);
    if (opening === "#" || opening === ";" || (podman && opening === undefined)) continue;
    const mark = !markSeen && text[start] === "\ufeff" ? 1 : 0;
    markSeen ||= mark === 1;
    const [from, to] = podman ? [inner, innerEnd] : [start + mark, end];
    const goesOn = podman ? text[to - 1] === "\\" && to > from : trailingBackslashes(text, from, to) % 2 === 1;
    const piece = {
      text: goesOn ? text.slice(from, to - 1) + (podman ? "" : " ") : text.slice(from, to),
      line: index + 1,
      lineStart: start,
      from,
      to,
    };
    const pieces = [...open, piece];
    if (goesOn && !(podman && index === lines.length - 1)) {
      open = pieces;
      continue;
    }
    open = [];
    yield { text: joined(pieces), pieces, unfinished: goesOn, lost: false };
  }
  if (open.length > 0) yield { text: joined(open), pieces: open, unfinished: true, lost: podman };
}

/** Where in the whole text a place of a logical line's own text is. */
export function sourceOf(line: LogicalLine, at: number): { readonly piece: Piece; readonly offset: number } {
  let rest = at;
  for (const piece of line.pieces) {
    if (rest < piece.text.length) return { piece, offset: piece.from + rest };
    rest -= piece.text.length;
  }
  throw new RangeError(`${at} is outside of "${line.text}"`);
}

const spaces = {
  /** Go's unicode.IsSpace. */
  podman: "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
  /** The same of single bytes, as Podman has it around the equals sign. */
  ascii: "\t\n\v\f\r ",
  systemd: " \t\n\r",
} as const;

/** Begin and end of text[from, to) without white space at its ends; both `to` where there is nothing else. */
export function stripped(text: string, from: number, to: number, space: keyof typeof spaces): readonly [number, number] {
  let begin = from;
  let end = to;
  while (begin < end && spaces[space].includes(text.charAt(begin))) begin += 1;
  while (end > begin && spaces[space].includes(text.charAt(end - 1))) end -= 1;
  return [begin, end];
}

function* physicalLines(text: string, reader: Reader): Generator<{ readonly start: number; readonly end: number }> {
  const ends = reader === "podman" ? /\n/g : /(?:\n\r?|\r\n?)\0?|\0/g;
  let start = 0;
  for (const { index, 0: end } of text.matchAll(ends)) {
    yield { start, end: index };
    start = index + end.length;
  }
  // Behind the last line end there is no line.
  if (start < text.length) yield { start, end: text.length };
}

function trailingBackslashes(text: string, from: number, to: number): number {
  let at = to;
  while (at > from && text[at - 1] === "\\") at -= 1;
  return to - at;
}

function joined(pieces: readonly Piece[]): string {
  return pieces.map((piece) => piece.text).join("");
}

/** Where in a text an index stands. */

/** Both from 1; columns in UTF-16 units. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Only the place, of something that has more. */
export function placeIn({ line, column }: Position): Position {
  return { line, column };
}

/** The function in return gives the position of an index (from 0) of the text. */
export function positionsIn(text: string): (index: number) => Position {
  const starts = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
  return (index) => {
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((starts[middle] ?? 0) <= index) low = middle;
      else high = middle;
    }
    return { line: low + 1, column: index - (starts[low] ?? 0) + 1 };
  };
}

/** "Did you mean …?": the known word that is nearest to a misspelt one. */

/**
 * The nearest of `words` by Levenshtein distance, letter case aside; undefined when none is near enough to be meant
 * (a third of the word's letters may differ, one always may), then the first that a word of three letters or more begins.
 * Of equally near words the first.
 */
export function closest(word: string, words: readonly string[]): string | undefined {
  const allowed = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let nearest = allowed + 1;
  for (const candidate of words) {
    if (Math.abs(candidate.length - word.length) >= nearest) continue;
    const distance = levenshtein(word.toLowerCase(), candidate.toLowerCase());
    if (distance < nearest) [best, nearest] = [candidate, distance];
  }
  return best ?? words.find((candidate) => word.length >= 3 && candidate.toLowerCase().startsWith(word.toLowerCase()));
}

/** Insertions, deletions and replacements of one letter that lead from one text to the other. */
export function levenshtein(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let index = 0; index < from.length; index++) {
    const next = [index + 1];
    for (let column = 0; column < to.length; column++) {
      const replaced = (row[column] ?? 0) + (from[index] === to[column] ? 0 : 1);
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

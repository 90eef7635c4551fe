/** What of a file that was processed or decrypted is worth hiding: its values, but not what stands in Git for all to read. */

/**
 * Values of `NAME=value`, `name: value` and JSON's members, and whole lines of anything else, quotes taken off. `open`: the texts in Git
 * that it may come of; what stands there word by word is no secret.
 */
export function secretValues(text: string, open: readonly string[]): readonly string[] {
  const found = text.split(/\r?\n/).flatMap((line) => {
    const bare = line.trim();
    const value = /^(?:export\s+)?["']?[\w.-]+["']?\s*[=:]\s*(.*?),?$/.exec(bare)?.[1] ?? bare;
    const plain = /^(["'])(.*)\1$/.exec(value)?.[2] ?? value;
    return plain === value ? [value] : [value, plain];
  });
  return [...new Set([...found, ...(text.includes("=") ? [] : [text])])].filter(
    (value) => value.length >= shortest && !open.some((one) => one.includes(value)),
  );
}

const shortest = 4;

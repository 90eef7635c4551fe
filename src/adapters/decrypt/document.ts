/** A file of SOPS as its format's reader gives it: what sops wrote about it, and its values in their order, to be replaced in place. */

export type Plain = string | number | bigint | boolean | null;

/** A decrypted value: its type, and the bytes that it was encrypted from, for numbers and the like their text. */
export interface Decrypted {
  readonly kind: "str" | "int" | "float" | "bool" | "time" | "comment";
  readonly bytes: Buffer;
}

export interface Leaf {
  /** Keys on the way to it, places in lists left out. Of a comment, which may belong to one or the other, all that may be. */
  readonly paths: readonly (readonly string[])[];
  readonly value: Plain;
  readonly comment: boolean;
  write(value: Decrypted): void;
}

export interface SopsDocument {
  /** As the JSON format nests it; not checked. */
  readonly metadata: unknown;
  readonly leaves: readonly Leaf[];
  /** The plain file, after all was written. */
  content(): Uint8Array;
}

/** The file can't be what sops wrote; the message fits behind "can't be decrypted: ", and nothing of the file's values is in it. */
export class Damaged extends Error {}

/** Metadata of the flat formats, whose keys are like `age__list_0__map_enc` and whose values have `\n` for line breaks (stores/flatten.go). */
export function unflattened(flat: ReadonlyMap<string, string>): unknown {
  const age: { enc?: string; recipient?: string }[] = [];
  const rest: Record<string, unknown> = {};
  for (const [key, value] of flat) {
    const text = value.replaceAll("\\n", "\n");
    const [, place, field] = /^age__list_(\d{1,3})__map_(enc|recipient)$/.exec(key) ?? [];
    if (place !== undefined) age[Number(place)] = { ...age[Number(place)], [field ?? ""]: text };
    else if (key.startsWith("key_groups__")) rest["key_groups"] = [true];
    else rest[key] = text;
  }
  return { ...rest, age: Object.values(age) };
}

/** Where in a TOML text each key stands: what a message about a parsed value needs to name its place. */

import type { Position } from "./position.ts";

/** A key's way from the top: names of tables and keys, numbers for elements of arrays. */
export type KeyPath = readonly (string | number)[];

/**
 * The places of all keys of a TOML text that a parser has accepted; on any other text the answers are of no use, but it ends.
 * The function in return gives the place of a key, or of the nearest table around it; undefined for the whole text.
 */
export function placesOf(text: string): (path: KeyPath) => Position | undefined {
  const found = new Map<string, Position>();
  new Scan(text, (path, place) => {
    if (!found.has(JSON.stringify(path))) found.set(JSON.stringify(path), place);
  }).document();
  return (path) => {
    for (let length = path.length; length > 0; length--) {
      const place = found.get(JSON.stringify(path.slice(0, length)));
      if (place !== undefined) return place;
    }
    return undefined;
  };
}

/** One way through the text. Invariant: `at` only grows, so that every loop ends. */
class Scan {
  readonly #text: string;
  readonly #found: (path: KeyPath, place: Position) => void;
  /** How many elements each array of tables has so far, by path. */
  readonly #tables = new Map<string, number>();
  #at = 0;
  #line = 1;
  #lineStart = 0;

  constructor(text: string, found: (path: KeyPath, place: Position) => void) {
    this.#text = text;
    this.#found = found;
  }

  document(): void {
    let table: KeyPath = [];
    this.#space();
    while (this.#at < this.#text.length) {
      if (this.#peek() === "[") table = this.#header();
      else this.#pair(table);
      this.#space();
    }
  }

  /** `[a.b]` or `[[a.b]]`: where the keys below it belong. */
  #header(): KeyPath {
    const several = this.#text.startsWith("[[", this.#at);
    this.#skip(several ? 2 : 1);
    const keys = this.#key();
    let path: KeyPath = [];
    for (const [index, { key, place }] of keys.entries()) {
      path = [...path, key];
      const name = JSON.stringify(path);
      const before = this.#tables.get(name);
      if (several && index === keys.length - 1) {
        this.#tables.set(name, (before ?? 0) + 1);
        this.#found(path, place);
        path = [...path, before ?? 0];
      } else if (before !== undefined) path = [...path, before - 1];
      this.#found(path, place);
    }
    while (this.#peek() === "]") this.#skip(1);
    return path;
  }

  /** `a.b = value` */
  #pair(table: KeyPath): void {
    let path = table;
    for (const { key, place } of this.#key()) {
      path = [...path, key];
      this.#found(path, place);
    }
    if (this.#peek() === "=") this.#skip(1);
    else if (this.#at < this.#text.length) this.#skip(1);
    this.#space();
    this.#value(path);
  }

  /** The parts of a key, quoted or bare, up to `=` or `]`. */
  #key(): { readonly key: string; readonly place: Position }[] {
    const parts: { readonly key: string; readonly place: Position }[] = [];
    for (;;) {
      this.#space();
      const place = this.#place();
      const quote = this.#peek();
      parts.push({ key: quote === '"' || quote === "'" ? this.#string() : this.#run(/[^\s.=\]#]/), place });
      this.#space();
      if (this.#peek() !== ".") return parts;
      this.#skip(1);
    }
  }

  #value(path: KeyPath): void {
    const first = this.#peek();
    if (first === '"' || first === "'") this.#string();
    else if (first === "[") this.#array(path);
    else if (first === "{") this.#inline(path);
    else this.#run(/[^,\]}#\n]/);
  }

  #array(path: KeyPath): void {
    this.#skip(1);
    for (let index = 0; this.#more("]"); index++) {
      const before = this.#at;
      this.#found([...path, index], this.#place());
      this.#value([...path, index]);
      this.#comma();
      if (this.#at === before) this.#skip(1);
    }
  }

  #inline(path: KeyPath): void {
    this.#skip(1);
    while (this.#more("}")) {
      this.#pair(path);
      this.#comma();
    }
  }

  /** Whether there is another element; passes over the closing bracket if not. */
  #more(close: string): boolean {
    this.#space();
    if (this.#at >= this.#text.length) return false;
    if (this.#peek() !== close) return true;
    this.#skip(1);
    return false;
  }

  #comma(): void {
    this.#space();
    if (this.#peek() === ",") this.#skip(1);
  }

  /** Passes over a string of any of the four kinds; gives its text, escapes undone as JSON does (keys have no others that matter). */
  #string(): string {
    const quote = this.#peek();
    const mark = this.#text.startsWith(quote.repeat(3), this.#at) ? quote.repeat(3) : quote;
    this.#skip(mark.length);
    const start = this.#at;
    while (this.#at < this.#text.length && !this.#text.startsWith(mark, this.#at))
      this.#skip(quote === '"' && this.#peek() === "\\" ? 2 : 1);
    const raw = this.#text.slice(start, this.#at);
    this.#skip(mark.length);
    // Up to two quotes may stand before the closing three.
    if (mark.length === 3) while (this.#peek() === quote) this.#skip(1);
    if (quote === "'" || !raw.includes("\\")) return raw;
    try {
      return String(JSON.parse(`"${raw}"`));
    } catch {
      return raw;
    }
  }

  /** White space, line ends and comments. */
  #space(): void {
    for (;;) {
      this.#run(/\s/);
      if (this.#peek() !== "#") return;
      this.#run(/[^\n]/);
    }
  }

  #run(letters: RegExp): string {
    const start = this.#at;
    while (this.#at < this.#text.length && letters.test(this.#peek())) this.#skip(1);
    return this.#text.slice(start, this.#at);
  }

  #place(): Position {
    return { line: this.#line, column: this.#at - this.#lineStart + 1 };
  }

  #peek(): string {
    return this.#text.charAt(this.#at);
  }

  #skip(count: number): void {
    const end = Math.min(this.#at + count, this.#text.length);
    for (; this.#at < end; this.#at++)
      if (this.#text.charAt(this.#at) === "\n") {
        this.#line++;
        this.#lineStart = this.#at + 1;
      }
  }
}

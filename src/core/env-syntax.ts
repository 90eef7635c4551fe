/** How an env file is split into names and values, by the rules of the one that will read it: Podman, or systemd. */

/** `podman`: `EnvironmentFile=` of a quadlet's own section. `systemd`: that of `[Service]`, and of plain units. */
export type EnvSyntax = "podman" | "systemd";

export interface Assignment {
  readonly name: string;
  /** Undefined: the name alone. A protected character (in single quotes, or behind a backslash) that is a `$` stands as `\0`. */
  readonly value: string | undefined;
  /** Where the name begins, from 0. */
  readonly at: number;
  /** Where each character of the value comes from. */
  readonly origins: readonly number[];
}

/** A text without `\0` to its assignments, in order, empty names among them. Never throws. */
export function assignmentsOf(text: string, syntax: EnvSyntax): readonly Assignment[] {
  switch (syntax) {
    case "podman":
      return podmanLines(text);
    case "systemd":
      return new SystemdReader(text).read();
  }
}

/**
 * Podman's pkg/env/env.go, the same from 4.7.1 to 5.8 (tried on 5.4 and 5.8): `NAME=value` up to the end of the line, whatever it
 * holds: quotes, `#` and white space are a part of the value. `#` begins a comment only as the first character. Go's line scanner
 * drops one `\r` before a `\n`.
 */
function podmanLines(text: string): readonly Assignment[] {
  const found: Assignment[] = [];
  let start = 0;
  for (const whole of text.split("\n")) {
    const line = whole.replace(/\r$/, "");
    const rest = line.replace(/^[ \t]+/, "");
    const at = start + line.length - rest.length;
    start += whole.length + 1;
    if (rest === "" || rest.startsWith("#")) continue;
    const equals = rest.indexOf("=");
    if (equals === -1) found.push({ name: rest, value: undefined, at, origins: [] });
    else {
      const value = rest.slice(equals + 1);
      const origins = Array.from({ length: value.length }, (_, index) => at + equals + 1 + index);
      found.push({ name: rest.slice(0, equals), value, at, origins });
    }
  }
  return found;
}

/** A state of the reader: the function that takes the next character. */
type State = (letter: string) => void;

/** systemd's src/basic/env-file.c, state by state, as of systemd 254 and later. */
class SystemdReader {
  readonly #text: string;
  readonly #found: Assignment[] = [];
  #at = 0;
  #name = "";
  #start = 0;
  #value = "";
  #origins: number[] = [];
  /** The value's length without the white space at its end, which goes unless it is quoted or escaped. */
  #kept = 0;
  #hasValue = false;

  constructor(text: string) {
    this.#text = text;
  }

  read(): readonly Assignment[] {
    for (; this.#at < this.#text.length; this.#at++) this.#state(this.#text.charAt(this.#at));
    if (this.#name !== "" || this.#hasValue) this.#end();
    return this.#found;
  }

  readonly #beforeName: State = (letter) => {
    if (letter === "#" || letter === ";") this.#state = this.#comment;
    else if (!isSpace(letter)) {
      this.#start = this.#at;
      this.#state = this.#inName;
      this.#name = letter;
    }
  };
  readonly #inName: State = (letter) => {
    if (isLineEnd(letter)) this.#end();
    else if (letter === "=") {
      this.#hasValue = true;
      this.#state = this.#beforeValue;
    } else this.#name += letter;
  };
  /** Also behind a closing quote: another quoted part may follow. */
  readonly #beforeValue: State = (letter) => {
    if (isLineEnd(letter)) this.#end();
    else if (letter === "'") this.#state = this.#singleQuoted;
    else if (letter === '"') this.#state = this.#doubleQuoted;
    else if (letter === "\\") this.#state = this.#escaped;
    else if (!isSpace(letter)) {
      this.#state = this.#plain;
      this.#push(letter);
    }
  };
  readonly #plain: State = (letter) => {
    if (isLineEnd(letter)) this.#end();
    else if (letter === "\\") {
      this.#kept = this.#value.length;
      this.#state = this.#escaped;
    } else if (isSpace(letter)) {
      const kept = this.#kept;
      this.#push(letter);
      this.#kept = kept;
    } else this.#push(letter);
  };
  readonly #escaped: State = (letter) => {
    this.#state = this.#plain;
    if (!isLineEnd(letter)) this.#push(protect(letter));
  };
  readonly #singleQuoted: State = (letter) => {
    if (letter === "'") this.#state = this.#beforeValue;
    else this.#push(protect(letter));
  };
  readonly #doubleQuoted: State = (letter) => {
    if (letter === '"') this.#state = this.#beforeValue;
    else if (letter === "\\") this.#state = this.#doubleQuotedEscape;
    else this.#push(letter);
  };
  readonly #doubleQuotedEscape: State = (letter) => {
    this.#state = this.#doubleQuoted;
    if ('"\\`$'.includes(letter)) this.#push(protect(letter));
    else if (letter !== "\n") {
      this.#push("\\");
      this.#push(letter);
    }
  };
  readonly #comment: State = (letter) => {
    if (letter === "\\") this.#state = this.#commentEscape;
    else if (isLineEnd(letter)) this.#state = this.#beforeName;
  };
  readonly #commentEscape: State = (letter) => {
    this.#state = isLineEnd(letter) ? this.#beforeName : this.#comment;
  };

  #state: State = this.#beforeName;

  #push(letter: string): void {
    this.#value += letter;
    this.#origins.push(this.#at);
    this.#kept = this.#value.length;
  }

  #end(): void {
    const value = this.#hasValue ? this.#value.slice(0, this.#kept) : undefined;
    this.#found.push({ name: this.#name.replace(/[ \t\r\n]+$/, ""), value, at: this.#start, origins: this.#origins.slice(0, this.#kept) });
    this.#name = "";
    this.#value = "";
    this.#origins = [];
    this.#kept = 0;
    this.#hasValue = false;
    this.#state = this.#beforeName;
  }
}

const protect = (letter: string): string => (letter === "$" ? "\0" : letter);
const isLineEnd = (letter: string): boolean => letter === "\n" || letter === "\r";
const isSpace = (letter: string): boolean => letter === " " || letter === "\t" || isLineEnd(letter);

/** Variables in texts: `${NAME}` of declared names, in unit files and in paths of pgo.toml. */

import type { Problem } from "./bundle.ts";
import { closest } from "./closest.ts";
import { success, trouble, type Result } from "./result.ts";

/** Declared names with their values; undefined: declared, but without a value here. */
export type Vars = ReadonlyMap<string, string | undefined>;

/** A Problem that knows the column too, from 1, in UTF-16 units. */
export interface PlacedProblem extends Problem {
  readonly column: number;
}

export interface Substituted {
  /** A use without a value is empty in it. */
  readonly text: string;
  /** Uses without a value: Problems or warnings, as the caller's settings say. */
  readonly missing: readonly PlacedProblem[];
}

/**
 * Replaces `${NAME}`, `${NAME:-default}` and `${NAME:?message}` in a unit file, for declared names only; the last two take an empty
 * value for none, as a shell does. All else stays byte for byte: comments, `$NAME`, `$$`, other names, other forms of a shell's.
 *
 * `$${NAME}` is no use, and stays as it is. systemd makes `$$` a `$` in command lines (systemd.service(5)), and every value of a
 * quadlet's own section becomes a part of one (`podman run …`), so a shell or the container sees `${NAME}`. Where systemd does no
 * such thing (`Description=`, `[Service] Environment=`) a variable whose value is `$` writes it: `${DOLLAR}{NAME}`.
 *
 * A value is not searched for uses again. It comes in as it stands: `%`, quotes and backslashes mean what they mean in a unit file.
 * One that would add a line, join two, or turn one into a comment or a section is a Problem.
 */
export function substituteUnit(text: string, vars: Vars, file: string): Result<Substituted, readonly PlacedProblem[]> {
  const problems: PlacedProblem[] = [];
  const missing: PlacedProblem[] = [];
  const lines = text.split("\n").map((source, index) => {
    if (/^\s*[#;]/.test(source)) return source;
    const at = (column: number, message: string): PlacedProblem => ({ file, line: index + 1, column, message });
    let last: Use | undefined;
    const line = replaceUses(source, vars, (use) => {
      last = use;
      const found = valueOf(use, vars.get(use.name));
      if (!found.ok) {
        (found.trouble.kind === "missing" ? missing : problems).push(at(use.column, found.trouble.message));
        return "";
      }
      if (!/[\n\r\0]/.test(found.value)) return found.value;
      problems.push(at(use.column, `the value of ${use.name} has a line break, which a unit file can't hold: take it out of the value`));
      return "";
    });
    if (last !== undefined && shapeOf(line) !== shapeOf(source))
      problems.push(
        at(
          last.column,
          `the value of ${last.name} would change what kind of line this is (a backslash at its end, or #, ; or [ at its start): change the value`,
        ),
      );
    return line;
  });
  if (problems.length > 0) return trouble([...problems, ...missing].sort((one, other) => (one.line ?? 0) - (other.line ?? 0)));
  return success({ text: lines.join("\n"), missing });
}

/**
 * The same forms in a path of pgo.toml, such as `hosts/${PGO_HOSTNAME}`. A value must be one part of a path: letters, digits, `.`,
 * `_` and `-`, not starting with `.` or `-`. An unknown name is trouble: nothing else reads `$` there. The trouble is a message that
 * fits behind the key.
 */
export function substituteName(text: string, vars: Vars): Result<string, string> {
  const problems: string[] = [];
  const replaced = replaceUses(text, undefined, (use) => {
    if (!vars.has(use.name)) {
      problems.push(unknownName(use.name, vars));
      return "";
    }
    const found = valueOf(use, vars.get(use.name));
    if (!found.ok) problems.push(found.trouble.message);
    else if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(found.value))
      problems.push(
        `the value of ${use.name} can't be a part of a path: letters, digits, ".", "_" and "-" can, not starting with "." or "-"`,
      );
    else return found.value;
    return "";
  });
  if (problems.length === 0 && replaced.includes("${")) problems.push("a ${ that is none of ${NAME}, ${NAME:-default}, ${NAME:?message}");
  return problems.length > 0 ? trouble(problems.join("; ")) : success(replaced);
}

/** What to say of a name that nobody declared. */
export function unknownName(name: string, vars: Vars): string {
  const meant = closest(name, [...vars.keys()]);
  return `${name} is not a known variable${meant === undefined ? "" : ` (did you mean ${meant}?)`}: declare it under [vars], or correct the name`;
}

/** One `${…}` of a text: `word` is the default of `:-` or the message of `:?`. */
export interface Use {
  readonly name: string;
  readonly operator: "-" | "?" | undefined;
  readonly word: string;
  readonly column: number;
}

/** What a use comes to. `missing`: there is no value; `refused`: the text itself says that this is an error, or can't be read. */
export function valueOf(
  { name, operator, word }: Use,
  value: string | undefined,
): Result<string, { readonly kind: "missing" | "refused"; readonly message: string }> {
  if (operator !== undefined && word.includes("${"))
    return trouble({
      kind: "refused",
      message: `what stands behind \${${name}:${operator} can't hold another \${…}: declare a variable for it`,
    });
  if (operator === "-") return success(value === undefined || value === "" ? word : value);
  if (operator === "?" && (value === undefined || value === ""))
    return trouble({ kind: "refused", message: `${name} has no value: ${word === "" ? "it must have one" : word}` });
  if (value === undefined)
    return trouble({ kind: "missing", message: `${name} has no value: set it, or write \${${name}:-default} for when there is none` });
  return success(value);
}

/** `declared` undefined: every name is a use. */
function replaceUses(text: string, declared: Vars | undefined, replacement: (use: Use) => string): string {
  const pattern = /(\$+)\{([A-Za-z_][A-Za-z0-9_]*)(?::([-?])([^}]*))?\}/g;
  let replaced = "";
  let done = 0;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const [, dollars = "", name = "", operator, word = ""] = match;
    // Dollars go in pairs, as systemd reads them: only an odd one begins a use. What stands inside of the braces may hold another.
    if (dollars.length % 2 === 0 || declared?.has(name) === false) {
      pattern.lastIndex = match.index + dollars.length + 1;
      continue;
    }
    const start = match.index + dollars.length - 1;
    const use = { name, operator: operator === "-" || operator === "?" ? operator : undefined, word, column: start + 1 } as const;
    replaced += text.slice(done, start) + replacement(use);
    done = pattern.lastIndex;
  }
  return replaced + text.slice(done);
}

/** What makes a line a comment, a section or one that goes on in the next. systemd minds whether the backslashes at the end are odd, Podman does not. */
function shapeOf(line: string): string {
  const [start = ""] = /^\s*[#;[]/.exec(line) ?? [];
  const [end = ""] = /\\+\s*$/.exec(line) ?? [];
  return `${start.trim()}${end.trim()}`;
}

/** `.env` files of an application: read, references filled in, and written so that a container or a service sees each value exactly. */

import type { Problem } from "./bundle.ts";
import { assignmentsOf, type Assignment, type EnvSyntax } from "./env-syntax.ts";
import { positionsIn, type Position } from "./position.ts";
import { success, trouble, type Result } from "./result.ts";
import { valueOf, type PlacedProblem } from "./substitute.ts";

export type { EnvSyntax } from "./env-syntax.ts";

export interface EnvEntry {
  readonly name: string;
  /** Undefined: the name alone, for which Podman takes the value that it was itself started with. */
  readonly value: string | undefined;
  /** From 1. */
  readonly line: number;
}

/** An env file with all references filled in. The values are secrets as a rule: never in a log, a message or the database. */
export interface EnvFile {
  /** As in Git, for messages. */
  readonly file: string;
  readonly entries: readonly EnvEntry[];
  /** Names that were looked up, each once, whether found or not: what the file depends on. */
  readonly names: readonly string[];
  /** References without a value, empty in the entries: Problems or warnings, as `[secrets] missing` says. */
  readonly missing: readonly PlacedProblem[];
  /** What is probably not meant; at most one of a kind for each name. */
  readonly warnings: readonly Problem[];
}

export interface EnvReading {
  /** Who will read it. */
  readonly syntax: EnvSyntax;
  /** Variables, facts, and secrets under any of their `secretNames`. */
  readonly lookup: (name: string) => string | undefined;
}

/**
 * Reads an env file by the rules of the one that will read it (core/env-syntax.ts), so that a file that worked when it was copied
 * still means the same; Podman takes quotes as a part of the value, so a value in quotes is worth a warning there.
 *
 * In values `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:?message}` are references; `$$` is a `$`. For systemd, what stands in
 * single quotes or behind a backslash is no reference either. A `$` before anything else is a `$`, but for `${`, which must be one
 * of these. What comes in for a reference is not searched for others. Defaults and messages are taken as they stand.
 */
export function readEnvFile(text: string, file: string, { syntax, lookup }: EnvReading): Result<EnvFile, readonly Problem[]> {
  const content = text.replace(/^\ufeff/, "");
  const place = positionsIn(content);
  if (content.includes("\0"))
    return trouble([{ file, ...place(content.indexOf("\0")), message: "holds a NUL character: an env file is text, take it out" }]);
  const names = new Set<string>();
  const noted = (name: string): string | undefined => {
    names.add(name);
    return lookup(name);
  };
  const reading: Reading = { file, place, missing: [], problems: [], lookup: noted };
  const entries: EnvEntry[] = [];
  const warnings = new Map<string, Problem>();
  for (const assignment of assignmentsOf(content, syntax)) {
    const { line } = place(assignment.at);
    const warn = (kind: string, message: string): void => {
      const told = `${kind} ${assignment.name}`;
      if (!warnings.has(told)) warnings.set(told, { file, line, message });
    };
    if (!acceptable(assignment, syntax, { warn, refuse: (message) => reading.problems.push({ file, line, message }) })) continue;
    const filled = assignment.value === undefined ? undefined : fillIn(assignment, reading);
    entries.push({ name: assignment.name, value: filled?.text, line });
    if (filled?.references === 0 && isSecretLike(assignment.name, filled.text))
      warn("literal", `${assignment.name} has its value here, in Git: put it into a secret, and write \${${assignment.name}} here`);
    if (syntax === "podman" && /^(?:".*"|'.*')$/.test(assignment.value ?? ""))
      warn(
        "quotes",
        `the quotes around the value of ${assignment.name} are a part of it, as Podman reads env files: leave them out unless meant`,
      );
  }
  const { missing, problems } = reading;
  if (problems.length > 0) return trouble([...problems, ...missing].sort((one, other) => (one.line ?? 0) - (other.line ?? 0)));
  return success({ file, entries, names: [...names], missing, warnings: [...warnings.values()] });
}

/** What Podman is given for an env file. */
export interface PodmanEnv {
  /** For `EnvironmentFile=` of the quadlet's own section. */
  readonly container: string;
  /** For `EnvironmentFile=` of its `[Service]`, where there is one: what Podman takes over by name. */
  readonly service: string | undefined;
}

/**
 * Writes the values for Podman. Its env files carry all that has no line break and is at most 65,535 bytes with its name (a longer
 * line is an error: Go's scanner). Any other value goes another way: the service gets it, by systemd's rules, and the container's
 * file holds the name alone, for which Podman takes what it was started with. Tried on 5.4 and 5.8, rootful and rootless; the value is on no command
 * line. Exec= lines of such a service see the variable too, as `${NAME}` that systemd fills in.
 */
export function renderForPodman({ file, entries }: EnvFile): Result<PodmanEnv, readonly Problem[]> {
  const problems: Problem[] = [];
  const lines: string[] = [];
  const passed: EnvEntry[] = [];
  for (const entry of entries) {
    const { name, value, line } = entry;
    const tell = (message: string): unknown => problems.push({ file, line, message });
    if (value === undefined) lines.push(name);
    else if (!isCarriable(entry)) tell(uncarriable(name));
    else if (!value.includes("\n") && bytes(entry) <= 65_535) lines.push(`${name}=${value}${value.endsWith("\r") ? "\r" : ""}`);
    else if (!isSystemdName(name) || podmansOwn.test(name))
      tell(
        `the value of ${name} has a line break or is longer than an env file's line may be, and can't go through the service's environment ` +
          `under this name: make it a Podman secret, and write Secret=NAME,type=env,target=${name}`,
      );
    else {
      lines.push(name);
      passed.push(entry);
    }
  }
  if (problems.length > 0) return trouble(problems);
  return success({ container: lines.map(ended).join(""), service: passed.length === 0 ? undefined : passed.map(forSystemd).join("") });
}

/** Writes the values for systemd: each in double quotes, which carry everything (systemd.exec(5), "EnvironmentFile="). */
export function renderForSystemd({ file, entries }: EnvFile): Result<string, readonly Problem[]> {
  const problems = entries
    .filter((entry) => !isCarriable(entry))
    .map(({ name, line }): Problem => ({ file, line, message: uncarriable(name) }));
  return problems.length > 0 ? trouble(problems) : success(entries.map(forSystemd).join(""));
}

/**
 * The names that a secret may be stored under, the winning one first: `SERVICE_NAME`, `APPLICATION_NAME`, `NAME`. Prefixes are in
 * upper case, with `_` for all that is no letter or digit: `DB_PASSWORD` of `my-shop` is `MY_SHOP_DB_PASSWORD`.
 * `service` with or without `.service`; undefined where a file belongs to none, or to several.
 */
export function secretNames(application: string, service: string | undefined, name: string): readonly string[] {
  const owners = service === undefined ? [application] : [service.replace(/\.service$/, ""), application];
  return [...new Set([...owners.map((owner) => `${owner.toUpperCase().replace(/[^A-Z0-9]/g, "_")}_${name}`), name])];
}

interface Reading {
  readonly file: string;
  readonly place: (at: number) => Position;
  readonly lookup: (name: string) => string | undefined;
  readonly missing: PlacedProblem[];
  readonly problems: Problem[];
}

/** The references of one value, filled in; `references` counts those that don't bring their own text along. */
function fillIn({ name, value = "", at, origins }: Assignment, reading: Reading): { readonly text: string; readonly references: number } {
  let text = "";
  let done = 0;
  let references = 0;
  for (const match of value.matchAll(reference)) {
    const { dollar, bare, braced, operator, word = "" } = match.groups ?? {};
    const position = { file: reading.file, ...reading.place(origins[match.index] ?? at) };
    text += value.slice(done, match.index);
    done = match.index + match[0].length;
    const used = bare ?? braced;
    if (dollar !== undefined) text += "$";
    else if (used === undefined)
      reading.problems.push({
        ...position,
        message: `the value of ${name} has a \${ that begins no reference: write \${NAME}, \${NAME:-default} or \${NAME:?message}, and $$ for a plain $`,
      });
    else {
      const stored = reading.lookup(used);
      const use = {
        name: used,
        operator: operator === "-" || operator === "?" ? operator : undefined,
        word,
        column: position.column,
      } as const;
      const found = valueOf(use, stored);
      if (operator !== "-" || word === "") references++;
      if (!found.ok)
        reading[found.trouble.kind === "missing" ? "missing" : "problems"].push({
          ...position,
          message: `${name}: ${found.trouble.message.replaceAll("\0", "$")}${bare === undefined ? "" : " (a plain $ is written $$)"}`,
        });
      else if (stored?.includes("\0") === true)
        reading.problems.push({
          ...position,
          message: `${name}: the value of ${used} holds a NUL character, which no environment can: change it`,
        });
      else text += found.value;
    }
  }
  // What the reader protected; no value from outside holds a NUL by now.
  return { text: `${text}${value.slice(done)}`.replaceAll("\0", "$"), references };
}

const reference =
  /\$(?:(?<dollar>\$)|(?<bare>[A-Za-z_][A-Za-z0-9_]*)|\{(?<braced>[A-Za-z_][A-Za-z0-9_]*)(?::(?<operator>[-?])(?<word>[^}]*))?\}|\{)/g;

/** Whether an assignment counts; tells what is wrong with it. */
function acceptable(
  { name, value }: Assignment,
  syntax: EnvSyntax,
  tell: { readonly warn: (kind: string, message: string) => void; readonly refuse: (message: string) => void },
): boolean {
  switch (syntax) {
    case "podman":
      if (name === "") tell.refuse("has no name before the =, which Podman refuses: give it one, or make the line a comment with #");
      else if (/\s/.test(name))
        tell.warn(
          "name",
          `Podman takes "${name}" with its white space as the name: write NAME=value, with no "export" and no space before the =`,
        );
      return name !== "";
    case "systemd":
      if (value !== undefined && isSystemdName(name)) return true;
      tell.warn(
        "name",
        `systemd leaves "${name}" out: ${value === undefined ? "it has no =" : "it is no name of a variable"}; write NAME=value`,
      );
      return false;
  }
}

const isSystemdName = (name: string): boolean => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);

/** What Podman, Go, the loader or systemd's protocols read from Podman's own environment: no application may set these for it. */
const podmansOwn =
  /^(?:LD_|GLIBC_|MALLOC_|GO|CONTAINER|PODMAN|BUILDAH|STORAGE_|REGISTR|NETAVARK|XDG_|DBUS_|NOTIFY_|LISTEN_|SYSTEMD_|SSL_|TMPDIR$|PATH$|HOME$|USER$|.*_proxy$)/i;

/** execve(2): one string of an environment has at most 128 KiB with its end (MAX_ARG_STRLEN). Half a surrogate pair is no UTF-8. */
const isCarriable = (entry: EnvEntry): boolean => bytes(entry) < 131_072 && (entry.value ?? "").isWellFormed();
const uncarriable = (name: string): string =>
  `the value of ${name} can't be in an environment: it is longer than 128 KiB, or no valid Unicode; give it to the container as a file`;

const bytes = ({ name, value = "" }: EnvEntry): number => Buffer.byteLength(name) + 1 + Buffer.byteLength(value);
const ended = (line: string): string => `${line}\n`;
const forSystemd = ({ name, value = "" }: EnvEntry): string => `${name}="${value.replace(/["\\`$]/g, "\\$&")}"\n`;

/** A name whose value should not be in Git, or a value that shows that it should not be. */
function isSecretLike(name: string, value: string | undefined): boolean {
  if (value === undefined || value === "") return false;
  // postgres://user:password@host
  if (/:\/\/[^\s/@:]*:[^\s/@]+@/.test(value)) return true;
  const words = name.toUpperCase().split(/[^A-Z0-9]+/);
  if (words.includes("PUBLIC") || ["FILE", "PATH", "DIR", "ID", "NAME", "USER"].includes(words.at(-1) ?? "")) return false;
  return (
    /PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|API_?KEY/i.test(name) ||
    words.some((word) => ["KEY", "PASS", "PWD", "PW"].includes(word))
  );
}

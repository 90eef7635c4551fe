/** TOML text and a schema -> the value, or everything that is wrong with it: each with file, line and what was probably meant. */

import { TomlDate, TomlError, parse } from "smol-toml";
import { z } from "zod";

import type { Problem } from "./bundle.ts";
import { closest } from "./closest.ts";
import type { Position } from "./position.ts";
import { success, trouble, type Result } from "./result.ts";
import { placesOf, type KeyPath } from "./toml-lines.ts";

/** `place` gives the place of a key, or of the nearest table around it, for checks that a schema can't make (a file that must exist). */
export interface Read<Value> {
  readonly value: Value;
  readonly place: (path: KeyPath) => Position | undefined;
}

/**
 * Reads a TOML text. Problems come all at once, sorted by line; `file` is only for them. No message holds a value: it may be a secret.
 * A schema's own messages either begin with "must " and fit behind the key, or stand alone behind "key: ".
 */
export function readToml<Schema extends z.ZodType>(
  text: string,
  file: string,
  schema: Schema,
): Result<z.output<Schema>, readonly Problem[]> {
  const read = readTomlWithPlaces(text, file, schema);
  return read.ok ? success(read.value.value) : read;
}

/** The same, with the places of the keys. */
export function readTomlWithPlaces<Schema extends z.ZodType>(
  text: string,
  file: string,
  schema: Schema,
): Result<Read<z.output<Schema>>, readonly Problem[]> {
  let parsed: unknown;
  try {
    parsed = parse(text, { unsafeKeyBehaviour: "throw" });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    return trouble([{ file, line: error.line, column: error.column, message: syntaxMessage(error) }]);
  }
  const checked = schema.safeParse(parsed, { reportInput: true, error: wording });
  const place = placesOf(text);
  if (checked.success) return success({ value: checked.data, place });
  const problems = explain(checked.error.issues, [], schema).map(({ path, message }) => ({ file, ...(place(path) ?? nowhere), message }));
  return trouble(problems.sort((one, other) => (one.line ?? 0) - (other.line ?? 0)));
}

const nowhere = { line: undefined };

interface Explained {
  readonly path: KeyPath;
  readonly message: string;
}

function explain(issues: readonly z.core.$ZodIssue[], at: KeyPath, schema: z.core.$ZodType): Explained[] {
  return issues.flatMap((issue) => {
    const path = [...at, ...keyPath(issue.path)];
    switch (issue.code) {
      case "unrecognized_keys":
        return issue.keys.map((key) => unknownKey(path, key, schema));
      case "invalid_union":
        return explainUnion(issue, path, schema);
      case "invalid_key":
        return issue.issues.map(({ message }) => ({ path, message }));
      case "invalid_type":
        return [
          { path, message: issue.input === undefined ? missing(path) : sentence(path, `${issue.message}, got ${kindOf(issue.input)}`) },
        ];
      case "too_big":
      case "too_small":
      case "invalid_format":
      case "not_multiple_of":
      case "invalid_element":
      case "invalid_value":
      case "custom":
        return [{ path, message: sentence(path, issue.message) }];
    }
  });
}

/**
 * Of several shapes, the one that knows all keys that are there is meant, and its own issues are told; a key that none knows is
 * misspelt; else the union's message says which shapes there are.
 */
function explainUnion(issue: z.core.$ZodIssueInvalidUnion, path: KeyPath, schema: z.core.$ZodType): Explained[] {
  if (issue.input === undefined) return [{ path, message: `${missing(path)}: ${issue.message}` }];
  if (isTable(issue.input)) {
    const known = keysAt(schema, path);
    const strange = Object.keys(issue.input).filter((key) => !known.includes(key));
    if (strange.length > 0) return strange.map((key) => unknownKey(path, key, schema));
    const meant = issue.errors.filter((errors) => !errors.some((one) => one.code === "unrecognized_keys" && one.path.length === 0));
    const [only] = meant;
    if (only !== undefined && meant.length === 1) return explain(only, path, schema);
  }
  return [{ path, message: sentence(path, issue.message) }];
}

function unknownKey(path: KeyPath, key: string, schema: z.core.$ZodType): Explained {
  const meant = closest(key, keysAt(schema, path));
  const where = path.length === 0 ? "at the top level" : `in ${tableName(path)}`;
  return { path: [...path, key], message: `unknown key "${key}" ${where}${meant === undefined ? "" : ` (did you mean "${meant}"?)`}` };
}

function missing(path: KeyPath): string {
  const table = tableName(path.slice(0, -1));
  return `${String(path.at(-1))} is missing${table === "" ? "" : ` in ${table}`}`;
}

function sentence(path: KeyPath, message: string): string {
  const key = path.findLast((part) => typeof part === "string");
  const element = typeof path.at(-1) === "number" ? "each of " : "";
  if (key === undefined) return message;
  return message.startsWith("must ") ? `${element}${key} ${message}` : `${key}: ${message}`;
}

/** `["source", 0]` is `[[source]]`, `["source", 0, "auth"]` is `[source.auth]`. */
function tableName(path: KeyPath): string {
  const names = path.filter((part) => typeof part === "string").join(".");
  if (names === "") return "";
  return typeof path.at(-1) === "number" ? `[[${names}]]` : `[${names}]`;
}

/** The words for what zod finds; undefined leaves zod's own. A schema's own `error` comes before these. */
function wording(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${kinds[issue.expected] ?? `of type ${issue.expected}`}`;
    case "invalid_value": {
      const values = issue.values.map((value) => JSON.stringify(value));
      const meant = typeof issue.input === "string" ? closest(issue.input, issue.values.map(String)) : undefined;
      return `must be ${values.length === 1 ? "" : "one of "}${values.join(", ")}${meant === undefined ? "" : ` (did you mean "${meant}"?)`}`;
    }
    case "too_small":
      return issue.origin === "string" || issue.origin === "array" ? "must not be empty" : `must be at least ${String(issue.minimum)}`;
    case "too_big":
      return `must be at most ${String(issue.maximum)}`;
    case "invalid_format":
    case "not_multiple_of":
    case "unrecognized_keys":
    case "invalid_union":
    case "invalid_key":
    case "invalid_element":
    case "custom":
      return undefined;
  }
}

const kinds: Readonly<Partial<Record<string, string>>> = {
  string: "a text in quotes",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a table",
  record: "a table",
};

function kindOf(value: unknown): string {
  if (typeof value === "string") return "a text";
  if (typeof value === "number") return Number.isInteger(value) ? "a number" : "a number with a fraction";
  if (typeof value === "boolean") return "true or false";
  if (Array.isArray(value)) return "a list";
  return value instanceof TomlDate ? "a date" : "a table";
}

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> => kindOf(value) === "a table";

const keyPath = (path: readonly PropertyKey[]): KeyPath => path.map((part) => (typeof part === "symbol" ? String(part) : part));

/** smol-toml's first line, without its preamble and its drawing of the text. */
function syntaxMessage(error: TomlError): string {
  const [first = ""] = error.message.split("\n");
  return `not valid TOML, column ${String(error.column)}: ${first.replace(/^Invalid TOML document: /, "")}`;
}

/** The keys that a schema knows at a path; those of all shapes where there are several. */
function keysAt(schema: z.core.$ZodType, path: KeyPath): string[] {
  const [first, ...rest] = path;
  return objectsIn(schema).flatMap((one) => {
    if (one instanceof z.ZodArray) return typeof first === "number" ? keysAt(one.element, rest) : [];
    if (one instanceof z.ZodRecord) return first === undefined ? [] : keysAt(one.valueType, rest);
    if (first === undefined) return Object.keys(one.shape);
    const shape: Readonly<Partial<Record<string, z.core.$ZodType>>> = one.shape;
    const inner = shape[String(first)];
    return inner === undefined ? [] : keysAt(inner, rest);
  });
}

/** What holds keys or elements, below the wrappers for defaults and choices. */
function objectsIn(schema: z.core.$ZodType): (z.ZodObject | z.ZodRecord | z.ZodArray)[] {
  if (schema instanceof z.ZodObject || schema instanceof z.ZodRecord || schema instanceof z.ZodArray) return [schema];
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return objectsIn(schema.unwrap());
  if (schema instanceof z.ZodPipe) return objectsIn(schema.in);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap(objectsIn);
  return [];
}

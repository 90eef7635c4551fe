/** Writes the reference part of docs/configuration.md from the schemas: `node scripts/config-reference.ts`. A test fails when it is stale. */

import { readFile, writeFile } from "node:fs/promises";

import { z } from "zod";

import { applicationSettings, hostConfig } from "../src/core/config.ts";
import { durationText } from "../src/core/duration.ts";

const page = new URL("../docs/configuration.md", import.meta.url);
const marks = ["<!-- reference: made by scripts/config-reference.ts -->", "<!-- end of reference -->"] as const;

/** The page with its reference part made anew; throws where the marks are missing. */
export function withReference(text: string): string {
  const [start, end] = [text.indexOf(marks[0]), text.indexOf(marks[1])];
  if (start < 0 || end < start) throw new Error(`docs/configuration.md needs the lines ${marks.join(" and ")}`);
  return `${text.slice(0, start + marks[0].length)}\n\n${reference()}\n${text.slice(end)}`;
}

export function reference(): string {
  const host = hostConfig({
    quadlet: "/etc/containers/systemd/pgo",
    units: "/etc/systemd/system",
    secrets: "/etc/pgo/secrets",
    state: "/var/lib/pgo",
  });
  return [
    "### The host's pgo.toml",
    ...tables(host, []).map(markdown),
    "### An application's pgo.toml, in Git",
    ...tables(applicationSettings, []).map(markdown),
  ].join("\n\n");
}

interface Row {
  readonly key: string;
  readonly type: string;
  readonly fallback: string;
  readonly text: string;
}
interface Table {
  readonly header: string;
  readonly text: string;
  readonly rows: readonly Row[];
}

/** One table of the page for each TOML table, those inside others after them. */
function tables(schema: z.core.$ZodType, path: readonly string[], text = ""): Table[] {
  const plain = bare(schema);
  if (plain instanceof z.ZodArray) return tables(plain.element, ["[]", ...path], text);
  if (plain instanceof z.ZodRecord && isShape(plain.valueType))
    return [{ header: header(path), text, rows: rows("NAME", plain.valueType) }];
  if (plain instanceof z.ZodRecord)
    return tables(plain.valueType, [...path, ["health", "unit"].includes(path.at(-1) ?? "") ? "UNIT" : "NAME"], text);
  if (!(plain instanceof z.ZodObject)) return [];
  const shape: Readonly<Record<string, z.core.$ZodType>> = plain.shape;
  const entries = Object.entries(shape);
  const own = {
    header: header(path),
    text,
    rows: entries.filter(([, inner]) => !isTable(inner)).flatMap(([key, inner]) => rows(key, inner)),
  };
  const below = entries
    .filter(([, inner]) => isTable(inner))
    .flatMap(([key, inner]) => tables(inner, [...path, key], description(inner) || text));
  return own.rows.length > 0 ? [own, ...below] : below;
}

/** A key's row; a key that takes an inline table has one for each key of it. */
function rows(key: string, schema: z.core.$ZodType): Row[] {
  const plain = bare(schema);
  const own = { key, type: typeOf(plain), fallback: fallbackOf(schema), text: description(schema) };
  const shapes = plain instanceof z.ZodUnion ? plain.options : [plain];
  const inner = shapes.flatMap((one) => (one instanceof z.ZodObject ? Object.entries(one.shape as Record<string, z.core.$ZodType>) : []));
  return [own, ...inner.flatMap(([name, value]) => rows(`${key}.${name}`, value))];
}

function markdown({ header, text, rows }: Table): string {
  const lines = rows.map(({ key, type, fallback, text }) => `| \`${key}\` | ${type} | ${fallback} | ${text.replaceAll("|", "\\|")} |`);
  return [
    ...(header === "" ? [] : [`#### \`${header}\``, ""]),
    ...(text === "" ? [] : [text, ""]),
    "| key | type | default | |",
    "|---|---|---|---|",
    ...lines,
  ].join("\n");
}

const header = (path: readonly string[]): string =>
  path[0] === "[]" ? `[[${path.slice(1).join(".")}]]` : path.length === 0 ? "" : `[${path.join(".")}]`;

/** Tables get a heading of their own; what people write as `{ … }` on one line does not. */
function isTable(schema: z.core.$ZodType): boolean {
  const plain = bare(schema);
  if (plain instanceof z.ZodRecord) return true;
  if (plain instanceof z.ZodArray) return bare(plain.element) instanceof z.ZodObject;
  return plain instanceof z.ZodObject && schema instanceof z.ZodPrefault;
}

/** Of several inline tables, each of which will do. */
function isShape(schema: z.core.$ZodType): boolean {
  return schema instanceof z.ZodUnion && schema.options.every((one) => one instanceof z.ZodObject);
}

function bare(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return bare(schema.unwrap());
  return schema;
}

function typeOf(schema: z.core.$ZodType): string {
  const named = schema instanceof z.ZodType ? schema.meta()?.["type"] : undefined;
  if (typeof named === "string") return named;
  if (schema instanceof z.ZodRecord) return "table by name";
  if (schema instanceof z.ZodPipe) return "duration";
  if (schema instanceof z.ZodString || schema instanceof z.ZodURL) return "text";
  if (schema instanceof z.ZodNumber) return "whole number";
  if (schema instanceof z.ZodBoolean) return "`true` or `false`";
  if (schema instanceof z.ZodEnum) return schema.options.map((value) => `\`"${String(value)}"\``).join(", ");
  if (schema instanceof z.ZodLiteral) return [...schema.values].map((value) => `\`${String(value)}\``).join(", ");
  if (schema instanceof z.ZodArray) return `list of ${typeOf(bare(schema.element))}s`;
  if (schema instanceof z.ZodObject) return "table";
  if (schema instanceof z.ZodUnion) return "table, one of these shapes";
  throw new Error(`the reference has no word for the type ${schema._zod.def.type}`);
}

function fallbackOf(schema: z.core.$ZodType): string {
  if (schema instanceof z.ZodOptional) return "-";
  if (!(schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)) return "required";
  const value = schema.def.defaultValue;
  return bare(schema) instanceof z.ZodPipe ? `\`"${durationText(Number(value))}"\`` : `\`${JSON.stringify(value)}\``;
}

function description(schema: z.core.$ZodType): string {
  const own = schema instanceof z.ZodType ? schema.description : undefined;
  if (own !== undefined) return own;
  const inner =
    schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ? schema.unwrap() : undefined;
  return inner === undefined ? "" : description(inner);
}

if (import.meta.main) await writeFile(page, withReference(await readFile(page, "utf8")));

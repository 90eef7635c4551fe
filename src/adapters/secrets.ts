/** Looks up a secret that pgo.toml names: in a file, in the environment, among systemd's credentials. The value is never in a message. */

import { readFile, readdir } from "node:fs/promises";
import { isAbsolute, join, normalize } from "node:path";

import { parse } from "dotenv";

import type { SecretReference } from "../core/config.ts";
import { success, trouble, type Result } from "../core/result.ts";

export interface SecretPlaces {
  /** `[secrets] directory`: `*.env` files, and what a relative `{ file }` is below. */
  readonly directory: string;
  /** What a secret that isn't there does: a trouble, or an empty value, with `warn` told first or not. */
  readonly missing: "error" | "warn" | "empty";
  /** pgo's own environment. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Told what is missing where `missing` is "warn". */
  readonly warn?: (message: string) => void;
}

/**
 * The value that a reference names.
 *
 * `{ env }`: pgo's environment wins over the `*.env` files, as dotenv itself does it; of several files the last by name wins, as with
 * systemd's EnvironmentFile=. Values are taken as dotenv's `parse` gives them: a `$` stays a `$`.
 * `{ file }` and `{ credential }` (systemd.exec(5), LoadCredential=): the file's text, without one line break at its end.
 *
 * A secret that can't be read (a mode, a directory in its place) is a trouble whatever `missing` says: it isn't missing.
 */
export async function readSecret(reference: SecretReference, places: SecretPlaces): Promise<Result<string, string>> {
  const found = await lookUp(reference, places);
  if (!found.ok || found.value.text !== undefined) return found.ok ? success(found.value.text ?? "") : found;
  switch (places.missing) {
    case "error":
      return trouble(found.value.absent);
    case "warn":
      places.warn?.(`${found.value.absent}; taken as empty`);
      return success("");
    case "empty":
      return success("");
  }
}

/** `text` where there is one; else what to say of its absence. */
type Found = { readonly text: string } | { readonly text: undefined; readonly absent: string };

async function lookUp(reference: SecretReference, places: SecretPlaces): Promise<Result<Found, string>> {
  if ("file" in reference) {
    const inside = normalize(reference.file);
    if (!isAbsolute(inside) && inside.split("/")[0] === "..")
      return trouble(`secret file "${reference.file}" lies outside of ${places.directory}: write its whole path`);
    const path = isAbsolute(inside) ? inside : join(places.directory, inside);
    return readWhole(path, `secret file ${path} is not there: create it (mode 0600)`);
  }
  if ("env" in reference) return inEnvironment(reference.env, places);
  const directory = places.environment["CREDENTIALS_DIRECTORY"];
  if (reference.credential.includes("/") || reference.credential === "." || reference.credential === "..")
    return trouble(`"${reference.credential}" is not the name of a credential: write it as LoadCredential= has it`);
  const absent = `credential "${reference.credential}" is not there: add LoadCredential=${reference.credential}:/PATH to pgo's unit`;
  if (directory === undefined) return success({ text: undefined, absent });
  return readWhole(join(directory, reference.credential), absent);
}

async function inEnvironment(name: string, places: SecretPlaces): Promise<Result<Found, string>> {
  // Own properties only: every object has a "constructor".
  const own = Object.hasOwn(places.environment, name) ? places.environment[name] : undefined;
  if (own !== undefined) return success({ text: own });
  const absent = `secret ${name} is not set: add a line ${name}=… to a *.env file in ${places.directory}`;
  let files: string[];
  try {
    files = (await readdir(places.directory)).filter((file) => file.endsWith(".env")).sort();
  } catch (error) {
    if (codeOf(error) === "ENOENT") return success({ text: undefined, absent });
    return trouble(`secrets directory ${places.directory} can't be read (${codeOf(error)})`);
  }
  let text: string | undefined;
  for (const file of files) {
    const read = await readWhole(join(places.directory, file), "");
    if (!read.ok) return read;
    const variables = parse(read.value.text ?? "");
    if (Object.hasOwn(variables, name)) text = variables[name];
  }
  return success(text === undefined ? { text, absent } : { text });
}

async function readWhole(path: string, absent: string): Promise<Result<Found, string>> {
  try {
    return success({ text: (await readFile(path, "utf8")).replace(/\r?\n$/, "") });
  } catch (error) {
    if (codeOf(error) === "ENOENT") return success({ text: undefined, absent });
    return trouble(`secret file ${path} can't be read (${codeOf(error)}): check its owner and mode`);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "unknown error";
}

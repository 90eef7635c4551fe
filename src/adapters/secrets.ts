/** Secrets on the host: one that pgo.toml names, or all values by name, with a cheap way to notice a change. No value is ever in a message. */

import { createHmac, randomBytes } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { readFile, readdir, stat } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize } from "node:path";

import { parse } from "dotenv";

import type { Problem } from "../core/bundle.ts";
import type { SecretReference } from "../core/config.ts";
import { readEnvText } from "../core/env-text.ts";
import { digestOf, type Digest } from "../core/names.ts";
import { success, trouble, type Result } from "../core/result.ts";
import { isAllowed } from "../core/secrets-config.ts";
import type { Clock, SecretSnapshot, Secrets } from "../ports.ts";

export interface SecretPlaces {
  /** `[secrets] directory`: `*.env` files, and what a relative `{ file }` is below. */
  readonly directory: string;
  /** Where `ctl secret set` writes: more `*.env` files, which win over those of `directory`. */
  readonly own?: string;
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
 * systemd's EnvironmentFile=; those of `ctl secret set` come after all others. Values are taken as dotenv's `parse` gives them: a `$` stays a `$`.
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
  const files = await envFiles([places.directory, ...(places.own === undefined ? [] : [places.own])]);
  if (!files.ok) return trouble(`secrets directory ${files.trouble}`);
  let text: string | undefined;
  for (const file of files.value) {
    const read = await readWhole(file, "");
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

// ---- all of them ----

export interface SecretSources extends Pick<SecretPlaces, "directory" | "environment"> {
  /** Where `ctl secret set` writes. */
  readonly own: string;
  /** What is taken of systemd's environment; it is not asked while `allowed` is empty. */
  readonly manager: { readonly allowed: readonly string[]; readonly read: (signal: AbortSignal) => Promise<ReadonlyMap<string, string>> };
  /** More files whose change is to change the fingerprint, such as the age key's; they need not be there. */
  readonly watched: readonly string[];
  readonly clock: Clock;
}

/**
 * All values by name. Of one name wins, as in `readSecret`: pgo's own environment, then the files of `ctl secret set`, then the `*.env`
 * files of the secrets directory, of each the last file by name, and last systemd's environment. Of pgo's environment those variables
 * are left out that the container's runtime, systemd and Node set: PATH is no secret that a `$PATH` in Git may mean.
 *
 * Both methods throw where `manager.read` does: systemd can't be reached.
 */
export function openSecrets(sources: SecretSources): Secrets {
  const key = randomBytes(32);
  /** Of the last look, by path: what is unchanged need not be read again. */
  let seen: ReadonlyMap<string, Seen> = new Map();

  const managed = async (signal: AbortSignal): Promise<readonly (readonly [string, string])[]> => {
    const { allowed, read } = sources.manager;
    if (allowed.length === 0) return [];
    return [...(await read(signal))].filter(([name]) => isAllowed(name, allowed));
  };
  const own = Object.entries(sources.environment).flatMap(([name, value]) =>
    value === undefined || ofRuntime.test(name) ? [] : [[name, value] as const],
  );

  const look = async (signal: AbortSignal) => {
    const [files, manager] = [await envFiles([sources.directory, sources.own]), await managed(signal)];
    const now = new Map<string, Seen>();
    const parts = files.ok ? [] : [files.trouble];
    for (const path of [...(files.ok ? files.value : []), ...sources.watched]) {
      signal.throwIfAborted();
      const one = await seenAt(path, seen.get(path), { key, clock: sources.clock });
      now.set(path, one);
      parts.push(path, one.digest);
    }
    seen = now;
    const environment = createHmac("sha256", key).update(JSON.stringify(manager)).digest("hex");
    return { files, manager, fingerprint: digestOf(...parts, environment) };
  };

  return {
    async fingerprint(signal) {
      return (await look(signal)).fingerprint;
    },

    async snapshot(signal) {
      // What changes after this look shows in the next one's fingerprint.
      const { files, manager, fingerprint } = await look(signal);
      const values = new Map<string, string>(manager);
      const problems: Problem[] = files.ok ? [] : [{ file: sources.directory, line: undefined, message: files.trouble }];
      const warnings: Problem[] = [];
      for (const file of files.ok ? files.value : []) {
        const read = await readText(file);
        if (!read.ok) {
          problems.push({ file, line: undefined, message: read.trouble });
          continue;
        }
        const text = readEnvText(read.value, file);
        problems.push(...text.problems);
        warnings.push(...text.warnings, ...(await othersMayRead(file)));
        for (const [name, value] of text.values) values.set(name, value);
      }
      for (const [name, value] of own) values.set(name, value);
      return { values, problems, warnings, fingerprint } satisfies SecretSnapshot;
    },
  };
}

/** What is in every container's or service's environment without anybody having put a secret there. */
const ofRuntime =
  /^(?:PATH|HOME|HOSTNAME|USER|LOGNAME|SHELL|SHLVL|PWD|OLDPWD|TERM|LANG|LANGUAGE|TZ|_|container|NO_COLOR|NODE_.*|YARN_VERSION|LC_.*|XDG_.*|PGO_(?:MODE|HOME|CONFIG)|CREDENTIALS_DIRECTORY|INVOCATION_ID|JOURNAL_STREAM|NOTIFY_SOCKET|LISTEN_.*|WATCHDOG_.*|MAINPID|MANAGERPID|SYSTEMD_.*|DBUS_.*|MEMORY_PRESSURE_.*)$/;

interface Seen {
  readonly stats: BigIntStats | undefined;
  readonly digest: Digest;
}

/** With a key that lives as long as the process: a plain hash of a short secret could be guessed from a fingerprint that is kept somewhere. */
async function seenAt(path: string, before: Seen | undefined, { key, clock }: { key: Buffer; clock: Clock }): Promise<Seen> {
  const fields = ["dev", "ino", "mode", "size", "mtimeNs", "ctimeNs"] as const;
  try {
    const stats = await stat(path, { bigint: true });
    const same = fields.every((field) => before?.stats?.[field] === stats[field]);
    if (before !== undefined && same) return before;
    const hash = createHmac("sha256", key)
      .update(await readFile(path))
      .digest("hex");
    // A change within the same tick of the file system's clock would not show in the times (Git's index calls it racy): read again.
    const settled = clock.now().getTime() - Number(stats.ctimeMs) > 2000;
    return { stats: settled ? stats : undefined, digest: digestOf(hash, String(stats.mode)) };
  } catch (error) {
    return { stats: undefined, digest: digestOf("unreadable", codeOf(error)) };
  }
}

/** The `*.env` files of directories, in the order in which they are read; a directory that is not there has none. */
async function envFiles(directories: readonly string[]): Promise<Result<readonly string[], string>> {
  const files: string[] = [];
  for (const directory of directories)
    try {
      const names = (await readdir(directory)).filter((name) => name.endsWith(".env") && !name.startsWith(".#"));
      files.push(...names.sort().map((name) => join(directory, name)));
    } catch (error) {
      if (codeOf(error) !== "ENOENT") return trouble(`${directory} can't be read (${codeOf(error)})`);
    }
  return success(files);
}

async function readText(file: string): Promise<Result<string, string>> {
  try {
    return success(new TextDecoder("utf-8", { fatal: true }).decode(await readFile(file)));
  } catch (error) {
    if (error instanceof TypeError) return trouble("is not UTF-8 text: write it as such");
    if (codeOf(error) === "ENOENT") return success("");
    return trouble(`can't be read (${codeOf(error)}): check its owner and mode`);
  }
}

/** A file is safe behind a directory that nobody else may enter. */
async function othersMayRead(file: string): Promise<readonly Problem[]> {
  try {
    const [{ mode }, directory] = await Promise.all([stat(file), stat(dirname(file))]);
    if ((mode & 0o044) === 0 || (directory.mode & 0o011) === 0) return [];
    return [{ file, line: undefined, message: `can be read by others: chmod 600 ${file}` }];
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}

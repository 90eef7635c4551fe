/** The `*.env` files that `ctl secret` writes: values that were given on the host by hand. */

import { readFile, readdir, stat } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

import type { Problem } from "../../core/bundle.ts";
import { readEnvText, writeEnvText } from "../../core/env-text.ts";
import { success, trouble, type Result } from "../../core/result.ts";
import { codeOf, makePrivate, privateDirectory, removed, sweep, syncDirectory, writeDurably } from "../durable.ts";

export interface OwnSecrets {
  /** Writes `NAME=value` into a file of the own directory. The trouble says why not; no value is in it. */
  set(secret: { readonly name: string; readonly value: string; readonly file: string }): Promise<Result<void, string>>;
  /** The files that it was removed from; a file that is empty then goes. */
  remove(name: string): Promise<Result<readonly string[], string>>;
  /** Where each name stands, in all directories, in the order in which they are read: the last of a name is the one that counts. */
  list(): Promise<{ readonly found: readonly Placed[]; readonly problems: readonly Problem[] }>;
}

export interface Placed {
  readonly name: string;
  /** The whole path. */
  readonly file: string;
  /** Whether ctl may change it. */
  readonly own: boolean;
}

/** `directory` is ctl's own, made when it is needed (0700); `others` are only read, and read before it. */
export function openOwnSecrets(directory: string, others: readonly string[]): OwnSecrets {
  return {
    async set({ name, value, file }) {
      await privateDirectory(directory);
      await makePrivate(directory);
      await sweep(directory, 60_000);
      return changed(join(directory, file), (values) => new Map([...values].filter(([other]) => other !== name)).set(name, value));
    },

    async remove(name) {
      const files: string[] = [];
      for (const file of await envFiles(directory)) {
        const text = await textOf(file);
        if (!text.ok) return text;
        if (!readEnvText(text.value ?? "", file).values.has(name)) continue;
        const done = await changed(file, (values) => new Map([...values].filter(([other]) => other !== name)));
        if (!done.ok) return done;
        files.push(file);
      }
      return success(files);
    },

    async list() {
      const found: Placed[] = [];
      const problems: Problem[] = [];
      for (const one of [...others, directory])
        for (const file of await envFiles(one)) {
          const text = await textOf(file);
          if (!text.ok) {
            problems.push({ file, line: undefined, message: text.trouble });
            continue;
          }
          const read = readEnvText(text.value ?? "", file);
          problems.push(...read.problems);
          found.push(...[...read.values.keys()].map((name) => ({ name, file, own: one === directory })));
        }
      return { found, problems };
    },
  };
}

/** Says first what happens to whoever edits it. */
const head = "# Written by `ctl secret`, which keeps no comments in here and no order.\n";

type Values = ReadonlyMap<string, string>;

/** Reads, changes and writes a file, one process at a time. */
function changed(file: string, change: (values: Values) => Values): Promise<Result<void, string>> {
  return locked(dirname(file), async () => {
    const before = await textOf(file);
    if (!before.ok) return trouble(`${file} ${before.trouble}`);
    const { values, problems } = readEnvText(before.value ?? "", file);
    const [problem] = problems;
    if (problem !== undefined) return trouble(`${file}:${String(problem.line ?? 1)}: ${problem.message}, then try again`);
    const after = change(values);
    const text = writeEnvText(after);
    if (!text.ok)
      return trouble(
        `the value of ${text.trouble} can't be written in dotenv's syntax, which has no escapes for quotes: all of ' " \` are in it, and a line break ` +
          'or a "#"; put it into a file of its own instead, and name that as { file = "…" }',
      );
    if (after.size > 0) await writeDurably(file, Buffer.from(head + text.value));
    else {
      await removed(file);
      await syncDirectory(dirname(file));
    }
    return success(undefined);
  });
}

/**
 * One process at a time: whoever listens on a name in the kernel's own name space, which goes with its process (unix(7), abstract sockets).
 * A lock file would outlive a crash, and could not be taken over without two taking it at once.
 */
async function locked(directory: string, work: () => Promise<Result<void, string>>): Promise<Result<void, string>> {
  const { dev, ino } = await stat(directory, { bigint: true });
  for (let tries = 0; tries < 300; tries++) {
    const server = await listening(`\0pgo-secrets-${String(dev)}-${String(ino)}`);
    if (server === undefined) {
      await pause(50);
      continue;
    }
    try {
      return await work();
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  }
  return trouble(`another ctl secret is at work in ${directory} and does not end: wait for it, or end it`);
}

/** Undefined where somebody else does. */
function listening(name: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error) => {
      if (codeOf(error) === "EADDRINUSE") resolve(undefined);
      else reject(error);
    });
    server.listen({ path: name }, () => {
      resolve(server);
    });
  });
}

/** Undefined where there is no file. The trouble fits behind the file's name. */
async function textOf(file: string): Promise<Result<string | undefined, string>> {
  try {
    return success(new TextDecoder("utf-8", { fatal: true }).decode(await readFile(file)));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return success(undefined);
    if (error instanceof TypeError) return trouble("is not UTF-8 text: write it as such");
    return trouble(`can't be read (${codeOf(error)}): check its owner and mode`);
  }
}

async function envFiles(directory: string): Promise<readonly string[]> {
  try {
    const names = (await readdir(directory)).filter((name) => name.endsWith(".env") && !name.startsWith(".#"));
    return names.sort().map((name) => join(directory, name));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw new Error(`read the secrets directory ${directory}`, { cause: error });
  }
}

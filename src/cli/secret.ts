/** `ctl secret`: values on the host, given, listed by name and taken away; none is ever printed. */

import type { Problem } from "../core/bundle.ts";
import { isVariableName } from "../core/env-text.ts";
import type { Result } from "../core/result.ts";
import { exit, type ExitCode, type Terminal } from "./ctl.ts";
import { problemLine } from "./render.ts";
import { cleaned, wrap } from "./text.ts";

export type SecretCommand =
  | { readonly name: "set"; readonly secret: string; readonly file: string }
  | { readonly name: "list"; readonly json: boolean }
  | { readonly name: "remove"; readonly secret: string };

export interface SecretEdge {
  readonly store: SecretStore;
  /** Of ctl's own files, for messages. */
  readonly directory: string;
  /** The value from a person or a pipe; the trouble is a whole message. */
  ask(question: string): Promise<Result<string, string>>;
  /** In a container the one that pgo has too. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Fulfilled by adapters/sealed/own-secrets.ts. */
export interface SecretStore {
  set(secret: { readonly name: string; readonly value: string; readonly file: string }): Promise<Result<void, string>>;
  remove(name: string): Promise<Result<readonly string[], string>>;
  /** In the order in which they are read. */
  list(): Promise<{
    readonly found: readonly { readonly name: string; readonly file: string; readonly own: boolean }[];
    readonly problems: readonly Problem[];
  }>;
}

/** Runs one command; answers the exit code. */
export async function secret(command: SecretCommand, edge: SecretEdge, terminal: Terminal): Promise<ExitCode> {
  switch (command.name) {
    case "set":
      return await set(command, edge, terminal);
    case "list":
      return await list(command.json, edge, terminal);
    case "remove":
      return await remove(command.secret, edge, terminal);
  }
}

async function set(
  { secret: name, file }: SecretCommand & { readonly name: "set" },
  edge: SecretEdge,
  terminal: Terminal,
): Promise<ExitCode> {
  // It is not repeated: whoever takes it for the place of the value would see that again.
  if (!isVariableName(name))
    return complain(
      'a name has letters, digits and "_" and begins with no digit; the value does not belong on the command line, it is asked for',
      exit.usage,
      terminal,
    );
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.env$/.test(file))
    return complain(`"${file}" is not the name of a file like "ctl.env" (they are kept in ${edge.directory})`, exit.usage, terminal);
  const value = await edge.ask(`Value of ${name} (it is not shown): `);
  if (!value.ok) return complain(value.trouble, exit.usage, terminal);
  const done = await edge.store.set({ name, value: value.value, file });
  if (!done.ok) return complain(done.trouble, exit.failed, terminal);
  terminal.out(`${name} is set in ${edge.directory}/${file}; pgo finds it at its next poll (now: ctl sync)\n`);
  const winner = (await edge.store.list()).found.filter((one) => one.name === name).at(-1);
  if (Object.hasOwn(edge.environment, name))
    terminal.err(`${name} is in pgo's own environment too, and that one wins: take it out of pgo.container\n`);
  else if (winner !== undefined && winner.file !== `${edge.directory}/${file}`)
    terminal.err(`${name} stands in ${winner.file} too, and that one wins: set it there (--file), or remove it first\n`);
  return exit.done;
}

async function list(json: boolean, edge: SecretEdge, terminal: Terminal): Promise<ExitCode> {
  const { found, problems } = await edge.store.list();
  const entries = found
    .map(({ name, file }, index) => ({ name, file, used: !found.slice(index + 1).some((later) => later.name === name) }))
    .sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
  if (json) terminal.out(`${JSON.stringify(entries, null, 2)}\n`);
  else {
    const width = Math.max(0, ...entries.map(({ name }) => name.length));
    for (const { name, file, used } of cleaned(entries))
      terminal.out(`${name.padEnd(width)}  ${file}${used ? "" : "  (another file wins)"}\n`);
  }
  for (const problem of problems) terminal.err(`${problemLine(problem)}\n`);
  return problems.length > 0 ? exit.failed : exit.done;
}

async function remove(name: string, edge: SecretEdge, terminal: Terminal): Promise<ExitCode> {
  const removed = await edge.store.remove(name);
  if (!removed.ok) return complain(removed.trouble, exit.failed, terminal);
  for (const file of removed.value) terminal.out(`${name} is removed from ${file}\n`);
  const rest = (await edge.store.list()).found.filter((one) => one.name === name);
  for (const { file } of rest) terminal.err(`${name} stands in ${file}, which ctl does not change: remove it there\n`);
  if (removed.value.length > 0) return exit.done;
  return rest.length > 0 ? exit.failed : complain(`there is no value of ${name}: see ctl secret list`, exit.failed, terminal);
}

function complain(message: string, code: ExitCode, { err, columns, colour, now }: Terminal): ExitCode {
  err(`${wrap(cleaned(message), 0, { colour, columns, now: now() }).join("\n")}\n`);
  return code;
}

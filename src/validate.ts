/** `pgo validate DIR`: the judgement that the running pgo would make of a directory's files, by a generator at hand and without a host. */

import { posix } from "node:path";

import { openLocalGenerator } from "./adapters/host/local-generator.ts";
import { readWorkTree } from "./adapters/git/worktree.ts";
import { exit, type ExitCode, type Terminal } from "./cli/ctl.ts";
import type { ValidateOptions } from "./cli/program.ts";
import { renderValidation } from "./cli/render-validation.ts";
import { judge } from "./controller/judge.ts";
import { nameFromUrl } from "./core/config.ts";
import { layout } from "./core/layout.ts";
import type { Trial } from "./core/judgement.ts";
import { NameError, digestOf, partsOf, sourceName, type SourceName } from "./core/names.ts";
import { freshRendering, nothingEncrypted, type TemplateRenderer } from "./core/rendering.ts";
import { success, trouble, type Result } from "./core/result.ts";
import { validationReport, type ValidationReport } from "./core/validation.ts";
import { versionOf } from "./version.ts";

/** Where it runs. */
export interface ValidateEdge {
  readonly environment: NodeJS.ProcessEnv;
  readonly terminal: Terminal;
}

/** Prints what it finds; what keeps it from looking goes to stderr. */
export async function validate(options: ValidateOptions, { environment, terminal }: ValidateEdge, signal: AbortSignal): Promise<ExitCode> {
  const note = (message: string) => {
    terminal.err(`pgo: ${message}\n`);
  };
  const found = await validated(options, { environment, note }, signal);
  if (!found.ok) {
    note(found.trouble);
    return exit.usage;
  }
  const format = options.format ?? (environment["GITHUB_ACTIONS"] === "true" ? "github" : "text");
  const { colour, columns, now } = terminal;
  terminal.out(renderValidation(found.value, format, versionOf(), { colour, columns, now: now() }));
  return found.value.valid ? exit.done : exit.rejected;
}

async function validated(
  options: ValidateOptions,
  edge: { readonly environment: NodeJS.ProcessEnv; readonly note: (message: string) => void },
  signal: AbortSignal,
): Promise<Result<ValidationReport, string>> {
  const { directory, generator: path, strict } = options;
  const paths = options.paths.length === 0 ? ["."] : options.paths.map((one) => posix.normalize(one).replace(/(?<=.)\/+$/, ""));
  const opened = await openLocalGenerator({ mode: options.rootless ? "rootless" : "rootful", generator: path }, signal);
  if (!opened.ok) return opened;
  await using generator = opened.value;
  const tree = await readWorkTree(directory, paths, edge.environment, signal);
  if (!tree.ok) return tree;
  const { entries, prefix, origin, unasked } = tree.value;
  if (unasked !== undefined) edge.note(`git can't say which files are ignored (${unasked}): all of them are looked at`);
  const source = sourceOf(options.source, origin ?? directory);
  if (!source.ok) return source;
  const drafts = layout(source.value, paths, entries);
  if (drafts.length === 0)
    return trouble(`${directory} holds no application: no directory below ${paths.join(", ")} has a quadlet (--path names other ones)`);
  const witnesses = { dryRun: generator.dryRun, generatorWarnings: "report", elsewhere: undefined } as const;
  const isTemplate = drafts.some(({ files }) => [...files.keys()].some((path) => path.endsWith(".liquid")));
  const template = isTemplate ? (await import("./core/template.ts")).rendered : undefined;
  const trial: Trial = {
    drafts,
    live: new Map(),
    rendering: standIn(template, generator.version),
    secrets: { missing: "empty", unreadable: [] },
  };
  const candidates = await judge(trial, witnesses, signal);
  return success(validationReport({ source: source.value, podman: generator.version, drafts, candidates, prefix, strict }));
}

/** No host is at hand: what it would say stands for itself, but for Podman's version, and a secret is there whatever its name. */
function standIn(template: TemplateRenderer | undefined, podman: string): Trial["rendering"] {
  return (id) => {
    const { source, application } = partsOf(id);
    const facts = { PGO_SOURCE: source, PGO_APPLICATION: application, PGO_HOSTNAME: "host", PGO_ARCH: "amd64", PGO_MODE: "rootful" };
    const unknown = { PGO_OS: "linux", PGO_OS_VERSION: "0", PGO_PODMAN_VERSION: podman };
    const made = freshRendering({
      application,
      facts: { ...facts, ...unknown },
      hostApplication: undefined,
      host: undefined,
      envDirectory: `/var/lib/pgo/env/${id}`,
      secrets: { get: () => "secret" },
      template,
      decrypted: nothingEncrypted,
      self: { directories: [], specifiers: undefined },
    });
    // What is encrypted for the hosts is empty here.
    const empty = { content: new Uint8Array(), sealed: digestOf(""), digest: digestOf("") };
    return {
      ...made,
      decrypted: () => empty,
      vars: (own) => new Map([...made.vars(own)].map(([name, value]) => [name, value ?? "value"])),
    };
  };
}

/** The name that the source has by default: it is that of the application which units at the top form. */
function sourceOf(asked: string | undefined, origin: string): Result<SourceName, string> {
  try {
    return success(sourceName(asked ?? nameFromUrl(origin)));
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    return trouble(`--source: ${error.message}`);
  }
}

/** The env files of a unit that is taken over: where pgo's copy says the same as the old file, it is no difference that it lies elsewhere. */

import { assignmentsOf, type EnvSyntax } from "./env-syntax.ts";
import { parseUnit, values, words } from "./unit-text.ts";

/** An env file that a service's text names. */
export interface NamedEnvFile {
  /** As written there, without the `-` of one that may be missing. */
  readonly path: string;
  /** Who reads it. */
  readonly syntax: EnvSyntax;
}

/** Those of the container (`--env-file` of the generator's command line), then those of the service itself, each in its order. */
export function envFilesIn(text: string): readonly NamedEnvFile[] {
  const entries = parseUnit(text, "systemd");
  const commands = entries.filter(({ section, key }) => section === "Service" && key === "ExecStart").map(({ value }) => words(value));
  const containers = commands.flatMap((all) => all.filter((_, at) => all[at - 1] === "--env-file"));
  const services = values(entries, "Service", "EnvironmentFile").map(({ value }) => value.replace(/^-/, ""));
  return [
    ...containers.map((path): NamedEnvFile => ({ path, syntax: "podman" })),
    ...services.map((path): NamedEnvFile => ({ path, syntax: "systemd" })),
  ];
}

/** What is known of env files by their paths on the host. */
export interface EnvContents {
  readonly old: (path: string) => string | undefined;
  /** Of those that pgo makes. */
  readonly made: (path: string) => string | undefined;
}

/** The old text with the new paths of env files that hold the same; the paths of those in `moved`. Both as they are where one differs. */
export function withMovedEnv(
  before: string,
  after: string,
  contents: EnvContents,
): { readonly before: string; readonly after: string; readonly moved: readonly string[] } {
  const unchanged = { before, after, moved: [] };
  const [old, now] = [envFilesIn(before), envFilesIn(after)];
  if (old.length !== now.length) return unchanged;
  const pairs = old.flatMap((file, at) => (now[at] === undefined || now[at].path === file.path ? [] : [{ file, to: now[at] }]));
  if (pairs.length === 0 || !pairs.every(({ file, to }) => file.syntax === to.syntax && saysTheSame(file, to.path, contents)))
    return unchanged;
  const renamed = pairs.reduce((text, { file, to }) => text.replaceAll(pattern(file.path), () => to.path), withoutQuoted(before));
  return { before: renamed, after: withoutQuoted(after), moved: pairs.map(({ file }) => file.path) };
}

/** By what its reader takes from it, whatever comments, order and quotes there are. */
function saysTheSame({ path, syntax }: NamedEnvFile, to: string, { old, made }: EnvContents): boolean {
  const [text, content] = [old(path), made(to)];
  if (text === undefined || content === undefined || text.includes("\0")) return false;
  const read = (one: string) => new Map(assignmentsOf(one, syntax).map(({ name, value }) => [name, value?.replaceAll("\0", "$")]));
  const [own, theirs] = [read(text), read(content)];
  return own.size === theirs.size && [...own].every(([name, value]) => theirs.has(name) && theirs.get(name) === value);
}

/** A path as a word, or behind the `-` of one that may be missing. */
function pattern(path: string): RegExp {
  return new RegExp(`(?<![^\\s"'=-])${path.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?![^\\s"'])`, "g");
}

/** Without what the generator keeps of the quadlet for people to read, in `[X-Container]`. */
function withoutQuoted(text: string): string {
  return text.replace(/^\[X-[^\]\n]*\]\n(?:(?!\[).*\n?)*/gm, (section) => section.replace(/^EnvironmentFile=.*\n?/gm, ""));
}

/** From an application's files in Git to a bundle that is worth showing to the generator, or to Problems. */

import { fileDigest } from "./files.ts";
import type { Bundle, BundleFile, Input, Problem, Unit, UnitKind } from "./bundle.ts";
import { applicationSettings } from "./config.ts";
import { dropInOwner, isDropIn, type Draft, type Located } from "./layout.ts";
import { NameError, digestOf, unitName, type RelativePath, type UnitName } from "./names.ts";
import { isInert, isUnitKind, plainSuffixes, quadletFacts, quadletSuffix } from "./quadlet.ts";
import { success, trouble, type Result } from "./result.ts";
import { readToml } from "./toml.ts";
import { parseUnit, type Entry } from "./unit-text.ts";

/** An application's own settings, in Git beside its quadlets; never placed on the host. */
const settingsFile = "pgo.toml";

/** Parses every file of an application; all Problems at once. What only the generator can know is not judged here. */
export function assemble(draft: Draft): Result<Bundle, readonly Problem[]> {
  const kept = [...draft.files].filter(([path]) => !isForPeople(path)).sort(([a], [b]) => (a < b ? -1 : 1));
  const problems: Problem[] = [...draft.problems, ...kept.flatMap(([path, located]) => refusals(path, located))];
  const settings = readSettings(draft.files.get(settingsFile as RelativePath));
  if (!settings.ok) problems.push(...settings.trouble);

  const texts = new Map<RelativePath, { entries: readonly Entry[]; origin: string }>();
  for (const [path, { entry, origin }] of kept)
    if (entry.kind === "file" && (isDropIn(path) || unitKind(path) !== undefined)) {
      const text = decode(entry.content);
      if (text === undefined) problems.push({ file: origin, line: undefined, message: "is not UTF-8 text" });
      else texts.set(path, { entries: parseUnit(text), origin });
    }
  const envFiles = envFilesOf(texts);
  const files = kept.flatMap(([path, { entry }]) =>
    entry.kind === "file" && path !== settingsFile ? [placedFile(path, entry, envFiles)] : [],
  );
  const units = unitsOf(texts, files, problems);
  problems.push(...strayDropIns(texts, units));
  problems.push(...doubles(units, draft));

  if (problems.length > 0 || !settings.ok) return trouble(problems);
  const own = draft.files.get(settingsFile as RelativePath)?.entry;
  const digest = digestOf(draft.application, ...files.flatMap((file) => [file.path, file.digest]), own?.kind === "file" ? own.content : "");
  return success({ application: draft.application, files, units, settings: settings.value, digest });
}

/** Files that only people read stay in Git. */
function isForPeople(path: string): boolean {
  const name = path.split("/").at(-1) ?? "";
  return (
    /^(?:README|LICENSE|LICENCE|CHANGELOG|CONTRIBUTING|COPYING)(?:\.[a-z]+)?$/i.test(name) ||
    name.startsWith(".git") ||
    /(?:~|\.sw[op]|\.orig)$/.test(name)
  );
}

/** What this version can't place, or nobody should: told rather than placed as an asset. */
function refusals(path: RelativePath, { entry, origin }: Located): readonly Problem[] {
  const problem = (message: string): readonly Problem[] => [{ file: origin, line: undefined, message }];
  switch (entry.kind) {
    case "symlink":
      return problem(`is a symbolic link to ${entry.target}: put the file itself here`);
    case "other":
      return problem(`is ${entry.what}: only files can be deployed`);
    case "file": {
      if (isDropIn(path)) return [];
      const suffix = quadletSuffix(path);
      const name = path.split("/").at(-1) ?? "";
      if (suffix !== undefined && !isUnitKind(suffix)) return problem(`.${suffix} units are not handled by this version of pgo`);
      if (suffix !== undefined && name.includes("@")) return problem("template units are not handled by this version of pgo");
      if (plainSuffixes.some((plain) => name.endsWith(`.${plain}`) || (name.endsWith(".conf") && path.includes(`.${plain}.d/${name}`))))
        return problem("plain systemd units are not handled by this version of pgo");
      return [];
    }
  }
}

function readSettings(located: Located | undefined): ReturnType<typeof readToml<typeof applicationSettings>> {
  if (located?.entry.kind !== "file") return readToml("", settingsFile, applicationSettings);
  return readToml(Buffer.from(located.entry.content).toString("utf8"), located.origin, applicationSettings);
}

function placedFile(
  path: RelativePath,
  entry: { readonly executable: boolean; readonly content: Uint8Array },
  envFiles: ReadonlySet<string>,
): BundleFile {
  const mode = envFiles.has(path) || path.endsWith(".env") ? 0o600 : entry.executable ? 0o755 : 0o644;
  return { path, mode, content: entry.content, digest: fileDigest(mode, entry.content) };
}

/** A drop-in's paths are relative to its unit's directory, as in the unit itself. */
function envFilesOf(texts: ReadonlyMap<RelativePath, { readonly entries: readonly Entry[] }>): ReadonlySet<string> {
  const found = new Set<string>();
  for (const [path, { entries }] of texts) {
    const owners = isDropIn(path) ? [...texts.keys()].filter((unit) => baseName(unit) === dropInOwner(path)) : [path];
    for (const entry of entries)
      if (entry.section === "Container" && entry.key === "EnvironmentFile")
        for (const owner of owners) found.add(resolve(unitDirectory(owner), entry.value.replace(/^-/, "")) ?? "");
  }
  return found;
}

type Texts = ReadonlyMap<RelativePath, { readonly entries: readonly Entry[]; readonly origin: string }>;

function unitsOf(texts: Texts, files: readonly BundleFile[], problems: Problem[]): readonly Unit[] {
  const units: Unit[] = [];
  for (const [path, { entries, origin }] of texts) {
    const kind = isDropIn(path) ? undefined : unitKind(path);
    if (kind === undefined) continue;
    try {
      const name = unitName(path.split("/").at(-1) ?? "");
      units.push(unitOf({ name, kind, path, entries }, texts, files));
    } catch (error) {
      if (!(error instanceof NameError)) throw error;
      problems.push({ file: origin, line: undefined, message: error.message });
    }
  }
  return units;
}

function unitOf(
  own: { readonly name: UnitName; readonly kind: UnitKind; readonly path: RelativePath; readonly entries: readonly Entry[] },
  texts: Texts,
  files: readonly BundleFile[],
): Unit {
  const dropIns = [...texts]
    .filter(([path]) => isDropIn(path) && path.split("/").at(-2) === `${own.name}.d`)
    .sort(([a], [b]) => (baseName(a) < baseName(b) ? -1 : 1));
  const { paths, ...facts } = quadletFacts(own.name, own.kind, [...own.entries, ...dropIns.flatMap(([, { entries }]) => entries)]);
  const directory = unitDirectory(own.path);
  const assets = paths.flatMap((path) => {
    const target = resolve(directory, path);
    return target === undefined ? [] : files.filter((file) => target === "" || file.path === target || file.path.startsWith(`${target}/`));
  });
  const mounted = [...new Set(assets)].filter((file) => file.path !== own.path && !texts.has(file.path));
  const inputs: readonly Input[] = [
    ...keyInputs(own.entries, own.name),
    ...dropIns.flatMap(([path, { entries }]) => {
      const live = entries.filter((entry) => !isInert(entry));
      return live.length === 0
        ? []
        : [{ label: path, within: undefined, digest: digestOf(...live.flatMap(({ section, key, value }) => [section, key, value])) }];
    }),
    ...mounted.map((file) => ({ label: file.path, within: undefined, digest: file.digest })),
  ];
  return {
    name: own.name,
    kind: own.kind,
    file: own.path,
    ...facts,
    uses: facts.uses.filter((use) => use !== own.name),
    files: [own.path, ...dropIns.map(([path]) => path), ...mounted.map((file) => file.path)],
    inputs,
    // Sorted: the order of keys is no reason to restart.
    digest: digestOf(...inputs.map(({ label, within, digest }) => digestOf(label, within ?? "", digest)).sort()),
  };
}

/** One input for each key, so that a reason can name it: `Image=` of the quadlet's own section, `[Service] Restart=` of another. */
function keyInputs(entries: readonly Entry[], name: UnitName): readonly Input[] {
  const byKey = new Map<string, string[]>();
  for (const entry of entries) {
    if (isInert(entry)) continue;
    const label = `${quadletSuffix(name) === entry.section.toLowerCase() ? "" : `[${entry.section}] `}${entry.key}=`;
    byKey.set(label, [...(byKey.get(label) ?? []), entry.value]);
  }
  return [...byKey].map(([label, all]) => ({ label, within: name, digest: digestOf(label, ...all) }));
}

/** The generator searches drop-ins by name in all directories: one of a foreign unit, or of all units of a kind, would reach into other applications. */
function strayDropIns(texts: Texts, units: readonly Unit[]): readonly Problem[] {
  return [...texts].flatMap(([path, { origin }]): readonly Problem[] => {
    const owner = isDropIn(path) ? dropInOwner(path) : undefined;
    if (owner === undefined || units.some((unit) => unit.name === owner)) return [];
    const message = owner.includes(".")
      ? `is a drop-in for ${owner}, which is not a unit of this application`
      : `is a drop-in for every ${owner} of the host: put it into a directory UNIT.${owner}.d for each unit that it is meant for`;
    return [{ file: origin, line: undefined, message }];
  });
}

/** The generator takes the first of two units of one name, silently. */
function doubles(units: readonly Unit[], draft: Draft): readonly Problem[] {
  const seen = new Map<string, Unit>();
  return units.flatMap((unit) => {
    const other = [...seen.values()].find((one) => one.name === unit.name || one.service === unit.service);
    seen.set(unit.file, unit);
    if (other === undefined) return [];
    const what = other.name === unit.name ? `a second unit is called ${unit.name}` : `${unit.service} comes of it and of ${other.file}`;
    return [{ file: draft.files.get(unit.file)?.origin ?? unit.file, line: undefined, message: `${what}: the first is ${other.file}` }];
  });
}

function unitKind(path: RelativePath): UnitKind | undefined {
  const suffix = quadletSuffix(path);
  return suffix !== undefined && isUnitKind(suffix) ? suffix : undefined;
}

function unitDirectory(path: string): string {
  return path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "";
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** A path as written in a unit, below the application; undefined when it is absolute or leaves it. "" is the application itself. */
function resolve(directory: string, path: string): string | undefined {
  if (path.startsWith("/") || path.startsWith("~")) return undefined;
  const parts = directory === "" ? [] : directory.split("/");
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join("/");
}

function decode(content: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    return undefined;
  }
}

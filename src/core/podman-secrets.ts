/** The Podman secrets that an application brings (`[secrets.podman]` of its pgo.toml): made into files of the bundle, and which units use them. */

import type { BundleFile, Origin, Problem } from "./bundle.ts";
import type { Located } from "./layout.ts";
import { isUnitText } from "./layout.ts";
import type { RelativePath } from "./names.ts";
import { marked, placeOf } from "./placing.ts";
import { processedMode, type Rendering } from "./rendering.ts";
import type { ApplicationSecrets } from "./secrets-config.ts";
import type { Vars } from "./substitute.ts";
import type { Position } from "./position.ts";
import type { KeyPath } from "./toml-lines.ts";
import { directoryOf, resolve, type Asset, type Sketch } from "./units.ts";
import { values, words, type Entry } from "./unit-text.ts";

export interface SecretSources {
  readonly secrets: ApplicationSecrets["podman"];
  readonly sketches: readonly Sketch[];
  readonly files: ReadonlyMap<RelativePath, Located>;
  readonly vars: Vars;
  /** The application's pgo.toml: as in Git, and the lines of its keys. */
  readonly settings: { readonly origin: string; readonly place: (path: KeyPath) => Position | undefined };
}

export interface PodmanSecrets {
  readonly files: readonly BundleFile[];
  readonly origins: ReadonlyMap<RelativePath, Origin>;
  /** What a unit is made of. */
  readonly assets: (sketch: Sketch) => readonly Asset[];
  /** Files of Git that only a secret is made of: they are placed nowhere else. */
  readonly consumed: ReadonlySet<RelativePath>;
  readonly problems: readonly Problem[];
  /** Values that are nowhere on the host, or that Podman can't take: no secret is made of them. */
  readonly missing: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** One file for each secret that has a value. */
export function podmanSecrets(sources: SecretSources, rendering: Rendering): PodmanSecrets {
  const { secrets, sketches, files, vars, settings } = sources;
  const made: BundleFile[] = [];
  const origins = new Map<RelativePath, Origin>();
  const consumed = new Set<RelativePath>();
  const told = { problems: [] as Problem[], missing: [] as Problem[], warnings: [] as Problem[] };
  for (const [name, from] of Object.entries(secrets)) {
    const place = settings.place(["secrets", "podman", name]);
    const problem = (message: string): Problem => ({
      file: settings.origin,
      line: undefined,
      ...place,
      message: `Podman secret ${name}: ${message}`,
    });
    const path = "file" in from ? present(from.file, files) : undefined;
    const located = path === undefined ? undefined : files.get(path);
    const isReadable = located?.entry.kind === "file";
    if ("file" in from && !isReadable) {
      // What is there and no file has been told.
      if (located === undefined) told.problems.push(problem(`there is no file ${from.file} beside pgo.toml`));
      continue;
    }
    const content = located?.entry.kind === "file" ? located.entry.content : undefined;
    const rendered = rendering.secret({ name, vars, from: "env" in from ? from : { content: content ?? new Uint8Array() } });
    const isPlain = located !== undefined && located.secret === undefined;
    if (rendered.lack !== undefined) told[isPlain ? "problems" : "missing"].push(problem(rendered.lack));
    else if (isPlain)
      told.warnings.push(problem(`${located.origin} is not encrypted in Git: encrypt it with age or SOPS, unless everybody may read it`));
    if (path !== undefined && !isUnitText(path) && !sketches.some((one) => isNamedBy(one, path))) consumed.add(path);
    if (rendered.file === undefined) continue;
    const { content: value = new Uint8Array(), digest, sealed } = rendered.file;
    made.push({ path: rendered.file.path, mode: processedMode, content: value, digest, sealed });
    origins.set(rendered.file.path, { file: settings.origin, linesBefore: (place?.line ?? 1) - 1, lines: undefined });
  }
  const assets = (one: Sketch): readonly Asset[] => {
    const isUsed = usedBy(one, files);
    return made.flatMap(({ path, digest }) => (isUsed(placeOf(path).path) ? [{ path, placed: [path], digest }] : []));
  };
  return { files: made, origins, assets, consumed, ...told };
}

/** Names in `Secret=`, as they stand: with specifiers, and perhaps the beginning of an id. */
export function secretsNamed(entries: readonly Entry[]): readonly string[] {
  return values(entries, "Container", "Secret").flatMap(({ value }) => words(value).map((word) => (word.split(",")[0] ?? "").trim()));
}

/** The names of a bundle's secrets. */
export function secretNamesIn(files: readonly Pick<BundleFile, "path">[]): ReadonlySet<string> {
  return new Set(files.map(({ path }) => placeOf(path)).flatMap(({ place, path }) => (place === "secret" ? [path] : [])));
}

export function secretPath(name: string): RelativePath {
  return marked("secret", name);
}

/** By its name in Git, or as it is called when it is decrypted. */
function present(file: string, files: ReadonlyMap<RelativePath, Located>): RelativePath | undefined {
  return [file, file.replace(/\.age$/, "")].map((path) => path as RelativePath).find((path) => files.has(path));
}

/** As a file of its own or within a directory. */
function isNamedBy({ text, dropIns, facts }: Sketch, path: RelativePath): boolean {
  const environment = [text, ...dropIns].flatMap(({ entries }) =>
    entries.filter(({ key }) => key === "EnvironmentFile").map(({ value }) => value.replace(/^-/, "")),
  );
  return [...facts.paths, ...environment].some((one) => {
    const target = resolve(directoryOf(text.path), one);
    return target !== undefined && (target === "" || path === target || path.startsWith(`${target}/`));
  });
}

/**
 * `Secret=`, `--secret` in another key, such as PodmanArgs= or a plain unit's ExecStart=, and for a kube unit any mention in its YAML:
 * Podman reads its secrets there too (podman-kube-play(1)). Specifiers may stand for anything; better one restart too many than an old value.
 */
function usedBy({ kind, text, dropIns, facts }: Sketch, files: ReadonlyMap<RelativePath, Located>): (name: string) => boolean {
  const entries = [text, ...dropIns].flatMap((one) => one.entries);
  const options = entries.flatMap(({ value }) => [...value.matchAll(/--secret(?:=|\s+)["']?([^,\s"']+)/g)].map(([, name = ""]) => name));
  const patterns = [...secretsNamed(entries), ...options].map(patternOf);
  const yaml = kind === "kube" ? facts.paths.map((path) => files.get(resolve(directoryOf(text.path), path) as RelativePath)) : [];
  return (name) => patterns.some((pattern) => pattern.test(name)) || yaml.some((located) => mentions(located, name));
}

function patternOf(name: string): RegExp {
  const parts = name.split(/(%.)/).map((part) => (part === "%%" ? "%" : /^%.$/.test(part) ? undefined : part));
  return new RegExp(`^${parts.map((part) => (part === undefined ? ".*" : escaped(part))).join("")}$`, "s");
}

/** One that is encrypted is not there to be read when its bundle is recalled: it may name any. */
function mentions(located: Located | undefined, name: string): boolean {
  if (located?.entry.kind !== "file") return false;
  if (located.secret !== undefined) return true;
  return new RegExp(`(?<![\\w.-])${escaped(name)}(?![\\w.-])`).test(Buffer.from(located.entry.content).toString("utf8"));
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\-]/g, "\\$&");
}

/** The env files of an application: each rendered for the service that reads it, and the units' EnvironmentFile= pointed at what came of it. */

import type { BundleFile, Problem } from "./bundle.ts";
import type { Located } from "./layout.ts";
import type { RelativePath, ServiceName } from "./names.ts";
import { placeOf } from "./placing.ts";
import { processedMode, type EnvRendered, type ProcessedFile, type Rendering } from "./rendering.ts";
import type { Vars } from "./substitute.ts";
import { directoryOf, resolve, type Asset, type Sketch, type Text } from "./units.ts";
import { readUnit, type Entry } from "./unit-text.ts";

export interface Application {
  readonly sketches: readonly Sketch[];
  readonly files: ReadonlyMap<RelativePath, Located>;
  readonly vars: Vars;
}

export interface ProcessedEnv {
  readonly processed: {
    readonly files: readonly BundleFile[];
    /** What they come of, which is not placed itself. */
    readonly sources: ReadonlySet<RelativePath>;
    /** What each service is made of. */
    readonly assets: ReadonlyMap<ServiceName, readonly Asset[]>;
  };
  /** Units and drop-ins as they are placed. */
  readonly texts: ReadonlyMap<RelativePath, string>;
  readonly missing: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** A path is relative to the unit's directory, in its drop-ins too, in a quadlet's own section and in `[Service]` (where systemd wants an absolute one). */
export function processEnvFiles(application: Application, rendering: Rendering, problems: Problem[]): ProcessedEnv {
  const { sketches, files, vars } = application;
  const made = new Map<RelativePath, BundleFile>();
  const sources = new Set([...files.keys()].filter((path) => path.endsWith(".env")));
  const assets = new Map<ServiceName, Asset[]>();
  const texts = new Map<RelativePath, string>();
  const missing: Problem[] = [];
  const warnings: Problem[] = [];

  const render = (
    path: RelativePath,
    located: Located,
    reader: { readonly service: string | undefined; readonly syntax: "podman" | "systemd" },
  ) => {
    const plain = located.entry.kind === "file" ? Buffer.from(located.entry.content).toString("utf8") : "";
    // What is encrypted holds values, not references to some: a $ in it is a $.
    const text =
      located.secret === undefined
        ? plain
        : plain.replace(/'[^'\n]*'|\$/g, (part) => (part === "$" || reader.syntax === "podman" ? part.replaceAll("$", "$$$$") : part));
    const rendered = rendering.env({ path, text, file: located.origin, vars, ...reader });
    note(rendered, problems, { missing, warnings: located.secret === undefined ? warnings : [] });
    for (const file of rendered.files) made.set(file.path, placed(file));
    return rendered.files;
  };

  for (const { text, dropIns, facts } of sketches) {
    for (const part of [text, ...dropIns]) {
      // A template and its default instance are one text.
      if (texts.has(part.path)) continue;
      let edited = readUnit(part.text, readerOf(part));
      for (const entry of part.entries.filter(isEnvironmentFile)) {
        const path = resolve(directoryOf(text.path), entry.value.replace(/^-/, "")) as RelativePath | undefined;
        const located = path === undefined ? undefined : files.get(path);
        if (path === undefined || located === undefined) continue;
        sources.add(path);
        const syntax = entry.section === "Container" ? "podman" : "systemd";
        const [main, second] = render(path, located, { service: facts.service, syntax });
        if (main === undefined) continue;
        edited = edited.withValue(entry, `${entry.value.startsWith("-") ? "-" : ""}${pathOf(main, rendering)}`);
        if (second !== undefined) edited = edited.withEntry("Service", "EnvironmentFile", pathOf(second, rendering));
        const own = assets.get(facts.service) ?? [];
        const asset = { path, placed: [main, second].flatMap((file) => file?.path ?? []), digest: main.digest };
        assets.set(facts.service, [...own.filter((one) => one.path !== path), asset, ...seconds(path, second)]);
      }
      texts.set(part.path, edited.text());
    }
  }
  const read = new Set([...assets.values()].flat().map(({ path }) => path));
  for (const path of sources) {
    const located = files.get(path);
    if (!read.has(path) && located !== undefined) render(path, located, { service: undefined, syntax: "podman" });
  }
  return { processed: { files: [...made.values()], sources, assets }, texts, missing: unique(missing), warnings: unique(warnings) };
}

/** What only the service's environment carries is part of the same file in Git. */
function seconds(path: RelativePath, second: ProcessedFile | undefined): readonly Asset[] {
  return second === undefined ? [] : [{ path, placed: [second.path], digest: second.digest }];
}

function isEnvironmentFile({ section, key }: Entry): boolean {
  return key === "EnvironmentFile" && (section === "Container" || section === "Service");
}

function readerOf({ path }: Text): Parameters<typeof readUnit>[1] {
  return /\.(?:service|timer|socket|path|target|mount|automount|slice|swap)(?:\.d\/[^/]+)?$/.test(path) ? "systemd" : "podman";
}

function pathOf({ path }: ProcessedFile, { envDirectory }: Rendering): string {
  return `${envDirectory}/${placeOf(path).path}`;
}

function placed({ path, content, sealed, digest }: ProcessedFile): BundleFile {
  return { path, mode: processedMode, content: content ?? new Uint8Array(), digest, sealed };
}

function note(rendered: EnvRendered, problems: Problem[], told: { readonly missing: Problem[]; readonly warnings: Problem[] }): void {
  problems.push(...rendered.problems);
  told.missing.push(...rendered.missing.map(({ file, line, message }) => ({ file, line, message })));
  told.warnings.push(...rendered.warnings);
}

/** Two services may read one file. */
function unique(problems: readonly Problem[]): readonly Problem[] {
  return [...new Map(problems.map((one) => [`${one.file}:${String(one.line)}:${one.message}`, one])).values()];
}

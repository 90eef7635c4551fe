/** From an application's files in Git to a bundle that is worth showing to the generator, or to Problems. */

import { fileDigest } from "./files.ts";
import type { Bundle, BundleFile, Origin, Problem, Unit } from "./bundle.ts";
import { applicationSettings } from "./config.ts";
import { gather, settingsFile } from "./gather.ts";
import { dropInOwner, isUnitText, type Draft, type Located } from "./layout.ts";
import { isPlainKind, isQuadletKind, kindOf } from "./kinds.ts";
import { digestOf, type RelativePath } from "./names.ts";
import { placeFor, placeOf, shownPath } from "./placing.ts";
import type { Policy } from "./policy-config.ts";
import { violations, type Subject, type Violation } from "./policy.ts";
import { success, trouble, type Result } from "./result.ts";
import { processEnvFiles } from "./processed.ts";
import { moved, processedMode, type Rendering } from "./rendering.ts";
import { substituteUnit, type Vars } from "./substitute.ts";
import { readToml } from "./toml.ts";
import { sketch, unitsOf, type Asset, type Sketch, type Text } from "./units.ts";
import { hiddenLineBreak, parseUnit } from "./unit-text.ts";

/**
 * Renders and parses every file of an application; all Problems at once, those against the policy too. What only the generator can know is not judged here, and
 * secrets that are missing are told with the bundle: they are no fault of the files.
 */
export function assemble(draft: Draft, rendering: Rendering, policy?: Policy): Result<Bundle, readonly Problem[]> {
  const settings = readSettings(draft.files.get(settingsFile as RelativePath));
  const vars = rendering.vars(settings.ok ? settings.value.vars : {});
  const { template } = rendering;
  const gathering = {
    instances: settings.ok ? settings.value.instances : {},
    vars,
    template,
    decrypted: (path: RelativePath) => rendering.decrypted(path),
    self: rendering.self,
  };
  const gathered = gather(draft.files, gathering);
  const problems: Problem[] = [...draft.problems, ...rendering.problems, ...(settings.ok ? [] : settings.trouble), ...gathered.problems];
  problems.push(...[...gathered.files.values()].flatMap(refusals));

  const sketches = sketch(textsOf(gathered.files, vars, problems), problems);
  const { processed, texts, missing, warnings } = processEnvFiles({ sketches, files: gathered.files, vars }, rendering, problems);
  const files = [
    ...[...gathered.files].flatMap(([path, { entry, secret }]) => {
      if (entry.kind !== "file" || processed.sources.has(path)) return [];
      if (secret === undefined) return [placedFile(path, entry, texts.get(path))];
      return [{ path: placeFor(path), mode: processedMode, content: entry.content, digest: secret.digest, sealed: secret.sealed }];
    }),
    ...processed.files,
  ].sort((a, b) => (shownPath(a.path) < shownPath(b.path) ? -1 : 1));
  const shared = [...gathered.files.keys()].flatMap((path): Asset[] => {
    const placed = placeFor(path);
    const file = isUnitText(path) ? undefined : files.find((one) => one.path === placed);
    return file === undefined ? [] : [{ path, placed: [placed], digest: file.digest }];
  });
  const units = unitsOf(sketches, (service) => [...shared, ...(processed.assets.get(service) ?? [])]);
  problems.push(...doubles(units, draft));
  const against =
    policy === undefined
      ? []
      : violations(subjectOf(draft.application, { sketches, files: gathered.files, self: rendering.self !== undefined }), policy);
  problems.push(...against.filter(({ enforced }) => enforced).map(problemOf));

  if (problems.length > 0 || !settings.ok) return trouble(problems);
  const own = draft.files.get(settingsFile as RelativePath)?.entry;
  const digest = digestOf(draft.application, ...files.flatMap((file) => [file.path, file.digest]), own?.kind === "file" ? own.content : "");
  const origins = new Map(
    [...draft.files, ...gathered.files].map(([path, { origin, linesBefore = 0, lines }]): [RelativePath, Origin] => [
      placeFor(path),
      { file: origin, linesBefore, lines },
    ]),
  );
  const { application } = draft;
  return success({
    application,
    origins,
    files,
    units,
    settings: settings.value,
    vars,
    missing,
    warnings: [...warnings, ...against.map(problemOf)],
    digest,
  });
}

/** What the policy judges: texts with variables filled in, before env files are pointed elsewhere. */
function subjectOf(
  application: Draft["application"],
  {
    sketches,
    files,
    self,
  }: { readonly sketches: readonly Sketch[]; readonly files: ReadonlyMap<RelativePath, Located>; readonly self: boolean },
): Subject {
  const all = [...files].map(([path, { origin }]) => ({ path, file: origin }));
  return {
    application,
    units: sketches.flatMap(({ name, kind, text, dropIns }) =>
      isQuadletKind(kind)
        ? [{ name, suffix: kind, path: text.path, texts: [text, ...dropIns].map(({ origin, text: own }) => ({ file: origin, text: own })) }]
        : [],
    ),
    files: all,
    plainUnits: all.filter(({ path }) => placeOf(placeFor(path)).place === "unit"),
    self,
  };
}

function problemOf({ file, line, message }: Violation): Problem {
  return { file, line, message };
}

/** What this version can't place, or nobody should: told rather than placed as an asset. */
function refusals({ entry, origin }: Located): readonly Problem[] {
  const problem = (message: string): readonly Problem[] => [{ file: origin, line: undefined, message }];
  switch (entry.kind) {
    case "symlink":
      return problem(`is a symbolic link to ${entry.target}, which is no file of this source: put the file itself here`);
    case "other":
      return problem(`is ${entry.what}: only files can be deployed`);
    case "file":
      return [];
  }
}

function readSettings(located: Located | undefined): ReturnType<typeof readToml<typeof applicationSettings>> {
  if (located?.entry.kind !== "file") return readToml("", settingsFile, applicationSettings);
  return readToml(Buffer.from(located.entry.content).toString("utf8"), located.origin, applicationSettings);
}

function textsOf(files: ReadonlyMap<RelativePath, Located>, vars: Vars, problems: Problem[]): readonly Text[] {
  return [...files].flatMap(([path, { entry, origin, linesBefore = 0 }]) => {
    if (entry.kind !== "file" || !isUnitText(path)) return [];
    const text = decode(entry.content);
    if (text === undefined) {
      problems.push({ file: origin, line: undefined, message: "is not UTF-8 text" });
      return [];
    }
    const hidden = hiddenLineBreak(text);
    if (hidden !== undefined)
      problems.push({
        file: origin,
        line: hidden + linesBefore,
        message: "a carriage return or NUL inside the line would end it for systemd, but not for Podman: take it out",
      });
    const filled = substituteUnit(text, vars, origin);
    problems.push(...moved(filled.ok ? filled.value.missing : filled.trouble, linesBefore));
    const rendered = filled.ok ? filled.value.text : text;
    return [{ path, origin, text: rendered, entries: parseUnit(rendered, isPlainUnit(path) ? "systemd" : "podman") }];
  });
}

function isPlainUnit(path: RelativePath): boolean {
  return isPlainKind(kindOf(dropInOwner(path) ?? path) ?? "");
}

/** `text`: of a unit, as it was rendered. */
function placedFile(
  path: RelativePath,
  entry: { readonly executable: boolean; readonly content: Uint8Array },
  text: string | undefined,
): BundleFile {
  const mode = entry.executable && !isUnitText(path) ? 0o755 : 0o644;
  const content = text === undefined ? entry.content : Buffer.from(text);
  return { path: placeFor(path), mode, content, digest: fileDigest(mode, content) };
}

/** The generator takes the first of two units of one name, silently. */
function doubles(units: readonly Unit[], draft: Draft): readonly Problem[] {
  const seen = new Map<string, Unit>();
  return units.flatMap((unit) => {
    const other = [...seen.values()].find((one) => one.name === unit.name || one.service === unit.service);
    seen.set(unit.file, unit);
    if (other === undefined) return [];
    const what =
      other.name === unit.name ? `a second unit is called ${unit.name}` : `${unit.service} comes of it and of ${shownPath(other.file)}`;
    const file = [...draft.files].find(([path]) => placeFor(path) === unit.file)?.[1].origin ?? shownPath(unit.file);
    return [{ file, line: undefined, message: `${what}: the first is ${shownPath(other.file)}` }];
  });
}

function decode(content: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content);
  } catch {
    return undefined;
  }
}

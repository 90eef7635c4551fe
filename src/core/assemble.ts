/** From an application's files in Git to a bundle that is worth showing to the generator, or to Problems. */

import { fileDigest } from "./files.ts";
import type { Bundle, BundleFile, Origin, Problem, Unit } from "./bundle.ts";
import { applicationSettings } from "./config.ts";
import { gather, settingsFile } from "./gather.ts";
import { pinned } from "./images.ts";
import { withOwnPaths } from "./installed-paths.ts";
import { dropInOwner, isUnitText, type Draft, type Located } from "./layout.ts";
import { isPlainKind, isQuadletKind, kindOf } from "./kinds.ts";
import { digestOf, partsOf, type ApplicationId, type RelativePath, type ServiceName } from "./names.ts";
import { strayPaces, withPhases } from "./phases.ts";
import { placeFor, placeOf, shownPath } from "./placing.ts";
import { podmanSecrets, secretNamesIn } from "./podman-secrets.ts";
import type { Policy } from "./policy-config.ts";
import { violations, type HostCommand, type Subject, type Violation } from "./policy.ts";
import { success, trouble, type Result } from "./result.ts";
import { processEnvFiles } from "./processed.ts";
import { moved, processedMode, type Rendering } from "./rendering.ts";
import { substituteUnit, type Vars } from "./substitute.ts";
import { readTomlWithPlaces } from "./toml.ts";
import { sketch, unitsOf, type Asset, type Sketch, type Text } from "./units.ts";
import { hiddenLineBreak, parseUnit } from "./unit-text.ts";

/**
 * Renders and parses every file of an application; all Problems at once, those against the policy too. What only the generator can know is not judged here, and
 * secrets that are missing are told with the bundle: they are no fault of the files.
 */
export function assemble(draft: Draft, rendering: Rendering, policy?: Policy): Result<Bundle, readonly Problem[]> {
  const settingsAt = draft.files.get(settingsFile as RelativePath);
  const read = readSettings(settingsAt);
  const settings = read.ok ? success(read.value.value) : read;
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

  const written = textsOf(draft.application, gathered.files, { vars, problems });
  const asInGit = sketch(written, problems);
  const { images, texts: pins } = pinned(asInGit, (path, name) => rendering.pin?.(path, name));
  const sketches = pins.length === 0 ? asInGit : sketch([...written, ...pins], []);
  const brought = podmanSecrets(
    {
      ...{ sketches, files: gathered.files, vars, secrets: settings.ok ? settings.value.secrets.podman : {} },
      settings: { origin: settingsAt?.origin ?? settingsFile, place: read.ok ? read.value.place : () => undefined },
    },
    rendering,
  );
  problems.push(...brought.problems);
  const kept = new Map([...gathered.files].filter(([path]) => !brought.consumed.has(path)));
  const { processed, texts, missing, warnings } = processEnvFiles({ sketches, files: kept, vars }, rendering, problems);
  const files = [
    ...[...kept].flatMap(([path, { entry, secret }]) => {
      if (entry.kind !== "file" || processed.sources.has(path)) return [];
      if (secret === undefined) return [placedFile(path, entry, texts.get(path))];
      return [{ path: placeFor(path), mode: processedMode, content: entry.content, digest: secret.digest, sealed: secret.sealed }];
    }),
    ...processed.files,
    ...brought.files,
    ...pins.map(({ path, text }) => placedFile(path, { executable: false, content: Buffer.from(text) }, undefined)),
  ].sort((a, b) => (shownPath(a.path) < shownPath(b.path) ? -1 : 1));
  const shared = [...kept.keys()].flatMap((path): Asset[] => {
    const placed = placeFor(path);
    const file = isUnitText(path) ? undefined : files.find((one) => one.path === placed);
    return file === undefined ? [] : [{ path, placed: [placed], digest: file.digest }];
  });
  const assets = (service: ServiceName) => [...shared, ...(processed.assets.get(service) ?? [])];
  const made = unitsOf(sketches, { assets, secrets: brought.assets });
  const units = read.ok ? withPhases(made, read.value.value) : made;
  problems.push(...doubles(units, draft));
  const origin = settingsAt?.origin ?? settingsFile;
  if (read.ok) problems.push(...strayPaces(units, { settings: read.value.value, origin, place: read.value.place }));
  const hostCommands = read.ok ? hostCommandsIn(read.value, origin) : [];
  const subject = { sketches: asInGit, files: gathered.files, placed: files, hostCommands, self: rendering.self !== undefined };
  const against = policy === undefined ? [] : violations(subjectOf(draft.application, subject), policy);
  const forbidden = against.filter(({ enforced }) => enforced).map(problemOf);
  // A secret that could not be made is none of the application's, and the policy then has it for another's.
  problems.push(...(forbidden.length > 0 ? brought.missing : []), ...forbidden);

  if (problems.length > 0 || !settings.ok) return trouble(problems);
  const own = settingsAt?.entry;
  const digest = digestOf(draft.application, ...files.flatMap((file) => [file.path, file.digest]), own?.kind === "file" ? own.content : "");
  const origins = new Map([
    ...[...draft.files, ...gathered.files].map(([path, { origin, linesBefore = 0, lines }]): [RelativePath, Origin] => [
      placeFor(path),
      { file: origin, linesBefore, lines },
    ]),
    ...brought.origins,
  ]);
  const { application } = draft;
  return success({
    application,
    origins,
    files,
    units,
    images,
    settings: settings.value,
    vars,
    missing: [...missing, ...brought.missing],
    warnings: [...warnings, ...brought.warnings, ...against.map(problemOf)],
    digest,
  });
}

/** What the policy judges: texts with variables filled in, before env files are pointed elsewhere. */
function subjectOf(
  application: Draft["application"],
  {
    sketches,
    files,
    placed,
    hostCommands,
    self,
  }: {
    readonly sketches: readonly Sketch[];
    readonly files: ReadonlyMap<RelativePath, Located>;
    readonly placed: readonly BundleFile[];
    readonly hostCommands: readonly HostCommand[];
    readonly self: boolean;
  },
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
    secrets: secretNamesIn(placed),
    hostCommands,
    self,
  };
}

/** Health checks that run on the host, by the section that asks for them. */
function hostCommandsIn(
  { value, place }: Extract<ReturnType<typeof readSettings>, { ok: true }>["value"],
  file: string,
): readonly HostCommand[] {
  return Object.entries(value.health).flatMap(([key, { command }]) =>
    command?.on === "host" ? [{ file, line: place(["health", key, "command"])?.line, section: `[health.${key}]` }] : [],
  );
}

function problemOf({ file, line, column, message }: Violation): Problem {
  return { file, line, column, message };
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

function readSettings(located: Located | undefined): ReturnType<typeof readTomlWithPlaces<typeof applicationSettings>> {
  if (located?.entry.kind !== "file") return readTomlWithPlaces("", settingsFile, applicationSettings);
  return readTomlWithPlaces(Buffer.from(located.entry.content).toString("utf8"), located.origin, applicationSettings);
}

function textsOf(
  application: ApplicationId,
  files: ReadonlyMap<RelativePath, Located>,
  { vars, problems }: { readonly vars: Vars; readonly problems: Problem[] },
): readonly Text[] {
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
    if (isPlainUnit(path)) return [{ path, origin, text: rendered, entries: parseUnit(rendered, "systemd") }];
    const own = withOwnPaths(rendered, path, { application: partsOf(application).application, files });
    return [{ path, origin, text: own, entries: parseUnit(own) }];
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

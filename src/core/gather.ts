/** The files of an application as they will be looked at: what is for people left out, instances and general drop-ins made into files of their own. */

import type { Problem } from "./bundle.ts";
import { dropInsOf } from "./drop-ins.ts";
import { encryptionOf, plainName } from "./encrypted.ts";
import { isDropIn, isUnitFile, isUnitText, type Located } from "./layout.ts";
import { isQuadletKind, isQuadletsFile, kindOf, templateOutput, traitsOf } from "./kinds.ts";
import type { RelativePath } from "./names.ts";
import { splitQuadlets } from "./quadlets-file.ts";
import { noTemplates, type Rendering, type TemplateRenderer } from "./rendering.ts";
import { takeSelf } from "./self-quadlet.ts";
import type { Vars } from "./substitute.ts";
import { lastValue, parseUnit } from "./unit-text.ts";

/** An application's own settings, in Git beside its quadlets; never placed on the host. */
export const settingsFile = "pgo.toml";

export interface Gathered {
  readonly files: ReadonlyMap<RelativePath, Located>;
  readonly problems: readonly Problem[];
}

export interface Gathering {
  /** Of templates, by the template's name without suffix (`web@`), as the application's pgo.toml lists them. */
  readonly instances: Readonly<Record<string, readonly string[]>>;
  /** For `.liquid` files. */
  readonly vars: Vars;
  readonly template: TemplateRenderer | undefined;
  readonly decrypted: Rendering["decrypted"];
  readonly self: Rendering["self"];
}

export function gather(files: ReadonlyMap<RelativePath, Located>, { instances, vars, template, decrypted, self }: Gathering): Gathered {
  const problems: Problem[] = [];
  const kept = new Map([...files].filter(([path]) => !isForPeople(path)).sort(([a], [b]) => (a < b ? -1 : 1)));
  takePlain(kept, decrypted, problems);
  renderTemplates(kept, { vars, template: template ?? noTemplates }, problems);
  if (self !== undefined) takeSelf(kept, self, problems);
  splitFiles(kept, problems);
  addInstances(kept, instances, problems);
  expandDropIns(kept, problems);
  return { files: kept, problems };
}

/** Files that only people read stay in Git. */
function isForPeople(path: string): boolean {
  const parts = path.split("/");
  const name = parts.at(-1) ?? "";
  return (
    path === settingsFile ||
    /^(?:README|LICENSE|LICENCE|CHANGELOG|CONTRIBUTING|COPYING)(?:\.[a-z]+)?$/i.test(name) ||
    parts.some((part) => part.startsWith(".git")) ||
    /^(?:\.pgoignore|\.editorconfig|\.DS_Store)$/.test(name) ||
    parts.some((part) => part === ".vscode" || part === ".idea") ||
    /(?:~|\.sw[op]|\.orig)$/.test(name)
  );
}

/** Puts what is encrypted in Git in plain in its place, without `.age`. What could not be decrypted has been told. */
function takePlain(files: Map<RelativePath, Located>, decrypted: Rendering["decrypted"], problems: Problem[]): void {
  for (const [path, located] of [...files]) {
    const { entry, origin } = located;
    const encryption = entry.kind === "file" ? encryptionOf(path, entry.content) : undefined;
    if (encryption === undefined || entry.kind !== "file") continue;
    files.delete(path);
    const plain = plainName(path, encryption) as RelativePath;
    const found = decrypted(path);
    if (isUnitText(plain) || templateOutput(plain) !== undefined)
      problems.push({ file: origin, line: undefined, message: "is encrypted, and a unit must be readable: encrypt what it names" });
    else if (files.has(plain))
      problems.push({ file: origin, line: undefined, message: `is ${plain} in plain, which is there too: remove one of them` });
    else if (found !== undefined)
      files.set(plain, { ...located, entry: { ...entry, executable: false, content: found.content ?? new Uint8Array() }, secret: found });
  }
}

function renderTemplates(
  files: Map<RelativePath, Located>,
  { vars, template }: { readonly vars: Vars; readonly template: TemplateRenderer },
  problems: Problem[],
): void {
  for (const [path, { entry, origin }] of [...files]) {
    const output = templateOutput(path) as RelativePath | undefined;
    if (output === undefined || entry.kind !== "file") continue;
    files.delete(path);
    const rendered = template(textOf(entry.content), vars, origin);
    if (!rendered.ok) problems.push(...rendered.trouble);
    else if (files.has(output))
      problems.push({ file: origin, line: undefined, message: `makes ${output}, which is there too: remove one of them` });
    else {
      const content = Buffer.from(rendered.value.text);
      files.set(output, { entry: { ...entry, content }, origin, lines: rendered.value.lines });
    }
  }
}

/** An instance is a file of its own with the template's text: systemd fills in `%i` by its name, and so does Podman's generator. */
function addInstances(
  files: Map<RelativePath, Located>,
  instances: Readonly<Record<string, readonly string[]>>,
  problems: Problem[],
): void {
  for (const [template, names] of Object.entries(instances)) {
    const base = template.replace(/@(?:\.[a-z]+)?$/, "");
    const found = [...files].find(([path]) => isUnitFile(path) && isTemplate(path) && baseName(path).startsWith(`${base}@.`));
    if (found === undefined) {
      problems.push({ file: settingsFile, line: undefined, message: `instances."${template}" names no template of this application` });
      continue;
    }
    const [path, located] = found;
    for (const name of names) {
      const instance = path.replace(/@(?=\.[a-z]+$)/, `@${name}`) as RelativePath;
      if (!files.has(instance)) files.set(instance, located);
    }
  }
}

/**
 * Drop-ins for more than one unit (`container.d/`, `web-.container.d/`, those of a template for its instances) would reach into other
 * applications, since the generator and systemd search them by name: each becomes one of every unit that it is meant for, beside it.
 */
function expandDropIns(files: Map<RelativePath, Located>, problems: Problem[]): void {
  const dropIns = new Map([...files].filter(([path]) => isDropIn(path)));
  if (dropIns.size === 0) return;
  const units = new Map(
    [...files].flatMap(([path, located]) => (isUnitFile(path) ? namesOf(path, located).map((name) => [name, path]) : [])),
  );
  const { applied, problems: strays } = dropInsOf([...units.keys()], [...dropIns.keys()]);
  for (const path of dropIns.keys()) files.delete(path);
  for (const [unit, own] of applied)
    for (const { origin, directory, name } of own) {
      const located = dropIns.get(origin);
      if (located !== undefined) files.set(`${directoryOf(units.get(unit) ?? "")}${directory}/${name}` as RelativePath, located);
    }
  for (const { file, message } of strays)
    problems.push({ file: dropIns.get(file as RelativePath)?.origin ?? file, line: undefined, message });
}

/** Several quadlets in one file: Podman's generator reads no such file, so they are placed apart. */
function splitFiles(files: Map<RelativePath, Located>, problems: Problem[]): void {
  for (const [path, { entry, origin }] of [...files]) {
    if (!isQuadletsFile(path) || entry.kind !== "file") continue;
    files.delete(path);
    const split = splitQuadlets(origin, textOf(entry.content));
    if (!split.ok) {
      problems.push(...split.trouble);
      continue;
    }
    for (const { name, text, offset } of split.value) {
      const part = `${directoryOf(path)}${name}` as RelativePath;
      const there = files.get(part);
      if (there !== undefined) problems.push({ file: origin, line: offset + 1, message: `holds ${name}, which ${there.origin} is too` });
      files.set(part, { entry: { kind: "file", executable: false, content: Buffer.from(text) }, origin, linesBefore: offset });
    }
  }
}

/** A unit's own name, and for a quadlet that of the service that comes of it: drop-ins of both are read. */
function namesOf(path: RelativePath, located: Located): readonly string[] {
  const name = baseName(path);
  const kind = kindOf(path);
  if (kind === undefined || !isQuadletKind(kind)) return [name];
  const { section, ends } = traitsOf(kind);
  const named = located.entry.kind === "file" ? lastValue(parseUnit(textOf(located.entry.content)), section, "ServiceName") : undefined;
  return [name, `${named ?? `${name.slice(0, name.lastIndexOf("."))}${ends}`}.service`];
}

/** `web@.container`: no unit, but what instances are made of. */
export function isTemplate(path: string): boolean {
  return /@\.[a-z]+$/.test(path);
}

function textOf(content: Uint8Array): string {
  return Buffer.from(content).toString("utf8");
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Judges an application by its source's policy: what its units may ask of the host, and which names are pgo's own. */

import type { ApplicationId, RelativePath } from "./names.ts";
import { placeFor, placeOf } from "./placing.ts";
import { isOpen, lists, type Policy, type Rule } from "./policy-config.ts";
import { isHarmless, judges, ownSection, references, styleOf, type JudgedSuffix } from "./policy-keys.ts";
import { argumentTrouble, oddLines, splitWords, unquoted } from "./policy-text.ts";
import { list, type Scene } from "./policy-values.ts";
import { placeIn } from "./position.ts";
import { lastValue, parseUnit, type Entry, type PlacedEntry } from "./unit-text.ts";

/** A quadlet with its drop-ins, as they would be placed. */
export interface PolicyUnit {
  /** Its file's base name: `web.container`. */
  readonly name: string;
  readonly suffix: JudgedSuffix;
  /** Below the application's directory: what relative paths start from. */
  readonly path: string;
  /** Its own text first, then its drop-ins' in the order in which they count; `file` as in Git. */
  readonly texts: readonly { readonly file: string; readonly text: string }[];
}

/** A section of pgo.toml that has a command run on the host. */
export interface HostCommand {
  /** As in Git. */
  readonly file: string;
  readonly line: number | undefined;
  readonly section: string;
}

export interface Subject {
  readonly application: ApplicationId;
  readonly units: readonly PolicyUnit[];
  /** All files that would be placed, by their path below the application; `file` as in Git. */
  readonly files: readonly { readonly path: string; readonly file: string }[];
  /** Those of the files that are units of systemd itself, or their drop-ins. */
  readonly plainUnits: readonly { readonly path: string; readonly file: string }[];
  /** Names of the Podman secrets that it brings. */
  readonly secrets?: ReadonlySet<string>;
  readonly hostCommands?: readonly HostCommand[];
  /** Whether it is pgo's own source, which alone may change pgo. */
  readonly self: boolean;
}

/** Something that the policy forbids. A Problem, with the rule; one that is not enforced is told only. */
export interface Violation {
  readonly file: string;
  readonly line: number | undefined;
  readonly column?: number | undefined;
  readonly message: string;
  readonly rule: Rule;
  readonly enforced: boolean;
}

/** All violations of an application, in the order of its units. What can't be read with certainty is a violation where any rule restricts. */
export function violations(subject: Subject, policy: Policy): readonly Violation[] {
  const foundBy = (found: readonly Found[], enforced: boolean) => found.map((one): Violation => ({ ...told(one, policy), enforced }));
  const enforced = policy.mode === "enforce";
  const ownNames = takenNames(subject);
  return [
    ...foundBy(ownNames, true),
    ...foundBy(hostCommands(subject, policy), enforced),
    ...(policy.restricts
      ? foundBy([...plainUnits(subject, policy), ...subject.units.flatMap((unit) => judgeUnit(unit, subject, policy))], enforced)
      : []),
  ];
}

interface Found {
  readonly file: string;
  readonly line: number | undefined;
  readonly column?: number | undefined;
  readonly rule: Rule;
  /** `PodmanArgs=`, or what else is meant. */
  readonly what: string;
  readonly why: string;
}

interface Placed extends PlacedEntry {
  readonly file: string;
}

function told({ rule, what, why, ...place }: Found, { from }: Policy): Omit<Violation, "enforced"> {
  if (rule === "own_names") return { ...place, rule, message: `${what} is pgo's own name (rule own_names): ${why}` };
  const of = rule === "syntax" ? "rule syntax" : `rule ${rule} of ${from[rule]}`;
  return { ...place, rule, message: `${what} is not allowed by policy (${of}): ${why}` };
}

function hostCommands({ hostCommands: commands = [] }: Subject, { rules }: Policy): readonly Found[] {
  if (rules.host_commands) return [];
  const why =
    "it runs on the host itself: run it in the container, ask for it in the host's own pgo.toml, or set host_commands = true there";
  return commands.map(({ section, ...place }) => ({
    ...place,
    rule: "host_commands",
    what: `command with on = "host" in ${section}`,
    why,
  }));
}

function plainUnits({ plainUnits: plain }: Subject, { rules }: Policy): readonly Found[] {
  if (rules.plain_units) return [];
  const why = "it runs on the host itself, outside of any container: use a quadlet";
  return plain.map(({ path, file }) => ({ file, line: undefined, rule: "plain_units", what: baseName(path), why }));
}

function judgeUnit(unit: PolicyUnit, subject: Subject, policy: Policy): readonly Found[] {
  const entries = unit.texts.flatMap(({ file, text }) => parseUnit(text).map((entry): Placed => ({ ...entry, file })));
  const scene: Scene = {
    policy,
    application: subject.application,
    path: unit.path,
    quadlets: new Set(subject.units.map(({ name }) => name)),
    secrets: subject.secrets ?? new Set(),
  };
  const own = ownUnits(subject);
  return [
    ...wholeUnit(unit, entries, policy),
    ...unit.texts.flatMap(({ file, text }) =>
      oddLines(text).map(({ line, what }): Found => ({ file, line, rule: "syntax", what: `line ${line}`, why: what })),
    ),
    ...entries.flatMap((entry) => {
      const found = entry.section === ownSection[unit.suffix] ? judgeOwn(entry, unit.suffix, scene) : judgeOther(entry, own, policy);
      return found === undefined ? [] : [{ file: entry.file, ...placeIn(entry), ...found }];
    }),
  ];
}

/** What a unit is, or lacks, rather than what one of its keys says. */
function wholeUnit({ name, suffix, texts }: PolicyUnit, entries: readonly Placed[], { rules }: Policy): readonly Found[] {
  const found = (rule: Rule, why: string, entry?: Placed): Found => ({
    file: entry?.file ?? texts[0]?.file ?? name,
    ...(entry === undefined ? { line: undefined } : placeIn(entry)),
    rule,
    what: entry === undefined ? name : `${entry.key}=${entry.value}`,
    why,
  });
  if (suffix === "kube" && !rules.kube) return [found("kube", "its Yaml may ask for anything of the host: use .container and .pod units")];
  if (suffix === "build" && !rules.builds)
    return [found("builds", "its Containerfile may use any image, and the host's network: use an image of a registry")];
  if (suffix !== "container" || rules.root_user) return [];
  const users = entries.filter(({ section, key }) => section === "Container" && key === "User");
  // A name may be root in the image's own /etc/passwd.
  const root = users.find(({ value }) => !/^[1-9]\d*(?::[\w-]+)?$/.test(unquoted(value)));
  if (users.length === 0) return [found("root_user", "it may run as root: set User= to the number of a user")];
  return root === undefined ? [] : [found("root_user", "it may be root: set User= to the number of a user other than 0", root)];
}

type Judgement = Pick<Found, "rule" | "what" | "why">;

function judgeOwn({ section, key, value }: Entry, suffix: JudgedSuffix, scene: Scene): Judgement | undefined {
  const { rules } = scene.policy;
  const listed = !rules.keys.includes("*") && rules.keys.includes(`${section}.${key}`);
  const judge = Object.hasOwn(judges[suffix], key) ? judges[suffix][key] : undefined;
  if (judge === undefined)
    return isOpen("keys", rules) || listed ? undefined : { rule: "keys", what: `${key}=`, why: unknown(section, key) };
  const refusal = judge(value, scene);
  if (refusal !== undefined && !(refusal.rule === "keys" && listed)) return { ...refusal, what: written(key, value) };
  const trouble = isOpen("keys", rules) ? undefined : argumentTrouble(value, styleOf(key));
  return trouble === undefined ? undefined : { rule: "keys", what: written(key, value), why: trouble };
}

function judgeOther({ section, key, value }: Entry, own: ReadonlySet<string>, { rules }: Policy): Judgement | undefined {
  if (isOpen("keys", rules) && isOpen("units", rules)) return undefined;
  const full = `${section}.${key}`;
  const allowed = Object.hasOwn(references, full) ? references[full] : undefined;
  if (allowed !== undefined) {
    if (isOpen("units", rules)) return undefined;
    const other = splitWords(value).find((word) => !own.has(plainInstance(word)) && !allowed.includes(word) && !lists(rules.units, word));
    if (other === undefined) return undefined;
    const but = allowed.length === 0 ? "units of this application" : `units of this application and ${list(allowed)}`;
    return { rule: "units", what: `[${section}] ${written(key, value)}`, why: `it may name ${but} only, not ${other}` };
  }
  if (isHarmless(section, key) || isOpen("keys", rules) || rules.keys.includes(full)) return undefined;
  return { rule: "keys", what: `[${section}] ${key}=`, why: unknown(section, key) };
}

function unknown(section: string, key: string): string {
  const why = section === "Service" ? "what [Service] says is done on the host" : "it is not known to be harmless";
  return `${why}: leave it out, or have "${section}.${key}" listed in keys`;
}

/** Names by which a unit would be pgo's, take its place or reach into it. */
function takenNames({ units, files, plainUnits: plain, application, self }: Subject): readonly Found[] {
  const why = "only pgo's own source may ship it ([self] source in the host's pgo.toml): give it another name";
  const isAllowed = (path: string): boolean => self && placeOf(placeFor(path as RelativePath)).place === "self";
  const found = (what: string, file: string, line?: number): Found => ({ file, line, rule: "own_names", what, why });
  const placed = [...files, ...plain].filter(
    ({ path }, index, everything) => isOwnPath(path) && !isAllowed(path) && everything.findIndex((one) => one.path === path) === index,
  );
  return [
    ...placed.map(({ path, file }) => found(path, file)),
    ...units.flatMap((unit) => {
      if (isAllowed(unit.path)) return [];
      const entries = unit.texts.flatMap(({ file, text }) => parseUnit(text).map((entry): Placed => ({ ...entry, file })));
      const shown = placed.some(({ path }) => path === unit.path);
      const byName = !shown && (unit.name === "pgo.container" || serviceOf(unit, entries) === "pgo.service");
      const named = entries.filter((entry) => entry.section === ownSection[unit.suffix] && takesName(entry, unit));
      return [
        ...named.map(({ key, value, file, line }) => found(written(key, value), file, line)),
        ...(byName && named.length === 0
          ? [
              found(
                serviceOf(unit, entries) === "pgo.service" ? `pgo.service, which ${unit.name} makes,` : unit.name,
                unit.texts[0]?.file ?? application,
              ),
            ]
          : []),
      ];
    }),
  ];
}

/** `pgo.container`, `pgo.container.d/…`, `pgo.service`, `pgo.timer` (which starts it), a directory `pgo-self`. */
function isOwnPath(path: string): boolean {
  const parts = path.split("/");
  return parts.some((part, index) =>
    index === parts.length - 1
      ? /^pgo\.(?:container|service|socket|timer|path)$/.test(part)
      : /^(?:pgo-self|pgo\.(?:container|service)\.d)$/.test(part),
  );
}

function takesName({ key, value }: Entry, { name }: PolicyUnit): boolean {
  // The last part: the generator makes a path of a service's name.
  const text = unquoted(value).trim();
  switch (key) {
    case "ServiceName":
      return text.split("/").at(-1) === "pgo";
    case "ContainerName":
    case "PodName":
      return withSpecifiers(text, name) === "pgo";
    case "ImageTag":
      return /^localhost\/pgo(?:[:@]|$)/.test(text);
    default:
      return false;
  }
}

/** As far as a unit's name says what they stand for (systemd.unit(5), "Specifiers"). */
function withSpecifiers(text: string, name: string): string {
  const stem = name.slice(0, name.lastIndexOf("."));
  const [prefix = "", instance = ""] = stem.split("@");
  const last = prefix.split("-").at(-1) ?? "";
  const meaning: Readonly<Record<string, string>> = { N: stem, p: prefix, P: prefix, i: instance, I: instance, j: last, J: last, "%": "%" };
  return text.replace(/%(.)/g, (all, letter: string) => meaning[letter] ?? all);
}

const serviceSuffix: Readonly<Record<JudgedSuffix, string>> = {
  ...{
    container: "",
    kube: "",
    pod: "-pod",
    volume: "-volume",
    network: "-network",
    image: "-image",
    build: "-build",
    artifact: "-artifact",
  },
};

function serviceOf({ name, suffix }: PolicyUnit, entries: readonly Entry[]): string {
  const named = lastValue(entries, ownSection[suffix], "ServiceName");
  return `${named === undefined ? `${name.slice(0, name.lastIndexOf("."))}${serviceSuffix[suffix]}` : unquoted(named)}.service`;
}

/** Every name of the application's own units; of templates without the instance. */
function ownUnits({ units, plainUnits: plain }: Subject): ReadonlySet<string> {
  const services = units.map((unit) =>
    serviceOf(
      unit,
      unit.texts.flatMap(({ text }) => parseUnit(text)),
    ),
  );
  return new Set([...units.map(({ name }) => name), ...services, ...plain.map(({ path }) => baseName(path))].map(plainInstance));
}

function plainInstance(name: string): string {
  return name.replace(/@[^@]*(?=\.[a-z]+$)/, "@");
}

/** As it stands in the file, when that is short enough to be read in a message, and no secret. */
function written(key: string, value: string): string {
  const isShort = value.length <= 60 && !["Environment", "Creds", "Label", "Exec", "HealthCmd", "BuildArg"].includes(key);
  return isShort ? `${key}=${value}` : `${key}=`;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

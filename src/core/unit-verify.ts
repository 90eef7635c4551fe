/** What `systemd-analyze verify` says of plain units: whose file a message is about, in which line, and who falls by it. */

import type { Bundle, Problem } from "./bundle.ts";
import { unitsIn } from "./generator.ts";
import { isDropIn } from "./layout.ts";
import { isPlainKind, kindOf } from "./kinds.ts";
import type { ApplicationId, RelativePath } from "./names.ts";
import type { Court } from "./judgement.ts";
import { marked, placeOf } from "./placing.ts";
import { placeIn } from "./position.ts";
import { adviseOnUnit } from "./systemd-keys.ts";
import { parseUnit, type PlacedEntry } from "./unit-text.ts";

/** One message about one file, or about one unit where it names no file. */
export interface UnitFinding {
  /** Below systemd's unit directory: `tidy.timer`, `web.service.d/10.conf`. */
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly unit: string | undefined;
  readonly message: string;
  /** systemd itself passes over a bad value and goes on: what was meant is then not so, which makes it an error here. */
  readonly severity: "error" | "warning";
}

export interface UnitReport {
  readonly findings: readonly UnitFinding[];
  /** Lines that are about no unit: why it does not work, if it does not. */
  readonly unread: readonly string[];
}

/** What is to be verified, and what it is to find there. */
export interface UnitStage {
  /** Plain units and their drop-ins, by their path below systemd's unit directory. */
  readonly units: ReadonlyMap<string, Uint8Array>;
  /** Units that the generator makes, by name: found where a plain one names them. */
  readonly made: ReadonlyMap<string, string>;
  /** Units to be verified. */
  readonly names: readonly string[];
}

/** One run of it. */
export interface UnitVerification {
  /** 0 or 1 where it works, whatever it finds; undefined where it could not be run or did not end. */
  readonly code: number | undefined;
  /** Lines with their severity before them (sd-daemon(3)): `<28>PATH:LINE: …`; or why there are none. */
  readonly output: string;
  /** The staging directory as the output names it; the stage's units lie in `units` below it, the made ones in `made`. */
  readonly root: string;
}

/**
 * `generated`: what the generator's dry run printed. Undefined where no candidate brings a plain unit or a drop-in of one. A drop-in's unit
 * is verified with it, also where it is a quadlet's service.
 */
export function stageOf(court: Court, generated: string): UnitStage | undefined {
  const units = new Map([...court.staged().values()].flatMap(plainFiles));
  const made = new Map(unitsIn(generated).map(({ service, text }): [string, string] => [service, text]));
  const isThere = (name: string): boolean => [name, templateOf(name)].some((one) => units.has(one) || made.has(one));
  const brought = court.admitted().flatMap((bundle) => plainFiles(bundle).map(([path]) => path.split("/")[0]?.replace(/\.d$/, "") ?? ""));
  const names = [...new Set(brought)].filter(isThere).sort();
  return names.length === 0 ? undefined : { units, made, names };
}

/**
 * Refuses what would not do as it says. Answers whether anybody fell. `directory`: where quadlets and what lies beside them will be on the
 * host; a program that comes with the application is there only after it was placed.
 */
export function weighUnits(court: Court, verification: UnitVerification, directory: string): boolean {
  const admitted = court.admitted();
  const staged = court.staged();
  const report = readVerifier(verification);
  const unable = inability(verification, report);
  for (const bundle of admitted) {
    const plain = plainFiles(bundle).map(([path]) => marked("unit", path));
    const [first] = plain;
    if (first === undefined) continue;
    if (unable !== undefined) {
      court.warnToo(bundle, [{ file: placeOf(first).path, line: undefined, message: unable }]);
      continue;
    }
    const own = report.findings.flatMap((one): readonly Located[] => {
      const finding = onceItIsPlaced(one, staged, directory);
      const file = finding === undefined ? undefined : fileOf(finding, bundle);
      return finding === undefined || file === undefined ? [] : [{ finding, file }];
    });
    const isFaulty = (file: RelativePath): boolean => own.some((one) => one.file === file && one.finding.severity === "error");
    // What systemd passes over may be why the rest does not hold together: a misspelt ExecStart=.
    const problems = own.filter(({ finding, file }) => finding.severity === "error" || (isFaulty(file) && isUnknown(finding)));
    court.refuseWith(bundle, withoutConsequences(problems).map(told(bundle)));
    const warnings = own.filter(({ finding }) => finding.severity === "warning").map(told(bundle));
    court.warnToo(
      bundle,
      warnings.map((one) => ({ ...one, file: placeOf(one.file as RelativePath).path })),
    );
  }
  return court.admitted().length < admitted.length;
}

/**
 * Reads its output, as systemd 257 and 262 word it with SYSTEMD_LOG_TARGET=console-prefixed: `<N>FILE:LINE: …`, `<N>UNIT: …`,
 * `<N>Unit UNIT has a bad unit file setting.`, where N's last three bits are the level of syslog(3). Messages about units that are not
 * staged, the host's own, are left out.
 */
export function readVerifier({ output, root }: Pick<UnitVerification, "output" | "root">): UnitReport {
  const findings: UnitFinding[] = [];
  const unread: string[] = [];
  const seen = new Set<string>();
  for (const line of output.split("\n")) {
    if (line.trim() === "" || seen.has(line)) continue;
    seen.add(line);
    const [, priority = "", text = line] = /^<(\d+)>(.*)$/.exec(line) ?? [];
    const level = Number(priority) & 7;
    const located = /^(\/.*?):(\d+): (.*)$/.exec(text);
    const unit = located === null ? /^(Unit )?([^\s:]+\.[a-z]+):? (.*)$/.exec(text) : null;
    if (priority !== "" && located !== null) {
      const [, path = "", at = "", message = ""] = located;
      if (!path.startsWith(`${root}/units/`)) continue;
      findings.push({
        file: path.slice(`${root}/units/`.length),
        line: Number(at),
        unit: undefined,
        message,
        severity: weight(level, message),
      });
    } else if (priority !== "" && unit !== null && isPlain(unit[2] ?? "")) {
      // Notices only repeat that a located error is fatal.
      if (level > warningLevel) continue;
      const [, whole, name = "", rest = ""] = unit;
      const message = whole === undefined ? rest : `it ${rest}`;
      const severity = level < warningLevel ? "error" : "warning";
      findings.push({ file: undefined, line: undefined, unit: name.replace("@test_instance.", "@."), message, severity });
    } else {
      unread.push(text);
    }
  }
  return { findings, unread };
}

/** LOG_WARNING of syslog(3). */
const warningLevel = 4;

/** Unknown keys are what a newer systemd knows; of a bad value systemd says that it ignores it, of an old-fashioned one that it takes it. */
function weight(level: number, message: string): UnitFinding["severity"] {
  if (level < warningLevel) return "error";
  const ignored = level === warningLevel && /ignoring/i.test(message) && !/^(?:Unknown (?:key|section)|Invalid URL)/.test(message);
  return ignored ? "error" : "warning";
}

/** Why it could not judge, in words for people; undefined where it could. */
function inability({ code, output }: UnitVerification, { findings, unread }: UnitReport): string | undefined {
  if (code === 0 || (code === 1 && findings.length > 0)) return undefined;
  const why = unread[0] ?? (output.trim() || `exit code ${String(code)}`);
  return `systemd-analyze verify could not look at it (${why}): a bad value shows only when the unit is started`;
}

function isUnknown({ message }: UnitFinding): boolean {
  return /^Unknown (?:key|section)/.test(message);
}

interface Located {
  readonly finding: UnitFinding;
  readonly file: RelativePath;
}

/** "Timer unit lacks value setting. Refusing." says nothing new where the one value it has is a bad one. */
function withoutConsequences(all: readonly Located[]): readonly Located[] {
  return all.filter(({ finding, file }, at) => {
    const others = all.filter((one, other) => other !== at && one.file === file && one.finding.severity === "error");
    if (finding.unit === undefined || others.length === 0) return true;
    if (finding.message === "it has a bad unit file setting.") return false;
    return !(finding.message.endsWith(" Refusing.") && others.some((one) => one.finding.line !== undefined));
  });
}

/** A message that names no line gets that of the key, or of the program, that it names. */
function told(bundle: Bundle): (one: Located) => Problem {
  return ({ finding, file }) => {
    const message = `${finding.message}${adviseOnUnit(finding.message)}`;
    if (finding.line !== undefined) {
      const { line } = finding;
      const entry = parseUnit(textOf(file, bundle), "systemd").find((one) => one.line === line);
      return entry === undefined ? { file, line, message } : { file, ...placeIn(entry), message };
    }
    const dropIns = bundle.units.find((unit) => unit.file === file)?.files.filter(isDropIn) ?? [];
    // The last of them counts.
    for (const path of [...dropIns.toReversed(), file]) {
      const entry = entryFor(finding.message, parseUnit(textOf(path, bundle), "systemd"));
      if (entry !== undefined) return { file: path, ...placeIn(entry), message };
    }
    return { file, line: undefined, message };
  };
}

function entryFor(message: string, entries: readonly PlacedEntry[]): PlacedEntry | undefined {
  const program = programIn(message);
  if (program !== undefined) return entries.find(({ key, value }) => key.startsWith("Exec") && value.includes(program));
  const key = /\b([A-Z]\w*)=/.exec(message)?.[1];
  return entries.findLast((entry) => entry.key === key);
}

function programIn(message: string): string | undefined {
  return /^Command (.*) is not executable/.exec(message)?.[1];
}

/** A program that comes with an application is not there yet: Git says whether it is executable. Undefined where there is nothing to tell. */
function onceItIsPlaced(finding: UnitFinding, staged: ReadonlyMap<ApplicationId, Bundle>, directory: string): UnitFinding | undefined {
  const program = programIn(finding.message);
  if (program?.startsWith(`${directory}/`) !== true) return finding;
  for (const [application, { files }] of staged) {
    const found = files.find(({ path }) => program === `${directory}/${application}/${path}`);
    if (found === undefined) continue;
    if ((found.mode & 0o111) !== 0) return undefined;
    return { ...finding, message: `Command ${program} is not executable in Git: git update-index --chmod=+x, or chmod +x and commit` };
  }
  return finding;
}

/** The bundle's file that a finding is about; a unit's is its template's where it has none of its own, and its quadlet's for a service of one. */
function fileOf({ file, unit }: UnitFinding, bundle: Bundle): RelativePath | undefined {
  const has = (path: string): RelativePath | undefined => bundle.files.find((one) => one.path === marked("unit", path))?.path;
  if (file !== undefined) return has(file);
  if (unit === undefined) return undefined;
  return has(unit) ?? has(templateOf(unit)) ?? bundle.units.find(({ service }) => service === unit)?.file;
}

function plainFiles(bundle: Bundle): readonly [string, Uint8Array][] {
  return bundle.files.flatMap(({ path, content }): readonly [string, Uint8Array][] => {
    const { place, path: below } = placeOf(path);
    return place === "unit" ? [[below, content]] : [];
  });
}

function templateOf(name: string): string {
  return name.replace(/@.+(?=\.[a-z]+$)/, "@");
}

function isPlain(name: string): boolean {
  const kind = kindOf(name);
  return kind !== undefined && isPlainKind(kind);
}

function textOf(path: RelativePath, bundle: Bundle): string {
  return Buffer.from(bundle.files.find((file) => file.path === path)?.content ?? "").toString("utf8");
}

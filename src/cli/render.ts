/** Reports as text for people: pure, one function for each of ctl's answers. Colours come on top of words, never instead. */

import type { Problem } from "../core/bundle.ts";
import type { Health } from "../core/health.ts";
import type {
  ApplicationStatus,
  CommandReport,
  EventEntry,
  PlannedApplication,
  PlanReport,
  SourceStatus,
  StatusReport,
  UnitStatus,
} from "../core/report.ts";
import type { SyncReport, VersionReport } from "../core/report.ts";
import type { Outcome } from "../core/rollout.ts";
import { absolute, paint, relative, table, wrap, type Cell, type Tone, type View } from "./text.ts";

/** `resources`: with what each unit's containers use. */
export function renderStatus(report: StatusReport, view: View, resources = false): string {
  const { host, version, healthy, trouble, healed, sources, applications, pulls } = report;
  const word = healthy ? paint("healthy", "good", view) : paint("not healthy", "bad", view);
  const rows = applications.map((one) => [
    { text: label(one, applications), tone: "bold" as const },
    toned(one.health, healthTones[one.health]),
    toned(one.outcome, outcomeTones[one.outcome]),
    relative(one.since, view.now),
    { text: short(one.revision), tone: "dim" as const },
  ]);
  const lines = table(rows, 2, view);
  return joined([
    `${paint(host, "bold", view)}: ${word}${paint(`  (pgo ${version})`, "dim", view)}`,
    ...(trouble === null ? [] : wrap(`${trouble}. What follows is what was last seen`, 2, view)),
    ...(healed === null ? [] : wrap(`${relative(healed.since, view.now)}: ${healed.message}`, 2, view)),
    "",
    heading("SOURCES", view),
    ...(sources.length === 0
      ? wrap("none was read yet: the first look is under way, or pgo.toml has no [[source]]", 2, view)
      : sourceLines(sources, view)),
    "",
    heading("APPLICATIONS", view),
    ...(applications.length === 0
      ? ["  none"]
      : applications.flatMap((one, index) => {
          const isAll = sources.some(({ name, suspended }) => name === one.source && suspended !== null);
          const resume = isAll ? one.source : label(one, applications);
          return [lines[index] ?? "", ...details({ ...one, resume, resources }, applications, view)];
        })),
    ...(pulls.length === 0 ? [] : ["", ...pulls.flatMap(({ message }) => wrap(message, 0, view))]),
  ]);
}

function sourceLines(sources: readonly SourceStatus[], view: View): string[] {
  const rows = sources.map(({ name, state, revision, tag, checkedAt }) => [
    { text: name, tone: "bold" as const },
    toned(state, state === "ok" ? "good" : "bad"),
    { text: tag === null ? short(revision) : `${tag} ${short(revision)}`, tone: "dim" as const },
    checkedAt === null ? "not looked at yet" : `looked at ${relative(checkedAt, view.now)}`,
  ]);
  const lines = table(rows, 2, view);
  return sources.flatMap(({ name, message, suspended }, index) => {
    const until = suspended?.until ?? null;
    const rest = until === null ? "" : `; goes on ${relative(until, view.now)}`;
    return [
      lines[index] ?? "",
      ...(message === null ? [] : wrap(message, 4, view)),
      ...(suspended === null ? [] : wrap(`suspended with all its applications${rest}. To go on now: ctl resume ${name}`, 4, view)),
    ];
  });
}

/** What there is to say of an application below its line: units, and why it is not as it should be, with the command that helps. */
function details(
  one: ApplicationStatus & { readonly resume: string; readonly resources: boolean },
  all: readonly ApplicationStatus[],
  view: View,
): string[] {
  const { held, quarantined, suspended } = one;
  const target = label(one, all);
  const notes = [
    one.message !== null && one.message !== held?.why && one.message !== quarantined?.reason ? one.message : undefined,
    one.phase === null ? undefined : `rollout under way: ${one.phase}`,
    held === null || (suspended !== null && held.why.startsWith("suspended"))
      ? undefined
      : `held: ${held.why}${held.until === null ? "" : ` (tried again ${whenNext(held.until, view)})`}`,
    quarantined === null
      ? undefined
      : `quarantined ${relative(quarantined.since, view.now)}: ${quarantined.reason}. Not tried again before a new commit changes it, or: ctl retry ${target}`,
    suspended === null
      ? undefined
      : `${held?.why.startsWith("suspended") === true ? held.why : "suspended"}${suspended.until === null ? "" : `; goes on ${relative(suspended.until, view.now)}`}. To go on now: ctl resume ${one.resume}`,
    ...one.images.map(({ file, image, held: pin }) => `${file}: ${image} is held at ${pin}`),
    one.pin === null
      ? undefined
      : `stays on this revision (ctl rollback) until ${one.pin.until === "until-resumed" ? "" : "a commit changes it, or "}ctl resume ${target}`,
  ].filter((note) => note !== undefined);
  const units = table(
    one.units.map(({ service, active, health, checkedBy }) => [
      service,
      toned(active, active === "active" ? "good" : active === "failed" ? "bad" : "care"),
      toned(health, healthTones[health]),
      { text: `by ${checkedBy}`, tone: "dim" as const },
    ]),
    4,
    view,
  );
  return [
    ...one.units.flatMap((unit, index) => [
      units[index] ?? "",
      ...(unit.message === null ? [] : wrap(unit.message, 6, view)),
      ...(one.resources ? resourceLines(unit.resources, view) : []),
    ]),
    ...notes.flatMap((note) => wrap(note, 4, view, 2)),
  ];
}

function resourceLines(resources: UnitStatus["resources"], view: View): string[] {
  if (resources === null) return [];
  const { at, message, lacking } = resources;
  return [...wrap(`${message} (${relative(at, view.now)})`, 6, view), ...lacking.flatMap((line) => wrap(line, 6, view))];
}

/** With the time itself where it is a while until then. */
function whenNext(time: string, view: View): string {
  const ms = Date.parse(time) - view.now.getTime();
  if (ms <= 0) return "at the next pass";
  return ms < 3_600_000 ? relative(time, view.now) : `${relative(time, view.now)}, ${absolute(time)}`;
}

export function renderPlan({ applications }: PlanReport, view: View): string {
  const count = (state: PlannedApplication["state"]): number => applications.filter((one) => one.state === state).length;
  const told = applications.filter(({ state, message }) => state !== "in-sync" || message !== null);
  const summary = (["in-sync", "pending", "held", "rejected"] as const)
    .filter((state) => count(state) > 0)
    .map((state) => paint(`${String(count(state))} ${state === "in-sync" ? "in sync" : state}`, planTones[state], view));
  return joined([
    ...told.flatMap((one) => [...plannedLines(one, label(one, applications), view), ""]),
    summary.length === 0 ? "no applications" : `applications: ${summary.join(", ")}`,
    ...(count("pending") > 0 ? [paint("nothing was changed; to apply it now: ctl sync --wait", "dim", view)] : []),
  ]);
}

function plannedLines({ state, message, steps, diff, problems }: PlannedApplication, name: string, view: View): string[] {
  const rows = steps.map(({ kind, target, because }) => [kind, target, { text: because, tone: "dim" as const }]);
  return [
    `${paint(name, "bold", view)}: ${paint(state, planTones[state], view)}`,
    ...(message === null ? [] : wrap(message, 2, view)),
    ...problems.flatMap(({ file, line, message: text }) => wrap(problemLine({ file, line: line ?? undefined, message: text }), 2, view, 2)),
    ...table(rows, 2, view),
    ...(diff === ""
      ? []
      : [
          "",
          ...diff
            .trimEnd()
            .split("\n")
            .map((line) => paint(`  ${line}`, diffTone(line), view)),
        ]),
  ];
}

function diffTone(line: string): Tone | undefined {
  if (/^(?:---|\+\+\+|===|Index:|diff )/.test(line)) return "bold";
  if (line.startsWith("@@")) return "dim";
  if (line.startsWith("+")) return "good";
  return line.startsWith("-") ? "bad" : undefined;
}

export function renderSync({ waited, sources, applications }: SyncReport, view: View): string {
  if (!waited) return joined(["asked for; to see what comes of it: ctl status, ctl events --follow, or ctl sync --wait"]);
  const rows = applications.map((one) => [
    { text: label(one, applications), tone: "bold" as const },
    toned(one.outcome, outcomeTones[one.outcome]),
  ]);
  const lines = table(rows, 0, view);
  return joined([
    ...sources.flatMap(({ name, state, revision, message }) => [
      `${paint(name, "bold", view)}: ${paint(state, state === "ok" ? "good" : "bad", view)} ${paint(short(revision), "dim", view)}`.trimEnd(),
      ...(message === null ? [] : wrap(message, 2, view)),
    ]),
    ...applications.flatMap(({ message }, index) => [lines[index] ?? "", ...(message === null ? [] : wrap(message, 2, view))]),
  ]);
}

/** Oldest first, as a log is read. `clock`: the time of day instead of how long ago, for --follow. */
export function renderEvents(events: readonly EventEntry[], view: View, clock = false): string {
  if (events.length === 0 && !clock) return joined(["no events"]);
  const shown = events.toReversed().map((one) => ({ ...one, when: clock ? one.time.slice(11, 19) : relative(one.time, view.now) }));
  const width = Math.max(...shown.map(({ when }) => when.length));
  return joined(
    shown.flatMap(({ when, type, message, deployment }) => {
      const [first = "", ...rest] = wrap(
        `${type}: ${message}${deployment === null || message.endsWith(`ctl show ${String(deployment)}`) ? "" : ` (ctl show ${String(deployment)})`}`,
        width + 2,
        view,
      );
      return [`${paint(when.padEnd(width), "dim", view)}  ${first.trimStart()}`, ...rest];
    }),
  );
}

export function renderCommand({ message }: CommandReport, view: View): string {
  return joined(wrap(message, 0, view));
}

export function renderVersion({ version, node, podman }: VersionReport): string {
  return joined([`pgo ${version}`, `Node.js ${node}`, podman === null ? "Podman does not answer" : `Podman ${podman}`]);
}

/** "/etc/pgo/pgo.toml:4: interval must be …" */
export function problemLine({ file, line, message }: Problem): string {
  return `${file}:${line === undefined ? "" : `${String(line)}:`} ${message}`;
}

const healthTones: Readonly<Record<Health, Tone>> = {
  healthy: "good",
  unhealthy: "bad",
  starting: "care",
  waiting: "care",
  unknown: "care",
};

export const outcomeTones: Readonly<Record<Outcome, Tone>> = {
  "in-sync": "good",
  deployed: "good",
  repaired: "good",
  held: "care",
  "rolled-back": "care",
  rejected: "bad",
  failed: "bad",
  "source-failed": "bad",
};

const planTones: Readonly<Record<PlannedApplication["state"], Tone>> = {
  "in-sync": "good",
  pending: "care",
  held: "care",
  rejected: "bad",
};

export const toned = (text: string, tone: Tone | undefined): Cell => ({ text, tone });

export const heading = (text: string, view: View): string => paint(text, "dim", view);

export const short = (revision: string | null): string => (revision === null ? "-" : revision.slice(0, 7));

/** The name, with its source where another application has the same: what a command takes as TARGET. */
export function label(one: { readonly name: string; readonly source: string }, all: readonly { readonly name: string }[]): string {
  return all.filter(({ name }) => name === one.name).length > 1 ? `${one.source}/${one.name}` : one.name;
}

export const joined = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");

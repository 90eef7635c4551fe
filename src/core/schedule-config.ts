/** What pgo.toml says of when a change may go: `[schedule]` of the host, of a source and of an application, and the application's own in Git. */

import { Cron } from "croner";
import { z } from "zod";

import { closest } from "./closest.ts";
import { duration, positive } from "./config-values.ts";
import { partsOf, type ApplicationId } from "./names.ts";
import { openings, type Freeze, type Timing, type Window } from "./schedule.ts";

const zone = z
  .string()
  .superRefine((name, context) => {
    if (isZone(name)) return;
    const meant = closest(name, Intl.supportedValuesOf("timeZone"));
    const message = `must be a time zone like "Europe/Berlin"${meant === undefined ? "" : ` (did you mean "${meant}"?)`}`;
    context.addIssue({ code: "custom", message });
  })
  .default("UTC")
  .describe("Time zone of it, such as Europe/Berlin.");

const maintenanceWindow = z
  .strictObject({
    cron: z.string().describe('When it opens, as five fields of cron: "0 2 * * SUN" is on Sundays at 2 o\'clock.'),
    duration: positive.describe("How long it stays open."),
    zone,
  })
  .superRefine((found, context) => {
    const message = isZone(found.zone) ? faultOfCron(found.cron) : undefined;
    if (message !== undefined) context.addIssue({ code: "custom", path: ["cron"], message });
  });

const freeze = z
  .strictObject({
    from: z.string().superRefine(local).describe('First day, "2026-12-20", or first moment, "2026-12-20T18:00".'),
    to: z.string().superRefine(local).describe("Last day, which is part of it, or the moment when it ends."),
    zone,
    reason: z.string().min(1).optional().describe("Told with what waits."),
  })
  .superRefine((found, context) => {
    const ends = momentOf(found.to, "end", found);
    const begins = momentOf(found.from, "begin", found);
    if (begins !== undefined && ends !== undefined && ends <= begins)
      context.addIssue({ code: "custom", path: ["to"], message: "must be later than from" });
  });

/** What an application in Git may ask for: it binds beside what the host says, and so can only narrow it. */
const narrowing = {
  windows: z.array(maintenanceWindow).optional().describe("Times in which changes go, one of them is enough. Default: at any time."),
  freeze: z.array(freeze).optional().describe("Times in which no change goes, also within a window."),
  min_age: duration.optional().describe("How long this host must have known a change before it goes; other hosts may try it meanwhile."),
};

/** One level of the host's: what it doesn't say is said by the one around it. */
export const scheduleLayer = z.strictObject({
  ...narrowing,
  jitter: duration.optional().describe("A change goes at a moment of this time that chance picks, once for each change on each host."),
  urgent_trailer: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9-]*$/, 'must be a Git trailer\'s name, such as "Pgo-Urgent"')
    .optional()
    .describe("A commit with this trailer goes at once. Default: none does."),
});
export type ScheduleLayer = z.infer<typeof scheduleLayer>;

/** `[schedule]` of an application's own pgo.toml. */
export const ownSchedule = z.strictObject(narrowing);
export type OwnSchedule = z.infer<typeof ownSchedule>;

/** Where the host's levels are. */
export interface Scheduled {
  readonly schedule: ScheduleLayer;
  readonly sources: readonly { readonly name: string; readonly schedule?: ScheduleLayer | undefined }[];
  readonly applications: ReadonlyMap<string, { readonly schedule?: ScheduleLayer | undefined }>;
}

/**
 * What binds an application. On the host, the most specific level that names a key decides it alone: its `[application.NAME]`, then its
 * source, then `[schedule]`; `windows = []` takes them away. What the application's own pgo.toml asks for comes on top.
 */
export function timingOf(id: ApplicationId, host: Scheduled, own: OwnSchedule | undefined): Timing {
  const levels = levelsOf(id, host);
  const decided = <K extends keyof ScheduleLayer>(key: K): ScheduleLayer[K] => levels.find((level) => level[key] !== undefined)?.[key];
  return {
    windows: [decided("windows") ?? [], own?.windows ?? []].filter((list: readonly Window[]) => list.length > 0),
    freezes: [...(decided("freeze") ?? []), ...(own?.freeze ?? [])].flatMap(freezeOf),
    minAge: Math.max(decided("min_age") ?? 0, own?.min_age ?? 0),
    jitter: decided("jitter") ?? 0,
  };
}

/** The trailer that makes a commit urgent for an application; undefined: none. */
export function urgentTrailer(id: ApplicationId, host: Scheduled): string | undefined {
  return levelsOf(id, host).find((level) => level.urgent_trailer !== undefined)?.urgent_trailer;
}

/** For people: the next three times that each level with windows of its own leaves open. */
export function nextWindows({ schedule, sources, applications }: Scheduled, now: Date): readonly string[] {
  const levels: readonly (readonly [string, ScheduleLayer | undefined])[] = [
    ["[schedule]", schedule],
    ...sources.map((source) => [`source ${source.name}`, source.schedule] as const),
    ...[...applications].map(([name, application]) => [`application ${name}`, application.schedule] as const),
  ];
  return levels.flatMap(([name, level]) => {
    const windows = level?.windows ?? [];
    if (windows.length === 0) return [];
    const freezes = (level?.freeze ?? schedule.freeze ?? []).flatMap(freezeOf);
    const next = openings({ windows: [windows], freezes, minAge: 0, jitter: 0 }, now, 3);
    const spans = next.map(({ from, to }) => `${minuteOf(from)} to ${to === undefined ? "further notice" : minuteOf(to)}`);
    return [`${name}: ${spans.length === 0 ? "its windows never open" : `open ${spans.join(", ")} (UTC)`}`];
  });
}

function minuteOf(time: Date): string {
  return time.toISOString().slice(0, 16).replace("T", " ");
}

function levelsOf(id: ApplicationId, { schedule, sources, applications }: Scheduled): readonly ScheduleLayer[] {
  const { source, application } = partsOf(id);
  return [applications.get(application)?.schedule, sources.find(({ name }) => name === source)?.schedule, schedule].filter(
    (level) => level !== undefined,
  );
}

function freezeOf(raw: z.infer<typeof freeze>): readonly Freeze[] {
  const [from, to] = [momentOf(raw.from, "begin", raw), momentOf(raw.to, "end", raw)];
  return from === undefined || to === undefined ? [] : [{ from, to, reason: raw.reason }];
}

const localTime = /^(\d{4})-(\d\d)-(\d\d)(?:[T ]([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?)?$/;

function local(text: string, context: z.RefinementCtx): void {
  const [, year, month, day] = localTime.exec(text) ?? [];
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  // 30 February would be 2 March.
  if (day !== undefined && date.getUTCMonth() === Number(month) - 1 && date.getUTCDate() === Number(day)) return;
  context.addIssue({
    code: "custom",
    message: 'must be a day like "2026-12-20" or a moment like "2026-12-20T18:00", in the time of its zone',
  });
}

/** The moment in the zone; as an end, a day stands for the end of it. */
function momentOf(text: string, edge: "begin" | "end", at: { readonly zone: string }): Date | undefined {
  const [, year, month, day, hour, minute = "00", second = "00"] = localTime.exec(text) ?? [];
  if (day === undefined || !isZone(at.zone)) return undefined;
  const last = hour === undefined && edge === "end" ? 1 : 0;
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day) + last)).toISOString().slice(0, 10);
  // An hour that the change to summer time leaves out is taken for the one after it (croner, found by trying).
  return new Cron(`${date}T${hour ?? "00"}:${minute}:${second}`, { timezone: at.zone }).nextRun(new Date(0)) ?? undefined;
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** Croner's words behind its own preamble. */
function faultOfCron(expression: string): string | undefined {
  try {
    const first = new Cron(expression, { mode: "5-part", timezone: "UTC" }).nextRun(new Date(0));
    return first === null ? "must come at some time: no day is like that" : undefined;
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    const reason = error.message.replace(/^CronPattern: /, "");
    return `must be five fields of cron, minute, hour, day, month and day of the week, like "0 2 * * SUN": ${reason}`;
  }
}

/** Deployments as text for people: the list of `ctl history` and the whole of one, `ctl show`. */

import type { HistoryEntry } from "../core/report.ts";
import { heading, joined, outcomeTones, short, toned } from "./render.ts";
import { absolute, paint, relative, span, table, wrap, type Cell, type View } from "./text.ts";

export function renderHistory(entries: readonly HistoryEntry[], view: View): string {
  if (entries.length === 0) return joined(["no deployments yet"]);
  const width = Math.max(...entries.map(({ id }) => String(id).length));
  const rows = entries.map((one): readonly Cell[] => [
    String(one.id).padStart(width),
    relative(one.startedAt, view.now),
    { text: `${one.source}/${one.application}`, tone: "bold" },
    outcomeCell(one),
    { text: short(one.revision), tone: "dim" },
    one.cause,
  ]);
  const lines = table(rows, 0, view);
  return joined(
    entries.flatMap(({ subject, description }, index) => [
      lines[index] ?? "",
      ...wrap(description || subject, width + 2, view).map((line) => paint(line, "dim", view)),
    ]),
  );
}

export function renderDeployment(entry: HistoryEntry, view: View): string {
  const { id, source, application, revision, author, subject, cause, startedAt, finishedAt, description, reasons, steps, evidence } = entry;
  const [state] = table([[outcomeCell(entry)]], 0, view);
  const took = finishedAt === null ? "" : `, took ${span(Date.parse(finishedAt) - Date.parse(startedAt))}`;
  const facts = table(
    [
      ["revision", revision],
      ["commit", author === "" ? subject : `${subject} (${author})`],
      ["cause", cause],
      ["started", `${absolute(startedAt)} (${relative(startedAt, view.now)})${took}`],
    ],
    2,
    view,
  );
  const rows = steps.map(({ kind, target, ms }): readonly Cell[] => [kind, target, { text: span(ms), tone: "dim" }]);
  const lines = table(rows, 2, view);
  return joined([
    `deployment ${String(id)}  ${paint(`${source}/${application}`, "bold", view)}  ${state ?? ""}`,
    ...(description === "" ? [] : wrap(description, 2, view)),
    "",
    ...facts,
    ...(reasons.length === 0 ? [] : ["", heading("REASONS", view), ...reasons.flatMap((reason) => wrap(reason, 2, view, 2))]),
    ...(steps.length === 0 ? [] : ["", heading("STEPS", view)]),
    ...steps.flatMap(({ because, error }, index) => [
      lines[index] ?? "",
      ...(because === "" ? [] : wrap(because, 6, view).map((line) => paint(line, "dim", view))),
      ...(error === null ? [] : wrap(`failed: ${error}`, 6, view).map((line) => paint(line, "bad", view))),
    ]),
    ...evidence.flatMap(({ service, state, journal, log }) => [
      "",
      heading(`${service} WHEN IT FAILED`, view),
      ...wrap(state, 2, view),
      ...journal.flatMap((line) => wrap(line, 2, view, 2)),
      ...(log.length === 0 ? [] : [`  its container's own log:`, ...log.flatMap((line) => wrap(line, 2, view, 2))]),
    ]),
  ]);
}

function outcomeCell({ outcome }: HistoryEntry): Cell {
  return outcome === null ? toned("under way", "care") : toned(outcome, outcomeTones[outcome]);
}

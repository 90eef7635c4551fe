/** Sources in the state database: what was read of each, and when it was looked at. */

import { bounded } from "../../core/event-text.ts";
import { revision, sourceName, type SourceName } from "../../core/names.ts";
import type { SourceRecord, Store } from "../../ports.ts";
import type { Database } from "./database.ts";
import { date, number, oneOf, optional, text, type Row } from "./rows.ts";

type Tables = Pick<Store, "sources" | "source" | "saveSource" | "forgetSource" | "suspension" | "saveSuspension">;

/** For how long the time of a look that found nothing new may be known to this process alone, in milliseconds. */
const unwritten = 600_000;

/** `flush`, for the end: writes the times that were kept back. */
export function sourceTables(database: Database): Tables & { readonly flush: () => void } {
  const looks = new Map<SourceName, Date>();

  const saved = (name: SourceName): SourceRecord | undefined => {
    const row = database.get("SELECT * FROM sources WHERE name = :name", { name });
    return row === undefined ? undefined : sourceIn(row);
  };
  const seen = (record: SourceRecord): SourceRecord => ({ ...record, checkedAt: looks.get(record.name) ?? record.checkedAt });
  const write = (record: SourceRecord): void => {
    const { name, revision: commit, tag, checkedAt, state, message, failures } = record;
    database.put("sources", ["name"], { name, revision: commit, tag, checked: checkedAt?.toISOString(), state, message, failures });
  };

  return {
    sources: () => database.all("SELECT * FROM sources ORDER BY name").map((row) => seen(sourceIn(row))),
    source: (name) => {
      const record = saved(name);
      return record === undefined ? undefined : seen(record);
    },
    saveSource: (given) => {
      const record = { ...given, message: given.message === undefined ? undefined : bounded(given.message) };
      const before = saved(record.name);
      if (record.checkedAt !== undefined && isOnlyLater(record, before)) {
        looks.set(record.name, record.checkedAt);
        return;
      }
      write(record);
      looks.delete(record.name);
    },
    forgetSource: (name) => {
      database.run("DELETE FROM sources WHERE name = :name", { name });
      database.run("DELETE FROM suspended_sources WHERE source = :name", { name });
      looks.delete(name);
    },
    suspension: (name) => {
      const row = database.get("SELECT until FROM suspended_sources WHERE source = :name", { name });
      return row === undefined ? undefined : { until: optional(row, "until", date) };
    },
    saveSuspension: (name, suspension) => {
      if (suspension === undefined) database.run("DELETE FROM suspended_sources WHERE source = :name", { name });
      else database.put("suspended_sources", ["source"], { source: name, until: suspension.until?.toISOString() });
    },
    flush: () => {
      for (const name of looks.keys()) {
        const record = saved(name);
        if (record !== undefined) write(seen(record));
      }
      looks.clear();
    },
  };
}

/** Nothing is new but the time, which is a little later: a clock that was set back is not. */
function isOnlyLater(record: SourceRecord, before: SourceRecord | undefined): boolean {
  if (record.checkedAt === undefined || before?.checkedAt === undefined) return false;
  const later = record.checkedAt.getTime() - before.checkedAt.getTime();
  const rest = (["revision", "tag", "state", "message", "failures"] as const).every((field) => record[field] === before[field]);
  return rest && later >= 0 && later < unwritten;
}

const sourceIn = (row: Row): SourceRecord => ({
  name: sourceName(text(row, "name")),
  revision: optional(row, "revision", (from, column) => revision(text(from, column))),
  tag: optional(row, "tag", text),
  checkedAt: optional(row, "checked", date),
  state: oneOf(row, "state", ["ok", "failed"]),
  message: optional(row, "message", text),
  failures: number(row, "failures"),
});

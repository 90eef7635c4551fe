/** Applications, their quarantine and their units' health, in the state database. */

import { bounded } from "../../core/event-text.ts";
import { checkKinds, healths, type UnitHealth } from "../../core/health.ts";
import { revision, serviceName, type ApplicationId } from "../../core/names.ts";
import { outcomes } from "../../core/rollout.ts";
import type { ApplicationRecord, Quarantine, Store } from "../../ports.ts";
import type { Database } from "./database.ts";
import { goneBackTo } from "./together.ts";
import { application, date, digest, number, oneOf, optional, text, type Row } from "./rows.ts";

type Tables = Pick<
  Store,
  | "applications"
  | "application"
  | "saveApplication"
  | "forgetApplication"
  | "quarantined"
  | "quarantine"
  | "release"
  | "saveHealth"
  | "health"
  | "healthChanges"
>;

export function applicationTables(database: Database): Tables {
  return {
    applications: () => database.all("SELECT * FROM applications ORDER BY application").map(applicationIn),
    application: (id) => found(database.get("SELECT * FROM applications WHERE application = :id", { id }), applicationIn),
    saveApplication: (record) => {
      database.put("applications", ["application"], {
        application: record.id,
        revision: record.revision,
        last_good: record.lastGood,
        desired_revision: record.desired?.revision,
        desired_digest: record.desired?.digest,
        outcome: record.outcome,
        since: record.since.toISOString(),
        message: shortened(record.message),
        health: record.health,
        held_why: shortened(record.held?.why),
        held_until: record.held?.until?.toISOString(),
        held_tries: record.held?.tries,
        suspended: record.suspended === undefined ? 0 : 1,
        suspended_until: record.suspended?.until?.toISOString(),
        pinned_against: record.pinnedAgainst,
        seen_content: record.seen?.content,
        seen: record.seen?.seen.toISOString(),
        seen_chance: record.seen?.chance,
        seen_urgent: record.seen === undefined ? undefined : Number(record.seen.urgent),
      });
    },
    forgetApplication: (id) => {
      database.atomically(() => {
        for (const table of ofOneApplication) database.run(`DELETE FROM ${table} WHERE application = :id`, { id });
        // It may have to come back: where the rest of its source's revision fails, or from a backup.
        database.run(
          `DELETE FROM bundles WHERE application = :id AND digest NOT IN (${goneBackTo}) AND digest NOT IN (SELECT bundle FROM backups WHERE bundle IS NOT NULL)`,
          { id },
        );
      });
    },

    quarantined: (id) =>
      database.all("SELECT * FROM quarantine WHERE application = :id ORDER BY since, digest", { id }).map((row) => quarantineIn(row, id)),
    quarantine: (entry) => {
      database.put("quarantine", ["application", "digest"], {
        application: entry.application,
        digest: entry.digest,
        reason: bounded(entry.reason),
        since: entry.since.toISOString(),
      });
    },
    release: (id) => {
      database.run("DELETE FROM quarantine WHERE application = :id", { id });
    },

    saveHealth: (id, health, at) => {
      database.atomically(() => {
        saveHealth(database, id, { health, at });
      });
    },
    health: (id) => healthOf(database, id),
    healthChanges: (id, since) =>
      database
        .all("SELECT service, health, time FROM health_history WHERE application = :id AND time >= :since ORDER BY id", {
          id,
          since: since.toISOString(),
        })
        .map((row) => ({ service: serviceName(text(row, "service")), health: oneOf(row, "health", healths), at: date(row, "time") })),
  };
}

/** What goes with an application. History and events stay, and the bundles that backups are of. */
const ofOneApplication = [
  "applications",
  "quarantine",
  "inventory",
  "started",
  "rollouts",
  "unit_health",
  "adopted",
  "aside",
  "moved_images",
];

/** Of one unit's health: one that turns all the time must not fill the database, nor push out what is known of others. */
const mostChanges = 100;

/** Looks before it writes: health is saved with each look at the host, and mostly nothing has changed. */
function saveHealth(database: Database, id: ApplicationId, now: { readonly health: readonly UnitHealth[]; readonly at: Date }): void {
  const before = new Map(healthOf(database, id).map((unit) => [unit.service, unit]));
  for (const { service, health, checkedBy, message } of now.health) {
    const known = before.get(service);
    before.delete(service);
    const saved = { application: id, service, health, checked_by: checkedBy, message: shortened(message) };
    if (known?.health !== health) {
      database.put("unit_health", ["application", "service"], { ...saved, since: now.at.toISOString() });
      database.run(
        `INSERT INTO health_history (application, service, health, checked_by, message, time)
         VALUES (:application, :service, :health, :checked_by, :message, :time)`,
        { ...saved, time: now.at.toISOString() },
      );
      database.run(
        `DELETE FROM health_history WHERE application = :id AND service = :service AND id <=
           (SELECT id FROM health_history WHERE application = :id AND service = :service ORDER BY id DESC LIMIT 1 OFFSET :most)`,
        { id, service, most: mostChanges },
      );
    } else if (known.checkedBy !== checkedBy || known.message !== saved.message) {
      database.run(
        `UPDATE unit_health SET checked_by = :checked_by, message = :message
         WHERE application = :application AND service = :service AND health = :health`,
        saved,
      );
    }
  }
  for (const service of before.keys())
    database.run("DELETE FROM unit_health WHERE application = :id AND service = :service", { id, service });
}

const healthOf = (database: Database, id: ApplicationId): readonly UnitHealth[] =>
  database.all("SELECT * FROM unit_health WHERE application = :id ORDER BY service", { id }).map(healthIn);

const found = <Value>(row: Row | undefined, read: (row: Row) => Value): Value | undefined => (row === undefined ? undefined : read(row));
const shortened = (message: string | undefined): string | undefined => (message === undefined ? undefined : bounded(message));

const applicationIn = (row: Row): ApplicationRecord => ({
  id: application(row, "application"),
  revision: optional(row, "revision", (from, column) => revision(text(from, column))),
  lastGood: optional(row, "last_good", digest),
  desired: optional(row, "desired_revision", (from, column) => ({
    revision: revision(text(from, column)),
    digest: optional(row, "desired_digest", digest),
  })),
  outcome: oneOf(row, "outcome", outcomes),
  since: date(row, "since"),
  message: optional(row, "message", text),
  health: oneOf(row, "health", healths),
  held: optional(row, "held_why", (from, column) => ({
    why: text(from, column),
    until: optional(row, "held_until", date),
    tries: number(row, "held_tries"),
  })),
  suspended: number(row, "suspended") === 0 ? undefined : { until: optional(row, "suspended_until", date) },
  pinnedAgainst: optional(row, "pinned_against", digest),
  seen: optional(row, "seen", (from, column) => ({
    content: text(from, "seen_content") === "absent" ? "absent" : digest(from, "seen_content"),
    seen: date(from, column),
    chance: number(from, "seen_chance"),
    urgent: number(from, "seen_urgent") === 1,
  })),
});

const quarantineIn = (row: Row, id: ApplicationId): Quarantine => ({
  application: id,
  digest: digest(row, "digest"),
  reason: text(row, "reason"),
  since: date(row, "since"),
});

const healthIn = (row: Row): UnitHealth => ({
  service: serviceName(text(row, "service")),
  health: oneOf(row, "health", healths),
  checkedBy: oneOf(row, "checked_by", checkKinds),
  message: optional(row, "message", text),
});

/** What the state database forgets, so that it stays small for years. */

import type { Digest } from "../../core/names.ts";
import type { Store } from "../../ports.ts";
import type { Database } from "./database.ts";
import { digest, number } from "./rows.ts";
import { goneBackTo } from "./together.ts";

const day = 86_400_000;
/** Rows of the events table and of the health history, whatever their age. */
const mostRows = 10_000;
/** And characters of what they say, as one message may have four thousand. */
const mostText = 8_000_000;
/** Deployments that keep their reasons, steps, containers and evidence, at least; of older ones stays what `ctl history` lists. */
const mostDetailed = 1000;
/** The limit on repairs looks back minutes; a day is more than enough. */
const repairsKept = day;

export function trim(database: Database, keep: Parameters<Store["trim"]>[0], now: Date): void {
  const cutoff = new Date(now.getTime() - keep.days * day).toISOString();
  database.atomically(() => {
    database.run(
      `DELETE FROM deployments
       WHERE started < :cutoff
         AND id NOT IN (SELECT id FROM deployments ORDER BY id DESC LIMIT :most)
         AND id NOT IN (SELECT deployment FROM rollouts)`,
      { cutoff, most: keep.deployments },
    );
    trimDetails(database, Math.max(mostDetailed, keep.deployments));
    for (const table of ["events", "health_history"]) {
      database.run(`DELETE FROM ${table} WHERE time < :cutoff OR id <= (SELECT max(id) FROM ${table}) - :most`, { cutoff, most: mostRows });
      database.run(
        `DELETE FROM ${table} WHERE id <= (
           SELECT max(id) FROM (SELECT id, sum(length(message)) OVER (ORDER BY id DESC) AS size FROM ${table}) WHERE size > :most)`,
        { most: mostText },
      );
    }
    database.run("DELETE FROM repairs WHERE time < :cutoff", { cutoff: new Date(now.getTime() - repairsKept).toISOString() });
    trimBundles(database, keep.good);
  });
  // Outside of the transaction, or nothing is given back. Rows come one for each page, so it is run to its end.
  database.execute("PRAGMA incremental_vacuum");
}

/** Those of the newest are what a person looks up; ten thousand of them would be most of the database. */
function trimDetails(database: Database, most: number): void {
  const oldest = database.get("SELECT id FROM deployments ORDER BY id DESC LIMIT 1 OFFSET :most", { most });
  if (oldest === undefined) return;
  const last = number(oldest, "id");
  for (const table of ["steps", "containers"]) database.run(`DELETE FROM ${table} WHERE deployment <= :last`, { last });
  const none = JSON.stringify({ reasons: [] });
  database.run(
    `UPDATE deployments SET details = :none WHERE id <= :last AND details <> :none AND id NOT IN (SELECT deployment FROM rollouts)`,
    { last, none },
  );
}

/**
 * That of no version which may come to run by itself: what runs, what is wanted, both ends of a rollout and of a source's applications that go together, the
 * newest good ones of the history, and each application's newest bundle, whose rollout may be about to begin.
 */
const isPast = `
  id NOT IN (SELECT max(id) FROM bundles WHERE digest NOT IN (SELECT bundle FROM backups WHERE bundle IS NOT NULL) GROUP BY application)
  AND digest NOT IN (SELECT last_good FROM applications WHERE last_good IS NOT NULL)
  AND digest NOT IN (SELECT desired_digest FROM applications WHERE desired_digest IS NOT NULL)
  AND digest NOT IN (SELECT goal FROM rollouts UNION SELECT fallback FROM rollouts)
  AND digest NOT IN (${goneBackTo})
  AND digest NOT IN (
    SELECT goal FROM (
      SELECT goal, row_number() OVER (PARTITION BY source, application ORDER BY max(id) DESC) AS place
      FROM deployments WHERE outcome IN ('deployed', 'repaired') AND goal <> 'absent' GROUP BY source, application, goal)
    WHERE place <= :good)`;

/** `good`: of each application, so many last good ones. */
export function versionsIn(database: Database, good: number): readonly Digest[] {
  return database.all(`SELECT digest FROM bundles WHERE NOT (${isPast}) ORDER BY id`, { good }).map((row) => digest(row, "digest"));
}

/** What backups are of is kept too. */
function trimBundles(database: Database, good: number): void {
  database.run(`DELETE FROM bundles WHERE ${isPast} AND digest NOT IN (SELECT bundle FROM backups WHERE bundle IS NOT NULL)`, { good });
  database.run("DELETE FROM blobs WHERE digest NOT IN (SELECT blob FROM bundle_files WHERE blob IS NOT NULL)");
}

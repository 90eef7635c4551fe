/** The shape of the state database, as numbered steps: `PRAGMA user_version` says how many of them a database has had. */

import type { Database } from "./database.ts";

/**
 * Brings a database to this version's shape, or to an earlier one's, each step in a transaction of its own. Throws if a newer pgo made it.
 */
export function migrate(database: Database, path: string, shape = newestShape): void {
  const version = versionOf(database, path);
  migrations.slice(version, shape).forEach((migration, index) => {
    database.atomically(() => {
      database.execute(migration);
      database.pragma(`user_version = ${String(version + index + 1)}`);
    });
  });
}

/** For a reader, which can't migrate. Throws unless the shape is this version's. */
export function requireCurrent(database: Database, path: string): void {
  const version = versionOf(database, path);
  if (version < migrations.length)
    throw new Error(
      `the state database ${path} has shape ${String(version)}, this pgo needs ${String(migrations.length)}: start the daemon of this version once, it brings it up to date`,
    );
}

function versionOf(database: Database, path: string): number {
  const version = Number(database.pragma("user_version"));
  if (version > migrations.length)
    throw new Error(
      `the state database ${path} was written by a newer pgo (shape ${String(version)}, this one knows ${String(migrations.length)}): run that version again, or put back a copy of the database that this one made`,
    );
  return version;
}

/** Never edit one that was released: append. Times are ISO 8601 in UTC; `application` is "source/application" except in `deployments`. */
const migrations: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

  CREATE TABLE sources (
    name TEXT PRIMARY KEY,
    revision TEXT,
    checked TEXT,
    state TEXT NOT NULL,
    message TEXT,
    failures INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE applications (
    application TEXT PRIMARY KEY,
    revision TEXT,
    last_good TEXT,
    desired_revision TEXT,
    desired_digest TEXT,
    outcome TEXT NOT NULL,
    since TEXT NOT NULL,
    message TEXT,
    health TEXT NOT NULL,
    held_why TEXT,
    held_until TEXT,
    held_tries INTEGER,
    suspended INTEGER NOT NULL,
    suspended_until TEXT,
    pinned_against TEXT
  ) STRICT;

  CREATE TABLE quarantine (
    application TEXT NOT NULL,
    digest TEXT NOT NULL,
    reason TEXT NOT NULL,
    since TEXT NOT NULL,
    PRIMARY KEY (application, digest)
  ) STRICT;

  -- Contents by their digest, deflated: the same file in many bundles is stored once.
  CREATE TABLE blobs (digest TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT;

  CREATE TABLE bundles (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL UNIQUE,
    application TEXT NOT NULL,
    revision TEXT NOT NULL
  ) STRICT;
  CREATE INDEX bundles_by_application ON bundles (application);

  -- detail: a symlink's target, or what an entry of kind "other" is.
  CREATE TABLE bundle_files (
    bundle INTEGER NOT NULL REFERENCES bundles (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    executable INTEGER NOT NULL,
    blob TEXT REFERENCES blobs (digest),
    detail TEXT,
    PRIMARY KEY (bundle, path)
  ) STRICT;
  CREATE INDEX bundle_files_by_blob ON bundle_files (blob);

  CREATE TABLE inventory (
    application TEXT NOT NULL,
    path TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (application, path)
  ) STRICT;

  CREATE TABLE started (
    service TEXT PRIMARY KEY,
    application TEXT NOT NULL,
    digest TEXT NOT NULL,
    inputs TEXT NOT NULL,
    invocation TEXT NOT NULL
  ) STRICT;
  CREATE INDEX started_by_application ON started (application);

  CREATE TABLE repairs (service TEXT NOT NULL, time TEXT NOT NULL) STRICT;
  CREATE INDEX repairs_by_service ON repairs (service, time);

  -- goal: a bundle's digest, or "absent"; details: the reasons, as JSON.
  CREATE TABLE deployments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    application TEXT NOT NULL,
    ref TEXT NOT NULL,
    revision TEXT NOT NULL,
    author TEXT NOT NULL,
    subject TEXT NOT NULL,
    cause TEXT NOT NULL,
    started TEXT NOT NULL,
    finished TEXT,
    outcome TEXT,
    description TEXT NOT NULL,
    details TEXT NOT NULL,
    goal TEXT NOT NULL
  ) STRICT;
  CREATE INDEX deployments_by_application ON deployments (source, application);

  CREATE TABLE steps (
    id INTEGER PRIMARY KEY,
    deployment INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    because TEXT NOT NULL,
    ms REAL NOT NULL,
    error TEXT
  ) STRICT;
  CREATE INDEX steps_by_deployment ON steps (deployment);

  CREATE TABLE containers (
    id INTEGER PRIMARY KEY,
    deployment INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    service TEXT NOT NULL,
    quadlet TEXT NOT NULL,
    image_digest TEXT NOT NULL,
    status TEXT NOT NULL,
    health TEXT NOT NULL
  ) STRICT;
  CREATE INDEX containers_by_deployment ON containers (deployment);

  -- since: when verifying began; because: why it goes back.
  CREATE TABLE rollouts (
    application TEXT PRIMARY KEY,
    deployment INTEGER NOT NULL REFERENCES deployments (id),
    revision TEXT NOT NULL,
    cause TEXT NOT NULL,
    goal TEXT NOT NULL,
    fallback TEXT NOT NULL,
    started TEXT NOT NULL,
    recoveries INTEGER NOT NULL,
    phase TEXT NOT NULL,
    since TEXT,
    because TEXT
  ) STRICT;
  CREATE INDEX rollouts_by_deployment ON rollouts (deployment);

  -- since: when it became so.
  CREATE TABLE unit_health (
    application TEXT NOT NULL,
    service TEXT NOT NULL,
    health TEXT NOT NULL,
    checked_by TEXT NOT NULL,
    message TEXT,
    since TEXT NOT NULL,
    PRIMARY KEY (application, service)
  ) STRICT;

  CREATE TABLE health_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    application TEXT NOT NULL,
    service TEXT NOT NULL,
    health TEXT NOT NULL,
    checked_by TEXT NOT NULL,
    message TEXT,
    time TEXT NOT NULL
  ) STRICT;

  CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    deployment INTEGER REFERENCES deployments (id) ON DELETE SET NULL,
    time TEXT NOT NULL,
    type TEXT NOT NULL,
    message TEXT NOT NULL
  ) STRICT;
  CREATE INDEX events_by_deployment ON events (deployment);
  `,
  // What a bundle was rendered with, as JSON: names to values or null, and places to [sealed digest, file digest].
  `
  ALTER TABLE bundles ADD COLUMN vars TEXT NOT NULL DEFAULT '{}';
  ALTER TABLE bundles ADD COLUMN sealed TEXT NOT NULL DEFAULT '{}';
  `,
  `
  -- What a rollout takes over of a person's, until it has come to an end; adoption: in JSON.
  CREATE TABLE adopted (
    application TEXT NOT NULL,
    service TEXT NOT NULL,
    adoption TEXT NOT NULL,
    PRIMARY KEY (application, service)
  ) STRICT;
  `,
  `
  -- paths: below backups/ of the state directory, as JSON; object: a volume's name.
  CREATE TABLE backups (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    deployment INTEGER REFERENCES deployments (id) ON DELETE SET NULL,
    paths TEXT NOT NULL,
    time TEXT NOT NULL,
    kind TEXT NOT NULL,
    application TEXT NOT NULL,
    object TEXT NOT NULL,
    bytes INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX backups_by_deployment ON backups (deployment);

  -- Data of a volume that a rollout makes anew, until it has come to an end; aside: in JSON.
  CREATE TABLE aside (
    application TEXT NOT NULL,
    volume TEXT NOT NULL,
    aside TEXT NOT NULL,
    PRIMARY KEY (application, volume)
  ) STRICT;
  `,
  // As JSON: paths to references of images that are held, and paths to [id, reference] of what ran.
  `
  ALTER TABLE bundles ADD COLUMN pins TEXT NOT NULL DEFAULT '{}';
  ALTER TABLE bundles ADD COLUMN ran TEXT NOT NULL DEFAULT '{}';
  -- What an image's name has moved to in its registry, with track_digests.
  CREATE TABLE moved_images (
    application TEXT NOT NULL,
    name TEXT NOT NULL,
    id TEXT NOT NULL,
    reference TEXT NOT NULL,
    PRIMARY KEY (application, name)
  ) STRICT;
  `,
  `
  -- Of what Git wants: a digest or "absent", since when this host knows it, its part of the jitter, whether it can't wait.
  ALTER TABLE applications ADD COLUMN seen_content TEXT;
  ALTER TABLE applications ADD COLUMN seen TEXT;
  ALTER TABLE applications ADD COLUMN seen_chance REAL;
  ALTER TABLE applications ADD COLUMN seen_urgent INTEGER;

  CREATE TABLE suspended_sources (source TEXT PRIMARY KEY, until TEXT) STRICT;
  `,
  `
  -- By which the revision was found, where a source follows tags.
  ALTER TABLE sources ADD COLUMN tag TEXT;
  `,
  // Whether a rollout goes back for want of what it needs of another application.
  `
  ALTER TABLE rollouts ADD COLUMN blameless INTEGER NOT NULL DEFAULT 0;
  `,
  `
  -- What pgo pulled: what it was by that name then, and whether a version has needed it.
  CREATE TABLE pulled_images (
    name TEXT NOT NULL,
    id TEXT NOT NULL,
    needed INTEGER NOT NULL,
    PRIMARY KEY (name, id)
  ) STRICT;
  `,
  "CREATE INDEX health_history_by_service ON health_history (application, service, id);",
  `
  -- Backups of kind "application": the bundle that it was; paths: files that were changed by hand.
  ALTER TABLE backups ADD COLUMN bundle TEXT;
  CREATE INDEX backups_by_bundle ON backups (bundle);
  `,
  `
  -- A revision of a source whose applications go together, under way; made, members and undoing: in JSON.
  CREATE TABLE together (
    source TEXT PRIMARY KEY,
    revision TEXT NOT NULL,
    made TEXT NOT NULL,
    members TEXT NOT NULL,
    undoing TEXT
  ) STRICT;
  `,
];

export const newestShape = migrations.length;

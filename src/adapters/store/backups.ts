/** Backups and what has been put aside, in the state database: which data is where, so that a rollout can bring it back. */

import { z } from "zod";

import type { Aside } from "../../core/objects.ts";
import type { BackupRecord, Store, VersionBackup } from "../../ports.ts";
import type { Database } from "./database.ts";
import { application, date, digest, digestIn, number, oneOf, optional, text, type Row } from "./rows.ts";

type Tables = Pick<
  Store,
  | "addBackup"
  | "backups"
  | "addVersionBackup"
  | "versionBackups"
  | "forgetBackup"
  | "backupsNeeded"
  | "asides"
  | "saveAside"
  | "forgetAsides"
>;

export function backupTables(database: Database): Tables {
  return {
    addBackup: ({ deployment, application: owner, volume, file, bytes, at }) =>
      database.run(
        `INSERT INTO backups (deployment, paths, time, kind, application, object, bytes)
         VALUES (:deployment, :paths, :time, 'volume', :owner, :volume, :bytes)`,
        { deployment, paths: JSON.stringify([file]), time: at.toISOString(), owner, volume, bytes },
      ).id,
    backups: () => database.all("SELECT * FROM backups WHERE kind = 'volume' ORDER BY id DESC").map(backupIn),
    addVersionBackup: ({ deployment, application: owner, bundle, changed, at }) =>
      database.run(
        `INSERT INTO backups (deployment, paths, time, kind, application, object, bytes, bundle)
         VALUES (:deployment, :paths, :time, 'application', :owner, '', 0, :bundle)`,
        { deployment, paths: JSON.stringify(changed), time: at.toISOString(), owner, bundle },
      ).id,
    versionBackups: () => database.all("SELECT * FROM backups WHERE kind = 'application' ORDER BY id DESC").map(versionIn),
    forgetBackup: (id) => {
      database.run("DELETE FROM backups WHERE id = :id", { id });
      // Of an application that is gone only backups have kept them.
      database.run(
        `DELETE FROM bundles WHERE application NOT IN (SELECT application FROM applications)
         AND digest NOT IN (SELECT bundle FROM backups WHERE bundle IS NOT NULL)`,
      );
    },
    backupsNeeded: () => new Set(database.all("SELECT aside FROM aside", {}).flatMap((row) => asideIn(row).backup ?? [])),
    asides: (owner) =>
      new Map(
        database
          .all("SELECT aside FROM aside WHERE application = :owner ORDER BY volume", { owner })
          .map((row): [string, Aside] => [asideIn(row).volume, asideIn(row)]),
      ),
    saveAside: (owner, one) => {
      database.put("aside", ["application", "volume"], { application: owner, volume: one.volume, aside: JSON.stringify(one) });
    },
    forgetAsides: (owner) => {
      database.run("DELETE FROM aside WHERE application = :owner", { owner });
    },
  };
}

const paths = z.tuple([z.string()]);

function backupIn(row: Row): BackupRecord {
  oneOf(row, "kind", ["volume"]);
  const [file] = paths.parse(JSON.parse(text(row, "paths")));
  return {
    id: number(row, "id"),
    deployment: optional(row, "deployment", number),
    application: application(row, "application"),
    volume: text(row, "object"),
    file,
    bytes: number(row, "bytes"),
    at: date(row, "time"),
  };
}

const versionIn = (row: Row): VersionBackup => ({
  id: number(row, "id"),
  deployment: optional(row, "deployment", number),
  application: application(row, "application"),
  bundle: digest(row, "bundle"),
  changed: z.array(z.string()).parse(JSON.parse(text(row, "paths"))),
  at: date(row, "time"),
});

const asideIn = (row: Row): Aside => aside.parse(JSON.parse(text(row, "aside")));

const aside = z
  .strictObject({
    volume: z.string(),
    digest: z.string().transform((value) => digestIn(value, "aside")),
    createdAt: z.string(),
    backup: z.number().optional(),
    restored: z.string().optional(),
  })
  .transform(({ backup, restored, ...rest }): Aside => ({ ...rest, backup, restored }));

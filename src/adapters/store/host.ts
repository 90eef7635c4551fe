/** What pgo did to the host, in the state database: files placed, services started, repairs made. */

import { z } from "zod";

import { serviceName, type Digest, type RelativePath, type ServiceName } from "../../core/names.ts";
import { placedPath } from "../../core/placing.ts";
import type { Started, Store } from "../../ports.ts";
import type { Database } from "./database.ts";
import { digest, digestIn, number, text, type Row } from "./rows.ts";

type Tables = Pick<
  Store,
  | "inventory"
  | "saveInventory"
  | "reloadPending"
  | "setReloadPending"
  | "started"
  | "saveStarted"
  | "forgetStarted"
  | "repairsBetween"
  | "countRepair"
>;

export function hostTables(database: Database): Tables {
  const inventory: Tables["inventory"] = (application) =>
    new Map(
      database
        .all("SELECT path, digest FROM inventory WHERE application = :application ORDER BY path", { application })
        .map((row): [RelativePath, Digest] => [placedPath(text(row, "path")), digest(row, "digest")]),
    );
  const reloadPending = (): boolean => database.get("SELECT 1 FROM meta WHERE key = 'reload pending'") !== undefined;
  return {
    inventory,
    saveInventory: (application, files) => {
      database.atomically(() => {
        const before = inventory(application);
        for (const path of before.keys())
          if (!files.has(path))
            database.run("DELETE FROM inventory WHERE application = :application AND path = :path", { application, path });
        for (const [path, wanted] of files)
          if (before.get(path) !== wanted) database.put("inventory", ["application", "path"], { application, path, digest: wanted });
      });
    },

    reloadPending,
    setReloadPending: (pending) => {
      if (pending) database.put("meta", ["key"], { key: "reload pending", value: "yes" });
      else database.run("DELETE FROM meta WHERE key = 'reload pending'");
    },

    started: (application) =>
      new Map(
        database
          .all("SELECT * FROM started WHERE application = :application ORDER BY service", { application })
          .map((row): [ServiceName, Started] => [serviceName(text(row, "service")), startedIn(row)]),
      ),
    saveStarted: (application, service, started) => {
      database.put("started", ["service"], {
        service,
        application,
        digest: started.digest,
        // The words for a restart are those of the unit that is to come.
        inputs: JSON.stringify(started.inputs.map((input) => ({ ...input, says: undefined }))),
        invocation: started.invocation,
      });
    },
    forgetStarted: (service) => {
      database.run("DELETE FROM started WHERE service = :service", { service });
    },

    repairsBetween: (service, since, until) =>
      number(
        database.get("SELECT count(*) AS repairs FROM repairs WHERE service = :service AND time BETWEEN :since AND :until", {
          service,
          since: since.toISOString(),
          until: until.toISOString(),
        }) ?? {},
        "repairs",
      ),
    countRepair: (service, at) => {
      database.run("INSERT INTO repairs (service, time) VALUES (:service, :time)", { service, time: at.toISOString() });
    },
  };
}

const inputs = z.array(
  z
    .strictObject({ label: z.string(), within: z.string().optional(), digest: z.string(), mounted: z.enum(["alone", "within"]).optional() })
    .transform(({ label, within, digest: value, mounted }) => ({
      ...{ label, within, digest: digestIn(value, "inputs") },
      ...(mounted === undefined ? {} : { mounted }),
    })),
);

const startedIn = (row: Row): Started => ({
  digest: digest(row, "digest"),
  inputs: inputs.parse(JSON.parse(text(row, "inputs"))),
  invocation: text(row, "invocation"),
});

/** Revisions of sources that go together, in the state database, from before their first rollout until all of it is there or gone again. */

import { z } from "zod";

import type { Together } from "../../core/atomic.ts";
import { applicationId, applicationName, partsOf, revision, sourceName, type ApplicationId } from "../../core/names.ts";
import type { Store } from "../../ports.ts";
import type { Database } from "./database.ts";
import { digestIn, text, type Row } from "./rows.ts";

/** Digests of bundles that a source may have to go back to, or is on its way to, as a subquery. */
export const goneBackTo = `
  SELECT value ->> 'before' FROM together, json_each(members) UNION SELECT value ->> 'goal' FROM together, json_each(members)`;

export function togetherTable(database: Database): Pick<Store, "together" | "saveTogether" | "endTogether"> {
  return {
    together: () => database.all("SELECT * FROM together ORDER BY source").map(togetherIn),
    saveTogether: ({ source, revision: of, commit: made, members: all, undoing: why }) => {
      database.put("together", ["source"], {
        source,
        revision: of,
        made: JSON.stringify(made),
        members: JSON.stringify(all.map((one) => ({ ...one, revision: one.revision ?? null }))),
        undoing: why === undefined ? undefined : JSON.stringify(why),
      });
    },
    endTogether: (source) => {
      database.atomically(() => {
        // Those that are gone: their bundles were kept for the way back alone.
        database.run(
          `DELETE FROM bundles
           WHERE application NOT IN (SELECT application FROM applications)
             AND application IN (SELECT value ->> 'application' FROM together, json_each(members) WHERE source = :source)`,
          { source },
        );
        database.run("DELETE FROM together WHERE source = :source", { source });
      });
    },
  };
}

const id = z.string().transform((value) => {
  const { source, application } = partsOf(value as ApplicationId);
  return applicationId(sourceName(source), applicationName(application));
});
const target = z.string().transform((value) => (value === "absent" ? ("absent" as const) : digestIn(value, "members")));
const commit = z.strictObject({ ref: z.string(), author: z.string(), subject: z.string() });
const member = z.strictObject({
  application: id,
  goal: target,
  before: target,
  revision: z
    .string()
    .nullable()
    .transform((value) => (value === null ? undefined : revision(value))),
  stays: z.boolean(),
});
const members = z.array(member);
const undoing = z.strictObject({ blame: id, why: z.string() });

function togetherIn(row: Row): Together {
  const why = row["undoing"];
  return {
    source: sourceName(text(row, "source")),
    revision: revision(text(row, "revision")),
    commit: commit.parse(JSON.parse(text(row, "made"))),
    members: members.parse(JSON.parse(text(row, "members"))),
    undoing: why === null ? undefined : undoing.parse(JSON.parse(text(row, "undoing"))),
  };
}

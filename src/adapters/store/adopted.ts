/** Units of a person's that are being taken over, in the state database: the intention that is saved before the first file is moved. */

import { z } from "zod";

import type { Adoption } from "../../core/adopt.ts";
import { serviceName, unitName } from "../../core/names.ts";
import { placedPath } from "../../core/placing.ts";
import type { Store } from "../../ports.ts";
import type { Database } from "./database.ts";
import { digestIn, text } from "./rows.ts";

export function adoptedTable(database: Database): Pick<Store, "adoptions" | "saveAdoption" | "forgetAdoptions"> {
  return {
    adoptions: (application) =>
      database
        .all("SELECT adoption FROM adopted WHERE application = :application ORDER BY service", { application })
        .map((row) => adoption.parse(JSON.parse(text(row, "adoption")))),
    saveAdoption: (application, one) => {
      database.put("adopted", ["application", "service"], { application, service: one.service, adoption: JSON.stringify(one) });
    },
    forgetAdoptions: (application) => {
      database.run("DELETE FROM adopted WHERE application = :application", { application });
    },
  };
}

const file = z
  .strictObject({
    path: z.string(),
    mode: z.number(),
    digest: z.string().transform((value) => digestIn(value, "adoption")),
    target: z.string().optional(),
    as: z.string().transform(placedPath).optional(),
  })
  .transform(({ target, as, ...rest }) => ({ ...rest, target, as }));

const adoption = z
  .strictObject({
    service: z.string().transform(serviceName),
    unit: z.string().transform(unitName),
    from: z.string(),
    files: z.array(file),
    before: z.strictObject({ invocation: z.string(), up: z.boolean(), enabled: z.boolean() }),
    differs: z.string().optional(),
    backup: z.string(),
  })
  .transform(({ differs, ...rest }): Adoption => ({ ...rest, differs }));

/** What pgo.toml says of the pace of a rollout: `phase` of an application, and `[unit.NAME]`, in Git and on the host. */

import { z } from "zod";

const phase = z.int().min(0).max(1000);

export const applicationPhase = phase
  .optional()
  .describe("Applications of one source go phase by phase; a later one waits until the earlier are as Git wants them. Default: 1.");

const amount = 'must be a number of instances from 1, or a share of them like "50%"';
const unitPace = z.strictObject({
  phase: phase.optional().describe("Units go phase by phase, each verified before the next. Default: 1."),
  max_unavailable: z
    .union([z.int().min(1), z.string().regex(/^(?:[1-9]\d?|100)%$/, amount)], { error: amount })
    .meta({ type: 'whole number, or a share such as `"50%"`' })
    .optional()
    .describe("Of a template: how many of its instances may be restarted before they are verified. Default: 1."),
});

export const unitPaces = z
  .record(z.string(), unitPace)
  .default({})
  .describe("By unit file name without suffix, by service name, or for all instances of a template by its name, such as `web@`.");

/** By the names that a person calls units by. */
export type UnitPaces = z.infer<typeof unitPaces>;

/** A duration as pgo.toml has it; apart from core/duration.ts, so that `ctl` need not load zod. */

import { z } from "zod";

import { milliseconds } from "./duration.ts";

/** A duration such as "90s" or "1h30m" (core/duration.ts), to milliseconds. */
export const duration = z.string({ error: 'must be a duration like "90s"' }).transform((text, context) => {
  const ms = milliseconds(text);
  if (ms !== undefined) return ms;
  context.addIssue({ code: "custom", message: 'must be a duration: a number and ms, s, m, h or d, like "90s", "5m" or "1h30m"' });
  return z.NEVER;
});

export const positive = duration.refine((ms) => ms > 0, "must be longer than zero");

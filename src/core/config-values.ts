/** Values that several sections of pgo.toml have: durations, paths of the host, references to secrets. */

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

export const absolute = z.string({ error: "must be an absolute path" }).startsWith("/", "must be an absolute path");

/** Where a secret's value is: a file on the host, a variable (of pgo's environment or a *.env file of the secrets directory), a systemd credential. Never the value. */
export const secretReference = z.union(
  [
    z.strictObject({ file: z.string().min(1).describe("A file on the host; a relative path is below the secrets directory.") }),
    z.strictObject({ env: z.string().min(1).describe("A variable of pgo's environment or of a *.env file in the secrets directory.") }),
    z.strictObject({ credential: z.string().min(1).describe("A systemd credential of pgo's unit.") }),
  ],
  { error: 'a secret is named, not written here: { file = "…" }, { env = "…" } or { credential = "…" }' },
);
export type SecretReference = z.infer<typeof secretReference>;

/** The shape of what pgo.toml says of secrets: on the host which places are looked in, in Git which of Podman's secrets are made. */

import { z } from "zod";

import { NameError, relativePath } from "./names.ts";

/** `[secrets]` of the host's pgo.toml, beside its directory and what is missing does. */
export const hostSecrets = {
  manager_environment: z
    .array(
      z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*\*?$/, 'must be a variable\'s name, or the beginning of some with a "*" behind it, like "SHOP_*"'),
    )
    .default([])
    .describe(
      'Variables of systemd\'s environment that are values too: names, or beginnings of names like "SHOP_*". Everybody on the host can read them.',
    ),
  age_key: z
    .union(
      [
        z.strictObject({
          file: z
            .string()
            .min(1)
            .describe("File of secret keys, one a line, as age-keygen writes it; a relative path is below the secrets directory."),
        }),
        z.strictObject({ credential: z.string().min(1).describe("A systemd credential of pgo's unit that holds such a file.") }),
      ],
      { error: 'the key is named, not written here: { file = "…" } or { credential = "…" }' },
    )
    .optional()
    .describe("Where the keys are that decrypt age and SOPS files of Git: { file = … } or { credential = … }."),
};

/** Where the age keys are; never the keys. */
export type AgeKey = NonNullable<z.infer<typeof hostSecrets.age_key>>;

/** `[secrets]` of an application's own pgo.toml. */
export const applicationSecrets = z.strictObject({
  podman: z
    .record(
      z.string().refine(isPodmanSecretName, 'must be a name that Podman takes: 1 to 253 characters without "=", "/", "," and line breaks'),
      z.union(
        [
          z.strictObject({ env: z.string().min(1).describe("The value of that name, as ${NAME} in an env file would be.") }),
          z.strictObject({
            file: z.string().superRefine(inApplication).describe("A file beside this one in Git, encrypted or plain: its whole content."),
          }),
        ],
        { error: 'write { env = "NAME" } or { file = "…" }: the value itself does not belong into Git' },
      ),
    )
    .default({})
    .describe('Podman secrets to make for Secret=, by name: { env = "NAME" } or { file = "…" }.'),
});
export type ApplicationSecrets = z.infer<typeof applicationSecrets>;

/** Whether an entry of `manager_environment` names this variable. */
export function isAllowed(name: string, allowed: readonly string[]): boolean {
  return allowed.some((one) => (one.endsWith("*") ? name.startsWith(one.slice(0, -1)) : name === one));
}

/** As Podman 5.4 refuses it, but for its length, and white space at an end, which no Secret= could name. `.` and `..` are no names either. */
export function isPodmanSecretName(name: string): boolean {
  return /^[^=/,\0\r\n]{1,253}$/.test(name) && name === name.trim() && name !== "." && name !== "..";
}

/** In bytes: libpod's limit (512,000, common's pkg/secrets) is one that must stay out of reach. */
export const mostPodmanSecret = 511_999;

function inApplication(text: string, context: z.RefinementCtx): void {
  try {
    relativePath(text);
  } catch (error) {
    if (!(error instanceof NameError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
}

/** What pgo.toml says about variables, the facts of a host, and which value of a name wins. */

import { z } from "zod";

import type { Vars } from "./substitute.ts";

/** What a host tells about itself, by the names that units, env files and templates use. Undefined: not known here (`pgo validate`). */
export type Facts = Readonly<Record<FactName, string | undefined>>;
export type FactName = keyof typeof factTexts;

/** Every fact, with the words of the documentation. */
export const factTexts = {
  PGO_HOSTNAME: "The host's name, as `hostname` prints it.",
  PGO_ARCH: "The processor in the words of images: amd64, arm64, arm, riscv64, …",
  PGO_OS: "ID of /etc/os-release, such as debian or fedora.",
  PGO_OS_VERSION: "VERSION_ID of /etc/os-release, such as 13.",
  PGO_PODMAN_VERSION: "The host's Podman, such as 5.4.2.",
  PGO_MODE: "rootful or rootless.",
  PGO_SOURCE: "The source's name.",
  PGO_APPLICATION: "The application's name.",
} as const;

const name = z.string().superRefine((text, context) => {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(text))
    context.addIssue({
      code: "custom",
      message: `"${text}" is not a variable's name: letters, digits and "_" are, not starting with a digit`,
    });
  else if (text.startsWith("PGO_"))
    context.addIssue({ code: "custom", message: `"${text}" begins with PGO_, which is for what pgo knows of the host: use another name` });
});

const value = z.union(
  [
    z.string(),
    // 1.10 would come out as 1.1: TOML's numbers don't keep their text.
    z.int().transform(String),
    z.boolean().transform(String),
    z
      .strictObject({ required: z.literal(true).describe("A value must come from the host's pgo.toml.") })
      .transform((): string | undefined => undefined),
  ],
  { error: 'must be a text in quotes (a number with a fraction too: "1.10"), a whole number, true or false, or { required = true }' },
);

/** `[vars]` of the host's or an application's pgo.toml, `[application.NAME.vars]` of the host's: names to values as text. */
export const varsTable = z
  .record(name, value)
  .default({})
  .describe("Variables for ${NAME} in units, env files and templates; { required = true } declares one that the host must set.");
export type VarsTable = z.output<typeof varsTable>;

/** Where values come from; what is left out is empty. */
export interface VarsLayers {
  readonly facts: Facts;
  /** `[application.NAME.vars]` of the host's pgo.toml. */
  readonly hostApplication?: VarsTable | undefined;
  /** `[vars]` of the host's pgo.toml. */
  readonly host?: VarsTable | undefined;
  /** `[vars]` of the application's own pgo.toml. */
  readonly application?: VarsTable | undefined;
}

/**
 * All declared names: the host's word for this application wins over the host's for all, that over the application's own. A name
 * that is only declared takes no value away from a lower layer. Facts can't be set.
 */
export function varsOf({ facts, hostApplication, host, application }: VarsLayers): Vars {
  const all = new Map<string, string | undefined>(Object.entries(facts));
  for (const layer of [hostApplication, host, application])
    for (const [key, text] of Object.entries(layer ?? {}))
      if (all.get(key) === undefined && !Object.hasOwn(factTexts, key)) all.set(key, text);
  return all;
}

/** Secrets that an application's health checks send: without one nothing could vouch for its unit. */

import type { Bundle, Problem, Unit } from "./bundle.ts";
import { settingsNames } from "./checks.ts";
import type { Check } from "./health.ts";

export interface ProbeSecretSources {
  /** What vouches for a unit on this host. */
  readonly checkOf: (unit: Unit) => Check;
  /** Whether the host has a secret of this very name. */
  readonly has: (name: string) => boolean;
}

/** Those that headers name and the host has not, or keeps from the application; what the host's own pgo.toml reads from a file is not asked. */
export function missingForProbes(bundle: Bundle, { checkOf, has }: ProbeSecretSources): readonly Problem[] {
  return bundle.units
    .filter((unit) => unit.starts)
    .flatMap((unit) => {
      const check = checkOf(unit);
      if (check.by !== "probe" || check.probe.kind !== "http") return [];
      return Object.entries(check.probe.headers).flatMap(([header, value]): readonly Problem[] => {
        if (typeof value === "string" || !("names" in value.from) || value.from.names.some(has)) return [];
        const plain = value.from.names.at(-1);
        const what =
          plain === undefined
            ? "a secret that the policy of this host keeps from this application: see [policy] secrets"
            : `the secret ${plain}, which is nowhere on this host: set it with ctl secret set ${plain}`;
        const message = `the health check of ${unit.service} needs for its header ${header} ${what}`;
        return [{ file: fileOf(unit, bundle), line: undefined, message }];
      });
    });
}

/** The application's pgo.toml where that says what is asked, else the unit's own file: then the host's does. */
function fileOf(unit: Unit, { settings }: Bundle): string {
  return settingsNames(unit).some((name) => settings.health[name]?.http !== undefined) ? "pgo.toml" : unit.file;
}

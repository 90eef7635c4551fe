/** Values of the secrets that headers of probes name. */

import type { Config, SecretReference } from "../../core/config.ts";
import { success, trouble, type Result } from "../../core/result.ts";
import type { Secrets } from "../../ports.ts";
import type { ReadSecret } from "./http.ts";

export interface ProbeSecretSources {
  readonly secrets: Secrets;
  /** One that the host's pgo.toml names by its place. */
  readonly read: (reference: SecretReference) => Promise<Result<string, string>>;
  /** `[secrets] missing`: what is nowhere is empty, unless it is an error. */
  readonly missing: Config["secrets"]["missing"];
}

/** Names that Git gives are looked up as those of env files are. */
export function openProbeSecrets({ secrets, read, missing }: ProbeSecretSources): ReadSecret {
  return async (from, signal) => {
    if (!("names" in from)) return read(from);
    const { values } = await secrets.snapshot(signal);
    const value = from.names.map((name) => values.get(name)).find((one) => one !== undefined);
    if (value !== undefined) return success(value);
    if (missing !== "error") return success("");
    const plain = from.names.at(-1);
    if (plain === undefined) return trouble("the policy of this host keeps the secret from this application: see [policy] secrets");
    return trouble(`secret ${plain} is nowhere on this host: set it with ctl secret set ${plain}`);
  };
}

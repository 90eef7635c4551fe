/** Values of the secrets that headers of probes name. */

import type { SecretReference } from "../../core/config.ts";
import { success, trouble, type Result } from "../../core/result.ts";
import type { Secrets } from "../../ports.ts";
import type { ReadSecret } from "./http.ts";

/** `read`: of one that the host's pgo.toml names. Names that Git gives are looked up as those of env files are. */
export function openProbeSecrets(secrets: Secrets, read: (reference: SecretReference) => Promise<Result<string, string>>): ReadSecret {
  return async (from, signal) => {
    if (!("names" in from)) return read(from);
    const plain = from.names.at(-1);
    if (plain === undefined) return trouble("the policy of this host keeps the secret from this application: see [policy] secrets");
    const { values } = await secrets.snapshot(signal);
    const value = from.names.map((name) => values.get(name)).find((one) => one !== undefined);
    return value === undefined ? trouble(`secret ${plain} is nowhere on this host: set it with ctl secret set ${plain}`) : success(value);
  };
}

/** Whether a version of an application that fails is gone back from. */

import type { Bundle } from "./bundle.ts";
import type { Config } from "./config.ts";
import { partsOf, type ApplicationId } from "./names.ts";

/** The host's `[application.NAME] rollback` wins over the application's own; of a bundle that is not there only the host's counts. */
export function rollbackOf(
  application: ApplicationId,
  bundle: Pick<Bundle, "settings"> | undefined,
  { applications }: Pick<Config, "applications">,
): "auto" | "never" {
  return applications.get(partsOf(application).application)?.rollback ?? bundle?.settings.rollback ?? "auto";
}

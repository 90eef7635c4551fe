/** What bundles are rendered with in tests that are not about that: no facts, no variables, and the secrets that are given. */

import { partsOf, type ApplicationId } from "../../src/core/names.ts";
import { freshRendering, nothingEncrypted, type Rendering } from "../../src/core/rendering.ts";
import type { Trial } from "../../src/core/judgement.ts";
import type { Facts } from "../../src/core/vars-config.ts";

export const noFacts: Facts = {
  PGO_HOSTNAME: undefined,
  PGO_ARCH: undefined,
  PGO_OS: undefined,
  PGO_OS_VERSION: undefined,
  PGO_PODMAN_VERSION: undefined,
  PGO_MODE: undefined,
  PGO_SOURCE: undefined,
  PGO_APPLICATION: undefined,
};

export function renderingFor(id: ApplicationId, secrets: Readonly<Record<string, string>> = {}): Rendering {
  return freshRendering({
    application: partsOf(id).application,
    facts: noFacts,
    hostApplication: undefined,
    host: undefined,
    envDirectory: `/var/lib/pgo/env/${id}`,
    secrets: new Map(Object.entries(secrets)),
    template: undefined,
    decrypted: nothingEncrypted,
    self: undefined,
  });
}

/** For a trial. */
export const plainly: Pick<Trial, "rendering" | "secrets"> = {
  rendering: (id) => renderingFor(id),
  secrets: { missing: "error", unreadable: [] },
};

/** A probe that asks http://x/ and wants 200. */

import type { Probe } from "../../src/core/health.ts";

export const httpProbe: Extract<Probe, { kind: "http" }> = {
  ...{ kind: "http", url: "http://x/", method: "GET", headers: {}, body: undefined, status: [{ from: 200, to: 200 }] },
  ...{ contains: undefined, matches: undefined, follow: 0, tls: { verify: true, ca: undefined, serverName: undefined } },
};

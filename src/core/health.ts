/** Health: how a unit is probed, and what a row of samples says about it. */

import type { ServiceName } from "./names.ts";

/** Timing of one unit's check; all times in milliseconds. */
export interface Patience {
  /** From the start of verifying until a unit that is not healthy counts as unhealthy. */
  readonly deadline: number;
  readonly interval: number;
  /** For one probe. */
  readonly timeout: number;
  /** Passes in a row that make a unit healthy. */
  readonly successThreshold: number;
  /** Failures in a row that make a unit unhealthy that has been healthy; crashes in a row that make a starting one unhealthy. */
  readonly failureThreshold: number;
  /** Failures this soon after the start don't count. */
  readonly startPeriod: number;
  /** A unit must have run this long without a restart. */
  readonly minHealthyTime: number;
}

/** What can be asked over the network, from where pgo runs (the host's network). */
export type Probe =
  | {
      readonly kind: "http";
      readonly url: string;
      readonly status: readonly number[];
      /** Must occur in the body. */
      readonly contains: string | undefined;
    }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** What vouches for a unit's health, most specific first (CONTRACT: host's pgo.toml, application's, HealthCmd=, default). */
export type Check = { readonly patience: Patience } & (
  | { readonly by: "probe"; readonly probe: Probe }
  /** Podman's own health check, by the quadlet's HealthCmd=. */
  | { readonly by: "podman" }
  /** Unit active, container running, no restart for `minHealthyTime`. */
  | { readonly by: "process" }
);

/** One answer of a probe. `unasked`: the probe could not be made, which says nothing about the unit. */
export type Sample = { readonly at: Date } & (
  | { readonly result: "pass" }
  | { readonly result: "fail"; readonly message: string }
  | { readonly result: "unasked"; readonly message: string }
);

export const healths = ["healthy", "unhealthy", "starting", "waiting", "unknown"] as const;
export type Health = (typeof healths)[number];

/** What is known of a unit's health at one moment. */
export interface UnitHealth {
  readonly service: ServiceName;
  readonly health: Health;
  /** Which kind of check vouched for it. */
  readonly checkedBy: "http" | "tcp" | "podman" | "process" | "unit";
  readonly message: string | undefined;
}

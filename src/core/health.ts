/** Health: how a unit is probed, and what a row of samples says about it. */

import type { SecretReference } from "./config-values.ts";
import type { ServiceName } from "./names.ts";
import type { Limits } from "./resources.ts";

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

/** Statuses of HTTP, both included. */
export interface StatusRange {
  readonly from: number;
  readonly to: number;
}

/** A secret, where it is kept on the host, or the names that it may have there, the first that there is; `prefix` stands before its value. */
export interface SecretHeader {
  readonly from: SecretReference | { readonly names: readonly string[] };
  readonly prefix: string;
}

/** What is asked of an HTTP server, and what of its answer passes. */
export interface HttpRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | SecretHeader>>;
  readonly body: string | undefined;
  readonly status: readonly StatusRange[];
  /** Must occur in the body. */
  readonly contains: string | undefined;
  /** Source of a regular expression that must match in the body. */
  readonly matches: string | undefined;
  /** Redirects that are followed. */
  readonly follow: number;
  readonly tls: {
    readonly verify: boolean;
    /** Absolute path of a PEM file. */
    readonly ca: string | undefined;
    readonly serverName: string | undefined;
  };
}

export interface TcpTalk {
  readonly port: number;
  readonly send: string | undefined;
  readonly expect: string | undefined;
}

export interface CommandRun {
  /** Program and arguments. */
  readonly run: readonly string[];
  readonly user: string | undefined;
  readonly exit: readonly number[];
  readonly contains: string | undefined;
}

/** What is asked of a unit, as pgo.toml has it: of a port of its container it is not known yet where the host reaches it. */
export type WantedProbe =
  | ({ readonly kind: "http"; readonly url: string } & HttpRequest)
  | ({
      readonly kind: "http";
      readonly url: undefined;
      readonly port: number;
      readonly path: string;
      readonly scheme: string;
    } & HttpRequest)
  | ({ readonly kind: "tcp"; readonly host: string | undefined } & TcpTalk)
  | ({ readonly kind: "command"; readonly on: "container" | "host" } & CommandRun);

/** What can be asked from where pgo runs (the host's network), inside a container, by its id, or on the host by a program of its own. */
export type Probe =
  | ({ readonly kind: "http"; readonly url: string } & HttpRequest)
  | ({ readonly kind: "tcp"; readonly host: string } & TcpTalk)
  | ({ readonly kind: "command"; readonly on: "container"; readonly container: string } & CommandRun)
  | ({ readonly kind: "command"; readonly on: "host" } & CommandRun);

/** What vouches for a unit's health, most specific first (CONTRACT: host's pgo.toml, application's, HealthCmd=, default). */
export type Check = { readonly patience: Patience; readonly limits?: Limits } & (
  | { readonly by: "probe"; readonly probe: WantedProbe }
  /** Podman's own health check, by the quadlet's HealthCmd=, or asked for by name. */
  | { readonly by: "podman" }
  /** Unit active, container running, no restart for `minHealthyTime`. */
  | { readonly by: "process" }
  /** systemd's state of the unit alone. */
  | { readonly by: "unit" }
);

/** One answer of a probe. `unasked`: the probe could not be made, which says nothing about the unit. */
export type Sample = { readonly at: Date } & (
  | { readonly result: "pass" }
  | { readonly result: "fail"; readonly message: string }
  | { readonly result: "unasked"; readonly message: string }
);

export const healths = ["healthy", "unhealthy", "starting", "waiting", "unknown"] as const;
export type Health = (typeof healths)[number];

export const checkKinds = ["http", "tcp", "command", "podman", "process", "unit"] as const;
export type CheckKind = (typeof checkKinds)[number];

/** What is known of a unit's health at one moment. */
export interface UnitHealth {
  readonly service: ServiceName;
  readonly health: Health;
  /** Which kind of check vouched for it. */
  readonly checkedBy: CheckKind;
  readonly message: string | undefined;
}

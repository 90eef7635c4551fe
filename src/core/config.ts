/** The shape of pgo.toml: the host's and an application's, read with zod, every key known, every default here. */

import { z } from "zod";

import { milliseconds } from "./duration.ts";
import type { Patience } from "./health.ts";
import { policySettings, strayPolicies, type PolicySettings } from "./policy-config.ts";
import { hostSecrets, type AgeKey } from "./secrets-config.ts";
import { varsTable, type VarsTable } from "./vars-config.ts";
import { NameError, applicationName, sourceName, type SourceName } from "./names.ts";
import { bytes } from "./size.ts";

/** A duration such as "90s" or "1h30m" (core/duration.ts), to milliseconds. */
export const duration = z.string({ error: 'must be a duration like "90s"' }).transform((text, context) => {
  const ms = milliseconds(text);
  if (ms !== undefined) return ms;
  context.addIssue({ code: "custom", message: 'must be a duration: a number and ms, s, m, h or d, like "90s", "5m" or "1h30m"' });
  return z.NEVER;
});

const positive = duration.refine((ms) => ms > 0, "must be longer than zero");

const absolute = z.string({ error: "must be an absolute path" }).startsWith("/", "must be an absolute path");

/** Where a secret's value is: a file on the host, a variable (of pgo's environment or a *.env file of the secrets directory), a systemd credential. Never the value. */
export const secretReference = z.union(
  [
    z.strictObject({ file: z.string().min(1).describe("A file on the host; a relative path is below the secrets directory.") }),
    z.strictObject({ env: z.string().min(1).describe("A variable of pgo's environment or of a *.env file in the secrets directory.") }),
    z.strictObject({ credential: z.string().min(1).describe("A systemd credential of pgo's unit.") }),
  ],
  { error: 'a secret is named, not written here: { file = "…" }, { env = "…" } or { credential = "…" }' },
);
export type SecretReference = z.infer<typeof secretReference>;

const auth = z.union(
  [
    z.strictObject({
      ssh_key: absolute.describe("Private key file on the host, readable by pgo's user alone."),
      known_hosts: absolute.optional().describe("Host keys that are trusted; required unless the system's known_hosts has them."),
    }),
    z.strictObject({
      username: z.string().min(1).default("git").describe("User name; many servers take any with a token."),
      password: secretReference.describe('Where the password or token is: { file = "…" }, { env = "…" } or { credential = "…" }.'),
    }),
  ],
  { error: "write { ssh_key = …, known_hosts = … } or { username = …, password = { file = … } }" },
);

const named = (parse: (text: string) => string) =>
  z.string().superRefine((text, context) => {
    try {
      parse(text);
    } catch (error) {
      if (!(error instanceof NameError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
    }
  });

const source = z.strictObject({
  name: named(sourceName).optional().describe("Default: the last part of the URL, without .git."),
  url: z
    .string()
    .min(1)
    .refine((url) => !url.startsWith("-"), 'must not begin with "-"')
    .refine(
      (url) => !/^[a-z][a-z0-9+.-]*:\/\/[^/@]*:[^/@]*@/i.test(url),
      "must not hold a password: write auth = { username = …, password = { file = … } }",
    )
    .describe("What git clone takes: ssh://, https://, git@host:path, or a path on the host. No password in it."),
  branch: z
    .string()
    .min(1)
    .refine((name) => !name.startsWith("-"), 'must not begin with "-"')
    .optional()
    .describe("Default: the branch that the remote's HEAD names."),
  paths: z
    .array(z.string().refine(insideRepository, 'must be a directory inside the repository, such as "." or "hosts/pi4"'))
    .min(1)
    .default(["."])
    .describe(
      "Directories whose first-level directories are the applications; later ones overlay earlier ones file by file. ${PGO_HOSTNAME} and other names of [vars] are filled in.",
    ),
  optional_paths: z
    .boolean()
    .default(false)
    .describe(
      'Whether a directory of paths that is not in the repository is passed over, such as "hosts/${PGO_HOSTNAME}" for a host that needs none.',
    ),
  interval: positive.default(60_000).describe("Time between two polls; each is moved by up to 10 % by chance."),
  auth: auth.optional().describe("How to log in: an SSH key, or a user name and password."),
  allow_empty: z.boolean().default(false).describe("Whether a revision with no application may remove those that were there."),
});

const patience = {
  deadline: positive.describe("A unit that is not healthy by then is unhealthy."),
  interval: positive.describe("Time between two probes."),
  timeout: positive.describe("For one probe."),
  success_threshold: z.int().min(1).describe("Passes in a row that make a unit healthy."),
  failure_threshold: z
    .int()
    .min(1)
    .describe("Crashes in a row that end the waiting; failures in a row that make a healthy unit unhealthy."),
  start_period: duration.describe("Failures this soon after a start don't count."),
  min_healthy_time: duration.describe("A unit must have run this long without a restart."),
};

const health = z.strictObject({
  deadline: patience.deadline.default(120_000),
  interval: patience.interval.default(2000),
  timeout: patience.timeout.default(3000),
  success_threshold: patience.success_threshold.default(1),
  failure_threshold: patience.failure_threshold.default(3),
  start_period: patience.start_period.default(0),
  min_healthy_time: patience.min_healthy_time.default(5000),
});

/** One unit's check: `[health.UNIT]` of an application's pgo.toml, `[application.NAME.health.UNIT]` of the host's. */
const unitHealth = z
  .strictObject({
    http: z
      .strictObject({
        url: z.url({ protocol: /^https?$/, error: "must be an http:// or https:// address" }).describe("Asked with GET."),
        status: z.array(z.int().min(100).max(599)).min(1).default([200]).describe("Answers that pass."),
        contains: z.string().min(1).optional().describe("Must occur in the body."),
      })
      .optional()
      .describe("GET; asked from the host's network."),
    tcp: z
      .strictObject({
        port: z.int().min(1).max(65_535).describe("TCP port."),
        host: z.string().min(1).default("127.0.0.1").describe("Name or address."),
      })
      .optional()
      .describe("Connects, from the host's network."),
    ...z.strictObject(patience).partial().shape,
  })
  .refine((check) => check.http === undefined || check.tcp === undefined, "http and tcp exclude each other: keep one");
export type UnitHealthSettings = z.infer<typeof unitHealth>;

/** Signals that a process may take as "read your files again"; one that ends it would be a restart. */
const reactions = /^(?:restart|reload|none|signal:(?:HUP|INT|QUIT|USR1|USR2|ALRM|CONT|WINCH))$/;

/** An application's own pgo.toml, in Git beside its quadlets. */
export const applicationSettings = z.strictObject({
  health: z.record(z.string(), unitHealth).default({}).describe("By unit file name without suffix, or by service name."),
  vars: varsTable,
  instances: z
    .record(
      z.string().regex(/^[^/]+@(?:\.[a-z]+)?$/, 'must be a template\'s name, such as "web@"'),
      z.array(z.string().regex(/^[A-Za-z0-9:_.\\-]+$/, "must be a name that systemd takes")).min(1),
    )
    .default({})
    .describe('Instances of templates, by the template\'s name: "web@" = ["a", "b"] makes web@a and web@b.'),
  on_change: z
    .record(
      z.string(),
      z.string().regex(reactions, 'must be "restart", "reload", "none" or "signal:" and a signal such as HUP, USR1 or USR2'),
    )
    .default({})
    .describe("By unit file name without suffix, or by service name: what is done when nothing but mounted files of it changed."),
});
export type ApplicationSettings = z.infer<typeof applicationSettings>;

/** The host's pgo.toml. `directories` are those of rootful or rootless Podman, for the defaults. */
export function hostConfig(directories: Directories) {
  const quadlet = z.strictObject({
    directory: absolute
      .default(directories.quadlet)
      .describe("Where quadlets and their files are placed; it must be a directory of its own."),
    unit_directory: absolute
      .default(directories.units)
      .describe("Where plain systemd units beside quadlets are placed: systemd's own directory for the administrator's."),
    generator_warnings: z.enum(["report", "refuse"]).default("report").describe("What the generator's warnings do."),
    adopt: z
      .boolean()
      .default(false)
      .describe("Whether units of the same name that a person placed are taken over (docs/adoption.md); else they are a problem."),
    drift_interval: positive.default(300_000).describe("Time between two looks at the host; passes between them ask only Git."),
  });
  const adopt = z.boolean().optional().describe("Of [quadlet], for this application alone.");
  const secrets = z.strictObject({
    directory: absolute
      .default(directories.secrets)
      .describe("*.env files with NAME=value lines, for { env = … }; relative { file = … } are below it."),
    missing: z
      .enum(["error", "warn", "empty"])
      .default("error")
      .describe("What a secret that isn't there does: hold the rollout, or be empty, with a warning or without."),
    ...hostSecrets,
  });
  const state = z.strictObject({
    directory: absolute.default(directories.state).describe("pgo's own files; the same path inside and outside the container."),
    database: absolute.optional().describe("Default: state.db in the state directory."),
    keep_deployments: z.int().min(1).default(500).describe("History: at least so many deployments,"),
    keep_days: z.int().min(1).default(365).describe("and those of so many days, whichever is more."),
    keep_good: z.int().min(1).default(5).describe("Last good bundles kept for each application."),
    min_free: z
      .string({ error: 'must be a size like "500MB"' })
      .refine((text) => bytes(text) !== undefined, 'must be a size: a number and kB, MB, GB or KiB, MiB, GiB, like "500MB", or "0"')
      .default("100MB")
      .describe("With less room for Podman's images or pgo's state, nothing new is begun; \"0\": it is not looked at."),
  });
  const metrics = z.strictObject({
    listen: z
      .string()
      .refine((text) => text === "off" || listenAddress(text) !== undefined, 'must be "ADDRESS:PORT" or "off"')
      .default("127.0.0.1:9180")
      .describe('Address of /metrics, /healthz and /readyz, or "off".'),
  });
  const system = z.strictObject({
    log_level: z.enum(["debug", "info", "warn", "error"]).default("info").describe("The least important lines that are logged."),
    log_format: z.enum(["auto", "json", "text"]).default("auto").describe("auto: readable on a terminal, else JSON."),
  });
  const self = z.strictObject({
    source: named(sourceName)
      .optional()
      .describe("The source that may bring pgo.container, and so another version of pgo (docs/self-update.md). Without it none may."),
    deadline: positive.default(180_000).describe("A new pgo that has not said by then that it works is replaced by the old one."),
  });
  return z
    .strictObject({
      source: z.array(source).default([]),
      quadlet: quadlet.prefault({}),
      health: health.prefault({}),
      secrets: secrets.prefault({}),
      state: state.prefault({}),
      metrics: metrics.prefault({}),
      system: system.prefault({}),
      self: self.prefault({}),
      vars: varsTable,
      policy: policySettings.prefault({}),
      application: z
        .record(named(applicationName), z.strictObject({ health: z.record(z.string(), unitHealth).default({}), vars: varsTable, adopt }))
        .default({})
        .describe("By application name; wins over the application's own pgo.toml."),
    })
    .superRefine((config, context) => {
      const names = config.source.map((one) => one.name ?? nameFromUrl(one.url));
      names.forEach((name, index) => {
        if (names.indexOf(name) !== index)
          context.addIssue({
            code: "custom",
            path: ["source", index, "name"],
            message: `a second source is called "${name}": give one of them a name of its own`,
          });
      });
      if (config.self.source !== undefined && !names.includes(config.self.source))
        context.addIssue({
          code: "custom",
          path: ["self", "source"],
          message: `no source is called "${config.self.source}"${names.length === 0 ? "" : `: there are ${names.join(", ")}`}`,
        });
      for (const { path, message } of strayPolicies(config.policy, names))
        context.addIssue({ code: "custom", path: ["policy", ...path], message });
      if (/\/(?:containers\/systemd|pgo-self)\/*$/.test(config.quadlet.directory))
        context.addIssue({
          code: "custom",
          path: ["quadlet", "directory"],
          message: `must be a directory of its own, such as ${directories.quadlet}: one broken file takes all quadlets of its directory along`,
        });
      if (config.state.directory === config.quadlet.directory || config.quadlet.directory.startsWith(`${config.state.directory}/`))
        context.addIssue({ code: "custom", path: ["quadlet", "directory"], message: "must not lie in the state directory" });
    });
}

/** Defaults that depend on whether pgo runs for root or for another user (CONTRACT.md of the design, section 4). */
export interface Directories {
  readonly quadlet: string;
  readonly units: string;
  readonly secrets: string;
  readonly state: string;
}

export type HostConfig = z.infer<ReturnType<typeof hostConfig>>;

/** A source, ready to use. */
export interface Source {
  readonly name: SourceName;
  readonly url: string;
  /** Undefined: the branch that the remote's HEAD names. */
  readonly branch: string | undefined;
  /** `.` or `a/b`: no leading `./`, no trailing slash; with variables still in them until a pass begins. */
  readonly paths: readonly string[];
  readonly optionalPaths: boolean;
  readonly interval: number;
  readonly auth: z.infer<typeof auth> | undefined;
  readonly allowEmpty: boolean;
}

/** All that pgo is told on the host. */
export interface Config {
  readonly sources: readonly Source[];
  readonly quadlet: {
    readonly directory: string;
    readonly unitDirectory: string;
    readonly generatorWarnings: "report" | "refuse";
    readonly driftInterval: number;
    readonly adopt: boolean;
  };
  readonly health: Patience;
  readonly applications: ReadonlyMap<
    string,
    { readonly health: Readonly<Record<string, UnitHealthSettings>>; readonly vars: VarsTable; readonly adopt?: boolean | undefined }
  >;
  readonly vars: VarsTable;
  readonly policy: PolicySettings;
  readonly secrets: {
    readonly directory: string;
    readonly missing: "error" | "warn" | "empty";
    readonly managerEnvironment: readonly string[];
    readonly ageKey: AgeKey | undefined;
  };
  readonly state: {
    readonly directory: string;
    readonly database: string;
    readonly keepDeployments: number;
    readonly keepDays: number;
    readonly keepGood: number;
    /** Bytes; 0: not looked at. */
    readonly minFree: number;
  };
  readonly self: {
    readonly source: SourceName | undefined;
    /** Milliseconds. */
    readonly deadline: number;
  };
  readonly metrics: { readonly listen: { readonly host: string; readonly port: number } | "off" };
  readonly system: { readonly logLevel: "debug" | "info" | "warn" | "error"; readonly logFormat: "auto" | "json" | "text" };
}

/** The checked keys of pgo.toml, as the rest of the program takes them. */
export function configOf(raw: HostConfig): Config {
  return {
    sources: raw.source.map((one) => ({
      name: sourceName(one.name ?? nameFromUrl(one.url)),
      url: one.url,
      branch: one.branch,
      paths: one.paths.map(plainPath),
      optionalPaths: one.optional_paths,
      interval: one.interval,
      auth: one.auth,
      allowEmpty: one.allow_empty,
    })),
    quadlet: {
      directory: raw.quadlet.directory,
      unitDirectory: raw.quadlet.unit_directory,
      generatorWarnings: raw.quadlet.generator_warnings,
      driftInterval: raw.quadlet.drift_interval,
      adopt: raw.quadlet.adopt,
    },
    health: {
      deadline: raw.health.deadline,
      interval: raw.health.interval,
      timeout: raw.health.timeout,
      successThreshold: raw.health.success_threshold,
      failureThreshold: raw.health.failure_threshold,
      startPeriod: raw.health.start_period,
      minHealthyTime: raw.health.min_healthy_time,
    },
    applications: new Map(Object.entries(raw.application)),
    vars: raw.vars,
    policy: raw.policy,
    secrets: {
      directory: raw.secrets.directory,
      missing: raw.secrets.missing,
      managerEnvironment: raw.secrets.manager_environment,
      ageKey: raw.secrets.age_key,
    },
    state: {
      directory: raw.state.directory,
      database: raw.state.database ?? `${raw.state.directory}/state.db`,
      keepDeployments: raw.state.keep_deployments,
      keepDays: raw.state.keep_days,
      keepGood: raw.state.keep_good,
      minFree: bytes(raw.state.min_free) ?? 0,
    },
    self: { source: raw.self.source === undefined ? undefined : sourceName(raw.self.source), deadline: raw.self.deadline },
    metrics: { listen: listenAddress(raw.metrics.listen) ?? "off" },
    system: { logLevel: raw.system.log_level, logFormat: raw.system.log_format },
  };
}

/** `ssh://git@host/ops/fleet.git` and `git@host:ops/fleet` are both called `fleet`. */
export function nameFromUrl(url: string): string {
  const last = url.replace(/\/+$/, "").split(/[/:]/).at(-1) ?? "";
  const name = last
    .replace(/\.git$/, "")
    .replace(/[^A-Za-z0-9_.-]/g, "-")
    .replace(/^[.-]+/, "");
  return name === "" ? "source" : name.slice(0, 63);
}

/** `127.0.0.1:9180`, `[::]:9180`, `localhost:9180`; undefined if it is none, or the port is not 1 to 65535. */
function listenAddress(text: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

function plainPath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return parts.length === 0 ? "." : parts.join("/");
}

function insideRepository(path: string): boolean {
  return path !== "" && !path.startsWith("/") && !path.split("/").includes("..");
}

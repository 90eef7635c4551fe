/** The shape of pgo.toml: the host's and an application's, read with zod, every key known, every default here. */

import { z } from "zod";

import { absolute, positive, secretReference } from "./config-values.ts";
import type { Patience } from "./health.ts";
import { appUnitHealth, healthDefaults, hostUnitHealth, type UnitHealthSettings } from "./health-config.ts";
import { policySettings, strayPolicies, type PolicySettings } from "./policy-config.ts";
import { applicationPhase, unitPaces, type UnitPaces } from "./pace-config.ts";
import { ownSchedule, scheduleLayer, type ScheduleLayer } from "./schedule-config.ts";
import { applicationSecrets, hostSecrets, type AgeKey } from "./secrets-config.ts";
import { varsTable, type VarsTable } from "./vars-config.ts";
import { watchKeys, type Watching } from "./watch-config.ts";
import { NameError, applicationName, sourceName, type SourceName } from "./names.ts";
import { fixedKeys, fixedRef, strayRef, type FixedRef } from "./refs.ts";
import { bytes } from "./size.ts";

export type { SecretReference } from "./config-values.ts";
export type { UnitHealthSettings } from "./health-config.ts";

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
  ...fixedKeys,
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
  atomic: z
    .enum(["application", "source"])
    .default("application")
    .describe("What goes as a whole or not at all: each application by itself, or all of a revision (docs/how-it-works.md)."),
  schedule: scheduleLayer.optional().describe("As [schedule], for this source; key by key."),
});

/** Signals that a process may take as "read your files again"; one that ends it would be a restart. */
const reactions = /^(?:restart|reload|none|signal:(?:HUP|INT|QUIT|USR1|USR2|ALRM|CONT|WINCH))$/;

/** Whether a version that fails is gone back from. */
const goingBack = z.enum(["auto", "never"]);

/** An application's own pgo.toml, in Git beside its quadlets. */
export const applicationSettings = z.strictObject({
  health: z.record(z.string(), appUnitHealth).default({}).describe("By unit file name without suffix, or by service name."),
  vars: varsTable,
  secrets: applicationSecrets.prefault({}),
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
  volume: z
    .record(
      z.string(),
      z.strictObject({
        recreate: z
          .boolean()
          .default(false)
          .describe("Whether a change of the .volume makes it anew: it begins empty, and what was in it goes to a backup."),
      }),
    )
    .default({})
    .describe("By unit file name without suffix, or by service name."),
  rollback: goingBack
    .optional()
    .describe("never: a version that fails is left as it is, for data that can't go back (docs/how-it-works.md); default: auto, undone."),
  phase: applicationPhase,
  unit: unitPaces,
  schedule: ownSchedule.prefault({}).describe("When changes of this application may go; the host's `[schedule]` must allow it too."),
  ...watchKeys,
});
export type ApplicationSettings = z.infer<typeof applicationSettings>;

/** The host's pgo.toml. `directories` are those of rootful or rootless Podman, for the defaults. */
export function hostConfig(directories: Directories) {
  const prune = z.enum(["none", "networks", "all"]);
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
    prune: prune
      .default("networks")
      .describe(
        "What of Podman's goes with units that are gone; all: volumes too, after a backup, and images that nothing needs any more.",
      ),
    rollback_pin: z
      .enum(["until-change", "until-resumed"])
      .default("until-change")
      .describe("How long ctl rollback holds: until Git changes the application's content, or until ctl resume of it."),
    drift_interval: positive.default(300_000).describe("Time between two looks at the host; passes between them ask only Git."),
    track_digests: z
      .boolean()
      .default(false)
      .describe("Whether an image whose tag has moved in its registry is rolled out without a commit (docs/images.md)."),
    track_interval: positive.default(3_600_000).describe("Time between two looks at the registries for that; `ctl sync` looks at once."),
  });
  const images = z.strictObject({
    prune: z
      .boolean()
      .default(false)
      .describe("Whether images that pgo has pulled go when no version that can be gone back to needs them (docs/images.md)."),
  });
  const adopt = z.boolean().optional().describe("Of [quadlet], for this application alone.");
  const rollback = goingBack.optional().describe("Whether a version that fails is undone; wins over the application's own rollback.");
  const ownPrune = prune.optional().describe("Of [quadlet], for this application alone.");
  const backup = z.strictObject({
    volumes: z
      .enum(["before-removal", "before-rollout", "never"])
      .default("before-removal")
      .describe(
        "When the data of named volumes is copied; before-rollout: also when what uses them is about to restart with a change; never: a volume that is removed takes its data along, for those who have backups.",
      ),
    keep: z.int().min(1).default(5).describe("Backups: at least so many of each volume, and of each application's versions,"),
    keep_days: z.int().min(1).default(30).describe("and those of so many days, whichever is more."),
  });
  const scheduleHere = scheduleLayer.optional().describe("As [schedule], for this application; key by key.");
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
      images: images.prefault({}),
      health: healthDefaults.prefault({}),
      secrets: secrets.prefault({}),
      state: state.prefault({}),
      backup: backup.prefault({}),
      metrics: metrics.prefault({}),
      system: system.prefault({}),
      self: self.prefault({}),
      vars: varsTable,
      policy: policySettings.prefault({}),
      schedule: scheduleLayer.prefault({}).describe("When changes may go (docs/schedule.md)."),
      application: z
        .record(
          named(applicationName),
          z.strictObject({
            health: z.record(z.string(), hostUnitHealth).default({}),
            vars: varsTable,
            adopt,
            prune: ownPrune,
            rollback,
            phase: applicationPhase,
            unit: unitPaces,
            schedule: scheduleHere,
            ...watchKeys,
          }),
        )
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
      config.source.forEach((one, index) => {
        const stray = strayRef(one);
        if (stray !== undefined) context.addIssue({ code: "custom", path: ["source", index, stray.key], message: stray.message });
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
  /** Followed instead of a branch. */
  readonly at?: FixedRef | undefined;
  /** `.` or `a/b`: no leading `./`, no trailing slash; with variables still in them until a pass begins. */
  readonly paths: readonly string[];
  readonly optionalPaths: boolean;
  readonly interval: number;
  readonly auth: z.infer<typeof auth> | undefined;
  readonly allowEmpty: boolean;
  /** Default: each application by itself. */
  readonly atomic?: "application" | "source";
  readonly schedule?: ScheduleLayer | undefined;
  /** Whether the messages of all new commits are wanted, since a trailer in one of them may count. */
  readonly trailers?: boolean;
}

/** How long a person's rollback holds. */
export type RollbackPin = "until-change" | "until-resumed";

/** All that pgo is told on the host. */
export interface Config {
  readonly sources: readonly Source[];
  readonly quadlet: {
    readonly directory: string;
    readonly unitDirectory: string;
    readonly generatorWarnings: "report" | "refuse";
    readonly driftInterval: number;
    readonly adopt: boolean;
    readonly prune: "none" | "networks" | "all";
    readonly rollbackPin: RollbackPin;
    readonly trackDigests: boolean;
    readonly trackInterval: number;
  };
  readonly images: { readonly prune: boolean };
  /** `resources`: whether what containers use is read of all of them. */
  readonly health: Patience & { readonly resources: boolean };
  /** `interval`: between two rounds of probes, in milliseconds; 0: none of their own. */
  readonly watch: Watching & { readonly interval: number };
  readonly applications: ReadonlyMap<
    string,
    {
      readonly health: Readonly<Record<string, UnitHealthSettings>>;
      readonly vars: VarsTable;
      readonly adopt?: boolean | undefined;
      readonly prune?: "none" | "networks" | "all" | undefined;
      readonly rollback?: "auto" | "never" | undefined;
      readonly phase?: number | undefined;
      readonly unit?: UnitPaces;
      readonly schedule?: ScheduleLayer | undefined;
      readonly watch?: Watching["action"] | undefined;
      readonly watch_window?: number | undefined;
    }
  >;
  readonly vars: VarsTable;
  readonly policy: PolicySettings;
  readonly schedule: ScheduleLayer;
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
  readonly backup: {
    readonly volumes: "before-removal" | "before-rollout" | "never";
    /** Of each volume. */
    readonly keep: number;
    readonly keepDays: number;
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
  const levels = [
    raw.schedule,
    ...raw.source.map(({ schedule }) => schedule),
    ...Object.values(raw.application).map((one) => one.schedule),
  ];
  const trailers = levels.some((level) => level?.urgent_trailer !== undefined);
  return {
    sources: raw.source.map((one) => ({
      name: sourceName(one.name ?? nameFromUrl(one.url)),
      url: one.url,
      branch: one.branch,
      at: fixedRef(one),
      paths: one.paths.map(plainPath),
      optionalPaths: one.optional_paths,
      interval: one.interval,
      auth: one.auth,
      allowEmpty: one.allow_empty,
      atomic: one.atomic,
      schedule: one.schedule,
      trailers,
    })),
    quadlet: {
      directory: raw.quadlet.directory,
      unitDirectory: raw.quadlet.unit_directory,
      generatorWarnings: raw.quadlet.generator_warnings,
      driftInterval: raw.quadlet.drift_interval,
      adopt: raw.quadlet.adopt,
      prune: raw.quadlet.prune,
      rollbackPin: raw.quadlet.rollback_pin,
      trackDigests: raw.quadlet.track_digests,
      trackInterval: raw.quadlet.track_interval,
    },
    images: raw.images,
    health: {
      deadline: raw.health.deadline,
      interval: raw.health.interval,
      timeout: raw.health.timeout,
      successThreshold: raw.health.success_threshold,
      failureThreshold: raw.health.failure_threshold,
      startPeriod: raw.health.start_period,
      minHealthyTime: raw.health.min_healthy_time,
      resources: raw.health.resources,
    },
    watch: { interval: raw.health.watch_interval, action: raw.health.watch, window: raw.health.watch_window },
    applications: new Map(Object.entries(raw.application)),
    vars: raw.vars,
    policy: raw.policy,
    schedule: raw.schedule,
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
    backup: { volumes: raw.backup.volumes, keep: raw.backup.keep, keepDays: raw.backup.keep_days },
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

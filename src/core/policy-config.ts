/** What a source may deploy: the keys of `[policy]` in the host's pgo.toml, the two presets, and the policy that counts for an application. */

import { z } from "zod";

import { closest } from "./closest.ts";
import { NameError, applicationName, partsOf, sourceName, type ApplicationId } from "./names.ts";

const rules = {
  registries: z
    .array(z.string().min(1))
    .describe('Registries, or parts of them, that images may come from: "quay.io", "ghcr.io/acme". "*": any.'),
  unqualified_images: z.boolean().describe("Whether an image may be named without its registry, which the host then searches."),
  local_images: z.boolean().describe("Whether images of this host, localhost/…, may be used."),
  require_digest: z.boolean().describe("Whether every image must be named with its digest."),
  podman_args: z.boolean().describe("Whether PodmanArgs=, GlobalArgs= and ContainersConfModule= may be used."),
  privileged: z
    .boolean()
    .describe("Whether a container's isolation may be loosened: SELinux, seccomp, AppArmor, masks, annotations, the host's environment."),
  host_namespaces: z.boolean().describe("Whether the host's, or another application's, network and user namespaces may be joined."),
  capabilities: z.array(z.string().min(1)).describe('What AddCapability= may add, with or without CAP_. "*": any.'),
  mounts: z
    .array(z.string().min(1))
    .describe('Host paths that may be mounted or read, each exactly as listed; "/srv/shop/**": and all below; "*": any.'),
  volumes: z.array(z.string().min(1)).describe('Podman volumes, or .volume units of other applications, that may be used. "*": any.'),
  networks: z.array(z.string().min(1)).describe('Podman networks, or .network units of other applications, that may be joined. "*": any.'),
  secrets: z.array(z.string().min(1)).describe('Secrets that may be used; "SHOP_*": all that begin so; "*": any.'),
  devices: z.array(z.string().min(1)).describe('Devices that AddDevice= may name, each exactly as listed. "*": any.'),
  plain_units: z.boolean().describe("Whether systemd's own units (.service, .timer, …) may be deployed: they run on the host itself."),
  kube: z.boolean().describe("Whether .kube units may be deployed: what their Yaml says is not looked at."),
  builds: z.boolean().describe("Whether .build units may be deployed: what their Containerfile says is not looked at."),
  host_commands: z
    .boolean()
    .describe("Whether an application's own pgo.toml may have commands run on the host itself as health checks; no preset allows it."),
  root_user: z.boolean().describe("Whether a container may run as root inside; else it needs User= with a number other than 0."),
  units: z.array(z.string().min(1)).describe('Units of others that [Unit] and [Install] may name. "*": any.'),
  keys: z
    .array(z.string().min(1))
    .describe('Keys beyond those that are known to be harmless or that a rule judges, such as "Service.Slice". "*": any.'),
};

const presets = ["open", "contained"] as const;
export type Preset = (typeof presets)[number];

const layer = z.strictObject({
  preset: z.enum(presets).describe("What counts where no key says otherwise; a section with a preset takes nothing from those above it."),
  mode: z.enum(["enforce", "warn"]).describe("warn: what is against the policy is told and deployed all the same."),
  ...rules,
});

const section = layer.partial();

/** `[policy]`, `[policy.source.NAME]` and `[policy.application."SOURCE/NAME"]` of the host's pgo.toml. */
export const policySettings = section.extend({
  source: z.record(z.string(), section).default({}).describe("By source; wins over [policy]."),
  application: z.record(z.string(), section).default({}).describe('By "SOURCE/APPLICATION"; wins over the source\'s.'),
});
export type PolicySettings = z.infer<typeof policySettings>;
type Layer = z.infer<typeof layer>;
type Section = z.infer<typeof section>;

export type Rules = { readonly [K in keyof typeof rules]: Layer[K] };
/** A key of `[policy]`; besides `syntax`, which comes with any rule, and `own_names`, which always counts. */
export type Rule = keyof Rules | "syntax" | "own_names";

export interface Policy {
  readonly mode: "enforce" | "warn";
  readonly rules: Rules;
  /** The section that decided each rule, such as `[policy.source.guest]`. */
  readonly from: Readonly<Record<keyof Rules, string>>;
  /** Whether any rule forbids anything. */
  readonly restricts: boolean;
}

/** What Podman gives every container anyway (containers.conf(5), default_capabilities): naming them after DropCapability=all adds nothing. */
const defaultCapabilities = [
  ...["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"],
];

export const presetRules: Readonly<Record<Preset, Rules>> = {
  open: {
    ...{ registries: ["*"], unqualified_images: true, local_images: true, require_digest: false },
    ...{ podman_args: true, privileged: true, host_namespaces: true, capabilities: ["*"] },
    ...{ mounts: ["*"], volumes: ["*"], networks: ["*"], secrets: ["*"], devices: ["*"] },
    ...{ plain_units: true, kube: true, builds: true, host_commands: false, root_user: true, units: ["*"], keys: ["*"] },
  },
  contained: {
    ...{ registries: ["*"], unqualified_images: false, local_images: false, require_digest: false },
    ...{ podman_args: false, privileged: false, host_namespaces: false, capabilities: defaultCapabilities },
    ...{ mounts: [], volumes: [], networks: [], secrets: [], devices: [] },
    ...{ plain_units: false, kube: false, builds: false, host_commands: false, root_user: true, units: [], keys: [] },
  },
};

/**
 * The policy of an application: `[policy]`, then its source's section, then its own, key by key; the innermost that names a preset starts
 * anew, so that a key that loosens `[policy]` can't loosen what is contained below it.
 */
export function policyOf(settings: PolicySettings, application: ApplicationId): Policy {
  const { source } = partsOf(application);
  const layers: readonly (readonly [string, Section])[] = [
    ["[policy]", settings],
    [`[policy.source.${key(source)}]`, own(settings.source, source) ?? {}],
    [`[policy.application."${application}"]`, own(settings.application, application) ?? {}],
  ];
  const start = Math.max(
    0,
    layers.findLastIndex(([, one]) => one.preset !== undefined),
  );
  const preset = presetRules[layers[start]?.[1].preset ?? "open"];
  const counting = layers.slice(start);
  const decided = <K extends keyof Rules>(rule: K): readonly [Rules[K], string] => {
    const last = counting.findLast(([, one]) => one[rule] !== undefined);
    const [section, value] = last === undefined ? [counting[0]?.[0] ?? "[policy]", undefined] : [last[0], last[1][rule]];
    // The type of a partial layer's key is the rule's or undefined.
    return [(value as Rules[K] | undefined) ?? preset[rule], section];
  };
  const names = Object.keys(rules) as (keyof Rules)[];
  const found = Object.fromEntries(names.map((rule) => [rule, decided(rule)[0]])) as unknown as Rules;
  return {
    mode: counting.findLast(([, one]) => one.mode !== undefined)?.[1].mode ?? "enforce",
    rules: found,
    from: Object.fromEntries(names.map((rule) => [rule, decided(rule)[1]])) as Record<keyof Rules, string>,
    restricts: names.some((rule) => !isOpen(rule, found)),
  };
}

/** Whether a rule forbids nothing of what units say; `host_commands` is about pgo.toml alone. */
export function isOpen(rule: keyof Rules, found: Rules): boolean {
  if (rule === "host_commands") return true;
  const value = found[rule];
  return Array.isArray(value) ? value.includes("*") : value === presetRules.open[rule];
}

/**
 * Sections that would never count: of a source that isn't there, of an application that isn't named "SOURCE/NAME". A misspelt name would
 * leave its source open. `path` is below `[policy]`, as zod takes it.
 */
export function strayPolicies(
  settings: PolicySettings,
  sources: readonly string[],
): readonly { readonly path: readonly string[]; readonly message: string }[] {
  const lacking = (name: string) => {
    const meant = closest(name, sources);
    return `there is no source "${name}"${meant === undefined ? "" : ` (did you mean "${meant}"?)`}: the section would never count`;
  };
  return [
    ...Object.keys(settings.source)
      .filter((name) => !sources.includes(name))
      .map((name) => ({ path: ["source", name], message: lacking(name) })),
    ...Object.keys(settings.application).flatMap((id) => {
      const [source = "", name = "", ...rest] = id.split("/");
      const path = ["application", id];
      // By its name alone, a source that is trusted less could take another's policy by naming a directory like it.
      if (rest.length > 0 || !isName(source, sourceName) || !isName(name, applicationName))
        return [{ path, message: `must be "SOURCE/APPLICATION", such as "${sources[0] ?? "fleet"}/shop"` }];
      return sources.includes(source) ? [] : [{ path, message: lacking(source) }];
    }),
  ];
}

/** Whether a list of names has one: exactly, by a beginning that a `*` ends, or by "*". */
export function lists(list: readonly string[], name: string): boolean {
  return list.some((entry) => entry === name || (entry.endsWith("*") && name.startsWith(entry.slice(0, -1))));
}

function isName(text: string, parse: (text: string) => string): boolean {
  try {
    return parse(text) === text;
  } catch (error) {
    if (error instanceof NameError) return false;
    throw error;
  }
}

/** A source may be called "constructor". */
function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

/** As TOML writes a key. */
function key(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : `"${name}"`;
}

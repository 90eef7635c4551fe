/** Rules that judge a value: images, networks, names, and keys that are harmless with some values only. */

import type { ApplicationId } from "./names.ts";
import { partsOf } from "./names.ts";
import { isOpen, lists, type Policy, type Rule } from "./policy-config.ts";
import { splitWords, unquoted } from "./policy-text.ts";

/** Why a value is against the policy, and what to do instead. */
export interface Refusal {
  readonly rule: Rule;
  readonly why: string;
}

/** Beside what a value is judged. */
export interface Scene {
  readonly policy: Policy;
  readonly application: ApplicationId;
  /** The unit's path below the application: what its relative paths start from. */
  readonly path: string;
  /** Quadlets of the application, by name. */
  readonly quadlets: ReadonlySet<string>;
  /** Podman secrets that the application brings, by name. */
  readonly secrets: ReadonlySet<string>;
}

export type Judge = (value: string, scene: Scene) => Refusal | undefined;

/** Of any policy that does not leave the rule open. */
const when =
  (rule: keyof Policy["rules"], judge: Judge): Judge =>
  (value, scene) =>
    value === "" || isOpen(rule, scene.policy.rules) ? undefined : judge(value, scene);

const refuse = (rule: Rule, why: string): Refusal => ({ rule, why });

/** Never allowed under a rule that is not open. */
export const forbidden = (rule: keyof Policy["rules"], why: string): Judge => when(rule, () => refuse(rule, why));

/** Allowed with values that match, under a rule that is not open. */
export const only = (rule: keyof Policy["rules"], pattern: RegExp, why: string): Judge =>
  when(rule, (value) => (pattern.test(unquoted(value)) ? undefined : refuse(rule, why)));

/** The same for a list of words. */
export const onlyWords = (rule: keyof Policy["rules"], pattern: RegExp, why: string): Judge =>
  when(rule, (value) => (splitWords(value).every((word) => pattern.test(word)) ? undefined : refuse(rule, why)));

/** Allowed when it is off, under a rule that is not open; the generator takes all but 1, yes, true and on for off. */
export const off = (rule: keyof Policy["rules"], why: string): Judge => only(rule, /^(?:0|no|false|off)$/i, why);

export const capability: Judge = when("capabilities", (value, { policy }) => {
  const plain = (name: string) => name.toUpperCase().replace(/^CAP_/, "");
  const allowed = policy.rules.capabilities.map(plain);
  const added = splitWords(value).find((word) => !allowed.includes(plain(word)));
  return added === undefined ? undefined : refuse("capabilities", `the capability ${added} is not one that may be added`);
});

export const device: Judge = when("devices", (value, { policy }) => {
  const other = splitWords(value)
    .map((word) => word.replace(/^-/, "").split(":")[0] ?? "")
    .find((path) => !policy.rules.devices.includes(path));
  return other === undefined ? undefined : refuse("devices", `the device ${other} is not listed`);
});

/** `Secret=name,type=env,target=…`: secrets are the host's, whoever made them, but for those that the application brings. */
export const secret: Judge = when("secrets", (value, { policy, secrets }) => {
  const other = splitWords(value)
    .map((word) => word.split(",")[0] ?? "")
    .find((name) => !/^[\w.-]+$/.test(name) || (!secrets.has(name) && !lists(policy.rules.secrets, name)));
  return other === undefined ? undefined : refuse("secrets", `the secret ${other} is not listed, and may be another application's`);
});

/** Podman takes a variable without a value from its own environment (podman-run(1), --env; Podman 5.6). */
export const environment: Judge = when("privileged", (value) => {
  const bare = splitWords(value).find((word) => !/^[^=]+=/.test(word));
  return bare === undefined ? undefined : refuse("privileged", `${bare} has no value, and would be taken from the host's environment`);
});

/** The label by which units are found: with another's, `podman auto-update` restarts that unit, and pgo takes the container for its. */
export const label: Judge = when("keys", (value) =>
  splitWords(value).some((word) => word.startsWith("PODMAN_SYSTEMD_UNIT"))
    ? refuse("keys", "PODMAN_SYSTEMD_UNIT says which unit a container belongs to, and is Podman's to set")
    : undefined,
);

/** containers-userns: with none of these the container's users are the host's or another container's. */
export const userNamespace: Judge = only(
  "host_namespaces",
  /^(?:auto(?::size=\d+)?|keep-id(?::(?:uid|gid|size)=\d+(?:,(?:uid|gid|size)=\d+)*)?|nomap|private)$/,
  "only auto, keep-id, nomap and private may be used",
);

/** `Network=` of containers, pods, builds and kube units: a mode, a quadlet, or a network by its name, with options behind a colon. */
export const network: Judge = (value, scene) => {
  const { rules } = scene.policy;
  const [, name = "", options] = /^([^:]*)(?::(.*))?$/s.exec(value) ?? [];
  if (value === "" || (isOpen("networks", rules) && isOpen("host_namespaces", rules))) return undefined;
  if (!rules.host_namespaces) {
    if (["host", "ns", "container"].includes(name))
      return refuse("host_namespaces", "it would see the host's network, or another container's, as its own");
    // pasta and slirp4netns are programs of the host: their options name files to write, and the host's loopback.
    if (["pasta", "slirp4netns"].includes(name) && options !== undefined)
      return refuse("host_namespaces", `options of ${name} reach the host: leave them out`);
    if (!/^[A-Za-z0-9][\w.-]*$/.test(name) || (options !== undefined && !/^[\w=.,:-]*$/.test(options)))
      return refuse("host_namespaces", "it is not plainly a network's name: write it without quotes, specifiers and variables");
    if (name.endsWith(".container") && !scene.quadlets.has(name))
      return refuse("host_namespaces", `${name} is not of this application, and so is its network`);
  }
  if (["none", "private", "bridge", "pasta", "slirp4netns", "podman", "host", "ns", "container"].includes(name)) return undefined;
  if ((/\.(?:network|container)$/.test(name) && scene.quadlets.has(name)) || lists(rules.networks, name)) return undefined;
  return refuse("networks", `${name} is neither a .network of this application nor listed`);
};

export const pod: Judge = when("host_namespaces", (value, { quadlets }) =>
  quadlets.has(unquoted(value)) ? undefined : refuse("host_namespaces", "the pod is not of this application, and so are its namespaces"),
);

/** Names of Podman objects are the last words of commands, and one that begins with a dash is an option. */
export const objectName: Judge = only(
  "keys",
  /^(?:[A-Za-z0-9]|%[Nnpi])(?:[\w.@-]|%[Nnpij])*$/,
  "only letters, digits, _, ., - and the specifiers %N, %n, %p and %i may be in it",
);

/** The generator takes it as it is for the name of a file. */
export const service: Judge = only("keys", /^[A-Za-z0-9][\w.@-]*$/, "only letters, digits, _, ., @ and - may be in it");

/** `VolumeName=` takes what is there already, whoever made it. */
export const volumeName: Judge = when("volumes", (value, { policy }) =>
  lists(policy.rules.volumes, unquoted(value))
    ? undefined
    : refuse("volumes", `the volume may be another's: leave VolumeName= out, or have ${unquoted(value)} listed`),
);

export const networkName: Judge = when("networks", (value, { policy }) =>
  lists(policy.rules.networks, unquoted(value))
    ? undefined
    : refuse("networks", `the network may be another's: leave NetworkName= out, or have ${unquoted(value)} listed`),
);

/** An image as users write it; the domain and path as in the reference grammar of containers/image. */
const reference =
  /^(?:docker:\/\/)?(?:((?:[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*)(?:\.[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*)*(?::\d+)?|\[[0-9a-fA-F:]+\](?::\d+)?)\/)?([a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*)(?::\w[\w.-]*)?(@sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128}))?$/;

/** `Image=` and its like: a unit of this application, or an image whose registry is allowed. */
export const image: Judge = (value, scene) => {
  const { rules } = scene.policy;
  if (value === "" || imageRules.every((rule) => isOpen(rule, rules))) return undefined;
  const text = unquoted(value);
  if (/\.(?:image|build|artifact)$/.test(text)) {
    if (scene.quadlets.has(text)) return undefined;
    return refuse(strictestOf(scene.policy), `${text} is not a unit of this application, so that its image can't be seen`);
  }
  const [match, domain, path = "", digest] = reference.exec(text) ?? [];
  if (match === undefined) return refuse(strictestOf(scene.policy), `${text} is not plainly an image's name with its registry`);
  // As containers/image does: what has no dot, no colon and is not localhost is a part of the path.
  const isDomain = domain !== undefined && (/[.:[]/.test(domain) || domain === "localhost" || domain !== domain.toLowerCase());
  if (!isDomain && !rules.unqualified_images)
    return refuse("unqualified_images", `write the image with its registry, such as docker.io/library/${path}`);
  const host = isDomain ? domain.toLowerCase().replace(/^index\.docker\.io$/, "docker.io") : "docker.io";
  const full = isDomain ? path : domain === undefined ? path : `${domain}/${path}`;
  if (!rules.local_images && /^(?:localhost(?::|$)|127\.|\[)/.test(host))
    return refuse("local_images", "images of this host may be anybody's: use one of a registry");
  if (!isOpen("registries", rules)) {
    const whole = `${host}/${host === "docker.io" && !full.includes("/") ? `library/${full}` : full}`;
    if (!rules.registries.some((entry) => whole === entry || whole.startsWith(`${entry.replace(/\/+$/, "")}/`)))
      return refuse("registries", `images may come from ${list(rules.registries)} only`);
  }
  if (rules.require_digest && digest === undefined)
    return refuse("require_digest", "write the image with its digest, …@sha256:…, so that it can't become another");
  return undefined;
};

/** A root file system is no image, and can't be told from one that is not allowed. */
export const rootfsAsImage: Judge = (value, { policy }) =>
  value === "" || isOpen("registries", policy.rules) ? undefined : refuse("registries", "a root file system of the host is not an image");

/** What a build is tagged with must not become what another unit runs. */
export const buildTag: Judge = when("keys", (value, { application }) => {
  const { source } = partsOf(application);
  const start = `localhost/${source}/`;
  return unquoted(value).startsWith(start) && reference.test(unquoted(value))
    ? undefined
    : refuse("keys", `a name that others may use would become this image: begin it with ${start}`);
});

/** The rules that an image may be against. */
export const imageRules = ["registries", "unqualified_images", "local_images", "require_digest"] as const;

function strictestOf({ rules }: Policy): Rule {
  return imageRules.find((rule) => !isOpen(rule, rules)) ?? "registries";
}

/** "a, b or c". */
export function list(words: readonly string[]): string {
  if (words.length === 0) return "none";
  return words.length === 1 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} or ${words.at(-1) ?? ""}`;
}

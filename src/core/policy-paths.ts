/** Rules about the host's paths: what may be mounted into a container, and what may be read from the host. */

import { isOpen, lists, type Policy } from "./policy-config.ts";
import { splitWords, unquoted } from "./policy-text.ts";
import { image, imageRules, type Judge, type Refusal, type Scene } from "./policy-values.ts";

/**
 * `Volume=SOURCE:DESTINATION:OPTIONS` (podman-systemd.unit(5)). What lies in the application's directory is mounted read only: in a
 * directory that a container can write, it could write quadlets, which the generator would find and nobody would have judged.
 */
export const volume: Judge = (value, scene) => {
  // A variable may hold colons, and so a source where none is written.
  if (restricts(scene) && /[$%]/.test(value)) return refuse("it can't be judged with specifiers or variables: write it out");
  const [source = "", ...rest] = value.split(":");
  if (rest.length === 0) return undefined;
  // Of an empty argument the generator writes nothing, so that the next one takes its place (tried on 5.4 and 5.8).
  if (restricts(scene) && (source === "" || rest[0] === "")) return refuse("it lacks its source or its place in the container");
  const options = rest.slice(1).join(":").split(",");
  return mountSource(source, readOnly(options), scene) ?? badOption(options, volumeOptions(source), scene);
};

/** `Mount=type=bind,source=…,destination=…`: each word a mount, its parts by commas; quotes of CSV are not tried to be understood. */
export const mount: Judge = (value, scene) => {
  const rule = (["mounts", "volumes", ...imageRules] as const).find((one) => !isOpen(one, scene.policy.rules));
  if (value === "" || rule === undefined) return undefined;
  if (/["'\\$%]/.test(value))
    return { rule, why: "it can't be judged with quotes, backslashes, specifiers or variables: write it without" };
  for (const word of splitWords(value)) {
    const refusal = oneMount(word, scene);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
};

/** `EnvironmentFile=` and what else the generator makes absolute from the unit's directory (getAbsolutePath of Podman's quadlet.go). */
export const ownFiles: Judge = (value, scene) => {
  for (const word of splitWords(value)) {
    const refusal = hostPath(word.replace(/^-/, ""), { relative: "unit", readOnly: true }, scene);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
};

/** The same for a key that takes one path. */
export const ownFile: Judge = (value, scene) => hostPath(unquoted(value), { relative: "unit", readOnly: true }, scene);

/** A path that Podman takes as it is: a relative one would be below /. */
export const hostFile: Judge = (value, scene) => hostPath(unquoted(value), { relative: "root", readOnly: false }, scene);

/** `File=`: below a build's context, which is judged by itself. */
export const buildFile: Judge = (value, scene) =>
  restricts(scene) && /^(?:\.\/)?\w[\w./-]*$/.test(unquoted(value)) && !unquoted(value).split("/").includes("..")
    ? undefined
    : hostPath(unquoted(value), { relative: "root", readOnly: true }, scene);

/** `SetWorkingDirectory=`: a word, or the context of a build. */
export const workingDirectory: Judge = (value, scene) => {
  const path = unquoted(value);
  if (/^(?:unit|file|yaml)$/i.test(path)) return undefined;
  return hostPath(path, { relative: /^[\w.][\w./-]*$/.test(path) ? "unit" : "root", readOnly: true }, scene);
};

/** `LogOpt=path=…` writes what a container says into any file of the host. */
export const logOption: Judge = (value, scene) => {
  if (!restricts(scene)) return undefined;
  const other = splitWords(value).find((word) => !/^(?:tag|max-size)=/.test(word));
  if (other === undefined) return undefined;
  return other.startsWith("path=") ? hostFile(other.slice(5), scene) : refuse(`only tag= and max-size= may be used, not ${other}`);
};

/** `Device=` of a volume: memory, or a listed path to bind. */
export const volumeDevice: Judge = (value, scene) => (unquoted(value) === "tmpfs" ? undefined : hostFile(value, scene));

export const volumeType: Judge = (value, scene) =>
  !restricts(scene) || ["", "tmpfs", "none", "bind"].includes(unquoted(value))
    ? undefined
    : refuse("only tmpfs, or a bind of a listed path, may be a volume's device");

/** `Options=` of a volume, as of mount(8): an overlay's name directories of the host, others run programs. */
export const volumeMountOptions: Judge = (value, scene) =>
  value === "" || !restricts(scene)
    ? undefined
    : badOption(unquoted(value).split(","), /^(?:r?bind|ro|rw|no(?:exec|suid|dev|atime)|(?:size|mode|uid|gid|nr_inodes)=[\w]+)$/, scene);

const mountTypes: Readonly<Record<string, RegExp>> = {
  bind: /^(?:(?:dst|dest|destination|target)=.*|(?:ro|readonly|rw)(?:=(?:true|false))?|bind-propagation=r?(?:private|slave)|relabel=(?:shared|private)|(?:r?private|r?slave|noexec|nodev|nosuid|Z|z|bind-nonrecursive))$/,
  glob: /^(?:(?:dst|dest|destination|target)=.*|(?:ro|readonly)(?:=true)?)$/,
  volume: /^(?:(?:dst|dest|destination|target)=.*|(?:ro|readonly|rw)(?:=(?:true|false))?|(?:noexec|nodev|nosuid|U|z|Z|chown)(?:=true)?)$/,
  image: /^(?:(?:dst|dest|destination|target)=.*|(?:rw|readwrite)=(?:true|false))$/,
  artifact: /^(?:(?:dst|dest|destination|target)=.*|(?:title|digest|name)=.*)$/,
  tmpfs:
    /^(?:(?:dst|dest|destination|target)=.*|(?:tmpfs-size|size|tmpfs-mode|mode)=\w+|ro|readonly|noexec|nodev|nosuid|U|chown|(?:no)?tmpcopyup)$/,
  ramfs: /^(?:(?:dst|dest|destination|target)=.*|(?:size|mode)=\w+|ro|readonly|noexec|nodev|nosuid|U|chown|(?:no)?tmpcopyup)$/,
};

function oneMount(text: string, scene: Scene): Refusal | undefined {
  const parts = text.split(",");
  const valuesOf = (...keys: readonly string[]) =>
    parts.filter((part) => keys.includes(part.split("=")[0] ?? "")).map((part) => part.slice(part.indexOf("=") + 1));
  const [type = "volume", ...types] = valuesOf("type");
  const [source = "", ...sources] = valuesOf("src", "source");
  const allowed = Object.hasOwn(mountTypes, type) ? mountTypes[type] : undefined;
  if (allowed === undefined || types.length > 0 || sources.length > 0)
    return refuse(`it must have one type, of ${Object.keys(mountTypes).join(", ")}, and one source`);
  const options = parts.filter((part) => !["type", "src", "source"].includes(part.split("=")[0] ?? ""));
  const isReadOnly = readOnly(options);
  const bad = badOption(options, allowed, scene);
  if (bad !== undefined) return bad;
  switch (type) {
    case "bind":
    case "glob":
      return hostPath(source, { relative: source.startsWith(".") ? "unit" : "root", readOnly: isReadOnly }, scene);
    case "volume":
      return source === "" ? undefined : mountSource(source, isReadOnly, scene);
    case "image":
    case "artifact":
      return image(source, scene);
    default:
      return source === "" ? undefined : refuse(`a ${type} has no source`);
  }
}

function mountSource(source: string, isReadOnly: boolean, scene: Scene): Refusal | undefined {
  const { rules } = scene.policy;
  if (source === "") return undefined;
  if (source.startsWith(".")) return hostPath(source, { relative: "unit", readOnly: isReadOnly }, scene);
  if (!/^[A-Za-z0-9][\w.-]*$/.test(source)) return hostPath(source, { relative: "root", readOnly: isReadOnly }, scene);
  const isUnit = source.endsWith(".volume");
  if (isOpen("volumes", rules) || (isUnit && scene.quadlets.has(source)) || lists(rules.volumes, source)) return undefined;
  const remedy = isUnit ? "it is not of this application" : `write ${source}.volume beside it and name that`;
  return { rule: "volumes", why: `the volume ${source} may be another's: ${remedy}, or have it listed` };
}

interface Reading {
  /** What the readers of this key take a relative path to be below: the unit's directory, or `/`, where Podman runs. */
  readonly relative: "unit" | "root";
  readonly readOnly: boolean;
}

function hostPath(path: string, { relative, readOnly: isReadOnly }: Reading, scene: Scene): Refusal | undefined {
  if (path === "" || !restricts(scene)) return undefined;
  const { mounts } = scene.policy.rules;
  // A listed glob would be one of mounts' own.
  if (/[\\"'$%?[\]{}]/.test(path) || (path.includes("*") && relative !== "unit"))
    return refuse(`${path} can't be judged with quotes, wildcards, specifiers or variables: write the path out`);
  if (!path.startsWith("/")) {
    if (relative === "root") return refuse(`${path} is not below the unit's directory but below /: write ./${path.replace(/^\.\//, "")}`);
    if (!staysInside(scene.path, path)) return refuse(`${path} leaves the application's directory`);
    return isReadOnly
      ? undefined
      : refuse(`${path} is the application's own: mount it read only (ro), since what is written there could become a unit`);
  }
  const plain =
    path
      .replace(/\/+/g, "/")
      .replace(/(?:\/\.)+(?=\/|$)/g, "")
      .replace(/(?<=.)\/$/, "") || "/";
  // A `..` goes up from where a symbolic link leads to, not from where it is written.
  if (!plain.split("/").includes("..") && mounts.some((entry) => covers(entry, plain))) return undefined;
  return refuse(`${path} is not one of the host's paths that are listed (${mounts.length === 0 ? "none is" : mounts.join(", ")})`);
}

/** Exactly: what is below a path that a container can write may be a symbolic link to anywhere. */
function covers(entry: string, path: string): boolean {
  if (entry.endsWith("/**")) return path.startsWith(entry.slice(0, -2)) || path === entry.slice(0, -3);
  return entry.replace(/(?<=.)\/+$/, "") === path;
}

function staysInside(unit: string, path: string): boolean {
  let depth = unit.split("/").length - 1;
  for (const part of path.split("/")) {
    if (part === "..") depth -= 1;
    else if (part !== "" && part !== ".") depth += 1;
    if (depth < 0) return false;
  }
  return true;
}

/** `O` mounts an overlay, whose changes are kept elsewhere and thrown away. */
function readOnly(options: readonly string[]): boolean {
  const writes = options.some((option) => /^(?:rw|(?:ro|readonly)=false|(?:rw|readwrite)=true)$/.test(option));
  return !writes && options.some((option) => /^(?:O|ro|readonly|(?:ro|readonly)=true)$/.test(option));
}

/** `O,upperdir=…` names a directory of the host to write to; `shared` lets mounts out to the host. */
function volumeOptions(source: string): RegExp {
  return source.startsWith(".")
    ? /^(?:ro|rw|O|z|Z|no(?:exec|dev|suid)|r?(?:private|slave|bind))?$/
    : /^(?:ro|rw|O|U|z|Z|no(?:exec|dev|suid|copy)|copy|r?(?:private|slave|bind))?$/;
}

function badOption(options: readonly string[], allowed: RegExp, scene: Scene): Refusal | undefined {
  const bad = restricts(scene) ? options.find((option) => option !== "" && !allowed.test(option)) : undefined;
  return bad === undefined ? undefined : refuse(`the option ${bad} is not one that is known to stay inside the container`);
}

function restricts({ policy }: { readonly policy: Policy }): boolean {
  return !isOpen("mounts", policy.rules);
}

function refuse(why: string): Refusal {
  return { rule: "mounts", why };
}

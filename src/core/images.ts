/** Images whose name may stand for another one tomorrow, and the drop-in by which pgo holds one by its digest. Pure. */

import type { Bundle } from "./bundle.ts";
import { isTemplate } from "./gather.ts";
import { digestOf, type Digest, type RelativePath, type ServiceName } from "./names.ts";
import { lastValue, parseUnit } from "./unit-text.ts";
import type { Sketch, Text } from "./units.ts";

/** A file of a bundle, a `.container` or an `.image`, that names an image by something that can move. */
export interface FloatingImage {
  /** Below the application, as in Git. */
  readonly path: RelativePath;
  /** As Git has it. */
  readonly name: string;
  readonly authFile: string | undefined;
  /** Services whose containers run it. */
  readonly services: readonly ServiceName[];
  /** `Pull=always` or `newer`: each start asks the registry. */
  readonly pullsAnew: boolean;
  /** `AutoUpdate=`: podman auto-update looks after it. */
  readonly autoUpdate: boolean;
  /** `docker.io/library/nginx@sha256:…` where pgo holds it; no part of what Git says. */
  readonly pin: string | undefined;
}

/** A reason to hold an image. */
export interface Pin {
  readonly reference: string;
  /** The registry has another one by that name, or: going back, since the name now stands for another one. */
  readonly why: "moved" | "kept";
}

/** An image on the host, as Podman knows it. */
export interface KnownImage {
  /** Of its configuration: the same for all digests of a manifest list and its parts. */
  readonly id: string;
  /** Of its manifest: `sha256:…`. */
  readonly digest: string;
  /** `docker.io/library/nginx@sha256:…`, for each of its names. None where no name is left. */
  readonly repoDigests: readonly string[];
}

/** What a file's name stood for when its service was started. */
export interface RanImage {
  readonly id: string;
  readonly reference: string;
}

/** Whether a name can move: not a digest, an id, another quadlet, a file of the host's, or one that systemd fills in. */
export function isFloating(name: string): boolean {
  if (name === "" || /[@%$\s]/.test(name) || /^[0-9a-f]{64}$/.test(name) || /\.(?:image|build|artifact)$/.test(name)) return false;
  // containers-transports(5); only this one has a registry behind it.
  return !/^[a-z-]+:/.test(name) || name.startsWith("docker://") || /^[\w.-]+:(?:\d+\/|[\w.-]+$)/.test(name);
}

/** Whose answer is waited for: images without a registry in their name are taken for one of the host's own list. */
export function registryOf(name: string): string {
  const [first = "", ...rest] = name.replace("docker://", "").split("/");
  return rest.length > 0 && /[.:]/.test(first) ? first : "";
}

/** Whether a registry can be asked for it: images of localhost/ are made on the host. */
export function hasRegistry({ name }: Pick<FloatingImage, "name">): boolean {
  return !name.startsWith("localhost/");
}

/** The images of an application, each with its pin if it has one, and the drop-ins that make the pins. */
export function pinned(
  sketches: readonly Sketch[],
  pinOf: (path: RelativePath, name: string) => Pin | undefined,
): { readonly images: readonly FloatingImage[]; readonly texts: readonly Text[] } {
  const seen = new Set<RelativePath>();
  const found = sketches.flatMap((sketch): readonly { image: FloatingImage; text: readonly Text[] }[] => {
    const { kind, text } = sketch;
    // An `.image` with ImageTag= names an archive (podman-systemd.unit(5)).
    if ((kind !== "container" && kind !== "image") || seen.has(text.path) || isTemplate(text.path)) return [];
    seen.add(text.path);
    const entries = [...text.entries, ...sketch.dropIns.flatMap((one) => one.entries)];
    const section = kind === "container" ? "Container" : "Image";
    const name = lastValue(entries, section, "Image") ?? "";
    if (!isFloating(name) || lastValue(entries, "Image", "ImageTag") !== undefined) return [];
    const pin = pinOf(text.path, name);
    const users = sketches.filter((other) => (kind === "container" ? other.text === text : other.facts.uses.includes(sketch.name)));
    const image: FloatingImage = {
      ...{ path: text.path, name, authFile: lastValue(entries, section, "AuthFile") },
      services: users.filter((user) => user.kind === "container").map(({ facts }) => facts.service),
      pullsAnew: ["always", "newer"].includes(lastValue(entries, section, "Pull") ?? ""),
      autoUpdate: !["", "none"].includes(lastValue(entries, section, "AutoUpdate") ?? ""),
      pin: pin?.reference,
    };
    return [{ image, text: pin === undefined ? [] : [dropIn(sketch, image, pin)] }];
  });
  return { images: found.map(({ image }) => image), texts: found.flatMap(({ text }) => text) };
}

/** Read last of the unit's drop-ins, and so the one that counts (podman-systemd.unit(5)); by a name that says whose it is. */
function dropIn({ kind, text, dropIns }: Sketch, { name }: FloatingImage, { reference, why }: Pin): Text {
  const own = dropIns.filter(({ path }) => path.includes(`${baseName(text.path)}.d/`)).map(({ path }) => baseName(path));
  const last = own.sort().at(-1) ?? "";
  const file = last < pinFile ? pinFile : `${last.replace(/\.conf$/, "")}_pgo-image.conf`;
  const [section, pull] = kind === "container" ? ["Container", "Pull=missing\n"] : ["Image", ""];
  const content = `# Written by pgo: ${name} by its digest, see docs/images.md.\n[${section}]\nImage=${reference}\n${pull}`;
  return {
    path: `${text.path}.d/${file}` as RelativePath,
    origin: text.origin,
    text: content,
    entries: parseUnit(content),
    says: `Image= ${name} ${why === "moved" ? "moved to" : "is kept at"} ${shortDigest(reference)}`,
  };
}

const pinFile = "zz-pgo-image.conf";

/** Whether the next bundle holds images that the present one does not, and nothing else is new: no commit is behind it. */
export function differsByPins(before: Bundle | undefined, after: Bundle): boolean {
  const has = ({ images }: Bundle, pin: string) => images.some((one) => one.pin === pin);
  return before !== undefined && after.images.some(({ pin }) => pin !== undefined && !has(before, pin)) && bare(before) === bare(after);
}

function bare({ files, images }: Bundle): Digest {
  const pins = new Set(images.flatMap(({ path, pin }) => (pin === undefined ? [] : [`${path}.d`])));
  const kept = files.filter(({ path }) => !(path.endsWith("pgo-image.conf") && pins.has(path.slice(0, path.lastIndexOf("/")))));
  return digestOf(...kept.flatMap(({ path, digest }) => [path, digest]));
}

/**
 * How an image is named for good: by the repository of its name, and its digest. A short name (`nginx`) stands for what Podman's
 * registries.conf makes of it, which the image's own names tell.
 */
export function referenceOf(name: string, { digest, repoDigests }: KnownImage): string {
  const repository = repositoryOf(name.replace(/^docker:\/\//, ""));
  const exact = repoDigests.filter((one) => one.endsWith(`@${digest}`));
  const found = exact.find((one) => one === `${repository}@${digest}`) ?? exact.find((one) => one.endsWith(`/${repository}@${digest}`));
  return found ?? `${repository}@${digest}`;
}

/** `127.0.0.1:5000/team/app` of `127.0.0.1:5000/team/app:1` and of `127.0.0.1:5000/team/app@sha256:…`. */
function repositoryOf(name: string): string {
  return name.replace(/@.*$/, "").replace(/:[^:/]*$/, "");
}

/**
 * A name of its own for an image that is held. Podman finds `repository@digest` only where the image has a name in that repository (5.4.2),
 * and the tag that it came by may have moved on; and `podman image prune` takes what has no name.
 */
export function keptName(reference: string): { readonly repository: string; readonly tag: string } {
  return { repository: repositoryOf(reference), tag: `pgo-${/sha256:([0-9a-f]{12})/.exec(reference)?.[1] ?? "kept"}` };
}

/** `sha256:` and the first twelve digits, for people. */
export function shortDigest(reference: string): string {
  return `${/sha256:[0-9a-f]{12}/.exec(reference)?.[0] ?? reference}…`;
}

/** What is known when a registry has been asked. */
export interface Asked {
  /** What the name stands for now. */
  readonly now: KnownImage;
  /** Ids that the services run, or ran when last good. */
  readonly running: readonly string[];
  /** What the name moved to before. */
  readonly tracked: RanImage | undefined;
  /** Ids that a rollout which was undone has tried. */
  readonly tried: readonly string[];
}

/** What to go to; undefined where there is nothing new. One that failed is not tried again, a still newer one is. */
export function movedTo(name: string, { now, running, tracked, tried }: Asked): RanImage | undefined {
  if (tracked?.id === now.id || tried.includes(now.id)) return undefined;
  // Before its first move an image is not held at all: what runs by its tag is not restarted for being named otherwise.
  if (tracked === undefined && running.every((id) => id === now.id)) return undefined;
  return { id: now.id, reference: referenceOf(name, now) };
}

/** Whether a start would bring another image than the one that ran. */
export function wouldDiffer(image: FloatingImage, ran: RanImage, now: KnownImage | undefined): boolean {
  return image.pullsAnew || now?.id !== ran.id;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** pgo's own quadlet: made from the one that the image carries, or from the one that Git has, with the directories that pgo.toml names. */

import type { Bundle, Problem } from "./bundle.ts";
import { isUnitText, type Located } from "./layout.ts";
import type { RelativePath } from "./names.ts";
import { placeFor, placeOf, selfQuadletName } from "./placing.ts";

/** The host that it is for. */
export interface SelfSite {
  /** Directories that pgo needs; each gets a mount at the same path, where no mount covers it yet. */
  readonly directories: readonly string[];
  /** The user's home and runtime directory, for `%h` and `%t` of what is mounted already; undefined when rootful. */
  readonly specifiers: { readonly home: string; readonly runtime: string } | undefined;
}

export interface SelfQuadlet extends SelfSite {
  /** Undefined: as the template has it. */
  readonly image: string | undefined;
}

/** `template` is quadlet/pgo.container or its rootless variant. */
export function selfQuadlet(template: string, { image, directories, specifiers }: SelfQuadlet): string {
  const mounts = [...template.matchAll(/^Volume=([^:\n]+):/gm)].map(([, path = ""]) =>
    specifiers === undefined ? path : path.replace(/^%h/, specifiers.home).replace(/^%t/, specifiers.runtime),
  );
  const missing = directories.filter(
    (directory, index) => directories.indexOf(directory) === index && !mounts.some((mount) => isBelow(directory, mount)),
  );
  const volumes = missing.map((directory) => `Volume=${directory}:${directory}\n`).join("");
  const named = image === undefined ? template : template.replace(/^Image=.*$/m, `Image=${image}`);
  return named.replace(/^(?=HealthCmd=)/m, volumes);
}

/** Whether it is pgo itself that the bundle is about. */
export function bringsSelf(bundle: Bundle | undefined): boolean {
  return bundle?.files.some(({ path }) => placeOf(path).place === "self") === true;
}

/** The other user's Podman has a quadlet of its own. */
const rootlessName = "pgo-rootless.container";

/**
 * The files of an application that brings pgo's own quadlet, in a directory of its own or beside what pgo's repository has there: only it
 * and its drop-ins are placed, for rootless Podman its variant where there is one. Other applications' are left as they are.
 */
export function takeSelf(files: Map<RelativePath, Located>, site: SelfSite, problems: Problem[]): void {
  const byName = (name: string) => [...files].find(([path]) => path.split("/").at(-1) === name);
  const variant = byName(rootlessName);
  const own = (site.specifiers === undefined ? undefined : variant) ?? byName(selfQuadletName);
  if (own === undefined) return;
  const [ownPath, { entry, ...located }] = own;
  if (entry.kind === "file") {
    const text = selfQuadlet(Buffer.from(entry.content).toString("utf8"), { ...site, image: undefined });
    files.delete(ownPath);
    files.set(ownPath.replace(/[^/]*$/, selfQuadletName) as RelativePath, { ...located, entry: { ...entry, content: Buffer.from(text) } });
  }
  if (variant !== undefined) files.delete(variant[0]);
  for (const [path, { origin }] of files) {
    if (placeOf(placeFor(path)).place === "self") continue;
    files.delete(path);
    if (isUnitText(path))
      problems.push({
        file: origin,
        line: undefined,
        message: "is beside pgo.container, which is an application of its own: move it into another directory",
      });
  }
}

function isBelow(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

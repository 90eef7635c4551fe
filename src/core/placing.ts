/** Where a file of an application goes on the host, told by its path: beside the quadlets, among systemd's units, among the processed env files, to Podman, or in pgo's own place. */

import { isDropIn, isUnitFile } from "./layout.ts";
import { isPlainKind, kindOf } from "./kinds.ts";
import { relativePath, type RelativePath } from "./names.ts";

/**
 * - `quadlet`: below the application's directory in the quadlet directory, laid out as in Git.
 * - `unit`: systemd's unit directory, which is shared by all: by its name alone, or `NAME.d/FILE`.
 * - `env`: below the application's directory in the state directory; what is there may hold secrets.
 * - `secret`: a Podman secret of that name; those are shared by all, too.
 * - `self`: the directory of pgo's own quadlet and its drop-ins, which only a handover writes.
 */
export type Place = "quadlet" | "unit" | "env" | "secret" | "self";

/** No path of Git's begins like this, so a marked one can't be mistaken for one that is not. */
const marks = { unit: "//unit/", env: "//env/", secret: "//secret/", self: "//self/" } as const;

/** pgo's own quadlet, in whatever directory Git has it. */
export const selfQuadletName = "pgo.container";

export function marked(place: Exclude<Place, "quadlet">, path: string): RelativePath {
  return `${marks[place]}${relativePath(path)}` as RelativePath;
}

export function placeOf(path: RelativePath): { readonly place: Place; readonly path: string } {
  for (const place of ["unit", "env", "secret", "self"] as const)
    if (path.startsWith(marks[place])) return { place, path: path.slice(marks[place].length) };
  return { place: "quadlet", path };
}

/** Reads a path that was saved, with its mark. */
export function placedPath(text: string): RelativePath {
  const { place, path } = placeOf(text as RelativePath);
  return place === "quadlet" ? relativePath(path) : marked(place, path);
}

/** As people are shown it: an env file by its name in Git, without the service that it was rendered for. */
export function shownPath(file: RelativePath): string {
  const { place, path } = placeOf(file);
  switch (place) {
    case "env":
      return path.replace(/^[^/]+\.service\//, "");
    case "secret":
      return `Podman secret ${path}`;
    case "quadlet":
    case "unit":
    case "self":
      return path;
  }
}

/** For a file as Git has it: plain units and their drop-ins, a quadlet's service's too, are read by systemd in its own directory, by name alone. */
export function placeFor(path: RelativePath): RelativePath {
  const parts = path.split("/");
  if (parts.at(-1) === selfQuadletName) return marked("self", selfQuadletName);
  if (isDropIn(path)) {
    const owner = parts.at(-2)?.slice(0, -".d".length) ?? "";
    if (owner === selfQuadletName) return marked("self", parts.slice(-2).join("/"));
    return isPlain(owner) ? marked("unit", parts.slice(-2).join("/")) : path;
  }
  return isUnitFile(path) && isPlain(path) ? marked("unit", parts.at(-1) ?? "") : path;
}

function isPlain(name: string): boolean {
  const kind = kindOf(name);
  return kind !== undefined && isPlainKind(kind);
}

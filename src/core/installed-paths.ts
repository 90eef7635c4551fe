/** Paths to where an application's files would lie if somebody had copied them to Podman's own directory: taken for the files themselves. */

import type { ApplicationName, RelativePath } from "./names.ts";
import { directoryOf } from "./units.ts";
import { isDropIn } from "./layout.ts";
import { readUnit, type Entry } from "./unit-text.ts";

/** Keys that take a path below the quadlet's own directory (podman-systemd.unit(5)), by which it is made absolute. */
const keys = new Set(["ConfigMap", "EnvironmentFile", "File", "Mount", "SetWorkingDirectory", "Volume", "Yaml"]);

/** Where `cp` puts quadlets (podman-systemd.unit(5), "UNIT FILE SEARCH PATH"): for root, and for another user in the ways to write it in a unit. */
const installed = /(?:\/etc|%h\/\.config|%E)\/containers\/systemd\/([^:,]+)/g;

/**
 * The text of a quadlet or its drop-in with such paths relative to the unit, where the application has that file or directory: copied as
 * it lies in the source (`…/systemd/proxy/conf`), without the application's directory (`…/systemd/conf`), or from beside the unit. All else
 * stays byte for byte, and no line moves.
 */
export function withOwnPaths(
  text: string,
  path: RelativePath,
  { application, files }: { readonly application: ApplicationName; readonly files: ReadonlyMap<RelativePath, unknown> },
): string {
  // A path in a drop-in is relative to the unit, not to the drop-in.
  const directory = directoryOf(isDropIn(path) ? directoryOf(path) : path);
  const has = (name: string) => [...files.keys()].some((file) => file === name || file.startsWith(`${name}/`));
  const inside = (rest: string): string | undefined => {
    const name = rest.replace(/\/+$/, "");
    const from = [...(name.startsWith(`${application}/`) ? [name.slice(application.length + 1)] : []), name, `${directory}/${name}`];
    const found = from.map((one) => one.replace(/^\//, "")).find(has);
    return found === undefined ? undefined : `./${"../".repeat(directory === "" ? 0 : directory.split("/").length)}${found}`;
  };
  const own = ({ value }: Entry) => value.replace(installed, (whole, rest: string) => inside(rest) ?? whole);
  const unit = readUnit(text);
  const changed = unit.entries.filter((entry) => keys.has(entry.key) && own(entry) !== entry.value);
  return changed.reduce((edited, entry) => edited.withValue(entry, own(entry)), unit).text();
}

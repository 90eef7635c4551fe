/** Which drop-ins apply to a unit, and in which order: the general forms expanded, so that they stay inside their application. */

import type { Problem } from "./bundle.ts";
import { closest } from "./closest.ts";
import { isQuadlet } from "./kinds.ts";

/** A drop-in as one unit gets it. */
export interface DropIn<Path extends string = string> {
  /** Where the application has it. */
  readonly origin: Path;
  /** `UNIT.d`: the directory that it goes to, beside the unit's own file. */
  readonly directory: string;
  readonly name: string;
}

export interface DropIns<Unit extends string = string, Path extends string = string> {
  /** Of every unit, in the order in which they apply. */
  readonly applied: ReadonlyMap<Unit, readonly DropIn<Path>[]>;
  /** Those that are for no unit; `file` is the path as given. */
  readonly problems: readonly Problem[];
}

/**
 * `units` are the names of an application's units, instances of templates (symlinks) among them; `paths` are its drop-ins, files
 * `NAME.conf` in directories `*.d` at any depth. A symlink to /dev/null is a drop-in like others, with nothing in it.
 *
 * Both Podman and systemd search by name in every directory that they know: a `container.d/` of one application would reach into
 * all others. So each unit gets what applies to it as files of its own `UNIT.d/`, and nothing else is placed. That they are the
 * same, by the same rule:
 * - The more general directories apply too: of `foo-bar.container` also `foo-.container.d/` and `container.d/`, of an instance
 *   `x@1.container` also `x@.container.d/`.
 * - Of files of one name the most specific directory's counts alone, also one that is empty, which is how to take a general one
 *   away. Of equally specific directories the first counts: a directory before those in it, and these by name.
 * - All that count apply in the order of their names, byte by byte, wherever they come from.
 *
 * podman-systemd.unit(5) and systemd.unit(5); GetUnitDropinPaths in Podman's pkg/systemd/parser/unitfile.go and loadUnitDropins in
 * its cmd/quadlet/main.go, src/shared/dropin.c of systemd; tried with the generators of Podman 5.4 and 5.8 and on systemd 257 and
 * 262. (5.4 looks for a name in all forms of one directory before the next directory; expanded, both do the same.)
 */
export function dropInsOf<Unit extends string, Path extends string>(units: readonly Unit[], paths: readonly Path[]): DropIns<Unit, Path> {
  const located = paths.map(locate).sort((a, b) => inSearchOrder(a.above, b.above));
  // Podman enters no directory *.d in search of others.
  const hidden = located.filter(({ above }) => above.some((directory) => directory.endsWith(".d")));
  const found = located.filter((one) => !hidden.includes(one));
  const used = new Set<Path>();
  const applied = new Map<Unit, readonly DropIn<Path>[]>();
  for (const unit of units) {
    const byName = new Map<string, DropIn<Path>>();
    for (const owner of dropInOwners(unit))
      for (const { path, name } of found.filter((one) => one.owner === owner)) {
        used.add(path);
        if (!byName.has(name)) byName.set(name, { origin: path, directory: `${unit}.d`, name });
      }
    applied.set(
      unit,
      [...byName.values()].sort((a, b) => byBytes(a.name, b.name)),
    );
  }
  const problems = located.flatMap((one): readonly Problem[] => {
    if (used.has(one.path)) return [];
    const message = hidden.includes(one) ? "is a drop-in inside another directory *.d, where nobody looks for it" : stray(one.owner, units);
    return [{ file: one.path, line: undefined, message }];
  });
  return { applied, problems };
}

/** What `OWNER.d` may be called for a drop-in of this unit, the most specific first. */
export function dropInOwners(unit: string): readonly string[] {
  const dot = unit.lastIndexOf(".");
  const suffix = unit.slice(dot + 1);
  const owners = isQuadlet(unit) ? podmanOwners(unit.slice(0, dot)) : systemdOwners(unit.slice(0, dot));
  return [...new Set([...owners.map((owner) => `${owner}.${suffix}`), suffix])];
}

/** Podman cuts the name in front of the `@` only: of `a-b@1` it takes `a-b@1`, `a-b@`, `a-@`, `a-`. */
function podmanOwners(stem: string): readonly string[] {
  const [base, instance] = splitAt(stem);
  const parts = base.split("-");
  const cut = parts.slice(1).map((_, index) => `${parts.slice(0, parts.length - 1 - index).join("-")}-`);
  const template = instance === undefined || instance === "" ? [] : [`${base}@`];
  return [stem, ...template, ...cut.flatMap((prefix) => (instance === undefined ? [prefix] : [`${prefix}@`, prefix]))];
}

/** systemd keeps the instance while it cuts, and comes to the same from the template: of `a-b@1` `a-b@1`, `a-b@`, `a-`, `a-@1`, `a-@`. */
function systemdOwners(stem: string): readonly string[] {
  const [base, instance] = splitAt(stem);
  const isInstance = instance !== undefined && instance !== "";
  const template = isInstance ? systemdOwners(`${base}@`) : [];
  const prefix = cutPrefix(base);
  const cut = prefix === undefined ? [] : systemdOwners(isInstance ? `${prefix}@${instance}` : prefix);
  return [stem, ...template, ...cut];
}

/** `a-b` and `a-b-` both become `a-`; nothing does of a name whose only dash is its first or last letter. */
function cutPrefix(base: string): string | undefined {
  const dash = base.lastIndexOf("-");
  if (dash <= 0) return undefined;
  if (dash + 1 < base.length) return base.slice(0, dash + 1);
  const before = base.lastIndexOf("-", dash - 1);
  return before <= 0 ? undefined : base.slice(0, before + 1);
}

function splitAt(stem: string): readonly [string, string | undefined] {
  const at = stem.indexOf("@");
  return at === -1 ? [stem, undefined] : [stem.slice(0, at), stem.slice(at + 1)];
}

function stray(owner: string, units: readonly string[]): string {
  if (!owner.includes(".")) return `is a drop-in for every ${owner} of this application, which has none`;
  const [base, instance] = splitAt(owner.slice(0, owner.lastIndexOf(".")));
  const suffix = owner.slice(owner.lastIndexOf("."));
  const template = units.find((unit) => unit === `${base}@${suffix}`);
  if (instance !== undefined && instance !== "" && template !== undefined)
    return `is a drop-in for ${owner}, an instance that this application doesn't have: add ${owner} as a symlink to ${template}`;
  if (base.endsWith("-")) return `is a drop-in for units ${base}*${suffix}, of which this application has none`;
  const meant = closest(owner, units);
  return `is a drop-in for ${owner}, which is not a unit of this application${meant === undefined ? "" : ` (did you mean ${meant}.d?)`}`;
}

interface LocatedDropIn<Path extends string> {
  readonly path: Path;
  /** The directories above the one that it lies in. */
  readonly above: readonly string[];
  /** The name of the one that it lies in, without `.d`. */
  readonly owner: string;
  readonly name: string;
}

function locate<Path extends string>(path: Path): LocatedDropIn<Path> {
  const parts = path.split("/");
  const directory = parts.at(-2) ?? "";
  if (!directory.endsWith(".d") || !path.endsWith(".conf")) throw new Error(`${path} is not a drop-in`);
  return { path, above: parts.slice(0, -2), owner: directory.slice(0, -".d".length), name: parts.at(-1) ?? "" };
}

/** Depth first, a directory's entries by name: as the generator walks through its directories. */
function inSearchOrder(a: readonly string[], b: readonly string[]): number {
  const at = a.findIndex((part, index) => part !== b[index]);
  if (at === -1) return a.length - b.length;
  return at >= b.length ? 1 : byBytes(a[at] ?? "", b[at] ?? "");
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

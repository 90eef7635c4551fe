/** What a changed file that a service only has mounted means for it: a restart, or less where somebody says that less will do. */

import type { Bundle, Input, Problem, Unit } from "./bundle.ts";
import { baseOf, settingsNames } from "./checks.ts";
import { closest } from "./closest.ts";
import type { RelativePath } from "./names.ts";

export type OnChange =
  | { readonly how: "restart" }
  | { readonly how: "reload" }
  /** To the container's first process: `HUP`. */
  | { readonly how: "signal"; readonly signal: string }
  /** It reads the file by itself. */
  | { readonly how: "none" };

/** `[on_change]` of the application's pgo.toml; without, a unit with ReloadCmd= or ReloadSignal= (podman-systemd.unit(5)) is reloaded. */
export function onChangeOf(unit: Unit, bundle: Bundle | undefined): OnChange {
  const said = settingsNames(unit)
    .map((name) => bundle?.settings.on_change[name])
    .find((one) => one !== undefined);
  switch (said) {
    case undefined:
      return { how: unit.reload === "default" ? "reload" : "restart" };
    case "restart":
    case "reload":
    case "none":
      return { how: said };
    default:
      return { how: "signal", signal: said.slice("signal:".length) };
  }
}

/** Whether what differs are mounted files alone: nothing else can be changed in a service that runs on. */
export function differsByMounted(before: readonly Input[], after: readonly Input[]): boolean {
  const key = ({ label, within, digest }: Input) => `${within ?? ""}\0${label}\0${digest}`;
  const [old, now] = [new Set(before.map(key)), new Set(after.map(key))];
  const differing = [...after.filter((input) => !old.has(key(input))), ...before.filter((input) => !now.has(key(input)))];
  return differing.length > 0 && differing.every(({ mounted }) => mounted !== undefined);
}

/**
 * Files that a service which is not restarted for them has mounted alone. A container keeps the file that was there when it started, under
 * whatever name it lies now: a new one in its place, as rename(2) makes it, would never be seen (DESIGN.md, fact 7).
 */
export function writtenInPlace(bundle: Bundle | undefined): ReadonlySet<RelativePath> {
  const soft = (bundle?.units ?? []).filter((unit) => onChangeOf(unit, bundle).how !== "restart");
  return new Set(
    soft.flatMap(({ inputs }) => inputs.flatMap(({ label, mounted }) => (mounted === "alone" ? [label as RelativePath] : []))),
  );
}

/** An entry that names no unit, or what its unit can't do, would leave a service on old files, silently. */
export function strayReactions(bundle: Bundle, file: string): readonly Problem[] {
  return Object.keys(bundle.settings.on_change).flatMap((key): readonly Problem[] => {
    const unit = bundle.units.find((one) => settingsNames(one).includes(key));
    const message = unit === undefined ? `names no unit of this application: ${meant(key, bundle)}` : inability(unit, bundle);
    return message === undefined ? [] : [{ file, line: undefined, message: `[on_change] ${key}: ${message}` }];
  });
}

function meant(key: string, { units }: Bundle): string {
  const names = units.map(baseOf);
  const near = closest(key, names);
  return near === undefined ? `there are ${names.join(", ")}` : `did you mean ${near}?`;
}

function inability(unit: Unit, bundle: Bundle): string | undefined {
  const { how } = onChangeOf(unit, bundle);
  if (how === "restart") return undefined;
  if (unit.kind !== "container") return `${unit.name} is no container, and has no files mounted that could change: leave it out`;
  if (how === "reload" && unit.reload === "never")
    return `${unit.name} does not say how to reload it: add ReloadSignal= or ReloadCmd= (Podman 5.5), or ExecReload= in [Service], or use "signal:HUP"`;
  return undefined;
}

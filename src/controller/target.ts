/** What a command's target names. */

import { partsOf } from "../core/names.ts";
import type { ApplicationRecord } from "../ports.ts";
import { UnknownTarget } from "./commands.ts";
import type { Context } from "./context.ts";

export function isSource(target: string, { config }: Context): boolean {
  return config.sources.some((source) => source.name === target);
}

/** Throws UnknownTarget where the target names none, or several. */
export function applicationOf(target: string, { store }: Context): ApplicationRecord {
  const records = store.applications();
  const found = records.filter(({ id }) => id === target || partsOf(id).application === target);
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  const names = (found.length > 1 ? found : records).map(({ id }) => (found.length > 1 ? id : partsOf(id).application));
  throw new UnknownTarget(
    found.length > 1
      ? `several applications are called "${target}": ${names.join(", ")}`
      : `no application is called "${target}": there ${names.length === 0 ? "are none" : `are ${names.join(", ")}`}`,
  );
}

/** Where a plan's steps write, and how much: what has to be writable for it. */

import type { Config } from "../core/config.ts";
import { placeOf } from "../core/placing.ts";
import type { Plan } from "../core/plan.ts";

export interface Room {
  readonly directories: readonly string[];
  readonly bytes: number;
}

/** File systems give whole blocks. */
const block = 4096;
/** For directories, temporary files, and what is noted of it. */
const margin = 256 * 1024;

/** Where pgo notes what it does. */
export function stateRoom({ state }: Pick<Config, "state">): Room {
  return { directories: [state.directory, parentOf(state.database)], bytes: margin };
}

/** Of a plan. Each file is for a moment there twice, and what Git had of it is in the state too. Undefined where it writes no file. */
export function roomFor({ steps }: Pick<Plan, "steps">, config: Config): Room | undefined {
  const written = steps.flatMap((step) => (step.kind === "write" ? [step.file] : []));
  const paths = steps.flatMap((step) => (step.kind === "write" ? [step.file.path] : step.kind === "remove" ? [step.path] : []));
  if (paths.length === 0) return undefined;
  const places = new Set(paths.map((path) => placeOf(path).place));
  const state = stateRoom(config);
  const size = written.reduce((sum, { content }) => sum + Math.ceil(content.length / block) * block, 0);
  return {
    directories: [
      ...(places.has("quadlet") ? [config.quadlet.directory] : []),
      ...(places.has("unit") ? [config.quadlet.unitDirectory] : []),
      ...state.directories,
    ],
    bytes: 2 * size + state.bytes,
  };
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}

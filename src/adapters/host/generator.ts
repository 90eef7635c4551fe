/** The dry run: the host's own quadlet generator over a staging copy of all that would be live. */

import { randomBytes } from "node:crypto";
import { mkdir, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import type { DryRun, Host } from "../../ports.ts";
import type { Run } from "./run.ts";
import { foreignFiles, isDirectory, isShared, placeOf, type SearchOptions } from "./search.ts";
import { apart, isTorn, together, type Layout } from "./staging.ts";

export interface GeneratorOptions extends SearchOptions {
  /** On the host; undefined: where every distribution's Podman has it. */
  readonly generator: string | undefined;
}

/** The generator itself takes milliseconds; this is for a host that is busy or swaps. */
const deadlineMs = 60_000;

const filesAtOnce = 32;

/** systemd's exit code where a program can't be executed (systemd.exec(5)). */
const notExecutable = 203;

export function openGenerator(options: GeneratorOptions, directory: string, run: Run): Pick<Host, "dryRun"> {
  const [program, ...flags] =
    options.mode === "rootful"
      ? [options.generator ?? "/usr/lib/systemd/system-generators/podman-system-generator", "--dryrun"]
      : [options.generator ?? "/usr/lib/systemd/user-generators/podman-user-generator", "--user", "--dryrun"];

  const runOver = async (
    { layout, without }: { readonly layout: Layout; readonly without: ReadonlySet<string> },
    signal: AbortSignal,
  ): Promise<DryRun> => {
    const staging = join(directory, randomBytes(6).toString("hex"));
    try {
      await mkdir(staging, { recursive: true, mode: 0o700 });
      const stage = await fill(await realpath(staging), { files: layout.files, without }, options, signal);
      const environment = { QUADLET_UNIT_DIRS: stage.directories.join(":") };
      const { code, stdout, stderr } = await run([program, ...flags], { environment, deadlineMs }, signal);
      if (code === notExecutable) throw new Error(`${program} can't be executed on the host: is Podman installed there?`);
      // First of all, since a path that is just the root would be taken for the live directory itself.
      const told = (output: string) => stage.named(layout.told(output, stage.root));
      return { root: stage.root, stdout: told(stdout), stderr: told(stderr) };
    } finally {
      await rm(staging, { recursive: true, force: true });
    }
  };

  return {
    async dryRun(staged, without, signal) {
      try {
        const layout = together(staged);
        const ran = layout === undefined ? undefined : await runOver({ layout, without }, signal);
        return ran === undefined || isTorn(ran) ? await runOver({ layout: apart(staged), without }, signal) : ran;
      } catch (error) {
        throw new Error("dry run of the quadlet generator", { cause: error });
      }
    },
  };
}

interface Stage {
  readonly root: DryRun["root"];
  readonly directories: readonly string[];
  /** The generator's words with the foreign files' own paths. */
  named(output: string): string;
}

/**
 * Lays out the search path as it would be live, so that the generator meets all files in the same order (of two quadlets or
 * drop-ins of one name the first wins): `0/`, `1/`, … for its directories, in one of them pgo's with the candidates. Foreign
 * files are symlinks: the generator runs on the host and may read what pgo may not.
 */
async function fill(
  staging: string,
  { files, without }: { readonly files: ReadonlyMap<string, Uint8Array>; readonly without: ReadonlySet<string> },
  options: SearchOptions,
  signal: AbortSignal,
): Promise<Stage> {
  const { searchPath } = options;
  const place = placeOf(options);
  const root = place === undefined ? join(staging, "pgo") : join(staging, String(place.search), place.below);
  const made = new Map<string, Promise<unknown>>();
  const directoryOf = async (path: string): Promise<string> => {
    const directory = dirname(path);
    const making = made.get(directory) ?? mkdir(directory, { recursive: true, mode: 0o700 });
    made.set(directory, making);
    await making;
    return path;
  };

  const mirrors = searchPath.map((_, search) => join(staging, String(search)));
  for (const mirror of mirrors) await mkdir(mirror);
  await mkdir(root, { recursive: true });
  for (const { search, below, name } of await foreignFiles(options, signal)) {
    const target = join(searchPath[search] ?? "", below, name);
    if (without.has(target) || without.has(dirname(target).replace(/\.d$/, ""))) continue;
    await symlink(target, await directoryOf(join(staging, String(search), below, name)));
  }
  const rest = [...files];
  while (rest.length > 0) {
    signal.throwIfAborted();
    // Some at once: one after the other, on a busy machine each waits for its turn three times.
    const some = rest.splice(0, filesAtOnce);
    await Promise.all(some.map(async ([path, content]) => writeFile(await directoryOf(join(root, path)), content, { mode: 0o600 })));
  }

  // What pgo's container does not see may well be there for the generator, which then reads it in place; and first of all, so that a
  // quadlet in it that a candidate of the same name would shadow shows itself instead of the candidate.
  const seen = await Promise.all(
    searchPath.map(async (path, search) => search === place?.search || isShared(path) || (await isDirectory(path))),
  );
  const unseen = searchPath.filter((_, search) => seen[search] !== true);
  const directories = [...unseen, ...mirrors.filter((_, search) => seen[search] === true)];
  const named = (output: string): string =>
    mirrors.reduce((text, mirror, search) => renamed(text, `${mirror}/`, `${searchPath[search] ?? mirror}/`), output);
  return { root, directories: place === undefined ? [root, ...directories] : directories, named };

  function renamed(text: string, mirror: string, path: string): string {
    return text.split(mirror).reduce((before, after) => before + (`${mirror}${after}`.startsWith(`${root}/`) ? mirror : path) + after);
  }
}

/** Makes a Git repository of a directory that the image carries: the example that a fresh host deploys. */

import { mkdir, readFile, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { text, type Place } from "./process.ts";

export interface Example {
  /** The directory whose files become the only commit. */
  readonly from: URL;
  /** Path of the bare repository to make. */
  readonly to: string;
  /** Takes the place of pgo's usual image in quadlets. */
  readonly image: string;
}

/** Leaves a repository alone that is there; throws when git can't make one. */
export async function makeRepository({ from, to, image }: Example, signal: AbortSignal): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o700 });
  const place: Place = {
    cwd: dirname(to),
    environment: { PATH: "/usr/local/bin:/usr/bin:/bin", GIT_CONFIG_NOSYSTEM: "1", GIT_CONFIG_GLOBAL: "/dev/null", LC_ALL: "C" },
    deadline: 60_000,
    about: { url: to, host: "", port: "", branch: undefined, sshKey: undefined, knownHosts: undefined, secrets: [] },
  };
  await git(place, ["init", "--quiet", "--bare", "--initial-branch=main", to], signal);
  const inside = { ...place, cwd: to };
  if ((await text(inside, ["rev-parse", "--verify", "--quiet", "refs/heads/main"], signal)).ok) return;
  await git({ ...inside, input: await commitStream(fileURLToPath(from), image) }, ["fast-import", "--quiet", "--date-format=now"], signal);
}

async function git(place: Place, args: readonly string[], signal: AbortSignal): Promise<void> {
  const done = await text(place, args, signal);
  if (!done.ok) throw new Error(`make ${place.about.url}: git ${args[0] ?? ""}: ${done.trouble.reason}`);
}

/** git-fast-import(1). The example is text alone. */
async function commitStream(from: string, image: string): Promise<string> {
  const entries = await readdir(from, { recursive: true, withFileTypes: true });
  const files = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        const content = (await readFile(path, "utf8")).replaceAll("Image=localhost/pgo:latest", `Image=${image}`);
        return `M 100644 inline ${path.slice(from.length)}\n${sized(content)}`;
      }),
  );
  return `commit refs/heads/main\ncommitter pgo <pgo@localhost> now\n${sized("An example to begin with\n")}${files.sort().join("")}\n`;
}

function sized(content: string): string {
  return `data ${String(Buffer.byteLength(content))}\n${content}\n`;
}

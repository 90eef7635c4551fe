/** A quadlet generator of this machine, or of this image, as a child process: the dry run where there is no host to ask. */

import { execFile } from "node:child_process";
import { access, constants, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { reasonOf, success, trouble, type Result } from "../../core/result.ts";
import type { Host } from "../../ports.ts";
import { openGenerator } from "./generator.ts";
import type { Ran, RunOptions } from "./run.ts";

export interface LocalGenerator extends Pick<Host, "dryRun">, AsyncDisposable {
  readonly path: string;
  /** Of the Podman that it belongs to. */
  readonly version: string;
}

export interface LocalGeneratorOptions {
  readonly mode: "rootful" | "rootless";
  /** Undefined: the first of the usual places that has one. */
  readonly generator: string | undefined;
}

/** One program under several names (podman's own Makefile): pgo's image has the first, a host with Podman all that its distribution uses. */
const places = [
  "/usr/libexec/podman/quadlet",
  "/usr/lib/systemd/system-generators/podman-system-generator",
  "/usr/lib/podman/quadlet",
  "/usr/local/libexec/podman/quadlet",
];

/** Its staging directory is a temporary one; the trouble says where no generator was found, or why it can't be run. */
export async function openLocalGenerator(options: LocalGeneratorOptions, signal: AbortSignal): Promise<Result<LocalGenerator, string>> {
  const candidates = options.generator === undefined ? places : [options.generator];
  const path = await firstExecutable(candidates);
  if (path === undefined)
    return trouble(`there is no quadlet generator at ${candidates.join(", ")}: install podman, or name the program with --generator`);
  const asked = await version(path, signal);
  if (!asked.ok) return asked;
  const staging = await mkdtemp(join(tmpdir(), "pgo-validate-"));
  // Nothing of this machine's search path is staged: only what is judged.
  const layout = { mode: options.mode, generator: path, searchPath: [], quadletDirectory: join(staging, "pgo") };
  return success({
    ...openGenerator(layout, staging, run),
    path,
    version: asked.value,
    [Symbol.asyncDispose]: () => rm(staging, { recursive: true, force: true }),
  });
}

async function firstExecutable(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths)
    try {
      await access(path, constants.X_OK);
      return path;
    } catch {
      // The next may be there.
    }
  return undefined;
}

async function version(path: string, signal: AbortSignal): Promise<Result<string, string>> {
  try {
    const { code, stdout } = await run([path, "--version"], { deadlineMs: 10_000 }, signal);
    const said = stdout.trim();
    return code === 0 && /^\d+\.\d+\S*$/.test(said) ? success(said) : trouble(`${path} is no quadlet generator: --version says "${said}"`);
  } catch (error) {
    signal.throwIfAborted();
    return trouble(`${path} can't be run: ${reasonOf(error)}`);
  }
}

/** Like the host's (run.ts), but here: nothing of this process's environment is handed on. */
function run([program = "", ...args]: readonly string[], { environment = {}, deadlineMs }: RunOptions, signal: AbortSignal): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...environment }, timeout: deadlineMs, killSignal: "SIGKILL", maxBuffer: 256 * 1024 * 1024, signal } as const;
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ code: 0, stdout, stderr });
      else if (signal.aborted) reject(signal.reason as Error);
      else if (typeof error.code === "number") resolve({ code: error.code, stdout, stderr });
      else if (error.killed === true) reject(new Error(`${program} was not done in ${String(deadlineMs / 1000)} s`));
      else reject(new Error(`run ${program}`, { cause: error }));
    });
  });
}

/** One git process: run through simple-git, which no other file knows, with its whole output, a deadline, and an end for all its children. */

import { randomUUID } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";

import { simpleGit, type SimpleGit } from "simple-git";

import { success, trouble, type Result } from "../../core/result.ts";
import { failureOf, spoken, type About, type GitFailure } from "./trouble.ts";

/** Where and how a git process runs. */
export interface Place {
  readonly cwd: string;
  /** All of it: nothing of pgo's own environment is added. */
  readonly environment: Readonly<Record<string, string>>;
  /** In milliseconds. */
  readonly deadline: number;
  /** For the words of a failure. */
  readonly about: About;
  readonly input?: string;
}

/**
 * Runs git and answers its standard output as text, bytes that are not UTF-8 as U+FFFD.
 *
 * An abort and the deadline end git with all its children (ssh, git-remote-https, index-pack); an abort then throws the signal's reason, the
 * deadline is a failure. So is whatever does not end with status 0. Throws where there is no git to run.
 */
export async function text(place: Place, args: readonly string[], signal: AbortSignal): Promise<Result<string, GitFailure>> {
  const output = await run(place, args, signal, (git) => git.raw([...args]));
  return output.ok ? success(String(output.value)) : output;
}

/** The same for `git cat-file`, whose output is any bytes; `args` without the `cat-file`. */
export async function catFile(place: Place, args: readonly string[], signal: AbortSignal): Promise<Result<Buffer, GitFailure>> {
  const output = await run(place, ["cat-file", ...args], signal, (git) => git.binaryCatFile([...args]));
  if (!output.ok) return output;
  if (!Buffer.isBuffer(output.value)) throw new Error("run git cat-file: simple-git answered no bytes");
  return success(output.value);
}

async function run(
  place: Place,
  args: readonly string[],
  signal: AbortSignal,
  start: (git: SimpleGit) => PromiseLike<unknown>,
): Promise<Result<unknown, GitFailure>> {
  signal.throwIfAborted();
  const marker = randomUUID();
  const environment = { ...place.environment, PGO_GIT_RUN: marker };
  let stderr: string | undefined;
  const git = configured(place, environment, (text) => (stderr = text));
  const late = AbortSignal.timeout(place.deadline);
  const work = settled(start(git));
  const ended = endOnAbort(work, `PGO_GIT_RUN=${marker}`, AbortSignal.any([signal, late]));
  const result = await work;
  await ended();
  signal.throwIfAborted();
  if (result.ok) return result;
  if (late.aborted) {
    const verb = args.find((arg) => /^[a-z][a-z-]+$/.test(arg)) ?? "";
    const reason = `git ${verb} of ${place.about.url}: not done within ${String(Math.round(place.deadline / 1000))} s`;
    return trouble({ reason: spoken(reason, place.about.secrets), transient: true, fault: "remote", late: true });
  }
  if (stderr === undefined) throw new Error(`run git ${args[0] ?? ""}`, { cause: result.trouble });
  if (stderr.includes("spawn git ENOENT")) throw new Error("run git: there is no git program: install git");
  return trouble(failureOf(stderr, place.about));
}

function configured({ cwd, input }: Place, environment: Readonly<Record<string, string>>, failed: (stderr: string) => void): SimpleGit {
  const git = simpleGit({
    baseDir: cwd,
    ...(input === undefined ? {} : { input: () => input }),
    allowEnvironment: Object.keys(environment).filter((name) => name.startsWith("GIT_")),
    // All of these come from access.ts and worktree.ts, nothing from a repository; simple-git would refuse them else.
    unsafe: {
      allowUnsafeFsMonitor: true,
      allowUnsafeSshCommand: true,
      allowUnsafeConfigPaths: true,
      allowUnsafeConfigEnvCount: true,
      allowUnsafeCredentialHelper: true,
    },
    // The output is whole when its pipes are closed, not when the process has ended.
    completion: { onClose: true, onExit: false },
    // simple-git's own rule takes a process that was killed, or that failed in silence, for one that succeeded.
    errors: (_, { exitCode, stdErr }) => {
      if (exitCode === 0) return undefined;
      failed(Buffer.concat(stdErr).toString("utf8"));
      return new Error("git failed");
    },
  });
  return git.env(environment);
}

async function settled(work: PromiseLike<unknown>): Promise<Result<unknown, unknown>> {
  try {
    return success(await work);
  } catch (error) {
    return trouble(error);
  }
}

/** Ends the marked processes once `stop` is aborted. Answers a function that stops listening, and waits until an end begun is done. */
function endOnAbort(work: Promise<unknown>, marker: string, stop: AbortSignal): () => Promise<void> {
  let over = false;
  void work.then(() => (over = true));
  let ending: Promise<void> | undefined;
  const begin = () => {
    ending = end(marker, () => over);
    // It is awaited below, perhaps only after it failed.
    ending.catch(() => undefined);
  };
  if (stop.aborted) begin();
  else stop.addEventListener("abort", begin, { once: true });
  return async () => {
    stop.removeEventListener("abort", begin);
    await ending;
  };
}

/** SIGTERM lets git take its lock files away; SIGKILL follows after half a second. */
async function end(marker: string, over: () => boolean): Promise<void> {
  for (let round = 0; round < 400; round++) {
    // Asked first: a process may only just be starting, so none found counts only once simple-git has seen git's end.
    const last = over();
    const found = await marked(marker);
    if (last && found.length === 0) return;
    for (const pid of found) send(pid, round < 20 ? "SIGTERM" : "SIGKILL");
    await pause(25);
  }
  throw new Error("end git: its processes are still there after 10 s");
}

/** Processes with a variable in the environment that they were started with: git hands it on to all its children. Linux only. */
async function marked(marker: string): Promise<readonly number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      try {
        return (await readFile(`/proc/${pid}/environ`, "latin1")).includes(marker) ? [Number(pid)] : [];
      } catch {
        // It has ended, or is another user's and so not ours.
        return [];
      }
    }),
  );
  return found.flat();
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended in the meantime.
  }
}

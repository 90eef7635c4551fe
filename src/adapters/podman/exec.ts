/** Programs run inside containers (libpod's exec), and the frames in which Podman sends what they write. */

import { setTimeout as pause } from "node:timers/promises";

import { success, trouble, type Result } from "../../core/result.ts";
import type { ContainerCommand, Executed, Podman } from "../../ports.ts";
import { wordsOf } from "./answers.ts";
import type { Ask } from "./socket.ts";
import type { Answer } from "./socket.ts";

/** The caller's signal ends the waiting before, mostly. */
const longest = 10 * 60_000;

/** One after another, in milliseconds: the output may end a moment before Podman has noted the exit. */
const pauses = [0, 20, 50, 100, 200, 500, 1000];

/**
 * Made, started with its output attached, and its exit code read (5.4 and 5.8): a program that is not there is an exit with 127 and
 * crun's words as output; an unknown user is an error of the start.
 */
export function openExec(ask: Ask): Podman["exec"] {
  /** Sessions whose end nobody has seen, by container and program. */
  const left = new Map<string, string>();

  const create = async (container: string, { run, user }: ContainerCommand, signal: AbortSignal): Promise<Result<string, string>> => {
    const action = `run ${run[0] ?? ""} in container ${container.slice(0, 12)}`;
    const wish = { AttachStdout: true, AttachStderr: true, Cmd: run, ...(user === undefined ? {} : { User: user }) };
    const answer = await ask({ ...post(wish), action, path: `/containers/${encodeURIComponent(container)}/exec` }, signal);
    const id = answer.status === 201 ? field(answer, "Id") : undefined;
    return typeof id === "string" ? success(id) : trouble(wordsOf(answer));
  };

  const inspect = async (id: string, signal: AbortSignal): Promise<Answer> =>
    ask({ action: "look at a program in a container", method: "GET", path: `/exec/${id}/json` }, signal);

  return async (container, command, signal) => {
    const key = JSON.stringify([container, command.run, command.user]);
    const before = left.get(key);
    if (before !== undefined) {
      if (field(await inspect(before, signal), "Running") === true) return trouble("the one of before still runs in the container");
      left.delete(key);
    }
    const made = await create(container, command, signal);
    if (!made.ok) return made;
    left.set(key, made.value);
    const action = `run ${command.run[0] ?? ""} in container ${container.slice(0, 12)}`;
    const start = { ...post({ Detach: false, Tty: false }), action, path: `/exec/${made.value}/start` };
    // Each frame has eight bytes of its own.
    const answer = await ask({ ...start, deadline: longest, beginning: command.limit * 2 }, signal);
    if (answer.status !== 200) {
      left.delete(key);
      return trouble(wordsOf(answer));
    }
    for (const ms of pauses) {
      await waited(ms, signal);
      const seen = await inspect(made.value, signal);
      const code = field(seen, "ExitCode");
      if (field(seen, "Running") === true || typeof code !== "number") continue;
      left.delete(key);
      return success({ code, output: unframed(answer.bytes).slice(0, command.limit) } satisfies Executed);
    }
    return trouble("Podman does not tell how it ended");
  };
}

/** Frames of `[stream, 0, 0, 0, length in four bytes, content]` (moby's API, "Attach to a container"); one that is cut off is taken as far as it goes. */
export function unframed(bytes: Buffer): string {
  const pieces: Buffer[] = [];
  for (let at = 0; at + 8 <= bytes.length;) {
    const end = at + 8 + bytes.readUInt32BE(at + 4);
    pieces.push(bytes.subarray(at + 8, end));
    at = end;
  }
  return Buffer.concat(pieces).toString();
}

function post(body: object) {
  return { method: "POST", headers: { "Content-Type": "application/json" }, body: Buffer.from(JSON.stringify(body)) } as const;
}

function field({ body }: Answer, name: string): unknown {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === "object" && parsed !== null && Object.hasOwn(parsed, name) ? Reflect.get(parsed, name) : undefined;
  } catch {
    return undefined;
  }
}

async function waited(ms: number, signal: AbortSignal): Promise<void> {
  if (ms === 0) return;
  await pause(ms, undefined, { signal }).catch(() => undefined);
  signal.throwIfAborted();
}

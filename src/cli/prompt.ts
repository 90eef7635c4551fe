/** Reads a secret's value: from a terminal without showing it, else all of standard input. */

import type { ReadStream } from "node:tty";

import { success, trouble, type Result } from "../core/result.ts";

const controls = new RegExp(`${String.fromCodePoint(27)}\\[[0-9;?]*[A-Za-z~]`, "g");

/** More is a mistake, such as a wrong file. */
const mostBytes = 1024 * 1024;

/**
 * A terminal's line until Enter, or all of `input` without one line break at its end. The trouble is a whole message. Throws the signal's
 * reason when it is aborted, and where a person presses Ctrl-C an Error.
 */
export async function readValue(
  input: NodeJS.ReadStream,
  prompt: { readonly question: string; readonly err: (text: string) => void },
  signal: AbortSignal,
): Promise<Result<string, string>> {
  signal.throwIfAborted();
  const value = input.isTTY ? await typed(input, prompt, signal) : await piped(input, signal);
  if (!value.ok || value.value !== "") return value;
  return trouble(
    input.isTTY
      ? "nothing was entered, and nothing is changed"
      : "nothing came on standard input, and nothing is changed: give it there (podman exec -i), or use a terminal (podman exec -it)",
  );
}

async function piped(input: NodeJS.ReadStream, signal: AbortSignal): Promise<Result<string, string>> {
  const pieces: Buffer[] = [];
  let size = 0;
  const stop = (): void => void input.destroy();
  signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const piece of input as AsyncIterable<Buffer>) {
      pieces.push(piece);
      size += piece.length;
      if (size > mostBytes) return trouble("more than 1 MiB came on standard input: that is no secret's value");
    }
  } finally {
    signal.removeEventListener("abort", stop);
    signal.throwIfAborted();
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.concat(pieces));
    if (text.includes("\0"))
      return trouble('what came on standard input has a zero byte in it, which no variable can hold: use { file = "…" }');
    return success(text.replace(/\r?\n$/, ""));
  } catch {
    return trouble('what came on standard input is not UTF-8 text, which a variable must be: use { file = "…" }');
  }
}

async function typed(
  input: ReadStream & NodeJS.ReadStream,
  { question, err }: { readonly question: string; readonly err: (text: string) => void },
  signal: AbortSignal,
): Promise<Result<string, string>> {
  // Before the question: what is typed at once must not be shown either.
  input.setRawMode(true);
  err(question);
  input.setEncoding("utf8");
  const { promise, resolve, reject } = Promise.withResolvers<Result<string, string>>();
  let line = "";
  let ended: NodeJS.Timeout | undefined;
  const heard = (text: string): void => {
    // Arrow keys and the marks around a paste (xterm, "Bracketed Paste Mode") are no part of it.
    for (const one of text.replaceAll(controls, "")) {
      // A pasted text of several lines: what follows Enter must not go to the shell.
      if (ended !== undefined) line = "\n";
      else if (one === "\r" || one === "\n" || one === "\u0004") {
        // What was pasted comes in pieces.
        ended = setTimeout(() => {
          resolve(
            line === "\n"
              ? trouble("more than one line was pasted, and nothing is changed: give it on standard input instead")
              : success(line),
          );
        }, 100);
      } else if (one === "\u0003") reject(new Error("interrupted, and nothing is changed"));
      else if (one === "\u007f" || one === "\b") line = line.replace(/.$/su, "");
      else if (one === "\u0015") line = "";
      else if (one >= " " || one === "\t") line += one;
    }
    if (ended !== undefined) ended.refresh();
  };
  const over = (): void => {
    resolve(success(line));
  };
  const stop = (): void => {
    reject(signal.reason as Error);
  };
  input.on("data", heard).once("end", over);
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await promise;
  } finally {
    clearTimeout(ended);
    signal.removeEventListener("abort", stop);
    input.off("data", heard).off("end", over);
    input.setRawMode(false);
    input.pause();
    err("\n");
  }
}

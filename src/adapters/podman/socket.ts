/** HTTP over Podman's unix socket: one connection for each call, deadlines, and errors in words. */

import { request, type IncomingMessage } from "node:http";
import { StringDecoder } from "node:string_decoder";
import { setTimeout as pause } from "node:timers/promises";

/** One call of the REST API. */
export interface Call {
  /** What it is for, as errors begin: "list containers". */
  readonly action: string;
  readonly method: "GET" | "POST" | "DELETE";
  /** Below `/libpod`, query included. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as bytes: what a form's type has in its body, Podman reads as the form's fields. */
  readonly body?: Uint8Array;
  /** In milliseconds: for the whole answer, or, when `piecewise`, for each next piece of it. */
  readonly deadline: number;
  /** An answer that comes in pieces for as long as the work takes; only its end is kept. */
  readonly piecewise?: boolean;
  /** Told of each whole line of such an answer when it has come. */
  readonly onLine?: (line: string) => void;
  /** Of a longer answer only so many bytes are kept, from its beginning; it is waited for to its end. */
  readonly beginning?: number;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  /** The body as it came. */
  readonly bytes: Buffer;
}

/** Makes calls with a deadline of its own where they name none. */
export type Ask = (call: Omit<Call, "deadline"> & { readonly deadline?: number }, signal: AbortSignal) => Promise<Answer>;

/** Podman could not be asked, did not answer, or answered with an error; the message says all, so there is no `cause` to be told behind it. */
export class PodmanTrouble extends Error {
  /** Of the operating system, such as ECONNREFUSED; empty where it has none. */
  readonly code: string;
  constructor(message: string, code = "") {
    super(message);
    this.code = code;
  }
}

/** Libpod's API as of 5.0, which every Podman from 5.0 on speaks (it takes versions down to its MinAPIVersion, 4.0.0). */
export const prefix = "/v5.0.0/libpod";
const wholeLimit = 32 * 1024 * 1024;
const endLimit = 64 * 1024;

/**
 * Makes a call. Any HTTP status is an answer. The socket is looked up anew for each call, since a restarted podman.socket is
 * a new file. Throws PodmanTrouble, or the signal's reason.
 */
export async function ask(socket: string, call: Call, signal: AbortSignal): Promise<Answer> {
  try {
    return await exchange(socket, call, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (call.method !== "GET" || !(error instanceof PodmanTrouble) || !brokenOff.has(error.code)) throw error;
  }
  // podman.service ends when idle, and takes a connection with it that came in the same moment; asking again starts it.
  await pause(100, undefined, { signal }).catch(() => undefined);
  signal.throwIfAborted();
  return exchange(socket, call, signal);
}

async function exchange(socket: string, call: Call, signal: AbortSignal): Promise<Answer> {
  signal.throwIfAborted();
  // One for this call alone: what Node hangs on a signal that lives on, or on an AbortSignal.any() of it, stays in memory.
  const within = new AbortController();
  const end = () => {
    within.abort();
  };
  signal.addEventListener("abort", end, { once: true });
  const timer = setTimeout(end, call.deadline);
  try {
    const answer = await begin(socket, call, within.signal);
    const pieces: Buffer[] = [];
    let size = 0;
    const told = linesTo(call.onLine);
    for await (const piece of answer as AsyncIterable<Buffer>) {
      if (call.beginning !== undefined && size >= call.beginning) continue;
      pieces.push(piece);
      size += piece.length;
      if (!call.piecewise) {
        if (size > wholeLimit) throw new PodmanTrouble(`${call.action}: podman's answer is longer than ${wholeLimit / 1024 ** 2} MiB`);
        continue;
      }
      timer.refresh();
      told(piece);
      while (pieces[0] !== undefined && size - pieces[0].length >= endLimit) size -= pieces.shift()?.length ?? 0;
    }
    const bytes = Buffer.concat(pieces);
    return { status: answer.statusCode ?? 0, body: bytes.toString(), bytes };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof PodmanTrouble) throw error;
    const reason = within.signal.aborted ? silence(call) : reasonOf(error);
    throw new PodmanTrouble(`${call.action}: podman socket ${socket}: ${reason}`, codeOf(error));
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}

/** Lines come in pieces that don't end where they do. */
function linesTo(tell: ((line: string) => void) | undefined): (piece: Buffer) => void {
  if (tell === undefined) return () => undefined;
  const decoder = new StringDecoder("utf8");
  let rest = "";
  return (piece) => {
    const lines = (rest + decoder.write(piece)).split("\n");
    // A line that never ends is none.
    rest = (lines.pop() ?? "").slice(0, endLimit);
    for (const line of lines) tell(line);
  };
}

function begin(socketPath: string, { method, path, headers, body }: Call, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const type = body === undefined ? {} : { "Content-Type": "application/octet-stream", "Content-Length": body.length };
    request({ socketPath, method, path: prefix + path, headers: { Host: "d", ...type, ...headers }, agent: false, signal })
      .on("response", resolve)
      .on("error", reject)
      .end(body);
  });
}

const brokenOff = new Set(["ECONNRESET", "EPIPE"]);

function silence({ deadline, piecewise }: Call): string {
  const time = deadline < 1000 ? `${deadline} ms` : `${Math.round(deadline / 1000)} s`;
  return piecewise ? `nothing came for ${time}` : `no answer within ${time}`;
}

function reasonOf(error: unknown): string {
  const code = codeOf(error);
  // pgo has its user's id, also in a rootless container with UserNS=keep-id.
  const start = process.getuid?.() === 0 ? "systemctl start podman.socket" : "systemctl --user start podman.socket";
  if (code === "ECONNREFUSED") return `connection refused: is podman.socket running? (${start})`;
  if (code === "ENOENT") return `no such file: is podman.socket running? (${start})`;
  if (code === "EACCES" || code === "EPERM") return "permission denied: it belongs to another user than pgo's";
  if (brokenOff.has(code)) return "the connection broke off before the answer was complete";
  if (code.startsWith("HPE_")) return "the answer is not HTTP";
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

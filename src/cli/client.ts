/** Asks a running pgo over its unix socket. */

export interface Question {
  readonly method: "GET" | "POST";
  /** With the query, such as `/v1/history?limit=20`. */
  readonly path: string;
  readonly body?: unknown;
  /** Milliseconds without an answer; undefined: as long as it takes. */
  readonly patience?: number;
}

export type Answer =
  | { readonly kind: "ok"; readonly value: unknown }
  /** pgo runs and says no; 404 is an unknown target, 400 a wrong request. */
  | { readonly kind: "refused"; readonly status: number; readonly reason: string }
  /** Nobody listens there. */
  | { readonly kind: "absent" }
  /** Somebody may listen, but gives no answer. */
  | { readonly kind: "unreachable"; readonly reason: string };

/** Never throws but when `signal` is aborted. */
export async function ask(socket: string, question: Question, signal: AbortSignal): Promise<Answer> {
  const { method, path, body, patience } = question;
  const limit = patience === undefined ? undefined : AbortSignal.timeout(patience);
  try {
    const { status, text } = await exchange(
      { socketPath: socket, method, path, signal: limit === undefined ? signal : AbortSignal.any([signal, limit]) },
      body,
    );
    return answerOf(status, text);
  } catch (error) {
    signal.throwIfAborted();
    if (limit?.aborted === true) return { kind: "unreachable", reason: `no answer within ${String((patience ?? 0) / 1000)} s` };
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ECONNREFUSED" || code === "ENOTSOCK") return { kind: "absent" };
    if (code === "EACCES" || code === "EPERM")
      return { kind: "unreachable", reason: "permission denied: run ctl as the user that pgo runs as" };
    if (code === "ECONNRESET") return { kind: "unreachable", reason: "pgo ended the connection: it is stopping, or has crashed" };
    return { kind: "unreachable", reason: error instanceof Error ? error.message : String(error) };
  }
}

interface Address {
  readonly socketPath: string;
  readonly method: string;
  readonly path: string;
  readonly signal: AbortSignal;
}

function exchange(address: Address, body: unknown): Promise<{ readonly status: number; readonly text: string }> {
  // An import would read all that node:http exports, and with its WebSocket comes undici: 30 ms of the health command's 65 (Node 24.21).
  const { request } = process.getBuiltinModule("node:http");
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly status: number; readonly text: string }>();
  const asked = request({ ...address, agent: false, headers: { "content-type": "application/json" } }, (response) => {
    let text = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => (text += chunk));
    response.on("error", reject);
    response.on("end", () => {
      resolve({ status: response.statusCode ?? 0, text });
    });
  });
  asked.on("error", reject);
  asked.end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}

function answerOf(status: number, text: string): Answer {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: "unreachable", reason: `the answer is not pgo's (${String(status)})` };
  }
  if (status === 200) return { kind: "ok", value };
  const reason = typeof value === "object" && value !== null && "error" in value ? String(value.error) : `status ${String(status)}`;
  return { kind: "refused", status, reason };
}

/** What a pull needs and tells: the login that goes with it, and a refusal in words that a person can act on. */

import { readFile } from "node:fs/promises";
import { success, trouble, type Result } from "../../core/result.ts";
import type { Answer } from "./socket.ts";

/** The logins of an AuthFile= in the form that Podman takes with a request. */
export interface Login {
  readonly headers: Readonly<Record<string, string>>;
  /** Never to be shown. */
  readonly secrets: readonly string[];
}

/** No header: the service then reads what `podman login` left for its user, like `podman pull` (Podman's pkg/auth). */
export const hostLogin: Login = { headers: {}, secrets: [] };

/**
 * Reads an auth file (containers-auth.json(5)) for X-Registry-Config: base64url *with* padding of
 * `{"registry": {"username", "password"}}`, which replaces all logins of the host, also when it is empty. Credential helpers
 * and identity tokens of the file are left out: Podman does not take them this way. The trouble fits behind "AuthFile=…".
 */
export async function loginOf(authFile: string, signal: AbortSignal): Promise<Result<Login, string>> {
  if (!authFile.startsWith("/")) return trouble("is not an absolute path");
  let text: string;
  try {
    text = await readFile(authFile, { encoding: "utf8", signal });
  } catch (error) {
    signal.throwIfAborted();
    return trouble(`can't be read where pgo runs (${readError(error)}): keep it beside pgo.toml, readable for pgo`);
  }
  const auths = authsOf(text);
  if (auths === undefined) return trouble('is not an auth file: "podman login --authfile" makes one');
  const config: Record<string, { username: string; password: string }> = {};
  for (const [registry, entry] of Object.entries(auths)) {
    const [username, password] = userOf(entry);
    if (username !== "") config[registry] = { username, password };
  }
  const padded = Buffer.from(JSON.stringify(config)).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
  const secrets = Object.values(config).flatMap(({ username, password }) => [
    password,
    Buffer.from(`${username}:${password}`).toString("base64"),
  ]);
  return success({ headers: { "X-Registry-Config": padded }, secrets: [padded, ...secrets] });
}

/** JSON.parse's own error quotes the text, secrets too; it is left out. */
function authsOf(text: string): object | undefined {
  try {
    const file = JSON.parse(text) as unknown;
    if (typeof file !== "object" || file === null) return undefined;
    const auths = "auths" in file ? file.auths : {};
    return typeof auths === "object" && auths !== null ? auths : undefined;
  } catch {
    return undefined;
  }
}

/** `auth` is base64 of "user:password"; Docker pads it with zero bytes. */
function userOf(entry: unknown): readonly [string, string] {
  if (typeof entry !== "object" || entry === null || !("auth" in entry) || typeof entry.auth !== "string") return ["", ""];
  const text = Buffer.from(entry.auth, "base64").toString();
  const colon = text.indexOf(":");
  return colon < 0 ? ["", ""] : [text.slice(0, colon), text.slice(colon + 1).replace(/\0+$/, "")];
}

function readError(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT" || code === "ENOTDIR") return "no such file";
  if (code === "EACCES" || code === "EPERM") return "permission denied";
  if (code === "EISDIR") return "it is a directory";
  return "it can't be opened";
}

/**
 * How Podman answers a pull (compatMode of images/pull): JSON lines of progress, then either the end or an error; an error
 * before any progress has the registry's own status (401, 404, …). Undefined: the image is there.
 */
export function errorOf({ status, body }: Answer): { readonly status: number; readonly words: string } | undefined {
  const lines = body.split("\n").filter((line) => line.trim() !== "");
  const last = lines.at(-1);
  if (last === undefined) return { status, words: `podman ended its answer (${status}) without a word` };
  const words = wordsOf(last);
  if (words !== undefined) return { status: status === 200 ? 0 : status, words };
  return status === 200 ? undefined : { status, words: `podman answers ${status}` };
}

/** `{"message"}` before any progress, `{"error"}` or `{"errorDetail": {"message"}}` after some; undefined for progress. */
function wordsOf(line: string): string | undefined {
  let report: unknown;
  try {
    report = JSON.parse(line);
  } catch {
    return "podman's answer is not JSON";
  }
  if (typeof report !== "object" || report === null) return "podman's answer is not a report of a pull";
  if ("error" in report && typeof report.error === "string" && report.error !== "") return report.error;
  if ("errorDetail" in report) return wordsOf(JSON.stringify(report.errorDetail));
  if ("message" in report && typeof report.message === "string") return report.message;
  return undefined;
}

/** `registry.example.com` of `registry.example.com/app:1`; undefined for a short name, which Podman looks up by its own rules. */
export function registryOf(image: string): string | undefined {
  const [first, ...rest] = image.replace(/^docker:\/\//, "").split("/");
  return first !== undefined && rest.length > 0 && /[.:]|^localhost$/.test(first) ? first : undefined;
}

/**
 * Whether another try soon may do: a connection that broke or was too slow, a registry in trouble with itself. Not one that is not there,
 * that refuses, or whose limit is used up: those take longer than a rollout waits.
 */
export function isTransient({ status, words }: { readonly status: number; readonly words: string }): boolean {
  if ([401, 403, 404, 429].includes(status) || /toomanyrequests|no space left/.test(words)) return false;
  return /\bHTTP status: 5\d\d|connection reset|broken pipe|\bEOF\b|timed? ?out|timeout|deadline exceeded|stream error|GOAWAY|server closed/i.test(
    words,
  );
}

/** Turns an error into what to do; fits behind "pull IMAGE: ". */
export function advise(error: { readonly status: number; readonly words: string }, image: string, authFile: string | undefined): string {
  const registry = registryOf(image);
  // "denied" is also what Docker Hub and others say of a repository that does not exist.
  if (error.status === 401 || error.status === 403 || /unauthorized|denied|authentication required|forbidden/i.test(error.words))
    return `${/denied/i.test(error.words) ? "unauthorized, or there is no such image" : "unauthorized"}: ${logIn(registry, authFile)}`;
  if (error.status === 404 || /manifest unknown|name unknown|not found: manifest/i.test(error.words))
    return registry === undefined
      ? "not found in the registries that the host searches for short names: check name and tag"
      : `not found in registry ${registry}: check name and tag`;
  if (error.words.includes("no space left on device"))
    return `the disk with Podman's images is full: make room, podman system prune for one (${error.words})`;
  return registry !== undefined && /^(?:dial|lookup|read) /.test(error.words)
    ? `registry ${registry} can't be reached: ${error.words}`
    : error.words;
}

/**
 * The file is named because `podman login` alone writes below /run: gone after a reboot, and for a root with a login session
 * not where the system's podman.service looks (/run/user/0 against /run/containers/0).
 */
function logIn(registry: string | undefined, authFile: string | undefined): string {
  const file = authFile ?? "~/.config/containers/auth.json";
  const where = `run "podman login ${registry ?? "REGISTRY"} --authfile ${file}" on the host`;
  return authFile === undefined ? `${where} (as the user that runs pgo) or set AuthFile=` : where;
}

/** One line without secrets: those given, credentials in addresses, and queries, which sign the addresses of blobs. */
export function plain(text: string, secrets: readonly string[]): string {
  let line = text;
  for (const secret of secrets) if (secret.length > 2) line = line.replaceAll(secret, "***");
  line = line
    .replace(/\/\/[^/\s"@]*@/g, "//***@")
    .replace(/(https?:\/\/[^\s"?]*)\?[^\s"]*/g, "$1")
    // Go names both ends of a connection, and the near one is another at each try: the same trouble would be news each time.
    .replace(/\b(read|write) (tcp|udp) \S+->/g, "$1 $2 ")
    .replace(/\s+/g, " ")
    .trim();
  return line.length > 400 ? `${line.slice(0, 399)}…` : line;
}

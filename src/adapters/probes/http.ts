/** One HTTP request, redirects included, and what its answer says about a unit. */

import { readFile } from "node:fs/promises";
import { request as httpRequest, validateHeaderValue, type IncomingMessage, type RequestOptions } from "node:http";
import { request as httpsRequest } from "node:https";
import { runInNewContext } from "node:vm";

import type { Probe, SecretHeader } from "../../core/health.ts";
import { success, trouble, type Result } from "../../core/result.ts";
import { codeOf, fail, pass, unasked, type Finding } from "./trouble.ts";

export type HttpProbe = Extract<Probe, { kind: "http" }>;

/** The value of a secret that a header names; the trouble says what to do, and not the value. */
export type ReadSecret = (from: SecretHeader["from"], signal: AbortSignal) => Promise<Result<string, string>>;

/** How far into a body is read. */
const bodyLimit = 256 * 1024;

/** One hop: what is sent where. */
interface Hop {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

interface Tls {
  readonly rejectUnauthorized: boolean;
  readonly ca?: string;
  readonly servername?: string;
}

/**
 * A connection of its own for each hop. What is secret goes to the first origin only; after a 301, 302 or 303 the next hop is a GET, as
 * browsers have it (RFC 9110, 15.4). Throws what Node's client throws.
 */
export async function askHttp(probe: HttpProbe, secret: ReadSecret, within: AbortSignal): Promise<Finding> {
  const headers = await headersOf(probe, secret, within);
  if (!headers.ok) return unasked(headers.trouble);
  const ca = await authorities(probe.tls.ca);
  if (!ca.ok) return unasked(ca.trouble);
  const tls = {
    rejectUnauthorized: probe.tls.verify,
    ...(ca.value === undefined ? {} : { ca: ca.value }),
    ...(probe.tls.serverName === undefined ? {} : { servername: probe.tls.serverName }),
  };
  let hop: Hop = { url: new URL(probe.url), method: probe.method, headers: headers.value, body: probe.body };
  for (let followed = 0; ; followed++) {
    const answer = await send(hop, tls, within);
    try {
      const next = followed < probe.follow ? redirected(hop, answer, probe) : undefined;
      if (next === undefined) return await judge(answer, probe, followed === 0 ? "" : ` after ${String(followed)} redirects`);
      if (!/^https?:$/.test(next.url.protocol)) return fail(`redirected to ${next.url.protocol}`);
      hop = next;
    } finally {
      answer.destroy();
    }
  }
}

async function headersOf(
  { headers }: HttpProbe,
  secret: ReadSecret,
  within: AbortSignal,
): Promise<Result<Readonly<Record<string, string>>, string>> {
  const ready: Record<string, string> = { "User-Agent": "pgo", "Accept-Encoding": "identity" };
  for (const [name, value] of Object.entries(headers)) {
    // Names differ in case only: the later one is meant.
    for (const known of Object.keys(ready)) if (known.toLowerCase() === name.toLowerCase()) Reflect.deleteProperty(ready, known);
    if (typeof value === "string") {
      ready[name] = value;
      continue;
    }
    const found = await secret(value.from, within);
    if (!found.ok) return trouble(`header ${name}: ${found.trouble}`);
    const whole = `${value.prefix}${found.value}`;
    if (!canSend(name, whole)) return trouble(`header ${name}: the secret holds a line break or another character that no header may hold`);
    ready[name] = whole;
  }
  return success(ready);
}

function canSend(name: string, value: string): boolean {
  try {
    validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}

async function authorities(path: string | undefined): Promise<Result<string | undefined, string>> {
  if (path === undefined) return success(undefined);
  try {
    return success(await readFile(path, "utf8"));
  } catch (error) {
    return trouble(`ca file ${path} can't be read (${codeOf(error)}): it must lie where pgo can see it`);
  }
}

function send({ url, method, headers, body }: Hop, tls: Tls, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options: RequestOptions = { agent: false, signal, method, headers };
    const request = url.protocol === "https:" ? httpsRequest(url, { ...options, ...tls }) : httpRequest(url, options);
    request.on("response", resolve).on("error", reject).end(body);
  });
}

/** The next hop; undefined where the answer is none that leads on. */
function redirected(hop: Hop, answer: IncomingMessage, probe: HttpProbe): Hop | undefined {
  const { statusCode = 0, headers } = answer;
  const { location } = headers;
  if (![301, 302, 303, 307, 308].includes(statusCode) || location === undefined || !URL.canParse(location, hop.url.href)) return undefined;
  const url = new URL(location, hop.url);
  const isSame = url.origin === hop.url.origin;
  const kept = Object.entries(hop.headers).filter(
    ([name]) => isSame || (typeof probe.headers[name] !== "object" && !/^(?:authorization|cookie|proxy-authorization|host)$/i.test(name)),
  );
  const isKept = statusCode === 307 || statusCode === 308;
  return {
    url,
    method: isKept || hop.method === "HEAD" ? hop.method : "GET",
    headers: Object.fromEntries(kept),
    body: isKept && isSame ? hop.body : undefined,
  };
}

async function judge(answer: IncomingMessage, { status, contains, matches }: HttpProbe, way: string): Promise<Finding> {
  const code = answer.statusCode ?? 0;
  if (!status.some(({ from, to }) => from <= code && code <= to)) return fail(`${String(code)}${way}`);
  if (contains === undefined && matches === undefined) return pass;
  const { text, isWhole } = await read(answer, matches === undefined ? contains : undefined);
  const where = isWhole ? "the answer" : `the first ${String(bodyLimit / 1024)} KiB of the answer`;
  if (contains !== undefined && !text.includes(contains))
    return fail(`${String(code)}${way}, but ${JSON.stringify(contains)} is not in ${where}`);
  if (matches === undefined) return pass;
  const found = isMatch(matches, text.toString());
  if (found === undefined)
    return fail(`${String(code)}${way}, but to match /${matches}/ takes longer than ${String(matchTime)} ms: make it simpler`);
  return found ? pass : fail(`${String(code)}${way}, but /${matches}/ does not match in ${where}`);
}

/** Reads no further than the text, if one is given, or the limit. */
async function read(answer: IncomingMessage, until: string | undefined): Promise<{ readonly text: Buffer; readonly isWhole: boolean }> {
  let text = Buffer.alloc(0);
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    text = Buffer.concat([text, chunk]).subarray(0, bodyLimit);
    if (until !== undefined && text.includes(until)) return { text, isWhole: false };
    if (text.length === bodyLimit) return { text, isWhole: false };
  }
  return { text, isWhole: true };
}

/** In milliseconds: 256 KiB take one or two with a pattern that does not go back and forth. */
const matchTime = 100;

/**
 * A pattern such as `^(a+)+$` may take longer than anyone lives, and nothing else of pgo's would run meanwhile. V8 looks while it goes back
 * whether it is to end, so a script's time limit ends it (tried with Node 24). Undefined where that happened.
 */
function isMatch(pattern: string, text: string): boolean | undefined {
  try {
    return runInNewContext('new RegExp(pattern, "mu").test(text)', { pattern, text }, { timeout: matchTime }) === true;
  } catch (error) {
    // It comes of the script's own realm, whose Error is another.
    if (typeof error === "object" && error !== null && "code" in error && error.code === "ERR_SCRIPT_EXECUTION_TIMEOUT") return undefined;
    throw error;
  }
}

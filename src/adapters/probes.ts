/** Probes: one HTTP request or one TCP connection, and what it says about a unit. */

import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import type { Probe, Sample } from "../core/health.ts";
import type { Clock, Prober } from "../ports.ts";

/** What one probe found; a Sample without its time. */
type Finding = { readonly result: "pass" } | { readonly result: "fail" | "unasked"; readonly message: string };
type HttpProbe = Extract<Probe, { kind: "http" }>;
type TcpProbe = Extract<Probe, { kind: "tcp" }>;

/** How far into a body `contains` is looked for. */
const bodyLimit = 256 * 1024;

/** A timeout that comes this late, in milliseconds, tells of a pgo that was not running, not of the unit. */
const stall = 500;

/**
 * What went wrong on this side: no file descriptor, no memory, no local port, no route, no resolver, a packet filter or
 * sandbox that lets pgo not connect. Nothing reached the unit, so its answer is not known. All else is a failure, as it is
 * for kubelet: a refused connection, a name that does not exist, a bad certificate, an answer that is not HTTP.
 */
const ownTrouble = new Set([
  "EMFILE",
  "ENFILE",
  "ENOMEM",
  "ENOBUFS",
  "EADDRNOTAVAIL",
  "EAI_AGAIN",
  "EACCES",
  "EPERM",
  "ENETDOWN",
  "ENETUNREACH",
]);

/**
 * Every probe is a connection of its own. HTTP: GET; redirects are answers like others; certificates are verified.
 * TCP: that it connects; behind a rootless port forwarder the forwarder may be what accepts. `Sample.at` is when the answer
 * was there.
 */
export function openProber({ clock }: { readonly clock: Clock }): Prober {
  return {
    async probe(probe, timeout, signal): Promise<Sample> {
      signal.throwIfAborted();
      const ask = (within: AbortSignal) => (probe.kind === "http" ? askHttp(probe, within) : askTcp(probe, within));
      const finding = await limited(subjectOf(probe), timeout, ask, signal);
      return { at: clock.now(), ...finding };
    },
  };
}

/** Turns errors and the time limit into findings; throws only the signal's reason. */
async function limited(
  subject: string,
  timeout: number,
  ask: (within: AbortSignal) => Promise<Finding>,
  signal: AbortSignal,
): Promise<Finding> {
  const begun = performance.now();
  // One for this probe alone: what Node hangs on a signal that lives on, or on an AbortSignal.any() of it, stays in memory.
  const within = new AbortController();
  const end = () => {
    within.abort();
  };
  signal.addEventListener("abort", end, { once: true });
  const timer = setTimeout(end, timeout);
  try {
    const finding = await ask(within.signal);
    return finding.result === "pass" ? finding : { ...finding, message: `${subject}: ${finding.message}` };
  } catch (error) {
    signal.throwIfAborted();
    const late = performance.now() - begun - timeout;
    if (!within.signal.aborted) return { result: resultOf(error), message: `${subject}: ${wordsOf(error)}` };
    if (late > stall) return { result: "unasked", message: `${subject}: pgo itself stood still for ${duration(late)}` };
    return { result: "fail", message: `${subject}: no answer within ${duration(timeout)}` };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  }
}

async function askHttp(probe: HttpProbe, within: AbortSignal): Promise<Finding> {
  const answer = await get(probe.url, within);
  try {
    const status = answer.statusCode ?? 0;
    if (!probe.status.includes(status)) return fail(String(status));
    return probe.contains === undefined ? { result: "pass" } : await findText(answer, probe.contains);
  } finally {
    answer.destroy();
  }
}

function get(url: string, signal: AbortSignal): Promise<IncomingMessage> {
  const request = url.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    request(url, { agent: false, signal, headers: { "User-Agent": "pgo", "Accept-Encoding": "identity" } })
      .on("response", resolve)
      .on("error", reject)
      .end();
  });
}

/** Reads no further than the text, or the limit. */
async function findText(answer: IncomingMessage, text: string): Promise<Finding> {
  let body = Buffer.alloc(0);
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    body = Buffer.concat([body, chunk]).subarray(0, bodyLimit);
    if (body.includes(text)) return { result: "pass" };
    if (body.length === bodyLimit)
      return fail(`${answer.statusCode ?? 0}, but "${text}" is not in the first ${bodyLimit / 1024} KiB of the answer`);
  }
  return fail(`${answer.statusCode ?? 0}, but "${text}" is not in the answer`);
}

function askTcp({ host, port }: TcpProbe, signal: AbortSignal): Promise<Finding> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, signal });
    socket.on("error", reject).on("connect", () => {
      // Where nobody listens on a port that the kernel gives to clients, a connection may get that same port and meet itself.
      const itself = socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress;
      socket.destroy();
      resolve(itself ? fail("connection refused") : { result: "pass" });
    });
  });
}

const fail = (message: string): Finding => ({ result: "fail", message });

/** "GET http://127.0.0.1:8080/ready"; what may be a secret in an address is ***. */
function subjectOf(probe: Probe): string {
  switch (probe.kind) {
    case "http":
      return `GET ${shown(probe.url)}`;
    case "tcp":
      return `connect ${probe.host.includes(":") ? `[${probe.host}]` : probe.host}:${probe.port}`;
  }
}

function shown(url: string): string {
  return url.replace(/\/\/[^/?#]*@/, "//***@").replace(/([?&][^=&#]*(?:token|key|secret|pass|auth|sig)[^=&#]*=)[^&#]*/gi, "$1***");
}

function resultOf(error: unknown): "fail" | "unasked" {
  return causesOf(error).every((cause) => ownTrouble.has(codeOf(cause))) ? "unasked" : "fail";
}

/** A name with several addresses fails with one error for each. */
function causesOf(error: unknown): readonly unknown[] {
  return error instanceof AggregateError && error.errors.length > 0 ? error.errors : [error];
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection broken off",
  EPIPE: "connection broken off",
  ETIMEDOUT: "no answer to the connection",
  EHOSTUNREACH: "host unreachable",
  ENETUNREACH: "network unreachable",
  ENETDOWN: "network down",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "the name can't be resolved at the moment",
  EMFILE: "pgo has too many open files",
  ENFILE: "the host has too many open files",
  ENOMEM: "out of memory",
  ENOBUFS: "out of network buffers",
  EADDRNOTAVAIL: "no local address or port is free",
  EACCES: "pgo may not connect",
  EPERM: "pgo may not connect",
};

/** Tells of the first address that failed by its own fault, if there is one. */
function wordsOf(error: unknown): string {
  const causes = causesOf(error);
  const cause = causes.find((one) => !ownTrouble.has(codeOf(one))) ?? causes[0];
  const code = codeOf(cause);
  if (code.startsWith("HPE_")) return "the answer is not HTTP";
  return words[code] ?? oneLine(cause);
}

const oneLine = (error: unknown) => (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").trim();

const duration = (ms: number) => (ms < 1000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 100) / 10} s`);

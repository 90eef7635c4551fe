/** What a probe found, and what went wrong with a connection, in words: the unit's fault, or this side's. */

/** A Sample without its time. */
export type Finding = { readonly result: "pass" } | { readonly result: "fail" | "unasked"; readonly message: string };

export const pass: Finding = { result: "pass" };
export const fail = (message: string): Finding => ({ result: "fail", message });
export const unasked = (message: string): Finding => ({ result: "unasked", message });

/** What an error says of the unit, in one line: of the first address that failed by its own fault, if there is one. */
export function findingOf(error: unknown): Finding {
  const causes = causesOf(error);
  const isOurs = causes.every((cause) => ownTrouble.has(codeOf(cause)));
  const cause = causes.find((one) => !ownTrouble.has(codeOf(one))) ?? causes[0];
  return (isOurs ? unasked : fail)(wordsOf(cause));
}

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

/** A name with several addresses fails with one error for each. */
function causesOf(error: unknown): readonly unknown[] {
  return error instanceof AggregateError && error.errors.length > 0 ? error.errors : [error];
}

const remedy = "name its authority's certificate with ca, or set verify = false";
const unknownAuthority = `the certificate is of no known authority: ${remedy}`;
const noTls = "the other side does not speak TLS: is it http?";

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
  // OpenSSL's and Node's own (tls, "X509 certificate error codes").
  DEPTH_ZERO_SELF_SIGNED_CERT: `the certificate is self-signed: ${remedy}`,
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
  CERT_HAS_EXPIRED: "the certificate has expired",
  CERT_NOT_YET_VALID: "the certificate is not valid yet: is the clock right?",
  ERR_TLS_CERT_ALTNAME_INVALID: "the certificate is for another name: set server_name",
  ERR_SSL_WRONG_VERSION_NUMBER: noTls,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: noTls,
  EPROTO: noTls,
  ERR_OSSL_PEM_NO_START_LINE: "the ca file holds no certificate in PEM",
};

function wordsOf(cause: unknown): string {
  const code = codeOf(cause);
  if (code.startsWith("HPE_")) return "the answer is not HTTP";
  return words[code] ?? oneLine(cause);
}

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

const oneLine = (error: unknown) => (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").trim();

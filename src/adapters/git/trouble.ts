/** What git and ssh say when they fail, as a reason for people: whose fault it is, whether waiting helps, what to do. Pure. */

import { closest } from "../../core/closest.ts";
import { candidates, type FixedRef, type Tag } from "../../core/refs.ts";
import type { GitTrouble } from "../../ports.ts";

/** Whom a failure speaks of: only a clone that may be at fault is made anew. */
export interface GitFailure extends GitTrouble {
  readonly fault: "remote" | "clone" | "disk";
  /** The server is there but does not give out this commit by its hash. */
  readonly refused?: true;
  /** And that since it has none. */
  readonly absent?: boolean;
  /** It was ended at its deadline. */
  readonly late?: true;
}

/** What the words of a failure need to know of the source. */
export interface About {
  readonly url: string;
  readonly host: string;
  readonly port: string;
  readonly branch: string | undefined;
  readonly at?: FixedRef | undefined;
  readonly sshKey: string | undefined;
  readonly knownHosts: string | undefined;
  /** What must not be seen. */
  readonly secrets: readonly string[];
}

interface Rule {
  readonly pattern: RegExp;
  readonly fault?: "clone" | "disk";
  readonly transient: boolean;
  readonly refused?: true;
  /** The reason; without it, the line that matched. `match` is the pattern's. */
  readonly reason?: (about: About, match: RegExpExecArray) => string;
}

/** Judges the standard error of a git process that ended without success, written under LC_ALL=C. */
export function failureOf(stderr: string, about: About): GitFailure {
  for (const rule of rules) {
    const match = rule.pattern.exec(stderr);
    if (match === null) continue;
    const reason = rule.reason === undefined ? lineAt(stderr, match.index) : rule.reason(about, match);
    return {
      reason: spoken(reason, about.secrets),
      transient: rule.transient,
      fault: rule.fault ?? "remote",
      ...(rule.refused === undefined ? {} : { refused: rule.refused, absent: stderr.includes("not our ref") }),
    };
  }
  // Unknown words: a fresh clone finds out whether it is the clone's fault, and waiting can do no harm.
  return { reason: spoken(telling(stderr), about.secrets), transient: true, fault: "clone" };
}

/** One line without control characters, secrets and passwords in URLs as ***, not endless. */
export function spoken(text: string, secrets: readonly string[]): string {
  let masked = text.replace(/(\b[a-z][a-z0-9+.-]*:\/\/)[^/@\s:]*:[^/@\s]*@/gi, "$1***@");
  for (const secret of secrets) if (secret !== "") masked = masked.replaceAll(secret, "***");
  const line = masked.replace(/[\p{Cc}\s]+/gu, " ").trim();
  return line.length > 400 ? `${line.slice(0, 399)}…` : line;
}

/** The remote has nothing of the name that is followed. `tags`: those that it has, as far as they were asked for. */
export function notThere({ url, branch, at }: About, tags: readonly Tag[] = []): string {
  if (at?.kind === "commit") return `commit ${at.revision} is in no branch or tag of ${url}: push it, or change commit in pgo.toml`;
  if (at !== undefined) return noSuchTag(at, url, tags);
  return branch === undefined
    ? `${url} has no commit that its HEAD names: push one, or set branch in pgo.toml`
    : `branch "${branch}" is not in ${url}: push it, or change branch in pgo.toml`;
}

/** How many are named. */
const mostTags = 5;

function noSuchTag(at: Exclude<FixedRef, { kind: "commit" }>, url: string, tags: readonly Tag[]): string {
  const names = candidates(at, tags);
  const rest = names.length > mostTags ? ` and ${String(names.length - mostTags)} more` : "";
  const there = `there ${names.length === 1 ? "is" : "are"} ${names.slice(0, mostTags).join(", ")}${rest}`;
  if (at.kind === "tag") {
    const near = closest(at.tag, names);
    const meant = near === undefined ? "" : ` (did you mean "${near}"?)`;
    return `tag "${at.tag}" is not in ${url}${meant}: ${names.length === 0 ? "it has no tags" : there}; push it, or change tag in pgo.toml`;
  }
  const others = tags.length === 0 ? "it has no tags" : `none of its tags is ${at.prefix === "" ? "" : `"${at.prefix}" and `}a version`;
  return `no tag of ${url} is within semver "${at.range}": ${names.length === 0 ? others : there}; push one, or change semver in pgo.toml`;
}

const keyHint = ({ sshKey, url }: About) =>
  sshKey === undefined
    ? `add auth = { ssh_key = … } to the source in pgo.toml, with a key that may read ${url}`
    : `allow the public half of ${sshKey} (a key without passphrase) to read ${url}`;

/** From the most telling to the least: one failure prints several lines. */
const rules: readonly Rule[] = [
  // The clone's own disk.
  {
    pattern: /No space left on device|Disk quota exceeded|Read-only file system|Input\/output error/,
    fault: "disk",
    transient: false,
    reason: (_, [what]) => `the clone can't be written: ${what}: look after the state directory's disk`,
  },
  { pattern: /Unable to create '[^']*\.lock'|could not lock config file|cannot lock ref/, fault: "clone", transient: false },
  {
    pattern: /not a git repository|object file .* is empty|is corrupt|inflate: data|bad object|packfile .* (?:cannot|does not)/,
    fault: "clone",
    transient: false,
  },

  // Host keys: never learnt, always a person's decision.
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED|POSSIBLE DNS SPOOFING/,
    transient: false,
    reason: (about) =>
      `the host key of ${about.host} is not the known one: someone may be listening in. If the server was set up anew, run "ssh-keygen -R '${known(about)}' -f ${about.knownHosts ?? "FILE"}" and "${keyscan(about)}", and compare the fingerprint with the server's`,
  },
  { pattern: /REVOKED HOST KEY/, transient: false, reason: ({ host }) => `the host key of ${host} is revoked in known_hosts` },
  {
    pattern: /Host key verification failed|host key is known for/,
    transient: false,
    reason: (about) =>
      `the host key of ${about.host} is not known: run "${keyscan(about)}"${about.knownHosts === undefined ? ", name FILE as known_hosts in auth," : ""} and compare the fingerprint with the server's`,
  },

  // Who we are.
  {
    pattern: /Permissions \d+ for '.*' are too open|bad permissions/,
    transient: false,
    reason: ({ sshKey }) => `the SSH key ${sshKey ?? ""} is readable by others and ssh won't use it: chmod 600 it`,
  },
  {
    pattern: /Load key "[^"]*": (.*)/,
    transient: false,
    reason: ({ sshKey }, [, why = ""]) => `the SSH key ${sshKey ?? ""} can't be used: ${why}: it must be a private key without passphrase`,
  },
  {
    pattern: /Permission denied \(([^)]*)\)|Too many authentication failures/,
    transient: false,
    reason: (about) => `${about.host} lets nobody in with this login (permission denied): ${keyHint(about)}`,
  },
  {
    pattern: /No user exists for uid \d+/,
    transient: false,
    reason: (_, [what]) => `ssh: ${what}: run pgo's container with UserNS=keep-id`,
  },
  { pattern: /Unable to negotiate with .*/, transient: false },
  {
    pattern: /could not read (?:Username|Password) for|terminal prompts disabled/,
    transient: false,
    reason: ({ url }) => `${url} wants a login: add auth = { username = …, password = { file = … } } to the source in pgo.toml`,
  },
  {
    pattern: /Authentication failed for|HTTP Basic: Access denied|returned error: 401/,
    transient: false,
    reason: ({ url }) => `${url} refuses the user name or password: renew the token that auth in pgo.toml names`,
  },
  {
    pattern: /returned error: 403/,
    transient: false,
    reason: ({ url }) => `${url} forbids reading (403): give the user of auth in pgo.toml the right to read it`,
  },

  // Where it is.
  {
    pattern: /couldn't find remote ref/,
    transient: false,
    reason: (about) => notThere(about),
  },
  {
    pattern:
      /strange (?:hostname|pathname|port) '|transport '(.*)' not allowed|protocol '(.*)' is not supported|Unable to find remote helper for '(.*)'/,
    transient: false,
    reason: ({ url }) => `${url} is not a URL that pgo takes: use ssh://, https://, user@host:path or a path on this machine`,
  },
  { pattern: /unallowed request for|unadvertised object|not our ref|want [0-9a-f]+ not valid/, transient: true, refused: true },
  {
    pattern:
      /does not appear to be a git repository|[Rr]epository (?:'.*' )?not found|Repository does not exist|could not be found or you don't have|returned error: 404|Unable to find repository|No such file or directory/,
    transient: false,
    reason: ({ url }) => `${url} is not a repository, or this login may not see it: check url and auth in pgo.toml`,
  },
  {
    pattern: /(?:server certificate verification failed|SSL certificate problem|no alternative certificate subject name|certificate).*/i,
    transient: false,
    reason: ({ host }, [what]) =>
      `the TLS certificate of ${host} is not trusted: ${what}: for a CA of your own, give pgo its file in GIT_SSL_CAINFO`,
  },
  {
    pattern: /URL using bad\/illegal format|URL rejected|Malformed input|invalid port|Bad port|hostname contains invalid/i,
    transient: false,
  },

  // On the way there.
  {
    pattern: /Could not resolve (?:host(?:name)?|proxy):? ?(.*)/i,
    transient: true,
    reason: ({ host }, [what]) => `find ${host}: ${what.replace(/^Could not resolve host(?:name)?:? ?/i, "") || what}`,
  },
  {
    pattern: /connect to host .*|Failed to connect to .*|Couldn't connect to server/,
    transient: true,
    reason: (_, [what]) => what.trim().replace(/^Failed to /, ""),
  },
  {
    pattern:
      /returned error: (?:429|5\d\d)|HTTP (?:429|5\d\d)|[Tt]imed out|Timeout, server|Connection (?:closed|reset|refused).*|Broken pipe|Operation too slow|Empty reply|SSL_ERROR_SYSCALL|gnutls_handshake.*|GnuTLS recv error.*|OpenSSL SSL_(?:read|connect).*|TLS connection was non-properly terminated|transfer closed|Received HTTP code .* from proxy/,
    transient: true,
    reason: ({ url }, { index, input }) => `read ${url}: ${lineAt(input, index)}`,
  },
  {
    pattern: /early EOF|hung up unexpectedly|unexpected disconnect|Could not read from remote repository|RPC failed|remote error: .*/,
    transient: true,
    reason: ({ url }, { index, input }) => `read ${url}: ${index === 0 ? telling(input) : lineAt(input, index)}`,
  },
];

/** The line around a place, without the prefixes of git and ssh. */
function lineAt(text: string, index: number): string {
  const start = text.lastIndexOf("\n", index - 1) + 1;
  const end = text.indexOf("\n", index);
  return stripped(text.slice(start, end === -1 ? text.length : end));
}

function stripped(line: string): string {
  return line.trim().replace(/^(?:(?:fatal|error|ssh|remote|ERROR): )+/, "");
}

/** Git's advice and chatter left out, the first line that says something. */
function telling(stderr: string): string {
  const lines = stderr
    .split("\n")
    .filter((line) => line.trim() !== "" && !/^(?:hint:|warning:|From |Please make sure|and the repository)/.test(line));
  const said = lines.find((line) => /^(?:fatal|error|ERROR|ssh):/.test(line)) ?? lines[0];
  return said === undefined ? "git failed without a word" : stripped(said);
}

function keyscan({ host, port, knownHosts }: About): string {
  return `ssh-keyscan ${port === "" ? "" : `-p ${port} `}${host} >> ${knownHosts ?? "FILE"}`;
}

/** As known_hosts names a host with a port of its own (sshd(8)). */
function known({ host, port }: About): string {
  return port === "" || port === "22" ? host : `[${host}]:${port}`;
}

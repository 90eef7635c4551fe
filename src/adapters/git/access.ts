/** How git gets at a source: the environment of its processes, with SSH's options and a password's way in. */

import { access, constants } from "node:fs/promises";
import { dirname } from "node:path";

import type { SecretReference, Source } from "../../core/config.ts";
import { success, trouble, type Result } from "../../core/result.ts";

export interface AccessOptions {
  /** pgo's directory for clones: git's HOME, and where its only configuration file lies. */
  readonly directory: string;
  /** pgo's own environment, of which only a few variables go on. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly secrets: (reference: SecretReference, signal: AbortSignal) => Promise<Result<string, string>>;
}

export interface Access {
  /** The whole environment of a git process; `origin` is the source's URL in it. */
  readonly environment: Readonly<Record<string, string>>;
  /** What must not be seen in any message. */
  readonly secrets: readonly string[];
}

/** A source's address, for messages and for the scope of a password. */
export interface Address {
  readonly kind: "ssh" | "http" | "path";
  /** Without user name and password. */
  readonly url: string;
  readonly host: string;
  /** Empty for the scheme's own. */
  readonly port: string;
  readonly username: string;
  readonly password: string;
}

/** What pgo asks of git everywhere, in a file since `safe.directory` must reach the upload-pack of a local source (git-config(1)). */
export const gitConfig = `# Written by pgo for its own git processes; changes are overwritten.
[safe]
	directory = *
[init]
	defaultBranch = main
	templateDir =
[protocol]
	allow = never
[protocol "https"]
	allow = always
[protocol "http"]
	allow = always
[protocol "ssh"]
	allow = always
[protocol "file"]
	allow = always
[core]
	hooksPath = /dev/null
	autocrlf = false
	symlinks = true
	fsmonitor = false
[fetch]
	recurseSubmodules = false
	unpackLimit = 1
[gc]
	auto = 0
[maintenance]
	auto = false
[http]
	lowSpeedLimit = 500
	lowSpeedTime = 60
`;

/** The name of git's configuration file in pgo's directory for clones; no source can be called so. */
export const gitConfigFile = ".gitconfig";

/**
 * Takes a URL apart: `ssh://user@host:port/path`, `user@host:path` (git-clone(1)), `https://…`, anything else is a path.
 * A user name and password in an http(s) URL are taken out of it, so that they stand in no argument, file or message.
 */
export function addressOf(url: string): Address {
  const [, scheme = ""] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url) ?? [];
  const none = { port: "", username: "", password: "" };
  const [, scpHost] = scheme === "" && !/^[./]/.test(url) ? (/^(?:[^@/:]+@)?(\[[^\]]+\]|[^/:[\]]+):(?!:)/.exec(url) ?? []) : [];
  if (scpHost !== undefined) return { kind: "ssh", url, host: bare(scpHost), ...none };
  const kind = /^(?:git\+ssh|ssh\+git|ssh)$/i.test(scheme) ? "ssh" : /^https?$/i.test(scheme) ? "http" : "path";
  if (kind === "path" || !URL.canParse(url)) return { kind: "path", url, host: "", ...none };
  const { hostname, port, username, password } = new URL(url);
  const clean = kind === "http" ? url.replace(/^([a-z]+:\/\/)[^/@]*@/i, "$1") : url;
  return {
    kind,
    url: clean,
    host: bare(hostname),
    port,
    username: decodeURIComponent(username),
    password: decodeURIComponent(password),
  };
}

/**
 * The environment in which git reaches a source. Nothing of the user's or the system's git configuration gets in; of pgo's own environment
 * only what finds programs, proxies, certificates and the SSH agent. The trouble says what to do.
 */
export async function accessTo(source: Source, options: AccessOptions, signal: AbortSignal): Promise<Result<Access, string>> {
  const address = addressOf(source.url);
  const config: [string, string][] = [["remote.origin.url", address.url]];
  const login = await loginOf(source, address, options, signal);
  if (!login.ok) return login;
  if (source.auth !== undefined && "ssh_key" in source.auth) {
    const unreadable = await firstUnreadable(source.auth);
    if (unreadable !== undefined) return trouble(unreadable);
  }
  if (login.value !== undefined) config.push([`credential.${new URL(address.url).origin}.helper`, helper]);
  return success({
    environment: {
      ...passedOn(options.environment),
      LC_ALL: "C",
      // curl would read the user's .netrc; ssh finds the user's own files by the password database.
      HOME: options.directory,
      GIT_CONFIG_NOSYSTEM: "1",
      GIT_CONFIG_GLOBAL: `${options.directory}/${gitConfigFile}`,
      GIT_CEILING_DIRECTORIES: dirname(options.directory),
      GIT_TERMINAL_PROMPT: "0",
      GIT_LITERAL_PATHSPECS: "1",
      GIT_DEFAULT_REF_FORMAT: "files",
      GIT_SSH_COMMAND: sshCommand(source),
      GIT_SSH_VARIANT: "ssh",
      GIT_CONFIG_COUNT: String(config.length),
      ...Object.fromEntries(
        config.flatMap(([key, value], index) => [
          [`GIT_CONFIG_KEY_${String(index)}`, key],
          [`GIT_CONFIG_VALUE_${String(index)}`, value],
        ]),
      ),
      ...(login.value === undefined ? {} : { PGO_GIT_USERNAME: login.value.username, PGO_GIT_PASSWORD: login.value.password }),
    },
    secrets: login.value === undefined ? [] : spellings(login.value),
  });
}

/**
 * Hands the password from the environment to git when the server asks for one. Neither an http.extraHeader, which git would send on to
 * wherever the server redirects to, nor a GIT_ASKPASS program, which needs a file that can be executed: the scope of the configuration key
 * keeps the password to the source's own scheme, host and port (gitcredentials(7)).
 */
const helper = `!f() { test "$1" = get && printf 'username=%s\\npassword=%s\\n' "$PGO_GIT_USERNAME" "$PGO_GIT_PASSWORD"; }; f`;

/** Forms in which a password could come back in a message. */
function spellings({ username, password }: { readonly username: string; readonly password: string }): readonly string[] {
  if (password === "") return [];
  return [password, encodeURIComponent(password), Buffer.from(`${username}:${password}`).toString("base64")];
}

async function loginOf(source: Source, address: Address, { secrets }: AccessOptions, signal: AbortSignal) {
  if (source.auth === undefined || !("password" in source.auth))
    return success(address.kind === "http" && address.password !== "" ? address : undefined);
  if (address.kind !== "http") return trouble(`${address.url} takes no password: use an https:// URL, or auth = { ssh_key = … }`);
  const password = await secrets(source.auth.password, signal);
  if (!password.ok) return password;
  if (/[\n\r\0]/.test(password.value)) return trouble("the password has more than one line: a token is one line");
  return success({ username: source.auth.username, password: password.value });
}

async function firstUnreadable(auth: { readonly ssh_key: string; readonly known_hosts?: string | undefined }): Promise<string | undefined> {
  const files = [
    { path: auth.ssh_key, what: "SSH key" },
    { path: auth.known_hosts, what: "known_hosts file" },
  ];
  for (const { path, what } of files) {
    if (path === undefined) continue;
    try {
      await access(path, constants.R_OK);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
      return `${what} ${path} can't be read (${code}): check the path, its owner and mode, and that pgo's container sees it`;
    }
  }
  return undefined;
}

const passed = /^(?:PATH|TMPDIR|SSH_AUTH_SOCK|SSL_CERT_FILE|SSL_CERT_DIR|GIT_SSL_CAINFO|GIT_SSL_CAPATH|(?:https?|all|no)_proxy)$/i;

function passedOn(environment: AccessOptions["environment"]): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) if (value !== undefined && passed.test(name)) kept[name] = value;
  // Debian's git speaks TLS by GnuTLS, which knows nothing of SSL_CERT_FILE.
  if (kept["SSL_CERT_FILE"] !== undefined) kept["GIT_SSL_CAINFO"] ??= kept["SSL_CERT_FILE"];
  return kept;
}

/** ssh_config(5). Nothing is asked, no host key is learnt, nothing is written, no connection is left open for others. */
function sshCommand({ auth }: Source): string {
  const options = [
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "ControlMaster=no",
    "ControlPath=none",
    "ClearAllForwardings=yes",
    "ConnectTimeout=15",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=3",
  ];
  if (auth !== undefined && "ssh_key" in auth) {
    // Not -i: ssh looks for its file before it replaces tokens, so that no path with a % would do.
    options.push(`IdentityFile=${quoted(auth.ssh_key)}`, "IdentitiesOnly=yes");
    if (auth.known_hosts !== undefined) options.push(`UserKnownHostsFile=${quoted(auth.known_hosts)}`, "GlobalKnownHostsFile=none");
  }
  return `ssh ${options.map((option) => `-o '${option.replaceAll("'", "'\\''")}'`).join(" ")}`;
}

/** A path as an option of ssh takes it: in quotes, and with %% for a %, since %h and its like are replaced (ssh_config(5), TOKENS). */
function quoted(path: string): string {
  return `"${path.replaceAll("%", "%%").replace(/["\\]/g, "\\$&")}"`;
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, "$1");
}

/** Real Git repositories for tests: a bare one to serve, a work tree to commit from; and a web server that serves it with a password. */

import { execFile, spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";

import { openGit, type GitOptions } from "../../src/adapters/git/git.ts";
import type { TreeEntry } from "../../src/core/bundle.ts";
import type { Source } from "../../src/core/config.ts";
import { revision, sourceName, type Revision } from "../../src/core/names.ts";
import { success, type Result } from "../../src/core/result.ts";
import type { Git, GitTrouble } from "../../src/ports.ts";

export const never = new AbortController().signal;

/** A directory that goes away with the test. */
export async function directory(t: TestContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "pgo-git-"));
  t.after(() => rm(made, { recursive: true, force: true, maxRetries: 3 }));
  return made;
}

export interface Repository {
  /** The bare one. */
  readonly path: string;
  /** Writes files (`null`: removes; a string that starts with "->" is a symlink), commits, pushes with force. Answers the commit. */
  commit(files: Readonly<Record<string, string | Uint8Array | null>>, message?: string): Promise<Revision>;
  /** Any git command in the work tree. */
  git(...args: readonly string[]): Promise<string>;
  /** Any git command in the bare repository. */
  served(...args: readonly string[]): Promise<string>;
}

export async function repository(t: TestContext, ...init: readonly string[]): Promise<Repository> {
  const root = await directory(t);
  const path = join(root, "fleet.git");
  const work = join(root, "work");
  const config = join(root, "config");
  await writeFile(
    config,
    "[user]\n\tname = Ann Example\n\temail = ann@example.com\n[init]\n\tdefaultBranch = main\n[core]\n\tautocrlf = false\n",
  );
  const git = async (cwd: string, args: readonly string[]) => {
    const env = { PATH: process.env["PATH"], HOME: root, GIT_CONFIG_GLOBAL: config, GIT_CONFIG_NOSYSTEM: "1" };
    return (await promisify(execFile)("git", [...args], { cwd, env })).stdout.trim();
  };
  await git(root, ["init", "--quiet", "--bare", ...init, path]);
  await git(root, ["init", "--quiet", ...init, work]);
  await git(work, ["remote", "add", "origin", path]);
  return {
    path,
    git: (...args) => git(work, args),
    served: (...args) => git(path, args),
    async commit(files, message = "A change") {
      for (const [name, content] of Object.entries(files)) {
        const file = join(work, name);
        await rm(file, { force: true });
        if (content === null) continue;
        await mkdir(dirname(file), { recursive: true });
        if (typeof content === "string" && content.startsWith("->")) await symlink(content.slice(2), file);
        else await writeFile(file, content);
        if (name.endsWith(".sh")) await chmod(file, 0o755);
      }
      await git(work, ["add", "--all"]);
      await git(work, ["commit", "--quiet", "--allow-empty", "-m", message]);
      await git(work, ["push", "--quiet", "--force", "origin", "HEAD:main"]);
      return revision(await git(work, ["rev-parse", "HEAD"]));
    },
  };
}

export function source(url: string, more: Partial<Source> = {}): Source {
  return {
    name: sourceName("fleet"),
    url,
    branch: "main",
    paths: ["."],
    optionalPaths: false,
    interval: 60_000,
    auth: undefined,
    allowEmpty: false,
    ...more,
  };
}

export function open(directory: string, more: Partial<GitOptions> = {}): Git {
  return openGit({ directory, environment: process.env, secrets: () => Promise.resolve(success("s3cret $HOME 'x'")), ...more });
}

export function good<Value>(result: Result<Value, GitTrouble>): Value {
  if (!result.ok) throw new Error(`unexpected trouble: ${result.trouble.reason}`);
  return result.value;
}

export function bad<Value>(result: Result<Value, GitTrouble>): GitTrouble {
  if (result.ok) throw new Error("a trouble was expected");
  return result.trouble;
}

export function content(entries: ReadonlyMap<string, TreeEntry>, path: string): string {
  const entry = entries.get(path);
  if (entry?.kind !== "file") throw new Error(`${path} is not a file of the snapshot`);
  return Buffer.from(entry.content).toString("utf8");
}

export interface WebServer {
  readonly url: string;
  /** Requests that came, by path and whether they had a login. */
  readonly requests: readonly string[];
  /** What the next requests are answered: a status, or not at all. */
  answer: number | "serve" | "hang" | { readonly redirect: string };
}

/** `git http-backend` behind node:http, for one user with one password. */
export async function webServer(t: TestContext, repository: Repository, login: { user: string; password: string }): Promise<WebServer> {
  const requests: string[] = [];
  const state: WebServer = { url: "", requests, answer: "serve" };
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    requests.push(`${request.method ?? ""} ${request.url ?? ""} ${authorization === undefined ? "-" : "login"}`);
    if (state.answer === "hang") return;
    if (typeof state.answer === "number") {
      response.writeHead(state.answer).end();
      return;
    }
    if (typeof state.answer === "object") {
      response.writeHead(302, { location: state.answer.redirect + (request.url ?? "") }).end();
      return;
    }
    if (authorization !== `Basic ${Buffer.from(`${login.user}:${login.password}`).toString("base64")}`) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end();
      return;
    }
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    const backend = spawn("git", ["http-backend"], {
      env: {
        PATH: process.env["PATH"],
        GIT_PROJECT_ROOT: dirname(repository.path),
        GIT_HTTP_EXPORT_ALL: "1",
        PATH_INFO: pathname,
        QUERY_STRING: searchParams.toString(),
        REQUEST_METHOD: request.method ?? "GET",
        CONTENT_TYPE: request.headers["content-type"],
        HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
        GIT_PROTOCOL: String(request.headers["git-protocol"]),
        REMOTE_USER: login.user,
      },
    });
    request.pipe(backend.stdin);
    backend.stdin.on("error", () => undefined);
    let head = Buffer.alloc(0);
    let body = false;
    backend.stdout.on("data", (chunk: Buffer) => {
      if (body) {
        response.write(chunk);
        return;
      }
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end === -1) return;
      body = true;
      const headers = new Map(
        head
          .toString("latin1", 0, end)
          .split("\r\n")
          .map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
      );
      response.writeHead(Number.parseInt(headers.get("status") ?? "200"), { "content-type": headers.get("content-type") ?? "" });
      response.write(head.subarray(end + 4));
    });
    backend.on("close", () => response.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return Object.assign(state, { url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/fleet.git` });
}

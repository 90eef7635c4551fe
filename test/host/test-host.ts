// Disposable test hosts for end-to-end tests: boots them by the script beside this file, and talks to them without it.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

export type User = "root" | "edge" | "git";

export interface HostOptions {
  /** Debian's release: trixie has Podman 5.4, forky 5.8. */
  readonly suite?: "trixie" | "forky";
  /** Whose Podman and systemd the test is about; commands run as this user unless they name one. */
  readonly user?: "root" | "edge";
  /** The test images: localhost/test/busybox, localhost/test/web:{good,v2,never-healthy,crash,stubborn}. */
  readonly images?: boolean;
  /** The test images and localhost/pgo:latest, built from the checkout. */
  readonly pgo?: boolean;
  /** `kill` takes what was not synced to the disk, as a power cut does; every fsync takes its time then. */
  readonly powerCut?: boolean;
}

export interface ExecOptions {
  readonly user?: User;
  readonly input?: string | Uint8Array;
  /** Throw when the exit code is not 0. Default: true. */
  readonly check?: boolean;
  /** Milliseconds until the command is killed. Default: two minutes. */
  readonly timeout?: number;
}

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const SCRIPT = fileURLToPath(new URL("host", import.meta.url));
const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
let counter = 0;

export class TestHost {
  readonly name: string;
  readonly user: "root" | "edge";
  readonly #suite: string;
  readonly #powerCut: boolean;
  readonly #accounts = new Map<string, { uid: string; home: string }>();
  #pid = 0;

  private constructor({ suite = "trixie", user = "root", powerCut = false }: HostOptions) {
    this.name = `test-${process.pid}-${++counter}`;
    this.user = user;
    this.#suite = suite;
    this.#powerCut = powerCut;
  }

  /** Boots a host of its own for a test, and takes it down after it; PGO_KEEP_HOSTS=1 keeps it to look at. */
  static async up(t: TestContext, options: HostOptions = {}): Promise<TestHost> {
    const host = new TestHost(options);
    t.after(async () => {
      // Node has it; its types do not yet.
      if (!(t as TestContext & { readonly passed: boolean }).passed) await host.#explain(t);
      if (process.env["PGO_KEEP_HOSTS"]) t.diagnostic(`kept: ${SCRIPT} exec ${host.name} -- bash`);
      else await host.#script("down");
    });
    await host.boot({ fresh: true });
    if (options.images || options.pgo) await host.loadImages(options.pgo ?? false);
    return host;
  }

  /** The process id of the host's init as the machine sees it, for nsenter. */
  get pid(): number {
    return this.#pid;
  }
  /** The private key that may fetch from and push to the host's Git server. */
  get sshKey(): string {
    return `${this.home}/git_ed25519`;
  }
  get knownHosts(): string {
    return `${this.home}/known_hosts`;
  }
  get home(): string {
    return this.#accounts.get(this.user)?.home ?? "/root";
  }
  /** Where this user's quadlets go. */
  get quadlets(): string {
    return this.user === "root" ? "/etc/containers/systemd" : `${this.home}/.config/containers/systemd`;
  }

  // ---- power ---------------------------------------------------------------------------------------------------------

  /** Boots it (again) on its disk. `wait: false` returns as soon as systemd answers, with services still starting. */
  async boot({ fresh = false, wait = true }: { fresh?: boolean; wait?: boolean } = {}): Promise<void> {
    const owner = process.env["PGO_KEEP_HOSTS"] ? [] : ["--owner", String(process.pid)];
    const flags = [...(fresh ? ["--fresh"] : []), ...(this.#powerCut ? ["--power-cut"] : []), ...(wait ? [] : ["--no-wait"])];
    await this.#script("up", "--suite", this.#suite, ...flags, ...owner);
    this.#pid = Number(await this.#script("pid"));
    for (const line of readFileSync(`/proc/${this.#pid}/root/etc/passwd`, "utf8").split("\n")) {
      const [name = "", , uid = "", , , home = ""] = line.split(":");
      this.#accounts.set(name, { uid, home });
    }
  }

  /** Every process ends at once, as if the power went; what was written stays, with `powerCut` only what was synced. */
  async kill(): Promise<void> {
    await this.#script("kill");
  }
  /** With `powerCut`: what was written so far survives, as if it had been long ago. */
  async sync(): Promise<void> {
    await this.exec(["sync", "--file-system", "/usr/share/test-host/disk", "/usr/share/test-host/containers"], { user: "root" });
  }

  /** The images become visible to the host's user; they are built when the cache has none of this checkout. */
  async loadImages(pgo: boolean): Promise<void> {
    await this.#script("image", "--user", this.user, ...(pgo ? [] : ["--without-pgo"]));
  }

  // ---- commands ------------------------------------------------------------------------------------------------------

  exec(command: readonly string[], options: ExecOptions = {}): Promise<Result> {
    return run("nsenter", [...this.#wayIn(options.user ?? this.user), ...command], options);
  }

  /** Runs a shell script and returns what it prints, without the last line's end. It stops at the first failure. */
  async sh(script: string, options: ExecOptions = {}): Promise<string> {
    return (await this.exec(["bash", "-euo", "pipefail", "-c", script], options)).stdout.replace(/\n$/, "");
  }

  /** systemctl of the host's user. */
  systemctl(command: readonly string[], options: ExecOptions = {}): Promise<Result> {
    return this.exec(["systemctl", "--no-pager", ...this.#scope(options.user), ...command], options);
  }

  /** The journal of one of the host's user's units, containers' output included, over all boots. */
  async journal(unit: string, options: ExecOptions = {}): Promise<string> {
    const field = (options.user ?? this.user) === "root" ? ["_SYSTEMD_UNIT", "UNIT"] : ["_SYSTEMD_USER_UNIT", "USER_UNIT"];
    const matches = `${field[0]}=${unit} + ${field[1]}=${unit}`.split(" ");
    const command = ["journalctl", "--no-pager", "--quiet", "--output=short-precise", ...matches];
    return (await this.exec(command, { ...options, user: "root" })).stdout;
  }

  /** HTTP from inside the host. Status 0: nobody answered, and the body says why. */
  async get(url: string, ...curl: readonly string[]): Promise<{ status: number; body: string }> {
    const asked = ["curl", "--silent", "--show-error", "--max-time", "5", "--write-out", "%{stderr}%{http_code}", ...curl, url];
    const { code, stdout, stderr } = await this.exec(asked, { check: false });
    return code === 0 ? { status: Number(stderr), body: stdout } : { status: 0, body: stderr };
  }

  /** Asks again and again until the answer is truthy, and returns it. An error counts as "not yet". Half of the time is left to what is waited for. */
  async waitFor<T>(what: string, ask: () => Promise<T> | T, timeout = 30_000): Promise<NonNullable<T>> {
    const end = performance.now() + timeout;
    let last: unknown;
    do {
      const asked = performance.now();
      try {
        const answer = await ask();
        if (answer) return answer;
        last = answer;
      } catch (error) {
        last = error;
      }
      const took = performance.now() - asked;
      await new Promise((resolve) => setTimeout(resolve, Math.min(Math.max(took, 50), 1000)));
    } while (performance.now() < end);
    throw new Error(`${this.name}: waited ${timeout} ms in vain for ${what}; last: ${String(last)}`, { cause: last });
  }

  // ---- files ---------------------------------------------------------------------------------------------------------

  /** Writes a file, and makes its directories. */
  async write(path: string, content: string | Uint8Array, mode = 0o644, user: User = this.user): Promise<void> {
    const script = 'mkdir -p "$(dirname "$0")" && cat >"$0" && chmod "$1" "$0"';
    await this.exec(["sh", "-c", script, path, mode.toString(8)], { input: content, user });
  }
  async read(path: string): Promise<string> {
    return (await this.exec(["cat", "--", path], { user: "root" })).stdout;
  }
  async exists(path: string): Promise<boolean> {
    return (await this.exec(["test", "-e", path], { user: "root", check: false })).code === 0;
  }
  /** Copies a file or a directory of the machine into the host; root owns it there. */
  async copy(source: string, destination: string): Promise<void> {
    await this.#script("copy", source, destination);
  }

  // ---- Git -----------------------------------------------------------------------------------------------------------

  /** Makes a bare repository on the host's Git server. */
  async repo(name: string): Promise<Repository> {
    const path = `/srv/git/${name}.git`;
    await this.exec(["git", "init", "--quiet", "--bare", "--initial-branch=main", path], { user: "git" });
    return new Repository(this, name, path);
  }

  /** Serves the repositories by HTTP too: see Repository.httpUrl. */
  async serveGitByHttp(): Promise<void> {
    await this.exec(["systemctl", "start", "fcgiwrap.socket", "nginx.service"], { user: "root" });
  }

  // ---- inside --------------------------------------------------------------------------------------------------------

  // The same way in as `host exec`, without a shell between: a command costs a few milliseconds.
  #wayIn(user: User): string[] {
    const { uid, home } = this.#accounts.get(user) ?? { uid: "0", home: "/root" };
    const namespaces = ["--target", String(this.#pid), "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--"];
    const environment = [
      "env",
      "-i",
      "-C",
      home,
      `HOME=${home}`,
      `USER=${user}`,
      `LOGNAME=${user}`,
      `PATH=${PATH}`,
      "LANG=C.UTF-8",
      "TERM=dumb",
    ];
    if (user === "root") return [...namespaces, ...environment];
    const session = [`XDG_RUNTIME_DIR=/run/user/${uid}`, `DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/${uid}/bus`];
    return [...namespaces, "setpriv", "--reuid", uid, "--regid", uid, "--init-groups", ...environment, ...session];
  }

  #scope(user: User = this.user): string[] {
    return user === "root" ? [] : ["--user"];
  }

  async #script(command: string, ...args: string[]): Promise<string> {
    // The first run on a machine builds root and images.
    return (await run(SCRIPT, [command, this.name, ...args], { timeout: 900_000 })).stdout;
  }

  async #explain(t: TestContext): Promise<void> {
    try {
      const brief = { check: false, timeout: 5_000 };
      const { stdout } = await this.systemctl(["--failed", "--plain", "--no-legend"], brief);
      t.diagnostic(`${this.name}: failed units:\n${stdout}`);
      const failed = stdout.split("\n").flatMap((line) => line.split(" ")[0] ?? []);
      for (const unit of new Set([...failed.filter((name) => name !== ""), "pgo.service"])) {
        const lines = (await this.journal(unit, brief)).trimEnd().split("\n");
        t.diagnostic(`${this.name}: ${unit}:\n${lines.slice(-60).join("\n")}`);
      }
    } catch (error) {
      t.diagnostic(`${this.name}: nothing to be learnt: ${String(error)}`);
    }
  }
}

/** Content of a file; null deletes it (or the directory). */
export type Change =
  string | Uint8Array | null | { readonly executable: string } | { readonly symlink: string } | { readonly renamedFrom: string };

/** A bare repository on a host's Git server. There is no working tree: commits are streamed into it. */
export class Repository {
  readonly #host: TestHost;
  readonly name: string;
  readonly path: string;

  constructor(host: TestHost, name: string, path: string) {
    this.#host = host;
    this.name = name;
    this.path = path;
  }

  get url(): string {
    return `ssh://git@127.0.0.1${this.path}`;
  }
  /** After TestHost.serveGitByHttp. With "/private" before the name it asks for git / secret. */
  get httpUrl(): string {
    return `http://127.0.0.1:3080/${this.name}.git`;
  }

  /** Commits changes on top of a branch, which need not exist, and returns the full commit id. */
  async commit(files: Readonly<Record<string, Change>>, message = "change", branch = "main"): Promise<string> {
    const ref = `refs/heads/${branch}`;
    const seconds = Math.floor(Date.now() / 1000);
    const head = `commit ${ref}\ncommitter Test <test@example.com> ${seconds} +0000\n${block(message).toString()}`;
    const changes = Object.entries(files).map(([path, change]) => fastImport(path, change));
    const script = `
      tip=$(git rev-parse --quiet --verify "$2") || tip=
      { printf '%s' "$1"; [ ! "$tip" ] || echo "from $tip"; cat; } | git fast-import --quiet --done
      git rev-parse "$2"`;
    return this.#git(["bash", "-euo", "pipefail", "-c", script, "bash", head, ref], Buffer.concat([...changes, Buffer.from("done\n")]));
  }

  /** Moves a branch, forwards or back, as a forced push does; makes it if need be. */
  async reset(commit: string, branch = "main"): Promise<void> {
    await this.#git(["git", "update-ref", `refs/heads/${branch}`, commit]);
  }
  async tag(name: string, commit = "main"): Promise<void> {
    await this.#git(["git", "tag", "--force", name, commit]);
  }
  /** The full id of a commit, branch or tag. */
  head(what = "main"): Promise<string> {
    return this.#git(["git", "rev-parse", "--verify", `${what}^{commit}`]);
  }
  /** Any git command in the repository; returns what it prints. */
  git(...args: readonly string[]): Promise<string> {
    return this.#git(["git", ...args]);
  }

  async #git(command: readonly string[], input?: Uint8Array): Promise<string> {
    const inDirectory = ["env", "-C", this.path, ...command];
    return (await this.#host.exec(inDirectory, { user: "git", ...(input ? { input } : {}) })).stdout.trimEnd();
  }
}

function fastImport(path: string, change: Change): Buffer {
  const name = JSON.stringify(path);
  if (change === null) return Buffer.from(`D ${name}\n`);
  if (typeof change === "string" || change instanceof Uint8Array) return inline("100644", name, change);
  if ("executable" in change) return inline("100755", name, change.executable);
  if ("symlink" in change) return inline("120000", name, change.symlink);
  return Buffer.from(`R ${JSON.stringify(change.renamedFrom)} ${name}\n`);
}
function inline(mode: string, name: string, content: string | Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`M ${mode} inline ${name}\n`), block(content)]);
}
function block(content: string | Uint8Array): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from(`data ${bytes.length}\n`), bytes, Buffer.from("\n")]);
}

function run(command: string, args: readonly string[], { input, check = true, timeout = 120_000 }: ExecOptions): Promise<Result> {
  return new Promise((resolve, reject) => {
    // A process group of its own: nsenter passes no signals on, so at the deadline the group is killed.
    const child = spawn(command, args, { detached: true });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const timer = setTimeout(() => {
      err.push(Buffer.from(`killed after ${timeout} ms`));
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, timeout);
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    // A command that ends without reading its input is no error.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      const result = { code: code ?? 137, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
      if (check && result.code !== 0)
        reject(new Error(`exit ${result.code}: ${shown(command, args)}\n${result.stderr}${result.stdout}`.trimEnd()));
      else resolve(result);
    });
  });
}

// An error shows the command that the test gave, not the way into the host.
function shown(command: string, args: readonly string[]): string {
  const given = args.slice(args.findLastIndex((arg) => arg.startsWith("TERM=") || arg.startsWith("DBUS_SESSION_BUS_ADDRESS=")) + 1);
  return [...(command === "nsenter" ? [] : [command]), ...given].join(" ");
}

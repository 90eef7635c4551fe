/** A test host on which pgo runs and follows a repository: told to poll often, and asked as a user would, by `podman exec pgo ctl`. */

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import type { ApplicationStatus, EventEntry, HistoryEntry, PlanReport, StatusReport } from "../../src/core/report.ts";
import { TestHost, type HostOptions, type Repository, type Result } from "../host/test-host.ts";

export interface InstalledOptions extends Pick<HostOptions, "suite" | "user" | "powerCut"> {
  /** Files of the first commit. */
  readonly files?: Readonly<Record<string, string>>;
  /** Lines of pgo.toml behind the source's; the defaults below are for tests that must not take long. */
  readonly config?: string;
  /** Between two polls; default: a second. */
  readonly interval?: string;
  /** install.sh writes pgo.toml itself, from its flags: the defaults of everything. */
  readonly byFlags?: boolean;
}

/** A service as systemd shows it. */
export interface Shown {
  readonly load: string;
  readonly active: string;
  /** Differs for each start. */
  readonly invocation: string;
}

/** Short times, so that a test takes seconds; jitter and backoff stay. */
export const quick = `
[quadlet]
drift_interval = "3s"
[health]
deadline = "20s"
interval = "500ms"
min_healthy_time = "1s"
`;

const quadletDirectory = fileURLToPath(new URL("../../quadlet", import.meta.url));

export class Installed {
  readonly host: TestHost;
  readonly repository: Repository;

  private constructor(host: TestHost, repository: Repository) {
    this.host = host;
    this.repository = repository;
  }

  /** Boots a host, makes a private SSH repository `fleet`, and installs pgo by quadlet/install.sh with a pgo.toml that is there before. */
  static async up(t: TestContext, options: InstalledOptions = {}): Promise<Installed> {
    const installed = await Installed.boot(t, options);
    const { host, repository } = installed;
    if (options.byFlags === true) {
      await installed.install(repository.url, "--ssh-key", host.sshKey, "--known-hosts", host.knownHosts);
      return installed;
    }
    await installed.configure(options.config ?? quick, options.interval);
    await installed.install(repository.url);
    return installed;
  }

  /** The host and the repository alone: nothing is installed yet. */
  static async boot(t: TestContext, options: InstalledOptions = {}): Promise<Installed> {
    const host = await TestHost.up(t, { ...options, pgo: true });
    const repository = await host.repo("fleet");
    await repository.commit(options.files ?? {}, "begin");
    await host.copy(quadletDirectory, "/opt/pgo/quadlet");
    return new Installed(host, repository);
  }

  /** Where pgo.toml and its keys lie. */
  get settings(): string {
    return this.host.user === "root" ? "/etc/pgo" : `${this.host.home}/.config/pgo`;
  }

  /** pgo's own state. */
  get state(): string {
    return this.host.user === "root" ? "/var/lib/pgo" : `${this.host.home}/.local/share/pgo`;
  }

  /** Where quadlets of the source fleet lie. */
  get placed(): string {
    return `${this.host.quadlets}/pgo/fleet`;
  }

  async configure(rest: string, interval = "1s"): Promise<void> {
    const auth = `{ ssh_key = "${this.settings}/id", known_hosts = "${this.settings}/known_hosts" }`;
    await this.host.write(
      `${this.settings}/pgo.toml`,
      `[[source]]\nurl = "${this.repository.url}"\ninterval = "${interval}"\nauth = ${auth}\n${rest}`,
    );
    await this.host.sh(
      `install -m 600 ${this.host.sshKey} ${this.settings}/id && install -m 644 ${this.host.knownHosts} ${this.settings}/known_hosts`,
    );
  }

  async install(...words: readonly string[]): Promise<Result> {
    return this.host.exec(["sh", "/opt/pgo/quadlet/install.sh", ...words], { timeout: 300_000 });
  }

  /** As `install`; the exit code is not checked. */
  async tryInstall(...words: readonly string[]): Promise<Result> {
    return this.host.exec(["sh", "/opt/pgo/quadlet/install.sh", ...words], { check: false, timeout: 300_000 });
  }

  /** `podman exec pgo ctl …`; the exit code is not checked. */
  ctl(...words: readonly string[]): Promise<Result> {
    return this.host.exec(["podman", "exec", "pgo", "ctl", ...words], { check: false });
  }

  async status(): Promise<StatusReport> {
    return await this.#json<StatusReport>("status");
  }

  async application(name: string): Promise<ApplicationStatus | undefined> {
    return (await this.status()).applications.find((one) => one.name === name);
  }

  async history(name?: string): Promise<readonly HistoryEntry[]> {
    return await this.#json<HistoryEntry[]>("history", ...(name === undefined ? [] : [name]), "--limit", "200");
  }

  async events(): Promise<readonly EventEntry[]> {
    return await this.#json<EventEntry[]>("events", "--limit", "500");
  }

  async plan(): Promise<PlanReport> {
    return await this.#json<PlanReport>("plan");
  }

  /** Waits until the source has dealt with a revision and the application has this outcome. */
  async outcome(name: string, revision: string, outcome: string, timeout = 60_000): Promise<ApplicationStatus> {
    return await this.host.waitFor(
      `${name} to be ${outcome} at ${revision.slice(0, 7)}`,
      async () => {
        const { sources, applications } = await this.status();
        const one = applications.find((application) => application.name === name);
        if (sources[0]?.revision === revision && one?.outcome === outcome && one.phase === null) return one;
        throw new Error(`source at ${String(sources[0]?.revision)}, ${name}: ${JSON.stringify(one)}`);
      },
      timeout,
    );
  }

  /** Waits until applications are deployed at the branch's newest commit. */
  async deployed(...names: readonly string[]): Promise<void> {
    const head = await this.repository.head();
    for (const name of names) await this.outcome(name, head, "deployed");
  }

  /** What a web server on a port of the host's says, or why nobody answers. */
  async page(port: number): Promise<string> {
    return (await this.host.get(`http://127.0.0.1:${port}/`)).body.trim();
  }

  /** Waits for so many further polls. */
  async polls(times: number): Promise<void> {
    for (let poll = 0; poll < times; poll += 1) {
      const before = (await this.status()).sources[0]?.checkedAt;
      await this.host.waitFor("the next poll", async () => (await this.status()).sources[0]?.checkedAt !== before, 60_000);
    }
  }

  /** When a service was last started, as systemd counts: differs for each start. */
  async invocation(service: string): Promise<string> {
    return (await this.host.systemctl(["show", "--property=InvocationID", "--value", service])).stdout.trim();
  }

  /** Services by name; one that systemd does not know is `not-found`. */
  async services(...names: readonly string[]): Promise<Readonly<Record<string, Shown>>> {
    const properties = "--property=Id,LoadState,ActiveState,InvocationID";
    const { stdout } = await this.host.systemctl(["show", properties, ...names]);
    const blocks = stdout
      .trim()
      .split("\n\n")
      .map((block) => new Map(block.split("\n").map((line): [string, string] => [line.split("=")[0] ?? "", line.split("=")[1] ?? ""])));
    return Object.fromEntries(
      blocks.map((block) => [
        block.get("Id") ?? "",
        { load: block.get("LoadState") ?? "", active: block.get("ActiveState") ?? "", invocation: block.get("InvocationID") ?? "" },
      ]),
    );
  }

  /** How often the host's user's systemd has read its units anew. */
  async reloads(): Promise<number> {
    const whose = this.host.user === "root" ? ["_PID=1"] : ["_COMM=systemd", "_SYSTEMD_UNIT=user@1000.service"];
    const command = ["journalctl", "--quiet", "--no-pager", "--output=cat", ...whose];
    const { stdout } = await this.host.exec(command, { user: "root" });
    return stdout.split("\n").filter((line) => line.startsWith("Reloading finished")).length;
  }

  /** What pgo logged, each line's message. */
  async log(): Promise<readonly string[]> {
    const { stdout } = await this.host.exec(["journalctl", "--quiet", "--output=cat", "CONTAINER_NAME=pgo"], { user: "root" });
    return stdout.split("\n").flatMap((line) => (line.startsWith("{") ? [(JSON.parse(line) as { readonly msg: string }).msg] : []));
  }

  async isActive(service: string): Promise<boolean> {
    return (await this.host.systemctl(["is-active", service], { check: false })).stdout.trim() === "active";
  }

  /** Every file that pgo may touch, with mode and content, and every unit with its state: for "nothing has changed". */
  async fingerprint(): Promise<string> {
    const files = await this.host.sh(
      `find ${this.host.quadlets} -printf '%p %m %s %T@\\n' | sort; find ${this.host.quadlets} -type f -exec sha256sum {} + | sort`,
    );
    const units = await this.host.systemctl(["list-units", "--all", "--plain", "--no-legend", "--type=service"]);
    // What comes and goes by itself is left out: transient units, those of Podman's health checks (by container id) among them.
    const passing = /^(?:run-|pgo-run-|user|systemd-|podman\.|dbus\.|[0-9a-f]{64})/;
    const ours = units.stdout.split("\n").filter((line) => line !== "" && !passing.test(line));
    const named = ours.map((line) => line.trim().split(/\s+/));
    const shown = await this.services(...named.map(([name = ""]) => name));
    return [files, ...named.map((words) => [...words, shown[words[0] ?? ""]?.invocation ?? ""].join(" "))].join("\n");
  }

  async #json<Report>(...words: readonly string[]): Promise<Report> {
    const { code, stdout, stderr } = await this.ctl(...words, "--json");
    assert.ok(stdout.startsWith("{") || stdout.startsWith("["), `ctl ${words.join(" ")} (${code}): ${stderr}${stdout}`);
    return JSON.parse(stdout) as Report;
  }
}

/** A quadlet that serves a page on a port of the host's, from the test image of that tag. */
export function web(tag: string, port: number, ...more: readonly string[]): string {
  return `[Container]\nImage=localhost/test/web:${tag}\nPublishPort=${port}:8080\n${more.map((line) => `${line}\n`).join("")}\n[Install]\nWantedBy=multi-user.target default.target\n`;
}

/** `pgo bootstrap` and `pgo uninstall`: puts pgo on the host as a service of its own, and takes it away again. Runs in a container beside pgo's. */

import { mkdir, open, readFile, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { openClock } from "./adapters/clock.ts";
import { writeDurably } from "./adapters/durable.ts";
import { makeRepository } from "./adapters/git/example.ts";
import { openSystemd } from "./adapters/host/systemd.ts";
import { busAddress, openContext, selfDirectory, selfSite } from "./app.ts";
import { ask } from "./cli/client.ts";
import { renderStatus } from "./cli/render.ts";
import type { BootstrapOptions } from "./cli/program.ts";
import type { Terminal } from "./cli/ctl.ts";
import { loadConfig } from "./config.ts";
import { rollOut } from "./controller/rollout.ts";
import type { Config } from "./core/config.ts";
import { configTemplate } from "./core/config-template.ts";
import { serviceName, type Revision } from "./core/names.ts";
import { problemLine } from "./cli/render.ts";
import type { StatusReport } from "./core/report.ts";
import { selfQuadlet } from "./core/self-quadlet.ts";
import { inOrder } from "./core/order.ts";
import { ownSecretsIn, socketIn, type Places } from "./places.ts";

const service = serviceName("pgo.service");
/** How long the first pass may take before bootstrap stops watching; pgo goes on by itself. */
const firstPass = 180_000;

/** What bootstrap and uninstall work with. */
export interface Site {
  readonly places: Places;
  readonly environment: NodeJS.ProcessEnv;
  readonly terminal: Terminal;
  /** Where the image keeps its quadlets and examples. */
  readonly shipped: URL;
}

/** Safe to run again: what is there already is left alone. Answers the exit code. */
export async function bootstrap(options: BootstrapOptions, site: Site, signal: AbortSignal): Promise<number> {
  const { places, environment, terminal } = site;
  const image = options.image ?? "localhost/pgo:latest";
  await writeConfig(options, image, site, signal);
  const config = await loadConfig(environment);
  if (!config.ok) {
    for (const problem of config.trouble) terminal.err(`${problemLine(problem)}\n`);
    return 2;
  }
  if (options.repository !== undefined && !config.value.sources.some((source) => source.url === options.repository))
    terminal.err(
      `${places.config} is there already and is left as it is: it has no source with url = "${options.repository}", add one to deploy it too\n`,
    );

  // systemd alone: a pgo that runs has its work in the state directory.
  await using host = openSystemd({ busAddress: busAddress(places, environment), mode: places.mode });
  await host.connect(signal);
  const file = ownQuadlet(config.value);
  const present = (await host.services([service], signal)).get(service);
  if (present !== undefined && present.source !== "" && present.source !== file) {
    terminal.err(`${service} exists already and comes of ${present.source}: remove that file first\n`);
    return 1;
  }
  const changed = await replaceFile(file, await ownText(image, config.value, site));
  if (changed || present?.load !== "loaded") await host.reload(signal);
  if (changed || present?.active !== "active") {
    terminal.out(`starting ${service} …\n`);
    await host.resetFailed(service, signal);
    const started = await host.job("restart", service, signal);
    if (!started.ok) {
      terminal.err(`${started.trouble}\n`);
      return 1;
    }
  }
  return await showStatus(config.value, site, signal);
}

/** Takes away every application, unless they shall go on, then pgo itself. Volumes, images and values of secrets stay. Answers the exit code. */
export async function uninstall({ keepRunning }: { readonly keepRunning: boolean }, site: Site, signal: AbortSignal): Promise<number> {
  const { places, environment, terminal } = site;
  const config = await loadConfig(environment);
  if (!config.ok) {
    for (const problem of config.trouble) terminal.err(`${problemLine(problem)}\n`);
    return 2;
  }
  await using host = openSystemd({ busAddress: busAddress(places, environment), mode: places.mode });
  await host.connect(signal);
  const stopped = await host.job("stop", service, signal);
  if (!stopped.ok && (await host.services([service], signal)).get(service)?.load === "loaded") terminal.err(`${stopped.trouble}\n`);
  if (!keepRunning && !(await removeApplications(config.value, site, signal))) return 1;
  await rm(ownQuadlet(config.value), { force: true });
  await rmdir(dirname(ownQuadlet(config.value))).catch(() => undefined);
  await host.reload(signal);
  await host.resetFailed(service, signal);
  if (keepRunning) {
    // Without its state the next pgo would take the applications' files for somebody else's, and refuse to touch them.
    terminal.out(
      `pgo is gone; the applications go on as they are. ${places.config} and ${config.value.state.directory} stay: a pgo that is installed again goes on with them\n`,
    );
    return 0;
  }
  // The directory itself is a mount point of this container.
  for (const name of await readdir(config.value.state.directory)) {
    const path = join(config.value.state.directory, name);
    // Values that were given by hand are nowhere else, and neither is what was in volumes.
    if (path === ownSecretsIn(config.value.state.directory)) continue;
    const parts = name === "backups" ? (await readdir(path)).filter((part) => part !== "volumes").map((part) => join(path, part)) : [path];
    for (const part of parts) await rm(part, { recursive: true, force: true });
    if (name === "backups") await rmdir(path).catch(() => undefined);
  }
  for (const part of ["", "-wal", "-shm"]) await rm(`${config.value.state.database}${part}`, { force: true });
  await rm(places.config, { force: true });
  terminal.out("pgo and its applications are gone; volumes are kept\n");
  return 0;
}

async function removeApplications(config: Config, { places, environment, terminal }: Site, signal: AbortSignal): Promise<boolean> {
  // Whoever takes pgo away has not said that data goes, whatever the settings say of a single application that does.
  const applications = new Map([...config.applications].map(([name, one]) => [name, { ...one, prune: undefined }]));
  const quadlet = { ...config.quadlet, prune: "networks" as const };
  const quiet = { ...config, quadlet, applications, system: { ...config.system, logLevel: "error" as const } };
  await using opened = await openContext(quiet, places, environment, signal);
  const { context } = opened;
  const records = context.store.applications();
  const units = (id: (typeof records)[number]) => (id.lastGood === undefined ? [] : context.bundles.get(id.lastGood).units);
  // Users before what they use: the order of starting, backwards.
  const order = inOrder(
    records,
    (record) => record.id,
    (record) =>
      records.filter((other) => other !== record && units(record).some((unit) => units(other).some((one) => unit.uses.includes(one.name)))),
  ).toReversed();
  let done = true;
  for (const { id, revision } of order) {
    const commit = { revision: revision ?? ("0".repeat(40) as Revision), ref: "", author: "", subject: "" };
    const rolled = await rollOut({ application: id, bundle: undefined, stored: undefined, cause: "commit", commit }, context, signal);
    if (rolled.kind === "settled" && rolled.settled.outcome !== "deployed") {
      terminal.err(`remove ${id}: ${rolled.settled.description}\n`);
      done = false;
    } else if (rolled.kind === "settled") terminal.out(`removed ${id}\n`);
  }
  await rmdir(config.quadlet.directory).catch(() => undefined);
  return done;
}

/** Never over one that is there. Without a repository it names the example, whose own repository is made in the state directory. */
async function writeConfig(options: BootstrapOptions, image: string, site: Site, signal: AbortSignal): Promise<void> {
  const { places, terminal } = site;
  if (await exists(places.config)) return;
  const url = options.repository ?? join(places.directories.state, "example.git");
  if (options.repository === undefined) await makeRepository({ from: new URL("examples/hello/", site.shipped), to: url, image }, signal);
  const source = {
    name: options.repository === undefined ? "example" : undefined,
    url,
    branch: options.branch,
    paths: options.paths,
    sshKey: options.sshKey,
    knownHosts: options.knownHosts,
  };
  await mkdir(dirname(places.config), { recursive: true });
  await writeFile(places.config, configTemplate(places.directories, source), { flag: "wx", mode: 0o644 });
  terminal.out(`wrote ${places.config}\n`);
}

function ownQuadlet(config: Config): string {
  return join(selfDirectory(config), "pgo.container");
}

async function ownText(image: string, config: Config, { places, environment, shipped }: Site): Promise<string> {
  const name = places.mode === "rootful" ? "pgo.container" : "pgo-rootless.container";
  return selfQuadlet(await readFile(new URL(`quadlet/${name}`, shipped), "utf8"), { image, ...selfSite(config, places, environment) });
}

/** Atomically and durably; answers whether anything changed. */
async function replaceFile(path: string, text: string): Promise<boolean> {
  if ((await exists(path)) && (await readFile(path, "utf8")) === text) return false;
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeDurably(path, text, 0o644);
  return true;
}

async function showStatus(config: Config, { terminal }: Site, signal: AbortSignal): Promise<number> {
  const socket = socketIn(config.state.directory);
  const clock = openClock();
  const until = clock.monotonic() + firstPass;
  for (;;) {
    const answer = await ask(socket, { method: "GET", path: "/v1/status", patience: 30_000 }, signal);
    const report = answer.kind === "ok" ? (answer.value as StatusReport) : undefined;
    const settled =
      report !== undefined && report.sources.length >= config.sources.length && report.applications.every((one) => one.phase === null);
    if (settled || clock.monotonic() > until) {
      if (report === undefined) terminal.err(`pgo does not answer at ${socket} yet: systemctl status ${service}\n`);
      else terminal.out(renderStatus(report, { colour: terminal.colour, columns: terminal.columns, now: terminal.now() }));
      return report === undefined ? 1 : 0;
    }
    await clock.sleep(500, signal);
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await using file = await open(path, "r");
    return file.fd >= 0;
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return false;
    throw error;
  }
}

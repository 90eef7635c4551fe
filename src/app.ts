/** The composition root: every adapter opened, wired to the controller and its doors, and closed in the reverse order. */

import { hostname } from "node:os";
import { dirname, join } from "node:path";

import { openArchives } from "./adapters/archive/archive.ts";
import { openClock } from "./adapters/clock.ts";
import { ageKeyFile, openDecrypter } from "./adapters/decrypt/decrypt.ts";
import { openGit } from "./adapters/git/git.ts";
import { openHandovers } from "./adapters/handover/handover.ts";
import { openHost, quadletSearchPath } from "./adapters/host/host.ts";
import { logsCommand } from "./adapters/host/systemd.ts";
import { openJournal } from "./adapters/journal/journal.ts";
import { logSink } from "./adapters/journal/log.ts";
import { openMetrics, type Metrics } from "./adapters/journal/metrics.ts";
import { openContainerChanges } from "./adapters/podman/events.ts";
import { openPodman } from "./adapters/podman/podman.ts";
import { openKeyedDigest, openSealed } from "./adapters/sealed/sealed.ts";
import { openProber } from "./adapters/probes/probes.ts";
import { openProbeSecrets } from "./adapters/probes/secrets.ts";
import { openSecrets, readSecret } from "./adapters/secrets.ts";
import { lockState } from "./adapters/store/lock.ts";
import { openStore } from "./adapters/store/store.ts";
import { directoriesOf } from "./config.ts";
import { commands } from "./controller/control.ts";
import { Bundles, type Context } from "./controller/context.ts";
import { StateCopies } from "./controller/heal.ts";
import { Symptoms } from "./controller/health.ts";
import { Loop } from "./controller/loop.ts";
import { Reach } from "./controller/reach.ts";
import { stateRoom } from "./controller/room.ts";
import { Renderings } from "./controller/rendering.ts";
import { Resources } from "./controller/resources.ts";
import { Timekeeping } from "./controller/schedule.ts";
import { Unseen } from "./controller/unseen.ts";
import { ImageWatch } from "./controller/watch.ts";
import type { Config, SecretReference } from "./core/config.ts";
import type { Event } from "./core/event.ts";
import type { SelfSite } from "./core/self-quadlet.ts";
import { openControl } from "./http/control.ts";
import { openMetricsServer } from "./http/server.ts";
import { ownSecretsIn, socketIn, stateCopiesIn, type Places } from "./places.ts";
import { versionOf } from "./version.ts";

/** What is opened once and closed at the end. */
export interface Opened extends AsyncDisposable {
  readonly context: Context;
  readonly metrics: Metrics;
  readonly version: string;
}

/** Opens every adapter; throws where another pgo runs on this state, or where state or systemd can't be reached. */
export async function openContext(config: Config, places: Places, environment: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Opened> {
  await using closing = new AsyncDisposableStack();
  const version = versionOf();
  const clock = openClock();
  // First of all: what follows clears away what a dead pgo has left.
  closing.use(await lockState(config.state.directory, clock, signal));
  const store = closing.use(openStore(config.state.database, { copies: stateCopiesIn(config.state.directory) }));
  const metrics = closing.use(openMetrics({ version }));
  const log = logSink({ level: config.system.logLevel, format: config.system.logFormat, stream: process.stdout, environment });
  const events = (event: Event) => {
    store.addEvent(event);
  };
  const journal = openJournal({ log, metrics: metrics.sink, events }, clock, (line) => process.stderr.write(`${line}\n`));
  const warn = (message: string) => {
    journal.tell({ type: "warning", subject: "secrets", message });
  };
  const podman = closing.use(openPodman({ socket: podmanSocket(places, environment), mode: places.mode }));
  const host = closing.use(await openHost(hostOptions(config, places, environment, clock), signal));
  const self = selfSite(config, places, environment);
  const bundles = new Bundles(store, config.state.directory, self);
  await bundles.template();
  const age = { key: config.secrets.ageKey, directory: config.secrets.directory, environment };
  const secrets = openSecrets({
    directory: config.secrets.directory,
    own: ownSecretsIn(config.state.directory),
    environment,
    manager: { allowed: config.secrets.managerEnvironment, read: (inner) => host.managerEnvironment(inner) },
    watched: [ageKeyFile(age)].filter((path) => path !== undefined),
    clock,
  });
  const named = (reference: SecretReference) =>
    readSecret(reference, { ...config.secrets, own: ownSecretsIn(config.state.directory), environment, warn });
  const context: Context = {
    config,
    clock,
    store,
    journal,
    bundles,
    secrets,
    sealed: await openSealed(`${config.state.directory}/sealed`),
    keyedDigest: await openKeyedDigest(`${config.state.directory}/digest.key`, signal),
    rendering: new Renderings({ secrets, podman, config, decrypter: openDecrypter(age), mode: places.mode, self }),
    images: new ImageWatch(),
    resources: new Resources(),
    copies: new StateCopies(),
    reach: new Reach({ host, podman, journal, clock, room: stateRoom(config) }),
    changes: { units: host.changes, containers: openContainerChanges(podmanSocket(places, environment)) },
    unseen: new Unseen(clock),
    symptoms: new Symptoms(),
    time: new Timekeeping(clock, store),
    git: openGit({
      directory: `${config.state.directory}/git`,
      secrets: named,
      environment,
    }),
    podman,
    prober: openProber({ clock, podman, host, secret: openProbeSecrets({ secrets, read: named, missing: config.secrets.missing }) }),
    host,
    handovers: openHandovers({
      ...{ state: config.state.directory, unitDirectory: config.quadlet.unitDirectory, mode: places.mode, host },
      directory: selfDirectory(config),
    }),
    archives: openArchives(config.state.directory),
    logs: logsCommand(places.mode),
  };
  const opened = closing.move();
  return { context, metrics, version, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/**
 * Runs until `signal` is aborted, then closes everything and returns. Throws where it can't begin: state, systemd or the control socket.
 * What was under way is in the state database, and the next start goes on with it.
 */
export async function runDaemon(config: Config, places: Places, environment: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  await using closing = new AsyncDisposableStack();
  const { context, metrics, version } = closing.use(await openContext(config, places, environment, signal));
  const { journal, store } = context;
  const loop = new Loop(context);
  const answers = commands(context, { loop, version, hostName: hostname() });
  const warn = (subject: string) => (message: string) => {
    journal.tell({ type: "warning", subject, message });
  };

  const control = await openControl({ commands: answers, socket: socketIn(config.state.directory), warn: warn("control") });
  if (!control.ok) throw new Error(control.trouble);
  closing.use(control.value);
  if (config.metrics.listen !== "off")
    closing.use(
      await openMetricsServer({
        listen: config.metrics.listen,
        metrics: async () => ({ type: metrics.contentType, text: await metrics.text() }),
        commands: answers,
        warn: warn("metrics"),
      }),
    );

  journal.tell({ type: "started", version, unfinished: store.rollouts().length });
  try {
    await loop.run(signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    journal.tell({ type: "stopping", because: "asked to" });
  }
}

/** What of the host's is reached where; the paths are the same inside and outside the container. */
export function hostOptions(config: Config, places: Places, environment: NodeJS.ProcessEnv, clock: ReturnType<typeof openClock>) {
  const runtime = runtimeDirectory(environment);
  const rootful = places.mode === "rootful";
  return {
    mode: places.mode,
    quadletDirectory: config.quadlet.directory,
    unitDirectory: config.quadlet.unitDirectory,
    stateDirectory: config.state.directory,
    busAddress: busAddress(places, environment),
    searchPath: rootful
      ? quadletSearchPath({ mode: "rootful" })
      : quadletSearchPath({ mode: "rootless", uid: process.getuid?.() ?? 0, config: places.config.replace(/\/pgo\/[^/]*$/, ""), runtime }),
    generator: undefined,
    clock,
  };
}

/** What pgo's own quadlet is made with on this host. */
export function selfSite(config: Config, places: Places, environment: NodeJS.ProcessEnv): SelfSite {
  const home = environment["PGO_HOME"] ?? environment["HOME"] ?? "";
  return {
    directories: directoriesOf(config, places),
    specifiers: places.mode === "rootful" ? undefined : { home, runtime: environment["XDG_RUNTIME_DIR"] ?? "" },
  };
}

/** Of pgo's own quadlet: apart from all others, so that no broken one beside it can take it away. */
export function selfDirectory({ quadlet }: Config): string {
  return join(dirname(quadlet.directory), "pgo-self");
}

export function busAddress(places: Places, environment: NodeJS.ProcessEnv): string {
  return places.mode === "rootful" ? "unix:path=/run/dbus/system_bus_socket" : `unix:path=${runtimeDirectory(environment)}/bus`;
}

export function podmanSocket(places: Places, environment: NodeJS.ProcessEnv): string {
  return places.mode === "rootful" ? "/run/podman/podman.sock" : `${runtimeDirectory(environment)}/podman/podman.sock`;
}

function runtimeDirectory(environment: NodeJS.ProcessEnv): string {
  return environment["XDG_RUNTIME_DIR"] ?? `/run/user/${String(process.getuid?.() ?? 0)}`;
}

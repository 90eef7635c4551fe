/** The metrics, as Prometheus reads them, kept up to date by events alone. prom-client is known to this file only. */

import { monitorEventLoopDelay, performance } from "node:perf_hooks";

import { Counter, Gauge, Histogram, Registry } from "prom-client";

import { passOutcomes, type Event } from "../../core/event.ts";
import { partsOf, type ApplicationId } from "../../core/names.ts";
import type { Usage } from "../../core/resources.ts";
import type { Sink } from "./journal.ts";

export interface Metrics extends Disposable {
  readonly sink: Sink;
  /** All metrics in Prometheus' text format. Asks nothing but this process. */
  text(): Promise<string>;
  readonly contentType: string;
}

/**
 * Labels are names of sources, applications and services, and words of closed lists: never a revision, a path or a message, of which there
 * is no end. An application's metrics carry its source too, since its name is unique only there.
 */
export function openMetrics({ version }: { readonly version: string }): Metrics {
  const registry = new Registry();
  const figures = figuresOf(registry);
  figures.build.set({ version, node: process.versions.node }, 1);
  const stop = measureProcess(registry);
  const seen = new Map<ApplicationId, Seen>();
  return {
    sink: (event) => {
      count(figures, seen, event);
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
    [Symbol.dispose]: stop,
  };
}

/** Which series of an application there are, to take them away with it. */
interface Seen {
  readonly services: Set<string>;
  readonly kinds: Set<string>;
}

type Figures = ReturnType<typeof figuresOf>;

function figuresOf(registry: Registry) {
  const registers = [registry];
  const ofApplication = ["source", "application"] as const;
  return {
    build: new Gauge({ registers, name: "pgo_build_info", help: "Always 1; the labels say what runs.", labelNames: ["version", "node"] }),
    passes: new Counter({
      registers,
      name: "pgo_reconcile_total",
      help: "Passes over a source by what they found: in-sync, changed, source-failed, or host-away where systemd or Podman did not answer.",
      labelNames: ["source", "outcome"],
    }),
    passSeconds: new Histogram({
      registers,
      name: "pgo_reconcile_duration_seconds",
      help: "How long a pass over a source took, its rollouts included.",
      labelNames: ["source"],
      buckets: [0.1, 0.5, 2, 10, 60, 300],
    }),
    lastSuccess: new Gauge({
      registers,
      name: "pgo_last_success_timestamp_seconds",
      help: "Unix time of the end of the last pass that could read the source and work on the host.",
      labelNames: ["source"],
    }),
    git: new Counter({
      registers,
      name: "pgo_git_operations_total",
      help: "Calls of git by operation (ls-remote, fetch) and result (ok, failed).",
      labelNames: ["source", "operation", "result"],
    }),
    gitSeconds: new Histogram({
      registers,
      name: "pgo_git_operation_duration_seconds",
      help: "How long a call of git took.",
      labelNames: ["source", "operation"],
      buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    }),
    deployments: new Counter({
      registers,
      name: "pgo_deployments_total",
      help: "Outcomes of an application, each told once: deployed, repaired, rolled-back, failed, rejected or held.",
      labelNames: [...ofApplication, "outcome"],
    }),
    deploymentSeconds: new Histogram({
      registers,
      name: "pgo_deployment_duration_seconds",
      help: "How long a rollout took, from the first step until it was verified or undone.",
      labelNames: ["outcome"],
      buckets: [1, 2.5, 5, 10, 30, 60, 120, 300, 600],
    }),
    rollbacks: new Counter({
      registers,
      name: "pgo_rollbacks_total",
      help: "Rollouts that went back to the last good version.",
      labelNames: [...ofApplication],
    }),
    checks: new Counter({
      registers,
      name: "pgo_health_checks_total",
      help: "Probes by kind and result: pass, fail, or unasked where the probe could not be made.",
      labelNames: [...ofApplication, "kind", "result"],
    }),
    healthy: new Gauge({
      registers,
      name: "pgo_unit_healthy",
      help: "1 while a unit is healthy, else 0.",
      labelNames: [...ofApplication, "unit"],
    }),
    usage: usageFigures(registers),
    pinned: new Gauge({
      registers,
      name: "pgo_application_pinned",
      help: "1 while ctl rollback holds an application at an earlier version, else 0.",
      labelNames: [...ofApplication],
    }),
    containers: new Gauge({
      registers,
      name: "pgo_containers",
      help: "Containers of pgo's services by Podman's state, as of the last look at the host.",
      labelNames: ["state"],
    }),
    storage: new Gauge({
      registers,
      name: "pgo_storage_bytes",
      help: "Bytes on disk that pgo uses for itself.",
      labelNames: ["kind"],
    }),
  };
}

/** Where the kernel or systemd gives no figure there is no series. */
function usageFigures(registers: Registry[]) {
  const common = { registers, labelNames: ["source", "application", "unit"] };
  return {
    memory: new Gauge({
      ...common,
      name: "pgo_container_memory_bytes",
      help: "Memory of a unit's containers, as of the last look at the host.",
    }),
    memoryLimit: new Gauge({
      ...common,
      name: "pgo_container_memory_limit_bytes",
      help: "What a unit's containers may use: their limit, or the host's memory where they have none.",
    }),
    cpuSeconds: new Counter({
      ...common,
      name: "pgo_container_cpu_seconds_total",
      help: "CPU time of a unit's containers since they were started, in seconds.",
    }),
    restarts: new Counter({
      ...common,
      name: "pgo_container_restarts_total",
      help: "Restarts of a unit by systemd itself since it was last started.",
    }),
    oomKills: new Counter({
      ...common,
      name: "pgo_container_oom_kills_total",
      help: "How often the kernel has killed processes of a unit for want of memory since the host was booted.",
    }),
  };
}

/** Counters are the host's: they are taken over, and begin again when what they count does. */
function showUsage({ usage: figures }: Figures, labels: Record<string, string>, usage: Partial<Usage>): void {
  for (const name of ["memory", "memoryLimit", "cpuSeconds", "restarts", "oomKills"] as const) {
    const figure = figures[name];
    const value = usage[name];
    figure.remove(labels);
    if (value !== undefined) figure.inc(labels, value);
  }
}

function count(figures: Figures, seen: Map<ApplicationId, Seen>, event: Event): void {
  switch (event.type) {
    case "pass":
      for (const outcome of passOutcomes) figures.passes.inc({ source: event.source, outcome }, 0);
      figures.passes.inc({ source: event.source, outcome: event.outcome });
      figures.passSeconds.observe({ source: event.source }, event.ms / 1000);
      if (event.outcome === "in-sync" || event.outcome === "changed")
        figures.lastSuccess.set({ source: event.source }, event.at.getTime() / 1000);
      return;
    case "git": {
      const { source, operation } = event;
      for (const result of ["ok", "failed"]) figures.git.inc({ source, operation, result }, 0);
      figures.git.inc({ source, operation, result: event.result });
      figures.gitSeconds.observe({ source, operation }, event.ms / 1000);
      return;
    }
    case "outcome":
      // in-sync and source-failed are told of passes; here they would count things that nobody deployed.
      if (event.outcome === "in-sync" || event.outcome === "source-failed") return;
      see(figures, seen, event.application);
      figures.deployments.inc({ ...partsOf(event.application), outcome: event.outcome });
      if (event.outcome === "rolled-back") figures.rollbacks.inc(partsOf(event.application));
      if (event.ms !== undefined) figures.deploymentSeconds.observe({ outcome: event.outcome }, event.ms / 1000);
      return;
    case "probe":
      see(figures, seen, event.application).kinds.add(event.kind);
      for (const result of results) figures.checks.inc({ ...partsOf(event.application), kind: event.kind, result }, 0);
      figures.checks.inc({ ...partsOf(event.application), kind: event.kind, result: event.result });
      return;
    case "health":
      see(figures, seen, event.application).services.add(event.service);
      figures.healthy.set({ ...partsOf(event.application), unit: event.service }, event.health === "healthy" ? 1 : 0);
      return;
    case "resources":
      see(figures, seen, event.application).services.add(event.service);
      showUsage(figures, { ...partsOf(event.application), unit: event.service }, event.usage);
      return;
    case "pinned":
      see(figures, seen, event.application);
      figures.pinned.set(partsOf(event.application), event.pinned ? 1 : 0);
      return;
    case "gone":
      forget(figures, seen, event);
      return;
    case "containers":
      figures.containers.reset();
      for (const [state, number] of Object.entries(event.states)) figures.containers.set({ state }, number);
      return;
    case "storage":
      figures.storage.set({ kind: event.kind }, event.bytes);
      return;
    case "started":
    case "stopping":
    case "source":
    case "host":
    case "command":
    case "backup":
    case "image":
    case "warning":
      return;
  }
}

const deploymentOutcomes = ["deployed", "repaired", "rolled-back", "failed", "rejected", "held"];
const results = ["pass", "fail", "unasked"];

/** An application's counters begin at 0 rather than 1: Prometheus' increase() sees only what changes between two scrapes. */
function see(figures: Figures, seen: Map<ApplicationId, Seen>, application: ApplicationId): Seen {
  const known = seen.get(application);
  if (known !== undefined) return known;
  const fresh = { services: new Set<string>(), kinds: new Set<string>() };
  seen.set(application, fresh);
  for (const outcome of deploymentOutcomes) figures.deployments.inc({ ...partsOf(application), outcome }, 0);
  figures.rollbacks.inc(partsOf(application), 0);
  return fresh;
}

function forget(figures: Figures, seen: Map<ApplicationId, Seen>, event: Extract<Event, { readonly type: "gone" }>): void {
  const known = seen.get(event.application);
  if (known === undefined) return;
  const labels = partsOf(event.application);
  for (const unit of event.service === undefined ? known.services : [event.service]) {
    figures.healthy.remove({ ...labels, unit });
    showUsage(figures, { ...labels, unit }, {});
    known.services.delete(unit);
  }
  if (event.service !== undefined) return;
  for (const kind of known.kinds) for (const result of results) figures.checks.remove({ ...labels, kind, result });
  for (const outcome of deploymentOutcomes) figures.deployments.remove({ ...labels, outcome });
  figures.rollbacks.remove(labels);
  figures.pinned.remove(labels);
  seen.delete(event.application);
}

/**
 * CPU, memory and the event loop's lag, by the names that prom-client's own default metrics have. Those are not used: with them an idle
 * process takes 0.5 % of a core (a timer each 10 ms for the lag, an observer of garbage collection) where these take less than 0.01 %.
 * Answers what stops the measuring.
 */
function measureProcess(registry: Registry): () => void {
  const registers = [registry];
  // A timer each second, in C++: its delays come with the second itself.
  const resolution = 1000;
  const delay = monitorEventLoopDelay({ resolution });
  delay.enable();
  new Counter({
    registers,
    name: "process_cpu_seconds_total",
    help: "CPU time of pgo in seconds, user and system.",
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      registers,
      name,
      help,
      collect() {
        this.set(value());
      },
    });
  gauge("process_start_time_seconds", "Unix time of pgo's start.", () => Math.round(performance.timeOrigin) / 1000);
  gauge("process_resident_memory_bytes", "Resident memory of pgo in bytes.", () => process.memoryUsage.rss());
  gauge("nodejs_heap_size_used_bytes", "Used heap of JavaScript in bytes.", () => process.memoryUsage().heapUsed);
  gauge("nodejs_eventloop_lag_max_seconds", "The longest that a timer was late since the last scrape, sampled once a second.", () => {
    const late = delay.max / 1e9 - resolution / 1000;
    delay.reset();
    return Math.max(0, late);
  });
  new Gauge({
    registers,
    name: "nodejs_eventloop_lag_seconds",
    help: "How late the event loop was at this scrape.",
    async collect() {
      const before = performance.now();
      await new Promise((resolve) => setImmediate(resolve));
      this.set((performance.now() - before) / 1000);
    },
  });
  return () => {
    delay.disable();
  };
}

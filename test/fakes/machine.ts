/** A host in memory: files, what systemd has read of them, what runs and what it was started from. Time is the test's. */

import type { Clock, ContainerState, ServiceState } from "../../src/ports.ts";
import { publishedPorts, type Endpoint } from "../../src/core/endpoint.ts";
import { digestOf, type ServiceName } from "../../src/core/names.ts";
import { generate, type GeneratedUnit } from "./quadlet-generator.ts";

/** What a container of an image does. */
export type Behaviour =
  | "good"
  /** Runs, but neither Podman's check nor a probe ever passes. */
  | "sick"
  /** Ends with 1 soon after its start. */
  | "crash"
  /** Ends well soon after its start. */
  | "job"
  /** Ignores SIGTERM, and so ends as failed when stopped. */
  | "stubborn";

export interface MachineFile {
  mode: number;
  content: string;
}

/** A Podman volume. */
export interface MachineVolume {
  /** The quadlet's text that it was made of; of none where `podman run` made it. */
  readonly text: string | undefined;
  readonly createdAt: string;
  data: string;
}

interface Service {
  /** As systemd has read it; undefined when its file was gone at the last reload. */
  unit: GeneratedUnit | undefined;
  active: "active" | "activating" | "inactive" | "failed";
  sub: string;
  result: string;
  exitStatus: number;
  invocation: string;
  restarts: number;
  since: number;
  /** Starts of the last ten seconds, for the start limit. */
  starts: number[];
  /** What the present or last run was made of; it runs on when its file is gone. */
  made: GeneratedUnit | undefined;
  /** Files that it has mounted alone: these very ones, whatever lies in their place later. */
  held: Map<string, MachineFile>;
  /** Values of all secrets as they were when it was started. */
  kept: ReadonlyMap<string, string>;
  /** All that the present or last run was made of. */
  runs: string | undefined;
  behaviour: Behaviour;
  /** The id of the image that the present or last run is of. */
  image: string;
  /** What happens next without anybody's doing. */
  due: { readonly at: number; readonly what: "ends" | "times out" | "is restarted" } | undefined;
}

/** How long a container that ends by itself lasts, and systemd's RestartSec=. */
const lifetime = 200;
const restartSec = 100;
const startLimit = { times: 5, within: 10_000 };
const startTimeout = 90_000;

export class Machine {
  /** By absolute path. */
  readonly files = new Map<string, MachineFile>();
  /** Images on the host: what their containers do. */
  readonly images = new Map<string, Behaviour>();
  /** What names stand for that can move; one that is not here stands for itself. */
  readonly ids = new Map<string, string>();
  /** By id, what containers of images do that came by such a name. */
  readonly contents = new Map<string, Behaviour>();
  /** Asks the registry for a quadlet with Pull=always or newer. */
  pullAnew: ((image: string) => void) | undefined;
  /** Podman networks: the quadlet's text that they were made of. */
  readonly networks = new Map<string, string>();
  /** Podman secrets by name. */
  readonly secrets = new Map<string, { value: string; labels: Readonly<Record<string, string>>; updatedAt: Date }>();
  readonly volumes = new Map<string, MachineVolume>();
  /** Units that are no quadlets', by service: their unit file. */
  readonly installed = new Map<ServiceName, string>();
  /** Each start of a service, with what it was started from. */
  readonly started: { readonly service: ServiceName; readonly runs: string }[] = [];
  reloads = 0;
  /** Called when a service has another ActiveState= than before, once that is known to somebody. */
  readonly listeners = new Set<(service: ServiceName) => void>();
  readonly #announced = new Map<ServiceName, string>();
  readonly #services = new Map<ServiceName, Service>();
  readonly #clock: Clock;
  #invocations = 0;
  #made = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** In milliseconds of the monotonic clock, as all times here. */
  #now(): number {
    return this.#clock.monotonic();
  }

  #date(at: number): Date {
    return new Date(this.#clock.now().getTime() - this.#now() + at);
  }

  // ---- systemd ----

  reload(): void {
    this.catchUp();
    this.reloads += 1;
    const { units } = generate(this.#texts());
    for (const [name, service] of this.#services) {
      service.unit = units.get(name);
      if (service.unit === undefined && service.active === "inactive") this.#services.delete(name);
    }
    for (const [name, unit] of units) if (!this.#services.has(name)) this.#services.set(name, idle(unit));
  }

  /** What went wrong, or undefined; of one that takes its time, `starting` tells until when, and `state` then what came of it. */
  start(name: ServiceName): string | undefined {
    this.catchUp();
    const service = this.#services.get(name);
    if (this.installed.has(name)) return undefined;
    if (service?.unit === undefined) return `Unit ${name} not found`;
    if (service.active === "active" || service.sub === "start") return undefined;
    for (const needed of service.unit.requires) {
      const why = this.start(needed);
      if (why !== undefined || this.#services.get(needed)?.active === "failed") return `job dependency (${needed}: ${why ?? "failed"})`;
    }
    const why = this.#begin(name, service, service.unit);
    this.#announce();
    return why;
  }

  stop(name: ServiceName): void {
    this.catchUp();
    const service = this.#services.get(name);
    if (service === undefined || service.active === "inactive" || service.active === "failed") return;
    for (const [other, { unit, active }] of this.#services)
      if (other !== name && unit?.requires.includes(name) === true && active !== "inactive") this.stop(other);
    const ignored = service.behaviour === "stubborn" && service.active === "active";
    end(
      service,
      ignored ? { active: "failed", result: "signal", exitStatus: 9 } : { active: "inactive", result: "success", exitStatus: 0 },
    );
    this.#announce();
    if (service.unit === undefined && !ignored) this.#services.delete(name);
  }

  /** What needs it is restarted too. */
  restart(name: ServiceName, alone = false): string | undefined {
    this.catchUp();
    const users = alone
      ? []
      : [...this.#services].filter(([, { unit, active }]) => unit?.requires.includes(name) === true && active === "active");
    if (this.#services.get(name)?.unit === undefined) return `Unit ${name} not found`;
    this.stop(name);
    const why = this.start(name);
    for (const [user] of users) this.start(user);
    return why;
  }

  /** It reads again what it has mounted, by a reload or a signal. What went wrong, or undefined. */
  refresh(name: ServiceName): string | undefined {
    this.catchUp();
    const service = this.#services.get(name);
    if (service?.active !== "active" || service.made === undefined) return `Unit ${name} is not active`;
    // It keeps the secrets that it was made with.
    service.runs = this.fingerprint(service.made, new Map([...this.files, ...service.held]), service.kept);
    return undefined;
  }

  resetFailed(name: ServiceName): void {
    this.catchUp();
    const service = this.#services.get(name);
    if (service === undefined) return;
    service.starts = [];
    if (service.active !== "failed") return;
    Object.assign(service, { active: "inactive", sub: "dead", result: "success" });
    if (service.unit === undefined) this.#services.delete(name);
  }

  /** Until when a start takes that is under way. */
  starting(name: ServiceName): number | undefined {
    this.catchUp();
    const service = this.#services.get(name);
    return service?.sub === "start" ? (service.due?.at ?? Infinity) : undefined;
  }

  state(name: ServiceName): ServiceState {
    this.catchUp();
    const service = this.#services.get(name);
    const own = this.installed.get(name);
    const base = { sub: "dead", result: "success", exitStatus: 0, invocation: "", restarts: 0, activeSince: undefined, source: "" };
    if (own !== undefined) return { ...base, load: "loaded", active: "active", sub: "running", invocation: "own", fragment: own };
    if (service === undefined) return { ...base, load: "not-found", active: "inactive", fragment: "" };
    const { unit, active, sub, result, exitStatus, invocation, restarts, since } = service;
    return {
      ...{ active, sub, result, exitStatus, invocation, restarts },
      load: unit === undefined ? "not-found" : "loaded",
      activeSince: active === "active" ? this.#date(since) : undefined,
      fragment: unit === undefined ? "" : `/run/systemd/generator/${name}`,
      source: unit?.source ?? "",
    };
  }

  // ---- Podman ----

  /** Ports that running containers have of the host's, by what they were started from. */
  listening(): readonly Endpoint[] {
    this.catchUp();
    return [...this.#services.values()].flatMap(({ unit, sub, runs }) =>
      unit?.kind !== "container" || (sub !== "running" && sub !== "start")
        ? []
        : [...(runs ?? "").matchAll(/PublishPort=(.*)$/gm)].flatMap(([, value]) => publishedPorts(value ?? "")),
    );
  }

  containers(): readonly ContainerState[] {
    this.catchUp();
    return [...this.#services].flatMap(([service, { made: unit, sub, invocation, since, behaviour, image }]): readonly ContainerState[] => {
      if (unit?.kind !== "container" || (sub !== "running" && sub !== "start")) return [];
      const health = !unit.healthCmd ? undefined : behaviour === "sick" ? "unhealthy" : "healthy";
      return [
        {
          service,
          id: invocation,
          image: unit.image,
          imageId: image,
          name: `systemd-${service}`,
          state: "running",
          exitCode: 0,
          health,
          startedAt: this.#date(since),
          ports: [],
        },
      ];
    });
  }

  /** As Podman finds one: by name, by id, or by digest where it has a name in that repository. */
  imageOf(name: string): { readonly id: string; readonly behaviour: Behaviour } | undefined {
    const named = this.images.get(name);
    if (named !== undefined) return { id: this.ids.get(name) ?? name, behaviour: named };
    const [repository = "", digest] = name.split("@");
    const id =
      digest === undefined
        ? name
        : [...this.ids].find(
            ([other, one]) => this.images.has(other) && digestOfId(one) === digest && repositoryOf(other) === repository,
          )?.[1];
    const behaviour = id === undefined ? undefined : this.contents.get(id);
    return id === undefined || behaviour === undefined ? undefined : { id, behaviour };
  }

  /** The names of an image, by repository and digest. */
  repoDigests(id: string): readonly string[] {
    return [...this.ids].flatMap(([name, one]) => (one === id && this.images.has(name) ? [`${repositoryOf(name)}@${digestOfId(id)}`] : []));
  }

  removeNetwork(name: string): string | undefined {
    this.catchUp();
    const user = [...this.#services].find(([, { made, active }]) => active === "active" && made?.networks.includes(name) === true);
    if (user !== undefined) return `network ${name} is used by ${user[0]}`;
    this.networks.delete(name);
    return undefined;
  }

  makeVolume(name: string, text: string | undefined): void {
    if (!this.volumes.has(name)) this.volumes.set(name, { text, createdAt: `v${String((this.#made += 1))}`, data: "" });
  }

  removeVolume(name: string): string | undefined {
    this.catchUp();
    const user = [...this.#services].find(([, { made, active }]) => active === "active" && made?.volumes.includes(name) === true);
    if (user !== undefined) return `volume ${name} is used by ${user[0]}`;
    this.volumes.delete(name);
    return undefined;
  }

  // ---- what befalls it ----

  /** A person's `podman network rm --force` or `podman volume rm --force`: containers that use it go too. */
  lose(kind: "networks" | "volumes", name: string): void {
    this.catchUp();
    for (const service of this.#services.values())
      if (service.made?.kind === "container" && service.made[kind].includes(name) && service.active !== "inactive")
        end(service, { active: "failed", result: "exit-code", exitStatus: 137 });
    this[kind].delete(name);
  }

  /** A service's process dies. */
  kill(name: ServiceName): void {
    this.catchUp();
    const service = this.#services.get(name);
    if (service?.sub === "running") service.due = { at: this.#now(), what: "ends" };
    this.catchUp();
  }

  /** Everything stops, systemd reads the disk, and starts what is wanted at boot. */
  reboot(): void {
    this.catchUp();
    this.#services.clear();
    this.reload();
    for (const [name, { unit }] of this.#services) if (unit?.wanted === true) this.start(name);
  }

  // ---- what a test looks at ----

  /** Services of quadlets that run, are coming up, or are listed as failed. */
  visible(): readonly ServiceName[] {
    this.catchUp();
    return [...this.#services].filter(([, { active }]) => active !== "inactive").map(([name]) => name);
  }

  /** What a service runs; undefined if it does not. */
  runs(name: ServiceName): string | undefined {
    this.catchUp();
    const service = this.#services.get(name);
    return service?.active === "active" ? service.runs : undefined;
  }

  behaviour(name: ServiceName): Behaviour | undefined {
    const service = this.#services.get(name);
    return service?.active === "active" ? service.behaviour : undefined;
  }

  /** What runs changes its ways. */
  behave(name: ServiceName, behaviour: Behaviour): void {
    const service = this.#services.get(name);
    if (service !== undefined) service.behaviour = behaviour;
  }

  #announce(): void {
    for (const [name, { active }] of this.#services) {
      if (this.#announced.get(name) === active) continue;
      this.#announced.set(name, active);
      for (const listener of this.listeners) listener(name);
    }
  }

  /** Lets what was due happen: containers that end, systemd that restarts or gives up. */
  catchUp(): void {
    this.#announce();
    this.#letHappen();
    this.#announce();
  }

  #letHappen(): void {
    for (const [name, service] of this.#services)
      for (let due = service.due; due !== undefined && due.at <= this.#now(); due = service.due) this.#happen(name, service, due);
  }

  #happen(name: ServiceName, service: Service, { at, what }: NonNullable<Service["due"]>): void {
    const { unit, restarts } = service;
    switch (what) {
      case "ends":
        if (service.behaviour === "job") end(service, { active: "inactive", result: "success", exitStatus: 0 });
        else end(service, { active: "failed", result: "exit-code", exitStatus: 1 });
        if (unit?.restarts === true && service.active === "failed")
          Object.assign(service, { active: "activating", sub: "auto-restart", due: { at: at + restartSec, what: "is restarted" } });
        return;
      case "times out":
        end(service, { active: "failed", result: "timeout", exitStatus: 15 });
        return;
      case "is restarted":
        service.due = undefined;
        if (unit === undefined) end(service, { active: "failed", result: "exit-code", exitStatus: 1 });
        else if (this.#begin(name, service, unit, at) === undefined) service.restarts = restarts + 1;
    }
  }

  #begin(name: ServiceName, service: Service, unit: GeneratedUnit, at = this.#now()): string | undefined {
    service.starts = [...service.starts.filter((one) => at - one < startLimit.within), at];
    if (service.starts.length > startLimit.times) {
      end(service, { active: "failed", result: "start-limit-hit", exitStatus: 0 });
      return "Start request repeated too quickly";
    }
    this.#invocations += 1;
    Object.assign(service, {
      invocation: `i${this.#invocations}`,
      restarts: 0,
      since: at,
      result: "success",
      exitStatus: 0,
      due: undefined,
      made: unit,
    });
    if (unit.kind !== "container") {
      if (unit.kind === "network" && !this.networks.has(unit.object)) this.networks.set(unit.object, unit.text);
      if (unit.kind === "volume") this.makeVolume(unit.object, unit.text);
      Object.assign(service, { active: "active", sub: "exited", behaviour: "good", runs: unit.text });
      return undefined;
    }
    if (/Pull=(?:always|newer)$/m.test(unit.text) && !/Pull=missing$/m.test(unit.text)) this.pullAnew?.(unit.image);
    const found = this.imageOf(unit.image);
    const behaviour = found?.behaviour;
    const lacking = unit.networks.find((network) => !this.networks.has(network));
    if (behaviour === undefined || lacking !== undefined || unit.secrets.some((name) => !this.secrets.has(name))) {
      end(service, { active: "failed", result: "exit-code", exitStatus: 125 });
      return "job failed (exit-code, exit 125)";
    }
    for (const volume of unit.volumes) {
      this.makeVolume(volume, undefined);
      const made = this.volumes.get(volume);
      if (made !== undefined) made.data += `${name} ${service.invocation}\n`;
    }
    const runs = this.fingerprint(unit, this.files, valuesOf(this.secrets));
    service.kept = valuesOf(this.secrets);
    service.image = found?.id ?? "";
    service.held = new Map([...this.files].filter(([path]) => unit.mounts.includes(path) && !path.endsWith(".env")));
    this.started.push({ service: name, runs });
    const due = behaviour === "crash" || behaviour === "job" ? { at: at + lifetime, what: "ends" } : undefined;
    Object.assign(service, { active: "active", sub: "running", behaviour, runs, due });
    if (unit.oneshot) Object.assign(service, { active: "activating", sub: "start" });
    if (unit.notifyHealthy && behaviour === "sick")
      Object.assign(service, { active: "activating", sub: "start", due: { at: at + startTimeout, what: "times out" } });
    return undefined;
  }

  /** What a container is made of: the unit's text as systemd has read it, its files as they lie there now, and its secrets. */
  fingerprint(unit: GeneratedUnit, files: ReadonlyMap<string, MachineFile>, secrets: ReadonlyMap<string, string>): string {
    const seen = [...files]
      .filter(([path]) => unit.mounts.some((mount) => path === mount || path.startsWith(`${mount}/`)))
      // Env files are read when it starts, and nobody sees from where.
      .map(
        ([path, { mode, content }]) => `${path.endsWith(".env") ? path.slice(path.lastIndexOf("/")) : path} ${mode.toString(8)} ${content}`,
      )
      .sort();
    return [unit.text, ...seen, ...unit.secrets.map((name) => `secret ${name} ${secrets.get(name) ?? "is not there"}`)].join("\n");
  }

  #texts(): ReadonlyMap<string, string> {
    return new Map([...this.files].map(([path, { content }]) => [path, content]));
  }
}

export function valuesOf(secrets: Machine["secrets"]): ReadonlyMap<string, string> {
  return new Map([...secrets].map(([name, { value }]) => [name, value]));
}

/** Of the image with that id. */
export function digestOfId(id: string): string {
  return `sha256:${digestOf(id)}`;
}

function repositoryOf(name: string): string {
  return name.replace(/@.*$/, "").replace(/:[^:/]*$/, "");
}

function idle(unit: GeneratedUnit): Service {
  return {
    unit,
    active: "inactive",
    sub: "dead",
    result: "success",
    exitStatus: 0,
    invocation: "",
    restarts: 0,
    since: 0,
    starts: [],
    made: undefined,
    held: new Map(),
    kept: new Map(),
    runs: undefined,
    image: "",
    behaviour: "good",
    due: undefined,
  };
}

function end(service: Service, how: Pick<Service, "active" | "result" | "exitStatus">): void {
  Object.assign(service, { ...how, sub: how.active === "failed" ? "failed" : "dead", due: undefined });
}

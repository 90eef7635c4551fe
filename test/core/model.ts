/** A host small enough to think about: files, what systemd has read of them, and what runs, with a crash wherever one is wanted. */

import type { Bundle, BundleFile, TreeEntry, Unit } from "../../src/core/bundle.ts";
import { assemble } from "../../src/core/assemble.ts";
import {
  applicationId,
  applicationName,
  relativePath,
  sourceName,
  type Digest,
  type RelativePath,
  type ServiceName,
} from "../../src/core/names.ts";
import type { Aside } from "../../src/core/objects.ts";
import {
  freshStart,
  observedService,
  remembered,
  unknownStart,
  unitOnDisk,
  type Readings,
  type StartRecord,
} from "../../src/core/observe.ts";
import { renderingFor } from "./renderings.ts";
import { plan, stopsMore, type Observed, type Step } from "../../src/core/plan.ts";

export const shop = applicationId(sourceName("fleet"), applicationName("shop"));
const directory = `/quadlets/${shop}`;
const places = { directory, units: new Set<string>() };

/** A bundle from file texts; throws on Problems, since tests mean what they write. */
export function bundleOf(
  texts: Readonly<Record<string, string>>,
  application = shop,
  secrets: Readonly<Record<string, string>> = {},
): Bundle {
  const files = Object.entries(texts).map(([path, text]) => {
    const entry: TreeEntry = { kind: "file", executable: false, content: Buffer.from(text) };
    return [relativePath(path), { entry, origin: `shop/${path}` }] as const;
  });
  const made = assemble({ application, files: new Map(files), problems: [] }, renderingFor(application, secrets));
  if (!made.ok) throw new Error(JSON.stringify(made.trouble));
  return made.value;
}

export class Crash extends Error {}

interface Volume {
  /** That it was made of; undefined where `podman run` made it. */
  readonly text: string | undefined;
  readonly createdAt: string;
  /** One word for each start of a container that has it. */
  readonly data: string[];
}

interface Running {
  active: "active" | "inactive" | "failed";
  invocation: string;
  /** All that the container was made of, text as loaded and files as they lay there. */
  runs: string | undefined;
  /** The pod that it was started in. */
  pod?: ServiceName | undefined;
}

/** What survives a crash of pgo: the host, and what pgo saved. */
export class World {
  readonly disk = new Map<RelativePath, BundleFile>();
  readonly running = new Map<ServiceName, Running>();
  /** Podman networks: the text that they were made of. */
  readonly networks = new Map<string, string>();
  readonly volumes = new Map<string, Volume>();
  /** Copies of volumes' data. */
  readonly backups: (readonly string[])[] = [];
  asides = new Map<string, Aside>();
  prune: "none" | "networks" | "all" = "networks";
  readonly known: Bundle[] = [];
  /** Every start and stop of a service, for counting. */
  readonly log: string[] = [];
  inventory = new Set<RelativePath>();
  records = new Map<ServiceName, StartRecord>();
  reloadPending = false;
  /** The next pass undoes what the last one did. */
  isWayBack = false;
  /** A pass has begun and not come to its end. */
  private isResumed = false;
  /** Units that pgo has started, or told something, and not looked at since. */
  private readonly open = new Set<ServiceName>();
  private goal: Digest | undefined;
  private loaded = new Map<ServiceName, { text: string; unit: Unit }>();
  private starts = 0;
  private made = 0;
  /** As the executor remembers it for one plan. */
  private readonly before = new Map<ServiceName, string>();

  observe(goal: Bundle | undefined): Observed {
    const readings = this.readings(goal);
    return {
      files: this.disk,
      inventory: this.inventory,
      known: this.known.flatMap((bundle) => bundle.units),
      services: new Map([...readings].map(([service, reading]) => [service, observedService(reading)])),
      enabled: new Set(),
      dependents: [],
      reloadPending: this.reloadPending,
      objects: {
        networks: new Set(this.networks.keys()),
        volumes: new Map([...this.volumes].map(([name, { createdAt }]) => [name, { createdAt, holdsData: true }])),
        aside: this.asides,
        rules: { prune: this.prune, backups: "/backups", copied: undefined, needed: new Set() },
      },
      isResumed: this.isResumed,
    };
  }

  private readings(goal: Bundle | undefined): ReadonlyMap<ServiceName, Readings> {
    const bundles = goal === undefined ? this.known : [goal, ...this.known];
    return new Map(
      bundles
        .flatMap((bundle) => bundle.units)
        .map((unit) => {
          const running = this.running.get(unit.service);
          const loaded = this.loaded.get(unit.service);
          const service = {
            load: loaded === undefined ? "not-found" : "loaded",
            active: running?.active ?? "inactive",
            result: running?.active === "failed" ? "exit-code" : "success",
            invocation: running?.invocation ?? "",
            source: loaded === undefined ? "" : `${directory}/${loaded.unit.file}`,
            fragment: loaded === undefined ? "" : `/run/${unit.service}`,
          };
          const onDisk = unitOnDisk(unit.service, bundles, this.disk);
          const record = this.records.get(unit.service);
          const keepsObject = unit.kind === "network" || unit.kind === "volume";
          const volume = unit.kind === "volume" ? { volume: { isThere: this.volumes.has(unit.object) } } : {};
          return [unit.service, { service, record, onDisk, places, keepsObject, reloadPending: this.reloadPending, ...volume }];
        }),
    );
  }

  /**
   * One pass as the controller makes it; `crashAt` counts the moments before and after each step's act. What is not healthy never comes to
   * its end, as after a crash at the last moment. Answers the steps.
   */
  pass(goal: Bundle | undefined, crashAt = Infinity, isHealthy = true): readonly Step[] {
    // pgo ends one rollout before it begins another.
    if (goal?.digest !== this.goal) this.open.clear();
    this.goal = goal?.digest;
    let moment = 0;
    const maybeCrash = () => {
      if (moment++ === crashAt) throw new Crash();
    };
    const carryOut = (steps: readonly Step[]) => {
      for (const step of steps) {
        maybeCrash();
        this.isInTurn(step, goal);
        this.act(step);
        maybeCrash();
        this.save(step);
      }
    };
    const aim = { application: shop, bundle: goal, isWayBack: this.isWayBack };
    const made = plan(aim, this.observe(goal));
    if (made.steps.length > 0) {
      this.isResumed = true;
      if (goal !== undefined && !this.known.some((bundle) => bundle.digest === goal.digest)) this.known.push(goal);
      for (const file of goal?.files ?? []) this.inventory.add(file.path);
      for (const [service, reading] of this.readings(goal)) this.records.set(service, remembered(reading));
      for (const step of made.steps) if (step.kind === "remove-network") this.records.set(step.service, unknownStart);
      maybeCrash();
      if (made.steps.some((step) => step.kind === "reload")) this.reloadPending = true;
    }
    this.before.clear();
    carryOut(made.steps);
    // The controller looks again and starts what is missing.
    if (stopsMore(made, goal?.units ?? []))
      for (const step of plan(aim, this.observe(goal)).steps)
        if (step.kind === "start" || step.kind === "restart" || step.kind === "verify") {
          this.isInTurn(step, goal);
          this.act(step);
          this.save(step);
        }
    if (!isHealthy) throw new Crash();
    carryOut(plan({ application: shop, bundle: goal }, this.observe(goal)).afterwards);
    maybeCrash();
    this.inventory = new Set(goal?.files.map((file) => file.path));
    this.asides = new Map();
    this.isResumed = false;
    this.open.clear();
    for (const [service, { digest }] of this.records) if (digest === freshStart.digest) this.records.set(service, unknownStart);
    return made.steps;
  }

  /** Power goes and comes: systemd reads the disk, starts every unit that it finds there. */
  reboot(): void {
    this.running.clear();
    this.open.clear();
    this.load();
    for (const service of this.loaded.keys()) this.start(service);
    this.log.length = 0;
  }

  /** A daemon-reload by somebody else. */
  reload(): void {
    this.load();
  }

  /** Services that could be started now. */
  startable(): readonly ServiceName[] {
    return [...this.loaded.keys()].sort();
  }

  /** A unit's text as the bundle has it, drop-ins included. */
  static text(bundle: Bundle, unit: Unit): string {
    return textOf(unit, new Map(bundle.files.map((file) => [file.path, file])));
  }

  /** What the service would run if all were as the bundle says. */
  static expected(bundle: Bundle, unit: Unit): string {
    const files = new Map(bundle.files.map((file) => [file.path, file]));
    return describe(unit, files, textOf(unit, files));
  }

  /** With what it requires; of one that runs it does nothing. */
  start(service: ServiceName): void {
    const loaded = this.loaded.get(service);
    if (loaded === undefined) throw new Error(`start ${service}: not found`);
    if (this.isUp(service)) return;
    for (const needed of this.required(loaded.unit)) this.start(needed);
    this.starts += 1;
    this.running.set(service, {
      active: "active",
      invocation: String(this.starts),
      runs: describe(loaded.unit, this.disk, loaded.text),
      pod: this.podOf(loaded.unit),
    });
    if (loaded.unit.kind === "network" && !this.networks.has(loaded.unit.object)) this.networks.set(loaded.unit.object, loaded.text);
    if (loaded.unit.kind === "volume") this.makeVolume(loaded.unit.object, loaded.text);
    if (loaded.unit.kind === "container")
      for (const volume of this.volumesOf(loaded.unit)) this.makeVolume(volume, undefined).data.push(`${service} ${String(this.starts)}`);
    this.log.push(service);
  }

  /** A person's `podman network rm --force` or `podman volume rm --force`: containers that use it go too. */
  lose(kind: "networks" | "volumes", name: string): void {
    const units = [...this.loaded.values()].map(({ unit }) => unit);
    for (const object of units.filter((unit) => unit.object === name))
      for (const user of this.usersOf(object.service)) this.stop(user, "failed");
    this[kind].delete(name);
  }

  private makeVolume(name: string, text: string | undefined): Volume {
    const made = this.volumes.get(name) ?? { text, createdAt: `v${String((this.made += 1))}`, data: [] };
    this.volumes.set(name, made);
    return made;
  }

  private volumesOf(unit: Unit): readonly string[] {
    return [...this.loaded.values()].flatMap(({ unit: other }) =>
      other.kind === "volume" && unit.uses.includes(other.name) ? [other.object] : [],
    );
  }

  /** What requires it goes with it, and a pod with its last member. */
  stop(service: ServiceName, ends: "failed" | "inactive" = "failed"): void {
    const pod = this.running.get(service)?.pod;
    if (!this.isUp(service)) return;
    for (const user of this.usersOf(service)) this.stop(user, ends);
    this.running.set(service, { active: ends, invocation: "", runs: undefined });
    this.log.push(`-${service}`);
    if (pod !== undefined && ![...this.running].some(([one, { pod: other }]) => other === pod && this.isUp(one))) this.stop(pod, ends);
  }

  /** What requires it is restarted with it. A pod's last member takes the pod along, and then can't start for want of it. */
  restart(service: ServiceName, by: "pgo" | "by hand" = "pgo"): void {
    const users = this.usersOf(service).filter((user) => this.isUp(user));
    const pod = this.running.get(service)?.pod;
    const wasUp = this.isUp(service);
    this.stop(service);
    const next = this.loaded.get(service)?.unit;
    if (by === "pgo" && wasUp && pod !== undefined && next !== undefined && this.podOf(next) === pod && !this.isUp(pod))
      throw new Error(`restart ${service}: dependency ${pod} has gone`);
    this.start(service);
    for (const user of users) this.start(user);
  }

  isUp(service: ServiceName): boolean {
    return this.running.get(service)?.active === "active";
  }

  private required(unit: Unit): readonly ServiceName[] {
    return [...this.loaded.values()].filter(({ unit: other }) => unit.uses.includes(other.name)).map(({ unit: other }) => other.service);
  }

  private usersOf(service: ServiceName): readonly ServiceName[] {
    return [...this.loaded.values()].filter(({ unit }) => this.required(unit).includes(service)).map(({ unit }) => unit.service);
  }

  private podOf(unit: Unit): ServiceName | undefined {
    return [...this.loaded.values()].find(({ unit: other }) => other.name === unit.pod)?.unit.service;
  }

  private load(): void {
    this.loaded = new Map();
    // What systemd understands is what lies there: the bundle that the file is of, edited at its end or not, says what it means.
    const text = (file: BundleFile | undefined) => Buffer.from(file?.content ?? "").toString();
    const likeness = (bundle: Bundle, unit: Unit) => {
      const own = text(bundle.files.find(({ path }) => path === unit.file));
      return text(this.disk.get(unit.file)).startsWith(own) ? own.length : -1;
    };
    const found = this.known.flatMap((bundle) => bundle.units.map((unit) => ({ unit, likeness: likeness(bundle, unit) })));
    for (const { unit } of found.sort((a, b) => a.likeness - b.likeness))
      if (this.disk.has(unit.file)) this.loaded.set(unit.service, { text: textOf(unit, this.disk), unit });
    for (const [service, { active }] of this.running) if (active === "inactive" && !this.loaded.has(service)) this.running.delete(service);
  }

  /** Nothing goes before an earlier phase is known to be well, and no instance that serves before enough of its kind are. */
  private isInTurn(step: Step, goal: Bundle | undefined): void {
    if (step.kind === "verify") for (const service of step.services) this.open.delete(service);
    if (!("unit" in step) || this.isWayBack) return;
    const { unit } = step;
    const others = (goal?.units ?? []).filter((other) => this.open.has(other.service) && other.service !== unit.service);
    const early = others.find((other) => other.phase !== undefined && unit.phase !== undefined && other.phase < unit.phase);
    if (early !== undefined) throw new Error(`${unit.service} goes before ${early.service} of an earlier phase is known to be well`);
    const kind = (one: Unit) => /^.*@/.exec(one.name)?.[0];
    const siblings = others.filter((other) => kind(unit) !== undefined && kind(other) === kind(unit));
    const most = goal?.settings.unit["w@"]?.max_unavailable ?? 1;
    if (step.kind === "restart" && this.isUp(unit.service) && siblings.length >= Number(most))
      throw new Error(`${unit.service} restarts before ${siblings.map(({ service }) => service).join(", ")} is known to be well`);
    this.open.add(unit.service);
  }

  private act(step: Step): void {
    switch (step.kind) {
      case "write":
        this.disk.set(step.file.path, step.file);
        return;
      case "remove":
        this.disk.delete(step.path);
        return;
      case "reload":
        this.load();
        return;
      case "stop":
        this.stop(step.service);
        return;
      case "reset-failed":
        if (this.running.get(step.service)?.active === "failed") this.running.delete(step.service);
        return;
      case "remove-network":
        for (const { unit } of this.loaded.values())
          if (unit.kind === "network" && unit.object === step.network)
            for (const user of this.usersOf(unit.service)) if (this.isUp(user)) throw new Error(`remove ${step.network}: ${user} uses it`);
        this.networks.delete(step.network);
        return;
      case "backup-volume":
        this.backups.push([...(this.volumes.get(step.volume)?.data ?? [])]);
        return;
      case "remove-volume": {
        const { data } = this.volumes.get(step.volume) ?? { data: [] };
        if (!this.backups.some((copy) => copy.join() === data.join())) throw new Error(`${step.volume} is removed without a copy`);
        if (this.isUp(step.service)) throw new Error(`${step.service} uses ${step.volume}`);
        for (const user of this.usersOf(step.service)) if (this.isUp(user)) throw new Error(`${user} uses ${step.volume}`);
        this.volumes.delete(step.volume);
        return;
      }
      case "restore-volume": {
        const volume = this.volumes.get(step.volume);
        if (volume === undefined || volume.data.length > 0) throw new Error(`${step.volume} is not an empty volume`);
        volume.data.push(...(this.backups[this.asides.get(step.volume)?.backup ?? -1] ?? ["nothing"]));
        return;
      }
      case "remove-image":
      case "hand-over":
      case "enable":
      case "disable":
      case "adopt":
      case "give-back":
      case "revive":
      case "keep":
        return;
      case "verify":
        // What was built is built, also when its unit was stopped since.
        for (const service of step.services)
          if (!this.isUp(service) && this.loaded.get(service)?.unit.kind !== "build")
            throw new Error(`verify ${service}: it is not active`);
        return;
      case "reload-service":
      case "signal": {
        const running = this.running.get(step.service);
        if (running?.active !== "active") throw new Error(`${step.kind} ${step.service}: it is not active`);
        this.records.set(step.service, unknownStart);
        running.runs = describe(step.unit, this.disk, this.loaded.get(step.service)?.text ?? "");
        return;
      }
      case "start":
        this.start(step.service);
        return;
      case "restart": {
        for (const service of step.carries)
          if (!this.before.has(service)) this.before.set(service, this.running.get(service)?.invocation ?? "");
        const known = this.before.get(step.service);
        if (step.alone) {
          this.running.delete(step.service);
          this.start(step.service);
        } else if (known !== undefined && known !== this.running.get(step.service)?.invocation) this.start(step.service);
        else this.restart(step.service);
      }
    }
  }

  private save(step: Step): void {
    if (step.kind === "reload") this.reloadPending = false;
    if (step.kind === "reset-failed") this.records.delete(step.service);
    if ("unit" in step) {
      const { digest, inputs } = step.unit;
      this.records.set(step.service, { digest, inputs, invocation: this.running.get(step.service)?.invocation ?? "" });
    }
    if (step.kind === "backup-volume") {
      const [createdAt, before] = [this.volumes.get(step.volume)?.createdAt ?? "", this.asides.get(step.volume)];
      const isThat = before === undefined || createdAt === before.createdAt || createdAt === before.restored;
      const saved = { volume: step.volume, createdAt, backup: this.backups.length - 1, restored: undefined };
      if (step.from !== undefined && isThat) this.asides.set(step.volume, { ...saved, digest: step.from });
    }
    const aside = step.kind === "restore-volume" ? this.asides.get(step.volume) : undefined;
    if (aside !== undefined) this.asides.set(aside.volume, { ...aside, restored: this.volumes.get(aside.volume)?.createdAt });
  }
}

function textOf(unit: Unit, files: ReadonlyMap<RelativePath, BundleFile>): string {
  return [...files.values()]
    .filter((file) => file.path === unit.file || file.path.startsWith(`${unit.file}.d/`))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .map((file) =>
      Buffer.from(file.content)
        .toString()
        .replace(/^#.*\n/gm, ""),
    )
    .join("\n---\n");
}

function describe(unit: Unit, files: ReadonlyMap<RelativePath, { readonly digest: Digest }>, text: string): string {
  const assets = unit.files.filter((path) => !path.startsWith(unit.file)).map((path) => `${path}=${files.get(path)?.digest ?? "none"}`);
  return [text, ...assets].join("\n");
}

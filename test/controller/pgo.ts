/** pgo's controller over a world in memory, with the real state database: what a test drives, and what it looks at. */

import assert from "node:assert/strict";
import { dirname } from "node:path";

import { openArchives } from "../../src/adapters/archive/archive.ts";
import { openStore } from "../../src/adapters/store/store.ts";
import type { Commands } from "../../src/controller/commands.ts";
import { Bundles, type Context } from "../../src/controller/context.ts";
import { commands } from "../../src/controller/control.ts";
import { Symptoms } from "../../src/controller/health.ts";
import { Loop } from "../../src/controller/loop.ts";
import { Reach } from "../../src/controller/reach.ts";
import { stateRoom } from "../../src/controller/room.ts";
import { Renderings } from "../../src/controller/rendering.ts";
import { Resources } from "../../src/controller/resources.ts";
import { StateCopies } from "../../src/controller/heal.ts";
import { Unseen } from "../../src/controller/unseen.ts";
import { ImageWatch } from "../../src/controller/watch.ts";
import { Timekeeping } from "../../src/controller/schedule.ts";
import { configOf, hostConfig, type HostConfig } from "../../src/core/config.ts";
import type { Event } from "../../src/core/event.ts";
import {
  applicationId,
  applicationName,
  digestOf,
  sourceName,
  type ApplicationId,
  type Digest,
  type ServiceName,
} from "../../src/core/names.ts";
import { trouble } from "../../src/core/result.ts";
import type { ApplicationRecord, Decrypter, DeploymentRecord, Journal, Sealed, Secrets, Store } from "../../src/ports.ts";
import { fakeClock } from "../fakes/clock.ts";
import { FaultSchedule, Life } from "../fakes/faults.ts";
import { FakeHandovers } from "../fakes/handovers.ts";
import { World, expectedRuns, quadletDirectory } from "../fakes/world.ts";

export const minute = 60_000;
export const fleet = sourceName("fleet");
export const id = (name: string): ApplicationId => applicationId(fleet, applicationName(name));
export const service = (name: string): ServiceName => `${name}.service` as ServiceName;

const directories = { quadlet: quadletDirectory, units: "/etc/systemd/system", secrets: "/etc/pgo/secrets", state: "/var/lib/pgo" };

const plainOnly: Decrypter = { decrypt: () => Promise.resolve(trouble("is encrypted, and pgo has no key")) };

export interface PgoOptions {
  /** In pgo.toml's shape, beside a source `fleet` that is polled each minute. */
  readonly config?: object;
  readonly allowEmpty?: boolean;
  /** The state database's file; default: in memory. */
  readonly database?: string;
  /** Of that file's copies; default: none are made. */
  readonly copies?: string;
}

export class Pgo implements AsyncDisposable {
  readonly clock = fakeClock();
  readonly world = new World(this.clock);
  readonly handovers = new FakeHandovers(this.world);
  store: Store & AsyncDisposable;
  readonly faults = new FaultSchedule();
  /** Secrets of the host by name. */
  readonly secretValues = new Map<string, string>();
  readonly sealedContents = new Map<Digest, Uint8Array>();
  /** Everything that the journal was told. */
  readonly told: Event[] = [];
  /** Calls of Git, the host, Podman and probes, by name, since the last `forget`. */
  readonly asked: string[] = [];
  /** Why pgo ended by itself. */
  readonly endings: string[] = [];
  #started = false;
  #life = new Life(this.faults);
  #loop!: Loop;
  #commands!: Commands;
  #context!: Context;
  #config: ReturnType<typeof configOf>;
  readonly #archives: string;
  readonly #open: () => Store & AsyncDisposable;

  constructor({ config = {}, allowEmpty = false, database = ":memory:", copies }: PgoOptions = {}) {
    this.#open = () => openStore(database, { now: this.clock.now(), ...(copies === undefined ? {} : { copies }) });
    this.#archives = dirname(database);
    this.store = this.#open();
    for (const [image, behaviour] of [
      ["good:1", "good"],
      ["good:2", "good"],
      ["good:3", "good"],
      ["sick:1", "sick"],
      ["crash:1", "crash"],
      ["job:1", "job"],
      ["stubborn:1", "stubborn"],
    ] as const)
      this.world.machine.images.set(`localhost/${image}`, behaviour);
    this.#config = configFrom(config, allowEmpty);
  }

  /** Another pgo.toml, for the next process. */
  reconfigure(config: object): void {
    this.kill();
    this.#config = configFrom(config, false);
  }

  /** Something happens to the state database while no pgo runs; the next process opens what is there then. */
  async reopen(meanwhile: () => void): Promise<void> {
    this.kill();
    await this.store[Symbol.asyncDispose]();
    meanwhile();
    this.store = this.#open();
  }

  /** A new process over the same host and state. */
  start(): void {
    this.#started = true;
    this.#life = new Life(this.faults);
    const life = this.#life;
    const { git, host, podman, prober, changes } = this.world.ports;
    const { clock } = this;
    const store = life.wrapSynchronous(this.store);
    const port = <Port extends object>(target: Port): Port => life.wrap(this.#noted(target));
    const reached = { host: port(host), podman: port(podman) };
    const journal: Journal = {
      tell: (event) => {
        if (!life.over) this.told.push({ ...event, at: clock.now() });
      },
    };
    const secrets = this.#secrets();
    const self = { directories: [], specifiers: undefined };
    this.#context = {
      ...{ ...reached, config: this.#config, git: port(git), prober: port(prober), store, clock, journal },
      bundles: new Bundles(store, "/var/lib/pgo", self),
      secrets,
      sealed: life.wrap(this.#sealed()),
      keyedDigest: (content) => digestOf("keyed", content),
      rendering: new Renderings({ secrets, decrypter: plainOnly, podman: reached.podman, mode: "rootful", config: this.#config, self }),
      images: new ImageWatch(),
      resources: new Resources(),
      copies: new StateCopies(),
      changes,
      unseen: new Unseen(clock),
      symptoms: new Symptoms(),
      archives: openArchives(this.#archives),
      handovers: life.wrap(this.handovers),
      reach: new Reach({ ...reached, journal, clock, room: stateRoom(this.#config) }),
      time: new Timekeeping(clock, this.store),
      logs: "journalctl -u",
    };
    this.#loop = new Loop(this.#context);
    this.#commands = commands(this.#context, { loop: this.#loop, version: "0.1.0", hostName: "pi4" });
    this.#loop.run(life.signal).catch((error: unknown) => {
      if (life.over) return;
      this.endings.push(error instanceof Error ? error.message : String(error));
      life.kill();
    });
  }

  #secrets(): Secrets {
    const fingerprint = () => digestOf(...[...this.secretValues].flat());
    return {
      snapshot: () => Promise.resolve({ values: new Map(this.secretValues), problems: [], warnings: [], fingerprint: fingerprint() }),
      fingerprint: () => Promise.resolve(fingerprint()),
    };
  }

  #sealed(): Sealed {
    const contents = this.sealedContents;
    return {
      put: (content) => {
        contents.set(digestOf(content), content);
        return Promise.resolve(digestOf(content));
      },
      get: (digest) => Promise.resolve(contents.get(digest)),
      keep: (digests) => {
        for (const digest of contents.keys()) if (!digests.has(digest)) contents.delete(digest);
        return Promise.resolve();
      },
    };
  }

  #noted<Port extends object>(port: Port): Port {
    return new Proxy(port, {
      get: (target, name) => {
        this.asked.push(String(name));
        return Reflect.get(target, name) as unknown;
      },
    });
  }

  get running(): boolean {
    return this.#started && !this.#life.over;
  }

  kill(): void {
    this.#life.kill();
  }

  /** Time goes by; a pgo that is killed is started again within a minute, as systemd does it. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= minute) {
      if (!this.running) this.start();
      await this.clock.advance(Math.min(left, minute));
    }
  }

  /** Time goes by until `work` is over. */
  async until<Value>(work: Promise<Value>): Promise<Value> {
    const progress = { over: false };
    const end = () => {
      progress.over = true;
    };
    work.then(end, end);
    for (let seconds = 0; !progress.over; seconds++) {
      assert.ok(seconds < 10_000, "it takes hours");
      await this.clock.advance(1000);
    }
    return work;
  }

  get commands(): Commands {
    return this.#commands;
  }

  get loop(): Loop {
    return this.#loop;
  }

  get context(): Context {
    return this.#context;
  }

  /** Commits, and lets the next poll deal with it. */
  async push(files: Parameters<World["commit"]>[0]): Promise<void> {
    this.world.commit(files);
    if (!this.running) this.start();
    await this.pass(2 * minute);
  }

  record(name: string): ApplicationRecord | undefined {
    return this.store.application(id(name));
  }

  outcome(name: string): string | undefined {
    return this.record(name)?.outcome;
  }

  history(name: string): readonly DeploymentRecord[] {
    return this.store.deployments({ application: id(name), limit: 1000 });
  }

  /** What was told of outcomes: `shop deployed: …`. */
  outcomes(): readonly string[] {
    return this.told.flatMap((event) =>
      event.type === "outcome" ? [`${event.application.slice("fleet/".length)} ${event.outcome}: ${event.message}`] : [],
    );
  }

  /** Forgets what was asked, told and changed so far. */
  forget(): void {
    this.asked.length = 0;
    this.told.length = 0;
    this.world.changes.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.store[Symbol.asyncDispose]();
  }
}

function configFrom(config: object, allowEmpty: boolean): ReturnType<typeof configOf> {
  const raw: HostConfig = hostConfig(directories).parse({
    source: [{ name: "fleet", url: "https://git.example.com/fleet.git", interval: "60s", allow_empty: allowEmpty }],
    health: { deadline: "20s", min_healthy_time: "2s" },
    ...config,
  });
  return configOf(raw);
}

/** The host shows of each application its last good version and of each service what that version says, and nothing else of pgo's. */
export function isSettled(pgo: Pgo): void {
  const { store, world } = pgo;
  const { machine } = world;
  assert.deepEqual(world.violations, [], "nothing of anybody else's was touched");
  assert.deepEqual(store.rollouts(), [], "no rollout is unfinished");
  assert.equal(store.reloadPending(), false, "systemd has read every change");
  const unfinished = store.deployments({ limit: 10_000 }).filter((one) => one.finishedAt === undefined);
  assert.deepEqual(unfinished, [], "every deployment has an outcome");
  const expected = new Map<ServiceName, string>();
  const directories = new Set(store.applications().map((record) => record.id));
  for (const record of store.applications()) {
    const bundle = record.lastGood === undefined ? undefined : new Bundles(store, "/var/lib/pgo").get(record.lastGood);
    const whole = (bundle?.files ?? []).map((file) => ({
      ...file,
      content: file.sealed === undefined ? file.content : (pgo.sealedContents.get(file.sealed) ?? Buffer.from("lost")),
    }));
    const files = new Map(whole.map(({ path, content }) => [path, Buffer.from(content).toString()]));
    assert.deepEqual(world.filesOf(record.id), files, `${record.id}: the files are those of the last good version`);
    const inventory = new Map(bundle?.files.map(({ path, digest }) => [path, digest]));
    assert.deepEqual(new Map(store.inventory(record.id)), inventory, `${record.id}: the inventory is that of the last good version`);
    for (const [name, runs] of expectedRuns(machine, record.id, whole)) expected.set(name, runs);
    for (const unit of bundle?.units ?? []) {
      if (unit.oneshot) continue;
      assert.equal(machine.runs(unit.service), expected.get(unit.service), `${unit.service} runs what ${record.id} says`);
      assert.equal(record.health, "healthy", `${record.id} is healthy`);
      const started = store.started(record.id).get(unit.service);
      if (started?.invocation === machine.state(unit.service).invocation)
        assert.equal(started.digest, unit.digest, `${unit.service} runs what its record says`);
    }
  }
  for (const name of machine.visible()) {
    const { source } = machine.state(name);
    if (source === "" || source.startsWith(`${quadletDirectory}/`))
      assert.ok(expected.has(name), `${name} (${source}) is nobody's, and still there`);
  }
  for (const [name, { labels }] of machine.secrets) {
    const owner = labels["pgo.application"] as ApplicationId | undefined;
    assert.ok(owner === undefined || directories.has(owner), `secret ${name} is left of an application that is gone`);
  }
  for (const path of machine.files.keys()) {
    const [, source = "", application = ""] = path.startsWith(`${quadletDirectory}/`) ? path.slice(quadletDirectory.length).split("/") : [];
    if (source !== "" && world.filesOf(`${source}/${application}` as ApplicationId).size > 0)
      assert.ok(directories.has(`${source}/${application}` as ApplicationId), `${path} is left of an application that is gone`);
  }
}

/** The world as the controller meets it, in memory: one host, its Podman, a registry and a Git repository, told apart from what is not pgo's. */

import type { TreeEntry } from "../../src/core/bundle.ts";
import type { Endpoint } from "../../src/core/endpoint.ts";
import { fileDigest } from "../../src/core/files.ts";
import { isUnitText } from "../../src/core/layout.ts";
import { marked, placeOf } from "../../src/core/placing.ts";
import { relativePath, revision, type ApplicationId, type RelativePath, type Revision, type ServiceName } from "../../src/core/names.ts";
import type { ContainerFigures, ServiceFigures } from "../../src/core/resources.ts";
import { success, trouble, type Result } from "../../src/core/result.ts";
import type { UnitVerification } from "../../src/core/unit-verify.ts";
import type { Changes, Clock, Git, GitTrouble, Host, PlacedFile, Podman, Prober, ServiceState, Snapshot } from "../../src/ports.ts";
import { digestOfId, Machine, valuesOf, type Behaviour, type MachineFile } from "./machine.ts";
import { generate } from "./quadlet-generator.ts";

export const searchPath = "/etc/containers/systemd";
export const quadletDirectory = `${searchPath}/pgo`;

export const selfDirectory = `${searchPath}/pgo-self`;

const envDirectory = "/var/lib/pgo/env";

export interface Ports {
  readonly git: Git;
  readonly host: Host;
  readonly podman: Podman;
  readonly prober: Prober;
  /** Of units, and of containers as a test tells it. */
  readonly changes: { readonly units: Changes; readonly containers: Changes };
}

export class World {
  readonly machine: Machine;
  /** Images that can be pulled. */
  readonly registry = new Map<string, Behaviour>();
  /** Of those with a name that can move: what it stands for there. */
  readonly #published = new Map<string, string>();
  readonly #contents = new Map<string, Behaviour>();
  /** Whether it answers. */
  registryUp = true;
  /** Names that it was asked for although they are on the host. */
  readonly looks: string[] = [];
  /** Undefined while Git can be read. */
  gitTrouble: GitTrouble | undefined;
  /** Sources whose repository can't be read. */
  readonly unreachable = new Set<string>();
  /** An application whose directory can't be read: EIO. */
  unreadable: ApplicationId | undefined;
  /** systemd's environment block. */
  readonly managerEnvironment = new Map<string, string>();
  readonly podmanSecrets: Machine["secrets"];
  /** Ports that something else on the host listens on. */
  readonly listening: Endpoint[] = [];
  /** Paths that are not on the host, though units mount them. */
  readonly absent = new Set<string>();
  /** Bytes. */
  readonly free = { podman: 50e9, state: 50e9 };
  /** What `systemd-analyze verify` says. */
  verification: Omit<UnitVerification, "root"> = { code: 0, output: "" };
  /** Why neither systemd nor Podman answers; undefined while they do. */
  away: string | undefined;
  /** Why nothing can be written; undefined while it can. */
  unwritable: string | undefined;
  /** Why systemd does not read its units again; undefined while it does. */
  reloadTrouble: string | undefined;
  /** Services whose port nobody answers at, though they run. */
  readonly down = new Set<ServiceName>();
  /** What services use, as Podman and systemd have it; what is left out has no figure. */
  readonly used = new Map<ServiceName, Partial<ContainerFigures & ServiceFigures>>();
  /** What services wrote last. */
  readonly journals = new Map<ServiceName, readonly string[]>();
  /** Jobs that do not end while they are in here, such as `stop web.service`; the service is `deactivating`. */
  readonly hangs = new Set<string>();
  /** Jobs that fail, such as `stop web.service`. */
  readonly refuses = new Set<string>();
  /** Called after each change of the host by pgo. */
  onChange: (() => void) | undefined;
  /** What pgo did that it must never do: to files, quadlets and services of somebody else. */
  readonly violations: string[] = [];
  /** What pgo changed, in order: `write fleet/shop/web.container`, `restart web.service`, … */
  readonly changes: string[] = [];
  readonly ports: Ports;
  readonly #commits: (Snapshot & { readonly source: string })[] = [];
  readonly #clock: Clock;
  /** What pgo took away, by backup and path. */
  readonly backups = new Map<string, MachineFile>();
  /** Copies of volumes' data, by file. */
  readonly volumeBackups = new Map<string, string>();
  /** Why none can be made; undefined while they can. */
  backupTrouble: string | undefined;
  /** Files that pgo placed, and has not removed since. */
  readonly #placed = new Set<string>();
  /** Files that pgo took away and put back: their services are its to start again. */
  readonly #putBack = new Set<string>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.machine = new Machine(clock);
    this.podmanSecrets = this.machine.secrets;
    this.machine.pullAnew = (image) => {
      if (this.registryUp) this.#fetch(image);
    };
    const reachable = <Port extends object>(port: Port) => this.#reachable(port);
    this.ports = {
      git: this.#git(),
      host: reachable(this.#host()),
      podman: reachable(this.#podman()),
      prober: this.#prober(),
      changes: this.#changes(),
    };
  }

  /** Whether changes of units are told, as systemd does; without, pgo has only its looks. */
  tellsChanges = false;
  /** Tells of a container, as Podman does when its health check turns; with `undefined` that nobody could hear for a while. */
  tell: ((service: ServiceName | undefined) => void) | undefined;

  #changes(): Ports["changes"] {
    const until = (signal: AbortSignal, end: () => void) =>
      new Promise<void>((resolve) => {
        const over = () => {
          end();
          resolve();
        };
        if (signal.aborted) over();
        else signal.addEventListener("abort", over, { once: true });
      });
    return {
      units: {
        hear: (ears, signal) => {
          const listener = (unit: ServiceName) => {
            const service = this.tellsChanges && this.away === undefined ? ears.known(unit) : undefined;
            if (service !== undefined) ears.heard(service);
          };
          this.machine.listeners.add(listener);
          return until(signal, () => this.machine.listeners.delete(listener));
        },
      },
      containers: {
        hear: (ears, signal) => {
          this.tell = (service) => {
            if (service === undefined || ears.known(service) !== undefined) ears.heard(service);
          };
          return until(signal, () => {
            this.tell = undefined;
          });
        },
      },
    };
  }

  /** Files can be written while systemd and Podman are away. */
  #reachable<Port extends object>(port: Port): Port {
    return new Proxy(port, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name);
        if (typeof method !== "function") return method;
        return async (...given: readonly unknown[]): Promise<unknown> => {
          const isFile = ["placed", "write", "remove", "foreign", "handMade", "takeAway", "putBack", "writable"].includes(String(name));
          if (this.away !== undefined && !isFile) throw new Error(this.away);
          const writes = ["write", "overwrite", "remove", "takeAway", "putBack"].includes(String(name));
          if (this.unwritable !== undefined && writes) throw new Error("ENOSPC: no space left on device, write");
          const changes = this.changes.length;
          const answer: unknown = await Reflect.apply(method, target, given);
          if (this.changes.length > changes) this.onChange?.();
          return answer;
        };
      },
    });
  }

  // ---- what a person does ----

  /** A commit with these files, by path below the root of the source's repository. */
  commit(
    files: Readonly<Record<string, string | TreeEntry>>,
    {
      rewritten = false,
      source = "fleet",
      message = "",
      committedAt = this.#clock.now(),
      tag,
    }: { rewritten?: boolean; source?: string; message?: string; committedAt?: Date; tag?: string | undefined } = {},
  ): Revision {
    const entries = new Map(
      Object.entries(files).map(([path, content]): [string, TreeEntry] => [
        path,
        typeof content === "string" ? { kind: "file", executable: false, content: Buffer.from(content) } : content,
      ]),
    );
    const number = this.#commits.length + 1;
    const made = revision(number.toString(16).padStart(40, "0"));
    const subject = `change ${number}`;
    const messages = [`${subject}\n\n${message}`];
    const author = "Ada <ada@example.com>";
    this.#commits.push({ revision: made, tag, author, subject, messages, committedAt, rewritten, entries, source });
    return made;
  }

  /** Pushes an image: from now on the name stands for this one in the registry. */
  publish(name: string, id: string, behaviour: Behaviour): void {
    this.registry.set(name, behaviour);
    this.#published.set(name, id);
    this.#contents.set(id, behaviour);
  }

  /** Brings what a name, or a reference by digest, stands for in the registry; false where there is none. */
  #fetch(image: string): boolean {
    const [, digest] = image.split("@");
    const id = digest === undefined ? this.#published.get(image) : [...this.#contents.keys()].find((one) => digestOfId(one) === digest);
    const behaviour = id === undefined ? this.registry.get(image) : this.#contents.get(id);
    if (behaviour === undefined) return false;
    this.machine.images.set(image, behaviour);
    if (id !== undefined) {
      this.machine.ids.set(image, id);
      this.machine.contents.set(id, behaviour);
    }
    return true;
  }

  /** `podman image prune`: what has no name and no container. */
  prune(): void {
    const { ids, images, contents } = this.machine;
    const named = new Set([...ids].flatMap(([name, id]) => (images.has(name) ? [id] : [])));
    const used = new Set(this.machine.containers().map(({ imageId }) => imageId));
    for (const id of contents.keys()) if (!named.has(id) && !used.has(id)) contents.delete(id);
  }

  /** A file of an application as it lies on the host. */
  file(application: ApplicationId, path: string): string | undefined {
    return this.machine.files.get(`${quadletDirectory}/${application}/${path}`)?.content;
  }

  /** A person writes a file on the host, or deletes it. */
  edit(path: string, content: string | undefined): void {
    if (content === undefined) this.machine.files.delete(path);
    else this.machine.files.set(path, { mode: this.machine.files.get(path)?.mode ?? 0o644, content });
  }

  /** The files of an application's directory that pgo placed, and the Podman secrets that it made for it. */
  filesOf(application: ApplicationId): ReadonlyMap<RelativePath, string> {
    const found = [...this.machine.files].flatMap(([path, { content }]): [RelativePath, string][] => {
      const own = this.#placed.has(path) ? pathIn(application, path) : undefined;
      return own === undefined ? [] : [[own, content]];
    });
    const secrets = [...this.podmanSecrets].flatMap(([name, { value, labels }]): [RelativePath, string][] =>
      labels["pgo.application"] === application ? [[marked("secret", name), value]] : [],
    );
    return new Map([...found, ...secrets]);
  }

  // ---- ports ----

  #git(): Git {
    return {
      head: ({ name }) => {
        const last = this.#commits.findLast(({ source }) => source === name);
        const away = this.unreachable.has(name) ? { reason: "connection refused", transient: true } : this.gitTrouble;
        if (away !== undefined) return Promise.resolve(trouble(away));
        if (last === undefined) return Promise.resolve(trouble({ reason: "the repository is empty", transient: false }));
        return Promise.resolve(success(last.revision));
      },
      fetch: ({ name }, wanted) => {
        const found = this.#commits.findLast(({ source, revision: one }) => source === name && (wanted === "newest" || one === wanted));
        const away = this.unreachable.has(name) ? { reason: "connection refused", transient: true } : this.gitTrouble;
        if (away !== undefined) return Promise.resolve(trouble(away));
        if (found === undefined)
          return Promise.resolve(
            trouble({ reason: wanted === "newest" ? "the repository is empty" : `no commit ${wanted}`, transient: false }),
          );
        return Promise.resolve(success(found));
      },
    };
  }

  #host(): Host {
    const { machine } = this;
    return {
      placed: (application) => {
        if (application === this.unreadable) return Promise.reject(new Error(`read ${application}: input/output error`));
        const found = new Map<RelativePath, PlacedFile>();
        for (const [path, { mode, content }] of machine.files) {
          const own = pathIn(application, path);
          if (own !== undefined) found.set(own, { mode, digest: fileDigest(mode, Buffer.from(content)) });
        }
        return Promise.resolve(found);
      },
      write: (application, file) => {
        const path = pathOf(application, file.path);
        const isSaved = [...this.backups.keys()].some((copy) => copy.endsWith(`:${path}`));
        if (machine.files.has(path) && !this.#placed.has(path) && !isSaved) this.violations.push(`write over ${path}`);
        machine.files.set(path, { mode: file.mode, content: Buffer.from(file.content).toString() });
        this.#placed.add(path);
        this.changes.push(`write ${application}/${file.path}`);
        return Promise.resolve();
      },
      overwrite: (application, file) => {
        const path = pathOf(application, file.path);
        if (!this.#placed.has(path)) this.violations.push(`write into ${path}`);
        const content = Buffer.from(file.content).toString();
        const present = machine.files.get(path);
        if (present === undefined) machine.files.set(path, { mode: file.mode, content });
        else Object.assign(present, { mode: file.mode, content });
        this.#placed.add(path);
        this.changes.push(`write into ${application}/${file.path}`);
        return Promise.resolve();
      },
      remove: (application, file) => {
        const path = pathOf(application, file);
        if (machine.files.has(path) && !this.#placed.has(path)) this.violations.push(`remove ${path}`);
        machine.files.delete(path);
        this.#placed.delete(path);
        this.changes.push(`remove ${application}/${file}`);
        return Promise.resolve();
      },
      found: (source, isWanted) => {
        const found = new Map<ApplicationId, Map<RelativePath, { readonly mode: number; readonly content: Uint8Array }>>();
        for (const path of machine.files.keys()) {
          const [name, rest] = path.startsWith(`${quadletDirectory}/${source}/`)
            ? path.slice(quadletDirectory.length + source.length + 2).split("/")
            : [];
          if (name !== undefined && rest !== undefined) found.set(`${source}/${name}` as ApplicationId, new Map());
        }
        for (const [application, files] of found)
          for (const [path, { mode, content }] of machine.files) {
            const own = pathIn(application, path);
            const { place } = own === undefined ? { place: "self" } : placeOf(own);
            if (own === undefined || place === "self") continue;
            if (place === "env" || isUnitText(own) || isWanted(application, own)) files.set(own, { mode, content: Buffer.from(content) });
          }
        return Promise.resolve(found);
      },
      foreign: (isPlaced) => {
        const quadlets = [...machine.files.keys()].filter((path) => /\.(?:container|network|volume)$/.test(path) && !isPlaced(path));
        return Promise.resolve(new Map(quadlets.map((path) => [path.slice(path.lastIndexOf("/") + 1), path])));
      },
      handMade: (unitFile) => {
        const found = [...machine.files].filter(([path]) => path === unitFile || path.startsWith(`${unitFile}.d/`));
        if (!machine.files.has(unitFile)) return Promise.resolve([]);
        return Promise.resolve(
          found
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([path, { mode, content }]) => ({
              ...{ path, mode, target: undefined, text: content, changedAt: new Date(0) },
              digest: fileDigest(mode, Buffer.from(content)),
            })),
        );
      },
      takeAway: (file, backup) => {
        const [copy, now] = [`${backup}:${file.path}`, machine.files.get(file.path)];
        const isSame = now !== undefined && fileDigest(now.mode, Buffer.from(now.content)) === file.digest;
        if (isSame) this.backups.set(copy, now);
        else if (!this.backups.has(copy)) this.violations.push(`take away ${file.path}, which is not as it was`);
        if (isSame && file.as === undefined) machine.files.delete(file.path);
        this.changes.push(`adopt ${file.path}`);
        return Promise.resolve();
      },
      putBack: (file, backup) => {
        const copy = this.backups.get(`${backup}:${file.path}`);
        if (copy !== undefined) machine.files.set(file.path, copy);
        this.#placed.delete(file.path);
        this.#putBack.add(file.path);
        this.changes.push(`give back ${file.path}`);
        return Promise.resolve();
      },
      dryRun: (staged, without) => {
        const root = "/staging/pgo";
        const isLeftOut = (path: string) => without.has(path) || without.has(path.slice(0, path.lastIndexOf("/")).replace(/\.d$/, ""));
        const foreign = [...machine.files].filter(
          ([path]) => path.startsWith(`${searchPath}/`) && !path.startsWith(`${quadletDirectory}/`) && !isLeftOut(path),
        );
        const candidates = [...staged].flatMap(([application, files]) =>
          files
            .filter(({ path }) => ["quadlet", "self"].includes(placeOf(path).place))
            .map(({ path, content }): [string, string] => [
              `${root}/${application}/${placeOf(path).path}`,
              Buffer.from(content).toString(),
            ]),
        );
        const { stdout, stderr } = generate(
          new Map([...foreign.map(([path, { content }]): [string, string] => [path, content]), ...candidates]),
        );
        return Promise.resolve({ stdout, stderr, root });
      },
      verifyUnits: () => Promise.resolve({ ...this.verification, root: "/staging" }),
      missing: (paths) => Promise.resolve(paths.filter((path) => this.absent.has(path))),
      listening: () => Promise.resolve([...this.listening, ...machine.listening()]),
      writable: () => Promise.resolve(this.unwritable),
      freeSpace: () => Promise.resolve(this.free.state),
      exportVolume: (volume, file) => {
        const there = machine.volumes.get(volume);
        if (this.backupTrouble !== undefined) return Promise.resolve(trouble(this.backupTrouble));
        if (there === undefined) return Promise.resolve(trouble(`no such volume ${volume}`));
        if (this.volumeBackups.has(file)) this.violations.push(`write over the backup ${file}`);
        this.volumeBackups.set(file, there.data);
        this.changes.push(`export ${volume}`);
        return Promise.resolve(success({ bytes: there.data.length }));
      },
      importVolume: (volume, file) => {
        const [there, data] = [machine.volumes.get(volume), this.volumeBackups.get(file)];
        if (there === undefined || data === undefined) return Promise.resolve(trouble(`no such volume ${volume}, or no ${file}`));
        there.data += data;
        this.changes.push(`import ${volume}`);
        return Promise.resolve(success(undefined));
      },
      removeBackup: (file) => {
        this.volumeBackups.delete(file);
        return Promise.resolve();
      },
      services: (names) => Promise.resolve(new Map(names.map((name) => [name, this.#state(name)]))),
      reload: () => {
        if (this.reloadTrouble !== undefined) return Promise.reject(new Error(this.reloadTrouble));
        machine.reload();
        this.changes.push("reload");
        return Promise.resolve();
      },
      job: async (verb, service, signal) => {
        this.#touch(verb, service);
        while (this.hangs.has(`${verb} ${service}`)) await this.#clock.sleep(1000, signal);
        if (this.refuses.has(`${verb} ${service}`)) return trouble(`${verb} ${service}: job failed`);
        if (verb === "reload") {
          const unable = machine.refresh(service);
          return unable === undefined ? success(undefined) : trouble(`${verb} ${service}: ${unable}`);
        }
        if (verb === "stop") {
          machine.stop(service);
          return success(undefined);
        }
        const why = verb === "start" ? machine.start(service) : machine.restart(service, verb === "restart alone");
        return why === undefined ? this.#started(verb, service, signal) : trouble(`${verb} ${service}: ${why}`);
      },
      enable: (service) => {
        this.changes.push(`enable ${service}`);
        return Promise.resolve(success(undefined));
      },
      disable: (service) => {
        this.changes.push(`disable ${service}`);
        return Promise.resolve(success(undefined));
      },
      enabled: () => Promise.resolve(new Set()),
      journal: (service) => Promise.resolve(success(this.journals.get(service) ?? [])),
      resetFailed: (service) => {
        machine.resetFailed(service);
        return Promise.resolve();
      },
      memoryLimits: (names) =>
        Promise.resolve(
          new Map(
            names.flatMap((name) => {
              const { memoryMax } = this.used.get(name) ?? {};
              return memoryMax === undefined ? [] : [[name, memoryMax]];
            }),
          ),
        ),
      oomKills: () => Promise.resolve(success(new Map([...this.used].map(([name, { oomKills }]) => [name, oomKills ?? 0])))),
      managerEnvironment: () => Promise.resolve(this.managerEnvironment),
    };
  }

  #state(name: ServiceName): ServiceState {
    const isStopping = ["stop", "restart"].some((verb) => this.hangs.has(`${verb} ${name}`));
    return { ...this.machine.state(name), ...(isStopping ? { active: "deactivating", sub: "stop-sigterm" } : {}) };
  }

  /** Waits for a start that takes its time, as a job does. */
  async #started(verb: string, service: ServiceName, signal: AbortSignal): Promise<Result<void, string>> {
    for (let until = this.machine.starting(service); until !== undefined; until = this.machine.starting(service))
      await this.#clock.sleep(Math.min(until - this.#clock.monotonic(), 3_600_000), signal);
    const { active, result } = this.machine.state(service);
    return active === "failed" && result !== "success" ? trouble(`${verb} ${service}: job failed (${result})`) : success(undefined);
  }

  #signal(service: ServiceName, name: string): Result<void, string> {
    this.#touch(`signal ${name}`, service);
    if (this.refuses.has(`signal ${service}`)) return trouble(`signal ${service}: refused`);
    const unable = this.machine.refresh(service);
    return unable === undefined ? success(undefined) : trouble(`signal ${service}: ${unable}`);
  }

  #touch(verb: string, service: ServiceName): void {
    const { source, fragment } = this.machine.state(service);
    if (fragment !== "" && !source.startsWith(`${quadletDirectory}/`) && !this.#putBack.has(source))
      this.violations.push(`${verb} ${service}, which comes of ${source || fragment}`);
    this.changes.push(`${verb} ${service}`);
  }

  #podman(): Podman {
    const { machine } = this;
    return {
      containers: () => Promise.resolve(machine.containers()),
      exec: () => Promise.resolve(trouble("no program can be run here")),
      address: () => Promise.resolve(undefined),
      logs: () => Promise.resolve([]),
      hasImage: (image) => Promise.resolve(machine.imageOf(image) !== undefined),
      image: (image) => {
        const found = machine.imageOf(image);
        const known = found && { id: found.id, digest: digestOfId(found.id), repoDigests: machine.repoDigests(found.id) };
        return Promise.resolve(known);
      },
      pulls: () => Promise.resolve([]),
      update: (image) => {
        this.looks.push(image);
        if (!this.registryUp) return Promise.resolve(trouble(`pull ${image}: connection refused`));
        return Promise.resolve(this.#fetch(image) ? success(undefined) : trouble(`pull ${image}: manifest unknown`));
      },
      nameImage: (image, { repository, tag }) => {
        const found = machine.imageOf(image);
        if (found === undefined) return Promise.resolve(trouble(`no image ${image}`));
        machine.images.set(`${repository}:${tag}`, found.behaviour);
        machine.ids.set(`${repository}:${tag}`, found.id);
        return Promise.resolve(success(undefined));
      },
      unnameImage: ({ repository, tag }) => {
        machine.images.delete(`${repository}:${tag}`);
        machine.ids.delete(`${repository}:${tag}`);
        return Promise.resolve(success(undefined));
      },
      pull: (image) => {
        if (!this.registryUp) return Promise.resolve(trouble(`pull ${image}: connection refused`));
        if (!this.#fetch(image)) return Promise.resolve(trouble(`pull ${image}: manifest unknown`));
        this.changes.push(`pull ${image}`);
        return Promise.resolve(success(undefined));
      },
      signal: (container, name) => {
        const found = machine.containers().find(({ id }) => id === container);
        return Promise.resolve(found === undefined ? trouble(`no container ${container}`) : this.#signal(found.service, name));
      },
      removeNetwork: (name) => {
        this.changes.push(`remove network ${name}`);
        const why = machine.removeNetwork(name);
        return Promise.resolve(why === undefined ? success(undefined) : trouble(why));
      },
      networks: () => Promise.resolve(new Set(machine.networks.keys())),
      volumes: () => Promise.resolve(new Map([...machine.volumes].map(([name, { createdAt }]) => [name, { createdAt, holdsData: true }]))),
      volumeSizes: () => Promise.resolve(new Map([...machine.volumes].map(([name, { data }]) => [name, data.length]))),
      removeVolume: (name) => {
        const data = machine.volumes.get(name)?.data ?? "";
        this.changes.push(`remove volume ${name}`);
        const why = machine.removeVolume(name);
        if (why === undefined && data !== "" && ![...this.volumeBackups.values()].includes(data))
          this.violations.push(`remove the volume ${name}, of whose data there is no copy`);
        return Promise.resolve(why === undefined ? success(undefined) : trouble(why));
      },
      isImageUsed: (id) => Promise.resolve(machine.containers().some(({ imageId }) => imageId === id)),
      removeImage: (image) => {
        const id = machine.imageOf(image)?.id ?? image;
        machine.images.delete(image);
        machine.ids.delete(image);
        if (![...machine.ids.values()].includes(id)) machine.contents.delete(id);
        this.changes.push(`remove image ${image}`);
        return Promise.resolve(success(undefined));
      },
      stats: () =>
        Promise.resolve(
          new Map(
            machine
              .containers()
              .filter(({ state }) => state === "running")
              .map(({ id, service }) => [
                id,
                { memory: undefined, memoryLimit: undefined, cpuSeconds: undefined, ...this.used.get(service) },
              ]),
          ),
        ),
      version: () => Promise.resolve("5.4.2"),
      storage: () => Promise.resolve({ directory: "/var/lib/containers/storage", free: this.free.podman }),
      secrets: () => Promise.resolve([...this.podmanSecrets].map(([name, { labels, updatedAt }]) => ({ name, labels, updatedAt }))),
      saveSecret: ({ name, value, labels, replace }) => {
        if (this.podmanSecrets.has(name) && !replace) return Promise.resolve(trouble(`save secret ${name}: there is one of that name`));
        const before = this.podmanSecrets.get(name)?.labels["pgo.application"];
        if (this.podmanSecrets.has(name) && before !== labels["pgo.application"]) this.violations.push(`save secret ${name}`);
        this.podmanSecrets.set(name, { value: Buffer.from(value).toString(), labels, updatedAt: this.#clock.now() });
        this.changes.push(`save secret ${name}`);
        return Promise.resolve(success(undefined));
      },
      about: () => Promise.resolve({ hostname: "pi4", arch: "arm64", os: "debian", osVersion: "13", podman: "5.4.2" }),
      removeSecret: (name) => {
        const before = this.podmanSecrets.get(name);
        if (before !== undefined && before.labels["pgo.application"] === undefined) this.violations.push(`remove secret ${name}`);
        this.podmanSecrets.delete(name);
        this.changes.push(`remove secret ${name}`);
        return Promise.resolve(success(undefined));
      },
    };
  }

  /** A probe's address names the service that it asks: `http://web.service/`; a command's container is one of a service, and its last word where it runs on the host. */
  #prober(): Prober {
    return {
      probe: (probe) => {
        const service = (
          probe.kind === "http"
            ? new URL(probe.url).hostname
            : probe.kind === "tcp"
              ? probe.host
              : probe.on === "host"
                ? probe.run.at(-1)
                : this.machine.containers().find(({ id }) => id === probe.container)?.service
        ) as ServiceName;
        const behaviour = this.down.has(service) ? undefined : this.machine.behaviour(service);
        const at = this.#clock.now();
        return Promise.resolve(
          behaviour === "good" || behaviour === "stubborn"
            ? { at, result: "pass" }
            : { at, result: "fail", message: `${service}: ${behaviour === undefined ? "connection refused" : "503"}` },
        );
      },
    };
  }
}

/** Where a file of an application lies. */
function pathOf(application: ApplicationId, file: RelativePath): string {
  const { place, path } = placeOf(file);
  switch (place) {
    case "quadlet":
      return `${quadletDirectory}/${application}/${path}`;
    case "env":
      return `${envDirectory}/${application}/${path}`;
    case "unit":
      return `/etc/systemd/system/${path}`;
    case "secret":
      throw new Error(`${file} is no file`);
    case "self":
      return `${selfDirectory}/${path}`;
  }
}

/** The way back; undefined for a file that is not in the application's directories. */
function pathIn(application: ApplicationId, path: string): RelativePath | undefined {
  const [quadlets, env] = [`${quadletDirectory}/${application}/`, `${envDirectory}/${application}/`];
  if (path.startsWith(quadlets)) return relativePath(path.slice(quadlets.length));
  if (path.startsWith(`${selfDirectory}/`)) return marked("self", path.slice(selfDirectory.length + 1));
  return path.startsWith(env) ? marked("env", path.slice(env.length)) : undefined;
}

/** What a service would run if its application's directory held these files, beside what is not pgo's. */
export function expectedRuns(
  machine: Machine,
  application: ApplicationId,
  files: readonly { readonly path: RelativePath; readonly mode: number; readonly content: Uint8Array }[],
): ReadonlyMap<ServiceName, string> {
  const directory = `${quadletDirectory}/${application}/`;
  const all = new Map([...machine.files].filter(([path]) => pathIn(application, path) === undefined));
  const secrets = new Map(valuesOf(machine.secrets));
  for (const { path, mode, content } of files) {
    const text = Buffer.from(content).toString();
    if (placeOf(path).place === "secret") secrets.set(placeOf(path).path, text);
    else all.set(pathOf(application, path), { mode, content: text });
  }
  const { units } = generate(new Map([...all].map(([path, { content }]) => [path, content])));
  return new Map(
    [...units]
      .filter(([, unit]) => unit.source.startsWith(directory))
      .map(([service, unit]) => [service, unit.kind === "container" ? machine.fingerprint(unit, all, secrets) : unit.text]),
  );
}

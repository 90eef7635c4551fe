/** Every edge of pgo as an interface: what the controller needs of the world. Adapters fulfil them; tests may. */

import type { Adoption, HandMade, OldFile } from "./core/adopt.ts";
import type { Together } from "./core/atomic.ts";
import type { Bundle, BundleFile, Problem, TreeEntry } from "./core/bundle.ts";
import type { Source } from "./core/config.ts";
import type { Event, Happening } from "./core/event.ts";
import type { PortMapping } from "./core/addresses.ts";
import type { Evidence } from "./core/evidence.ts";
import type { HealthChange } from "./core/flapping.ts";
import type { Health, Probe, Sample, UnitHealth } from "./core/health.ts";
import type { Endpoint } from "./core/endpoint.ts";
import type { Answer, Handover, Side } from "./core/handover.ts";
import type { KnownImage, RanImage } from "./core/images.ts";
import type { Healing, StateCopy } from "./core/healing.ts";
import type { Pull } from "./core/pulls.ts";
import type { ApplicationId, Digest, RelativePath, Revision, ServiceName, SourceName } from "./core/names.ts";
import type { Aside, SeenVolume } from "./core/objects.ts";
import type { SealedFiles } from "./core/rendering.ts";
import type { ContainerFigures } from "./core/resources.ts";
import type { Result } from "./core/result.ts";
import type { PulledImage } from "./core/superseded.ts";
import type { Vars } from "./core/substitute.ts";
import type { Waiting } from "./core/schedule.ts";
import type { Cause, Outcome, Rollout, Settled, Target } from "./core/rollout.ts";
import type { UnitStage, UnitVerification } from "./core/unit-verify.ts";

// ---- Git ----

export interface Git {
  /** The commit that the source's branch or tag names now: one `ls-remote`; none for a source at a commit. */
  head(source: Source, signal: AbortSignal): Promise<Result<Revision, GitTrouble>>;
  /**
   * Brings a commit and reads the files below the source's paths; `"newest"`: that which the branch names now, found and brought by one
   * connection where it can be. A source at a tag or a range gets that of its tag now, whatever was asked for. `previous` is what was read
   * last, to tell a rewritten history.
   */
  fetch(
    source: Source,
    revision: Revision | "newest",
    previous: Revision | undefined,
    signal: AbortSignal,
  ): Promise<Result<Snapshot, GitTrouble>>;
}

export interface GitTrouble {
  /** "connect to git.example.com port 22: Connection refused", secrets as ***. */
  readonly reason: string;
  /** Whether waiting may help (network, server), or a person must (credentials, host key, no such branch). */
  readonly transient: boolean;
}

/** A commit's files. */
export interface Snapshot {
  readonly revision: Revision;
  /** By which it was found; undefined for a branch and a commit. */
  readonly tag?: string | undefined;
  readonly author: string;
  readonly subject: string;
  /** The whole message of the commit, then those of the others that are new since `previous`, as far as they are known; for trailers. */
  readonly messages: readonly string[];
  /** When the commit was made, by its committer's clock. */
  readonly committedAt: Date | undefined;
  /** Whether `previous` is known not to be an ancestor; of a branch alone. */
  readonly rewritten: boolean;
  /** By path below the repository's root, only those below the source's paths, and what symbolic links among them lead to. */
  readonly entries: ReadonlyMap<string, TreeEntry>;
}

// ---- The host: files and systemd ----

export interface Host {
  /** All files in an application's directories, pgo's or not, and those of `beside` that are in systemd's (core/placing.ts). */
  placed(
    application: ApplicationId,
    beside: ReadonlySet<RelativePath>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<RelativePath, PlacedFile>>;
  /** Atomically and durably: temporary name, fsync, rename, fsync of the directory; directories that hold 0600 files are 0700. No Podman secret. */
  write(application: ApplicationId, file: BundleFile, signal: AbortSignal): Promise<void>;
  /**
   * Into the file that is there, so that a container which has it mounted alone sees it: durable, but not atomic. A crash leaves a file
   * whose digest is neither the old one's nor the new one's. Where there is none, as `write`.
   */
  overwrite(application: ApplicationId, file: BundleFile, signal: AbortSignal): Promise<void>;
  /**
   * What lies in the directories of a source's applications: units and drop-ins, processed env files, and of the other files those that are
   * wanted, which may be an application's own data. Plain files alone; none of systemd's directory.
   */
  found(
    source: SourceName,
    isWanted: (application: ApplicationId, path: RelativePath) => boolean,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<ApplicationId, ReadonlyMap<RelativePath, FoundFile>>>;
  /** No error if it is gone already; directories that become empty go too. */
  remove(application: ApplicationId, path: RelativePath, signal: AbortSignal): Promise<void>;
  /** Quadlets in Podman's search path, as far as pgo sees it, that pgo did not place, those below its own directory too: path by base name. */
  foreign(isPlaced: (path: string) => boolean, signal: AbortSignal): Promise<ReadonlyMap<string, string>>;
  /**
   * The host's own generator over a staging copy of all that would be live, foreign quadlets included: where one of them comes first, or
   * would be shadowed though pgo can't see it, its SourcePath= is in the output. Those of `without`, by path, and their drop-ins are left out.
   */
  dryRun(staged: ReadonlyMap<ApplicationId, readonly BundleFile[]>, without: ReadonlySet<string>, signal: AbortSignal): Promise<DryRun>;

  /** A unit file that pgo did not place, then the files in its drop-in directory, as far as they are there. */
  handMade(unitFile: string, signal: AbortSignal): Promise<readonly HandMade[]>;
  /**
   * Makes a durable copy in the backup of that name, and removes the file unless one of pgo's goes to its very place. No error if that was
   * done before; throws where the file is not as it was.
   */
  takeAway(file: OldFile, backup: string, signal: AbortSignal): Promise<void>;
  /** Puts the copy where the file was, with its mode. Where there is no copy but the file, it was never taken away. */
  putBack(file: OldFile, backup: string, signal: AbortSignal): Promise<void>;

  /** `systemd-analyze verify` of plain units on the host, over a staging copy of all that would be live. Nothing of the host changes. */
  verifyUnits(stage: UnitStage, signal: AbortSignal): Promise<UnitVerification>;
  /** Which of these absolute paths are not there on the host. Throws where nobody can say. */
  missing(paths: readonly string[], signal: AbortSignal): Promise<readonly string[]>;
  /** What listens in pgo's network namespace, which is the host's. Throws where nobody can say. */
  listening(signal: AbortSignal): Promise<readonly Endpoint[]>;
  /**
   * Why files of so many bytes can't be written below these directories, which need not exist: the file system is read-only or full. Undefined
   * where they can. Throws where nobody can say.
   */
  writable(directories: readonly string[], bytes: number, signal: AbortSignal): Promise<string | undefined>;
  /** Bytes that can still be written below the state directory. */
  freeSpace(signal: AbortSignal): Promise<number>;

  /**
   * Copies a volume's content to a tar file, named below the backups of the state directory: whole and durable when it succeeds. What a
   * container writes meanwhile may be in it or not.
   */
  exportVolume(volume: string, file: string, signal: AbortSignal): Promise<Result<{ readonly bytes: number }, string>>;
  /** Puts such a copy into a volume, which is there and empty. */
  importVolume(volume: string, file: string, signal: AbortSignal): Promise<Result<void, string>>;
  /** No error if it is gone. */
  removeBackup(file: string, signal: AbortSignal): Promise<void>;

  /** The present state of services; each name asked for is in the answer (`load: "not-found"` if systemd has none). */
  services(names: readonly ServiceName[], signal: AbortSignal): Promise<ReadonlyMap<ServiceName, ServiceState>>;
  /** daemon-reload; one at a time. */
  reload(signal: AbortSignal): Promise<void>;
  /** Queues a job and waits for its result. A restart takes along what requires the service; one alone touches nothing else. */
  job(
    verb: "start" | "stop" | "restart" | "restart alone" | "reload",
    service: ServiceName,
    signal: AbortSignal,
  ): Promise<Result<void, string>>;
  /** Makes the links that `[Install]` asks for, and reads the units again (org.freedesktop.systemd1(5), EnableUnitFiles). */
  enable(service: ServiceName, signal: AbortSignal): Promise<Result<void, string>>;
  disable(service: ServiceName, signal: AbortSignal): Promise<Result<void, string>>;
  /** Which of these units are enabled. */
  enabled(names: readonly ServiceName[], signal: AbortSignal): Promise<ReadonlySet<ServiceName>>;
  /** The last lines of a unit's journal on the host, with their times, oldest first; the trouble says why there are none. */
  journal(service: ServiceName, lines: number, signal: AbortSignal): Promise<Result<readonly string[], string>>;
  /** No error if the unit is unknown. */
  resetFailed(service: ServiceName, signal: AbortSignal): Promise<void>;
  /** `MemoryMax=` in bytes, of those that have one. */
  memoryLimits(names: readonly ServiceName[], signal: AbortSignal): Promise<ReadonlyMap<ServiceName, number>>;
  /** How often the kernel has killed processes of services for want of memory since the host was booted, of those where it did. */
  oomKills(signal: AbortSignal): Promise<Result<ReadonlyMap<ServiceName, number>, string>>;
  /** systemd's own environment block, which it gives to every service (systemctl(1), show-environment). */
  managerEnvironment(signal: AbortSignal): Promise<ReadonlyMap<string, string>>;
}

export interface FoundFile {
  readonly mode: number;
  readonly content: Uint8Array;
}

export interface PlacedFile {
  readonly mode: number;
  /** Of mode and content, as in a bundle; of the target for a symlink. */
  readonly digest: Digest;
}

export interface DryRun {
  readonly stdout: string;
  readonly stderr: string;
  /** The staging directory as the output names it; applications lie below it by their id. */
  readonly root: string;
}

export interface ServiceState {
  readonly load: "loaded" | "not-found" | "bad-setting" | "error" | "masked";
  readonly active: "active" | "reloading" | "inactive" | "failed" | "activating" | "deactivating" | "maintenance";
  readonly sub: string;
  /** `success`, or why it failed: `exit-code`, `signal`, `timeout`, `start-limit-hit`, … */
  readonly result: string;
  readonly exitStatus: number;
  /** Differs for each start; empty where systemd has forgotten the unit. */
  readonly invocation: string;
  /** NRestarts=: by systemd itself since the last start by a job. */
  readonly restarts: number;
  /** When it became active, by the present date, though that may have been set since; undefined while it is not. */
  readonly activeSince: Date | undefined;
  /** The unit file and what it was generated from; empty where there is none. */
  readonly fragment: string;
  readonly source: string;
}

// ---- Changes ----

/** Tells what happens on the host when it happens. */
export interface Changes {
  /** Until `signal` is aborted. Comes back by itself when what it listens to went away; never rejects. */
  hear(ears: Ears, signal: AbortSignal): Promise<void>;
}

export interface Ears {
  /** A name that matters to the listener; undefined for all others, which are not told. */
  known(unit: string): ServiceName | undefined;
  /** It may have changed: how, is to be looked at. Undefined: nobody could hear for a while, so that any may have. Must not throw. */
  heard(service: ServiceName | undefined): void;
}

// ---- Podman ----

export interface Podman {
  /** Containers of services, found by their label PODMAN_SYSTEMD_UNIT, running or not. */
  containers(signal: AbortSignal): Promise<readonly ContainerState[]>;
  hasImage(image: string, signal: AbortSignal): Promise<boolean>;
  /**
   * `authFile`: the quadlet's AuthFile=; without it, what `podman login` left on the host. What the network broke off is tried again a few
   * times, and layers that came stay. The trouble says what to do.
   */
  pull(image: string, authFile: string | undefined, signal: AbortSignal): Promise<Result<void, string>>;
  /**
   * Runs a program inside a running container until it ends. Aborting ends the waiting alone: Podman can't end the program, so it is not
   * started once more while it still runs there. The trouble is Podman's refusal; throws where it can't be asked.
   */
  exec(container: string, command: ContainerCommand, signal: AbortSignal): Promise<Result<Executed, string>>;
  /** An address at which the host reaches a container's own ports, on a network of its own or the host's; undefined where there is none. */
  address(container: string, signal: AbortSignal): Promise<string | undefined>;
  /** The last lines that a container has written, both streams, oldest first; none of one that is gone. */
  logs(container: string, lines: number, signal: AbortSignal): Promise<readonly string[]>;
  /** As `pull`, but the registry is asked also where the image is there, for its manifest and configuration; what is new comes. */
  update(image: string, authFile: string | undefined, signal: AbortSignal): Promise<Result<void, string>>;
  /** Pulls and updates that are under way. */
  pulls(signal: AbortSignal): Promise<readonly Pull[]>;
  /** What a name, a reference by digest or an id stands for on the host; undefined where it is not there. */
  image(image: string, signal: AbortSignal): Promise<KnownImage | undefined>;
  /** Gives an image one more name, which keeps it findable and from being pruned. */
  nameImage(image: string, name: ImageName, signal: AbortSignal): Promise<Result<void, string>>;
  /** Takes such a name away; the image stays. No error if it is gone. */
  unnameImage(name: ImageName, signal: AbortSignal): Promise<Result<void, string>>;
  /** To a container's first process: `HUP`. The container goes on, unless that process ends. */
  signal(container: string, name: string, signal: AbortSignal): Promise<Result<void, string>>;
  /** Removes a network that no container uses; no error if it is gone. */
  removeNetwork(name: string, signal: AbortSignal): Promise<Result<void, string>>;
  /** Names of all networks, whoever made them. */
  networks(signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** All volumes by name, whoever made them. */
  volumes(signal: AbortSignal): Promise<ReadonlyMap<string, SeenVolume>>;
  /** Bytes on disk of all volumes that Podman keeps; takes as long as to look at every file in them. */
  volumeSizes(signal: AbortSignal): Promise<ReadonlyMap<string, number>>;
  /** Removes a volume that no container uses, with its data; no error if it is gone. */
  removeVolume(name: string, signal: AbortSignal): Promise<Result<void, string>>;
  /** Takes an image's name away, and the image with its last one; no error if it is gone, and trouble where a container uses it. */
  removeImage(image: string, signal: AbortSignal): Promise<Result<void, string>>;
  /** Whether any container, of a service or not, running or not, was made of an image, or of one that was built on it. */
  isImageUsed(id: string, signal: AbortSignal): Promise<boolean>;
  /** What all containers that run use, by id: one question, which takes some milliseconds for each. */
  stats(signal: AbortSignal): Promise<ReadonlyMap<string, ContainerFigures>>;
  version(signal: AbortSignal): Promise<string>;
  /** Where images and containers are kept, and how many bytes are free there. */
  storage(signal: AbortSignal): Promise<{ readonly directory: string; readonly free: number }>;

  /** All of the host's, also those that pgo did not make. */
  secrets(signal: AbortSignal): Promise<readonly PodmanSecret[]>;
  /**
   * Makes a secret, or with `replace` one in the place of another of that name; containers that run keep the old value until they are
   * made anew. The value is in no trouble.
   */
  saveSecret(secret: NewPodmanSecret, signal: AbortSignal): Promise<Result<void, string>>;
  /** What it knows of the host; takes some 100 ms. */
  about(signal: AbortSignal): Promise<HostFacts>;
  /** No error if it is gone. */
  removeSecret(name: string, signal: AbortSignal): Promise<Result<void, string>>;
}

export interface ImageName {
  readonly repository: string;
  readonly tag: string;
}

export interface PodmanSecret {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly updatedAt: Date;
}

export interface NewPodmanSecret {
  readonly name: string;
  /** 1 to 511,999 bytes. */
  readonly value: Uint8Array;
  readonly labels: Readonly<Record<string, string>>;
  /** Whether one of that name may be there; without it such a one is left alone, and is a trouble. */
  readonly replace: boolean;
}

export interface HostFacts {
  readonly hostname: string;
  /** In Go's words: amd64, arm64. */
  readonly arch: string;
  /** ID and VERSION_ID of the host's os-release. */
  readonly os: string;
  readonly osVersion: string;
  readonly podman: string;
}

export interface ContainerState {
  readonly service: ServiceName;
  readonly id: string;
  readonly image: string;
  readonly imageId: string;
  readonly name: string;
  /** `running`, `exited`, `created`, … */
  readonly state: string;
  /** Of the last run; 0 while it runs for the first time. */
  readonly exitCode: number;
  /** Podman's own health check; undefined where it has none. */
  readonly health: "healthy" | "unhealthy" | "starting" | undefined;
  readonly startedAt: Date | undefined;
  /** What it publishes, with the host's port that Podman chose; of a pod's member what the pod does. */
  readonly ports: readonly PortMapping[];
}

export interface ContainerCommand {
  /** Program and arguments. */
  readonly run: readonly string[];
  /** Undefined: the container's own. */
  readonly user: string | undefined;
  /** Bytes of output that are kept. */
  readonly limit: number;
}

export interface Executed {
  /** 126 and 127 where the program can't be run or is not there, as a shell has it. */
  readonly code: number;
  /** Its beginning, of both streams as they came. */
  readonly output: string;
}

export interface HostCommands {
  /**
   * Runs a program on the host itself until it ends, or is ended: when `signal` is aborted, and at the latest soon after `deadlineMs`, also
   * where pgo is no more. Nothing of it is left. The trouble says why it could not begin; throws where systemd can't be asked.
   */
  runOnHost(command: ContainerCommand, deadlineMs: number, signal: AbortSignal): Promise<Result<Executed, string>>;
}

// ---- Secrets ----

/** Values by name, wherever on the host they stand. */
export interface Secrets {
  snapshot(signal: AbortSignal): Promise<SecretSnapshot>;
  /** Differs when a value may have changed, and after a restart of pgo; costs a few stats and, where systemd's environment counts, one question to it. */
  fingerprint(signal: AbortSignal): Promise<Digest>;
}

export interface SecretSnapshot {
  readonly values: ReadonlyMap<string, string>;
  /** Files that can't be read, and lines that are none: while there are some, a name that is not in `values` may still be somewhere. */
  readonly problems: readonly Problem[];
  /** What works but should be put right: files that others can read. */
  readonly warnings: readonly Problem[];
  /** As `fingerprint` gives it, of these values or of older ones. */
  readonly fingerprint: Digest;
}

/** Decrypts files of Git in memory. */
export interface Decrypter {
  /** The plain content; the trouble fits behind the file's name and holds nothing of it. The path tells the format, as for sops itself. */
  decrypt(file: { readonly path: string; readonly content: Uint8Array }, signal: AbortSignal): Promise<Result<Uint8Array, string>>;
}

/** Contents that others must not see, by digest: what a rollout brought and may have to bring back. */
export interface Sealed {
  /** Durable when it returns; putting the same twice is one. */
  put(content: Uint8Array, signal: AbortSignal): Promise<Digest>;
  /** Undefined where it is not there, or is not what was put. */
  get(digest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /** Removes all others. */
  keep(digests: ReadonlySet<Digest>, signal: AbortSignal): Promise<void>;
}

// ---- Probes ----

export interface Prober {
  /** Never throws but when `signal` is aborted; `timeout` in milliseconds. */
  probe(probe: Probe, timeout: number, signal: AbortSignal): Promise<Sample>;
}

// ---- Another pgo ----

/** pgo hands over to another version of itself (core/handover.ts). */
export interface Handovers {
  /** Of pgo's own quadlet, on the host. */
  readonly directory: string;
  /** The last one, which may be under way; undefined where there never was one. */
  record(): Promise<Handover | undefined>;
  /** pgo's own quadlet and its drop-ins as they lie on the host. */
  present(): Promise<Side["files"]>;
  /** Saves the intention and has the host carry it out, which ends this pgo. */
  begin(record: Handover, signal: AbortSignal): Promise<Result<void, string>>;
  /** The same for one that is saved: nothing where it is being carried out already. */
  pursue(record: Handover, signal: AbortSignal): Promise<Result<void, string>>;
  /** Ends one that can't be carried out: stopped, and not begun by the next boot. For the old pgo, while it runs. */
  abandon(because: string, signal: AbortSignal): Promise<void>;
  /** What a pgo on trial says of itself. */
  answer(answer: Answer): Promise<void>;
  /** Takes away what carried it out; false while that still runs. */
  clear(signal: AbortSignal): Promise<boolean>;
}

/** What a handover leaves on disk, for what carries it out (controller/carry.ts). */
export interface HandoverFiles {
  /** Undefined where none was ever begun. Throws where there is something else in its place. */
  read(): Promise<Handover | undefined>;
  save(record: Handover): Promise<void>;
  answer(): Promise<Answer | undefined>;
  saveAnswer(answer: Answer): Promise<void>;
  /** A copy of a database that nobody has open, its write-ahead log with it; whole when this returns. */
  copyDatabase(database: string): Promise<void>;
  /** Puts the copy in the database's place, which nobody has open. Safe to do twice. */
  restoreDatabase(database: string): Promise<void>;
  /** No error where there is none. */
  forgetCopy(): Promise<void>;
  /** Writes one version's quadlet, and removes what only the other one has. */
  place(directory: string, side: Side, other: Side): Promise<void>;
}

// ---- State ----

/** Every method is one short synchronous transaction; `atomically` makes one of several. */
export interface Store {
  atomically<Value>(work: () => Value): Value;

  sources(): readonly SourceRecord[];
  source(name: SourceName): SourceRecord | undefined;
  /** Where nothing but `checkedAt` is new, the database is told at the end, or ten minutes later: an idle poll writes nothing. */
  saveSource(record: SourceRecord): void;
  /** Forgets a source that is no longer configured; its applications have gone before. */
  forgetSource(name: SourceName): void;
  /** Whether a person wants all of a source, whatever applications it has, left in peace. */
  suspension(name: SourceName): Suspension | undefined;
  saveSuspension(name: SourceName, suspension: Suspension | undefined): void;

  applications(): readonly ApplicationRecord[];
  application(id: ApplicationId): ApplicationRecord | undefined;
  saveApplication(record: ApplicationRecord): void;
  forgetApplication(id: ApplicationId): void;

  /** Bundles as Git had them; saving one twice is one. */
  saveBundle(bundle: StoredBundle): void;
  bundle(digest: Digest): StoredBundle | undefined;
  /** What ran of a saved bundle's images, by the files that name them: what was noted last for each. */
  ranImages(digest: Digest): ReadonlyMap<RelativePath, RanImage>;
  saveRanImages(digest: Digest, images: ReadonlyMap<RelativePath, RanImage>): void;
  /** What names of images in an application have moved to, by the name as Git has it. */
  movedImages(application: ApplicationId): ReadonlyMap<string, RanImage>;
  saveMovedImages(application: ApplicationId, images: ReadonlyMap<string, RanImage>): void;

  /** Images that pgo pulled, by name and id, oldest first. */
  pulledImages(): readonly PulledImage[];
  savePulledImage(image: PulledImage): void;
  forgetPulledImage(image: Pick<PulledImage, "name" | "id">): void;
  /** Saved bundles but those that only a backup keeps; `good`: so many last good ones of each application. */
  versions(good: number): readonly Digest[];

  /** Whether some saved bundle has a `.liquid` file. */
  usesTemplates(): boolean;
  /** Sealed contents that some saved bundle needs. */
  sealedInUse(): ReadonlySet<Digest>;

  quarantined(application: ApplicationId): readonly Quarantine[];
  quarantine(entry: Quarantine): void;
  release(application: ApplicationId): void;

  /** What pgo placed, or is about to place: only that may it remove. */
  inventory(application: ApplicationId): ReadonlyMap<RelativePath, Digest>;
  saveInventory(application: ApplicationId, files: ReadonlyMap<RelativePath, Digest>): void;

  /** Whether a file was changed that systemd has not read yet. */
  reloadPending(): boolean;
  setReloadPending(pending: boolean): void;

  /** Units of a person's that are being taken over, until the rollout has come to an end. */
  adoptions(application: ApplicationId): readonly Adoption[];
  saveAdoption(application: ApplicationId, adoption: Adoption): void;
  forgetAdoptions(application: ApplicationId): void;

  /** Answers its id. */
  addBackup(backup: Omit<BackupRecord, "id">): number;
  /** Newest first. */
  backups(): readonly BackupRecord[];
  forgetBackup(id: number): void;
  /** Answers its id, of the same count as volumes' backups. */
  addVersionBackup(backup: Omit<VersionBackup, "id">): number;
  /** Newest first. */
  versionBackups(): readonly VersionBackup[];
  /** Those that a rollout may have to bring back. */
  backupsNeeded(): ReadonlySet<number>;
  /** Data that rollouts have put aside, by volume, until they have come to an end. */
  asides(application: ApplicationId): ReadonlyMap<string, Aside>;
  saveAside(application: ApplicationId, aside: Aside): void;
  forgetAsides(application: ApplicationId): void;

  started(application: ApplicationId): ReadonlyMap<ServiceName, Started>;
  saveStarted(application: ApplicationId, service: ServiceName, started: Started): void;
  forgetStarted(service: ServiceName): void;
  /** Restarts that drift repair made of a service since then. */
  repairsBetween(service: ServiceName, since: Date, until: Date): number;
  countRepair(service: ServiceName, at: Date): void;

  /** A new deployment with no outcome yet; answers its id. */
  beginDeployment(deployment: NewDeployment): number;
  addStep(deployment: number, step: StepRecord): void;
  /** What was found where it failed; takes the place of what was saved before. */
  saveEvidence(deployment: number, evidence: readonly Evidence[]): void;
  /** Rows of the containers table for a deployment. */
  saveContainers(deployment: number, containers: readonly ContainerRow[]): void;
  finishDeployment(settled: Settled): void;
  /** Newest first. */
  deployments(filter: { readonly application?: ApplicationId; readonly limit: number }): readonly DeploymentRecord[];
  deployment(id: number): DeploymentRecord | undefined;

  rollouts(): readonly Rollout[];
  saveRollout(rollout: Rollout): void;
  endRollout(application: ApplicationId): void;

  /** Revisions of sources with `atomic = "source"`, under way. */
  together(): readonly Together[];
  saveTogether(together: Together): void;
  endTogether(source: SourceName): void;

  saveHealth(application: ApplicationId, health: readonly UnitHealth[], at: Date): void;
  health(application: ApplicationId): readonly UnitHealth[];
  /** When units became what since then: the last hundred of each, in their order. */
  healthChanges(application: ApplicationId, since: Date): readonly HealthChange[];

  addEvent(event: Event): void;
  /** Newest first. */
  events(filter: { readonly limit: number; readonly after?: number }): readonly EventRow[];

  /** Drops what the settings no longer keep; never a bundle that is a last good or part of a rollout. */
  trim(keep: { readonly deployments: number; readonly days: number; readonly good: number }, now: Date): void;
  /** The newest time that is written down; undefined in a new database. */
  newest(): Date | undefined;
  /** That it can be written; throws if not. */
  check(): void;
  /** Bytes of the database with its log. */
  size(): number;
  /**
   * Makes one more copy of the database, whole and durable, and removes old ones; undefined where none are kept. Others may read and write meanwhile.
   * Throws where it can't be made.
   */
  copy(at: Date): Promise<StateCopy | undefined>;
  /** The same to a path, in a directory that is made where it is missing. */
  copyTo(path: string): Promise<void>;
  /** Newest first. */
  copies(): readonly StateCopy[];
  /** Of the last damage; undefined where there never was one. */
  healing(): Healing | undefined;
  saveHealing(healing: Healing): void;
}

export interface SourceRecord {
  readonly name: SourceName;
  /** The revision that a pass has wholly dealt with. */
  readonly revision: Revision | undefined;
  /** By which that revision was found. */
  readonly tag: string | undefined;
  readonly checkedAt: Date | undefined;
  readonly state: "ok" | "failed";
  readonly message: string | undefined;
  /** Passes in a row that failed, for the backoff. */
  readonly failures: number;
}

export interface ApplicationRecord {
  readonly id: ApplicationId;
  /** Of the last good bundle; undefined until there is one. */
  readonly revision: Revision | undefined;
  readonly lastGood: Digest | undefined;
  /** What Git wants, by the last pass that looked. */
  readonly desired: { readonly revision: Revision; readonly digest: Digest | undefined } | undefined;
  readonly outcome: Outcome;
  readonly since: Date;
  /** One line for people: why it was rejected or held, what failed. */
  readonly message: string | undefined;
  readonly health: Health;
  /** Set while it is held: why, and when it is looked at again. */
  readonly held: { readonly why: string; readonly until: Date | undefined; readonly tries: number } | undefined;
  readonly suspended: Suspension | undefined;
  /** `rollback --to`: stays on its last good until a commit brings a bundle other than this one. */
  readonly pinnedAgainst: Digest | undefined;
  /** Of what Git wants: since when this host knows it. Undefined where it has not been seen at a time that could be right. */
  readonly seen: Sighting | undefined;
}

export interface Suspension {
  /** Undefined: until resumed. */
  readonly until: Date | undefined;
}

/** Content that this host has seen in Git. */
export interface Sighting extends Waiting {
  readonly content: Target;
  /** Whether a commit's trailer says that it can't wait. */
  readonly urgent: boolean;
}

/** A bundle's source: what Git had, to make the bundle again from. */
export interface StoredBundle {
  readonly digest: Digest;
  readonly application: ApplicationId;
  readonly revision: Revision;
  /** Where the files lay in Git, below its root, for messages. */
  readonly entries: ReadonlyMap<RelativePath, TreeEntry>;
  /** What it was rendered with: no secret is a variable. */
  readonly vars: Vars;
  /** Its processed env files, whose contents are among the sealed ones. */
  readonly sealed: SealedFiles;
  /** Images that are held, by the file that names them: their references by digest. */
  readonly pins: ReadonlyMap<RelativePath, string>;
}

export interface Quarantine {
  readonly application: ApplicationId;
  readonly digest: Digest;
  readonly reason: string;
  readonly since: Date;
}

/** What a service was started from, and which start that was. */
export interface Started {
  readonly digest: Digest;
  readonly inputs: Bundle["units"][number]["inputs"];
  readonly invocation: string;
}

/** A volume's data. */
export interface BackupRecord {
  readonly id: number;
  /** Undefined where the history has forgotten it. */
  readonly deployment: number | undefined;
  readonly application: ApplicationId;
  readonly volume: string;
  /** Below the backups of the state directory. */
  readonly file: string;
  readonly bytes: number;
  readonly at: Date;
}

/** An application as it was before a rollout: a saved bundle, which is kept as long as this is. */
export interface VersionBackup {
  readonly id: number;
  /** The rollout that it was made for; undefined where the history has forgotten it. */
  readonly deployment: number | undefined;
  readonly application: ApplicationId;
  readonly bundle: Digest;
  /** Files that were not as the last good version had them, for people. */
  readonly changed: readonly string[];
  readonly at: Date;
}

/** Everything of pgo's in one file. */
export interface Archives {
  /** Writes one into the backups of the state directory, whole and durable, and removes old ones. `copyDatabase` makes a copy at a path. */
  create(at: Date, copyDatabase: (path: string) => Promise<void>): Promise<{ readonly path: string; readonly bytes: number }>;
}

export interface NewDeployment {
  readonly application: ApplicationId;
  readonly ref: string;
  readonly revision: Revision;
  readonly author: string;
  readonly subject: string;
  readonly cause: Cause;
  readonly goal: Target;
  readonly startedAt: Date;
  readonly reasons: readonly string[];
}

export interface StepRecord {
  readonly kind: string;
  readonly target: string;
  readonly because: string;
  readonly ms: number;
  readonly error: string | null;
}

export interface ContainerRow {
  readonly service: ServiceName;
  readonly quadlet: string;
  readonly imageId: string;
  readonly status: string;
  readonly health: Health;
}

export interface DeploymentRecord extends NewDeployment {
  readonly id: number;
  readonly finishedAt: Date | undefined;
  readonly outcome: Settled["outcome"] | undefined;
  readonly description: string;
  readonly steps: readonly StepRecord[];
  /** Of a rollout that failed; empty where it did not. */
  readonly evidence: readonly Evidence[];
}

export interface EventRow {
  readonly id: number;
  readonly deployment: number | undefined;
  readonly at: Date;
  readonly type: string;
  readonly message: string;
}

// ---- Journal, clock ----

/** The one place that tells: log, events table, metrics. Never throws. */
export interface Journal {
  tell(event: Happening): void;
}

export interface Clock {
  now(): Date;
  /** Milliseconds that only go forward. */
  monotonic(): number;
  /** Rejects with the signal's reason when it is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** From 0 (included) to 1 (excluded), for jitter. */
  chance(): number;
}

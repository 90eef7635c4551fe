/** Stories: what may befall a host, its Git repository and pgo itself, one thing after another. */

import fc from "fast-check";

import type { Fault, FaultKind } from "../fakes/faults.ts";
import { quadletDirectory } from "../fakes/world.ts";
import { id, minute, type Pgo } from "./pgo.ts";

export interface Container {
  readonly image: string;
  /** Needs the application's other container, if that stays up. */
  readonly needsOther: boolean;
  /** Joins its application's network, and the one of the application `base`. */
  readonly network: boolean;
  readonly shared: boolean;
  readonly checkedBy: "process" | "podman" | "probe";
  readonly notify: boolean;
  readonly restart: boolean;
  readonly oneshot: boolean;
  readonly wanted: boolean;
  readonly dropIn: string | undefined;
  readonly conf: string | undefined;
  /** Its configuration is mounted as a single file. */
  readonly single: boolean;
  /** What is done when that changes. */
  readonly reaction: "reload" | "signal:HUP" | undefined;
  readonly env: string | undefined;
  readonly comment: boolean;
  /** A Podman secret that its application brings: of the host's value, or of a file of this content. */
  readonly secret: "host" | "1" | "2" | undefined;
}

export interface Application {
  readonly web: Container | undefined;
  readonly db: Container | undefined;
  /** A unit that may be of one application now and of another later. */
  readonly wanderer: boolean;
  /** Its web goes when all else of it is known to be well. */
  readonly phased: boolean;
  readonly flaw: "unparsable" | "unknown key" | "missing network" | "settings" | "foreign" | undefined;
}

export type Tree = Readonly<Partial<Record<"base" | "shop" | "blog", Application>>>;

export type Incident =
  | { readonly kind: "commit"; readonly tree: Tree; readonly rewritten: boolean }
  | { readonly kind: "wait"; readonly minutes: number }
  | { readonly kind: "fault"; readonly fault: Fault }
  | { readonly kind: "edit" | "delete" | "stop" | "kill" | "lose"; readonly pick: number }
  | { readonly kind: "secret"; readonly pick: number }
  | { readonly kind: "host is away" | "host is back" }
  | { readonly kind: "reboot" | "git fails" | "git works" | "registry fails" | "registry works" | "pgo is killed" }
  | { readonly kind: "suspend" | "resume" | "rollback" | "retry" | "sync"; readonly application: "base" | "shop" | "blog" };

// ---- what is committed ----

export function filesOf(tree: Tree): Readonly<Record<string, string>> {
  return Object.assign({}, ...Object.entries(tree).map(([name, application]) => applicationFiles(name, application))) as Record<
    string,
    string
  >;
}

/** What pgo.toml and Git say of one application; none where it has no unit. */
export function applicationFiles(name: string, { web, db, wanderer, phased, flaw }: Application): Readonly<Record<string, string>> {
  const files: Record<string, string> = {};
  const units = Object.entries({ web, db }).flatMap(([unit, made]) => (made === undefined ? [] : [[`${name}-${unit}`, made] as const]));
  const needed = db?.oneshot === false ? `${name}-db.service` : undefined;
  for (const [unit, made] of units) Object.assign(files, containerFiles(name, unit, made, made === web ? needed : undefined));
  if (units.some(([, made]) => made.network)) files[`${name}/${name}.network`] = "[Network]\n";
  if (name === "base") files["base/shared.network"] = "[Network]\n";
  if (wanderer) {
    files[`${name}/wanderer.container`] =
      "[Container]\nImage=localhost/good:1\nNetwork=wide.network\nEnvironmentFile=wanderer.env\nSecret=wanderer\n";
    files[`${name}/wanderer.key`] = "key";
    files[`${name}/wanderer.env`] = "A=1\n";
    files[`${name}/wide.network`] = "[Network]\n";
  }
  const probes = units.filter(([, made]) => made.checkedBy === "probe");
  const reactions = units.filter(([, made]) => made.reaction !== undefined);
  const secrets = [
    ...units.flatMap(([unit, { secret }]) => (secret === undefined ? [] : [[unit, secret] as const])),
    ...(wanderer ? [["wanderer", "key"] as const] : []),
  ];
  const later = phased && web !== undefined ? [`[unit.${name}-web]\nphase = 2\n`] : [];
  if (probes.length > 0 || reactions.length > 0 || secrets.length > 0 || later.length > 0)
    files[`${name}/pgo.toml`] = [
      "[secrets.podman]\n",
      ...secrets.map(([unit, secret]) => `${unit} = ${secret === "host" ? '{ env = "VALUE" }' : `{ file = "${unit}.key" }`}\n`),
      "[on_change]\n",
      ...reactions.map(([unit, made]) => `${unit} = "${made.reaction ?? ""}"\n`),
      ...later,
      ...probes.map(([unit]) => `[health.${unit}]\nhttp = { url = "http://${unit}.service/" }\n`),
    ].join("");
  switch (flaw) {
    case "unparsable":
      files[`${name}/${name}-bad.container`] = "[Container]\nImage=localhost/good:1\nnonsense\n";
      break;
    case "unknown key":
      files[`${name}/${name}-bad.container`] = "[Container]\nImage=localhost/good:1\nPublishPorts=80\n";
      break;
    case "missing network":
      files[`${name}/${name}-bad.container`] = "[Container]\nImage=localhost/good:1\nNetwork=nowhere.network\n";
      break;
    case "settings":
      files[`${name}/pgo.toml`] = "[health]\nnonsense = 1\n";
      break;
    case "foreign":
      files[`${name}/ssh.container`] = "[Container]\nImage=localhost/good:1\n";
      break;
    case undefined:
  }
  // A directory without a unit is no application.
  return Object.keys(files).some((path) => /\.(?:container|network)$/.test(path)) ? files : {};
}

function containerFiles(application: string, unit: string, made: Container, needed: string | undefined): Readonly<Record<string, string>> {
  const keys = [
    `Image=${made.image}`,
    ...(made.network ? [`Network=${application}.network`] : []),
    ...(made.shared ? ["Network=shared.network"] : []),
    ...(made.checkedBy === "podman" ? ["HealthCmd=true"] : []),
    ...(made.notify && made.checkedBy === "podman" ? ["Notify=healthy"] : []),
    ...(made.conf === undefined ? [] : [made.single ? `Volume=./${unit}/site.conf:/site.conf:ro` : `Volume=./${unit}:/conf:ro`]),
    ...(made.env === undefined ? [] : [`EnvironmentFile=${unit}.env`]),
    ...(made.secret === undefined ? [] : [`Secret=${unit},type=env`]),
  ];
  const own = [
    ...(made.reaction === "reload" ? ["ExecReload=/bin/true"] : []),
    ...(made.oneshot ? ["Type=oneshot"] : []),
    ...(made.restart && !made.oneshot ? ["Restart=on-failure"] : []),
  ];
  const text = [
    ...(made.comment ? ["# a comment", "[Unit]", "Description=x"] : []),
    ...(made.needsOther && needed !== undefined ? ["[Unit]", `Requires=${needed}`, `After=${needed}`] : []),
    "[Container]",
    ...keys,
    ...(own.length > 0 ? ["[Service]", ...own] : []),
    ...(made.wanted ? ["[Install]", "WantedBy=default.target"] : []),
  ];
  return {
    [`${application}/${unit}.container`]: `${text.join("\n")}\n`,
    ...(made.conf === undefined
      ? {}
      : { [`${application}/${unit}/site.conf`]: made.conf, [`${application}/${unit}/${made.conf}.conf`]: "x" }),
    ...(made.secret === undefined || made.secret === "host" ? {} : { [`${application}/${unit}.key`]: made.secret }),
    ...(made.env === undefined ? {} : { [`${application}/${unit}.env`]: `A=${made.env}\n` }),
    ...(made.dropIn === undefined ? {} : { [`${application}/${unit}.container.d/10.conf`]: `[Container]\nLabel=x=${made.dropIn}\n` }),
  };
}

const version = fc.option(fc.constantFrom("1", "2"), { nil: undefined });

const soundImages = ["localhost/good:1", "localhost/good:2", "localhost/stubborn:1", "registry.example.com/far:1"];
const badImages = ["localhost/sick:1", "localhost/crash:1", "localhost/none:1", "localhost/job:1"];

/** `images`: an image is good for as often as it is listed. */
function container(images: readonly string[]): fc.Arbitrary<Container> {
  return fc.record({
    image: fc.constantFrom(...images),
    needsOther: fc.boolean(),
    network: fc.boolean(),
    shared: fc.constantFrom(false, false, false, true),
    checkedBy: fc.constantFrom("process", "podman", "probe"),
    notify: fc.boolean(),
    restart: fc.boolean(),
    oneshot: fc.constant(false),
    wanted: fc.boolean(),
    dropIn: version,
    conf: version,
    single: fc.boolean(),
    reaction: fc.constantFrom(undefined, undefined, "reload", "signal:HUP"),
    env: version,
    comment: fc.boolean(),
    secret: fc.constantFrom(undefined, undefined, "host", "1", "2"),
  });
}

const job: fc.Arbitrary<Container> = container(["localhost/job:1", "localhost/job:1", "localhost/crash:1"]).map((made) => ({
  ...made,
  checkedBy: "process",
  oneshot: true,
}));

function application(images: readonly string[], flawed: boolean): fc.Arbitrary<Application> {
  return fc.record({
    web: fc.option(container(images), { nil: undefined, freq: 8 }),
    db: fc.option(fc.oneof({ weight: 3, arbitrary: container(images) }, { weight: flawed ? 1 : 0, arbitrary: job }), { nil: undefined }),
    wanderer: fc.constant(false),
    phased: fc.boolean(),
    flaw: flawed
      ? fc.constantFrom("unparsable", "unknown key", "missing network", "settings", "foreign", ...Array<undefined>(20).fill(undefined))
      : fc.constant(undefined),
  });
}

function tree(images: readonly string[], flawed: boolean): fc.Arbitrary<Tree> {
  const one = application(images, flawed);
  const apps = fc.record({ base: one, shop: one, blog: one }, { requiredKeys: flawed ? [] : ["base", "shop", "blog"] });
  return fc.tuple(apps, fc.constantFrom(undefined, "shop", "blog")).map(([made, home]) => {
    const found = home === undefined ? undefined : made[home];
    return home === undefined || found === undefined ? made : { ...made, [home]: { ...found, wanderer: true } };
  });
}

/** Any commit, most of it sound. */
export const anyTree = tree([...soundImages, ...soundImages, ...badImages], true);

/** A commit that nothing speaks against, and that is new whatever was there before. */
export const soundTree: fc.Arbitrary<Tree> = tree(soundImages, false).map((made) =>
  Object.fromEntries(Object.entries(made).map(([name, one]) => [name, { ...one, web: { ...(one.web ?? plain), env: "final" } }])),
);

const plain: Container = {
  image: "localhost/good:3",
  ...{
    needsOther: false,
    network: false,
    shared: false,
    checkedBy: "process",
    notify: false,
    restart: false,
    oneshot: false,
    wanted: false,
  },
  ...{ dropIn: undefined, conf: undefined, single: false, reaction: undefined, env: undefined, comment: false, secret: undefined },
};

// ---- what happens ----

const faultKind = fc.constantFrom<FaultKind[]>("throws", "loses the answer", "answers with trouble", "killed before", "killed after");

const times = fc.constantFrom(1, 1, 2, 4);

const fault: fc.Arbitrary<Fault> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: faultKind, among: fc.constant("host"), after: fc.nat({ max: 20 }), times }) },
  { weight: 3, arbitrary: fc.record({ kind: faultKind, among: fc.constant("changes"), after: fc.nat({ max: 40 }), times }) },
  { weight: 1, arbitrary: fc.record({ kind: faultKind, among: fc.constant("all"), after: fc.nat({ max: 200 }), times }) },
);

const application_ = fc.constantFrom("base", "shop", "blog");

const incident: fc.Arbitrary<Incident> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("commit"), tree: anyTree, rewritten: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("wait"), minutes: fc.constantFrom(5, 20, 90) }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("fault"), fault }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("edit", "delete", "stop", "kill", "lose"), pick: fc.nat({ max: 30 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("secret"), pick: fc.nat({ max: 30 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        "reboot",
        "git fails",
        "git works",
        "registry fails",
        "registry works",
        "host is away",
        "host is back",
        "pgo is killed",
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom("suspend", "resume", "rollback", "retry", "sync"), application: application_ }),
  },
);

/** A commit that meets faults as it is rolled out, and what comes of it. */
const attempt: fc.Arbitrary<readonly Incident[]> = fc
  .tuple(fc.array(fault, { minLength: 1, maxLength: 3 }), anyTree, fc.array(incident, { maxLength: 2 }))
  .map(([faults, made, more]) => [
    ...faults.map((one): Incident => ({ kind: "fault", fault: one })),
    { kind: "commit", tree: made, rewritten: false },
    ...more,
  ]);

/** Anything, or one attempt after another on a host where all was well. */
export const story: fc.Arbitrary<readonly Incident[]> = fc.oneof(
  fc.array(incident, { minLength: 2, maxLength: 12 }),
  fc
    .tuple(soundTree, fc.array(attempt, { minLength: 1, maxLength: 3 }))
    .map(([first, attempts]) => [{ kind: "commit", tree: first, rewritten: false } as const, ...attempts.flat()]),
);

/** Lets it happen, and a minute go by; faults wait for what comes next. */
export async function happen(pgo: Pgo, one: Incident): Promise<void> {
  const { world } = pgo;
  const { machine } = world;
  switch (one.kind) {
    case "commit":
      world.commit(filesOf(one.tree), { rewritten: one.rewritten });
      break;
    case "wait":
      await pgo.pass(one.minutes * minute);
      break;
    case "fault":
      pgo.faults.add(one.fault);
      return;
    case "edit":
    case "delete": {
      const own = [...machine.files.keys()].filter((path) => path.startsWith(`${quadletDirectory}/`)).sort();
      const path = own[one.pick % Math.max(own.length, 1)];
      if (path !== undefined) world.edit(path, one.kind === "delete" ? undefined : "[Container]\nImage=localhost/good:3\nLabel=by=hand\n");
      break;
    }
    case "stop":
    case "kill": {
      const running = [...machine.visible()].sort();
      const service = running[one.pick % Math.max(running.length, 1)];
      if (service !== undefined) machine[one.kind](service);
      break;
    }
    case "secret": {
      // A person gives another value, or removes one of pgo's from Podman.
      pgo.secretValues.set("VALUE", String(one.pick % 2));
      const own = [...world.podmanSecrets.keys()].sort();
      const name = own[one.pick % Math.max(own.length, 1)];
      if (name !== undefined && one.pick > 15) world.podmanSecrets.delete(name);
      break;
    }
    case "lose": {
      const networks = [...machine.networks.keys()].sort();
      const network = networks[one.pick % Math.max(networks.length, 1)];
      if (network !== undefined) machine.lose("networks", network);
      break;
    }
    case "reboot":
      pgo.kill();
      machine.reboot();
      break;
    case "git fails":
      world.gitTrouble = { reason: "connection refused", transient: true };
      break;
    case "git works":
      world.gitTrouble = undefined;
      break;
    case "registry fails":
    case "registry works":
      world.registryUp = one.kind === "registry works";
      break;
    case "host is away":
    case "host is back":
      world.away = one.kind === "host is away" ? "connection refused" : undefined;
      break;
    case "pgo is killed":
      pgo.kill();
      break;
    case "suspend":
    case "resume":
    case "rollback":
    case "retry":
    case "sync":
      ask(pgo, one.kind, one.application);
  }
  await pgo.pass(minute);
}

/** A person's command; what it answers is for other tests. */
function ask(pgo: Pgo, command: "suspend" | "resume" | "rollback" | "retry" | "sync", application: string): void {
  if (!pgo.running || pgo.store.application(id(application)) === undefined) return;
  const { commands } = pgo;
  const never = new AbortController().signal;
  try {
    if (command === "suspend") commands.suspend(application, 30 * minute);
    else if (command === "resume") commands.resume(application);
    else if (command === "rollback") commands.rollback(application, undefined, never).catch(() => undefined);
    else if (command === "retry") commands.retry(application, never).catch(() => undefined);
    else commands.sync(application, false, never).catch(() => undefined);
  } catch {
    // A fault may befall a command too; then it is not done.
  }
}

/** Nothing fails any more. */
export async function calm(pgo: Pgo): Promise<void> {
  pgo.faults.clear();
  pgo.world.gitTrouble = undefined;
  pgo.world.registryUp = true;
  pgo.world.away = undefined;
  if (!pgo.running) pgo.start();
  for (const { id: application } of pgo.store.applications()) pgo.commands.resume(application);
  await pgo.pass(12 * minute);
}

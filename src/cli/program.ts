/** The whole program's command line: words to actions, wrong words to exit code 2. What the actions do is the roof's. */

import { Command, CommanderError, InvalidArgumentError, Option } from "commander";

import { milliseconds } from "../core/duration.ts";
import { exit, type CtlCommand, type Terminal } from "./ctl.ts";
import { validationFormats, type ValidationFormat } from "./render-validation.ts";
import type { SecretCommand } from "./secret.ts";

export interface BootstrapOptions {
  /** None: the example repository that the image carries. */
  readonly repository: string | undefined;
  readonly branch: string | undefined;
  readonly paths: readonly string[];
  readonly sshKey: string | undefined;
  readonly knownHosts: string | undefined;
  readonly image: string | undefined;
}

export interface ValidateOptions {
  readonly directory: string;
  /** As in pgo.toml; none: the directory itself. */
  readonly paths: readonly string[];
  /** Undefined: by the remote's URL, or by the directory's name. */
  readonly source: string | undefined;
  /** Undefined: annotations in a GitHub workflow, else text. */
  readonly format: ValidationFormat | undefined;
  readonly rootless: boolean;
  /** Undefined: the usual places. */
  readonly generator: string | undefined;
  readonly strict: boolean;
}

/** What can be done; each answers the exit code. */
export interface Actions {
  run(signal: AbortSignal): Promise<number>;
  healthcheck(signal: AbortSignal): Promise<number>;
  bootstrap(options: BootstrapOptions, signal: AbortSignal): Promise<number>;
  uninstall(options: { readonly keepRunning: boolean }, signal: AbortSignal): Promise<number>;
  /** `state`: the state directory, which holds the handover's record. */
  handover(options: { readonly state: string }, signal: AbortSignal): Promise<number>;
  /** `file`: a backup of all of pgo's state. */
  restoreBackup(options: { readonly file: string }, signal: AbortSignal): Promise<number>;
  validate(options: ValidateOptions, signal: AbortSignal): Promise<number>;
  configCheck(signal: AbortSignal): Promise<number>;
  configDirectories(signal: AbortSignal): Promise<number>;
  /** `output`: a file to write, never over one that is there; undefined: print it. */
  configInit(options: { readonly output: string | undefined }, signal: AbortSignal): Promise<number>;
  /** `socket`: another control socket than the usual one. */
  ctl(command: CtlCommand, options: { readonly socket: string | undefined }, signal: AbortSignal): Promise<number>;
  secret(command: SecretCommand, signal: AbortSignal): Promise<number>;
}

export interface Invocation {
  /** The name that it was called by, `pgo` or `ctl`: the last part of argv[1]. */
  readonly name: string;
  /** What stands behind the name. */
  readonly words: readonly string[];
  readonly version: string;
}

/** 128 + SIGINT, as shells have it. */
const interrupted = 130;

/** Parses and runs; answers the exit code. Throws what an action throws, unless `signal` is aborted. */
export async function runProgram(
  invocation: Invocation,
  edge: { readonly actions: Actions; readonly terminal: Terminal },
  signal: AbortSignal,
): Promise<number> {
  const { terminal } = edge;
  let code: number = exit.done;
  const run = async (action: Promise<number>): Promise<void> => {
    code = await action;
  };
  const program = buildProgram(invocation, edge.actions, run, signal);
  configure(program, terminal);
  try {
    await program.parseAsync([...invocation.words], { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exit.done : exit.usage;
    if (signal.aborted) return interrupted;
    throw error;
  }
}

type Run = (action: Promise<number>) => Promise<void>;

function buildProgram({ name, version }: Invocation, actions: Actions, run: Run, signal: AbortSignal): Command {
  if (name === "ctl") return addCtl(new Command("ctl"), actions, run, signal);
  const program = new Command("pgo")
    .description("Makes this Podman host run what a Git repository says, proves that it works, and goes back by itself when it does not.")
    .version(`pgo ${version}`, "--version", "print the version")
    .helpOption("-h, --help", "explain a command")
    .helpCommand(false)
    .addHelpText("after", "\nOn a host where pgo runs as a container: podman exec pgo ctl status");

  program
    .command("run")
    .description("the daemon: watch the sources of pgo.toml and apply them (pgo.service does this)")
    .action(() => run(actions.run(signal)));
  program
    .command("handover", { hidden: true })
    .argument("<state>")
    .action((state: string) => run(actions.handover({ state }, signal)));
  program
    .command("healthcheck", { hidden: true })
    .description("whether the daemon is alive: the health command of pgo's own quadlet")
    .action(() => run(actions.healthcheck(signal)));
  program
    .command("bootstrap")
    .description("put pgo on this host as a service of its own, and let it deploy a repository")
    .argument("[repository]", "what git clone takes; without it, an example is deployed")
    .option("--branch <name>", "branch to follow (default: the remote's HEAD)")
    .option(
      "--path <directory>",
      "directory of the repository whose subdirectories are the applications; may be given several times",
      several,
      [],
    )
    .option("--ssh-key <file>", "private key for an ssh:// repository")
    .option("--known-hosts <file>", "host keys to trust (ssh-keyscan makes such a file: compare before you trust it)")
    .option("--image <name>", "image of pgo itself (default: localhost/pgo:latest if there is one, else the released one)")
    .action((repository: string | undefined, options: RawBootstrap) =>
      run(
        actions.bootstrap(
          {
            repository,
            branch: options.branch,
            paths: options.path ?? [],
            sshKey: options.sshKey,
            knownHosts: options.knownHosts,
            image: options.image,
          },
          signal,
        ),
      ),
    );
  program
    .command("uninstall")
    .description("take away what pgo placed on this host and pgo itself; named volumes stay")
    .option("--keep-running", "leave the applications as they are, take away only pgo")
    .action((options: { keepRunning?: boolean }) => run(actions.uninstall({ keepRunning: options.keepRunning ?? false }, signal)));
  addValidate(program.command("validate"), actions, run, signal);

  const config = program.command("config").description("the configuration file of this host, pgo.toml").helpCommand(false);
  config
    .command("check")
    .description("read it and say everything that is wrong, with file and line")
    .action(() => run(actions.configCheck(signal)));
  config
    .command("directories")
    .description("print the directories that pgo needs by it, one a line, for a script that mounts them")
    .action(() => run(actions.configDirectories(signal)));
  config
    .command("init")
    .description("print a commented one to start from")
    .option("--output <file>", "write it to a file instead; a file that is there is left alone")
    .action((options: { output?: string }) => run(actions.configInit({ output: options.output }, signal)));

  program
    .command("backup")
    .description("backups of all of pgo's state, without a running pgo")
    .helpCommand(false)
    .command("restore")
    .argument("<file>", "what ctl backup create has written")
    .description("put one on a host where pgo has no state yet; pgo then makes the host run what it ran")
    .action((file: string) => run(actions.restoreBackup({ file }, signal)));

  addCtl(program.command("ctl"), actions, run, signal);
  return program;
}

function addValidate(program: Command, actions: Actions, run: Run, signal: AbortSignal): void {
  program
    .description("judge the files of a directory as a host would before a rollout, without a host: for a pre-commit hook or a CI job")
    .argument("<directory>", "a repository's root, or what stands for it")
    .option("--path <directory>", "directory below it whose subdirectories are the applications; may be given several times", several)
    .option("--source <name>", "the source's name (default: by the remote's URL, or the directory's name)")
    .addOption(new Option("--format <format>", "how it is told (default: text, in a GitHub workflow github)").choices(validationFormats))
    .addOption(new Option("--json", "the same as --format json").conflicts("format"))
    .option("--rootless", "as for a rootless Podman")
    .option("--generator <file>", "Podman's quadlet generator (default: the image's, or the one of this machine's Podman)")
    .option("--strict", "warnings count as problems")
    .addHelpText("after", "\nExit codes: 0 valid, 3 rejected, 2 wrong usage: no such directory, no application, no generator")
    .action((directory: string, raw: RawValidate) =>
      run(
        actions.validate(
          {
            directory,
            paths: raw.path ?? [],
            source: raw.source,
            format: raw.json === true ? "json" : raw.format,
            rootless: raw.rootless ?? false,
            generator: raw.generator,
            strict: raw.strict ?? false,
          },
          signal,
        ),
      ),
    );
}

interface RawValidate {
  readonly path?: readonly string[];
  readonly source?: string;
  readonly format?: ValidationFormat;
  readonly json?: boolean;
  readonly rootless?: boolean;
  readonly generator?: string;
  readonly strict?: boolean;
}

interface RawBootstrap {
  readonly branch?: string;
  readonly path?: readonly string[];
  readonly sshKey?: string;
  readonly knownHosts?: string;
  readonly image?: string;
}

function addCtl(program: Command, actions: Actions, run: Run, signal: AbortSignal): Command {
  program
    .description("ask the running pgo, or tell it something")
    .helpOption("-h, --help", "explain a command")
    .helpCommand(false)
    .option("--socket <file>", "control socket of pgo, where it is not in the usual state directory")
    .addHelpText(
      "after",
      `
TARGET is an application ("shop", or "fleet/shop" where two sources have one of that
name); plan, sync, history, suspend and resume also take a source, and without TARGET
mean all.
Every command takes --json, but for secret set and secret remove.

Exit codes: 0 done or in sync, 1 failed, 2 wrong usage or configuration, 3 rejected,
rolled back or held (plan, sync --wait), 4 changes pending (plan), 5 pgo can't be reached`,
    );
  const add = (usage: string, description: string): Command =>
    program.command(usage).description(description).option("--json", "print JSON, with absolute times");
  /** `command` without its `json`, from what commander read. */
  const ask = (command: CtlWithoutJson, { json = false }: { readonly json?: boolean }): Promise<void> =>
    run(actions.ctl({ ...command, json }, { socket: program.opts<{ socket?: string }>().socket }, signal));

  add("status", "what runs, from which revision, and how healthy it is")
    .option("--resources", "and what each container uses, as of the last look for drift")
    .action((options: Json & { resources?: true }) =>
      ask({ name: "status", ...(options.resources === true ? { resources: true } : {}) }, options),
    );
  add("plan [target]", "what a sync would change, with reasons and diffs; changes nothing").action(
    (target: string | undefined, options: Json) => ask({ name: "plan", target }, options),
  );
  add("sync [target]", "look for new commits now instead of at the next interval")
    .option("--wait", "wait until it is deployed or undone, and say what came of it")
    .option("--now", "roll out what waits for its time too: no window, freeze, min_age or jitter binds it")
    .action((target: string | undefined, options: Json & { wait?: boolean; now?: boolean }) =>
      ask({ name: "sync", target, wait: options.wait ?? false, ...(options.now === true ? { now: true } : {}) }, options),
    );
  add("history [target]", "deployments, newest first")
    .option("--limit <n>", "how many", whole, 20)
    .action((target: string | undefined, options: Json & { limit: number }) =>
      ask({ name: "history", target, limit: options.limit }, options),
    );
  add("show", "everything about one deployment: reasons, steps, errors")
    .argument("<id>", "its number (see history)", whole)
    .action((id: number, options: Json) => ask({ name: "show", id }, options));
  add("rollback <app>", "back to the last good version before this one; stays until a commit changes the application")
    .option("--to <id>", "to what this deployment brought (see history)", whole)
    .action((target: string, options: Json & { to?: number }) => ask({ name: "rollback", target, to: options.to }, options));
  add("retry <app>", "try a version again that failed and was undone").action((target: string, options: Json) =>
    ask({ name: "retry", target }, options),
  );
  add("suspend [target]", "leave an application, a source or all of them alone: no commits, no repairs")
    .option("--for <time>", 'go on by itself after this time, such as "1h" or "30m" (default: not before resume)', spanOf)
    .action((target: string | undefined, options: Json & { for?: number }) =>
      ask({ name: "suspend", target, forMs: options.for }, options),
    );
  add("resume [target]", "end a suspension").action((target: string | undefined, options: Json) =>
    ask({ name: "resume", target }, options),
  );
  add("events", "what happened, newest last")
    .option("--limit <n>", "how many", whole, 50)
    .option("--follow", "go on and print new ones as they come; with --json one object a line")
    .action((options: Json & { limit: number; follow?: boolean }) =>
      ask({ name: "events", limit: options.limit, follow: options.follow ?? false }, options),
    );
  const backup = program
    .command("backup")
    .description("what there is to go back to: versions, volumes, pgo's own state")
    .helpCommand(false);
  const addBackup = (usage: string, description: string): Command =>
    backup.command(usage).description(description).option("--json", "print JSON, with absolute times");
  addBackup("list [app]", "what was kept before rollouts, and copies of the state database, newest first").action(
    (target: string | undefined, options: Json) => ask({ name: "backups", target }, options),
  );
  addBackup("create", "write all of pgo's state into one file, to be copied elsewhere (pgo backup restore puts it back)").action(
    (options: Json) => ask({ name: "backup" }, options),
  );
  addBackup("restore", "bring an application back to what this backup has; stays until a commit changes the application")
    .argument("<id>", "its number (see backup list)", whole)
    .action((id: number, options: Json) => ask({ name: "restore", id }, options));
  addSecret(program, actions, run, signal);
  add("version", "versions of the running pgo, Node.js and Podman").action((options: Json) => ask({ name: "version" }, options));
  return program;
}

/** These need no running pgo: it finds what they wrote at its next look. */
function addSecret(program: Command, actions: Actions, run: Run, signal: AbortSignal): void {
  const secret = program
    .command("secret")
    .description("values on this host for ${NAME} in env files of Git; they are never shown")
    .helpCommand(false);
  secret
    .command("set <name>")
    .description("give a value: typed without being shown, or on standard input")
    .option("--file <name>", "which file of ctl's own to keep it in", "ctl.env")
    .action((name: string, options: { file: string }) => run(actions.secret({ name: "set", secret: name, file: options.file }, signal)));
  secret
    .command("list")
    .description("names and the files that they stand in, also those that ctl did not write")
    .option("--json", "print JSON")
    .action((options: Json) => run(actions.secret({ name: "list", json: options.json ?? false }, signal)));
  secret
    .command("remove <name>")
    .description("take away a value that ctl has set")
    .action((name: string) => run(actions.secret({ name: "remove", secret: name }, signal)));
}

interface Json {
  readonly json?: boolean;
}
type Without<Union, Key extends PropertyKey> = Union extends unknown ? Omit<Union, Key> : never;
type CtlWithoutJson = Without<CtlCommand, "json">;

/** Commander neither exits nor prints by itself, and after a mistake says where help is; all commands below alike. */
function configure(command: Command, terminal: Terminal): void {
  command
    .exitOverride()
    .configureOutput({
      writeOut: terminal.out,
      writeErr: terminal.err,
      getOutHelpWidth: () => Math.min(terminal.columns, 80),
      getErrHelpWidth: () => Math.min(terminal.columns, 80),
      outputError: (text, write) => {
        write(text.replace(/^error: /, ""));
      },
    })
    .configureHelp({
      subcommandTerm: (one) =>
        [one.name(), ...one.registeredArguments.map((word) => (word.required ? `<${word.name()}>` : `[${word.name()}]`))].join(" "),
    })
    .showHelpAfterError("(--help explains the commands)");
  for (const one of command.commands) configure(one, terminal);
}

const several = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value];

function whole(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1.");
  return Number(text);
}

function spanOf(text: string): number {
  const ms = milliseconds(text);
  if (ms === undefined || ms <= 0) throw new InvalidArgumentError('Write it like "90s", "30m" or "1h30m".');
  return ms;
}

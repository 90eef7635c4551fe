/** Carries out a plan: each step by its executor, each result saved before the next begins. */

import type { Bundle, BundleFile, Unit } from "../core/bundle.ts";
import { checkIn } from "../core/checks.ts";
import { roleOf } from "../core/kinds.ts";
import type { ApplicationId, ServiceName } from "../core/names.ts";
import { unknownStart } from "../core/observe.ts";
import { imagesOf, type Plan, type Step } from "../core/plan.ts";
import { targetOf } from "../core/plan-text.ts";
import { reasonOf, success, trouble, type Result } from "../core/result.ts";
import { liveBundle, type Context } from "./context.ts";
import { handOver } from "./handover.ts";
import { linked } from "./linked.ts";
import { isSecret, removeSecret, saveSecret } from "./podman-secrets.ts";
import { pullNew } from "./superseded.ts";
import { refreshedIn, verify, type Verification } from "./verify.ts";
import { volumeExecutors } from "./volumes.ts";

type Executors = {
  readonly [Kind in Step["kind"]]: (step: Extract<Step, { kind: Kind }>, signal: AbortSignal) => Promise<Result<void, string | Unwell>>;
};

/** Some of what a `verify` looked at is not healthy. */
interface Unwell {
  readonly reason: string;
  readonly verification: Verification;
}

/** What a plan's steps belong to. */
export interface Work {
  readonly deployment: number;
  /** What the plan goes to; undefined: the application goes away. */
  readonly bundle: Bundle | undefined;
}

/** Why a step did not do. */
export interface Failure {
  /** In one line. */
  readonly reason: string;
  /** It was not refused, nor did it fail in a way that is known: what came of it nobody can say without looking. Which kind of step it was. */
  readonly surprise: Step["kind"] | undefined;
  /** Where a `verify` found it. */
  readonly verification?: Verification;
}

/** Brings every image that the plan's starts need, before anything is touched. The trouble is for people. */
export async function pullImages(plan: Plan, { podman, store }: Context, signal: AbortSignal): Promise<Result<void, string>> {
  for (const { image, authFile } of imagesOf(plan.steps)) {
    if (await podman.hasImage(image, signal)) continue;
    const pulled = await pullNew(image, authFile, { podman, store }, signal);
    if (!pulled.ok) return pulled;
  }
  return success(undefined);
}

/**
 * Runs the steps in order and stops at the first that fails.
 * Throws only when `signal` is aborted: what was done is saved, and the next pass goes on from there.
 */
export async function apply(plan: Plan, work: Work, context: Context, signal: AbortSignal): Promise<Result<void, Failure>> {
  const { deployment } = work;
  const execute = { ...executors(plan, work, context), ...volumeExecutors(plan, deployment, context) };
  for (const step of plan.steps) {
    signal.throwIfAborted();
    const began = context.clock.monotonic();
    const result = await attempt(step, execute, signal);
    const ms = Math.round(context.clock.monotonic() - began);
    const error = result.ok ? null : result.trouble.reason;
    context.store.addStep(deployment, { kind: step.kind, target: targetOf(step), because: step.because, ms, error });
    if (!result.ok) return result;
  }
  return success(undefined);
}

/** A file as it is written: one that may hold secrets is kept apart from the bundle that names it. */
async function unsealed(file: BundleFile, { sealed }: Context, signal: AbortSignal): Promise<BundleFile> {
  if (file.sealed === undefined) return file;
  const content = await sealed.get(file.sealed, signal);
  if (content === undefined)
    throw new Error(`its content is no longer among the sealed files: push a commit, or change a secret that it names`);
  return { ...file, content };
}

/** For what fetches or builds an image, in milliseconds. */
const supplyDeadline = 30 * 60_000;

/**
 * For a stop, in milliseconds: systemd kills what does not end within its TimeoutStopSec=, 90 s by default, and waits as long once more
 * (systemd.service(5)); with `infinity` it never does.
 */
const stopDeadline = 10 * 60_000;

interface Job {
  readonly verb: "start" | "stop";
  readonly service: ServiceName;
  /** In milliseconds. */
  readonly deadline: number;
}

/**
 * A unit with Notify=healthy that never gets healthy stays `activating`, and so does its job, as long as its TimeoutStartSec= says:
 * the health deadline ends the waiting before. One that never ends stays `deactivating`. Throws where systemd does not answer then: that is
 * not the unit's doing.
 */
async function within(
  { verb, service, deadline }: Job,
  work: (signal: AbortSignal) => Promise<Result<void, string>>,
  { clock, logs, host }: Context,
  signal: AbortSignal,
): Promise<Result<void, string>> {
  const first = await linked(signal, async ({ signal: inner }) => {
    const late = clock.sleep(deadline, inner).then(
      () => "late" as const,
      () => trouble(`${verb} ${service}: interrupted`),
    );
    return Promise.race([work(inner), late]);
  });
  // An end of pgo's ends both, in no certain order, and says nothing about the service.
  signal.throwIfAborted();
  if (first !== "late") return first;
  const state = (await host.services([service], signal)).get(service);
  const time = `${Math.round(deadline / 1000)} s`;
  if (state?.active !== "deactivating")
    return trouble(`${verb} ${service}: still ${verb === "stop" ? "up" : "not up"} after ${time}: see ${logs} ${service}`);
  // Whoever waits for its end may wait for ever; pgo does not kill what says that it is not to be killed.
  const remedy = `${logs.replace(/^journalctl\b/, "systemctl").replace(/ -u$/, "")} kill --signal=SIGKILL ${service}`;
  return trouble(`${verb} ${service}: it is still stopping after ${time}: see ${logs} ${service}, or end it: ${remedy}`);
}

function deadlineOf(unit: Unit, bundle: Bundle | undefined, { config }: Context): number {
  const patience = bundle === undefined ? config.health : checkIn(bundle, unit, config).patience;
  // To fetch or build an image takes as long as it takes; that it has begun is no sign of trouble.
  return roleOf(unit.kind) === "supply" ? Math.max(patience.deadline, supplyDeadline) : patience.deadline;
}

/** One of the two places where a surprise is caught: a step that throws has failed. */
async function attempt(step: Step, executors: Executors, signal: AbortSignal): Promise<Result<void, Failure>> {
  try {
    // The table is typed by the union, so each executor gets the step that it is for.
    const execute = executors[step.kind] as (step: Step, signal: AbortSignal) => Promise<Result<void, string | Unwell>>;
    const done = await execute(step, signal);
    if (done.ok) return done;
    return trouble({ ...(typeof done.trouble === "string" ? { reason: done.trouble } : done.trouble), surprise: undefined });
  } catch (error) {
    signal.throwIfAborted();
    return trouble({ reason: `${step.kind} ${targetOf(step)}: ${reasonOf(error)}`, surprise: step.kind });
  }
}

function executors(
  { application }: Plan,
  { deployment, bundle }: Work,
  context: Context,
): Omit<Executors, keyof ReturnType<typeof volumeExecutors>> {
  const { host, podman, store } = context;
  /** Which start of a service ran when a restart began that systemd may extend to it. */
  const before = new Map<ServiceName, string>();
  const invocationOf = async (service: ServiceName, signal: AbortSignal) =>
    (await host.services([service], signal)).get(service)?.invocation ?? "";
  const begin = async (
    verb: "start" | "restart" | "restart alone",
    { unit, of: owner = application }: { readonly unit: Unit; readonly of?: ApplicationId },
    signal: AbortSignal,
  ) => {
    const { service } = unit;
    // systemd refuses a start after 5 in 10 s, and a crash-looping bad version has used those up when the good one comes back.
    await host.resetFailed(service, signal);
    const whole = owner === application ? bundle : liveBundle(owner, context);
    const deadline = deadlineOf(unit, whole, context);
    const done = await within({ verb: "start", service, deadline }, (inner) => host.job(verb, service, inner), context, signal);
    if (!done.ok) return done;
    // What a timer triggers has its own starts; a service that systemd has enabled or a path started may not run yet: it has no invocation.
    store.saveStarted(owner, service, { digest: unit.digest, inputs: unit.inputs, invocation: await invocationOf(service, signal) });
    return done;
  };
  const oldFile = ({ service, path }: { readonly service: ServiceName; readonly path: string }) => {
    const one = store.adoptions(application).find((adoption) => adoption.service === service);
    const file = one?.files.find((old) => old.path === path);
    if (one === undefined || file === undefined) throw new Error(`${path}: the state database does not say that it is taken over`);
    return { file, backup: one.backup };
  };
  /** The record follows only what is known to have worked; after a failure nobody can say, and the way back restarts it. */
  const refresh = async ({ unit }: { readonly unit: Unit }, done: Result<void, string>, signal: AbortSignal) => {
    const { service, digest, inputs } = unit;
    const record = done.ok ? { digest, inputs, invocation: await invocationOf(service, signal) } : unknownStart;
    store.saveStarted(application, service, record);
    return done;
  };
  const send = async (name: string, unit: Unit, signal: AbortSignal) => {
    // systemd knows only conmon, which a signal ends (Podman 5.4): the container's first process is Podman's to reach.
    const container = (await podman.containers(signal)).find((one) => one.service === unit.service && one.state === "running");
    if (container === undefined) return trouble(`signal ${unit.service}: its container does not run: see ${context.logs} ${unit.service}`);
    return podman.signal(container.id, name, signal);
  };
  return {
    adopt: async (step, signal) => {
      const { file, backup } = oldFile(step);
      await host.takeAway(file, backup, signal);
      return success(undefined);
    },
    "give-back": async (step, signal) => {
      const { file, backup } = oldFile(step);
      await host.putBack(file, backup, signal);
      return success(undefined);
    },
    revive: async ({ service, verb }, signal) => {
      await host.resetFailed(service, signal);
      const { deadline } = context.config.health;
      const done = await within({ verb: "start", service, deadline }, (inner) => host.job(verb, service, inner), context, signal);
      const one = store.adoptions(application).find((adoption) => adoption.service === service);
      if (!done.ok || one === undefined) return done;
      // It runs as before, and is to be left alone if all this is gone through once more.
      const invocation = await invocationOf(service, signal);
      store.saveAdoption(application, { ...one, before: { ...one.before, invocation } });
      return done;
    },
    write: async (step, signal) => {
      const file = await unsealed(step.file, context, signal);
      if (isSecret(file.path)) return saveSecret(file, { application, replace: step.replaces !== undefined }, context, signal);
      await (step.inPlace ? host.overwrite(application, file, signal) : host.write(application, file, signal));
      return success(undefined);
    },
    remove: async (step, signal) => {
      if (isSecret(step.path)) return removeSecret(step.path, context, signal);
      await host.remove(application, step.path, signal);
      return success(undefined);
    },
    reload: async (_step, signal) => {
      await host.reload(signal);
      store.setReloadPending(false);
      return success(undefined);
    },
    stop: ({ service }, signal) =>
      within({ verb: "stop", service, deadline: stopDeadline }, (inner) => host.job("stop", service, inner), context, signal),
    start: (step, signal) => begin("start", step, signal),
    restart: async (step, signal) => {
      for (const [service, state] of step.carries.length === 0 ? [] : await host.services(step.carries, signal))
        if (!before.has(service)) before.set(service, state.invocation);
      const known = before.get(step.service);
      // Restarted already with what it requires (systemd.unit(5), Requires=): to start it is to wait for that.
      const isCarried = known !== undefined && (await invocationOf(step.service, signal)) !== known;
      return begin(isCarried ? "start" : step.alone ? "restart alone" : "restart", step, signal);
    },
    enable: (step, signal) => host.enable(step.service, signal),
    disable: (step, signal) => host.disable(step.service, signal),
    "reset-failed": async (step, signal) => {
      await host.resetFailed(step.service, signal);
      store.forgetStarted(step.service);
      return success(undefined);
    },
    // It keeps its invocation, by which the record would be believed after a crash: from here on nobody can say what it has read.
    "reload-service": async (step, signal) => {
      store.saveStarted(application, step.service, unknownStart);
      return refresh(step, await host.job("reload", step.service, signal), signal);
    },
    signal: async (step, signal) => {
      store.saveStarted(application, step.service, unknownStart);
      return refresh(step, await send(step.signal, step.unit, signal), signal);
    },
    keep: (step, signal) => refresh(step, success(undefined), signal),
    verify: async ({ services, because }, signal) => {
      if (bundle === undefined) return success(undefined);
      const refreshed = refreshedIn(store.deployment(deployment)?.steps ?? []);
      const subjects = { bundle, others: [], dependents: new Set<ServiceName>(), refreshed, only: new Set(services) };
      const verification = await verify(subjects, context.clock.now(), context, signal);
      if (verification.trouble === undefined) return success(undefined);
      return trouble({ reason: `${verification.trouble}; the rest was not begun (${because})`, verification });
    },
    "remove-network": (step, signal) => podman.removeNetwork(step.network, signal),
    "hand-over": (step, signal) => handOver(step, deployment, context, signal),
  };
}

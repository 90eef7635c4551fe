/** pgo replaced by another version of itself: the step that begins it, and what the new one does before anything else. */

import { hasEnded, isOnTrial, type Handover } from "../core/handover.ts";
import { serviceName } from "../core/names.ts";
import { placeOf } from "../core/placing.ts";
import type { Step } from "../core/plan.ts";
import { reasonOf, success, trouble, type Result } from "../core/result.ts";
import type { Context } from "./context.ts";

const pgo = serviceName("pgo.service");

/** Between two looks at the record, in milliseconds. */
const moment = 500;
/** What stopping the old pgo and keeping its state may take beside the new one's own deadline, and as much again to go back. */
const margin = 120_000;

type HandOver = Extract<Step, { kind: "hand-over" }>;

/**
 * Begins it, or goes on with what an earlier pass began, and waits for its end, which this pgo sees only if it is the one that goes on: the
 * other is stopped while it waits.
 */
export async function handOver(step: HandOver, deployment: number, context: Context, signal: AbortSignal): Promise<Result<void, string>> {
  const { handovers, clock, config, logs } = context;
  const saved = await handovers.record();
  // One rollout has two where the new pgo was kept, and then did not stay healthy.
  const isOurs = saved?.deployment === deployment && leadsTo(saved, step);
  if (!isOurs || !hasEnded(saved)) {
    const record = isOurs ? saved : await intention(step, deployment, context, signal);
    if (typeof record === "string") return trouble(record);
    const begun = isOurs ? await handovers.pursue(record, signal) : await handovers.begin(record, signal);
    if (!begun.ok) return giveUp(begun.trouble, context, signal);
  }
  const until = clock.monotonic() + 2 * (config.self.deadline + margin);
  for (;;) {
    const now = await handovers.record();
    if (now?.phase.at === "done") return success(undefined);
    if (now?.phase.at === "undone") return trouble(now.phase.because);
    if (clock.monotonic() > until) return giveUp(`no sign of its end: see ${logs} pgo-handover.service`, context, signal);
    await clock.sleep(moment, signal);
  }
}

function leadsTo({ to }: Handover, { image, files }: HandOver): boolean {
  const texts = new Map(to.files.map(({ path, text }) => [path, text]));
  return to.image === image && files.every((file) => texts.get(placeOf(file.path).path) === Buffer.from(file.content).toString("utf8"));
}

/** Nothing may begin it later, when the history has long said that it failed. */
async function giveUp(because: string, { handovers }: Context, signal: AbortSignal): Promise<Result<void, string>> {
  const said = `hand over to the new pgo: ${because}`;
  await handovers.abandon(said, signal);
  return trouble(said);
}

/** What is to be done, complete; or why it can't be. */
async function intention(step: HandOver, deployment: number, context: Context, signal: AbortSignal): Promise<Handover | string> {
  const { handovers, podman, config } = context;
  const running = (await podman.containers(signal)).find(({ service, state }) => service === pgo && state === "running");
  const files = await handovers.present();
  if (running === undefined || !files.some(({ path }) => path === "pgo.container"))
    return `hand over to the new pgo: this one does not run by ${handovers.directory}/pgo.container: run pgo bootstrap`;
  const brought = step.files.map((file) => ({ path: placeOf(file.path).path, text: Buffer.from(file.content).toString("utf8") }));
  const removed = new Set(step.removes.map((path) => placeOf(path).path));
  // A person's drop-ins stay.
  const kept = files.filter(({ path }) => !removed.has(path) && !brought.some((file) => file.path === path));
  return {
    schema: 1,
    deployment,
    from: { image: running.imageId, files: [...files] },
    to: { image: step.image, files: [...brought, ...kept] },
    database: config.state.database,
    directory: handovers.directory,
    deadline: config.self.deadline,
    phase: { at: "begun" },
  };
}

/**
 * For a pgo that starts: where a handover has started it, it says whether it can work here and waits to be kept, leaving all else as it
 * is, for it may be undone. Returns when it may begin.
 */
export async function stayOnTrial(context: Context, signal: AbortSignal): Promise<void> {
  const { handovers, clock, journal } = context;
  let answered = false;
  for (;;) {
    const record = await handovers.record();
    if (record === undefined || !isOnTrial(record)) return;
    if (!answered) journal.tell({ type: "warning", subject: "pgo", message: "another version takes over: it is on trial, and waits" });
    answered ||= await answer(context, signal);
    await clock.sleep(moment, signal);
  }
}

/** False where systemd can't be asked yet which start this is. */
async function answer(context: Context, signal: AbortSignal): Promise<boolean> {
  const { handovers, host } = context;
  try {
    const trouble = await fault(context, signal);
    const invocation = (await host.services([pgo], signal)).get(pgo)?.invocation ?? "";
    await handovers.answer({ schema: 1, invocation, ...(trouble === undefined ? {} : { trouble }) });
    return true;
  } catch {
    signal.throwIfAborted();
    return false;
  }
}

/** Takes away what carried out a handover that has ended. False where it still runs, or can't be taken away, which is told: to be tried again. */
export async function clearHandover({ handovers, journal }: Context, signal: AbortSignal): Promise<boolean> {
  try {
    const record = await handovers.record();
    return record === undefined || (hasEnded(record) && (await handovers.clear(signal)));
  } catch (error) {
    signal.throwIfAborted();
    journal.tell({ type: "warning", subject: "pgo", message: `clear the last handover away: ${reasonOf(error)}` });
    return false;
  }
}

/** Whether it can read what the other one has left; the state has been opened already. Throws where Podman can't be asked yet. */
async function fault(context: Context, signal: AbortSignal): Promise<string | undefined> {
  const { store, bundles, podman } = context;
  try {
    for (const { lastGood } of store.applications()) if (lastGood !== undefined) bundles.get(lastGood);
  } catch (error) {
    return reasonOf(error);
  }
  await podman.containers(signal);
  return undefined;
}

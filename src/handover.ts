/** `pgo handover`: replaces pgo by another version of itself, from outside, and puts the old one back where the new one does not work. Run by a unit of the host's, in the old image. */

import { openClock } from "./adapters/clock.ts";
import { openHandoverFiles, placeQuadlet, type HandoverFiles } from "./adapters/handover/files.ts";
import { openSystemd, type Systemd } from "./adapters/host/systemd.ts";
import { busAddress } from "./app.ts";
import type { Terminal } from "./cli/ctl.ts";
import { hasEnded, type Handover, type HandoverPhase } from "./core/handover.ts";
import { serviceName } from "./core/names.ts";
import { reasonOf } from "./core/result.ts";
import type { Places } from "./places.ts";
import type { Clock } from "./ports.ts";

const pgo = serviceName("pgo.service");
/** Between two looks for the new pgo's answer, in milliseconds. */
const moment = 300;
/** For the old pgo to stop or to come back; Podman kills what does not stop by itself well before. */
const patience = 120_000;

interface Scene {
  readonly files: HandoverFiles;
  readonly systemd: Systemd;
  readonly clock: Clock;
}

/**
 * Goes on from wherever the record says it has come, and ends with the handover: 0. Throws where systemd or the record can't be reached;
 * then it is run again.
 */
export async function carryHandover(
  state: string,
  { places, environment, terminal }: { readonly places: Places; readonly environment: NodeJS.ProcessEnv; readonly terminal: Terminal },
  signal: AbortSignal,
): Promise<number> {
  const files = openHandoverFiles(state);
  await using systemd = openSystemd({ busAddress: busAddress(places, environment), mode: places.mode });
  await systemd.connect(signal);
  const scene: Scene = { files, systemd, clock: openClock() };
  let record = await files.read();
  if (record === undefined) return 0;
  while (!hasEnded(record)) {
    terminal.out(`handover for deployment ${record.deployment}: ${told(record.phase)}\n`);
    record = { ...record, phase: await advance(record, scene, signal) };
    await files.save(record);
  }
  terminal.out(`handover for deployment ${record.deployment}: ${told(record.phase)}\n`);
  return 0;
}

function told(phase: HandoverPhase): string {
  return "because" in phase ? `${phase.at}: ${phase.because}` : phase.at;
}

/** Each phase may have been begun before: what it does, it may do again. */
async function advance(record: Handover, scene: Scene, signal: AbortSignal): Promise<HandoverPhase> {
  const { files } = scene;
  switch (record.phase.at) {
    case "begun": {
      const stopped = await within("stop", patience, scene, signal);
      if (stopped !== undefined) return { at: "undone", because: `stop the old pgo: ${stopped}` };
      await files.copyDatabase(record.database);
      return { at: "switched" };
    }
    case "switched":
      return startNew(record, scene, signal);
    case "undoing": {
      // One that does not stop is killed by systemd; it would still have the database open if even that failed.
      const stopped = await within("stop", patience, scene, signal);
      if (stopped !== undefined) throw new Error(`stop the new pgo: ${stopped}`);
      await files.restoreDatabase(record.database);
      return { at: "restored", because: record.phase.because };
    }
    case "restored": {
      await placeQuadlet(record.directory, record.from, record.to);
      const failed = await restart(patience, scene, signal);
      return {
        at: "undone",
        because: `${record.phase.because}${failed === undefined ? "" : `; the old pgo did not come back at once: ${failed}`}`,
      };
    }
    case "done":
    case "undone":
      return record.phase;
  }
}

/** The new pgo has its deadline from here, whatever came before a crash. */
async function startNew(record: Handover, scene: Scene, signal: AbortSignal): Promise<HandoverPhase> {
  const { files, systemd, clock } = scene;
  const until = clock.monotonic() + record.deadline;
  const undo = (because: string): HandoverPhase => ({ at: "undoing", because: `${record.to.image}: ${because}` });
  try {
    await placeQuadlet(record.directory, record.to, record.from);
    const failed = await restart(record.deadline, scene, signal);
    if (failed !== undefined) return undo(failed);
    for (;;) {
      const state = (await systemd.services([pgo], signal)).get(pgo);
      const answer = await files.answer();
      if (state?.active === "active" && answer?.invocation === state.invocation)
        return answer.trouble === undefined ? { at: "done" } : undo(`it can't work here: ${answer.trouble}`);
      if (state?.active === "failed") return undo("it has failed: see journalctl -u pgo.service");
      if (clock.monotonic() > until)
        return undo(
          state?.active === "active"
            ? `it did not say within ${seconds(record.deadline)} that it works`
            : `it is ${state?.active ?? "not there"} after ${seconds(record.deadline)}`,
        );
      await clock.sleep(moment, signal);
    }
  } catch (error) {
    signal.throwIfAborted();
    return undo(reasonOf(error));
  }
}

/** systemd reads the quadlet anew, and pgo is started by it. Answers why that failed. */
async function restart(deadline: number, scene: Scene, signal: AbortSignal): Promise<string | undefined> {
  const { systemd } = scene;
  await systemd.reload(signal);
  // systemd refuses a start after 5 in 10 s, and one that crashes uses those up.
  await systemd.resetFailed(pgo, signal);
  return within("restart", deadline, scene, signal);
}

/** A job with an end: one of a unit with Notify=healthy lasts until that is healthy. */
async function within(verb: "stop" | "restart", ms: number, { systemd, clock }: Scene, signal: AbortSignal): Promise<string | undefined> {
  const inner = new AbortController();
  const both = AbortSignal.any([signal, inner.signal]);
  try {
    const job = systemd.job(verb, pgo, both).then((done) => (done.ok ? undefined : done.trouble));
    const late = clock.sleep(ms, both).then(
      () => `${verb} ${pgo}: not done after ${seconds(ms)}`,
      () => undefined,
    );
    const first = await Promise.race([job, late]);
    signal.throwIfAborted();
    job.catch(() => undefined);
    return first;
  } finally {
    inner.abort();
  }
}

const seconds = (ms: number) => `${Math.round(ms / 1000)} s`;

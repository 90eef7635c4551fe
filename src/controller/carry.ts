/** A handover carried out, outside of pgo: the old one stopped, the new one started and judged, and all put back where that does not work. */

import { hasEnded, type Handover, type HandoverPhase } from "../core/handover.ts";
import { serviceName } from "../core/names.ts";
import { reasonOf } from "../core/result.ts";
import type { Clock, HandoverFiles, Host } from "../ports.ts";

const pgo = serviceName("pgo.service");
/** Between two looks for the new pgo's answer, in milliseconds. */
const moment = 300;
/** For the old pgo to stop or to come back; Podman kills what does not stop by itself well before. */
const patience = 120_000;

export interface Carrying {
  readonly files: HandoverFiles;
  readonly host: Pick<Host, "job" | "reload" | "resetFailed" | "services">;
  readonly clock: Clock;
  /** Told of each phase before it is gone through, and of the end. */
  tell(record: Handover): void;
}

/**
 * Goes on from wherever the record says it has come, to the end. Throws where the record, systemd or the old state can't be reached: then it
 * is run again, and goes on from there.
 */
export async function carry(scene: Carrying, signal: AbortSignal): Promise<void> {
  const { files } = scene;
  let record = await files.read();
  if (record === undefined) return;
  scene.tell(record);
  while (!hasEnded(record)) {
    record = { ...record, phase: await advance(record, scene, signal) };
    await files.save(record);
    scene.tell(record);
  }
}

/** Each phase may have been begun before: what it does, it may do again. */
async function advance(record: Handover, scene: Carrying, signal: AbortSignal): Promise<HandoverPhase> {
  const { files } = scene;
  switch (record.phase.at) {
    case "begun": {
      // Without a way back nothing is begun: the old one goes on, and may have to be started for that.
      const stay = (because: string): HandoverPhase => ({ at: "restored", because: `the old pgo stays: ${because}` });
      const stopped = await within("stop", patience, scene, signal);
      if (stopped !== undefined) return stay(stopped);
      try {
        await files.copyDatabase(record.database);
      } catch (error) {
        return stay(`copy the state database: ${reasonOf(error)}`);
      }
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
      await files.place(record.directory, record.from, record.to);
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
async function startNew(record: Handover, scene: Carrying, signal: AbortSignal): Promise<HandoverPhase> {
  const { files, host, clock } = scene;
  const until = clock.monotonic() + record.deadline;
  const undo = (because: string): HandoverPhase => ({ at: "undoing", because: `${record.to.image}: ${because}` });
  try {
    await files.place(record.directory, record.to, record.from);
    const failed = await restart(record.deadline, scene, signal);
    if (failed !== undefined) return undo(failed);
    for (;;) {
      const state = (await host.services([pgo], signal)).get(pgo);
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
async function restart(deadline: number, scene: Carrying, signal: AbortSignal): Promise<string | undefined> {
  const { host } = scene;
  await host.reload(signal);
  // systemd refuses a start after 5 in 10 s, and one that crashes uses those up.
  await host.resetFailed(pgo, signal);
  return within("restart", deadline, scene, signal);
}

/** A job with an end: one of a unit with Notify=healthy lasts until that is healthy. */
async function within(verb: "stop" | "restart", ms: number, { host, clock }: Carrying, signal: AbortSignal): Promise<string | undefined> {
  const inner = new AbortController();
  const both = AbortSignal.any([signal, inner.signal]);
  try {
    const job = host.job(verb, pgo, both).then((done) => (done.ok ? undefined : done.trouble));
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

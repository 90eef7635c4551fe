/** Asks a unit's probe: where the host reaches it now, and what it answers, with no secret in it. */

import { addressed, needsAddress } from "../core/addresses.ts";
import type { Bundle, Unit } from "../core/bundle.ts";
import type { Check, Sample } from "../core/health.ts";
import { roleOf } from "../core/kinds.ts";
import { reasonOf } from "../core/result.ts";
import { isUp } from "../core/verdict.ts";
import type { ContainerState, ServiceState } from "../ports.ts";
import type { Context } from "./context.ts";
import { redaction } from "./redaction.ts";

/** A unit and what is asked of it. */
export interface Asked {
  readonly bundle: Bundle;
  readonly unit: Unit;
  readonly check: Check;
}

/** What runs of it. */
export interface Running {
  readonly state: ServiceState;
  readonly container: ContainerState | undefined;
}

/** Undefined where there is no probe, or the unit is not up: a failure would say nothing new. */
export async function sampleOf(
  { bundle, unit, check }: Asked,
  { state, container }: Running,
  context: Context,
  signal: AbortSignal,
): Promise<Sample | undefined> {
  if (check.by !== "probe" || roleOf(unit.kind) !== "workload" || !isUp(state)) return undefined;
  const { prober, podman, journal, clock } = context;
  const running = container?.state === "running" ? container : undefined;
  // That Podman can't be asked says nothing about the unit.
  const unknown = (error: unknown): Sample => {
    signal.throwIfAborted();
    return { at: clock.now(), result: "unasked", message: reasonOf(error) };
  };
  const ask = async (): Promise<Sample> => {
    const address =
      running !== undefined && needsAddress(check.probe, { container: running }) ? await podman.address(running.id, signal) : undefined;
    const probe = addressed(check.probe, { container: running, address });
    if (!probe.ok) return { at: clock.now(), result: "unasked", message: probe.trouble };
    const sample = await prober.probe(probe.value, check.patience.timeout, signal);
    if (sample.result === "pass" || check.probe.kind !== "command") return sample;
    const hide = await redaction([bundle], context, signal);
    return { ...sample, message: hide(sample.message) };
  };
  const sample = await ask().catch(unknown);
  journal.tell({ type: "probe", application: bundle.application, kind: check.probe.kind, result: sample.result });
  return sample;
}

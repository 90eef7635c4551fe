/** Gathers what was to be seen where a rollout failed, before going back wipes it out. */

import type { Bundle } from "../core/bundle.ts";
import { evidence, evidenceLines, evidenceUnits, type Evidence } from "../core/evidence.ts";
import type { ServiceName } from "../core/names.ts";
import { reasonOf } from "../core/result.ts";
import { mostTelling } from "../core/verdict.ts";
import type { Context } from "./context.ts";
import { linked } from "./linked.ts";
import { redaction } from "./redaction.ts";

/** In milliseconds: what can't be had in this time is not worth to leave a bad version running. */
const patience = 10_000;

/** Saved with the deployment. Never in the way: throws only when `signal` is aborted. */
export async function keepEvidence(
  {
    deployment,
    services,
    bundles,
  }: { readonly deployment: number; readonly services: readonly ServiceName[]; readonly bundles: readonly Bundle[] },
  context: Context,
  signal: AbortSignal,
): Promise<void> {
  if (services.length === 0) return;
  const found = await linked(signal, async ({ signal: inner }) => {
    const late = context.clock.sleep(patience, inner).then(
      () => [],
      () => [],
    );
    return Promise.race([gather(services.slice(0, evidenceUnits), bundles, context, inner).catch(() => []), late]);
  });
  signal.throwIfAborted();
  if (found.length > 0) context.store.saveEvidence(deployment, found);
}

async function gather(
  services: readonly ServiceName[],
  bundles: readonly Bundle[],
  context: Context,
  signal: AbortSignal,
): Promise<readonly Evidence[]> {
  const { host, podman } = context;
  const hide = await redaction(bundles, context, signal);
  const orWhy = <Value>(asked: Promise<Value>, value: (why: string) => Value) => asked.catch((error: unknown) => value(reasonOf(error)));
  const [states, containers] = await Promise.all([host.services(services, signal), orWhy(podman.containers(signal), () => [])]);
  const byService = mostTelling(containers);
  return Promise.all(
    services.map(async (service) => {
      const container = byService.get(service);
      const state = states.get(service);
      const seen = state === undefined ? "unknown" : `${state.active} (${state.sub}), ${state.result}, exit ${String(state.exitStatus)}`;
      const inside =
        container === undefined
          ? "its container is gone"
          : `its container is ${container.state}${container.state === "running" ? "" : `, exit ${String(container.exitCode)}`}`;
      const hasContainer = bundles.some(({ units }) => units.some((unit) => unit.service === service && unit.kind === "container"));
      const [journal, log] = await Promise.all([
        orWhy(
          host.journal(service, evidenceLines, signal).then((read) => (read.ok ? read.value : [`(${read.trouble})`])),
          (why) => [`(${why})`],
        ),
        container === undefined ? [] : orWhy(podman.logs(container.id, evidenceLines, signal), (why) => [`(${why})`]),
      ]);
      return evidence({ service, state: hasContainer || container !== undefined ? `${seen}; ${inside}` : seen, journal, log }, hide);
    }),
  );
}

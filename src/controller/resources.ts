/** The look at what containers use: one question for all of them to each that knows something, with the look for drift. */

import type { Bundle, Unit } from "../core/bundle.ts";
import { checkIn } from "../core/checks.ts";
import { roleOf } from "../core/kinds.ts";
import type { ServiceName } from "../core/names.ts";
import { excess, usageOf, type Usage } from "../core/resources.ts";
import type { Context } from "./context.ts";
import type { Survey } from "./observe.ts";

interface Known {
  readonly usage: Usage;
  /** Samples in a row with more than it may use, and in what. */
  readonly over: number;
  readonly message: string | undefined;
}

/** What the last sample showed, by service. A restart of pgo forgets it. */
export class Resources {
  readonly #known = new Map<ServiceName, Known>();

  /** Undefined where it was not looked at yet, or does not run. */
  usage(service: ServiceName): Usage | undefined {
    return this.#known.get(service)?.usage;
  }

  /** Why a service that runs in this container uses too much: it did so in as many samples in a row as its check takes for a failure. */
  excess(service: ServiceName, container: string | undefined): string | undefined {
    const known = this.#known.get(service);
    return container !== undefined && known?.usage.of.includes(container) === true ? known.message : undefined;
  }

  /**
   * Reads what these bundles' containers use, and tells it. Figures that can't be had are none: the look at the host, of which this is a
   * part, says what is wrong with Podman or systemd.
   */
  async sample(bundles: readonly Bundle[], survey: Survey, context: Context, signal: AbortSignal): Promise<void> {
    const { config, journal } = context;
    const asked = bundles.flatMap((bundle) =>
      bundle.units
        .filter((unit) => unit.starts && roleOf(unit.kind) === "workload")
        .map((unit) => ({ bundle, unit, check: checkIn(bundle, unit, config) }))
        .filter(({ check }) => config.health.resources || check.limits !== undefined),
    );
    const readings = await this.#read(
      asked.map(({ unit }) => unit),
      survey,
      context,
      signal,
    );
    for (const { bundle, unit, check } of asked) {
      const { service } = unit;
      const before = this.#known.get(service);
      const found = readings.get(service);
      const usage = found && usageOf(found, before?.usage);
      if (usage === undefined) {
        this.#known.delete(service);
        continue;
      }
      const why = check.limits && excess(usage, check.limits);
      const isSame = before?.usage.of.join() === usage.of.join();
      const over = why === undefined ? 0 : (isSame ? before.over : 0) + 1;
      const message = over < check.patience.failureThreshold ? undefined : `${why ?? ""} (${String(over)} looks in a row)`;
      this.#known.set(service, { usage, over, message });
      journal.tell({ type: "resources", application: bundle.application, service, usage });
    }
  }

  async #read(
    units: readonly Unit[],
    survey: Survey,
    { podman, host, clock }: Context,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<ServiceName, Parameters<typeof usageOf>[0]>> {
    const running = survey.containers.filter(({ state, service }) => state === "running" && units.some((unit) => unit.service === service));
    if (running.length === 0) return new Map();
    const names = [...new Set(running.map(({ service }) => service))];
    try {
      const [containers, limits] = await Promise.all([podman.stats(signal), host.memoryLimits(names, signal)]);
      const at = clock.now();
      // It costs a transient unit on the host, and without memory's controller there is nothing to be read.
      const isCounted = running.some(({ id }) => containers.get(id)?.memory !== undefined);
      const kills = isCounted ? await host.oomKills(signal) : undefined;
      return new Map(
        names.map((name) => {
          const own = running.flatMap(({ id, service }) => {
            const figures = service === name ? containers.get(id) : undefined;
            return figures === undefined ? [] : [[id, figures] as const];
          });
          const restarts = survey.services.get(name)?.restarts ?? 0;
          const oomKills = kills?.ok === true ? (kills.value.get(name) ?? 0) : undefined;
          return [name, { at, containers: new Map(own), service: { memoryMax: limits.get(name), oomKills }, restarts }];
        }),
      );
    } catch {
      signal.throwIfAborted();
      return new Map();
    }
  }
}

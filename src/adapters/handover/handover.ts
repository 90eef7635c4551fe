/** Handovers as the running pgo sees them: begun by a unit of the host's, answered by the new pgo, and cleared away. */

import { dirname, join } from "node:path";

import { handoverUnit, handoverUnitText, hasEnded, isOnTrial, type Handover } from "../../core/handover.ts";
import { serviceName } from "../../core/names.ts";
import { success } from "../../core/result.ts";
import type { Handovers, Host } from "../../ports.ts";
import { removed, syncDirectory, writeDurably } from "../durable.ts";
import { openHandoverFiles, quadletFiles } from "./files.ts";

export interface HandoverOptions {
  readonly state: string;
  /** Where systemd reads the administrator's units. */
  readonly unitDirectory: string;
  /** Of pgo's own quadlet. */
  readonly directory: string;
  readonly mode: "rootful" | "rootless";
  readonly host: Pick<Host, "reload" | "enable" | "disable" | "job" | "services">;
}

const service = serviceName(handoverUnit);

export function openHandovers({ state, unitDirectory, directory, mode, host }: HandoverOptions): Handovers {
  const files = openHandoverFiles(state);
  const unit = join(unitDirectory, handoverUnit);
  const start = async (record: Handover, signal: AbortSignal) => {
    const quadlet = record.from.files.find(({ path }) => path === "pgo.container")?.text ?? "";
    await writeDurably(unit, handoverUnitText({ quadlet, image: record.from.image, state, mode }), 0o644);
    await host.reload(signal);
    const enabled = await host.enable(service, signal);
    if (!enabled.ok) return enabled;
    return host.job("start", service, signal);
  };
  return {
    directory,
    record: () => files.read(),
    present: () => quadletFiles(directory),
    answer: (answer) => files.saveAnswer(answer),

    async begin(record, signal) {
      await files.save(record);
      return start(record, signal);
    },
    async pursue(record, signal) {
      const state = (await host.services([service], signal)).get(service);
      return state?.active === "active" || state?.active === "activating" ? success(undefined) : start(record, signal);
    },
    async abandon(because, signal) {
      await host.job("stop", service, signal);
      const record = await files.read();
      if (record !== undefined && !hasEnded(record) && !isOnTrial(record))
        await files.save({ ...record, phase: { at: "undone", because } });
    },
    async clear(signal) {
      const state = (await host.services([service], signal)).get(service);
      if (state === undefined || state.load === "not-found") return true;
      if (state.active !== "inactive" && state.active !== "failed") return false;
      const disabled = await host.disable(service, signal);
      if (!disabled.ok) throw new Error(disabled.trouble);
      await removed(unit);
      await syncDirectory(dirname(unit));
      await host.reload(signal);
      await files.forgetCopy();
      return true;
    },
  };
}

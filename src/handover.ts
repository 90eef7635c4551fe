/** `pgo handover`: carries a handover out, in a container of the old image that a unit of the host's runs. */

import { openClock } from "./adapters/clock.ts";
import { openHandoverFiles } from "./adapters/handover/files.ts";
import { openSystemd } from "./adapters/host/systemd.ts";
import { busAddress } from "./app.ts";
import type { Terminal } from "./cli/ctl.ts";
import { carry } from "./controller/carry.ts";
import type { Places } from "./places.ts";

/** `state`: the state directory. Throws where it can't be gone on with; the unit runs it again then. Answers the exit code. */
export async function carryHandover(
  state: string,
  { places, environment, terminal }: { readonly places: Places; readonly environment: NodeJS.ProcessEnv; readonly terminal: Terminal },
  signal: AbortSignal,
): Promise<number> {
  await using host = openSystemd({ busAddress: busAddress(places, environment), mode: places.mode });
  await host.connect(signal);
  const tell = ({
    deployment,
    phase,
  }: {
    readonly deployment: number;
    readonly phase: { readonly at: string; readonly because?: string };
  }) => {
    const { at, because } = phase;
    terminal.out(`handover for deployment ${deployment}: ${at}${because === undefined ? "" : `: ${because}`}\n`);
  };
  await carry({ files: openHandoverFiles(state), host, clock: openClock(), tell }, signal);
  return 0;
}

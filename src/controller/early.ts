/** Applications of one source go phase by phase: whose turn has not come. */

import { partsOf, type ApplicationId } from "../core/names.ts";
import type { Turn } from "../core/order.ts";
import { firstPhase } from "../core/phases.ts";
import type { Outcome } from "../core/rollout.ts";
import type { Context } from "./context.ts";

/** Why an application waits for an earlier phase of its source; undefined where all of those are as Git wants them. */
export function tooEarly(
  application: ApplicationId,
  { turns, troubled }: { readonly turns: readonly Turn[]; readonly troubled: readonly ApplicationId[] },
  { store }: Context,
): string | undefined {
  const phaseOf = (id: ApplicationId) => turns.find((turn) => turn.id === id)?.phase ?? firstPhase;
  const isEarlier = (other: ApplicationId) =>
    partsOf(other).source === partsOf(application).source && phaseOf(other) < phaseOf(application);
  const cause = troubled.find(isEarlier);
  if (cause === undefined) return undefined;
  return `phase ${String(phaseOf(cause))} comes first: ${partsOf(cause).application} ${stateOf(store.application(cause)?.outcome)}`;
}

function stateOf(outcome: Outcome | undefined): string {
  switch (outcome) {
    case "rejected":
      return "is refused";
    case "held":
      return "is held";
    case "rolled-back":
      return "was rolled back";
    case "failed":
      return "has failed";
    case "deployed":
    case "repaired":
    case "in-sync":
    case "source-failed":
    case undefined:
      return "is not as Git wants it";
  }
}

/** Rollouts under way, in the state database: the intention that is saved before the first step, with what each phase knows. */

import { bounded } from "../../core/event-text.ts";
import { revision } from "../../core/names.ts";
import { causes, type Rollout, type Target } from "../../core/rollout.ts";
import type { Store } from "../../ports.ts";
import type { Database, Values } from "./database.ts";
import { application, date, digest, number, oneOf, text, type Row } from "./rows.ts";

export function rolloutTable(database: Database): Pick<Store, "rollouts" | "saveRollout" | "endRollout"> {
  return {
    rollouts: () => database.all("SELECT * FROM rollouts ORDER BY application").map(rolloutIn),
    saveRollout: (rollout) => {
      database.put("rollouts", ["application"], {
        application: rollout.application,
        deployment: rollout.deployment,
        revision: rollout.revision,
        cause: rollout.cause,
        goal: rollout.goal,
        fallback: rollout.fallback,
        started: rollout.startedAt.toISOString(),
        recoveries: rollout.recoveries,
        ...phaseOf(rollout),
      });
    },
    endRollout: (id) => {
      database.run("DELETE FROM rollouts WHERE application = :id", { id });
    },
  };
}

export function targetIn(row: Row, column: string): Target {
  return text(row, column) === "absent" ? "absent" : digest(row, column);
}

function phaseOf(rollout: Rollout): Values {
  const { phase } = rollout;
  switch (phase) {
    case "applying":
      return { phase, since: undefined, because: undefined, blameless: 0 };
    case "verifying":
      return { phase, since: rollout.since.toISOString(), because: undefined, blameless: 0 };
    case "reverting":
      return { phase, since: undefined, because: bounded(rollout.because), blameless: Number(rollout.blameless) };
  }
}

function rolloutIn(row: Row): Rollout {
  const attempt = {
    deployment: number(row, "deployment"),
    application: application(row, "application"),
    revision: revision(text(row, "revision")),
    cause: oneOf(row, "cause", causes),
    goal: targetIn(row, "goal"),
    fallback: targetIn(row, "fallback"),
    startedAt: date(row, "started"),
    recoveries: number(row, "recoveries"),
  };
  const phase = oneOf(row, "phase", ["applying", "verifying", "reverting"]);
  switch (phase) {
    case "applying":
      return { ...attempt, phase };
    case "verifying":
      return { ...attempt, phase, since: date(row, "since") };
    case "reverting":
      return { ...attempt, phase, because: text(row, "because"), blameless: number(row, "blameless") === 1 };
  }
}

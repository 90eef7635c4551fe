/** What was done and when, in the state database: deployments with their steps and containers, and events. */

import { z } from "zod";

import { bounded, isKept, sentence } from "../../core/event-text.ts";
import { applicationId, applicationName, partsOf, revision, serviceName, sourceName } from "../../core/names.ts";
import { causes } from "../../core/rollout.ts";
import type { DeploymentRecord, EventRow, StepRecord, Store } from "../../ports.ts";
import type { Database } from "./database.ts";
import { targetIn } from "./rollouts.ts";
import { date, number, oneOf, optional, text, type Row } from "./rows.ts";

type Tables = Pick<
  Store,
  | "beginDeployment"
  | "addStep"
  | "saveEvidence"
  | "saveContainers"
  | "finishDeployment"
  | "deployments"
  | "deployment"
  | "addEvent"
  | "events"
>;

export function historyTables(database: Database): Tables {
  return {
    beginDeployment: (deployment) => {
      const { source, application } = partsOf(deployment.application);
      return database.run(
        `INSERT INTO deployments (source, application, ref, revision, author, subject, cause, goal, started, description, details)
         VALUES (:source, :application, :ref, :revision, :author, :subject, :cause, :goal, :started, '', :details)`,
        {
          source,
          application,
          ref: deployment.ref,
          revision: deployment.revision,
          author: bounded(deployment.author),
          subject: bounded(deployment.subject),
          cause: deployment.cause,
          goal: deployment.goal,
          started: deployment.startedAt.toISOString(),
          details: JSON.stringify({ reasons: deployment.reasons.map(bounded) }),
        },
      ).id;
    },
    addStep: (deployment, step) => {
      database.run(
        "INSERT INTO steps (deployment, kind, target, because, ms, error) VALUES (:deployment, :kind, :target, :because, :ms, :error)",
        {
          deployment,
          kind: step.kind,
          target: step.target,
          because: bounded(step.because),
          ms: step.ms,
          error: step.error === null ? undefined : bounded(step.error),
        },
      );
    },
    saveEvidence: (deployment, evidence) => {
      database.run("UPDATE deployments SET details = json_set(details, '$.evidence', json(:evidence)) WHERE id = :deployment", {
        deployment,
        evidence: JSON.stringify(evidence),
      });
    },
    saveContainers: (deployment, containers) => {
      database.atomically(() => {
        database.run("DELETE FROM containers WHERE deployment = :deployment", { deployment });
        for (const { service, quadlet, imageId, status, health } of containers)
          database.run(
            `INSERT INTO containers (deployment, service, quadlet, image_digest, status, health)
             VALUES (:deployment, :service, :quadlet, :imageId, :status, :health)`,
            { deployment, service, quadlet, imageId, status, health },
          );
      });
    },
    finishDeployment: (settled) => {
      const { changes } = database.run(
        "UPDATE deployments SET finished = :finished, outcome = :outcome, description = :description WHERE id = :id",
        {
          id: settled.deployment,
          finished: settled.finishedAt.toISOString(),
          outcome: settled.outcome,
          description: bounded(settled.description),
        },
      );
      if (changes !== 1)
        throw new Error(`cannot finish deployment ${String(settled.deployment)}: the state database has none of that number`);
    },
    deployments: ({ application, limit }) => {
      const rows =
        application === undefined
          ? database.all("SELECT * FROM deployments ORDER BY id DESC LIMIT :limit", { limit })
          : database.all("SELECT * FROM deployments WHERE source = :source AND application = :application ORDER BY id DESC LIMIT :limit", {
              ...partsOf(application),
              limit,
            });
      return rows.map((row) => deploymentIn(database, row));
    },
    deployment: (id) => {
      const row = database.get("SELECT * FROM deployments WHERE id = :id", { id });
      return row === undefined ? undefined : deploymentIn(database, row);
    },

    addEvent: (event) => {
      if (!isKept(event)) return;
      // By a query, so that the number of a deployment that is trimmed already is no error: the event is worth more than the link.
      database.run(
        `INSERT INTO events (deployment, time, type, message)
         VALUES ((SELECT id FROM deployments WHERE id = :deployment), :time, :type, :message)`,
        {
          deployment: event.type === "outcome" ? event.deployment : undefined,
          time: event.at.toISOString(),
          type: event.type,
          message: sentence(event),
        },
      );
    },
    events: ({ limit, after }) =>
      database.all("SELECT * FROM events WHERE id > :after ORDER BY id DESC LIMIT :limit", { after: after ?? 0, limit }).map(eventIn),
  };
}

function deploymentIn(database: Database, row: Row): DeploymentRecord {
  const id = number(row, "id");
  return {
    id,
    application: applicationId(sourceName(text(row, "source")), applicationName(text(row, "application"))),
    ref: text(row, "ref"),
    revision: revision(text(row, "revision")),
    author: text(row, "author"),
    subject: text(row, "subject"),
    cause: oneOf(row, "cause", causes),
    goal: targetIn(row, "goal"),
    startedAt: date(row, "started"),
    ...details.parse(JSON.parse(text(row, "details"))),
    finishedAt: optional(row, "finished", date),
    outcome: optional(row, "outcome", (from, column) => oneOf(from, column, ["deployed", "repaired", "rolled-back", "failed"])),
    description: text(row, "description"),
    steps: database.all("SELECT * FROM steps WHERE deployment = :id ORDER BY id", { id }).map(stepIn),
  };
}

// Not strict: a later version may add to it.
const details = z.object({
  reasons: z.array(z.string()),
  evidence: z
    .array(
      z.object({ service: z.string().transform(serviceName), state: z.string(), journal: z.array(z.string()), log: z.array(z.string()) }),
    )
    .default([]),
});

const stepIn = (row: Row): StepRecord => ({
  kind: text(row, "kind"),
  target: text(row, "target"),
  because: text(row, "because"),
  ms: number(row, "ms"),
  error: optional(row, "error", text) ?? null,
});

const eventIn = (row: Row): EventRow => ({
  id: number(row, "id"),
  deployment: optional(row, "deployment", number),
  at: date(row, "time"),
  type: text(row, "type"),
  message: text(row, "message"),
});

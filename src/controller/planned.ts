/** What would come of a decision, without doing it: the same plan that a rollout would carry out, printed. */

import { createTwoFilesPatch } from "diff";

import type { Bundle, BundleFile } from "../core/bundle.ts";
import type { Decision } from "../core/decide.ts";
import { partsOf, type ApplicationId } from "../core/names.ts";
import { plan, targetOf, type Step } from "../core/plan.ts";
import type { PlannedApplication } from "../core/report.ts";
import type { Context } from "./context.ts";
import { observe } from "./observe.ts";

export async function planned(
  application: ApplicationId,
  decision: Decision,
  context: Context,
  signal: AbortSignal,
): Promise<PlannedApplication> {
  const { source, application: name } = partsOf(application);
  const base = { name, source, message: null, steps: [], diff: "", problems: [] };
  const lastGood = context.store.application(application)?.lastGood;
  const live = lastGood === undefined ? undefined : context.bundles.get(lastGood);
  switch (decision.do) {
    case "reject":
      return {
        ...base,
        state: "rejected",
        problems: decision.problems.map(({ file, line, message }) => ({ file, line: line ?? null, message })),
      };
    case "hold":
      return { ...base, state: "held", message: decision.why };
    case "leave":
      return {
        ...base,
        state: "held",
        message: decision.until === undefined ? "suspended" : `suspended until ${decision.until.toISOString()}`,
      };
    case "quarantine":
      return { ...base, state: "held", message: `in quarantine: ${decision.reason}: ctl retry ${name}` };
    case "keep":
      return live === undefined ? { ...base, state: "in-sync" } : stepsTo(application, live, live, context, signal);
    case "roll-out":
      return stepsTo(application, decision.bundle, live, context, signal);
  }
}

async function stepsTo(
  application: ApplicationId,
  goal: Bundle | undefined,
  live: Bundle | undefined,
  context: Context,
  signal: AbortSignal,
): Promise<PlannedApplication> {
  const { source, application: name } = partsOf(application);
  const { observed } = await observe({ application, bundle: goal }, context, signal);
  const made = plan({ application, bundle: goal }, observed);
  return {
    name,
    source,
    state: made.conflicts.length > 0 ? "rejected" : made.steps.length > 0 ? "pending" : "in-sync",
    message: null,
    steps: made.steps.map((step) => ({ kind: step.kind, target: targetOf(step), because: step.because })),
    diff: diffOf(made.steps, live),
    problems: made.conflicts.map(({ file, line, message }) => ({ file, line: line ?? null, message })),
  };
}

/** Against the last good: what a person changed on the host is told by the step's reason. */
function diffOf(steps: readonly Step[], live: Bundle | undefined): string {
  const before = new Map(live?.files.map((file) => [file.path, file]));
  return steps
    .map((step) => {
      if (step.kind === "write") return patch(step.file.path, before.get(step.file.path), step.file);
      if (step.kind === "remove") return patch(step.path, before.get(step.path), undefined);
      return "";
    })
    .join("");
}

function patch(path: string, before: BundleFile | undefined, after: BundleFile | undefined): string {
  if (before?.digest === after?.digest) return "";
  const [old, now] = [textOf(before), textOf(after)];
  if (old === undefined || now === undefined) return `Binary file ${path} differs\n`;
  return createTwoFilesPatch(
    before === undefined ? "/dev/null" : `a/${path}`,
    after === undefined ? "/dev/null" : `b/${path}`,
    old,
    now,
    undefined,
    undefined,
    { context: 3 },
  );
}

/** Undefined for what is no text; values of env files are not shown. */
function textOf(file: BundleFile | undefined): string | undefined {
  if (file === undefined) return "";
  const text = Buffer.from(file.content).toString("utf8");
  if (text.includes("\0") || text.includes("\uFFFD")) return undefined;
  return file.mode === 0o600 ? text.replace(/^(?!\s*#)(\s*[A-Za-z_][A-Za-z0-9_]*\s*=)?.+$/gm, "$1***") : text;
}

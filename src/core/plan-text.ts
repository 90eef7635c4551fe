/** A plan in words: what each step acts on, what a repair found, and the whole in lines. */

import { shownPath } from "./placing.ts";
import type { Step } from "./plan.ts";

/** What a step acts on, for history and for people. */
export function targetOf(step: Step): string {
  switch (step.kind) {
    case "stop":
    case "start":
    case "restart":
    case "enable":
    case "disable":
    case "revive":
    case "reset-failed":
    case "reload-service":
    case "signal":
    case "keep":
      return step.service;
    case "adopt":
    case "give-back":
      return step.path;
    case "remove":
      return shownPath(step.path);
    case "write":
      return shownPath(step.file.path);
    case "reload":
      return "systemd";
    case "remove-network":
      return step.network;
    case "backup-volume":
    case "remove-volume":
    case "restore-volume":
      return step.volume;
    case "remove-image":
      return step.image;
    case "verify":
      return named(step.services);
    case "hand-over":
      return "pgo.service";
  }
}

/** Few enough for a column of a table. */
function named(services: readonly string[]): string {
  const [shown, more] = [services.slice(0, 3).join(", "), services.length - 3];
  return more > 0 ? `${shown} and ${String(more)} more` : shown;
}

/** What a repair found, by the steps it took: `conf/a.txt (not on the host), web.service (it has failed) and 2 more`. */
export function found(steps: readonly { readonly kind: string; readonly target: string; readonly because: string }[]): string {
  const telling = steps.filter(({ kind }) => kind !== "reload" && kind !== "reset-failed" && kind !== "verify");
  const told = [...new Set((telling.length > 0 ? telling : steps).map(({ target, because }) => `${target} (${because})`))];
  return `${told.slice(0, 3).join(", ")}${told.length > 3 ? ` and ${told.length - 3} more` : ""}`;
}

/** A plan in lines: `+` new, `~` changed, `-` removed files, then what happens to services. */
export function explain(steps: readonly Step[]): readonly string[] {
  return steps.map((step) => {
    if (step.kind === "write") return `${step.replaces === undefined ? "+" : "~"} ${targetOf(step)}`;
    if (step.kind === "remove") return `- ${targetOf(step)}`;
    return step.kind === "reload" ? `  daemon-reload: ${step.because}` : `  ${step.kind} ${targetOf(step)}: ${step.because}`;
  });
}

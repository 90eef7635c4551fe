/** Unified diffs of what a plan changes in files, but for processed env files, whose values may be secrets. */

import { createTwoFilesPatch, FILE_HEADERS_ONLY } from "diff";

import type { Bundle, BundleFile } from "./bundle.ts";
import { shownPath } from "./placing.ts";
import type { Step } from "./plan.ts";

/** Against the last good: what a person changed on the host is told by the step's reason. */
export function diffOf(steps: readonly Step[], live: Bundle | undefined): string {
  const before = new Map(live?.files.map((file) => [file.path, file]));
  return steps
    .map((step) => {
      if (step.kind === "write") return patch(shownPath(step.file.path), before.get(step.file.path), step.file);
      if (step.kind === "remove") return patch(shownPath(step.path), before.get(step.path), undefined);
      return "";
    })
    .join("");
}

function patch(path: string, before: BundleFile | undefined, after: BundleFile | undefined): string {
  if (before?.digest === after?.digest) return "";
  if (before?.sealed !== undefined || after?.sealed !== undefined)
    return `Values of ${path} ${before === undefined ? "are new" : after === undefined ? "go away" : "differ"}, and are not shown\n`;
  const [old, now] = [textOf(before), textOf(after)];
  if (old === undefined || now === undefined) return `Binary file ${path} differs\n`;
  return createTwoFilesPatch(
    before === undefined ? "/dev/null" : `a/${path}`,
    after === undefined ? "/dev/null" : `b/${path}`,
    old,
    now,
    undefined,
    undefined,
    { context: 3, headerOptions: FILE_HEADERS_ONLY },
  );
}

/** Undefined for what is no text. */
function textOf(file: BundleFile | undefined): string | undefined {
  if (file === undefined) return "";
  const text = Buffer.from(file.content).toString("utf8");
  if (text.includes("\0") || text.includes("\uFFFD")) return undefined;
  return text;
}

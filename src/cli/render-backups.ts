/** Backups as text for people: `ctl backup list`. */

import type { BackupsReport } from "../core/report.ts";
import { bytesText } from "../core/size.ts";
import { heading, joined } from "./render.ts";
import { relative, table, wrap, type View } from "./text.ts";

export function renderBackups({ applications, volumes, state }: BackupsReport, view: View): string {
  if (applications.length + volumes.length + state.length === 0)
    return joined(["no backups yet: the first rollout that changes something makes one"]);
  const sections: string[][] = [];
  if (applications.length > 0) {
    const lines = table(
      applications.map((one) => [
        String(one.id),
        relative(one.at, view.now),
        { text: `${one.source}/${one.application}`, tone: "bold" as const },
        one.before === null ? "" : `before deployment ${String(one.before)}`,
      ]),
      2,
      view,
    );
    sections.push([
      heading("VERSIONS", view),
      ...applications.flatMap(({ changed }, index) => [
        lines[index] ?? "",
        ...(changed.length === 0 ? [] : wrap(`with changes by hand in ${changed.join(", ")}`, 4, view)),
      ]),
    ]);
  }
  if (volumes.length > 0) {
    const lines = table(
      volumes.map((one) => [String(one.id), relative(one.at, view.now), { text: one.volume, tone: "bold" as const }, bytesText(one.bytes)]),
      2,
      view,
    );
    sections.push([heading("VOLUMES", view), ...volumes.flatMap(({ path }, index) => [lines[index] ?? "", ...wrap(path, 4, view)])]);
  }
  if (state.length > 0) {
    const rows = state.map((one) => [relative(one.at, view.now), bytesText(one.bytes), one.path]);
    sections.push([heading("STATE DATABASE", view), ...table(rows, 2, view)]);
  }
  return joined(sections.flatMap((lines, index) => (index === 0 ? lines : ["", ...lines])));
}

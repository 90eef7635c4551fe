/** The journal of the host, read by the host's own journalctl: pgo's container has neither the files nor the program. */

import type { Host } from "../../ports.ts";
import { success, trouble } from "../../core/result.ts";
import type { Run } from "./run.ts";

/** In milliseconds; journals on a slow card with a year in them take seconds. */
const deadlineMs = 8000;

/** `--user-unit` for those of a user's systemd (journalctl(1)); a user who lingers may read them by a unit of its own (tried with systemd 257). */
export function openJournalReader(mode: "rootful" | "rootless", run: Run): Pick<Host, "journal"> {
  return {
    async journal(service, lines, signal) {
      const unit = mode === "rootful" ? `--unit=${service}` : `--user-unit=${service}`;
      const argv = [
        "/usr/bin/journalctl",
        unit,
        `--lines=${String(lines)}`,
        "--no-pager",
        "--quiet",
        "--output=short-iso",
        "--no-hostname",
      ];
      const { code, stdout, stderr } = await run(argv, { deadlineMs }, signal);
      if (code !== 0) return trouble(`journalctl ${unit}: exit ${String(code)}: ${stderr.trim().split("\n").at(-1) ?? ""}`);
      return success(stdout.split("\n").filter((line) => line !== ""));
    },
  };
}

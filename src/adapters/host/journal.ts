/** The journal of the host, read by the host's own journalctl: pgo's container has neither the files nor the program. */

import type { Host } from "../../ports.ts";
import type { ServiceName } from "../../core/names.ts";
import { success, trouble } from "../../core/result.ts";
import type { Run } from "./run.ts";

/** In milliseconds; journals on a slow card with a year in them take seconds. */
const deadlineMs = 8000;

/** `--user-unit` for those of a user's systemd (journalctl(1)); a user who lingers may read them by a unit of its own (tried with systemd 257). */
export function openJournalReader(mode: "rootful" | "rootless", run: Run): Pick<Host, "journal" | "oomKills"> {
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

    /**
     * systemd's own words on each kill, which it says whatever `OOMPolicy=` is (its catalog; quadlets have `continue`). Nothing else outlasts
     * the container: Podman forgets `OOMKilled` with it, and the count that systemd has since 258 or so begins anew with each start.
     */
    async oomKills(signal) {
      const match = ["--boot", "MESSAGE_ID=fe6faa94e7774663a0da52717891d8ef", ...(mode === "rootful" ? [] : ["--user"])];
      const [field, form] = [mode === "rootful" ? "UNIT" : "USER_UNIT", ["--output=json", "--no-pager", "--quiet"]];
      const argv = ["/usr/bin/journalctl", ...match, ...form, `--output-fields=${field}`];
      const { code, stdout, stderr } = await run(argv, { deadlineMs }, signal);
      if (code !== 0) return trouble(`journalctl: exit ${String(code)}: ${stderr.trim().split("\n").at(-1) ?? ""}`);
      const kills = new Map<ServiceName, number>();
      for (const line of stdout.split("\n")) {
        const unit = line === "" ? undefined : (JSON.parse(line) as Readonly<Record<string, unknown>>)[field];
        if (typeof unit === "string" && unit.endsWith(".service"))
          kills.set(unit as ServiceName, (kills.get(unit as ServiceName) ?? 0) + 1);
      }
      return success(kills);
    },
  };
}

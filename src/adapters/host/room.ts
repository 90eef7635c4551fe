/** What a start needs of the host beside units: paths, free ports, free space. */

import { readFile, statfs } from "node:fs/promises";

import { endpoint, type Endpoint } from "../../core/endpoint.ts";
import type { Host } from "../../ports.ts";
import type { Run } from "./run.ts";

const deadlineMs = 30_000;

/** `test -e` follows symlinks, as a bind mount does. */
const script = 'for path do test -e "$path" || printf "%s\\n" "$path"; done';

export function openRoom(stateDirectory: string, run: Run): Pick<Host, "missing" | "listening" | "freeSpace"> {
  return {
    async missing(paths, signal) {
      const { code, stdout, stderr } = await run(["/bin/sh", "-c", script, "sh", ...paths], { deadlineMs }, signal);
      if (code !== 0) throw new Error(`look for paths on the host: exit ${String(code)}: ${stderr.trim()}`);
      return stdout.split("\n").filter((line) => line !== "");
    },

    async listening() {
      const tables = await Promise.all((["tcp", "tcp6", "udp", "udp6"] as const).map(async (name) => socketsIn(name, await table(name))));
      return tables.flat();
    },

    async freeSpace() {
      const { bavail, bsize } = await statfs(stateDirectory);
      return bavail * bsize;
    },
  };
}

/** A kernel without IPv6 has no table of it. */
async function table(name: string): Promise<string> {
  try {
    return await readFile(`/proc/net/${name}`, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** TCP_LISTEN; a UDP socket that is bound and not connected is TCP_CLOSE (proc_net(5), include/net/tcp_states.h of Linux). */
const waiting = { tcp: "0A", udp: "07" } as const;

/** Lines `  0: 0100007F:1F90 00000000:0000 0A …` below a heading: local address, remote address, state. */
export function socketsIn(name: "tcp" | "tcp6" | "udp" | "udp6", text: string): readonly Endpoint[] {
  const protocol = name.startsWith("tcp") ? "tcp" : "udp";
  return [...text.matchAll(/^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /gm)].flatMap(
    ([, address = "", port = "", state]) =>
      state === waiting[protocol] ? [endpoint(protocol, addressOf(address), parseInt(port, 16))] : [],
  );
}

/** Words of four bytes, each in the machine's order, which is little-endian on all that pgo is built for. */
function addressOf(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => (word.match(/../g) ?? []).map((byte) => parseInt(byte, 16)).reverse());
  if (bytes.length === 4) return bytes.join(".");
  return Array.from({ length: 8 }, (_, at) => (((bytes[at * 2] ?? 0) << 8) | (bytes[at * 2 + 1] ?? 0)).toString(16)).join(":");
}

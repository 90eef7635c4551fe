/** What systemd knows of the resources of units that run. */

import type { ServiceName } from "../../core/names.ts";
import { Refusal, callDeadline, content, refusals, type Call, type Connection } from "./bus.ts";

/** `MemoryMax=` of each in bytes, all asked for at once; those that have none are left out. */
export async function memoryLimits(
  connection: Connection,
  names: readonly ServiceName[],
  signal: AbortSignal,
): Promise<ReadonlyMap<ServiceName, number>> {
  if (names.length === 0) return new Map();
  const answers = await connection.callAll(
    names.map((name) => get(name, "MemoryMax")),
    callDeadline,
    signal,
  );
  return new Map(
    names.flatMap((name, index) => {
      const limit = figure(answers[index]);
      return limit === undefined ? [] : [[name, limit] as const];
    }),
  );
}

function get(name: ServiceName, property: string): Call {
  const body = ["org.freedesktop.systemd1.Service", property];
  return { path: pathOf(name), interface: "org.freedesktop.DBus.Properties", member: "Get", signature: "ss", body };
}

/** As bus_label_escape() of sd-bus makes it: all but letters and digits, and a digit at the beginning, as `_` and two hexadecimal digits. */
function pathOf(name: ServiceName): string {
  const escaped = [...Buffer.from(name)].map((byte, index) => {
    const letter = String.fromCharCode(byte);
    return (index === 0 ? /[A-Za-z]/ : /[A-Za-z0-9]/).test(letter) ? letter : `_${byte.toString(16).padStart(2, "0")}`;
  });
  return `/org/freedesktop/systemd1/unit/${escaped.join("")}`;
}

/** systemd's infinity is the largest number of 64 bits. */
function figure(answer: Refusal | readonly unknown[] | undefined): number | undefined {
  if (answer instanceof Refusal) {
    if (answer.code === refusals.noSuchUnit || answer.code === refusals.unknownObject) return undefined;
    throw answer;
  }
  const value = content(answer?.[0]);
  return typeof value === "bigint" && value < 2n ** 53n ? Number(value) : undefined;
}

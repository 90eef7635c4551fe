/** What systemd knows of units at this moment, in as few questions as it takes. */

import type { ServiceName } from "../../core/names.ts";
import type { ServiceState } from "../../ports.ts";
import { Refusal, callDeadline, content, refusals, systemd1, type Call, type Connection } from "./bus.ts";

/**
 * ListUnitsByNames loads what is on disk but not in memory, and answers `not-found` for what is nowhere, in the order asked.
 * The rest are single properties, all asked for at once: the whole of a unit's properties is hundreds of values.
 */
export async function servicesOf(
  connection: Connection,
  names: readonly ServiceName[],
  signal: AbortSignal,
): Promise<ReadonlyMap<ServiceName, ServiceState>> {
  if (names.length === 0) return new Map();
  const call = { ...systemd1, member: "ListUnitsByNames", signature: "as", body: [names.map(loadable)] };
  const [rows] = (await connection.call(call, callDeadline, signal)) as [readonly UnitRow[]];
  const wanted = rows.map((row) => (isAbsent(row) ? [] : propertiesOf(row)));
  const values = (await getAll(connection, wanted.flat(), signal)).values();
  return new Map(
    names.map((name, index) => {
      const row = rows[index];
      if (row === undefined) throw new Error(`ask systemd for ${name}: it is missing in the answer`);
      const properties = new Map(wanted[index]?.map(({ property }) => [property, values.next().value]));
      return [name, stateOf(row, properties)];
    }),
  );
}

/** Name, description, load, active and sub state, what it follows, object path. */
type UnitRow = readonly [string, string, string, string, string, string, string, ...unknown[]];

/** A template has no state and can't be loaded; an instance of it shows which file it is made from. */
function loadable(name: ServiceName): string {
  return name.replace(/@(?=\.[a-z]+$)/, "@pgo");
}

function isAbsent([, , load, active]: UnitRow): boolean {
  return load === "not-found" && active === "inactive";
}

/** A property of a unit: its object's path, the last part of the interface's name, and its name. */
export interface Property {
  readonly path: string;
  readonly kind: string;
  readonly property: string;
}

/** The values in the order asked; undefined where the unit went away between two questions. */
export async function getAll(connection: Connection, properties: readonly Property[], signal: AbortSignal): Promise<readonly unknown[]> {
  const calls = properties.map(({ path, kind, property }): Call => ({
    path,
    interface: "org.freedesktop.DBus.Properties",
    member: "Get",
    signature: "ss",
    body: [`org.freedesktop.systemd1.${kind}`, property],
  }));
  const answers = await connection.callAll(calls, callDeadline, signal);
  return answers.map((answer) => {
    if (!(answer instanceof Refusal)) return content(answer[0]);
    if (answer.code === refusals.noSuchUnit || answer.code === refusals.unknownObject) return undefined;
    throw answer;
  });
}

/** No more than the state leaves open, since 200 units with seven questions each are half a second. */
function propertiesOf([name, , , active, sub, , path]: UnitRow): readonly Property[] {
  const suffix = name.slice(name.lastIndexOf(".") + 1);
  const kind = suffix.charAt(0).toUpperCase() + suffix.slice(1);
  const general = ["FragmentPath", "SourcePath", "InvocationID", ...(isUp(active) ? ["ActiveEnterTimestampMonotonic"] : [])];
  // A start sets Result= and ExecMainStatus= back, so while the main process runs they say success.
  const ended = kindsWithResult.includes(suffix) && sub !== "running" ? ["Result"] : [];
  const own = suffix === "service" ? ["NRestarts", ...ended, ...ended.map(() => "ExecMainStatus")] : ended;
  return [...general.map((property) => ({ path, kind: "Unit", property })), ...own.map((property) => ({ path, kind, property }))];
}

const isUp = (active: string): boolean => active === "active" || active === "reloading" || active === "refreshing";

/** Only what starts processes, mounts or waits has a result of its own; a target or a slice has not. */
const kindsWithResult: readonly string[] = ["service", "timer", "socket", "path", "mount", "automount", "swap", "scope"];

function stateOf([, , load, active, sub]: UnitRow, properties: ReadonlyMap<string, unknown>): ServiceState {
  const text = (property: string): string => stringOr(properties.get(property), "");
  const since = Number(properties.get("ActiveEnterTimestampMonotonic") ?? 0) / 1000;
  const invocation = properties.get("InvocationID");
  return {
    load: loadState(load),
    active: activeState(active),
    sub,
    result: stringOr(properties.get("Result"), "success"),
    exitStatus: Number(properties.get("ExecMainStatus") ?? 0),
    invocation: invocation instanceof Uint8Array ? Buffer.from(invocation).toString("hex") : "",
    restarts: Number(properties.get("NRestarts") ?? 0),
    activeSince: isUp(active) && since > 0 ? dateOf(since) : undefined,
    fragment: text("FragmentPath"),
    source: text("SourcePath"),
  };
}

/**
 * By the present date, though that may have been set since: of CLOCK_MONOTONIC in milliseconds, which all processes of a host have in common
 * (clock_gettime(2); Node's hrtime is that clock).
 */
function dateOf(monotonic: number): Date {
  return new Date(Math.round(Date.now() - (Number(process.hrtime.bigint()) / 1e6 - monotonic)));
}

const stringOr = (value: unknown, otherwise: string): string => (typeof value === "string" && value !== "" ? value : otherwise);

/** Beside those of the port systemd knows `stub` (not read yet) and `merged` (another name of a loaded one). */
function loadState(load: string): ServiceState["load"] {
  const known = ["loaded", "not-found", "bad-setting", "error", "masked"] as const;
  return known.find((one) => one === load) ?? (load === "merged" ? "loaded" : "not-found");
}

/** `refreshing` (systemd 257 and later) is a reload of the unit's mounts. */
function activeState(active: string): ServiceState["active"] {
  const known = ["active", "reloading", "inactive", "failed", "activating", "deactivating", "maintenance"] as const;
  const found = known.find((one) => one === active) ?? (active === "refreshing" ? "reloading" : undefined);
  if (found === undefined) throw new Error(`systemd has a unit in a state that pgo does not know: ${active}`);
  return found;
}

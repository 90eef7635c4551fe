/**
 * Loaded into pgo before its own code (NODE_OPTIONS=--import): counts what a rollout does to the world, and stops pgo for ever at the
 * very place where it is to be killed. Nothing in pgo knows of it.
 *
 * What counts is each change at pgo's outermost edge: of a file, of the state database (a commit), a call to systemd that changes
 * something, a request to Podman that is no GET. A place is named by how many steps of the deployment have been recorded, and how many
 * such changes came since; so it needs no list of kinds of steps.
 */

import type * as FilePromises from "node:fs/promises";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import type { Effect, Order, Traced } from "./place.ts";
import { createRequire, syncBuiltinESMExports } from "node:module";

const directory = "/run/matrix";

interface Course {
  readonly order: Order | undefined;
  step: number;
  effect: number;
}

let course: Course | undefined;
/** Struck is before whatever comes next. */
let due: Order["by"] | undefined;
/** Statements of the transaction that is open. */
let statements: { readonly text: string; readonly values: Readonly<Record<string, unknown>> }[] = [];

function readOrder(): Order | undefined {
  return existsSync(`${directory}/order`) ? (JSON.parse(readFileSync(`${directory}/order`, "utf8")) as Order) : undefined;
}

function trace(line: Traced): void {
  appendFileSync(`${directory}/trace`, `${JSON.stringify(line)}\n`);
}

/** Whoever watches kills this process now, or the host. */
function stop(by: Order["by"]): void {
  due = undefined;
  writeFileSync(`${directory}/hit`, "");
  if (by === "SIGTERM") process.kill(process.pid, by);
  else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/** One change of the world. */
function change<Value>(what: string, work: () => Value): Value {
  if (due !== undefined) stop(due);
  const now = course;
  if (now === undefined) return work();
  const place = { step: now.step, effect: now.effect };
  now.effect += 1;
  const order = now.order?.step === place.step && now.order.effect === place.effect ? now.order : undefined;
  if (order?.how === "before") stop(order.by);
  const value = work();
  const lasts = value instanceof Promise || (typeof value === "object" && value !== null && "on" in value);
  trace({ ...place, what, lasts } satisfies Effect);
  if (order?.how === "during") {
    due = order.by;
    if (!lasts) stop(due);
    setTimeout(() => {
      if (due !== undefined) stop(due);
    }, order.delay);
  }
  return value;
}

// ---- the state database ----

/** What statements mean for the course, once they are committed. */
function committed(done: typeof statements): void {
  for (const { text, values } of done) {
    if (text.startsWith("INSERT INTO deployments")) course = { order: readOrder(), step: 0, effect: 0 };
    else if (course !== undefined && text.startsWith("INSERT INTO steps")) {
      trace({ step: course.step, kind: String(values["kind"]), target: String(values["target"]) });
      course.step += 1;
      course.effect = 0;
    } else if (course !== undefined && text.startsWith("UPDATE deployments SET finished")) {
      trace({ finished: true });
      writeFileSync(`${directory}/finished`, "");
      course = undefined;
    }
  }
}

type Run = (values?: Readonly<Record<string, unknown>>) => unknown;
interface Sqlite {
  readonly inTransaction: boolean;
  prepare: (this: Sqlite, text: string) => { run: Run };
  transaction: (this: Sqlite, work: () => unknown) => Record<"immediate" | "deferred", () => unknown>;
}

function watchDatabase(prototype: Sqlite): void {
  const { prepare, transaction } = prototype;
  prototype.prepare = function (this: Sqlite, text) {
    const statement = prepare.call(this, text);
    const run: Run = statement.run.bind(statement);
    statement.run = (values = {}) => {
      if (this.inTransaction) {
        // Before the intention is saved: nothing of this rollout is known anywhere.
        if (text.startsWith("INSERT INTO deployments") && readOrder()?.step === -1) stop(readOrder()?.by ?? "kill");
        statements.push({ text, values });
        return run(values);
      }
      const value = change(`commit ${text.slice(0, 40)}`, () => run(values));
      committed([{ text, values }]);
      return value;
    };
    return statement;
  };
  prototype.transaction = function (this: Sqlite, work) {
    const inner = transaction.call(this, work);
    const outermost = (begin: () => unknown) => () => {
      if (this.inTransaction) return begin();
      statements = [];
      const value = change("commit of several", begin);
      committed(statements);
      return value;
    };
    return { immediate: outermost(inner.immediate), deferred: outermost(inner.deferred) };
  };
}

// ---- files, systemd, Podman ----

type Call = (this: unknown, ...values: unknown[]) => unknown;

function wrap(on: object, name: string, isChange: (...values: unknown[]) => boolean = () => true): void {
  const object = on as Record<string, Call>;
  const inner = object[name];
  if (inner === undefined) throw new Error(`there is no ${name}: strike.ts does not fit this version`);
  object[name] = function (this: unknown, ...values: unknown[]) {
    return isChange(...values) ? change(`${name} ${told(values)}`, () => inner.apply(this, values)) : inner.apply(this, values);
  };
}

function told([first]: readonly unknown[]): string {
  if (typeof first === "string") return first;
  if (typeof first !== "object" || first === null) return "";
  const { member, method, path } = first as Readonly<Record<string, unknown>>;
  return [member ?? method, path].filter((word) => typeof word === "string").join(" ");
}

async function watchFiles(require: NodeJS.Require): Promise<void> {
  const files = require("node:fs/promises") as typeof FilePromises;
  await using handle = await files.open("/dev/null");
  const prototype = Object.getPrototypeOf(handle) as object;
  for (const name of ["writeFile", "write", "appendFile", "sync", "datasync", "truncate", "chmod"]) wrap(prototype, name);
  const changing = [
    "rename",
    "unlink",
    "rmdir",
    "mkdir",
    "chmod",
    "rm",
    "writeFile",
    "appendFile",
    "copyFile",
    "symlink",
    "link",
    "lutimes",
    "truncate",
  ];
  for (const name of changing) wrap(files, name);
  // O_WRONLY, O_RDWR, or in words.
  wrap(files, "open", (_path, flags) => (typeof flags === "number" ? (flags & 3) !== 0 : typeof flags === "string" && flags !== "r"));
  wrap(require("node:http") as object, "request", (options) => !["GET", "HEAD", undefined].includes(methodOf(options)));
  syncBuiltinESMExports();
}

const methodOf = (options: unknown) => (options as { readonly method?: string }).method;
const asks = /^(?:Get|List|AddMatch|RemoveMatch|Subscribe|Hello)/;

// The health command and ctl are other processes of the same container.
if (process.argv[2] === "run") {
  const require = createRequire("/app/src/main.js");
  await watchFiles(require);
  watchDatabase((require("better-sqlite3") as { readonly prototype: Sqlite }).prototype);
  const bus = (require("dbus-next/lib/bus") as { readonly prototype: object }).prototype;
  wrap(bus, "call", (message) => !asks.test(String((message as { readonly member: unknown }).member)));
}

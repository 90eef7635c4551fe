/** The journal and the log: every sink is told, none can hurt, and a line says what happened. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

import { openJournal } from "../../src/adapters/journal/journal.ts";
import { logSink, type LogSettings } from "../../src/adapters/journal/log.ts";
import type { Event, Happening } from "../../src/core/event.ts";
import { applicationId, applicationName, revision, sourceName } from "../../src/core/names.ts";

const morning = new Date("2026-01-01T06:15:02.000Z");
const clock = { now: () => morning };
const fleet = sourceName("fleet");
const outcome = {
  type: "outcome",
  application: applicationId(fleet, applicationName("shop")),
  outcome: "deployed",
  revision: revision("3f2c1ab".padEnd(40, "0")),
  deployment: 41,
  message: "2 units healthy",
  ms: 4200,
} as const;
const stopping: Happening = { type: "stopping", because: "SIGTERM" };

const unexpected = (line: string) => {
  throw new Error(line);
};

test("every sink gets every event with the time of the clock, in order", () => {
  const got: (readonly [string, Event])[] = [];
  const journal = openJournal(
    { log: (event) => got.push(["log", event]), metrics: (event) => got.push(["metrics", event]) },
    clock,
    unexpected,
  );
  journal.tell(stopping);
  assert.deepEqual(got, [
    ["log", { ...stopping, at: morning }],
    ["metrics", { ...stopping, at: morning }],
  ]);
});

test("a sink that throws stops neither the caller nor the others, and is reported once until it works again", () => {
  const got: Event[] = [];
  const lines: string[] = [];
  let broken = true;
  const store = () => {
    if (broken) throw new Error("cannot save an event", { cause: new Error("database or disk is full") });
  };
  const journal = openJournal({ "events table": store, metrics: (event) => got.push(event) }, clock, (line) => lines.push(line));
  const report = "cannot tell the events table about an event of type stopping: cannot save an event: database or disk is full";
  journal.tell(stopping);
  journal.tell(stopping);
  assert.equal(got.length, 2);
  assert.deepEqual(lines, [report]);
  broken = false;
  journal.tell(stopping);
  broken = true;
  journal.tell(stopping);
  assert.deepEqual(lines, [report, report]);
});

test("a fallback that throws too is no reason to fail", () => {
  const fail = () => {
    throw new Error("EPIPE");
  };
  openJournal({ log: fail }, clock, fail).tell(stopping);
});

function logged(settings: Partial<LogSettings> & { readonly terminal?: boolean }, ...happenings: readonly Happening[]): readonly string[] {
  const lines: string[] = [];
  const stream = { isTTY: settings.terminal ?? false, write: (line: string) => lines.push(line) };
  const sink = logSink({ level: "info", format: "json", environment: {}, ...settings, stream });
  for (const happening of happenings) sink({ ...happening, at: morning });
  return lines;
}

test("an outcome is one line of JSON with its fields by name", () => {
  assert.deepEqual(logged({}, outcome), [
    `{"level":"info","time":"2026-01-01T06:15:02.000Z","type":"outcome","source":"fleet","application":"shop","outcome":"deployed",` +
      `"revision":"3f2c1ab000000000000000000000000000000000","deployment":41,"ms":4200,"msg":"fleet@3f2c1ab shop deployed: 2 units healthy"}\n`,
  ]);
  const [line] = logged({}, { ...outcome, revision: undefined, deployment: undefined, ms: undefined, message: 'a "quoted"\nword' });
  assert.deepEqual(JSON.parse(line ?? ""), {
    level: "info",
    time: "2026-01-01T06:15:02.000Z",
    type: "outcome",
    source: "fleet",
    application: "shop",
    outcome: "deployed",
    msg: 'fleet shop deployed: a "quoted" word',
  });
});

test("the level follows what happened, and what is below it is not written", () => {
  const levels: readonly (readonly [Happening, string])[] = [
    [{ ...outcome, outcome: "failed" }, "error"],
    [{ ...outcome, outcome: "rolled-back" }, "warn"],
    [{ ...outcome, outcome: "rejected" }, "warn"],
    [{ ...outcome, outcome: "held" }, "warn"],
    [{ ...outcome, outcome: "repaired" }, "info"],
    [{ type: "source", source: fleet, state: "failed", message: "" }, "warn"],
    [{ type: "source", source: fleet, state: "recovered", message: "" }, "info"],
    [{ type: "warning", subject: "x", message: "y" }, "warn"],
    [{ type: "command", command: "sync", target: "", message: "" }, "info"],
    [{ type: "pass", source: fleet, outcome: "in-sync", ms: 1 }, "debug"],
    [{ type: "storage", kind: "database", bytes: 1 }, "debug"],
  ];
  const all = levels.map(([happening]) => happening);
  const seen = (level: LogSettings["level"]) => logged({ level }, ...all).map((line) => /"level":"([a-z]+)"/.exec(line)?.[1]);
  const expected = levels.map(([, level]) => level);
  assert.deepEqual(seen("debug"), expected);
  assert.deepEqual(
    seen("info"),
    expected.filter((level) => level !== "debug"),
  );
  assert.deepEqual(seen("error"), ["error"]);
  assert.equal(
    logged({ level: "warn", format: "text" }, ...all).length,
    expected.filter((level) => level === "warn" || level === "error").length,
  );
});

test("auto is JSON in a pipe and text on a terminal, with colours only there and without NO_COLOR", () => {
  const time = morning.toTimeString().slice(0, 8);
  const plain = `${time} fleet@3f2c1ab shop deployed: 2 units healthy\n`;
  assert.match(logged({ format: "auto" }, outcome)[0] ?? "", /^\{/);
  assert.deepEqual(logged({ format: "text" }, outcome), [plain]);
  assert.deepEqual(logged({ format: "auto", terminal: true, environment: { NO_COLOR: "1" } }, outcome), [plain]);
  assert.deepEqual(logged({ format: "auto", terminal: true, environment: { NO_COLOR: "" } }, { ...outcome, outcome: "failed" }), [
    `\u001B[2m${time}\u001B[0m \u001B[31mfleet@3f2c1ab shop failed: 2 units healthy\u001B[0m\n`,
  ]);
});

/** Runs a program that logs `lines` lines into a pipe that is read late, and ends as `end` says; answers how many arrived. */
function arrived(lines: number, end: string): number {
  const program = `
    import { logSink } from ${JSON.stringify(new URL("../../src/adapters/journal/log.ts", import.meta.url).href)};
    const sink = logSink({ level: "info", format: "json", stream: process.stdout, environment: {} });
    for (let number = 0; number < ${String(lines)}; number++) sink({ type: "stopping", at: new Date(0), because: String(number) + "_".repeat(100) });
    ${end}`;
  const pipe = ["-c", '"$@" | { sleep 0.5; cat; }', "sh"];
  const node = [process.execPath, "--input-type=module", "--eval", program];
  const { stdout } = spawnSync("sh", [...pipe, ...node], { encoding: "utf8", maxBuffer: 1e8 });
  return stdout.split("\n").length - 1;
}

test("no line is lost at the end, though the pipe is full and read late", () => {
  assert.equal(arrived(5000, "process.exitCode = 1;"), 5000);
});

test("no line is lost when the process is killed right after, as long as the pipe has room", () => {
  assert.equal(arrived(200, 'process.kill(process.pid, "SIGKILL");'), 200);
});

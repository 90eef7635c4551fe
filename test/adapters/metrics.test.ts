/** The metrics: names and labels as documented, fed by events, with an end for what is gone. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { openMetrics } from "../../src/adapters/journal/metrics.ts";
import type { Happening } from "../../src/core/event.ts";
import { applicationId, applicationName, revision, serviceName, sourceName } from "../../src/core/names.ts";

const fleet = sourceName("fleet");
const shop = applicationId(fleet, applicationName("shop"));
const blog = applicationId(fleet, applicationName("blog"));
const web = serviceName("web.service");
const secret = "a message that must not be here";
const outcome = (word: "deployed" | "rolled-back" | "rejected" | "in-sync", ms?: number): Happening => ({
  type: "outcome",
  application: shop,
  outcome: word,
  revision: revision("3f2c1ab".padEnd(40, "0")),
  deployment: 41,
  message: secret,
  ms,
});

/** The series after these events, by name and labels. */
async function counted(...happenings: readonly Happening[]): Promise<ReadonlyMap<string, number>> {
  using metrics = openMetrics({ version: "0.1.0" });
  for (const happening of happenings) metrics.sink({ ...happening, at: new Date("2026-01-01T06:15:02.500Z") });
  const text = await metrics.text();
  assert.doesNotMatch(text, /3f2c1ab|a message/);
  const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(samples.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}

test("a process that has seen nothing yet tells of itself", async () => {
  const series = await counted();
  assert.equal(series.get(`pgo_build_info{version="0.1.0",node="${process.versions.node}"}`), 1);
  for (const name of ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"])
    assert.ok((series.get(name) ?? 0) > 0, name);
  for (const name of ["nodejs_eventloop_lag_seconds", "nodejs_eventloop_lag_max_seconds"]) assert.ok((series.get(name) ?? -1) >= 0, name);
  assert.ok(Math.abs((series.get("process_start_time_seconds") ?? 0) - (Date.now() / 1000 - process.uptime())) < 1);
});

test("CPU time is counted on, not added up at each scrape", async () => {
  using metrics = openMetrics({ version: "0.1.0" });
  const cpu = async () => Number(/^process_cpu_seconds_total (.*)$/m.exec(await metrics.text())?.[1]);
  const first = await cpu();
  const second = await cpu();
  const { user, system } = process.cpuUsage();
  assert.ok(0 < first && first <= second && second <= (user + system) / 1e6, `${String(first)} then ${String(second)}`);
});

test("an application that ctl rollback holds shows as 1 until it follows Git again, and goes with it", async () => {
  const name = 'pgo_application_pinned{source="fleet",application="shop"}';
  const [held, free]: readonly Happening[] = [true, false].map((pinned) => ({ type: "pinned", application: shop, pinned }));
  assert.ok(held !== undefined && free !== undefined);
  assert.equal((await counted(held)).get(name), 1);
  assert.equal((await counted(held, free)).get(name), 0);
  assert.equal((await counted(held, { type: "gone", application: shop, service: undefined })).get(name), undefined);
});

test("passes and Git calls are counted by source, with zeros for what did not happen yet", async () => {
  const series = await counted(
    { type: "pass", source: fleet, outcome: "in-sync", ms: 300 },
    { type: "pass", source: fleet, outcome: "in-sync", ms: 300 },
    { type: "git", source: fleet, operation: "ls-remote", result: "failed", ms: 70 },
  );
  assert.equal(series.get('pgo_reconcile_total{source="fleet",outcome="in-sync"}'), 2);
  assert.equal(series.get('pgo_reconcile_total{source="fleet",outcome="source-failed"}'), 0);
  assert.equal(series.get('pgo_last_success_timestamp_seconds{source="fleet"}'), Date.parse("2026-01-01T06:15:02.500Z") / 1000);
  assert.equal(series.get('pgo_git_operations_total{source="fleet",operation="ls-remote",result="failed"}'), 1);
  assert.equal(series.get('pgo_git_operations_total{source="fleet",operation="ls-remote",result="ok"}'), 0);
  assert.equal(series.get('pgo_git_operation_duration_seconds_bucket{le="0.05",source="fleet",operation="ls-remote"}'), 0);
  assert.equal(series.get('pgo_git_operation_duration_seconds_bucket{le="0.1",source="fleet",operation="ls-remote"}'), 1);
});

test("a pass that could not read its source is no success", async () => {
  const series = await counted({ type: "pass", source: fleet, outcome: "source-failed", ms: 300 });
  assert.equal(series.get('pgo_last_success_timestamp_seconds{source="fleet"}'), undefined);
});

test("outcomes are counted by application, rollbacks also by themselves, and in-sync is no deployment", async () => {
  const series = await counted(outcome("deployed", 4000), outcome("rolled-back", 90_000), outcome("rejected"), outcome("in-sync"));
  const of = (word: string) => series.get(`pgo_deployments_total{source="fleet",application="shop",outcome="${word}"}`);
  assert.deepEqual(["deployed", "rolled-back", "rejected", "failed", "held", "repaired", "in-sync"].map(of), [1, 1, 1, 0, 0, 0, undefined]);
  assert.equal(series.get('pgo_rollbacks_total{source="fleet",application="shop"}'), 1);
  assert.equal(series.get('pgo_deployment_duration_seconds_sum{outcome="rolled-back"}'), 90);
  assert.equal(series.get('pgo_deployment_duration_seconds_count{outcome="rejected"}'), undefined);
});

test("health is 1 or 0 for each unit, probes are counted by kind and result", async () => {
  const series = await counted(
    { type: "health", application: shop, service: web, health: "healthy" },
    { type: "health", application: blog, service: serviceName("blog.service"), health: "starting" },
    { type: "probe", application: shop, kind: "http", result: "pass" },
  );
  assert.equal(series.get('pgo_unit_healthy{source="fleet",application="shop",unit="web.service"}'), 1);
  assert.equal(series.get('pgo_unit_healthy{source="fleet",application="blog",unit="blog.service"}'), 0);
  assert.equal(series.get('pgo_health_checks_total{source="fleet",application="shop",kind="http",result="pass"}'), 1);
  assert.equal(series.get('pgo_health_checks_total{source="fleet",application="shop",kind="http",result="fail"}'), 0);
  assert.equal(series.get('pgo_deployments_total{source="fleet",application="blog",outcome="deployed"}'), 0);
});

test("what containers use is a series where there is a figure, counters as the host has them, and gone with its unit", async () => {
  const usage = { at: new Date(0), of: ["c"], memory: 5, memoryLimit: 10, cpuSeconds: 7.5, cpu: 0.1, restarts: 2, oomKills: undefined };
  const event = { type: "resources", application: shop, service: web } as const;
  const labels = 'source="fleet",application="shop",unit="web.service"';
  const figures = (series: ReadonlyMap<string, number>) =>
    Object.fromEntries(
      [...series].flatMap(([key, value]) => (key.startsWith("pgo_container_") ? [[key.replace(`{${labels}}`, ""), value]] : [])),
    );
  assert.deepEqual(figures(await counted({ ...event, usage: { ...usage, memory: 4, cpuSeconds: 9 } }, { ...event, usage })), {
    pgo_container_memory_bytes: 5,
    pgo_container_memory_limit_bytes: 10,
    pgo_container_cpu_seconds_total: 7.5,
    pgo_container_restarts_total: 2,
  });
  assert.deepEqual(figures(await counted({ ...event, usage }, { type: "gone", application: shop, service: web })), {});
});

test("containers and storage are what was said last", async () => {
  const series = await counted(
    { type: "containers", states: { running: 3, exited: 1 } },
    { type: "containers", states: { running: 4 } },
    { type: "storage", kind: "database", bytes: 1 },
    { type: "storage", kind: "database", bytes: 4096 },
  );
  assert.equal(series.get('pgo_containers{state="running"}'), 4);
  assert.equal(series.has('pgo_containers{state="exited"}'), false);
  assert.equal(series.get('pgo_storage_bytes{kind="database"}'), 4096);
});

test("a unit or an application that is gone takes its figures with it, and no others", async () => {
  const seen: readonly Happening[] = [
    outcome("deployed", 4000),
    { type: "health", application: shop, service: web, health: "healthy" },
    { type: "health", application: shop, service: serviceName("db.service"), health: "healthy" },
    { type: "health", application: blog, service: serviceName("blog.service"), health: "healthy" },
    { type: "probe", application: shop, kind: "http", result: "pass" },
  ];
  const unit = await counted(...seen, { type: "gone", application: shop, service: web });
  const about = (series: ReadonlyMap<string, number>, word: string) => [...series.keys()].filter((key) => key.includes(word));
  assert.deepEqual(about(unit, "web.service"), []);
  assert.equal(about(unit, "db.service").length, 1);
  const application = await counted(...seen, { type: "gone", application: shop, service: undefined });
  assert.deepEqual(about(application, '"shop"'), []);
  assert.equal(about(application, "blog.service").length, 1);
});

test("two of them share nothing", async () => {
  using one = openMetrics({ version: "1" });
  using other = openMetrics({ version: "2" });
  one.sink({ type: "storage", at: new Date(0), kind: "database", bytes: 7 });
  assert.doesNotMatch(await other.text(), /pgo_storage_bytes\{/);
});

/**
 * The figures of docs/performance.md: pgo against a shell script that does the same by hand, on disposable test hosts, in one run.
 * `npm run bench` takes about twenty minutes; `npm run bench -- commit rollback many poll idle status` picks parts.
 */

import { readFileSync } from "node:fs";
import type { TestContext } from "node:test";

import type { HistoryEntry, PlanReport } from "../src/core/report.ts";
import { Installed, web } from "../test/e2e/installed.ts";
import { TestHost } from "../test/host/test-host.ts";

const rounds = 9;
/** The by-hand script knows no minimal time up, so pgo has none here either. */
const quick = `
[health]
interval = "100ms"
min_healthy_time = "0s"
`;

const parts = process.argv.slice(2);
const wanted = (part: string) => parts.length === 0 || parts.includes(part);
const ends: (() => Promise<void> | void)[] = [];
/** What TestHost needs of a test. */
const context = {
  after: (end: () => Promise<void>) => ends.push(end),
  diagnostic: (text: string) => {
    console.error(text);
  },
  passed: true,
} as unknown as TestContext;

/** One changed unit among many: from the trigger to verified healthy, by pgo and by hand, in turns. */
async function commitToHealthy(units: number): Promise<void> {
  const files = (say: string) =>
    Object.fromEntries(Array.from({ length: units }, (_, index) => unitFile(index, index === 0 ? say : "same")));
  const pgo = await Installed.up(context, { config: `${quick}[quadlet]\ndrift_interval = "1h"\n`, interval: "1h" });
  await pgo.repository.commit(files("0"));
  await sync(pgo);
  const hand = await TestHost.up(context, { images: true });
  const repository = await hand.repo("fleet");
  await repository.commit(files("0"));
  await hand.write("/root/by-hand", byHand, 0o755);
  await hand.exec(["/root/by-hand", "0"], { timeout: 900_000 });
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 1; round <= rounds; round += 1) {
    const say = String(round);
    // systemd refuses a start by hand after five in ten seconds; and what one leaves running for a moment must not count for the other.
    const rest = () => new Promise((resolve) => setTimeout(resolve, 2500));
    await rest();
    const [path, text] = unitFile(0, say);
    await repository.commit({ [path]: text });
    theirs.push(await timed(() => hand.exec(["/root/by-hand", say])));
    await rest();
    await pgo.repository.commit({ [path]: text });
    const asked = Date.now();
    await sync(pgo);
    const [last] = await pgo.history("a0");
    if (last?.outcome !== "deployed" || last.finishedAt === null) throw new Error(`round ${round}: ${JSON.stringify(last)}`);
    ours.push(Date.parse(last.finishedAt) - asked);
    if (round === rounds) console.log(breakdown(last));
  }
  const ratios = ours.map((ms, index) => ms / (theirs[index] ?? NaN));
  report(
    `commit to healthy, 1 unit of ${units} changed`,
    `pgo ${ms(ours)}, by hand ${ms(theirs)}, ratio ${spread(ratios, 2)} (wanted: at most 1.15)`,
  );
  for (const end of ends.splice(0).reverse()) await end();
}

/** From the verdict on a bad version to the old one healthy again, by pgo and by hand, in turns. */
async function rollback(): Promise<void> {
  const files = (say: string) => Object.fromEntries([0, 1, 2].map((index) => unitFile(index, index === 0 ? say : "same")));
  const checked = `${quick.replace("[health]", "[health]\nfailure_threshold = 1")}[quadlet]\ndrift_interval = "1h"\n`;
  const pgo = await Installed.up(context, { config: checked, interval: "1h" });
  // A page that only the good versions have; the bad one is given up after a second.
  const health = '[health.a0]\nhttp = { url = "http://127.0.0.1:10000/", contains = "good" }\ndeadline = "1s"\n';
  await pgo.repository.commit({ ...files("good"), "a0/pgo.toml": health });
  await sync(pgo);
  const hand = await TestHost.up(context, { images: true });
  const repository = await hand.repo("fleet");
  await repository.commit(files("good"));
  await hand.write("/root/by-hand", byHand, 0o755);
  await hand.write("/root/back-by-hand", backByHand, 0o755);
  await hand.exec(["/root/by-hand", "good"], { timeout: 900_000 });
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 1; round <= rounds; round += 1) {
    const [path, text] = unitFile(0, `bad ${round}`);
    const rest = () => new Promise((resolve) => setTimeout(resolve, 2500));
    await rest();
    await repository.commit({ [path]: text });
    await hand.exec(["/root/by-hand", "bad"]);
    theirs.push(await timed(() => hand.exec(["/root/back-by-hand", "good"])));
    await rest();
    await pgo.repository.commit({ [path]: text });
    const seen = pgo.host.exec(["/bin/sh", "-c", untilReverting]);
    await sync(pgo);
    const verdict = Number((await seen).stdout) / 1e6;
    const [last] = await pgo.history("a0");
    if (last?.outcome !== "rolled-back" || last.finishedAt === null) throw new Error(`round ${round}: ${JSON.stringify(last)}`);
    ours.push(Date.parse(last.finishedAt) - verdict);
    if (round === rounds) console.log(breakdown(last));
  }
  const ratios = ours.map((ms, index) => ms / (theirs[index] ?? NaN));
  report("verdict to the old version healthy", `pgo ${ms(ours)}, by hand ${ms(theirs)}, ratio ${spread(ratios, 2)} (wanted: at most 1.2)`);
  for (const end of ends.splice(0).reverse()) await end();
}

/** Two hundred applications that all change: how long it takes to plan that, and what memory it takes. */
async function many(): Promise<void> {
  const files = (say: string) => Object.fromEntries(Array.from({ length: 200 }, (_, index) => unitFile(index, say)));
  const pgo = await Installed.up(context, { config: `${quick}[quadlet]\ndrift_interval = "1h"\n`, interval: "1h" });
  await pgo.repository.commit(files("0"));
  await sync(pgo);
  await pgo.host.exec(["systemctl", "restart", "pgo.service"]);
  await pgo.host.waitFor("the first pass", async () => (await pgo.host.get("http://127.0.0.1:9180/readyz")).status === 200, 120_000);
  const before = await memory(pgo);
  await pgo.repository.commit(files("1"));
  const plans: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const question = ["curl", "--silent", "--unix-socket", "/var/lib/pgo/pgo.sock", "http://pgo/v1/plan"];
    let answer = "";
    plans.push(await timed(async () => (answer = (await pgo.host.exec(question)).stdout)));
    const pending = (JSON.parse(answer) as PlanReport).applications.filter(({ state }) => state === "pending").length;
    if (pending !== 200) throw new Error(`${pending} applications are pending`);
  }
  const after = await memory(pgo);
  report(
    "planning, 200 applications that all change",
    `${ms(plans)}, Git, the generator's dry run and the look at the host included (wanted: at most 300 ms); memory ${after.rss - before.rss} MB more (anonymous ${after.anonymous - before.anonymous} MB; wanted: at most 30 MB)`,
  );
  for (const end of ends.splice(0).reverse()) await end();
}

/** As `ctl sync --wait` asks, without the time that podman exec and Node take to start. */
async function sync(pgo: Installed): Promise<void> {
  const question = ["curl", "--silent", "--unix-socket", "/var/lib/pgo/pgo.sock", "--json", '{"wait":true}', "http://pgo/v1/sync"];
  await pgo.host.exec(question, { timeout: 900_000 });
}

function unitFile(index: number, say: string): [string, string] {
  return [
    `a${index}/a${index}.container`,
    web("good", 10_000 + index, `Environment=SAY=${say}`, "Network=host", `Environment=PORT=${10_000 + index}`).replace(
      /^PublishPort=.*\n/m,
      "",
    ),
  ];
}

function breakdown({ startedAt, finishedAt, steps }: HistoryEntry): string {
  const all = Date.parse(finishedAt ?? "") - Date.parse(startedAt);
  return `  steps of the last round: ${steps.map((step) => `${step.kind} ${step.ms} ms`).join(", ")}; rollout ${all} ms`;
}

/** The same by hand: fetch, copy what changed, daemon-reload, restart what changed, ask until it is healthy. */
const byHand = `#!/bin/bash
set -euo pipefail
export GIT_SSH_COMMAND="ssh -i /root/git_ed25519 -o UserKnownHostsFile=/root/known_hosts"
live=/etc/containers/systemd/hand
if [ ! -d /root/clone ]; then
  git clone -q --depth 1 ssh://git@127.0.0.1/srv/git/fleet.git /root/clone
  mkdir -p $live && cp -r /root/clone/a* $live/
  systemctl daemon-reload
  for unit in /root/clone/a*/*.container; do systemctl start "$(basename "$unit" .container).service"; done
  exit
fi
cd /root/clone
old=$(git rev-parse HEAD)
git fetch -q --depth 1 origin main
git reset -q --hard FETCH_HEAD
changed=$(git diff --name-only "$old" HEAD)
for file in $changed; do cp "$file" "$live/$file"; done
systemctl daemon-reload
for file in $changed; do systemctl restart "$(basename "$file" .container).service"; done
until curl -sf http://127.0.0.1:10000/ | grep -q "$1"; do sleep 0.1; done
`;

/** Back by hand: the commit before, copied, reloaded, restarted, asked until it is healthy. */
const backByHand = `#!/bin/bash
set -euo pipefail
live=/etc/containers/systemd/hand
cd /root/clone
changed=$(git diff --name-only ORIG_HEAD HEAD)
git reset -q --hard ORIG_HEAD
for file in $changed; do cp "$file" "$live/$file"; done
systemctl daemon-reload
for file in $changed; do unit=$(basename "$file" .container).service; systemctl reset-failed "$unit"; systemctl restart "$unit"; done
until curl -sf http://127.0.0.1:10000/ | grep -q "$1"; do sleep 0.1; done
`;

/** Prints when pgo was first seen to go back, in nanoseconds. */
const untilReverting = `
until curl --silent --unix-socket /var/lib/pgo/pgo.sock http://pgo/v1/status | grep -q '"phase":"reverting"'; do sleep 0.005; done
date +%s%N`;

/** CPU of a pass that finds nothing, git's and ssh's included, against git ls-remote alone. */
async function pollWithoutChange(): Promise<void> {
  const pgo = await Installed.up(context, {
    files: { "a/a.container": web("good", 8080) },
    config: `${quick}[quadlet]\ndrift_interval = "1h"\n`,
    interval: "1s",
  });
  await pgo.outcome("a", await pgo.repository.head(), "deployed");
  await pgo.polls(3);
  const before = { cpu: await payloadCpu(pgo), polls: await polls(pgo) };
  await new Promise((resolve) => setTimeout(resolve, 60_000));
  const after = { cpu: await payloadCpu(pgo), polls: await polls(pgo) };
  const pass = (after.cpu - before.cpu) / (after.polls - before.polls) / 1000;
  const bare = await pgo.host.sh(`
    export GIT_SSH_COMMAND="ssh -i /root/git_ed25519 -o UserKnownHostsFile=/root/known_hosts"
    for i in $(seq 50); do git ls-remote ssh://git@127.0.0.1/srv/git/fleet.git refs/heads/main >/dev/null; done
    times`);
  // The second line is that of the children.
  const seconds = [...(bare.split("\n").at(-1) ?? "").matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest),
    0,
  );
  const alone = (seconds / 50) * 1000;
  report(
    "pass without change, CPU",
    `pgo ${pass.toFixed(1)} ms (its health command and idling included), git ls-remote alone ${alone.toFixed(1)} ms, ratio ${(pass / alone).toFixed(2)} (wanted: at most 1.5)`,
  );
  for (const end of ends.splice(0).reverse()) await end();
}

/** Twenty units, a poll a minute: memory and CPU of pgo with its health command, and how long status takes. */
async function idle(): Promise<void> {
  const files = Object.fromEntries(Array.from({ length: 20 }, (_, index) => unitFile(index, "same")));
  const pgo = await Installed.up(context, { files, config: quick, interval: "60s" });
  await pgo.outcome("a9", await pgo.repository.head(), "deployed", 300_000);
  if (wanted("idle")) {
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    const [cpu, began] = [await payloadCpu(pgo), performance.now()];
    await new Promise((resolve) => setTimeout(resolve, 300_000));
    const share = ((await payloadCpu(pgo)) - cpu) / 1000 / (performance.now() - began);
    const { rss, anonymous } = await memory(pgo);
    report(
      "idle, 20 units, 5 minutes",
      `RSS ${rss} MB (anonymous ${anonymous} MB; wanted: at most 100 MB), CPU ${(share * 100).toFixed(2)} % of a core (wanted: below 0.5 %)`,
    );
  }
  if (wanted("status")) {
    const times: number[] = [];
    for (let round = 0; round < 15; round += 1) times.push(await timed(() => pgo.host.exec(["podman", "exec", "pgo", "ctl", "status"])));
    const bare: number[] = [];
    for (let round = 0; round < 15; round += 1) bare.push(await timed(() => pgo.host.exec(["podman", "exec", "pgo", "true"])));
    report("ctl status, 20 units", `${ms(times)} by podman exec, which alone takes ${ms(bare)} (wanted: at most 200 ms)`);
  }
}

/** Microseconds of CPU that pgo's container has used, git, ssh and health commands included. */
async function payloadCpu(pgo: Installed): Promise<number> {
  const path = await pgo.host.sh("find /sys/fs/cgroup -path '*pgo.service/libpod-payload-*' -name cpu.stat | head -1");
  return Number(/usage_usec (\d+)/.exec(await pgo.host.read(path))?.[1]);
}

async function polls(pgo: Installed): Promise<number> {
  const { body } = await pgo.host.get("http://127.0.0.1:9180/metrics");
  return Number(/^pgo_git_operations_total\{[^}]*ls-remote[^}]*ok[^}]*\} (\d+)/m.exec(body)?.[1]);
}

async function memory(pgo: Installed): Promise<{ rss: number; anonymous: number }> {
  const pid = await pgo.host.sh("podman inspect --format '{{.State.Pid}}' pgo");
  const text = await pgo.host.read(`/proc/${pid}/smaps_rollup`);
  const figure = (name: string) => Math.round(Number(new RegExp(`^${name}: +(\\d+)`, "m").exec(text)?.[1]) / 1024);
  return { rss: figure("Rss"), anonymous: figure("Anonymous") };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

function ms(values: readonly number[]): string {
  return `${spread(values, 0)} ms`;
}

function spread(values: readonly number[], digits: number): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN).toFixed(digits);
  return `${at(0.5)} (${at(0)} to ${at(1)})`;
}

function report(what: string, figures: string): void {
  const cpu = /model name\s*: (.*)/.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "?";
  console.log(`${what}: ${figures}${parts.length === 0 ? "" : ` [${cpu}]`}`);
}

try {
  if (wanted("commit")) for (const units of [3, 200]) await commitToHealthy(units);
  if (wanted("rollback")) await rollback();
  if (wanted("many")) await many();
  if (wanted("poll")) await pollWithoutChange();
  if (wanted("idle") || wanted("status")) await idle();
} finally {
  for (const end of ends.reverse()) await end();
}

/**
 * pgo killed, and the power cut, at moments all over a rollout of many files: it converges without help, and history and status tell the
 * truth. The exact places, step by step, are the kill matrix's (test/matrix).
 */

import assert from "node:assert/strict";
import { createHash, randomInt } from "node:crypto";
import { test, type TestContext } from "node:test";

import { Installed, web } from "./installed.ts";

/** So many files, that writing them takes a while. */
const notes = Array.from({ length: 60 }, (_, index) => `conf/${String(index).padStart(2, "0")}.txt`);

/** The files of the application's version `n`: two services, each saying the version, and notes that both mount. */
function version(n: number, tag = "good"): Readonly<Record<string, string>> {
  const quadlet = (image: string, port: number) => web(image, port, `Environment=SAY=${n}`, "Volume=./conf:/conf:ro");
  return {
    ...Object.fromEntries(notes.map((path) => [path, `version ${n}.\n`])),
    "db.container": quadlet("good", 8082),
    "web.container": quadlet(tag, 8081),
  };
}

/** Long enough to be hit while it is verified. */
const settings = `
[health.db]
min_healthy_time = "2s"
[health.web]
http = { url = "http://127.0.0.1:8081/ready" }
min_healthy_time = "2s"
deadline = "6s"
`;

interface Moment {
  readonly name: string;
  /** Shell conditions, each waited for after the one before. `new FILE`, `old FILE`: the file is of the new or of the old version; `busy UNIT`: it is being stopped or started. */
  readonly until: readonly string[];
  /** Up to so many milliseconds later, by chance. */
  readonly within: number;
  /** The version never gets healthy, so that it is undone. */
  readonly bad?: boolean;
}

const moments: readonly Moment[] = [
  { name: "half of the files are written", until: ["new conf/30.txt"], within: 0 },
  { name: "systemd reads the units", until: ["new web.container"], within: 60 },
  { name: "the first service restarts", until: ["busy db"], within: 30 },
  { name: "they are verified", until: ["busy web", "! busy web"], within: 1500 },
  { name: "the last good version restarts", until: ["new web.container", "old web.container", "busy web"], within: 1000, bad: true },
];

/** Waits in the host for a moment of the rollout of version `n`, and then so many milliseconds. */
function wait(until: Moment["until"], delay: number, { directory, n }: { readonly directory: string; readonly n: number }): string {
  return `
    cd ${directory}
    new() { grep -Eqs '(version |SAY=)${n}\\b' "$1"; }
    old() { ! new "$1"; }
    busy() { [ "$(systemctl show --property=ActiveState --value "$1.service")" != active ]; }
    ${until.map((condition) => `until ${condition}; do :; done`).join("\n")}
    sleep ${delay / 1000}`;
}

interface Blow {
  /** What was not synced is lost. */
  readonly powerCut: boolean;
  /** Strikes at a moment, and answers when pgo and the host have been started again, by systemd or by a person who pushes the button. */
  strike(pgo: Installed, waiting: string): Promise<void>;
  /** The most starts of a service that it may add to the one that the rollout needs: one that could not be known of, and that of a boot. */
  readonly more: number;
}

for (const [what, blow] of Object.entries<Blow>({
  "pgo killed": {
    powerCut: false,
    strike: async (pgo, waiting) => {
      await pgo.host.sh(`pid=$(podman inspect --format '{{.State.Pid}}' pgo); ${waiting}; kill -9 "$pid"`);
    },
    more: 1,
  },
  "the power cut": {
    powerCut: true,
    strike: async (pgo, waiting) => {
      await pgo.host.sh(waiting);
      await pgo.host.kill();
      await pgo.host.boot();
    },
    more: 2,
  },
}))
  test(`${what} in the middle of a rollout, at five moments: what was begun is finished or undone, and told`, async (t) => {
    const pgo = await Installed.up(t, {
      powerCut: blow.powerCut,
      files: { ...below("shop", { ...version(1), "pgo.toml": settings }), "blog/blog.container": web("good", 8083) },
    });
    await pgo.deployed("shop", "blog");
    if (blow.powerCut) await pgo.host.sync();
    let good = { n: 1, revision: await pgo.repository.head() };
    for (const [index, moment] of moments.entries())
      await t.test(`while ${moment.name}`, async (t) => {
        const n = index + 2;
        const before = { web: await starts(pgo, "web"), db: await starts(pgo, "db"), blog: await starts(pgo, "blog") };
        const delay = randomInt(moment.within + 1);
        t.diagnostic(`${delay} ms later`);
        const striking = blow.strike(pgo, wait(moment.until, delay, { directory: `${pgo.placed}/shop`, n }));
        const revision = await pgo.repository.commit(below("shop", version(n, moment.bad === true ? "never-healthy" : "good")));
        await striking;
        const { outcome } = await pgo.outcome("shop", revision, moment.bad === true ? "rolled-back" : "deployed", 120_000);
        if (moment.bad !== true) good = { n, revision };
        await hit(t, pgo, revision);

        assert.deepEqual(await placed(pgo), digests(version(good.n)), "every file is whole, and of one version, and nothing else is there");
        assert.equal(await pgo.host.sh("find /var/lib/pgo/staging /var/lib/pgo/runs -mindepth 1"), "");
        assert.deepEqual([await pgo.page(8081), await pgo.page(8082)], [String(good.n), String(good.n)]);
        const one = await pgo.application("shop");
        assert.deepEqual(
          { revision: one?.revision, health: one?.health, phase: one?.phase, units: one?.units.map(({ active }) => active) },
          { revision: good.revision, health: "healthy", phase: null, units: ["active", "active"] },
        );
        const entries = (await pgo.history("shop")).filter((entry) => entry.revision === revision);
        assert.deepEqual(
          entries.map((entry) => entry.outcome),
          [outcome],
        );
        // There and back, a service starts twice.
        const needed = moment.bad === true ? 2 : 1;
        for (const service of ["web", "db"] as const) {
          const more = (await starts(pgo, service)) - before[service] - needed;
          assert.ok(
            more >= 0 && more <= (moment.bad === true ? 2 : 1) * blow.more,
            `${service} was started ${needed} and ${more} more times`,
          );
        }
        assert.equal((await starts(pgo, "blog")) - before.blog, blow.more - 1, "what is not concerned is not touched");
      });
    assert.equal((await pgo.history()).filter(({ finishedAt }) => finishedAt === null).length, 0);
    const told = (await pgo.log()).filter((line) => /^fleet@\w+ shop (?:deployed|rolled-back|repaired|failed):/.test(line));
    assert.equal(told.length, moments.length + 1, `each rollout is told once:\n${told.join("\n")}`);
  });

/** That the blow hit a rollout, which then went on; and what it did before and after, for whoever wants to see. */
async function hit(t: TestContext, pgo: Installed, revision: string): Promise<void> {
  const started = (await pgo.log()).filter((line) => line.startsWith("pgo ")).at(-1) ?? "";
  const steps = (await pgo.history("shop")).find((entry) => entry.revision === revision)?.steps ?? [];
  const counts = Map.groupBy(steps, ({ kind }) => kind);
  t.diagnostic(`${started}; steps: ${[...counts].map(([kind, all]) => `${all.length} ${kind}`).join(", ")}`);
  assert.match(started, /^pgo \S+ started, to finish: 1 rollout$/);
}

function below(directory: string, files: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(files).map(([path, content]) => [`${directory}/${path}`, content]));
}

function digests(files: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(files).map(([path, content]) => [path, createHash("sha256").update(content).digest("hex")]));
}

async function placed(pgo: Installed): Promise<Readonly<Record<string, string>>> {
  const lines = await pgo.host.sh(
    `cd ${pgo.placed}/shop && find . -type f -printf '%P\\0' | sort --zero-terminated | xargs --null sha256sum`,
  );
  return Object.fromEntries(lines.split("\n").map((line) => [line.slice(66), line.slice(0, 64)]));
}

/** How often systemd has started a service, over all boots. */
async function starts(pgo: Installed, name: string): Promise<number> {
  return (await pgo.host.journal(`${name}.service`)).split("\n").filter((line) => line.includes(`: Started ${name}.service`)).length;
}

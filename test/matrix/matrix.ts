/** The kill matrix: pgo is killed, or the host loses its power, at an exact place of a rollout; then all that may be seen is as if nothing had been. */

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import type { HistoryEntry, PlanReport, StatusReport } from "../../src/core/report.ts";
import { Installed } from "../e2e/installed.ts";
import type { TestHost } from "../host/test-host.ts";
import { askPgo, dataOf, differing, look } from "./look.ts";
import type { Order, Traced } from "./place.ts";
import { placesIn, type Point } from "./points.ts";
import { bystanders, config, ours, type Track, type Transition } from "./world.ts";

const here = fileURLToPath(new URL(".", import.meta.url));

/** Beside pgo's own quadlet. What is in /run goes with the power. */
const dropIn = `[Container]
Volume=/opt/matrix:/opt/matrix:ro
Volume=/run/matrix:/run/matrix
Environment=NODE_OPTIONS=--import=/opt/matrix/strike.ts
# Each would start a Node of its own, every second.
HealthCmd=["/bin/true"]
HealthStartupCmd=["/bin/true"]
[Service]
ExecStartPre=/usr/bin/mkdir -p /run/matrix
RestartSec=100ms
`;

/** What a transition that nobody disturbs comes to. */
interface Clean {
  readonly trace: readonly Traced[];
  /** How often each service is started. */
  readonly starts: ReadonlyMap<string, number>;
}

export class Matrix {
  readonly #pgo: Installed;
  readonly #host: TestHost;
  readonly #track: Track;
  readonly #clean = new Map<string, Clean>();
  /** What the host shows in each state. */
  readonly #shown = new Map<string, string>();
  #state: string;
  #count = 0;

  private constructor(pgo: Installed, track: Track) {
    this.#pgo = pgo;
    this.#host = pgo.host;
    this.#track = track;
    this.#state = track.begin;
  }

  /** A host with pgo on it, which follows a repository with the bystanders and the track's application in its first state. */
  static async up(t: TestContext, track: Track): Promise<Matrix> {
    const pgo = await Installed.boot(t, { powerCut: true, files: bystanders });
    await pgo.host.write("/etc/containers/systemd/pgo-self/pgo.container.d/matrix.conf", dropIn);
    for (const name of ["strike.ts", "place.ts"]) await pgo.host.copy(`${here}${name}`, `/opt/matrix/${name}`);
    await pgo.configure(config, "1h");
    await pgo.repository.commit(track.first, "begin");
    await pgo.install(pgo.repository.url);
    await pgo.deployed("shop", "blog");
    await pgo.host.sync();
    const matrix = new Matrix(pgo, track);
    await matrix.#byHand();
    return matrix;
  }

  get state(): string {
    return this.#state;
  }

  /** All transitions once, undisturbed: what they bring is what the disturbed ones are held against. */
  async learn(): Promise<readonly Omit<Point, "blow">[]> {
    const { transitions } = this.#track;
    while (this.#clean.size < transitions.length) {
      const next = this.#leaving().find(({ name }) => !this.#clean.has(name)) ?? this.#leaving().find(({ from, to }) => from !== to);
      assert.ok(next);
      await this.pass(next);
    }
    return transitions.flatMap(({ name }) => placesIn(this.#clean.get(name)?.trace ?? [], name));
  }

  #leaving(): readonly Transition[] {
    return this.#track.transitions.filter(({ from }) => from === this.#state);
  }

  /** The way to where a transition begins. */
  next(wanted: ReadonlySet<string>): Transition | undefined {
    return this.#leaving().find(({ name }) => wanted.has(name)) ?? this.#leaving().find(({ from, to }) => from !== to);
  }

  /** One transition that nobody disturbs. */
  async pass(transition: Transition): Promise<void> {
    const cursor = await this.#cursor();
    await this.#host.sh("rm -f /run/matrix/*");
    const revision = await this.#push(transition);
    await this.#converged(transition, revision);
    const trace = (await this.#host.read("/run/matrix/trace"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Traced);
    const starts = await this.#starts(cursor);
    if (!this.#clean.has(transition.name)) this.#clean.set(transition.name, { trace, starts });
    this.#state = transition.to;
    const shown = await look(this.#host);
    const before = this.#shown.get(this.#state);
    if (before === undefined) this.#shown.set(this.#state, shown);
    else assert.deepEqual(differing(shown, before), [], `undisturbed, "${transition.name}" comes to something else than before`);
    await this.#byHand();
  }

  /** Answers false where the place did not come up this time. Throws where something is not as it should be. */
  async strike(point: Point, delay: number): Promise<boolean> {
    const transition = this.#track.transitions.find(({ name }) => name === point.transition);
    assert.ok(transition?.from === this.#state, `${point.transition} does not begin at ${this.#state}`);
    const cursor = await this.#cursor();
    const data = await dataOf(this.#host);
    const isAsked = point.blow === "pgo asked to end";
    const order: Order = { step: point.step, effect: point.effect, how: point.how, delay, by: isAsked ? "SIGTERM" : "kill" };
    await this.#host.sh(`rm -f /run/matrix/*; cat >/run/matrix/order`, { input: JSON.stringify(order) });
    // A pgo that is asked to end does so within five seconds, wherever it is.
    const kill = { "pgo killed": 'kill -9 "$pid"', "power cut": "true", "pgo asked to end": 'timeout 5 tail --pid="$pid" -f /dev/null' }[
      point.blow
    ];
    const struck = this.#host.sh(`pid=$(podman inspect --format '{{.State.Pid}}' pgo); cd /run/matrix
      until [ -e hit ] || [ -e finished ]; do sleep 0.005; done
      [ -e hit ] || exit 0; rm order; ${kill}; echo hit`);
    const revision = await this.#push(transition);
    const hit = (await struck) === "hit";
    if (hit && point.blow === "power cut") {
      await this.#host.kill();
      await this.#host.boot({ wait: false });
    }
    await this.#converged(transition, revision);
    // Answered when the first pass after the start, with its look at the host, is over.
    const { applications } = (await askPgo(this.#host, "/plan")) as PlanReport;
    this.#state = transition.to;
    if (transition.outcome === "deployed" || transition.outcome === "absent")
      assert.deepEqual(
        applications.filter(({ name, steps }) => this.#concerns(name) && steps.length > 0),
        [],
        "nothing is left to do",
      );
    await this.#verify(point, revision, cursor);
    if (transition.outcome === "rolled-back") assert.equal(await dataOf(this.#host), data, "the data of the volume is back");
    await this.#byHand();
    return hit;
  }

  /** What a boot leaves undone of others (a timer that nothing installs) is not this rollout's to mend. */
  #concerns(application: string): boolean {
    return application === this.#track.name || application === "blog";
  }

  /** After trouble, so that the next point begins where it should. */
  async mend(): Promise<void> {
    const home = this.#track.transitions.find(({ to, outcome }) => outcome === "deployed" && this.#shown.has(to));
    assert.ok(home);
    const revision = await this.#push(home);
    await this.#converged(home, revision);
    this.#state = home.to;
  }

  /** For whoever looks into it: what pgo has done lately, and said. */
  async story(): Promise<string> {
    const history = (await askPgo(this.#host, "/history?limit=4")) as readonly HistoryEntry[];
    const entries = history.map(({ id, application, cause, outcome, description, steps }) => {
      const did = steps.map(
        ({ kind, target, because, error }) => `    ${kind} ${target}: ${because}${error === null ? "" : ` FAILED ${error}`}`,
      );
      return [`#${id} ${application} by ${cause}: ${String(outcome)}: ${description}`, ...did].join("\n");
    });
    const log = await this.#host.sh("journalctl --quiet --lines=40 --output=short-precise CONTAINER_NAME=pgo | cut -c1-400");
    return [...entries.reverse(), log].join("\n");
  }

  // ---- what is checked ----

  async #verify(point: Point, revision: string, cursor: string): Promise<void> {
    const clean = this.#clean.get(point.transition);
    const differs = differing(await look(this.#host), this.#shown.get(this.#state) ?? "");
    assert.deepEqual(differs, [], "the host shows the same as without the blow");
    const starts = await this.#starts(cursor);
    for (const name of new Set([...starts.keys(), ...(clean?.starts.keys() ?? [])])) {
      // One that nobody can know of, and that of the boot.
      const most = (clean?.starts.get(name) ?? 0) + (name === "blog.service" ? 0 : 1) + (point.blow === "power cut" ? 1 : 0);
      const count = starts.get(name) ?? 0;
      assert.ok(count <= most, `${name} was started ${count} times, and ${most} are the most that a blow may take`);
    }
    const history = (await askPgo(this.#host, "/history?limit=50")) as readonly HistoryEntry[];
    assert.deepEqual(
      history.filter(({ finishedAt }) => finishedAt === null),
      [],
      "nothing in history is under way",
    );
    const [rollout] = history.filter((entry) => entry.revision === revision && entry.cause === "commit");
    const repairs = history.filter(
      ({ id, application, cause }) => cause === "drift" && id > (rollout?.id ?? 0) && this.#concerns(application),
    );
    assert.deepEqual(
      repairs.map(({ description }) => description),
      [],
      "the rollout leaves nothing to be put right",
    );
    const outcomes = history.filter((entry) => entry.revision === revision && entry.cause === "commit").map(({ outcome }) => outcome);
    const { outcome } = this.#track.transitions.find(({ name }) => name === point.transition) ?? {};
    assert.deepEqual(outcomes, [outcome === "absent" ? "deployed" : outcome], "history tells the rollout once");
  }

  // ---- ways ----

  async #push({ files }: Transition): Promise<string> {
    this.#count += 1;
    const revision = await this.#pgo.repository.commit(files(`@@${this.#count}@@`), `change ${this.#count}`);
    await askPgo(this.#host, "/sync", { wait: false });
    return revision;
  }

  async #converged({ application, outcome }: Transition, revision: string): Promise<void> {
    await this.#host.waitFor(
      `${application} to be ${outcome} at ${revision.slice(0, 7)}`,
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 100));
        const { sources, applications } = (await askPgo(this.#host, "/status")) as StatusReport;
        const one = applications.find(({ name }) => name === application);
        if (sources[0]?.revision !== revision || applications.some(({ phase }) => phase !== null)) return false;
        if (outcome === "absent" ? one === undefined : one?.outcome === outcome) return true;
        throw new Error(JSON.stringify(one));
      },
      60_000,
    );
  }

  async #byHand(): Promise<void> {
    const { byHand } = this.#track;
    if (byHand?.from !== this.#state) return;
    await byHand.work(this.#host);
    await this.#host.sync();
    this.#state = byHand.to;
    this.#shown.set(this.#state, await look(this.#host));
  }

  /** Where the journal is now. It lies on no disk that loses anything. */
  #cursor(): Promise<string> {
    return this.#host.sh("journalctl --quiet --lines=1 --output=json | jq -r .__CURSOR");
  }
  async #starts(cursor: string): Promise<ReadonlyMap<string, number>> {
    const lines = await this.#host.sh(
      `journalctl --quiet --after-cursor='${cursor}' --output=cat _PID=1 | grep -oE '^Started ${ours}\\.service' || true`,
    );
    const all = Map.groupBy(
      lines.split("\n").filter((line) => line !== ""),
      (line) => line.slice("Started ".length),
    );
    return new Map([...all].map(([name, times]) => [name, times.length]));
  }
}

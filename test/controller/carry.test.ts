/** A handover carried out: by versions that work and that don't, with faults on the way, and killed at each of its calls. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { carry } from "../../src/controller/carry.ts";
import type { Answer, Handover, Side } from "../../src/core/handover.ts";
import { success, trouble } from "../../src/core/result.ts";
import type { HandoverFiles, Host, ServiceState } from "../../src/ports.ts";
import { fakeClock } from "../fakes/clock.ts";

/** What a version of pgo does when it is started. */
type Behaviour = "works" | "crashes" | "hangs" | "says nothing" | "can't read";

const sides = {
  from: { image: "old", files: [{ path: "pgo.container", text: "old" }] },
  to: { image: "new", files: [{ path: "pgo.container", text: "new" }] },
};

/** One host with one pgo, whose state a new version changes as soon as it runs. */
class Scene {
  readonly clock = fakeClock();
  record: Handover | undefined = {
    ...{ schema: 1, deployment: 1, ...sides, database: "/state.db", directory: "/pgo-self", deadline: 30_000, phase: { at: "begun" } },
  };
  placed = "old";
  runs: "old" | "new" | undefined = "old";
  database: string | undefined = "old";
  copy: string | undefined;
  said: Answer | undefined;
  readonly phases: string[] = [];
  /** Calls that fail, by name. */
  readonly broken = new Set<string>();
  /** The call at which whoever carries it out is killed, counted over all lives: 3 before it, 2.5 after it. */
  killAt = Infinity;
  calls = 0;
  #invocations = 0;
  readonly #next: Behaviour;

  constructor(next: Behaviour) {
    this.#next = next;
  }

  /** As systemd does it: again, until it ends by itself. */
  async carryOut(): Promise<void> {
    for (let lives = 0; lives < 20; lives++) {
      const life = new AbortController();
      const done = carry(this.#carrying(life), life.signal).then(
        () => true,
        () => false,
      );
      const progress = { over: false };
      void done.then(() => (progress.over = true));
      while (!progress.over) await this.clock.advance(1000);
      if (await done) return;
    }
    assert.fail("it never ends");
  }

  #carrying(life: AbortController) {
    const guarded =
      <Args extends readonly unknown[], Value>(name: string, work: (...args: Args) => Value) =>
      (...args: Args): Promise<Value> => {
        if (life.signal.aborted) return Promise.reject(new Error("dead"));
        this.calls += 1;
        const isKilled = Math.ceil(this.calls) === Math.ceil(this.killAt);
        if (isKilled) life.abort(new Error("killed"));
        // At a whole number before the work, else when it is done and nobody has heard of it.
        if (isKilled && Number.isInteger(this.killAt)) return Promise.reject(new Error("killed"));
        if (this.broken.has(name)) return Promise.reject(new Error(`${name}: no space left on device`));
        const value = work(...args);
        if (!isKilled) return Promise.resolve(value);
        Promise.resolve(value).catch(() => undefined);
        return Promise.reject(new Error("killed"));
      };
    const files: Pick<HandoverFiles, "read" | "save" | "answer" | "copyDatabase" | "restoreDatabase" | "place"> = {
      read: guarded("read", () => this.record),
      save: guarded("save", (record: Handover) => {
        this.record = record;
      }),
      answer: guarded("answer", () => this.said),
      copyDatabase: guarded("copy", () => {
        assert.equal(this.runs, undefined, "nobody has it open");
        this.copy = this.database;
      }),
      restoreDatabase: guarded("restore", () => {
        assert.equal(this.runs, undefined, "nobody has it open");
        this.database = this.copy;
      }),
      place: guarded("place", (_directory: string, side: Side) => {
        this.placed = side.files[0]?.text ?? "";
      }),
    };
    const host: Pick<Host, "job" | "reload" | "resetFailed" | "services"> = {
      reload: guarded("reload", () => undefined),
      resetFailed: guarded("resetFailed", () => undefined),
      job: async (verb, _service, signal) => await guarded("job", () => (verb === "stop" ? this.#stop() : this.#start(signal)))(),
      services: guarded("services", (names) => new Map(names.map((name) => [name, this.#state()]))),
    };
    const tell = (record: Handover) => {
      this.phases.push(record.phase.at);
    };
    return { files: files as HandoverFiles, host, clock: this.clock, tell };
  }

  #stop() {
    this.runs = undefined;
    return success(undefined);
  }

  async #start(signal: AbortSignal) {
    this.runs = this.placed === "new" ? "new" : "old";
    this.#invocations += 1;
    if (this.runs === "old") return success(undefined);
    if (this.#next === "can't read") this.said = { schema: 1, invocation: String(this.#invocations), trouble: "it is of a newer pgo" };
    else this.database = "new";
    if (this.#next === "crashes") return trouble("restart pgo.service: job failed (exit-code, exit 1)");
    if (this.#next === "hangs") await this.clock.sleep(3_600_000, signal);
    if (this.#next === "works") this.said = { schema: 1, invocation: String(this.#invocations) };
    return success(undefined);
  }

  #state(): ServiceState {
    return { active: this.runs === undefined ? "inactive" : "active", invocation: String(this.#invocations) } as ServiceState;
  }
}

const ends: Readonly<Record<Behaviour, RegExp>> = {
  works: /^done$/,
  crashes: /^new: restart pgo\.service: job failed/,
  hangs: /^new: restart pgo\.service: not done after 30 s$/,
  "says nothing": /^new: it did not say within 30 s that it works$/,
  "can't read": /^new: it can't work here: it is of a newer pgo$/,
};

/** One pgo runs, with its own quadlet and a state that it can read, and the record says which and why. */
function isWhole(scene: Scene, next: Behaviour): void {
  const kept = next === "works" ? "new" : "old";
  assert.deepEqual([scene.runs, scene.placed, scene.database], [kept, kept, kept]);
  const phase = scene.record?.phase;
  assert.match(phase?.at === "undone" ? phase.because : (phase?.at ?? ""), ends[next]);
}

suite("a new pgo", () => {
  for (const next of Object.keys(ends) as Behaviour[])
    test(`that ${next} ${next === "works" ? "is kept" : "makes room for the old one, with its state"}`, async () => {
      const scene = new Scene(next);
      await scene.carryOut();
      isWhole(scene, next);
      const way = next === "works" ? ["begun", "switched", "done"] : ["begun", "switched", "undoing", "restored", "undone"];
      assert.deepEqual(scene.phases, way);
    });

  for (const next of Object.keys(ends) as Behaviour[])
    test(`that ${next} comes to the same end where what carries it out is killed at any call`, async () => {
      const undisturbed = new Scene(next);
      await undisturbed.carryOut();
      for (let killAt = 0.5; killAt <= undisturbed.calls; killAt += 0.5) {
        const scene = new Scene(next);
        scene.killAt = killAt;
        await scene.carryOut();
        isWhole(scene, next);
      }
    });
});

test("the word of an earlier start is none of this one's", async () => {
  const scene = new Scene("says nothing");
  scene.said = { schema: 1, invocation: "an earlier one" };
  await scene.carryOut();
  isWhole(scene, "says nothing");
});

suite("a fault on the host", () => {
  test("a state that can't be copied keeps the old pgo: it is started again, and nothing was changed", async () => {
    const scene = new Scene("works");
    scene.broken.add("copy");
    await scene.carryOut();
    assert.deepEqual([scene.runs, scene.placed, scene.database], ["old", "old", "old"]);
    assert.deepEqual(scene.record?.phase, {
      at: "undone",
      because: "the old pgo stays: copy the state database: copy: no space left on device",
    });
  });

  test("a state that can't be put back is tried again until it can: the old pgo is not started on the new one's", async () => {
    const scene = new Scene("crashes");
    scene.broken.add("restore");
    await assert.rejects(scene.carryOut(), /it never ends/);
    assert.deepEqual([scene.runs, scene.record?.phase.at], [undefined, "undoing"]);
    scene.broken.delete("restore");
    await scene.carryOut();
    isWhole(scene, "crashes");
  });

  test("without a record there is nothing to do", async () => {
    const scene = new Scene("works");
    scene.record = undefined;
    await scene.carryOut();
    assert.deepEqual(scene.phases, []);
  });
});

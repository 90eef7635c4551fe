/** When a unit is healthy, starting or unhealthy: from rows of looks to verdicts. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import type { Unit } from "../../src/core/bundle.ts";
import type { Check, Patience, Sample } from "../../src/core/health.ts";
import { serviceName } from "../../src/core/names.ts";
import { follow, glimpsed, mostTelling, newTrack, verdict, type Look, type Verdict } from "../../src/core/verdict.ts";
import { bundleOf } from "./model.ts";
import { httpProbe } from "./probe.ts";

const start = new Date("2026-01-01T00:00:00Z");
const at = (seconds: number) => new Date(start.getTime() + seconds * 1000);

const patience: Patience = {
  deadline: 60_000,
  interval: 2000,
  timeout: 3000,
  successThreshold: 1,
  failureThreshold: 3,
  startPeriod: 0,
  minHealthyTime: 5000,
};
const web = bundleOf({ "web.container": "[Container]\nImage=x\n", "app.network": "[Network]\n", "data.volume": "[Volume]\n" });
const job = bundleOf({ "job.container": "[Container]\nImage=x\n[Service]\nType=oneshot\n" });
const site = bundleOf({ "site.kube": "[Kube]\nYaml=site.yml\n" });

function unit(name: string): Unit {
  const found = [...web.units, ...job.units, ...site.units].find((one) => one.name === name);
  assert.ok(found);
  return found;
}

const process: Check = { by: "process", patience };
const podman: Check = { by: "podman", patience };
const http: Check = { by: "probe", probe: httpProbe, patience };
const patient = (check: Check, changes: Partial<Patience>): Check => ({ ...check, patience: { ...patience, ...changes } });

type Seen = Partial<Omit<Look, "at" | "activeSince" | "container">> & {
  /** Seconds since it became active. */
  readonly up?: number | undefined;
  readonly container?: Look["container"] | null;
};

/** A look at second `second`; running well unless told otherwise. */
function look(
  second: number,
  { up = second, container = { name: "systemd-web", exitCode: 0, state: "running", health: undefined }, ...seen }: Seen = {},
): Look {
  return {
    at: at(second),
    active: "active",
    sub: "running",
    result: "success",
    exitStatus: 0,
    restarts: 0,
    activeSince: ["active", "reloading"].includes(seen.active ?? "active") ? at(second - up) : undefined,
    container: container ?? undefined,
    sample: undefined,
    ...seen,
  };
}

const pass: Sample = { at: start, result: "pass" };
const fail: Sample = { at: start, result: "fail", message: "GET http://x/: 503" };
const unasked: Sample = { at: start, result: "unasked", message: "no route" };
const health = (now: "healthy" | "unhealthy" | "starting") => ({
  container: { name: "systemd-web", exitCode: 0, state: "running", health: now },
});
const starting: Seen = { active: "activating", sub: "start", container: null };
const again: Seen = { active: "activating", sub: "auto-restart", result: "exit-code", exitStatus: 1, container: null };
const dead: Seen = { active: "failed", sub: "failed", result: "exit-code", exitStatus: 1, container: null };

function judged(name: string, check: Check, looks: readonly Look[]): Verdict {
  const track = looks.reduce((before, one) => follow(before, unit(name), check, one), newTrack(start));
  return verdict(track, unit(name), check, looks.at(-1)?.at ?? start);
}

const says = ({ health: now, final, message }: Verdict) => `${now}${final ? "!" : ""}${message === undefined ? "" : `: ${message}`}`;

/** What was seen, and what is said of it: `!` is final. */
function table(name: string, check: Check, rows: readonly (readonly [string, readonly Look[], string])[]): void {
  for (const [what, looks, said] of rows)
    test(`${what}: ${said}`, () => {
      assert.equal(says(judged(name, check, looks)), said);
    });
}

suite("Kubernetes YAML", () => {
  const container = (state: string, exitCode: number, health?: "healthy" | "unhealthy") => ({
    container: { name: "site-web", state, exitCode, health },
  });
  table("site.kube", process, [
    ["up long enough", [look(1), look(6)], "healthy"],
    ["up, with a container that has done its work and ended", [look(6, container("exited", 0))], "healthy"],
    ["up, with a container that has ended badly", [look(6, container("exited", 1))], "starting: its container site-web has ended with 1"],
    [
      "up, with a container that ends badly again and again",
      [look(6, container("exited", 1)), look(60, container("exited", 1))],
      "unhealthy!: not healthy after 60 s: its container site-web has ended with 1 (2 of 2 probes)",
    ],
    ["up, with a container that its own check finds well", [look(6, container("running", 0, "healthy"))], "healthy"],
    [
      "up, with a container that its own check finds ill",
      [look(6, container("running", 0, "unhealthy"))],
      "starting: Podman's health check fails: see podman inspect (its container site-web)",
    ],
    ["up, and no container there", [look(6, { container: null })], "starting: none of its containers is there"],
  ]);

  test("of several containers the one that ended badly says most, then one that is not healthy, then the one that started last", () => {
    const one = (service: string, id: string, state: string, exitCode: number, second: number) => ({
      service: serviceName(service),
      id,
      state,
      exitCode,
      health: undefined as "healthy" | "unhealthy" | "starting" | undefined,
      startedAt: at(second),
    });
    const containers = [
      one("a.service", "crashed", "exited", 1, 1),
      one("a.service", "new", "running", 0, 9),
      one("b.service", "old", "running", 0, 1),
      one("b.service", "done", "exited", 0, 2),
      one("b.service", "young", "running", 0, 3),
      { ...one("c.service", "sick", "running", 0, 1), health: "unhealthy" as const },
      { ...one("c.service", "slow", "running", 0, 2), health: "starting" as const },
      { ...one("c.service", "well", "running", 0, 3), health: "healthy" as const },
    ];
    for (const some of [containers, containers.toReversed()])
      assert.deepEqual([...mostTelling(some)].map(([service, { id }]) => `${service} ${id}`).sort(), [
        "a.service crashed",
        "b.service young",
        "c.service sick",
      ]);
  });
});

suite("a container that nothing checks", () => {
  table("web.container", process, [
    ["before any look", [], "starting: not looked at yet"],
    ["still starting", [look(1, starting)], "starting: web.service is activating (start)"],
    ["just up", [look(1)], "starting: up for 1 s, 5 s are wanted"],
    ["up long enough", [look(1), look(5)], "healthy"],
    ["up, but ended before its time", [look(1), look(2, again)], "starting: web.service is activating (auto-restart)"],
    ["up long enough, but started anew meanwhile", [look(4), look(6, { up: 1 })], "starting: up for 1 s, 5 s are wanted"],
    ["up, with no container", [look(6, { container: null })], "starting: its container is not there"],
    [
      "up, its container ended",
      [look(6, { container: { name: "systemd-web", exitCode: 0, state: "exited", health: undefined } })],
      "starting: its container is exited",
    ],
    ["given up by systemd", [look(2, dead)], "unhealthy!: has failed: exit-code, exit 1"],
    ["ended by itself", [look(2, { ...dead, active: "inactive", result: "success", exitStatus: 0 })], "unhealthy!: has stopped: exit 0"],
    ["waiting to be restarted", [look(2, again)], "starting: web.service is activating (auto-restart)"],
    [
      "crashed as often as is borne",
      [look(1), look(2, { ...again, restarts: 1 }), look(3, { up: 0, restarts: 2 }), look(4, { ...again, restarts: 3 })],
      "unhealthy!: crashed 3 times: exit-code, exit 1",
    ],
    [
      "crashed as often as is borne, each time between two looks",
      [look(1), look(2, { up: 0, restarts: 1 }), look(3, { up: 0, restarts: 2 }), look(4, { up: 0, restarts: 3 })],
      "unhealthy!: crashed 3 times",
    ],
    ["crashed before the first look, not since", [look(1, { restarts: 7 }), look(6, { up: 5, restarts: 7 })], "healthy"],
    ["never up by the deadline", [look(60, starting)], "unhealthy!: not healthy after 60 s: web.service is activating (start)"],
    ["never up for long enough by the deadline", [look(60, { up: 1 })], "unhealthy!: not healthy after 60 s: up for 1 s, 5 s are wanted"],
    ["reloading", [look(6, { active: "reloading" })], "healthy"],
  ]);
});

suite("a container with Podman's own check", () => {
  table("web.container", podman, [
    ["not passed yet", [look(6, health("starting"))], "starting: Podman's health check has not passed yet"],
    ["passed", [look(6, health("healthy"))], "healthy"],
    ["passed, but up only now", [look(6, { ...health("healthy"), up: 1 })], "starting: up for 1 s, 5 s are wanted"],
    ["failing", [look(6, health("unhealthy"))], "starting: Podman's health check fails: see podman inspect"],
    [
      "failing to the deadline",
      [look(6, health("starting")), look(60, health("unhealthy"))],
      "unhealthy!: not healthy after 60 s: Podman's health check fails: see podman inspect",
    ],
    ["waiting with Notify=healthy", [look(30, starting)], "starting: web.service is activating (start)"],
    [
      "waiting with Notify=healthy to the deadline",
      [look(60, starting)],
      "unhealthy!: not healthy after 60 s: web.service is activating (start)",
    ],
    ["healthy again after a failure", [look(6, health("healthy")), look(8, health("unhealthy")), look(10, health("healthy"))], "healthy"],
  ]);
});

suite("a container with a probe", () => {
  const failing = [1, 2, 3].map((second) => look(second, { sample: fail }));
  table("web.container", http, [
    ["not asked yet", [look(6)], "starting: not probed yet"],
    ["passing", [look(6, { sample: pass })], "healthy"],
    ["failing", failing, "starting: GET http://x/: 503"],
    [
      "failing to the deadline",
      [...failing, look(60, { sample: fail })],
      "unhealthy!: not healthy after 60 s: GET http://x/: 503 (4 of 4 probes)",
    ],
    ["failing, then passing", [...failing, look(6, { sample: pass })], "healthy"],
    ["that can't be asked", [look(6, { sample: unasked })], "starting: no route"],
    ["that can't be asked any more keeps what it was", [look(6, { sample: pass }), look(8, { sample: unasked })], "healthy"],
    ["that can't be asked to the deadline", [look(60, { sample: unasked })], "unhealthy!: not healthy after 60 s: no route"],
    ["failing after it was healthy, once", [look(6, { sample: pass }), look(8, { sample: fail })], "starting: GET http://x/: 503"],
    [
      "failing after it was healthy, once, when the first deadline is over",
      [look(6, { sample: pass }), look(64, { sample: pass }), look(66, { sample: fail })],
      "starting: GET http://x/: 503",
    ],
    [
      "restarting after it was healthy, to a deadline that begins then",
      [look(6, { sample: pass }), look(8, again), look(10, starting), look(66, starting)],
      "unhealthy!: not healthy after 60 s: web.service is activating (start) (1 of 2 probes)",
    ],
    [
      "failing after it was healthy, as often as is borne",
      [look(6, { sample: pass }), ...[8, 10, 12].map((second) => look(second, { sample: fail }))],
      "unhealthy!: GET http://x/: 503 (3 of 4 probes)",
    ],
    [
      "failing after it was healthy, with a pass between",
      [
        look(6, { sample: pass }),
        ...[8, 10].map((second) => look(second, { sample: fail })),
        look(12, { sample: pass }),
        look(14, { sample: fail }),
      ],
      "starting: GET http://x/: 503",
    ],
  ]);
});

suite("patience", () => {
  const twice = patient(http, { successThreshold: 2 });
  table("web.container", twice, [
    ["one pass where two are wanted", [look(6, { sample: pass })], "starting"],
    ["two passes", [look(6, { sample: pass }), look(8, { sample: pass })], "healthy"],
    ["two passes with a failure between", [look(6, { sample: pass }), look(7, { sample: fail }), look(8, { sample: pass })], "starting"],
    [
      "two passes with one between that could not be asked",
      [look(6, { sample: pass }), look(7, { sample: unasked }), look(8, { sample: pass })],
      "healthy",
    ],
  ]);

  table("web.container", patient(http, { startPeriod: 20_000, failureThreshold: 1, minHealthyTime: 0 }), [
    [
      "failing in the start period after it passed",
      [look(1, { sample: pass }), look(19, { sample: fail })],
      "starting: GET http://x/: 503",
    ],
    [
      "failing after the start period",
      [look(1, { sample: pass }), look(20, { sample: fail })],
      "unhealthy!: GET http://x/: 503 (1 of 2 probes)",
    ],
  ]);

  table("web.container", patient(process, { minHealthyTime: 0 }), [["no time to be up is asked for", [look(0)], "healthy"]]);
  table("web.container", patient(process, { deadline: 1000 }), [
    ["up when the deadline comes before the time up", [look(1)], "unhealthy!: not healthy after 1 s: up for 1 s, 5 s are wanted"],
  ]);
});

suite("a oneshot", () => {
  const ended: Seen = { active: "inactive", sub: "dead", container: null };
  table("job.container", process, [
    ["at work", [look(1, starting)], "starting: job.service is activating (start)"],
    ["ended well", [look(1, ended)], "healthy"],
    ["ended well, remembered by systemd", [look(1, { sub: "exited", container: null })], "healthy"],
    ["ended badly", [look(1, dead)], "unhealthy!: has failed: exit-code, exit 1"],
    ["killed at its time limit", [look(1, { ...dead, result: "timeout", exitStatus: 15 })], "unhealthy!: has failed: timeout, exit 15"],
    ["at work to the deadline", [look(60, starting)], "unhealthy!: not healthy after 60 s: job.service is activating (start)"],
  ]);
});

for (const name of ["app.network", "data.volume"])
  suite(`${name} is healthy when its unit is active and Podman has it`, () => {
    const { service, object, kind } = unit(name);
    const gone: Seen = { sub: "exited", container: null, lacksObject: true };
    table(name, process, [
      ["active", [look(1, { sub: "exited", container: null, up: 0 })], "healthy"],
      ["not started", [look(1, { active: "inactive", sub: "dead", container: null })], `starting: ${service} is inactive`],
      ["active, and nothing there", [look(1, gone)], `starting: Podman has no ${kind} ${object}, though ${service} is active`],
      [
        "the same until the deadline",
        [look(1, gone), look(60, gone)],
        `unhealthy!: not healthy after 60 s: Podman has no ${kind} ${object}, though ${service} is active (2 of 2 probes)`,
      ],
      ["failed", [look(1, { ...dead, exitStatus: 125 })], `unhealthy!: has failed: exit-code, exit 125`],
    ]);

    test('with check = "unit" systemd alone is believed', () => {
      assert.equal(says(judged(name, { by: "unit", patience }, [look(1, gone)])), "healthy");
    });

    test("and says that the unit vouches for it", () => {
      assert.equal(judged(name, http, [look(1)]).checkedBy, "unit");
    });
  });

test("what was never looked at is unhealthy at the deadline", () => {
  assert.equal(says(verdict(newTrack(start), unit("web.container"), process, at(59))), "starting: not looked at yet");
  assert.equal(says(verdict(newTrack(start), unit("web.container"), process, at(60))), "unhealthy!: could not be looked at");
});

test("the verdict names what vouches for the unit", () => {
  assert.deepEqual(
    [process, podman, http].map((check) => judged("web.container", check, [look(1)]).checkedBy),
    ["process", "podman", "http"],
  );
});

/** Any row of looks, seconds apart. */
const anySeen: fc.Arbitrary<Seen> = fc.oneof(
  fc.record({ sample: fc.constantFrom(pass, fail, unasked, undefined), up: fc.nat({ max: 10 }), restarts: fc.nat({ max: 4 }) }),
  fc.constantFrom<Seen>(starting, again, dead, health("healthy"), health("unhealthy"), health("starting"), { container: null }),
);
const anyRow = fc.array(fc.tuple(anySeen, fc.integer({ min: 1, max: 20 })), { maxLength: 12 });
const anyCheck = fc.record({ check: fc.constantFrom(process, podman, http), successThreshold: fc.integer({ min: 1, max: 3 }) });

suite("whatever is seen", () => {
  test("waiting ends: a deadline after the last look at the latest, a unit is healthy or finally unhealthy", () => {
    fc.assert(
      fc.property(anyRow, anyCheck, (row, { check, successThreshold }) => {
        const patiently = patient(check, { successThreshold });
        let second = 0;
        const looks = row.map(([seen, gap]) => look((second += gap), seen));
        const track = looks.reduce((before, one) => follow(before, unit("web.container"), patiently, one), newTrack(start));
        const said = verdict(track, unit("web.container"), patiently, at(60 + second));
        assert.ok(said.health === "healthy" || (said.health === "unhealthy" && said.final), says(said));
      }),
    );
  });

  test("healthy is said only of a unit that passed, and was up for its time at the last look", () => {
    fc.assert(
      fc.property(anyRow, anyCheck, (row, { check, successThreshold }) => {
        let second = 0;
        const looks = row.map(([seen, gap]) => look((second += gap), seen));
        const said = judged("web.container", patient(check, { successThreshold }), looks);
        if (said.health !== "healthy") return;
        const last = looks.at(-1);
        assert.ok(last?.active === "active" && last.activeSince !== undefined);
        assert.ok(last.at.getTime() - last.activeSince.getTime() >= patience.minHealthyTime);
        assert.ok(looks.length >= successThreshold);
        if (check.by === "probe") assert.ok(looks.some(({ sample }) => sample?.result === "pass"));
        if (check.by === "podman") assert.ok(looks.some(({ container }) => container?.health === "healthy"));
      }),
    );
  });

  test("a unit that systemd has given up on is never healthy", () => {
    fc.assert(
      fc.property(anyRow, anyCheck, (row, { check, successThreshold }) => {
        const looks = row.map(([seen], index) => look(index + 1, seen));
        const said = judged("web.container", patient(check, { successThreshold }), [...looks, look(looks.length + 1, dead)]);
        assert.deepEqual([said.health, said.final], ["unhealthy", true]);
      }),
    );
  });
});

suite("a look before its time, since something has changed", () => {
  const down = (second: number) => look(second, { active: "activating", sub: "auto-restart", result: "exit-code", up: undefined });
  const healthy = follow(newTrack(start), unit("web.container"), process, look(10));
  const glimpse = (track: typeof healthy, seen: Look) => glimpsed(track, follow(track, unit("web.container"), process, seen));

  test("counts no failures: of one restart by systemd it may see each state", () => {
    const track = [down(10.1), down(10.2), down(10.3), down(10.4)].reduce(glimpse, healthy);
    assert.equal(verdict(track, unit("web.container"), process, at(10.4)).health, "starting");
    assert.equal(track.failures, 0);
  });

  test("sees at once what has come up, or is dead", () => {
    assert.equal(verdict(glimpse(newTrack(start), look(6)), unit("web.container"), process, at(6)).health, "healthy");
    const dead = glimpse(healthy, look(10.1, { active: "failed", sub: "failed", result: "exit-code", exitStatus: 1 }));
    const found = verdict(dead, unit("web.container"), process, at(10.1));
    assert.deepEqual([found.health, found.final], ["unhealthy", true]);
  });

  test("is one pass, however often it is made", () => {
    const check = patient(process, { successThreshold: 3 });
    const track = [6, 6.1, 6.2, 6.3].map((second) => look(second)).reduce(glimpse, newTrack(start));
    assert.equal(track.passes, 1);
    assert.equal(verdict(track, unit("web.container"), check, at(6.3)).health, "starting");
  });
});

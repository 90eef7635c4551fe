/** A host that does not answer: told once when it begins and once when it ends, a moment's absence not at all. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { HostAway, Reach } from "../../src/controller/reach.ts";
import { sentence } from "../../src/core/event-text.ts";
import type { Host, Podman } from "../../src/ports.ts";
import { fakeClock } from "../fakes/clock.ts";

const never = new AbortController().signal;

/** A host whose systemd and Podman answer as `trouble` says at that moment, and what is told of it. */
function watched() {
  const clock = fakeClock();
  const told: string[] = [];
  const trouble: { systemd?: string; podman?: string; disk?: string } = {};
  const answer = <Value>(value: Value, reason: string | undefined) =>
    reason === undefined ? Promise.resolve(value) : Promise.reject(new Error(reason));
  const reach = new Reach({
    host: { services: () => answer(new Map(), trouble.systemd), writable: () => Promise.resolve(trouble.disk) } as Partial<Host> as Host,
    podman: { containers: () => answer([], trouble.podman) } as Partial<Podman> as Podman,
    journal: { tell: (event) => void told.push(sentence({ ...event, at: clock.now() })) },
    clock,
    room: { directories: ["/var/lib/pgo"], bytes: 1 },
  });
  /** Asks, and gives it the time that it takes. */
  const check = async () => {
    const asked = reach.check(never).then(
      () => "answers",
      (error: unknown) => (error instanceof HostAway ? error.message : Promise.reject(error as Error)),
    );
    await clock.advance(1000);
    return asked;
  };
  return { clock, told, trouble, reach, check };
}

suite("systemd or Podman that does not answer", () => {
  test("is told once with its reason, however often it is asked, and once more when both answer again", async () => {
    const { told, trouble, reach, check } = watched();
    trouble.podman = "podman socket: connection refused";
    for (let times = 0; times < 5; times++) assert.equal(await check(), "the host can't be worked on: podman socket: connection refused");
    assert.equal(reach.trouble, "podman socket: connection refused");
    trouble.systemd = "no bus";
    await check();
    delete trouble.podman;
    assert.equal(await check(), "the host can't be worked on: no bus", "the reason is that of now");
    delete trouble.systemd;
    assert.equal(await check(), "answers");
    assert.equal(reach.trouble, undefined);
    assert.deepEqual(told, [
      "the host can't be worked on: podman socket: connection refused; what runs goes on, and it is tried again at each poll",
      "the host can be worked on again: systemd and Podman answer",
    ]);
  });

  test("and answers a second later is not told at all", async () => {
    const { clock, told, trouble, reach } = watched();
    trouble.systemd = "the bus closed the connection";
    const asked = reach.check(never);
    await clock.advance(500);
    delete trouble.systemd;
    await clock.advance(500);
    await asked;
    assert.deepEqual(told, []);
    assert.equal(reach.silence, 0);
  });

  test("has been silent since it was first missed, and refuses work as long", async () => {
    const { clock, trouble, reach, check } = watched();
    reach.refuse();
    trouble.systemd = "no bus";
    await check();
    await clock.advance(60_000);
    await check();
    assert.ok(reach.silence >= 60_000);
    assert.throws(() => {
      reach.refuse();
    }, HostAway);
  });

  test("is nobody's trouble when pgo is ending", async () => {
    const { told, trouble, reach } = watched();
    trouble.systemd = "aborted";
    const ending = AbortSignal.abort(new Error("ended by SIGTERM"));
    await assert.rejects(reach.check(ending), /ended by SIGTERM/);
    assert.deepEqual(told, []);
  });
});

/** A handover's record and unit: what both versions of pgo, and systemd, read. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";

import { handoverUnitText, hasEnded, isOnTrial, readAnswer, readHandover, type Handover } from "../../src/core/handover.ts";
import { lastValue, parseUnit, values, words } from "../../src/core/unit-text.ts";

const carried = (name: string) => readFileSync(new URL(`../../quadlet/${name}`, import.meta.url), "utf8");
const saved: Handover = {
  schema: 1,
  deployment: 7,
  from: { image: "sha256:0ld", files: [{ path: "pgo.container", text: "old" }] },
  to: { image: "localhost/pgo:2", files: [{ path: "pgo.container.d/age.conf", text: "new" }] },
  database: "/var/lib/pgo/state.db",
  directory: "/etc/containers/systemd/pgo-self",
  deadline: 180_000,
  phase: { at: "undoing", because: "it crashes" },
};

suite("the record", () => {
  test("is read as it was written, with what a later version adds", () => {
    assert.deepEqual(readHandover(JSON.stringify({ ...saved, more: true })), saved);
  });

  for (const [what, wrong] of [
    ["another schema", { ...saved, schema: 2 }],
    ["a phase that is none", { ...saved, phase: { at: "elsewhere" } }],
    ["a way back without its reason", { ...saved, phase: { at: "undoing" } }],
    ["a file that leaves the directory", { ...saved, to: { ...saved.to, files: [{ path: "../pgo/x.container", text: "" }] } }],
    ["a relative database", { ...saved, database: "state.db" }],
  ] as const)
    test(`is not taken with ${what}`, () => {
      assert.throws(() => readHandover(JSON.stringify(wrong)));
    });

  const phases: readonly (readonly [Handover["phase"], { ended: boolean; trial: boolean }])[] = [
    [{ at: "begun" }, { ended: false, trial: false }],
    [{ at: "switched" }, { ended: false, trial: true }],
    [
      { at: "undoing", because: "" },
      { ended: false, trial: true },
    ],
    [
      { at: "restored", because: "" },
      { ended: false, trial: false },
    ],
    [{ at: "done" }, { ended: true, trial: false }],
    [
      { at: "undone", because: "" },
      { ended: true, trial: false },
    ],
  ];
  for (const [phase, { ended, trial }] of phases)
    test(`a pgo that starts at "${phase.at}" ${trial ? "is on trial" : ended ? "goes on" : "waits for the end"}`, () => {
      assert.deepEqual([hasEnded({ ...saved, phase }), isOnTrial({ ...saved, phase })], [ended, trial]);
    });
});

test("an answer that can't be read is no yes", () => {
  assert.deepEqual(readAnswer('{"schema":1,"invocation":"ab"}'), { schema: 1, invocation: "ab" });
  for (const text of ["", "yes", '{"schema":2,"invocation":"ab"}', '{"schema":1}']) assert.equal(readAnswer(text), undefined, text);
});

suite("the unit that carries it out", () => {
  const text = (name: string, mode: "rootful" | "rootless") =>
    handoverUnitText({ quadlet: carried(name), image: "sha256:0ld", state: "/var/lib/pgo", mode });
  const command = (unit: string) => words(lastValue(parseUnit(unit, "systemd"), "Service", "ExecStart") ?? "");

  test("runs the old image with the mounts of pgo's own quadlet, and sees no more than pgo does", () => {
    const mounts = values(parseUnit(carried("pgo.container")), "Container", "Volume").map(({ value }) => `--volume=${value}`);
    const found = command(text("pgo.container", "rootful"));
    assert.deepEqual(
      found.filter((word) => word.startsWith("--volume=")),
      mounts,
    );
    assert.deepEqual(found.slice(-3), ["sha256:0ld", "handover", "/var/lib/pgo"]);
    for (const word of ["--pull=never", "--cap-drop=all", "--env=PGO_MODE=rootful", "--network=host"])
      assert.ok(found.includes(word), word);
  });

  test("is the user's own where pgo is", () => {
    const found = command(text("pgo-rootless.container", "rootless"));
    for (const word of ["--userns=keep-id", "--env=PGO_HOME=%h", "--env=XDG_RUNTIME_DIR=%t", "--volume=%t/bus:%t/bus"])
      assert.ok(found.includes(word), word);
  });

  test("starts again at the next boot, and after it was killed", () => {
    for (const [name, mode, target] of [
      ["pgo.container", "rootful", "multi-user.target"],
      ["pgo-rootless.container", "rootless", "default.target"],
    ] as const) {
      const entries = parseUnit(text(name, mode), "systemd");
      assert.equal(lastValue(entries, "Install", "WantedBy"), target);
      assert.equal(lastValue(entries, "Service", "Restart"), "on-failure");
      assert.equal(lastValue(entries, "Unit", "StartLimitIntervalSec"), "0");
    }
  });

  test("a value with quotes, spaces, a dollar sign and a backslash reaches Podman as it is", () => {
    const quadlet = '[Container]\nEnvironment="A=b c" D=e$f\nVolume=/srv/a b:/srv/"q"\\x\n';
    const found = command(handoverUnitText({ quadlet, image: "i", state: "/s", mode: "rootful" }));
    assert.ok(found.includes("--env=A=b c"), found.join("|"));
    // systemd reads two as one (systemd.service(5)).
    assert.ok(found.includes("--env=D=e$$f"), found.join("|"));
    assert.ok(found.includes('--volume=/srv/a b:/srv/"q"\\x'), found.join("|"));
  });
});

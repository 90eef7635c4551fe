/** Taking over: which files may be, what counts as a difference, and in which order files go and come back. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { adoption, differenceOf, isAdoptable, startOf, type HandMade, type SeenAdoption, type Sighting } from "../../src/core/adopt.ts";
import type { Bundle } from "../../src/core/bundle.ts";
import { fileDigest } from "../../src/core/files.ts";
import { digestOf, relativePath, serviceName, type Digest } from "../../src/core/names.ts";
import { marked } from "../../src/core/placing.ts";
import { plan, type Observed, type ObservedService } from "../../src/core/plan.ts";
import { explain } from "../../src/core/plan-text.ts";
import { bundleOf } from "./model.ts";

const bundle = bundleOf({
  "web.container": "[Container]\nImage=localhost/web:1\n",
  "tidy.timer": "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
  "tidy.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
});
const unit = (name: string) => {
  const found = bundle.units.find((one) => one.name === name);
  assert.ok(found, name);
  return found;
};

suite("only a file of the same unit name in the administrator's own directories may be taken over", () => {
  const ground = { directory: "/etc/containers/systemd/pgo", unitDirectory: "/etc/systemd/system" };
  const cases: readonly (readonly [unit: string, owner: string, may: boolean])[] = [
    ["web.container", "/etc/containers/systemd/web.container", true],
    ["web.container", "/etc/containers/systemd/shop/front/web.container", true],
    ["web.container", "/etc/containers/systemd/pgo/fleet/shop/web.container", true],
    ["web.container", "/etc/containers/systemd/site.container", false],
    ["web.container", "/etc/containers/systemd/all.quadlets", false],
    ["web.container", "/etc/containers/systemd/pgo-self/web.container", false],
    ["web.container", "/usr/share/containers/systemd/web.container", false],
    ["web.container", "/run/containers/systemd/web.container", false],
    ["web.container", "/etc/systemd/system/web.service", false],
    ["tidy.timer", "/etc/systemd/system/tidy.timer", true],
    ["tidy.timer", "/usr/lib/systemd/system/tidy.timer", false],
    ["tidy.timer", "/run/systemd/transient/tidy.timer", false],
  ];
  for (const [name, owner, may] of cases)
    test(`${name} and ${owner}: ${may ? "yes" : "no"}`, () => {
      assert.equal(isAdoptable(owner, unit(name), ground), may);
    });

  test("rootless: below the user's own configuration, not where root puts units for users", () => {
    const own = { directory: "/home/edge/.config/containers/systemd/pgo", unitDirectory: "/home/edge/.config/systemd/user" };
    assert.equal(isAdoptable("/home/edge/.config/containers/systemd/web.container", unit("web.container"), own), true);
    assert.equal(isAdoptable("/etc/containers/systemd/users/web.container", unit("web.container"), own), false);
  });
});

suite("what the generator makes of two files is compared as systemd reads it", () => {
  const text = (image: string, more = "", source = "/a/web.container") =>
    `[X-Container]\n# a comment\nImage=${image}\n${more}\n[Unit]\nDescription=${more}\nSourcePath=${source}\n[Service]\nExecStart=podman run ${image}\nRestart=no\n`;
  const cases: readonly (readonly [what: string, before: string, after: string, difference: string | undefined])[] = [
    ["the same elsewhere", text("a"), text("a", "", "/b/web.container"), undefined],
    ["another description, comment and install section", text("a"), `${text("a", "# x")}[Install]\nWantedBy=a.target\n`, undefined],
    ["another image: the quadlet's key is named", text("a"), text("b"), "Image= differs"],
    ["a path made absolute", text("a"), text("a").replace("run a", "run -v /b a"), "[Service] ExecStart= differs"],
    ["two keys", text("a"), text("b", "Label=x"), "Image=, Label= differ"],
    ["one more of a key", text("a"), `${text("a")}ExecStart=more\n`, "[Service] ExecStart= differs"],
  ];
  for (const [what, before, after, difference] of cases)
    test(what, () => {
      assert.equal(differenceOf(before, after), difference);
    });
});

const noon = new Date("2026-01-01T12:00:00Z");
const hour = 3_600_000;

function made(path: string, text: string | undefined, changedAt = noon): HandMade {
  return { path, mode: 0o644, digest: fileDigest(0o644, Buffer.from(text ?? "")), target: undefined, text, changedAt };
}

function sighting(name: string, files: readonly HandMade[], changes: Partial<Sighting> = {}): Sighting {
  const place = (path: string) =>
    path.startsWith("/etc/systemd/system/") ? marked("unit", path.slice("/etc/systemd/system/".length)) : undefined;
  return {
    ...{ unit: unit(name), bundle, files, enabled: false, placedAs: place },
    state: { active: "active", invocation: "i1", activeSince: new Date(noon.getTime() + hour) },
    generated: { before: "[Service]\nExecStart=x\n", after: "[Service]\nExecStart=x\n" },
    env: new Map(),
    madeEnv: () => undefined,
    ...changes,
  };
}

suite("a service that is taken over", () => {
  const [old, timer] = ["/etc/containers/systemd/web.container", "/etc/systemd/system/tidy.timer"];
  const sameTimer = "# daily\n[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n";
  const cases: readonly (readonly [what: string, seen: Sighting, differs: string | undefined])[] = [
    ["runs on where the generator makes the same of both", sighting("web.container", [made(old, "x")]), undefined],
    [
      "restarts where the generator made nothing of the old file",
      sighting("web.container", [made(old, "x")], { generated: { before: undefined, after: "[Service]\n" } }),
      "nobody can say what it was started from",
    ],
    [
      "restarts where its file was changed after its start",
      sighting("web.container", [made(old, "x"), made(`${old}.d/10.conf`, "", new Date(noon.getTime() + 2 * hour))]),
      `${old}.d/10.conf was changed after the service had started`,
    ],
    ["runs on where a plain unit says the same in its place", sighting("tidy.timer", [made(timer, sameTimer)]), undefined],
    [
      "restarts where a plain unit says something else",
      sighting("tidy.timer", [made(timer, sameTimer.replace("=daily", "=weekly"))]),
      "[Timer] OnCalendar= differs",
    ],
    [
      "restarts where a plain unit has a drop-in that Git has not",
      sighting("tidy.timer", [made(timer, sameTimer), made(`${timer}.d/a.conf`, "[Timer]\nPersistent=yes\n")]),
      "[Timer] Persistent= differs",
    ],
    [
      "restarts where pgo can't read what was there",
      sighting("tidy.timer", [made(timer, undefined)]),
      "nobody can say what it was started from",
    ],
  ];
  for (const [what, seen, differs] of cases)
    test(what, () => {
      const found = adoption(seen);
      assert.ok(found);
      assert.equal(found.differs, differs);
      const start = startOf(found, seen.unit);
      assert.equal(start?.invocation, "i1");
      assert.equal(start.digest === seen.unit.digest, differs === undefined);
    });

  test("is none where the old file has gone", () => {
    assert.equal(adoption(sighting("web.container", [])), undefined);
  });
});

suite("an env file that pgo renders", () => {
  const [old, oldEnv, newEnv] = ["/etc/containers/systemd/web.container", "/etc/containers/systemd/web.env", "/var/lib/pgo/env/web.env"];
  const generated = (path: string, written: string, more = "") =>
    `[X-Container]\nImage=a\nEnvironmentFile=${written}\n${more}\n[Service]\nExecStart=podman run --env-file ${path} --label x=${path}x a\n`;
  const unchanged = { before: generated(oldEnv, "web.env"), after: generated(newEnv, newEnv).replace(`${newEnv}x`, `${oldEnv}x`) };
  const late = new Date(noon.getTime() + 2 * hour);
  const lacking = "EnvironmentFile= differs";
  const cases: readonly (readonly [
    what: string,
    was: HandMade,
    is: string | undefined,
    differs: string | undefined,
    texts?: Sighting["generated"],
  ])[] = [
    ["is the same, whatever comments and order", made(oldEnv, "# c\nB=2\nA=1\n"), "A=1\nB=2\n", undefined],
    ["has another value", made(oldEnv, "A=1\n"), "A=2\n", lacking],
    ["has one more name", made(oldEnv, "A=1\n"), "A=1\nB=\n", lacking],
    ["has quotes, which are a part of the value for Podman", made(oldEnv, 'A="1"\n'), "A=1\n", lacking],
    ["can't be read where it lies", made(oldEnv, undefined), "A=1\n", lacking],
    ["is sealed", made(oldEnv, "A=1\n"), undefined, lacking],
    ["was changed after the start", made(oldEnv, "A=1\n", late), "A=1\n", `${oldEnv} was changed after the service had started`],
    [
      "is the same, but something else is not: that alone is named",
      made(oldEnv, "A=1\n"),
      "A=1\n",
      "Label= differs",
      { ...unchanged, after: unchanged.after.replace("Image=a\n", "Image=a\nLabel=b\n").replace("run ", "run --label b ") },
    ],
  ];
  for (const [what, was, is, differs, texts = unchanged] of cases)
    test(`of the unit ${what}: ${differs ?? "it runs on"}`, () => {
      const seen = sighting("web.container", [made(old, "x")], {
        generated: texts,
        env: new Map([[oldEnv, was]]),
        madeEnv: (path) => (path === newEnv ? is : undefined),
      });
      assert.equal(adoption(seen)?.differs, differs);
    });

  test("of the service itself is read by systemd's rules", () => {
    const text = (path: string) => `[Service]\nEnvironmentFile=-${path}\nExecStart=podman run a\n`;
    const seen = sighting("web.container", [made(old, "x")], {
      generated: { before: text(oldEnv), after: text(newEnv) },
      env: new Map([[oldEnv, made(oldEnv, "A='$1'\nB=x y\n")]]),
      madeEnv: () => 'B="x y"\nA="\\$1"\n',
    });
    assert.equal(adoption(seen)?.differs, undefined);
  });
});

suite("a plan with units of a person's", () => {
  const [old, timer] = ["/etc/containers/systemd/web.container", "/etc/systemd/system/tidy.timer"];
  const up: ObservedService = { loaded: true, ours: true, activity: "running", succeeded: true, isRecorded: true, startedFrom: undefined };

  function seen(path: string, service: string, changes: Partial<SeenAdoption> = {}): SeenAdoption {
    const digest = digestOf(path);
    const inPlace = path === timer ? marked("unit", "tidy.timer") : undefined;
    return {
      ...{
        service: serviceName(service),
        unit: unit(path.slice(path.lastIndexOf("/") + 1)).name,
        from: path,
        differs: undefined,
        backup: "b",
      },
      files: [{ path, mode: 0o640, digest, target: undefined, as: inPlace }],
      before: { invocation: "i1", up: true, enabled: true },
      ...{ present: new Map<string, Digest>([[path, digest]]), untouched: true, up: true },
      ...changes,
    };
  }

  function observed(adoptions: readonly SeenAdoption[], changes: Partial<Observed> = {}): Observed {
    const services = new Map(
      bundle.units.map(({ service, digest, inputs }) => [service, { ...up, startedFrom: { digest, inputs } }] as const),
    );
    return {
      ...{ files: new Map(), inventory: new Set(), known: [], services, enabled: new Set([serviceName("tidy.timer")]), dependents: [] },
      ...{ reloadPending: false, adoptions },
      ...changes,
    };
  }

  const told = (goal: Bundle | undefined, state: Observed) => {
    const { steps, conflicts } = plan({ application: bundle.application, bundle: goal }, state);
    assert.deepEqual(conflicts, []);
    return explain(steps);
  };

  /** All of the bundle is on the host. */
  const placed: Partial<Observed> = {
    files: new Map(bundle.files.map(({ path, digest }) => [path, { digest }])),
    inventory: new Set(bundle.files.map(({ path }) => path)),
    known: bundle.units,
  };

  test("copies what is written over before that, and takes away what lies elsewhere after ours is there", () => {
    const occupied = new Map([[marked("unit", "tidy.timer"), { digest: digestOf(timer) }]]);
    const state = observed([seen(old, "web.service"), seen(timer, "tidy.timer")], { files: occupied });
    assert.deepEqual(told(bundle, state), [
      `  adopt ${timer}: tidy.timer takes its place`,
      "+ tidy.service",
      "~ tidy.timer",
      "+ web.container",
      `  adopt ${old}: web.container takes its place`,
      "  daemon-reload: 4 unit files changed",
    ]);
  });

  test("gives back what was written over by putting the old one over it, and removes ours elsewhere only when the old one is there", () => {
    const present = new Map<string, Digest>([[timer, digestOf("ours")]]);
    const state = observed(
      [seen(old, "web.service", { present: new Map(), untouched: false }), seen(timer, "tidy.timer", { present })],
      placed,
    );
    assert.deepEqual(told(undefined, state), [
      "  stop tidy.service: tidy.service is gone",
      `  give-back ${old}: it was there before`,
      `  give-back ${timer}: it was there before`,
      "- tidy.service",
      "- web.container",
      "  daemon-reload: 4 unit files changed",
      "  reset-failed tidy.service: tidy.service is gone",
      `  revive web.service: ${old} is back`,
    ]);
  });

  test("does not repeat what is given back already", () => {
    const state = observed([seen(old, "web.service"), seen(timer, "tidy.timer")]);
    assert.deepEqual(told(undefined, state), []);
  });

  test("disables and stops again what was neither enabled nor running before", () => {
    const before = { invocation: "", up: false, enabled: false };
    const state = observed([seen(timer, "tidy.timer", { before, untouched: false })], { known: [unit("tidy.timer")] });
    assert.deepEqual(told(undefined, state), [
      "  disable tidy.timer: it was not enabled before",
      "  stop tidy.timer: it was not running before",
    ]);
  });

  test("leaves alone what a timer started meanwhile", () => {
    const before = { invocation: "i0", up: false, enabled: false };
    const one = {
      ...seen(timer, "tidy.timer", { before, untouched: false }),
      service: serviceName("tidy.service"),
      unit: unit("tidy.service").name,
    };
    assert.deepEqual(told(undefined, observed([one], { known: [unit("tidy.service")] })), []);
  });

  test("refuses a file in a place of ours that belongs to no unit that is taken over", () => {
    const files = new Map([[relativePath("web.container"), { digest: digestOf("theirs") }]]);
    const { conflicts } = plan({ application: bundle.application, bundle }, observed([seen(old, "web.service")], { files }));
    assert.match(conflicts[0]?.message ?? "", /^a file that pgo did not place is there/);
  });
});

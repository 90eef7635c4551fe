/** Phases and batches: which unit goes when, what is looked at between, and what is refused. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { assemble } from "../../src/core/assemble.ts";
import type { Bundle, Unit } from "../../src/core/bundle.ts";
import { relativePath, serviceName } from "../../src/core/names.ts";
import { rolloutOrder } from "../../src/core/order.ts";
import { phasesOf } from "../../src/core/phases.ts";
import { plan } from "../../src/core/plan.ts";
import { explain } from "../../src/core/plan-text.ts";
import { bundleOf, shop, World } from "./model.ts";
import { renderingFor } from "./renderings.ts";

const image = (version: number, more = "") => `[Container]\nImage=localhost/x:${String(version)}\n${more}`;

/** Three containers that need nothing of each other. */
const three = (version: number, settings: string) => ({
  "a.container": image(version),
  "b.container": image(version),
  "c.container": image(version),
  "pgo.toml": settings,
});

const instances = (version: number, names: readonly string[], settings = "") => ({
  ...Object.fromEntries(names.map((name) => [`web@${name}.container`, image(version)])),
  "pgo.toml": settings,
});

function deployed(texts: Readonly<Record<string, string>>): World {
  const world = new World();
  world.pass(bundleOf(texts));
  return world;
}

/** What a pass does with services, in short. */
function moves(world: World, goal: Bundle | undefined, more: { readonly isWayBack?: boolean } = {}): readonly string[] {
  const { steps } = plan({ application: shop, bundle: goal, ...more }, world.observe(goal));
  return explain(steps).flatMap((line) => {
    const [, verb = "", what = ""] = /^ {2}(start|restart|stop|verify) (.*)$/.exec(line) ?? [];
    return verb === "" ? [] : [`${verb} ${verb === "verify" ? what : what.replace(/:.*/, "")}`];
  });
}

suite("phases of units", () => {
  const phased = "[unit.a]\nphase = 3\n[unit.c]\nphase = 2\n";

  test("each is started when all before it are known to be well", () => {
    assert.deepEqual(moves(new World(), bundleOf(three(1, phased))), [
      "start b.service",
      "verify b.service: phase 1 before phase 2",
      "start c.service",
      "verify c.service: phase 2 before phase 3",
      "start a.service",
    ]);
  });

  test("of many that are looked at three are named", () => {
    const names = ["a", "b", "c", "d", "e"];
    const texts = { ...Object.fromEntries(names.map((name) => [`${name}.container`, image(1)])), "pgo.toml": "[unit.e]\nphase = 2\n" };
    assert.ok(moves(new World(), bundleOf(texts)).includes("verify a.service, b.service, c.service and 1 more: phase 1 before phase 2"));
  });

  test("a phase that has nothing to do is not looked at, and one alone needs no look", () => {
    const world = deployed(three(1, phased));
    assert.deepEqual(moves(world, bundleOf({ ...three(1, phased), "a.container": image(2), "b.container": image(2) })), [
      "restart b.service",
      "verify b.service: phase 1 before phase 3",
      "restart a.service",
    ]);
    assert.deepEqual(moves(world, bundleOf({ ...three(1, phased), "a.container": image(2) })), ["restart a.service"]);
  });

  test("a rollout that is gone on with looks at what it may have started before", () => {
    const world = deployed(three(1, phased));
    const goal = bundleOf({ ...three(1, phased), "a.container": image(2) });
    const { steps } = plan({ application: shop, bundle: goal }, { ...world.observe(goal), isResumed: true });
    assert.ok(explain(steps).includes("  verify b.service, c.service: phase 2 before phase 3"), explain(steps).join("\n"));
  });

  test("on the way back the last go first, and all are looked at when they are back", () => {
    const world = deployed(three(2, phased));
    assert.deepEqual(moves(world, bundleOf(three(1, phased)), { isWayBack: true }), [
      "restart a.service",
      "restart c.service",
      "restart b.service",
    ]);
  });

  test("but never before what they need", () => {
    const needing = (version: number) => ({ ...three(version, phased), "a.container": `[Unit]\nRequires=b.service\n${image(version)}` });
    const world = deployed(needing(2));
    assert.deepEqual(moves(world, bundleOf(needing(1)), { isWayBack: true }), [
      "restart b.service",
      "restart a.service",
      "restart c.service",
    ]);
  });

  test("what is taken away goes from the last phase to the first", () => {
    assert.deepEqual(moves(deployed(three(1, phased)), undefined), ["stop a.service", "stop c.service", "stop b.service"]);
  });

  test("what the host says of a unit wins, by any name of it", () => {
    const goal = bundleOf(three(1, phased));
    const { steps } = plan({ application: shop, bundle: goal }, { ...new World().observe(goal), paces: { "a.container": { phase: 0 } } });
    const started = steps.flatMap((step) => (step.kind === "start" ? [step.service] : []));
    assert.deepEqual(started, ["a.service", "b.service", "c.service"]);
  });

  test("services of other applications that a network took along run again before anybody is waited for", () => {
    const texts = (network: string) => ({ ...three(1, phased), "b.container": image(1, "Network=net.network\n"), "net.network": network });
    const world = deployed(texts("[Network]\n"));
    const goal = bundleOf({ ...texts("[Network]\nInternal=true\n"), "c.container": image(2) });
    const guest = { ...goal.units.find(({ name }) => name === "b.container"), service: serviceName("guest.service") } as Unit;
    const dependents = [{ application: shop, unit: guest }];
    const { steps } = plan({ application: shop, bundle: goal }, { ...world.observe(goal), dependents });
    const order = steps.flatMap((step) => (step.kind === "verify" ? ["verify"] : step.kind === "start" ? [step.service] : []));
    assert.deepEqual(order, ["net-network.service", "guest.service", "verify"]);
  });
});

suite("the phase of a unit", () => {
  const table: readonly (readonly [string, Readonly<Record<string, string>>, Readonly<Record<string, number>>])[] = [
    ["is 1 where nobody says anything", { "a.container": "", "b.container": "" }, { a: 1, b: 1 }],
    [
      "is what it needs, at the least",
      { "a.container": "[Unit]\nAfter=b.service\n", "b.container": "", "pgo.toml": "[unit.b]\nphase = 4\n" },
      { a: 4, b: 4 },
    ],
    [
      "of a network is that of the first that needs it",
      {
        "a.container": image(1, "Network=n.network\n"),
        "b.container": image(1, "Network=n.network\n"),
        "n.network": "",
        "pgo.toml": "[unit.a]\nphase = 4\n[unit.b]\nphase = 3\n",
      },
      { a: 4, b: 3, n: 3 },
    ],
    [
      "is earlier where an early one needs it",
      { "a.container": "[Unit]\nRequires=b.service\n", "b.container": "", "c.container": "", "pgo.toml": "[unit.a]\nphase = 0\n" },
      { a: 0, b: 0, c: 1 },
    ],
    [
      "is one and the same where units need each other in a circle",
      {
        "a.container": "[Unit]\nRequires=b.service\n",
        "b.container": "[Unit]\nRequires=a.service\n",
        "pgo.toml": "[unit.b]\nphase = 2\n",
      },
      { a: 2, b: 2 },
    ],
    [
      "of an instance is its template's, unless it has its own",
      { ...instances(1, ["1", "2"], '[unit."web@"]\nphase = 2\n[unit."web@2"]\nphase = 3\n') },
      { "web@1": 2, "web@2": 3 },
    ],
  ];
  for (const [name, texts, expected] of table)
    test(name, () => {
      const phases = phasesOf(bundleOf(texts).units, undefined);
      const found = Object.fromEntries([...phases].map(([unit, phase]) => [unit.name.replace(/\.[a-z]+$/, ""), phase]));
      assert.deepEqual(found, expected);
    });
});

suite("instances of a template", () => {
  const all = ["1", "2", "3", "4"];
  const restarts = (atOnce: string, names = all) =>
    moves(
      deployed(instances(1, names)),
      bundleOf(instances(2, names, atOnce === "" ? "" : `[unit."web@"]\nmax_unavailable = ${atOnce}\n`)),
    );

  test("are started together when there are none yet", () => {
    assert.deepEqual(
      moves(new World(), bundleOf(instances(1, all))),
      all.map((name) => `start web@${name}.service`),
    );
  });

  test("restart one at a time, each when the one before is known to be well", () => {
    assert.deepEqual(restarts("", ["1", "2", "3"]), [
      "restart web@1.service",
      "verify web@1.service: before web@2.service: web@.container, 1 at a time",
      "restart web@2.service",
      "verify web@2.service: before web@3.service: web@.container, 1 at a time",
      "restart web@3.service",
    ]);
  });

  for (const [atOnce, sizes] of [
    ["2", [2, 2]],
    ["3", [3, 1]],
    ['"50%"', [2, 2]],
    ['"10%"', [1, 1, 1, 1]],
    ['"100%"', [4]],
    ["9", [4]],
  ] as const)
    test(`with max_unavailable = ${atOnce} four of them go in batches of ${sizes.join(", ")}`, () => {
      const batches = restarts(atOnce)
        .join(";")
        .split(/verify[^;]*;/)
        .map((batch) => batch.split(";").filter((one) => one !== "").length);
      assert.deepEqual(batches, sizes);
    });

  test("the host's max_unavailable wins over the application's", () => {
    const goal = bundleOf(instances(2, ["1", "2"], '[unit."web@"]\nmax_unavailable = 1\n'));
    const observed = deployed(instances(1, ["1", "2"])).observe(goal);
    const { steps } = plan({ application: shop, bundle: goal }, { ...observed, paces: { "web@": { max_unavailable: 2 } } });
    assert.ok(!steps.some(({ kind }) => kind === "verify"));
  });

  test("one that is down is started first, and known to be well before one that serves goes", () => {
    const world = deployed(instances(1, ["1", "2"]));
    world.stop(serviceName("web@2.service"));
    assert.deepEqual(moves(world, bundleOf(instances(2, ["1", "2"]))), [
      "start web@2.service",
      "verify web@2.service: before web@1.service: web@.container, 1 at a time",
      "restart web@1.service",
    ]);
  });

  test("those that are stopped for a network that is made anew come back together", () => {
    const texts = (network: string) => ({
      "web@1.container": image(1, "Network=net.network\n"),
      "web@2.container": image(1, "Network=net.network\n"),
      "net.network": network,
    });
    const found = moves(deployed(texts("[Network]\n")), bundleOf(texts("[Network]\nInternal=true\n")));
    assert.ok(!found.some((line) => line.startsWith("verify")), found.join("\n"));
  });

  test("after a crash those that were restarted before are looked at, before the next goes", () => {
    const names = ["1", "2", "3"];
    const world = deployed(instances(1, names));
    const goal = bundleOf(instances(2, names));
    const isSecond = (step: { readonly kind: string }) => step.kind === "verify";
    assert.ok(plan({ application: shop, bundle: goal }, world.observe(goal)).steps.some(isSecond));
    // Writes of three files, the reload and the first restart, each with a moment before and after, behind the saved intention.
    assert.throws(() => world.pass(goal, 11));
    assert.deepEqual(moves(world, goal).slice(0, 2), [
      "verify web@1.service: before web@2.service: web@.container, 1 at a time",
      "restart web@2.service",
    ]);
  });
});

suite("an application's pgo.toml is refused, with the line,", () => {
  const problems = (texts: Readonly<Record<string, string>>) => {
    const files = Object.entries(texts).map(
      ([path, text]) =>
        [relativePath(path), { entry: { kind: "file", executable: false, content: Buffer.from(text) }, origin: `shop/${path}` }] as const,
    );
    const made = assemble({ application: shop, files: new Map(files), problems: [] }, renderingFor(shop));
    return made.ok ? [] : made.trouble.map(({ file, line, message }) => `${file}:${String(line)}: ${message}`);
  };

  test("where a unit is to go before what it needs", () => {
    const texts = {
      "web.container": "[Unit]\nAfter=db.service\n[Container]\nImage=localhost/x\n",
      "db.container": image(1),
      "pgo.toml": "[unit.db]\nphase = 2\n\n[unit.web]\nphase = 1\n",
    };
    assert.deepEqual(problems(texts), [
      "shop/pgo.toml:5: [unit.web] phase: web.container is in phase 1 and needs db.container, which comes in phase 2: give web.container that phase or a later one",
    ]);
  });

  test("where a section names no unit", () => {
    assert.deepEqual(problems(three(1, "[unit.elsewhere]\nphase = 2\n")), [
      "shop/pgo.toml:1: [unit.elsewhere] names no unit of this application: there are a, b, c",
    ]);
  });

  test("where max_unavailable is of what has no instances, or no number of them", () => {
    assert.deepEqual(problems(three(1, "[unit.a]\nmax_unavailable = 2\n")), [
      "shop/pgo.toml:2: [unit.a] max_unavailable counts instances of a template, and a is none: leave it out",
    ]);
    for (const [wrong, message] of [
      ["0", "max_unavailable must be at least 1"],
      ['"0%"', 'max_unavailable must be a number of instances from 1, or a share of them like "50%"'],
      ['"half"', 'max_unavailable must be a number of instances from 1, or a share of them like "50%"'],
    ] as const)
      assert.deepEqual(problems(instances(1, ["1"], `[unit."web@"]\nmax_unavailable = ${wrong}\n`)), [`shop/pgo.toml:2: ${message}`]);
  });
});

suite("applications of one source", () => {
  const turn = (name: string, phase: number, texts: Readonly<Record<string, string>> = { [`${name}.container`]: image(1) }) => {
    const application = shop.replace("shop", name) as typeof shop;
    return { id: application, live: undefined, next: bundleOf(texts, application), phase };
  };
  const order = (...turns: readonly ReturnType<typeof turn>[]) => rolloutOrder(turns).map((id) => id.replace(/.*\//, ""));

  test("go by phase, then by name", () => {
    assert.deepEqual(order(turn("a", 10), turn("b", 2), turn("c", 1), turn("d", 1)), ["c", "d", "b", "a"]);
  });

  test("what one needs goes before it, whatever its phase", () => {
    const user = turn("a", 1, { "a.container": "[Unit]\nAfter=b.service\n[Container]\nImage=localhost/x\n" });
    assert.deepEqual(order(user, turn("b", 2), turn("c", 1)), ["b", "a", "c"]);
  });
});

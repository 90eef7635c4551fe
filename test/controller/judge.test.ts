/** A judgement where no host is at hand, and where the generator itself falls over: by a stand-in for it that crashes on one word. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { judge, type Witnesses } from "../../src/controller/judge.ts";
import { assemble } from "../../src/core/assemble.ts";
import type { Bundle, TreeEntry } from "../../src/core/bundle.ts";
import { openCourt, type Trial } from "../../src/core/judgement.ts";
import { layout } from "../../src/core/layout.ts";
import { partsOf, sourceName, type ApplicationId } from "../../src/core/names.ts";
import type { UnitStage } from "../../src/core/unit-verify.ts";
import { generate } from "../fakes/quadlet-generator.ts";
import { plainly, renderingFor } from "../core/renderings.ts";

const never = new AbortController().signal;
const web = "[Container]\nImage=localhost/good:1\n";
const crashing = `${web}Label=crash\n`;

function draftsOf(files: Readonly<Record<string, string>>) {
  const entries = new Map(
    Object.entries(files).map(([path, text]): [string, TreeEntry] => [
      path,
      { kind: "file", executable: false, content: Buffer.from(text) },
    ]),
  );
  return layout(sourceName("fleet"), ["."], entries);
}

/** Podman 5.4.2's own words for a crash; it makes nothing then. */
function witnesses(): Witnesses & { readonly runs: () => number } {
  let runs = 0;
  return {
    runs: () => runs,
    generatorWarnings: "report",
    elsewhere: undefined,
    dryRun(staged) {
      runs += 1;
      const texts = new Map(
        [...staged].flatMap(([id, files]) =>
          files.map(({ path, content }): [string, string] => [`/staging/${id}/${path}`, Buffer.from(content).toString()]),
        ),
      );
      const { stdout, stderr } = generate(texts);
      const crashes = [...texts.values()].some((text) => text.includes("crash"));
      const panic = "panic: runtime error: index out of range [0] with length 0\n\ngoroutine 1 [running]:\nmain.main()\n";
      return Promise.resolve({ root: "/staging", stdout: crashes ? "" : stdout, stderr: crashes ? panic : stderr });
    },
  };
}

async function verdicts(
  files: Readonly<Record<string, string>>,
  live: ReadonlyMap<ApplicationId, Bundle> = new Map(),
  verifier?: NonNullable<Witnesses["verifier"]>,
) {
  const asked = { ...witnesses(), ...(verifier === undefined ? {} : { verifier }) };
  const candidates = await judge({ drafts: draftsOf(files), live, ...plainly }, asked, never);
  const told = [...candidates].map(([id, candidate]): [string, string] => [
    partsOf(id).application,
    candidate.kind === "rejected"
      ? candidate.problems.map(({ file, line, message }) => `${file}${line === undefined ? "" : `:${line}`}: ${message}`).join("\n")
      : candidate.kind,
  ]);
  return { told: Object.fromEntries(told), runs: asked.runs() };
}

const crash =
  "the generator crashes on it (runtime error: index out of range [0] with length 0), and would then make no unit of any file on the host: look for a value that is empty or cut short";

test("a file that the generator crashes on is found, and refuses only its own application", async () => {
  const many = Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`app${String(at)}/web${String(at)}.container`, web]));
  const { told, runs } = await verdicts({ ...many, "app7/other.container": crashing });
  assert.equal(told["app7"], `app7/other.container: ${crash}`);
  assert.deepEqual(new Set(Object.values(told)), new Set(["bundle", told["app7"]]));
  assert.ok(runs < 15, `${String(runs)} runs for 20 applications: they are asked one by one`);
});

test("two such files in two applications are both found, and a plain fault beside them too", async () => {
  const { told } = await verdicts({
    "a/a.container": crashing,
    "b/b.container": web,
    "c/c.container": crashing,
    "d/d.container": `${web}Labels=x\n`,
  });
  assert.deepEqual(told, {
    a: `a/a.container: ${crash}`,
    b: "bundle",
    c: `c/c.container: ${crash}`,
    d: "d/d.container:3: unsupported key 'Labels' in group 'Container' (did you mean Label?)",
  });
});

test("a complaint about a line is told of the line in Git, also of a .quadlets file", async () => {
  const { told } = await verdicts({
    "shop/all.quadlets": `[Network]\n# FileName=app\n---\n${web}# FileName=web\nnonsense\n`,
    "blog/blog.container": web,
  });
  assert.equal(told["blog"], "bundle");
  assert.match(told["shop"] ?? "", /^shop\/all\.quadlets:7: /);
});

test("a complaint about a key or a unit's name comes with its column", async () => {
  const drafts = draftsOf({
    "key/key.container": `${web}  Labels=x\n`,
    "needy/needy.container": `${web}Network=nowhere.network\n`,
    "drop/drop.container": web,
    "drop/drop.container.d/10.conf": "[Container]\n\tLabels=x\n",
    "all/all.quadlets": `[Network]\n# FileName=app\n---\n${web}# FileName=web\n Labels=x\n`,
    "toml/toml.container": web,
    "toml/pgo.toml": "  nothing = 1\n",
    "torn/torn.container": `${web}nonsense\n`,
  });
  const candidates = await judge({ drafts, live: new Map(), ...plainly }, witnesses(), never);
  const places = [...candidates.values()].flatMap((one) =>
    one.kind === "rejected" ? one.problems.map(({ file, line, column }) => [file, line, column].join(":")) : [],
  );
  assert.deepEqual(places.sort(), [
    "all/all.quadlets:7:2",
    "drop/drop.container.d/10.conf:2:2",
    "key/key.container:3:3",
    "needy/needy.container:3:1",
    "toml/pgo.toml:1:3",
    "torn/torn.container:3:",
  ]);
});

/** One revision over another, all of which was fine. */
async function after(old: Readonly<Record<string, string>>, files: Readonly<Record<string, string>>) {
  const live = new Map(
    draftsOf(old).map((draft): [ApplicationId, Bundle] => {
      const made = assemble(draft, renderingFor(draft.application));
      assert.ok(made.ok);
      return [draft.application, made.value];
    }),
  );
  return (await verdicts({ ...old, ...files }, live)).told;
}

suite("units that wait for one another in a circle", () => {
  const says = (...services: readonly string[]) =>
    `${String(services[0])} would wait for itself: ${services.join(" after ")}. systemd can't start or stop them together: take out what makes one of them wait`;
  const ordered = (...lines: readonly string[]) => `[Unit]\n${lines.join("\n")}\n${web}`;

  const table: readonly (readonly [name: string, files: Readonly<Record<string, string>>, expected: Readonly<Record<string, string>>])[] = [
    [
      "two units are refused, with file, line and the circle in words",
      { "a/a.container": ordered("After=b.service"), "a/b.container": ordered("Description=x", "After=a.container") },
      { a: `a/a.container:2: ${says("a.service", "b.service", "a.service")}` },
    ],
    [
      "so is a longer one, over Before= and through a network",
      {
        "a/a.container": `[Unit]\nBefore=n-network.service\n${web}`,
        "a/b.container": `${web}Network=n.network\n`,
        "a/c.container": ordered("After=b.service"),
        "a/n.network": "[Network]\n",
        "a/a.container.d/10.conf": "[Unit]\nAfter=c.service\n",
      },
      { a: `a/a.container.d/10.conf:2: ${says("a.service", "c.service", "b.service", "n-network.service", "a.service")}` },
    ],
    [
      "so is a timer's that waits for what it triggers",
      { "a/a.container": web, "a/a.timer": "[Unit]\nAfter=a.service\n[Timer]\nOnBootSec=1h\n" },
      { a: `a/a.timer:2: ${says("a.service", "a.timer", "a.service")}` },
    ],
    [
      "over two applications of one commit both hear of it",
      { "a/a.container": ordered("After=b.service"), "b/b.container": ordered("After=a.service") },
      {
        a: `a/a.container:2: ${says("a.service", "b.service", "a.service")}`,
        b: `b/b.container:2: ${says("b.service", "a.service", "b.service")}`,
      },
    ],
    [
      "those that only need each other wait for nobody, and neither does one that names itself",
      { "a/a.container": ordered("Wants=b.service"), "a/b.container": ordered("Requires=a.service", "After=b.service") },
      { a: "bundle" },
    ],
  ];
  for (const [name, files, expected] of table)
    test(name, async () => {
      assert.deepEqual((await verdicts(files)).told, expected);
    });

  test("the application that closes it is refused, not the one whose files were there before, nor one with another change", async () => {
    const told = await after(
      { "a/a.container": ordered("After=b.service"), "b/b.container": web, "c/c.container": web },
      { "b/b.container": ordered("After=a.service"), "c/more.container": web },
    );
    assert.deepEqual(told, { a: "bundle", b: `b/b.container:2: ${says("b.service", "a.service", "b.service")}`, c: "bundle" });
  });
});

suite("Podman objects of one name", () => {
  const named = (name: string) => `${web}ContainerName=${name}\n`;
  const taken = (name: string, file: string) =>
    `its container would be called ${name}, as that of ${file}: the second to start would take the first's place. Give one of them another ContainerName=`;
  const otherwise = (what: string, name: string, file: string) =>
    `its ${what} would be called ${name}, as that of ${file}, which describes it otherwise: the first to start would decide what it is. Make them the same, or give one of them another name`;

  const table: readonly (readonly [name: string, files: Readonly<Record<string, string>>, expected: Readonly<Record<string, string>>])[] = [
    [
      "are refused for two containers, with file, line and the other's file",
      { "a/a.container": named("web"), "a/b.container": named('"web"') },
      { a: `a/b.container:3: ${taken("web", "a/a.container of fleet/a")}` },
    ],
    [
      "are refused over two applications, in the later one, and against the name that a container has without its saying so",
      {
        "a/web.container": web,
        "b/b.container": named("systemd-web"),
        "c/c.container": `${web}ServiceName=site\n`,
        "d/site2.container": named("systemd-site"),
      },
      {
        a: "bundle",
        b: `b/b.container:3: ${taken("systemd-web", "a/web.container of fleet/a")}`,
        c: "bundle",
        d: `d/site2.container:3: ${taken("systemd-site", "c/c.container of fleet/c")}`,
      },
    ],
    [
      "of a template's instances are told apart, and a specifier that only systemd knows is not guessed",
      {
        "a/w@.container": named("w-%i"),
        "a/pgo.toml": '[instances]\n"w@.container" = ["1", "2"]\n',
        "b/b.container": named("w-2"),
        "c/c.container": named("x%H"),
        "c/d.container": named("x%H"),
      },
      { a: "bundle", b: `b/b.container:3: ${taken("w-2", "a/w@.container of fleet/a")}`, c: "bundle" },
    ],
    [
      "are fine for two networks or volumes that are the same, or of which one only names what is there",
      {
        "a/n.network": "[Network]\nNetworkName=shared\nSubnet=10.0.0.0/24\n",
        "b/m.network": "# the same\n[Network]\nSubnet=10.0.0.0/24\nNetworkName=shared\nLabel=b\n",
        "b/v.volume": "[Volume]\nVolumeName=shared\n",
        "c/k.network": "[Network]\nNetworkName=shared\n",
      },
      { a: "bundle", b: "bundle", c: "bundle" },
    ],
    [
      "are refused for two networks that are not the same",
      {
        "a/n.network": "[Network]\nNetworkName=shared\nSubnet=10.0.0.0/24\n",
        "b/m.network": "[Network]\nSubnet=10.0.1.0/24\nNetworkName=shared\n",
      },
      { a: "bundle", b: `b/m.network:3: ${otherwise("network", "shared", "a/n.network of fleet/a")}` },
    ],
  ];
  for (const [name, files, expected] of table)
    test(name, async () => {
      assert.deepEqual((await verdicts(files)).told, expected);
    });

  test("are refused for two pods, and for a container that is called like a pod's own", () => {
    const told = (files: Readonly<Record<string, string>>) => {
      const court = openCourt({ drafts: draftsOf(files), live: new Map(), ...plainly });
      return [...court.verdicts().values()].flatMap((one) =>
        one.kind === "rejected" ? one.problems.map(({ message }) => message.split(":")[0]) : [],
      );
    };
    assert.deepEqual(told({ "a/a.pod": "[Pod]\nPodName=p\n", "b/b.pod": "[Pod]\nPodName=p\n" }), [
      "its pod would be called p, as that of a/a.pod of fleet/a",
    ]);
    assert.deepEqual(told({ "a/a.pod": "[Pod]\n", "b/b.container": named("systemd-a-infra") }), [
      "its container would be called systemd-a-infra, as that of the pod in a/a.pod of fleet/a",
    ]);
    assert.deepEqual(told({ "a/b.container": named("systemd-a-infra"), "b/a.pod": "[Pod]\n" }), [
      "its own container would be called systemd-a-infra, as that of a/b.container of fleet/a",
    ]);
    assert.deepEqual(told({ "a/a.pod": "[Pod]\nPodName=same\n", "b/b.container": named("same") }), []);
  });

  test("are the fault of the one that is new, also where it comes earlier by name; an old one may change", async () => {
    const told = await after(
      { "b/b.container": named("web") },
      { "a/a.container": named("web"), "b/b.container": `${named("web")}Label=x\n` },
    );
    assert.deepEqual(told, { b: "bundle", a: `a/a.container:3: ${taken("web", "b/b.container of fleet/b")}` });
    const same = await after({ "a/z.container": named("web") }, { "a/a.container": named("web") });
    assert.deepEqual(same, { a: `a/a.container:3: ${taken("web", "a/z.container of fleet/a")}` });
  });

  test("are no trouble where a unit gets another file name or another application in the same commit", async () => {
    const drafts = draftsOf({ "a/other.container": web, "b/site.container": named("web") });
    const [old] = draftsOf({ "a/web.container": named("web"), "a/other.container": web });
    const made = old === undefined ? undefined : assemble(old, renderingFor(old.application));
    assert.ok(made?.ok);
    const candidates = await judge({ drafts, live: new Map([[made.value.application, made.value]]), ...plainly }, witnesses(), never);
    assert.deepEqual(
      [...candidates.values()].map(({ kind }) => kind),
      ["bundle", "bundle"],
    );
  });
});

test("a key and a kind that this Podman is too old for are refused with the version that they need", async () => {
  const drafts = draftsOf({ "a/a.container": `${web}Memory=1g\n`, "b/b.artifact": "[Artifact]\nArtifact=localhost/x:1\n" });
  const rendering: Trial["rendering"] = (id) => ({ ...renderingFor(id), vars: () => new Map([["PGO_PODMAN_VERSION", "5.4.2"]]) });
  const candidates = await judge({ drafts, live: new Map(), ...plainly, rendering }, witnesses(), never);
  const told = [...candidates.values()].flatMap((one) => (one.kind === "rejected" ? one.problems.map(({ message }) => message) : []));
  assert.deepEqual(told, [
    "needs Podman 5.5, and here it is 5.4.2: unsupported key 'Memory' in group 'Container'",
    "the generator makes no b-artifact.service of it: a .artifact needs Podman 5.7, and here it is 5.4.2",
  ]);
});

test("a crash over what is live already is blamed on no candidate's file, and lets nothing new in", async () => {
  const [old] = draftsOf({ "old/old.container": crashing });
  const made = old === undefined ? undefined : assemble(old, renderingFor(old.application));
  assert.ok(made?.ok);
  const { told } = await verdicts({ "new/new.container": web }, new Map([[made.value.application, made.value]]));
  assert.deepEqual(told, {
    new: "new/new.container: the generator makes no new.service of it: it crashes over what is on the host (runtime error: index out of range [0] with length 0)",
  });
});

test("without a host nothing is asked of one, and an application alone is judged by one run", async () => {
  assert.deepEqual(await verdicts({ "a/a.container": web, "a/a.network": "[Network]\n" }), { told: { a: "bundle" }, runs: 1 });
});

/** Refuses each unit that says `Bad=`, in systemd's words. */
function verifier(): NonNullable<Witnesses["verifier"]> & { readonly stages: UnitStage[] } {
  const stages: UnitStage[] = [];
  return {
    stages,
    directory: "/etc/containers/systemd/pgo",
    verifyUnits(stage) {
      stages.push(stage);
      const bad = [...stage.units].filter(([, content]) => Buffer.from(content).includes("Bad="));
      const output = bad.map(([path]) => `<28>/stage/units/${path}:2: Failed to parse Bad=, ignoring: x\n`).join("");
      return Promise.resolve({ code: bad.length === 0 ? 0 : 1, output, root: "/stage" });
    },
  };
}

const plain = "[Service]\nExecStart=/bin/true\n";

test("a plain unit that systemd refuses falls, what needs it waits, and the generator judges again what is left", async () => {
  const asked = verifier();
  const files = {
    "a/a.service": "[Service]\nBad=1\n",
    "a/net.network": "[Network]\n",
    "b/b.container": `${web}Network=net.network\n`,
    "c/c.service": plain,
    "c/d.container": web,
  };
  const { told, runs } = await verdicts(files, new Map(), asked);
  assert.deepEqual(told["a"], "a/a.service:2: Failed to parse Bad=, ignoring: x");
  assert.deepEqual([told["b"], told["c"]], ["blocked", "bundle"]);
  assert.equal(runs, 2);
  assert.deepEqual(
    asked.stages.map(({ names }) => names),
    [["a.service", "c.service"], ["c.service"]],
  );
  assert.deepEqual([...(asked.stages[0]?.made.keys() ?? [])].includes("d.service"), true);
});

test("the verifier is not asked where nobody brings a plain unit, nor for one that is live already", async () => {
  const asked = verifier();
  const [old] = draftsOf({ "old/old.service": plain });
  const made = old === undefined ? undefined : assemble(old, renderingFor(old.application));
  assert.ok(made?.ok);
  const { told } = await verdicts(
    { "old/old.service": plain, "a/a.container": web },
    new Map([[made.value.application, made.value]]),
    asked,
  );
  assert.deepEqual(told, { old: "bundle", a: "bundle" });
  assert.deepEqual(asked.stages, []);
});

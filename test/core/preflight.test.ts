/** What a plan's starts need of the host, and what of it holds a rollout. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { assemble } from "../../src/core/assemble.ts";
import type { TreeEntry } from "../../src/core/bundle.ts";
import { endpoint, endpointText } from "../../src/core/endpoint.ts";
import { layout } from "../../src/core/layout.ts";
import { sourceName, type ApplicationId, type ServiceName } from "../../src/core/names.ts";
import type { Plan, Step } from "../../src/core/plan.ts";
import { lacking, needsOf, portsIn, tooFull, type Findings } from "../../src/core/preflight.ts";
import { renderingFor } from "./renderings.ts";

const own = ["/etc/containers/systemd/pgo", "/var/lib/pgo"];

function bundleOf(files: Readonly<Record<string, string>>) {
  const entries = new Map(
    Object.entries(files).map(([path, text]): [string, TreeEntry] => [
      `shop/${path}`,
      { kind: "file", executable: false, content: Buffer.from(text) },
    ]),
  );
  const [draft] = layout(sourceName("fleet"), ["."], entries);
  assert.ok(draft);
  const made = assemble(draft, renderingFor(draft.application));
  assert.ok(made.ok, JSON.stringify(made));
  return made.value;
}

/** Of a plan that starts these services; all of the bundle where none are named. */
function needs(files: Readonly<Record<string, string>>, ...services: readonly string[]) {
  const bundle = bundleOf(files);
  const steps = bundle.units
    .filter(({ service }) => services.length === 0 || services.includes(service))
    .map((unit): Step => ({ kind: "start", service: unit.service, unit, because: "it is new" }));
  const plan: Plan = { application: bundle.application, steps, afterwards: [], conflicts: [] };
  const { ports, secrets, paths } = needsOf(plan, bundle, own);
  return [
    ...ports.map(({ what, file }) => `${file} port ${endpointText(what)}`),
    ...secrets.map(({ what, file }) => `${file} secret ${what}`),
    ...paths.map(({ what, file }) => `${file} path ${what}`),
  ];
}
const web = (...lines: readonly string[]) => ({ "web.container": `[Container]\nImage=localhost/x\n${lines.join("\n")}\n` });

suite("needed is", () => {
  for (const [what, files, expected] of [
    [
      "every port that is published",
      web("PublishPort=80:80", "PublishPort=53:53/udp"),
      ["web.container port 80/tcp", "web.container port 53/udp"],
    ],
    [
      "a port that a drop-in adds",
      { ...web(), "web.container.d/1.conf": "[Container]\nPublishPort=80:80\n" },
      ["web.container port 80/tcp"],
    ],
    ["no port that a drop-in takes away", { ...web("PublishPort=80:80"), "web.container.d/1.conf": "[Container]\nPublishPort=\n" }, []],
    ["no port in the host's own network", web("PublishPort=80:80", "Network=host"), []],
    ["a pod's port", { "p.pod": "[Pod]\nPublishPort=80:80\n" }, ["p.pod port 80/tcp"]],
    ["a kube unit's port", { "k.kube": "[Kube]\nYaml=k.yml\nPublishPort=80:80\n", "k.yml": "a: b\n" }, ["k.kube port 80/tcp"]],
    [
      "a Podman secret",
      web("Secret=token,type=env,target=TOKEN", "Secret=other"),
      ["web.container secret token", "web.container secret other"],
    ],
    ["no secret of a name that systemd fills in, nor an id", web("Secret=token-%i", "Secret=0123456789abcdef01234567"), []],
    ["no file secret of a build", { "b.build": "[Build]\nImageTag=localhost/b\nFile=/srv/Containerfile\nSecret=id=x,src=/srv/x\n" }, []],
    [
      "a directory that is mounted",
      web("Volume=/srv/data:/data:Z", "Volume=/srv/more/:/more"),
      ["web.container path /srv/data", "web.container path /srv/more"],
    ],
    [
      "a bind mount's source",
      web("Mount=type=bind,source=/srv/a,destination=/a", "Mount=type=bind,src=/srv/b,dst=/b"),
      ["web.container path /srv/a", "web.container path /srv/b"],
    ],
    ["no path of other mounts", web("Mount=type=tmpfs,destination=/a", "Mount=type=volume,source=v,destination=/b", "Tmpfs=/c"), []],
    [
      "no volume by name, no anonymous one, no asset",
      { ...web("Volume=data:/data", "Volume=/data", "Volume=./conf:/conf"), "conf/a": "x" },
      [],
    ],
    ["no path with a specifier", web("Volume=%h/data:/data", "Volume=/run/user/%U/x:/x"), []],
    ["no path in pgo's own directories", web("Volume=/etc/containers/systemd/pgo/fleet/shop/conf:/a", "Volume=/var/lib/pgo:/b"), []],
    ["no path that a command before makes", web("Volume=/srv/data:/data", "[Service]", "ExecStartPre=/bin/mkdir -p /srv/data"), []],
    [
      "no path that systemd makes",
      web("Volume=/var/lib/web/x:/x", "Volume=/run/web:/y", "[Service]", "StateDirectory=web", "RuntimeDirectory=web"),
      [],
    ],
    [
      "no path on a mount of the application's",
      { ...web("Volume=/mnt/nas/x:/x"), "mnt-nas.mount": "[Mount]\nWhat=nas:/x\nWhere=/mnt/nas\n" },
      [],
    ],
  ] as const)
    test(what, () => {
      assert.deepEqual(needs(files), expected);
    });

  test("nothing of a unit that the plan leaves alone", () => {
    const files = { ...web("PublishPort=80:80"), "db.container": "[Container]\nImage=localhost/x\nPublishPort=5432:5432\n" };
    assert.deepEqual(needs(files, "db.service"), ["db.container port 5432/tcp"]);
  });
});

const nothing: Findings = { bound: undefined, released: [], others: [], secrets: undefined, missing: undefined };
const port = (number: number, address = "0.0.0.0") => endpoint("tcp", address, number);

suite("a rollout", () => {
  const wanted = {
    ports: [{ what: port(80), file: "web.container" }],
    secrets: [{ what: "token", file: "web.container" }],
    paths: [{ what: "/srv/data", file: "web.container" }],
  };
  const blog = { application: "fleet/blog" as ApplicationId, service: "blog.service" as ServiceName, ports: [port(80)] };
  for (const [what, findings, expected] of [
    ["begins where nothing can be asked", {}, undefined],
    ["begins where all is there", { bound: [port(81)], secrets: new Set(["token"]), missing: new Set<string>() }, undefined],
    [
      "waits for a port that something has",
      { bound: [port(80, "127.0.0.1")] },
      "web.container publishes 80/tcp, which something else on the host has: see ss -lnp 'sport = :80', and stop it or publish another port",
    ],
    [
      "waits for a port that another application has",
      { bound: [port(80)], others: [blog] },
      "web.container publishes 80/tcp, which blog.service of fleet/blog has: publish another port",
    ],
    ["begins while nobody listens, whatever others say", { bound: [], others: [blog] }, undefined],
    ["begins with a port that its own restart sets free", { bound: [port(80)], released: [port(80)] }, undefined],
    [
      "waits for a secret",
      { secrets: new Set(["other"]) },
      "web.container needs the Podman secret token, which is not there: podman secret create token FILE",
    ],
    [
      "waits for a path",
      { missing: new Set(["/srv/data"]) },
      "web.container mounts /srv/data, which is not on the host, and Podman does not make it: create it there",
    ],
  ] as const)
    test(what, () => {
      assert.equal(lacking(wanted, { ...nothing, ...findings }), expected);
    });

  test("tells a few of many reasons", () => {
    const secrets = Array.from({ length: 8 }, (_, at) => ({ what: `s${String(at)}`, file: "web.container" }));
    const why = lacking({ ports: [], paths: [], secrets }, { ...nothing, secrets: new Set() });
    assert.match(why ?? "", /; and 3 more$/);
  });
});

test("too little room is told with what to do, and as much as is asked for is enough", () => {
  const places = [
    { directory: "/var/lib/containers/storage", free: 5e9 },
    { directory: "/var/lib/pgo", free: 99e6 },
  ];
  assert.equal(
    tooFull(places, 100e6),
    "only 99 MB are free at /var/lib/pgo, and [state] min_free is 100 MB: make room, podman system prune for one",
  );
  assert.equal(tooFull(places, 99e6), undefined);
});

test("what a unit publishes is read from its drop-ins too", () => {
  const bundle = bundleOf({ ...web("PublishPort=80:80"), "web.container.d/1.conf": "[Container]\nPublishPort=81:81\n" });
  assert.deepEqual(portsIn(bundle, () => true).map(endpointText), ["80/tcp", "81/tcp"]);
  assert.deepEqual(
    portsIn(bundle, () => false),
    [],
  );
});

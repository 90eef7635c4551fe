/** What an application as a whole is told: what is ordinary, what a violation says, and which names are pgo's own. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { violations } from "../../src/core/policy.ts";
import { broken, contained, guest, open, place, policy, subject } from "./policy.ts";

const web = "[Container]\nImage=quay.io/a/web:1\n";
const inContained = 'preset = "contained"\n';

suite("the rule plain_units", () => {
  const files = { "web.container": web, "job.timer": "[Timer]\n", "job.service.d/a.conf": "[Service]\n" };

  test("refuses units of systemd and their drop-ins, by their files", () => {
    assert.deepEqual(broken(files, policy("plain_units = false")), ["plain_units shop/job.timer", "plain_units shop/job.service.d/a.conf"]);
    assert.deepEqual(broken(files, contained), broken(files, policy("plain_units = false")));
  });

  test("is not about quadlets", () => {
    assert.deepEqual(broken({ "web.container": web }, policy("plain_units = false")), []);
  });
});

suite("an ordinary application is allowed by the preset contained", () => {
  const files = {
    "web.container":
      '[Unit]\nDescription=Web\nAfter=network-online.target db.container\nWants=network-online.target\nRequires=db.container\n\n[Container]\nImage=docker.io/library/nginx:1.27\nContainerName=shop-web\nPublishPort=8080:80\nVolume=./conf:/etc/nginx/conf.d:ro,Z\nVolume=data.volume:/var/www\nTmpfs=/tmp\nNetwork=app.network\nEnvironment=TZ=UTC "GREETING=good day"\nEnvironmentFile=web.env\nDropCapability=all\nAddCapability=CAP_CHOWN SETUID SETGID NET_BIND_SERVICE\nNoNewPrivileges=true\nReadOnly=true\nUserNS=auto\nHealthCmd=curl -f http://127.0.0.1/ || exit 1\nHealthInterval=10s\nNotify=healthy\nAutoUpdate=registry\nLabel=a=b\nExec=nginx \\\n  -g "daemon off;"\n\n[Service]\nRestart=always\nRestartSec=5\nTimeoutStartSec=300\nMemoryMax=256M\n\n[Install]\nWantedBy=multi-user.target default.target\n',
    "web.container.d/10-limits.conf": "[Container]\nPidsLimit=100\n\n[Service]\nCPUQuota=50%\n",
    "db.container":
      "[Container]\nImage=pg.image\nPod=app.pod\nVolume=db.volume:/var/lib/postgresql/data:Z\nMount=type=tmpfs,tmpfs-size=64m,destination=/dev/shm\nUser=999\nShmSize=64m\nStopTimeout=60\n\n[Service]\nRestart=on-failure\n",
    "pg.image": "[Image]\nImage=docker.io/library/postgres:17\n\n[Service]\nTimeoutStartSec=900\n",
    "data.volume": "[Volume]\nLabel=app=shop\n",
    "db.volume": "[Volume]\n",
    "app.network": "[Network]\nInternal=true\n",
    "app.pod": "[Pod]\nNetwork=app.network\nPublishPort=5432:5432\n",
    "web.env": "A=1\n",
  };

  test("as it is", () => {
    assert.deepEqual(broken(files, contained), []);
  });

  test("with templates that name their instances", () => {
    const worker = "[Unit]\nAfter=queue@%i.service\n[Container]\nImage=quay.io/a/worker:1\nContainerName=worker-%i\nEnvironment=ID=%i\n";
    assert.deepEqual(broken({ "worker@.container": worker, "queue@.container": worker }, contained), []);
  });

  test("but not with a drop-in that reaches out, which is named", () => {
    assert.deepEqual(broken({ ...files, "web.container.d/20.conf": "[Container]\n\nPodmanArgs=--privileged\n" }, contained), [
      "podman_args shop/web.container.d/20.conf:3",
    ]);
  });

  test("whose own kube and build units are refused by what they are, whatever they say", () => {
    assert.deepEqual(
      broken({ "a.kube": "[Kube]\nYaml=a.yml\n", "b.build": "[Build]\nImageTag=localhost/guest/b\nFile=Containerfile\n" }, contained),
      ["kube shop/a.kube", "builds shop/b.build"],
    );
  });
});

suite("what is told of a violation", () => {
  const told = (line: string, by: string) =>
    violations(subject({ "web.container": `${web}${line}\n` }), policy(by)).map((one) => `${place(one)} ${one.message}`);

  test("is the column too, where a key is meant", () => {
    const found = violations(subject({ "web.container": `${web}  PodmanArgs=--privileged\n` }), policy('preset = "contained"'));
    assert.deepEqual(
      found.map(({ line, column }) => [line, column]),
      [[3, 3]],
    );
  });

  test("is file, line, the rule with the section that set it, and what to do", () => {
    assert.deepEqual(told("PodmanArgs=--privileged", '[source.guest]\npreset = "contained"\n'), [
      "podman_args shop/web.container:3 PodmanArgs=--privileged is not allowed by policy (rule podman_args of [policy.source.guest]): it passes any option to Podman: use the quadlet's own keys",
    ]);
    assert.deepEqual(told("Volume=/etc:/x", 'mounts = ["/srv/data"]'), [
      "mounts shop/web.container:3 Volume=/etc:/x is not allowed by policy (rule mounts of [policy]): /etc is not one of the host's paths that are listed (/srv/data)",
    ]);
    assert.deepEqual(told("[Service]\nExecStartPre=/bin/x", inContained), [
      'keys shop/web.container:4 [Service] ExecStartPre= is not allowed by policy (rule keys of [policy]): what [Service] says is done on the host: leave it out, or have "Service.ExecStartPre" listed in keys',
    ]);
  });

  test("never shows the value of a variable", () => {
    assert.ok(!told("Environment=PASSWORD=geheim OTHER", inContained).join().includes("geheim"));
  });

  test("is enforced, or only told where the mode says so", () => {
    const of = (by: string) => violations(subject({ "web.container": `${web}Network=host\n` }), policy(by))[0]?.enforced;
    assert.equal(of(inContained), true);
    assert.equal(of(`${inContained}mode = "warn"`), false);
  });
});

suite("the rule host_commands", () => {
  const asking = { ...subject({ "web.container": web }), hostCommands: [{ file: "shop/pgo.toml", line: 2, section: "[health.web]" }] };

  test("refuses commands on the host whatever the preset, where nobody has allowed them", () => {
    for (const by of [open, contained, policy("", guest)])
      assert.deepEqual(violations(asking, by).map(place), ["host_commands shop/pgo.toml:2"]);
    for (const preset of ["", inContained]) assert.deepEqual(violations(asking, policy(`${preset}host_commands = true`)), []);
  });

  test("says what to do", () => {
    assert.equal(
      violations(asking, open)[0]?.message,
      'command with on = "host" in [health.web] is not allowed by policy (rule host_commands of [policy]): it runs on the host itself: ' +
        "run it in the container, ask for it in the host's own pgo.toml, or set host_commands = true there",
    );
  });

  test("restricts nothing else: an open policy with it stays open", () => {
    assert.equal(policy("host_commands = true").restricts, false);
    assert.equal(open.restricts, false);
  });
});

suite("pgo's own names", () => {
  for (const [what, files, places] of [
    ["pgo.container", { "pgo.container": web }, ["own_names shop/pgo.container"]],
    ["pgo.container in any directory", { "a/b/pgo.container": web }, ["own_names shop/a/b/pgo.container"]],
    ["a drop-in of pgo.container", { "pgo.container.d/a.conf": "[Container]\n" }, ["own_names shop/pgo.container.d/a.conf"]],
    ["pgo.service", { "pgo.service": "[Service]\n" }, ["own_names shop/pgo.service"]],
    ["a drop-in of pgo.service", { "pgo.service.d/a.conf": "[Service]\n" }, ["own_names shop/pgo.service.d/a.conf"]],
    ["a timer that starts pgo.service", { "pgo.timer": "[Timer]\n" }, ["own_names shop/pgo.timer"]],
    ["a directory pgo-self", { "pgo-self/web.container": web }, ["own_names shop/pgo-self/web.container"]],
    ["another quadlet that makes pgo.service", { "pgo.kube": "[Kube]\nYaml=a.yml\n" }, ["own_names shop/pgo.kube"]],
    ["ServiceName=pgo", { "a.container": `${web}ServiceName=pgo\n` }, ["own_names shop/a.container:3"]],
    ["ServiceName= with a path to it", { "a.container": `${web}ServiceName="x/../pgo"\n` }, ["own_names shop/a.container:3"]],
    [
      "ServiceName=pgo in a drop-in",
      { "a.container": web, "a.container.d/x.conf": "[Container]\nServiceName=pgo\n" },
      ["own_names shop/a.container.d/x.conf:2"],
    ],
    ["ContainerName=pgo", { "a.container": `${web}ContainerName = "pgo"\n` }, ["own_names shop/a.container:3"]],
    [
      "a container's name that an instance makes pgo",
      { "a@pgo.container": `${web}ContainerName=%i\n` },
      ["own_names shop/a@pgo.container:3"],
    ],
    ["PodName=pgo", { "a.pod": "[Pod]\nPodName=pgo\n" }, ["own_names shop/a.pod:2"]],
    ["pgo's image", { "a.build": "[Build]\nSetWorkingDirectory=unit\nImageTag=localhost/pgo:latest\n" }, ["own_names shop/a.build:3"]],
  ] as const)
    test(`${what} is refused by every policy, and of pgo's own source too unless it is pgo's own quadlet`, () => {
      assert.deepEqual(broken(files, open), places);
      assert.deepEqual(
        violations(subject(files), policy(`mode = "warn"`)).map(({ enforced }) => enforced),
        [true],
      );
      assert.ok(places.every((one) => broken(files, contained).includes(one)));
      const isQuadlet = Object.keys(files).every((path) => /(?:^|\/)pgo\.container(?:\.d\/|$)/.test(path));
      assert.equal(violations(subject(files, true), open).length, isQuadlet ? 0 : places.length);
    });

  test("are not what only looks like them", () => {
    const files = {
      ...{ "pgo-dashboard.container": web, "my-pgo.container": web, "pgo.volume": "[Volume]\n", "pgo.pod": "[Pod]\n", "pgo.conf": "x" },
      ...{ "a.container": `${web}ContainerName=pgo2\nServiceName=pgo-web\nHostName=pgo\n`, "pgo/a.env": "x", "pgo@.container": web },
      "b.build": "[Build]\nSetWorkingDirectory=unit\nImageTag=localhost/pgo-web\n",
    };
    assert.deepEqual(broken(files, open), []);
  });
});

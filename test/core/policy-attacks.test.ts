/** Ways out of a contained source, however they are written and wherever they stand; and an open policy that is in nobody's way. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { judges, ownSection } from "../../src/core/policy-keys.ts";
import { broken, contained, open } from "./policy.ts";

/** Each alone makes root of whoever can push it, or shows what is not the source's. */
const dangerous: Readonly<Record<string, readonly string[]>> = {
  Container: [
    ...[
      "PodmanArgs=--privileged",
      "PodmanArgs=-v /:/host",
      "GlobalArgs=--root /x",
      "ContainersConfModule=./evil.conf",
      "PodmanArgs=--pid=host",
    ],
    ...[
      "Volume=/:/host",
      "Volume=/etc:/e",
      "Volume=/run/podman:/p",
      "Volume=/run/dbus:/d",
      "Volume=/var/lib/pgo:/p:ro",
      "Volume=/root:/r",
      "Volume=/home:/h",
    ],
    ...[
      "Volume=%h:/h",
      "Volume=%t/podman:/p",
      "Volume=../../../..:/up",
      "Volume=.:/own",
      "Volume=./conf:/c:rw",
      "Volume=systemd-other:/o",
      "Volume=other.volume:/o",
    ],
    ...["Volume=./conf:/c:O,upperdir=/etc,workdir=/tmp", "Volume=${PATH}", "Volume=/srv/./../etc:/e"],
    ...[
      "Mount=type=bind,source=/,destination=/host",
      "Mount=type=bind,src=etc,dst=/e",
      'Mount=type=bind,"src=/etc",dst=/e',
      "Mount=type=glob,src=/etc/*,dst=/e",
    ],
    ...[
      "Rootfs=/",
      "EnvironmentFile=/etc/pgo/secrets/git.env",
      "EnvironmentFile=%h/.ssh/id_ed25519",
      "EnvironmentHost=true",
      "Environment=TOKEN",
      "Secret=other",
    ],
    ...[
      "Network=host",
      "Network=ns:/proc/1/ns/net",
      "Network=container:pgo",
      "Network=pgo.container",
      "Network=pasta:--pcap,/etc/x",
      "Network=other.network",
    ],
    ...[
      "UserNS=host",
      "UIDMap=0:0:1",
      "Pod=other.pod",
      "AddCapability=SYS_ADMIN",
      "AddCapability=all",
      "AddDevice=/dev/sda",
      "AddDevice=-/dev/kmsg",
    ],
    ...[
      "SecurityLabelDisable=true",
      "SecurityLabelType=spc_t",
      "SeccompProfile=unconfined",
      "Unmask=ALL",
      "AppArmor=unconfined",
      "Annotation=run.oci.x=y",
    ],
    ...["LogDriver=k8s-file\nLogOpt=path=/etc/cron.d/x", "HealthLogDestination=/etc", "GroupAdd=keep-groups", "CgroupsMode=disabled"],
    ...[
      "Image=localhost/pgo",
      "Image=docker-archive:/x.tar",
      "Image=--privileged",
      "Image=nginx",
      "ContainerName=pgo",
      "ContainerName=--privileged",
    ],
    ...[
      "HostName=$NOPE\nIP=--privileged",
      "Exec=true ; /bin/sh -c id",
      'Exec=true ";" /bin/sh',
      "Label=;",
      "Exec=${SECRET}",
      "HostName=%I",
    ],
    ...[
      "ServiceName=pgo",
      "ServiceName=x/../../pgo",
      "Label=PODMAN_SYSTEMD_UNIT=ssh.service",
      "Timezone=../../etc/shadow",
      "Future=anything",
    ],
  ],
  Service: [
    ...[
      "ExecStartPre=/bin/sh -c id",
      "ExecStart=/bin/sh",
      "ExecStopPost=+/bin/sh",
      "ExecReload=/bin/sh",
      "ExecCondition=/bin/sh",
      "User=root",
    ],
    ...[
      "Environment=LD_PRELOAD=/x.so",
      "EnvironmentFile=/x",
      "StandardOutput=file:/etc/cron.d/x",
      "StandardOutput=append:/etc/x",
      "PIDFile=/x",
      "Slice=x.slice",
    ],
    ...[
      "WorkingDirectory=/",
      "BindPaths=/",
      "RuntimeDirectory=x",
      "FailureAction=reboot",
      "PassEnvironment=X",
      "LoadCredential=a:/etc/shadow",
      "Sockets=ssh.socket",
    ],
  ],
  Unit: [
    ...[
      "Wants=debug-shell.service",
      "Requires=poweroff.target",
      "Conflicts=pgo.service",
      "OnFailure=rescue.target",
      "Before=sysinit.target",
      "PartOf=ssh.service",
    ],
    ...[
      "FailureAction=poweroff-force",
      "JobTimeoutAction=reboot",
      "SourcePath=/etc/x",
      "RefuseManualStop=yes",
      "PropagatesStopTo=ssh.service",
      "JoinsNamespaceOf=ssh.service",
    ],
    ...["Description=a\r[Service]\rExecStartPre=/bin/sh", "Description=a\0ExecStartPre=x"],
  ],
  Install: [
    "Alias=ssh.service",
    "Alias=pgo.service",
    "RequiredBy=multi-user.target",
    "WantedBy=ssh.service",
    "Also=x.service",
    "UpheldBy=sysinit.target",
  ],
  "X-Notes": [
    "a=b \\\u0085\n[Service]\nExecStartPre=/bin/sh",
    "\\\n[Service]\nExecStartPre=/bin/sh",
    "a=b\n[Ser\\\nvice]\nExecStartPre=/bin/sh",
  ],
};

const lines = Object.entries(dangerous).flatMap(([section, all]) => all.map((line) => ({ section, line })));

/** What is in nobody's way, by section. */
const peaceful = fc.constantFrom(
  ...[
    "[Container]\nLabel=a=b",
    "[Container]\nPublishPort=80:80",
    "[Service]\nRestart=always",
    "[Unit]\nDescription=Web",
    "[Container]\nVolume=",
  ],
  ...[
    "[Install]\nWantedBy=default.target",
    "# a comment",
    "; another \\",
    "",
    "[X-Notes]\nAnything=goes",
    "[Container]\nVolume=data.volume:/data",
  ],
  ...["[Container]\nPodmanArgs=", "[Container]\nExec=sh \\\n  -c \\\n# why\n  true"],
);

/** The same line, written otherwise: what doesn't change its meaning, and what may. */
const written = ({ section, line }: { readonly section: string; readonly line: string }) =>
  fc
    .record({
      indent: fc.constantFrom("", " ", "\t", "  \t"),
      around: fc.constantFrom("=", " = ", "= ", " =", "=\t"),
      end: fc.constantFrom("", " ", "\r", "\t"),
      way: fc.constantFrom("plain", "continued", "broken", "quoted", "folded", "uppercase", "reset"),
      at: fc.nat(60),
    })
    .map(({ indent, around, end, way, at }) => {
      const equals = line.indexOf("=");
      const [key, value] = [line.slice(0, equals), line.slice(equals + 1)];
      const plain = section === "X-Notes" || line.includes("\n") ? line : `${indent}${key}${around}${value}${end}`;
      const cut = 1 + (at % Math.max(1, line.length - 1));
      // What begins with ; or # in a line of its own is a comment for all readers, and in quotes a ; is a part of a word.
      const isBroken = section === "X-Notes" || /^[;#]/.test(line.slice(cut).trim());
      const isSplit = section === "X-Notes" || line.includes("\n") || value.includes(";");
      const text = {
        plain,
        continued: isSplit ? line : `${indent}${key}=\\\n${value}`,
        // In the middle of a word: what Podman joins.
        broken: isBroken ? line : `${line.slice(0, cut)}\\\n${line.slice(cut)}`,
        quoted: isSplit ? line : `${key}="${value}"`,
        folded: isSplit ? line : `${key}= \\\n# why\n\n  ${value}`,
        uppercase: section === "X-Notes" ? line : `${key.toUpperCase()}=${value}`,
        // Dropped again: refused all the same, since a drop-in could bring it back.
        reset: `${line}\n${key}=`,
      }[way];
      return `[${section}]\n${text}`;
    });

suite("a contained source", () => {
  for (const { section, line } of lines)
    test(`can't have [${section}] ${JSON.stringify(line)}`, () => {
      assert.notDeepEqual(broken({ "web.container": `[Container]\nImage=quay.io/a/web\n[${section}]\n${line}\n` }, contained), []);
    });

  test("can't have any of that among what is allowed, in any order, however written, in the unit or a drop-in", () => {
    const evil = fc.constantFrom(...lines).chain((one) => written(one).map((text) => ({ text })));
    fc.assert(
      fc.property(fc.array(peaceful), evil, fc.array(peaceful), fc.boolean(), (before, { text }, after, inDropIn) => {
        const body = [...before, text, ...after].join("\n");
        const base = "[Container]\nImage=quay.io/a/web\n";
        const files = inDropIn
          ? { "web.container": base, "data.volume": "[Volume]\n", "web.container.d/10.conf": `${body}\n` }
          : { "web.container": `${base}${body}\n`, "data.volume": "[Volume]\n" };
        assert.notDeepEqual(broken(files, contained), [], body);
      }),
      { numRuns: 3000 },
    );
  });

  test("can have all of what is allowed, in any order", () => {
    fc.assert(
      fc.property(fc.array(peaceful), (all) => {
        const files = { "web.container": `[Container]\nImage=quay.io/a/web\n${all.join("\n")}\n`, "data.volume": "[Volume]\n" };
        assert.deepEqual(broken(files, contained), []);
      }),
    );
  });

  test("can't have a key that no known Podman has, in any kind of unit", () => {
    for (const [suffix, section] of Object.entries(ownSection))
      assert.ok(broken({ [`a.${suffix}`]: `[${section}]\nFromTheFuture=1\n` }, contained).includes(`keys shop/a.${suffix}:2`), suffix);
  });

  test("can't have a volume that is a host's path, a network of the host, or an image that is somebody else's", () => {
    for (const [name, text] of [
      ["a.volume", "[Volume]\nDevice=/etc\nType=none\nOptions=bind\n"],
      ["a.volume", "[Volume]\nDevice=overlay\nType=overlay\nOptions=lowerdir=/,upperdir=/etc,workdir=/x\n"],
      ["a.volume", "[Volume]\nVolumeName=pgo-state\n"],
      ["a.volume", "[Volume]\nDriver=plugin\n"],
      ["a.network", "[Network]\nNetworkName=host\n"],
      ["a.network", "[Network]\nDriver=macvlan\nOptions=parent=eth0\n"],
      ["a.network", "[Network]\nSubnet=140.82.112.0/20\n"],
      ["a.network", "[Network]\nNetworkName=podman\nNetworkDeleteOnStop=true\n"],
      ["a.image", "[Image]\nImage=localhost/pgo:latest\nTLSVerify=false\n"],
      ["a.image", "[Image]\nImage=quay.io/a/b\nTLSVerify=false\n"],
      ["a.image", "[Image]\nImage=docker-archive:/etc/containers/systemd/pgo/guest/shop/pgo.tar\n"],
      ["a.image", "[Image]\nImage=quay.io/a/b\nAuthFile=/root/.config/containers/auth.json\n"],
      ["a.pod", "[Pod]\nNetwork=host\n"],
      ["a.pod", "[Pod]\nVolume=/:/host\n"],
      ["a.pod", "[Pod]\nPodName=--privileged\n"],
      ["a.artifact", "[Artifact]\nArtifact=quay.io/a/b\nPodmanArgs=--x\n"],
    ] as const)
      assert.notDeepEqual(broken({ [name]: text }, contained), [], text);
  });
});

suite("an open policy", () => {
  const anyLine = fc.oneof(
    fc.constantFrom(...lines.filter(({ line }) => !/Name=.*pgo/.test(line)).map(({ section, line }) => `[${section}]\n${line}`)),
    fc.string({ unit: "binary", maxLength: 30 }).filter((text) => !text.includes("Name")),
    peaceful,
  );

  test("refuses nothing, whatever a unit of any kind says", () => {
    fc.assert(
      fc.property(fc.array(anyLine), fc.constantFrom(...Object.keys(judges)), (all, suffix) => {
        assert.deepEqual(broken({ [`web.${suffix}`]: all.join("\n"), "a.service": "[Service]\nExecStart=/bin/sh\n" }, open), []);
      }),
      { numRuns: 1000 },
    );
  });
});

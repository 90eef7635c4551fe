/** Each rule of a policy: what it refuses, and what is as near as can be and allowed. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { violations } from "../../src/core/policy.ts";
import { policy, subject } from "./policy.ts";

const digest = `sha256:${"0123456789abcdef".repeat(4)}`;

/** A line of a container's own section; `[Service] Nice=1` for one of another. */
function unitWith(line: string, suffix: string): string {
  const image = /(?:^|\n)(?:Image|Rootfs)=/.test(line) ? "" : `Image=quay.io/a/web@${digest}\n`;
  const base = suffix === "build" ? "SetWorkingDirectory=unit\n" : ["container", "image"].includes(suffix) ? image : "";
  const section = `[${suffix.charAt(0).toUpperCase()}${suffix.slice(1)}]\n`;
  const other = /^(\[\w[\w-]*\]) (.*)$/s.exec(line);
  return other === null ? `${section}${base}${line}\n` : `${section}${base}${other[1] ?? ""}\n${other[2] ?? ""}\n`;
}

const siblings = {
  "db.volume": "[Volume]\n",
  "app.network": "[Network]\n",
  "db.container": "[Container]\nImage=quay.io/a/db:1\n",
  "app.pod": "[Pod]\n",
  "base.image": "[Image]\nImage=quay.io/a/base:1\n",
};

/** The rules that a line of web.SUFFIX breaks, beside what an application has. */
function rulesOf(line: string, by: string, suffix = "container"): readonly string[] {
  const file = `web.${suffix}`;
  const all = violations(subject({ ...siblings, [file]: unitWith(line, suffix) }), policy(by));
  return [...new Set(all.filter((one) => one.file === `shop/${file}`).map(({ rule }) => rule))];
}

const inContained = 'preset = "contained"\n';

/** Under which policy, what is refused, and what is nearly the same and allowed. */
const table: Readonly<
  Record<string, readonly (readonly [by: string, suffix: string, refused: readonly string[], allowed: readonly string[]])[]>
> = {
  registries: [
    [
      'registries = ["quay.io", "ghcr.io/acme", "docker.io/library"]',
      "container",
      [
        ...["Image=docker.io/acme/web", "Image=quay.io.evil.com/a/web", "Image=quay.io:5000/a/web", "Image=ghcr.io/acme-evil/web"],
        ...["Image=ghcr.io/other/web", "Image=evil.com/quay.io/a/web", "Image=acme/web", "Image=docker-archive:/tmp/x.tar"],
        ...["Image=--privileged", "Image=oci:quay.io/a", "Image=other.image", "Image=%i", "Rootfs=/srv/x"],
        ...["Mount=type=image,source=evil.io/a/b,dst=/x", "Image=quay.io/a/$X"],
      ],
      [
        ...["Image=quay.io/a/web", "Image=QUAY.io/a/web:1", 'Image="quay.io/a/web"', `Image=quay.io/a/web@${digest}`, "Image=nginx"],
        ...[
          "Image=ghcr.io/acme/web",
          "Image=ghcr.io/acme/deep/web",
          "Image=docker.io/nginx",
          "Image=index.docker.io/nginx",
          "Image=docker.io/library/nginx:1",
        ],
        ...["Image=base.image", "Mount=type=image,source=quay.io/a/b,dst=/x", "Image=docker://quay.io/a/web"],
      ],
    ],
    ['registries = ["quay.io"]', "image", ["Image=evil.io/a", "ImageTag=evil.io/a"], ["ImageTag=quay.io/a:1", "AllTags=true"]],
    ['registries = ["quay.io"]', "volume", ["Driver=image\nImage=evil.io/a"], ["Driver=image\nImage=quay.io/a"]],
    ['registries = ["quay.io"]', "artifact", ["Artifact=evil.io/a"], ["Artifact=quay.io/a"]],
  ],
  unqualified_images: [
    ["unqualified_images = false", "container", ["Image=nginx", "Image=library/nginx", "Image=nginx:1.2"], ["Image=docker.io/nginx"]],
  ],
  local_images: [
    [
      "local_images = false",
      "container",
      ["Image=localhost/pgo:latest", "Image=localhost:5000/a", "Image=127.0.0.1:5000/a", "Image=LOCALHOST/a"],
      ["Image=localhost.example.com/a", "Image=nginx"],
    ],
  ],
  require_digest: [
    [
      "require_digest = true",
      "container",
      ["Image=quay.io/a/web:1", `Image=quay.io/a/web:${digest.slice(7)}`, `Image=quay.io/a/web@${digest.slice(0, -1)}`],
      [`Image=quay.io/a/web@${digest}`, `Image=quay.io/a/web:1@${digest}`],
    ],
  ],
  podman_args: [
    [
      "podman_args = false",
      "container",
      ["PodmanArgs=--label a=b", "GlobalArgs=--log-level=debug", "ContainersConfModule=/x"],
      ["PodmanArgs="],
    ],
    ["podman_args = false", "pod", ["PodmanArgs=--x"], ["PodName=podmanargs"]],
    ["podman_args = false", "network", ["GlobalArgs=--x"], ["Label=PodmanArgs=1"]],
  ],
  privileged: [
    [
      "privileged = false",
      "container",
      [
        ...[
          "SecurityLabelDisable=true",
          'SecurityLabelDisable="yes"',
          "SecurityLabelNested=on",
          "SecurityLabelType=spc_t",
          "SeccompProfile=unconfined",
        ],
        ...["SeccompProfile=./profile.json", "Unmask=ALL", "AppArmor=unconfined", "Annotation=run.oci.handler=x", "EnvironmentHost=1"],
        ...["Environment=HOME", "Environment=A=1 SECRET*", "GroupAdd=keep-groups", "GroupAdd=audio keep-groups", "CgroupsMode=disabled"],
      ],
      [
        ...[
          "SecurityLabelDisable=false",
          "NoNewPrivileges=true",
          "Mask=/proc/x",
          "Environment=A=1 B=",
          "GroupAdd=audio",
          "CgroupsMode=split",
        ],
        ...["EnvironmentHost=no", "ReadOnly=true", "Unmask="],
      ],
    ],
  ],
  host_namespaces: [
    [
      "host_namespaces = false",
      "container",
      [
        ...["Network=host", "Network=ns:/proc/1/ns/net", "Network=container:pgo", "Network=pgo.container", "Network=pasta:--pcap,/etc/x"],
        ...["Network=slirp4netns:allow_host_loopback=true", "Network=$NET", "Network=ho%%st", 'Network="host"', "Network=host:x"],
        ...[
          "UserNS=host",
          "UserNS=ns:/proc/1/ns/user",
          "UserNS=container:x",
          "UserNS=auto:uidmapping=0:0:1",
          "UIDMap=0:0:1",
          "GIDMap=0:0:1",
        ],
        ...["RemapUsers=manual", "SubUIDMap=root", "Pod=other.pod"],
      ],
      [
        ...[
          "Network=none",
          "Network=app.network",
          "Network=app.network:ip=10.0.0.2,alias=x",
          "Network=db.container",
          "Network=bridge:ip=10.1.1.1",
        ],
        ...[
          "Network=pasta",
          "Network=other",
          "UserNS=auto",
          "UserNS=keep-id:uid=1000,gid=1000",
          "UserNS=auto:size=100",
          "Pod=app.pod",
          "UserNS=",
        ],
      ],
    ],
    ["host_namespaces = false", "pod", ["Network=host", "UserNS=host"], ["Network=app.network"]],
    [
      "host_namespaces = false",
      "network",
      ["Driver=macvlan", "Options=parent=eth0", "Options=mtu=9000 mode=unmanaged", "InterfaceName=eth0", "IPAMDriver=dhcp"],
      ["Driver=bridge", "Options=mtu=9000 isolate=true", "Internal=true", "DNS=10.0.0.1", "IPAMDriver=none"],
    ],
  ],
  networks: [
    [
      'networks = ["shared.network", "lan"]',
      "container",
      ["Network=other.network", "Network=systemd-other", "Network=lan2", "Network=db.volume"],
      ["Network=shared.network", "Network=lan:ip=10.0.0.1", "Network=app.network", "Network=podman", "Network=host"],
    ],
    ['networks = ["lan"]', "network", ["NetworkName=podman", "NetworkName=host"], ["NetworkName=lan"]],
  ],
  capabilities: [
    [
      'capabilities = ["NET_ADMIN", "cap_chown"]',
      "container",
      [
        "AddCapability=SYS_ADMIN",
        "AddCapability=all",
        "AddCapability=NET_ADMIN  sys_ptrace",
        "AddCapability=CAP_NET_RAW",
        "AddCapability=%i",
      ],
      ["AddCapability=net_admin CAP_NET_ADMIN", "AddCapability=CHOWN", "DropCapability=all"],
    ],
  ],
  mounts: [
    [
      'mounts = ["/srv/data", "/srv/shop/**", "/etc/ssl/certs/"]',
      "container",
      [
        ...[
          "Volume=/:/host",
          "Volume=/etc:/x:ro",
          "Volume=/srv:/x",
          "Volume=/srv/data2:/x",
          "Volume=/srv/data/link:/x",
          "Volume=/srv/data/..:/x",
        ],
        ...[
          "Volume=/srv/shop/../../etc:/x",
          "Volume=//etc:/x",
          "Volume=/./etc:/x",
          "Volume=%h:/x",
          "Volume=$HOME:/x",
          "Volume=${PATH}",
          "Volume=:",
          "Volume=:/x",
          "Volume=/srv/data:",
        ],
        ...[
          "Volume=./conf:/x",
          "Volume=.:/x",
          "Volume=../../etc:/x:ro",
          "Volume=./conf:/x:ro,rw",
          "Volume=.hid/../..:/x:ro",
          'Volume="/etc":/x',
        ],
        ...[
          "Volume=db.volume:/x:O,upperdir=/etc,workdir=/srv",
          "Volume=/srv/data:/x:shared",
          "Volume=~/x:/x",
          "Volume=/run/podman:/x",
          "Volume=C\\x3a:/x",
        ],
        ...["Mount=type=bind,source=/etc,dst=/x", "Mount=source=/etc,dst=/x,type=bind", "Mount=type=volume,type=bind,source=/etc,dst=/x"],
        ...['Mount=type=bind,"source=/etc",dst=/x', "Mount=type=tmpfs,dst=/a type=bind,src=/etc,dst=/x", "Mount=type=bind,src=etc,dst=/x"],
        ...["Mount=type=bind,src=./conf,dst=/x", "Mount=type=glob,src=/etc/*,dst=/x", "Mount=type=bind,src=/srv/data,src=/etc,dst=/x"],
        ...["Mount=type=devpts,dst=/x", "Mount=type=bind,src=./conf,dst=/x,ro=false", "Mount=type=image,src=quay.io/a,dst=/x,subpath=etc"],
        ...["Mount=type=bind,src=/srv/data,dst=/x,bind-propagation=rshared", "Mount=bind", "Mount=type=overlay,src=/etc,dst=/x"],
        ...[
          "EnvironmentFile=/etc/pgo/secrets/git.env",
          "EnvironmentFile=./a.env /etc/shadow",
          "EnvironmentFile=%h/.bashrc",
          "EnvironmentFile=../../x",
        ],
        ...[
          "Rootfs=/",
          "Rootfs=rootfs",
          "LogOpt=path=/etc/cron.d/x",
          "LogOpt=tag=a path=/etc/x",
          'LogOpt="path=/etc/x"',
          "HealthLogDestination=/etc",
        ],
      ],
      [
        ...[
          "Volume=/srv/data:/x",
          "Volume=/srv/data/:/x:rw,Z",
          "Volume=/srv//data:/x",
          "Volume=/srv/shop:/x",
          "Volume=/srv/shop/a/b:/x",
          "Volume=/data",
        ],
        ...[
          "Volume=./conf:/x:ro",
          "Volume=./conf/../www:/x:Z,ro",
          "Volume=./cache:/x:O",
          "Volume=db.volume:/x:U,Z",
          "Volume=other:/x",
          "Volume=/etc/ssl/certs:/x",
        ],
        ...["Mount=type=bind,src=/srv/data,dst=/x", "Mount=type=bind,source=./conf,dst=/x,ro", "Mount=type=tmpfs,tmpfs-size=10m,dst=/x"],
        ...[
          "Mount=type=volume,source=db.volume,dst=/x",
          "Mount=type=glob,src=./conf/*,dst=/x,ro",
          "Mount=type=bind,src=./conf,dst=/x,readonly=true",
        ],
        ...[
          "EnvironmentFile=app.env",
          "EnvironmentFile=-./app.env b.env",
          "Rootfs=/srv/data",
          "LogOpt=tag=web max-size=1m",
          "Tmpfs=/run:size=1m",
        ],
        ...["HealthLogDestination=local", "Mask=/etc"],
      ],
    ],
    [
      'mounts = ["/srv/data"]',
      "volume",
      [
        ...[
          "Device=/etc\nOptions=bind",
          "Device=/srv/data\nOptions=bind,lowerdir=/etc",
          "Device=/dev/sda1\nType=ext4",
          "Device=overlay\nType=overlay",
        ],
        ...[
          "Device=tmpfs\nType=tmpfs\nDevice=/etc",
          "Device=proc\nType=proc",
          "Driver=rclone",
          "Device=tmpfs\nOptions=helper=x",
          "Device=%h",
        ],
      ],
      [
        "Device=/srv/data\nType=none\nOptions=bind",
        "Device=tmpfs\nType=tmpfs\nOptions=size=10m,uid=1000",
        "Copy=true",
        "User=1000",
        "Driver=local",
      ],
    ],
    ['mounts = ["/srv/data"]', "pod", ["Volume=/etc:/x"], ["Volume=/srv/data:/x"]],
    [
      'mounts = ["/srv/auth.json"]',
      "image",
      ["AuthFile=/root/.config/containers/auth.json", "AuthFile=auth.json", "CertDir=/etc/ssl", "DecryptionKey=/etc/key"],
      ["AuthFile=/srv/auth.json", "Creds=user:password", "Arch=arm64"],
    ],
    [
      "mounts = []",
      "build",
      [
        ...["SetWorkingDirectory=/", "SetWorkingDirectory=--volume=/:/h", "SetWorkingDirectory=https://x/y", "SetWorkingDirectory=../.."],
        ...["File=/etc/shadow", "File=../../x", "Volume=/etc:/x", "IgnoreFile=/etc/x", "AuthFile=/etc/x"],
      ],
      [
        "SetWorkingDirectory=unit",
        "SetWorkingDirectory=./src",
        "File=Containerfile",
        "File=./docker/Containerfile",
        "Volume=./cache:/x:ro",
      ],
    ],
    [
      "mounts = []",
      "kube",
      ["Yaml=/etc/x.yml", "Yaml=../../x.yml", "ConfigMap=/etc/x.yml", "LogOpt=path=/etc/x"],
      ["Yaml=app.yml", "ConfigMap=./a.yml"],
    ],
  ],
  volumes: [
    [
      'volumes = ["shared", "shop-*"]',
      "container",
      [
        "Volume=data:/x",
        "Volume=other.volume:/x",
        "Mount=type=volume,source=systemd-other,dst=/x",
        "Mount=source=data,dst=/x",
        "Volume=shared2:/x",
        "Volume=db.container:/x",
      ],
      ["Volume=shared:/x", "Volume=shop-a:/x", "Volume=db.volume:/x", "Volume=/x", "Mount=type=volume,dst=/x", "Volume=/etc:/x"],
    ],
    ['volumes = ["shared"]', "volume", ["VolumeName=systemd-other"], ["VolumeName=shared", "VolumeName="]],
  ],
  secrets: [
    [
      'secrets = ["SHOP_*", "token"]',
      "container",
      ["Secret=FLEET_ROOT", "Secret=token2", "Secret=SHOP_A OTHER", "Secret=%i", "Secret=,type=env"],
      ["Secret=SHOP_DB,type=env,target=DB", "Secret=token", "Secret=SHOP_A token"],
    ],
    ['secrets = ["a"]', "build", ["Secret=id=a,src=/etc/shadow", "Secret=id=a,env=HOME"], ["Label=secret=1"]],
  ],
  devices: [
    [
      'devices = ["/dev/dri", "nvidia.com/gpu=all"]',
      "container",
      [
        "AddDevice=/dev/sda",
        "AddDevice=-/dev/kvm",
        "AddDevice=/dev/dri/card0",
        "AddDevice=/dev/dri /dev/mem",
        "AddDevice=/dev/dri/../sda:/dev/dri",
      ],
      ["AddDevice=/dev/dri", "AddDevice=-/dev/dri:/dev/dri:rw", "AddDevice=nvidia.com/gpu=all"],
    ],
  ],
  root_user: [
    [
      "root_user = false",
      "container",
      ["Exec=x", "User=root", "User=0", "User=00", 'User="0"', "User=toor", "User=1000\nUser=", "User=0:1000", "User=+0"],
      ["User=1000", "User=1000:0", 'User="1000"'],
    ],
  ],
  units: [
    [
      'units = ["db.service"]',
      "container",
      [
        ...[
          "[Unit] Wants=debug-shell.service",
          "[Unit] Requires=poweroff.target",
          "[Unit] Conflicts=pgo.service",
          "[Unit] Before=network.target",
        ],
        ...[
          "[Unit] OnFailure=rescue.target",
          "[Unit] After=db.service ssh.service",
          "[Unit] After=%i.service",
          "[Unit] PropagatesStopTo=ssh.service",
        ],
        ...["[Install] WantedBy=ssh.service", "[Install] RequiredBy=multi-user.target", "[Install] WantedBy=default.target sysinit.target"],
      ],
      [
        ...["[Unit] Wants=network-online.target db.service", "[Unit] After=db.container app-pod.service", "[Unit] Conflicts=web.service"],
        ...["[Unit] BindsTo=app.pod", "[Install] WantedBy=default.target", "[Install] WantedBy=db.service", "[Unit] After="],
      ],
    ],
  ],
  keys: [
    [
      "keys = []",
      "container",
      [
        ...[
          "[Service] ExecStartPre=/bin/sh -c id",
          "[Service] ExecStart=",
          "[Service] User=root",
          "[Service] Environment=CONTAINERS_CONF=/x",
        ],
        ...[
          "[Service] StandardOutput=file:/etc/x",
          "[Service] Slice=system.slice",
          "[Service] execstartpre=/bin/x",
          "[service] ExecStartPre=x",
        ],
        ...["[Unit] FailureAction=reboot", "[Unit] SourcePath=/x", "[Unit] JobTimeoutAction=poweroff", "[Unit] RefuseManualStop=true"],
        ...[
          "[Install] Alias=ssh.service",
          "[Install] Also=x.service",
          "[Volume] Device=/etc",
          "[Quadlet] Other=1",
          "[Socket] ListenStream=22",
        ],
        ...[
          "Privileged=true",
          "Pid=host",
          "podmanargs=--privileged",
          "ServiceName=../../x",
          "ContainerName=--privileged",
          "LogDriver=passthrough-tty",
        ],
        ...[
          "HostName=$NOPE\nIP=--privileged",
          "IP=--privileged",
          "Label=;",
          "Exec=true ; /bin/evil",
          "Exec=echo ${SECRET}",
          "Timezone=../../etc/x",
        ],
        ...[
          "Pull=--privileged",
          "Label=PODMAN_SYSTEMD_UNIT=pgo.service",
          'Label="PODMAN\\x5fSYSTEMD_UNIT=a"',
          "HostName=%I",
          "Tmpfs=--privileged",
          'Label="" a=b',
        ],
      ],
      [
        ...[
          "[Service] Restart=always",
          "[Service] MemoryMax=1G",
          "[Service] Type=oneshot",
          "[Unit] Description=a; b $c %d",
          "[X-Notes] Anything=at all",
        ],
        ...[
          "[Install] DefaultInstance=1",
          "[Quadlet] DefaultDependencies=false",
          "ContainerName=shop-web",
          "ContainerName=%p-%i",
          "ServiceName=shop",
        ],
        ...[
          'Exec=sh -c "a; b"',
          "HealthCmd=curl -f http://127.0.0.1:80 || exit 1",
          "Label=a=b",
          "PublishPort=80:80",
          "StopTimeout=-1",
          "Timezone=Europe/Berlin",
        ],
        ...["Pull=newer", "Environment=OPTS=-x", "LogDriver=journald", "PidsLimit=-1", "Entrypoint=/bin/x"],
      ],
    ],
    [
      'keys = ["Service.Slice", "Container.Future", "Network.Subnet"]',
      "container",
      ["[Service] Nice=1", "Future2=1"],
      ["[Service] Slice=a.slice", "Future=1"],
    ],
    ['keys = ["Network.Subnet"]', "network", ["Gateway=1.1.1.1", "Subnet=$X"], ["Subnet=10.1.0.0/24"]],
    ["keys = []", "image", ["TLSVerify=false", "Policy=$X"], ["TLSVerify=true", "Policy=always"]],
    [
      "keys = []",
      "build",
      ["ImageTag=quay.io/a/web:1", "ImageTag=localhost/guest2/web", "ImageTag=localhost/guest/../pgo"],
      ["ImageTag=localhost/guest/web:1"],
    ],
  ],
  kube: [["kube = false", "kube", ["Yaml=app.yml"], []]],
  builds: [["builds = false", "build", ["ImageTag=localhost/guest/web"], []]],
};

for (const [rule, rows] of Object.entries(table))
  suite(`the rule ${rule}`, () => {
    for (const [by, suffix, refused, allowed] of rows) {
      for (const line of refused)
        test(`refuses ${line.replaceAll("\n", " and ")} of a ${suffix}`, () => {
          assert.deepEqual(rulesOf(line, by, suffix), [rule]);
          if (!["registries", "require_digest", "root_user"].includes(rule))
            assert.ok(rulesOf(line, inContained, suffix).length > 0, "contained refuses it too");
        });
      for (const line of allowed)
        test(`allows ${line.replaceAll("\n", " and ")} of a ${suffix}`, () => {
          assert.deepEqual(rulesOf(line, by, suffix), []);
        });
    }
  });

test("a key that is listed is not let past the rule that judges it", () => {
  assert.deepEqual(rulesOf("PodmanArgs=--privileged", `${inContained}keys = ["Container.PodmanArgs"]`), ["podman_args"]);
});

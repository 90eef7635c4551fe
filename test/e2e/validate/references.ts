/** Units that name others: there, missing, and of the wrong kind; templates; drop-ins. */

import type { Table } from "./table.ts";

const web = "[Container]\nImage=localhost/web:1\n";

export const references: readonly Table[] = [
  {
    kind: "container",
    usual: "Image=localhost/web:1",
    lines: {
      "valid a network": { files: { "NAME.container": `${web}Network=NAME.network\n`, "NAME.network": "[Network]\n" } },
      "valid a network with options": {
        files: { "NAME.container": `${web}Network=NAME.network:ip=10.0.0.2\n`, "NAME.network": "[Network]\nSubnet=10.0.0.0/24\n" },
      },
      "valid a network by its service's name": {
        files: { "NAME.container": `${web}Network=NAME.network\n`, "NAME.network": "[Network]\nServiceName=NAME-lan\n" },
      },
      "valid a volume": { files: { "NAME.container": `${web}Volume=NAME.volume:/data\n`, "NAME.volume": "[Volume]\n" } },
      "valid a volume mount": {
        files: { "NAME.container": `${web}Mount=type=volume,source=NAME.volume,destination=/data\n`, "NAME.volume": "[Volume]\n" },
      },
      "valid an image": {
        files: { "NAME.container": "[Container]\nImage=NAME.image\n", "NAME.image": "[Image]\nImage=localhost/web:1\n" },
      },
      "valid an image mount": {
        files: {
          "NAME.container": `${web}Mount=type=image,source=NAME.image,destination=/data\n`,
          "NAME.image": "[Image]\nImage=localhost/web:1\n",
        },
      },
      "valid a build": {
        files: {
          "NAME.container": "[Container]\nImage=NAME.build\n",
          "NAME.build": "[Build]\nImageTag=localhost/web:1\nSetWorkingDirectory=unit\n",
          Containerfile: "FROM scratch\n",
        },
      },
      "valid a pod": { files: { "NAME.container": `${web}Pod=NAME.pod\nStartWithPod=false\n`, "NAME.pod": "[Pod]\n" } },
      "valid another container's network": {
        files: { "NAME.container": `${web}Network=NAME-other.container\n`, "NAME-other.container": web },
      },
      "valid an order among quadlets": {
        files: { "NAME.container": `[Unit]\nAfter=NAME-db.container\nRequires=NAME-db.service\n${web}`, "NAME-db.container": web },
      },
      "valid an order after something of the host's": "[Unit]\nAfter=network-online.target local-fs.target",
      "valid the host's network, or none": "Network=host",
      "valid a network of Podman's own": "Network=bridge:alias=web",
      "valid a network that somebody made": "Network=lan",
      "valid no network": "Network=none",
      "valid a volume that somebody made, by a name like a service's": "Volume=data.service:/data",
      "invalid a network that is not there": {
        text: "Network=NAME-not.network",
        says: "requested Quadlet unit NAME-not.network was not found",
      },
      "invalid a volume that is not there": {
        text: "Volume=NAME-not.volume:/data",
        says: "requested Quadlet source NAME-not.volume was not found",
      },
      "invalid a mounted volume that is not there": {
        text: "Mount=type=volume,source=NAME-not.volume,destination=/data",
        says: "NAME-not.volume was not found",
      },
      "invalid a mounted image that is not there": {
        text: "Mount=type=image,source=NAME-not.image,destination=/data",
        says: "NAME-not.image was not found",
      },
      "invalid an image that is not there": { text: "Image=NAME-not.image", says: "NAME-not.image was not found" },
      "invalid a build that is not there": { text: "Image=NAME-not.build", says: "NAME-not.build was not found" },
      "invalid a pod that is not there": { text: "Pod=NAME-not.pod", says: "quadlet pod unit NAME-not.pod does not exist" },
      "invalid a container's network that is not there": { text: "Network=NAME-not.container", says: "NAME-not.container was not found" },
      "invalid one of two that is not there": {
        files: { "NAME.container": `${web}Network=NAME.network\nNetwork=NAME-not.network\n`, "NAME.network": "[Network]\n" },
        says: "NAME-not.network was not found",
      },
      "invalid two units that need each other's fault": {
        files: { "NAME.container": `${web}Network=NAME.network\n`, "NAME.network": "[Network]\nSubnets=10.0.0.0/24\n" },
        says: "unsupported key 'Subnets'",
      },
    },
  },
  {
    kind: "container",
    usual: "Image=localhost/web:1",
    lines: {
      "valid a drop-in": { files: { "NAME.container": web, "NAME.container.d/10-env.conf": "[Container]\nEnvironment=A=b\n" } },
      "valid a drop-in that brings the image": {
        files: { "NAME.container": "[Container]\nExec=true\n", "NAME.container.d/10-image.conf": "[Container]\nImage=localhost/web:2\n" },
      },
      "valid a drop-in of another section": {
        files: { "NAME.container": web, "NAME.container.d/restart.conf": "[Service]\nRestart=always\n" },
      },
      "valid an empty drop-in": { files: { "NAME.container": web, "NAME.container.d/empty.conf": "" } },
      "valid a drop-in of a network": { files: { "NAME.network": "[Network]\n", "NAME.network.d/10.conf": "[Network]\nInternal=true\n" } },
      "valid what is no drop-in": { files: { "NAME.container": web, "NAME.container.d/README": "no unit\n" } },
      "invalid an unknown key in a drop-in": {
        files: { "NAME.container": web, "NAME.container.d/10.conf": "[Container]\nLabels=a=b\n" },
        says: "unsupported key 'Labels'",
      },
      "invalid a drop-in that can't be read": {
        files: { "NAME.container": web, "NAME.container.d/10.conf": "[Container]\nnonsense\n" },
        says: "which is not a key-value pair",
      },
      "invalid a drop-in that names what is not there": {
        files: { "NAME.container": web, "NAME.container.d/10.conf": "[Container]\nNetwork=NAME-not.network\n" },
        says: "NAME-not.network was not found",
      },
      "valid a drop-in for a unit of somebody else": {
        files: { "NAME.container": web, "NAME-other.container.d/10.conf": "[Container]\nLabel=a=b\n" },
        pgo: "invalid",
      },
    },
  },
  {
    kind: "container",
    usual: "Image=localhost/web:1",
    lines: {
      "valid a template": { files: { "NAME@.container": `${web}ContainerName=NAME-%i\n` } },
      "valid a template with an instance by default": {
        files: { "NAME@.container": `${web}[Install]\nWantedBy=default.target\nDefaultInstance=one\n` },
      },
      "valid an instance as a file": { files: { "NAME@one.container": web } },
      "valid an instance as a symbolic link": { files: { "NAME@.container": web, "NAME@one.container": { symlink: "NAME@.container" } } },
      "valid a drop-in of an instance": {
        files: {
          "NAME@.container": web,
          "NAME@one.container": { symlink: "NAME@.container" },
          "NAME@one.container.d/10.conf": "[Container]\nLabel=a=b\n",
        },
      },
      "valid a drop-in of a template": { files: { "NAME@.container": web, "NAME@.container.d/10.conf": "[Container]\nLabel=a=b\n" } },
      "invalid an unknown key in a template": { files: { "NAME@.container": `${web}Labels=a=b\n` }, says: "unsupported key 'Labels'" },
      "invalid a template without an image": {
        files: { "NAME@.container": "[Container]\nExec=true\n" },
        says: "no Image or Rootfs key specified",
      },
    },
  },
];

/** Keys of all other kinds of quadlets (podman-systemd.unit(5)). */

import type { Table } from "./table.ts";

export const others: readonly Table[] = [
  {
    kind: "volume",
    usual: "",
    lines: {
      "valid nothing but the section": "",
      "valid a name": "VolumeName=NAME",
      "valid a device": "Device=tmpfs\nType=tmpfs\nOptions=size=10m",
      "valid a driver with an image": "Driver=image\nImage=localhost/data:1",
      "valid an owner": "User=1000\nGroup=1000",
      "valid labels and arguments": "Label=a=b\nPodmanArgs=--opt=x\nGlobalArgs=--log-level=info\nCopy=false",
      "valid an image unit": {
        files: { "NAME.volume": "[Volume]\nDriver=image\nImage=NAME.image\n", "NAME.image": "[Image]\nImage=localhost/data:1\n" },
      },
      "invalid an unknown key": { text: "Size=10m", says: "unsupported key 'Size' in group 'Volume'" },
      "invalid a type without a device": { text: "Type=tmpfs", says: "key Type can't be used without Device" },
      "invalid options without a device": { text: "Options=size=10m", says: "key Options can't be used without Device" },
      "invalid the driver image without an image": { text: "Driver=image", says: "the key Image is mandatory when using the image driver" },
      "invalid an image that is not there": { text: "Driver=image\nImage=NAME-not.image", says: "NAME-not.image was not found" },
    },
  },
  {
    kind: "network",
    usual: "",
    lines: {
      "valid nothing but the section": "",
      "valid a subnet": "Subnet=10.10.0.0/24\nGateway=10.10.0.1\nIPRange=10.10.0.128/25",
      "valid two subnets": "Subnet=10.10.0.0/24\nSubnet=10.20.0.0/24\nGateway=10.10.0.1\nGateway=10.20.0.1",
      "valid a driver": "Driver=macvlan\nOptions=parent=eth0\nIPAMDriver=dhcp",
      "valid IPv6 and DNS": "IPv6=true\nDNS=192.0.2.1\nDisableDNS=false\nInternal=true",
      "valid labels and a name": "NetworkName=NAME\nLabel=a=b\nPodmanArgs=--interface-name=br0",
      "valid an interface name": { text: "InterfaceName=br0", since: "5.6" },
      "valid removal when stopped": { text: "NetworkDeleteOnStop=true", since: "5.5" },
      "invalid an unknown key": {
        text: "Subnets=10.0.0.0/24",
        says: "unsupported key 'Subnets' in group 'Network' (did you mean Subnet?)",
      },
      "invalid a gateway without a subnet": { text: "Gateway=10.0.0.1", says: "cannot set gateway or range without subnet" },
      "invalid a range without a subnet": { text: "IPRange=10.0.0.0/25", says: "cannot set gateway or range without subnet" },
      "invalid more gateways than subnets": {
        text: "Subnet=10.0.0.0/24\nGateway=10.0.0.1\nGateway=10.0.1.1",
        says: "cannot set more gateways than subnets",
      },
      "invalid more ranges than subnets": {
        text: "Subnet=10.0.0.0/24\nIPRange=10.0.0.0/25\nIPRange=10.0.0.128/25",
        says: "cannot set more ranges than subnets",
      },
    },
  },
  {
    kind: "pod",
    usual: "",
    lines: {
      "valid nothing but the section": "",
      "valid a name and ports": "PodName=NAME\nPublishPort=8080:80\nNetwork=host",
      "valid users, hosts and DNS": "UserNS=keep-id\nAddHost=db:10.0.0.2\nDNS=192.0.2.1\nDNSOption=ndots:1\nDNSSearch=example.com",
      "valid addresses, aliases and volumes": "IP=10.0.0.2\nIP6=fd46::2\nNetworkAlias=web\nVolume=/srv:/srv",
      "valid arguments and a service name": "GlobalArgs=--log-level=info\nPodmanArgs=--cpus=2\nServiceName=NAME-other",
      "valid a host name": { text: "HostName=web", since: "5.5" },
      "valid labels": { text: "Label=a=b", since: "5.6" },
      "valid an exit policy": { text: "ExitPolicy=continue", since: "5.6" },
      "valid shared memory": "ShmSize=100m",
      "valid a network unit": { files: { "NAME.pod": "[Pod]\nNetwork=NAME.network\n", "NAME.network": "[Network]\n" } },
      "valid a volume unit": { files: { "NAME.pod": "[Pod]\nVolume=NAME.volume:/data\n", "NAME.volume": "[Volume]\n" } },
      "valid with a member": {
        files: { "NAME.pod": "[Pod]\n", "NAME-web.container": "[Container]\nImage=localhost/web:1\nPod=NAME.pod\n" },
      },
      "invalid an unknown key": { text: "Image=localhost/web:1", says: "unsupported key 'Image' in group 'Pod'" },
      "invalid a network that is not there": { text: "Network=NAME-not.network", says: "NAME-not.network was not found" },
      "invalid a volume that is not there": { text: "Volume=NAME-not.volume:/data", says: "NAME-not.volume was not found" },
      "invalid a remapping": { text: "RemapUsers=all", says: "unsupported RemapUsers option 'all'" },
    },
  },
  {
    kind: "kube",
    usual: "Yaml=NAME.yml",
    lines: {
      "valid a file": {
        files: { "NAME.kube": "[Kube]\nYaml=NAME.yml\n", "NAME.yml": "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n" },
      },
      "valid a file that is not there, which Podman looks for later": "",
      "valid configuration, ports and networks": "ConfigMap=NAME-config.yml\nPublishPort=8080:80\nNetwork=host\nLogDriver=journald",
      "valid updates, exit codes and users":
        "AutoUpdate=registry\nAutoUpdate=local/web\nExitCodePropagation=any\nUserNS=keep-id\nKubeDownForce=true",
      "valid a working directory": "SetWorkingDirectory=unit",
      "invalid an unknown key": { text: "Image=localhost/web:1", says: "unsupported key 'Image' in group 'Kube'" },
      "invalid an unknown working directory": { text: "SetWorkingDirectory=here", says: "unsupported value for WorkingDirectory: here" },
      "valid an exit code propagation that Podman will refuse": "ExitCodePropagation=some",
      "invalid a network that is not there": { text: "Network=NAME-not.network", says: "NAME-not.network was not found" },
    },
  },
  {
    kind: "kube",
    usual: "",
    lines: {
      "invalid no file": { text: "PublishPort=8080:80", says: "no Yaml key specified" },
      "valid two files": "Yaml=a.yml\nYaml=b.yml",
    },
  },
  {
    kind: "image",
    usual: "Image=localhost/web:1",
    lines: {
      "valid an image": "",
      "valid a platform": "Arch=arm64\nOS=linux\nVariant=v8\nAllTags=true",
      "valid credentials and certificates":
        "AuthFile=/etc/auth.json\nCreds=user:word\nCertDir=/etc/certs\nTLSVerify=false\nDecryptionKey=/etc/key",
      "valid a tag and arguments": "ImageTag=localhost/web:2\nPodmanArgs=--quiet\nGlobalArgs=--log-level=info",
      "valid a policy": { text: "Policy=always", since: "5.6" },
      "valid retries": { text: "Retry=3\nRetryDelay=5s", since: "5.5" },
      "invalid an unknown key": { text: "Pull=always", says: "unsupported key 'Pull' in group 'Image'" },
      "invalid an image that is emptied": { text: "Image=", says: "no Image key specified" },
    },
  },
  {
    kind: "image",
    usual: "",
    lines: { "invalid no image": { text: "Arch=arm64", says: "no Image key specified" } },
  },
  {
    kind: "build",
    usual: "ImageTag=localhost/web:1",
    lines: {
      "valid a working directory": "SetWorkingDirectory=unit",
      "valid a file": "File=/srv/Containerfile",
      "valid a file by URL": "File=https://example.com/Containerfile",
      "valid a relative file with a working directory": "File=./Containerfile\nSetWorkingDirectory=/srv",
      "valid a remote context": "SetWorkingDirectory=https://example.com/web.git",
      "valid keys of podman build":
        "SetWorkingDirectory=unit\nArch=arm64\nTarget=web\nPull=never\nForceRM=true\nLabel=a=b\nAnnotation=c=d\nEnvironment=E=f\nSecret=token\nGroupAdd=keep-groups",
      "valid networks, volumes and DNS":
        "SetWorkingDirectory=unit\nNetwork=host\nVolume=/srv:/srv\nDNS=192.0.2.1\nDNSOption=ndots:1\nDNSSearch=example.com",
      "valid arguments": { text: "SetWorkingDirectory=unit\nBuildArg=A=b", since: "5.7" },
      "valid a network unit": {
        files: {
          "NAME.build": "[Build]\nImageTag=localhost/web:1\nSetWorkingDirectory=unit\nNetwork=NAME.network\n",
          "NAME.network": "[Network]\n",
        },
      },
      "invalid neither a file nor a working directory": { text: "", says: "neither SetWorkingDirectory, nor File key specified" },
      "invalid a relative file without a working directory": {
        text: "File=./Containerfile",
        says: "relative path in File key requires SetWorkingDirectory key to be set",
      },
      "invalid an unknown key": {
        text: "SetWorkingDirectory=unit\nImage=localhost/web:1",
        says: "unsupported key 'Image' in group 'Build'",
      },
      "invalid a volume that is not there": {
        text: "SetWorkingDirectory=unit\nVolume=NAME-not.volume:/x",
        says: "NAME-not.volume was not found",
      },
    },
  },
  {
    kind: "build",
    usual: "SetWorkingDirectory=unit",
    lines: { "invalid no tag": { text: "", says: "no ImageTag key specified" } },
  },
  {
    kind: "artifact",
    usual: "Artifact=quay.io/web/data:1",
    lines: {
      "valid an artifact": { text: "", since: "5.7" },
      "valid credentials and retries": {
        text: "AuthFile=/etc/auth.json\nCreds=user:word\nRetry=3\nRetryDelay=5s\nQuiet=true",
        since: "5.7",
      },
      "invalid an unknown key": { text: "Image=localhost/web:1" },
    },
  },
  {
    kind: "artifact",
    usual: "",
    lines: { "invalid no artifact": { text: "Quiet=true" } },
  },
  {
    kind: "quadlets",
    usual: "",
    lines: {
      // The generator knows no such file, `podman quadlet install` splits it (tried on Podman 5.8); so does pgo.
      "invalid two units in one file": {
        files: { "NAME.quadlets": "# FileName=NAME-web\n[Container]\nImage=localhost/web:1\n---\n# FileName=NAME-lan\n[Network]\n" },
        pgo: "valid",
      },
    },
  },
];

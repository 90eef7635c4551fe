/** What each key of a quadlet is judged by; the keys are those of Podman 5.4 and 5.8, asked of both generators. */

import {
  buildFile,
  hostFile,
  logOption,
  mount,
  ownFiles,
  volume,
  volumeDevice,
  volumeMountOptions,
  volumeType,
  workingDirectory,
} from "./policy-paths.ts";
import type { ArgumentStyle } from "./policy-text.ts";
import {
  buildTag,
  capability,
  device,
  environment,
  forbidden,
  image,
  label,
  network,
  networkName,
  objectName,
  off,
  only,
  onlyWords,
  pod,
  rootfsAsImage,
  secret,
  service,
  userNamespace,
  volumeName,
  type Judge,
} from "./policy-values.ts";
import type { QuadletKind } from "./kinds.ts";

export type JudgedSuffix = QuadletKind;

/** A quadlet's own section, by its suffix. */
export const ownSection: Readonly<Record<JudgedSuffix, string>> = {
  ...{ container: "Container", pod: "Pod", volume: "Volume", network: "Network" },
  ...{ kube: "Kube", image: "Image", build: "Build", artifact: "Artifact" },
};

/** Nothing that it says reaches beyond the container. */
const harmless: Judge = () => undefined;
const all = (keys: string, judge: Judge): Readonly<Record<string, Judge>> =>
  Object.fromEntries(keys.split(" ").map((key) => [key, judge] as const));

const options = "it passes any option to Podman: use the quadlet's own keys";
const loosened = "it loosens the container's isolation: leave it out";
const mapped = "it maps users of the container to any of the host's: leave it out, or use UserNS=auto";
const someAddress = "addresses that the host needs may be taken by it: leave it out, Podman chooses one";
const pulls = only("keys", /^(?:always|missing|never|newer|true|false)$/, "only always, missing, never and newer may be used");
const trusted = only("keys", /^(?:1|yes|true|on)$/i, "without TLS anybody on the way can answer for the registry: leave it out");
const mapping: Readonly<Record<string, Judge>> = {
  ...all("UIDMap GIDMap SubUIDMap SubGIDMap RemapUid RemapGid RemapUidSize RemapUsers", forbidden("host_namespaces", mapped)),
  UserNS: userNamespace,
};
const shared: Readonly<Record<string, Judge>> = {
  ...all("PodmanArgs GlobalArgs ContainersConfModule", forbidden("podman_args", options)),
  ServiceName: service,
};
const logging: Readonly<Record<string, Judge>> = {
  LogDriver: only(
    "keys",
    /^(?:journald|k8s-file|json-file|none|passthrough)$/,
    "only journald, k8s-file, json-file, none and passthrough may be used",
  ),
  LogOpt: logOption,
};
const registry: Readonly<Record<string, Judge>> = {
  ...all("AuthFile CertDir DecryptionKey", hostFile),
  ...all("Creds Quiet Retry RetryDelay", harmless),
  TLSVerify: trusted,
};
const addresses = all("AddHost DNS DNSOption DNSSearch HostName IP IP6 NetworkAlias PublishPort ShmSize StopTimeout", harmless);

const container: Readonly<Record<string, Judge>> = {
  ...{ ...shared, ...mapping, ...logging, ...addresses },
  ...all("AutoUpdate DropCapability Entrypoint Exec ExposeHostPort Group HttpProxy Mask Memory NoNewPrivileges Notify PidsLimit", harmless),
  ...all("ReadOnly ReadOnlyTmpfs ReloadCmd ReloadSignal Retry RetryDelay RunInit StartWithPod StopSignal Sysctl Tmpfs Ulimit", harmless),
  ...all("HealthCmd HealthInterval HealthMaxLogCount HealthMaxLogSize HealthOnFailure HealthRetries HealthStartPeriod", harmless),
  ...all("HealthStartupCmd HealthStartupInterval HealthStartupRetries HealthStartupSuccess HealthStartupTimeout HealthTimeout", harmless),
  // root_user looks at the unit as a whole.
  ...all("User VolatileTmp WorkingDir", harmless),
  ...all("AppArmor SeccompProfile SecurityLabelFileType SecurityLabelLevel SecurityLabelType Unmask", forbidden("privileged", loosened)),
  ...all("SecurityLabelDisable SecurityLabelNested", off("privileged", loosened)),
  // crun and the host's OCI hooks act on annotations: run.oci.handler, io.podman.annotations.…
  Annotation: forbidden("privileged", "the container's runtime and the host's hooks act on annotations: use Label="),
  CgroupsMode: only("privileged", /^(?:enabled|split)$/, loosened),
  EnvironmentHost: off("privileged", "it gives the host's environment to the container: leave it out"),
  GroupAdd: onlyWords("privileged", /^(?!keep-groups)/, "keep-groups keeps the groups of pgo's user: name the group"),
  HealthLogDestination: only(
    "mounts",
    /^(?:local|events_logger)$/,
    "a path is written to on the host: only local and events_logger may be used",
  ),
  Timezone: only("keys", /^(?!.*\.\.)\w[\w+/-]*$/, "only a time zone's name, or local, may be used"),
  ...{ AddCapability: capability, AddDevice: device, ContainerName: objectName, Environment: environment, EnvironmentFile: ownFiles },
  ...{ Image: image, Label: label, Mount: mount, Network: network, Pod: pod, Pull: pulls, Secret: secret, Volume: volume },
  Rootfs: (value, scene) => rootfsAsImage(value, scene) ?? hostFile(value, scene),
};

export const judges: Readonly<Record<JudgedSuffix, Readonly<Record<string, Judge>>>> = {
  container,
  pod: { ...shared, ...mapping, ...addresses, ExitPolicy: harmless, Label: label, Network: network, PodName: objectName, Volume: volume },
  volume: {
    ...shared,
    ...all("Copy Group User", harmless),
    Driver: only("mounts", /^(?:local|image)$/, "other drivers may mount anything: only local and image may be used"),
    ...{ Device: volumeDevice, Image: image, Label: label, Options: volumeMountOptions, Type: volumeType, VolumeName: volumeName },
  },
  network: {
    ...shared,
    ...all("DNS DisableDNS IPv6 Internal NetworkDeleteOnStop", harmless),
    ...all("Gateway IPRange Subnet", forbidden("keys", someAddress)),
    Driver: only("host_namespaces", /^bridge$/, "it would stand beside the host in the host's network: only bridge may be used"),
    InterfaceName: forbidden("host_namespaces", "it may be one of the host's interfaces: leave it out"),
    IPAMDriver: only("host_namespaces", /^(?:host-local|none)$/, "only host-local and none may be used"),
    Label: label,
    NetworkName: networkName,
    Options: onlyWords(
      "host_namespaces",
      /^(?:mtu|isolate|metric|no_default_route)=/,
      "only mtu, isolate, metric and no_default_route may be used",
    ),
  },
  kube: {
    ...{ ...shared, ...mapping, ...logging },
    ...all("AutoUpdate ExitCodePropagation KubeDownForce PublishPort", harmless),
    ...{ ConfigMap: ownFiles, Network: network, SetWorkingDirectory: workingDirectory, Yaml: ownFiles },
  },
  image: { ...shared, ...registry, ...all("AllTags Arch OS Variant", harmless), Image: image, ImageTag: image, Policy: pulls },
  build: {
    ...{ ...shared, ...registry },
    ...all("Annotation Arch BuildArg DNS DNSOption DNSSearch ForceRM Target Variant", harmless),
    GroupAdd: container["GroupAdd"] ?? harmless,
    ...{ Environment: environment, File: buildFile, IgnoreFile: buildFile, ImageTag: buildTag, Label: label, Network: network },
    Pull: pulls,
    Secret: forbidden("secrets", "it may name any file or variable of the host"),
    ...{ SetWorkingDirectory: workingDirectory, Volume: volume },
  },
  artifact: { ...shared, ...registry, Artifact: image },
};

/** How the generator makes arguments of a key's value: one, or one for each word; a command's come last, where no option is read. */
export function styleOf(key: string): ArgumentStyle {
  if (["Exec", "ReloadCmd", "Entrypoint"].includes(key)) return "command";
  if (["HealthCmd", "HealthStartupCmd"].includes(key)) return "whole";
  // A device or a file that need not be there has a dash before it.
  return ["AddDevice", "EnvironmentFile", "PodmanArgs", "GlobalArgs"].includes(key) ? "dashed" : "words";
}

/** Keys of `[Service]` that limit or time a service and no more (systemd.service(5), systemd.resource-control(5), systemd.exec(5)). */
const serviceKeys = new Set(
  [
    "Restart RestartSec RestartSteps RestartMaxDelaySec RestartMode RestartPreventExitStatus RestartForceExitStatus SuccessExitStatus",
    "TimeoutStartSec TimeoutStopSec TimeoutSec TimeoutAbortSec RuntimeMaxSec WatchdogSec Type RemainAfterExit KillMode",
    "MemoryMax MemoryHigh MemoryLow MemoryMin MemorySwapMax MemoryAccounting CPUQuota CPUWeight CPUAccounting AllowedCPUs",
    "IOWeight IOAccounting TasksMax TasksAccounting LimitNOFILE LimitNPROC LimitCORE LimitMEMLOCK",
  ].flatMap((line) => line.split(" ")),
);

/** Keys of `[Unit]` that act on the unit itself alone (systemd.unit(5)). */
const unitKeys = new Set(
  [
    "Description Documentation StartLimitIntervalSec StartLimitBurst ConditionPathExists ConditionPathIsDirectory",
    "ConditionPathIsMountPoint ConditionFileNotEmpty ConditionDirectoryNotEmpty ConditionHost ConditionArchitecture ConditionVirtualization",
  ].flatMap((line) => line.split(" ")),
);

/** Whether a key outside the quadlet's own section is harmless whatever its value. */
export function isHarmless(section: string, key: string): boolean {
  switch (section) {
    case "Service":
      return serviceKeys.has(key);
    case "Unit":
      return unitKeys.has(key);
    case "Install":
      return key === "DefaultInstance";
    case "Quadlet":
      return key === "DefaultDependencies";
    default:
      // Podman and systemd read nothing there (systemd.unit(5)).
      return section.startsWith("X-");
  }
}

/** Units that anybody may wait for or pull in: they are there for that, and none of them does anything to the host. */
const common = [
  ...["network.target", "network-online.target", "nss-lookup.target", "nss-user-lookup.target", "time-sync.target", "local-fs.target"],
  ...["remote-fs.target", "basic.target", "sysinit.target", "podman.socket", "podman-user-wait-network-online.service"],
];

/** The keys that name units, and which foreign ones are harmless in them. */
export const references: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    ["Unit.After", "Unit.Wants", "Unit.Requires", "Unit.Requisite", "Unit.BindsTo", "Unit.Upholds"].map((key) => [key, common]),
  ),
  // What these do to another unit is to stop, start or delay it.
  ...Object.fromEntries(
    [
      "Before",
      "PartOf",
      "Conflicts",
      "OnFailure",
      "OnSuccess",
      "PropagatesReloadTo",
      "PropagatesStopTo",
      "ReloadPropagatedFrom",
      "StopPropagatedFrom",
    ].map((key) => [`Unit.${key}`, []]),
  ),
  "Install.WantedBy": ["default.target", "multi-user.target", "graphical.target"],
  "Install.RequiredBy": [],
  "Install.UpheldBy": [],
};

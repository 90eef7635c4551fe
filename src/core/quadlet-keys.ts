/** The keys that Podman's quadlet sections take, for a did-you-mean; the generator alone judges (podman-systemd.unit(5), Podman 5.8). */

import { closest } from "./closest.ts";
import { tooOldFor } from "./podman-versions.ts";
import { parseUnit, type PlacedEntry } from "./unit-text.ts";

const shared = ["ContainersConfModule", "GlobalArgs", "PodmanArgs", "ServiceName"];

const keys: Readonly<Record<string, readonly string[]>> = {
  Container: [
    ...shared,
    ...[
      "AddCapability",
      "AddDevice",
      "AddHost",
      "Annotation",
      "AppArmor",
      "AutoUpdate",
      "CgroupsMode",
      "ContainerName",
      "DNS",
      "DNSOption",
    ],
    ...[
      "DNSSearch",
      "DropCapability",
      "Entrypoint",
      "Environment",
      "EnvironmentFile",
      "EnvironmentHost",
      "Exec",
      "ExposeHostPort",
      "GIDMap",
    ],
    ...[
      "Group",
      "GroupAdd",
      "HealthCmd",
      "HealthInterval",
      "HealthLogDestination",
      "HealthMaxLogCount",
      "HealthMaxLogSize",
      "HealthOnFailure",
    ],
    ...["HealthRetries", "HealthStartPeriod", "HealthStartupCmd", "HealthStartupInterval", "HealthStartupRetries", "HealthStartupSuccess"],
    ...[
      "HealthStartupTimeout",
      "HealthTimeout",
      "HostName",
      "HttpProxy",
      "IP",
      "IP6",
      "Image",
      "Label",
      "LogDriver",
      "LogOpt",
      "Mask",
      "Memory",
    ],
    ...[
      "Mount",
      "Network",
      "NetworkAlias",
      "NoNewPrivileges",
      "Notify",
      "PidsLimit",
      "Pod",
      "PublishPort",
      "Pull",
      "ReadOnly",
      "ReadOnlyTmpfs",
    ],
    ...["ReloadCmd", "ReloadSignal", "Retry", "RetryDelay", "Rootfs", "RunInit", "SeccompProfile", "Secret", "SecurityLabelDisable"],
    ...["SecurityLabelFileType", "SecurityLabelLevel", "SecurityLabelNested", "SecurityLabelType", "ShmSize", "StartWithPod", "StopSignal"],
    ...["StopTimeout", "SubGIDMap", "SubUIDMap", "Sysctl", "Timezone", "Tmpfs", "UIDMap", "Ulimit", "Unmask", "User", "UserNS", "Volume"],
    "WorkingDir",
  ],
  Network: [
    ...shared,
    ...[
      "DNS",
      "DisableDNS",
      "Driver",
      "Gateway",
      "IPAMDriver",
      "IPRange",
      "IPv6",
      "InterfaceName",
      "Internal",
      "Label",
      "NetworkDeleteOnStop",
    ],
    ...["NetworkName", "Options", "Subnet"],
  ],
  Volume: [...shared, "Copy", "Device", "Driver", "Group", "Image", "Label", "Options", "Type", "User", "VolumeName"],
};

/** What a message is about, and the message as a person needs it. */
export interface Advice {
  readonly entry: PlacedEntry | undefined;
  readonly message: string;
}

/**
 * For a message that quotes a key, or a unit that is not there: the entry that has it. And what may be the matter with a key: a newer
 * Podman's than `podman`, the one that said so, or a misspelt one.
 */
export function adviseOn(message: string, text: string, podman: string | undefined): Advice {
  const entries = parseUnit(text);
  const missing = /(?:Quadlet \S+ (?=\S+ was not found)|quadlet pod unit |cannot get the resource name of )(\S+)/.exec(message)?.[1];
  if (missing !== undefined) return { entry: entries.find(({ value }) => value.split(/[\s:=,]+/).includes(missing)), message };
  const match = /key '([^']+)' in group '([^']+)'/.exec(message);
  if (match === null) return { entry: undefined, message };
  const [, key = "", group = ""] = match;
  const entry = entries.find((one) => one.section === group && one.key === key);
  const lack = tooOldFor({ section: group, key }, podman);
  if (lack !== undefined) return { entry, message: `${lack}: ${message}` };
  if (keys[group]?.includes(key) === true) return { entry, message: `${message} (a newer Podman knows it, this one does not)` };
  const meant = closest(key, keys[group] ?? []);
  return { entry, message: meant === undefined ? message : `${message} (did you mean ${meant}?)` };
}

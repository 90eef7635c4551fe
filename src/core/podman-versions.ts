/** Which Podman a quadlet's keys and kinds need: what releases after 5.0 brought, the oldest that pgo works with. */

/**
 * By release and section, the keys that its generator takes and that of the release before did not: the SupportedKeys of
 * pkg/systemd/quadlet/quadlet.go in Podman's v5.0.0, v5.1.0, … v5.8.0 compared. Sections that are new are kinds that are new.
 */
const added: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "5.1": { Container: "GroupAdd" },
  "5.2": {
    Build:
      "Annotation Arch AuthFile ContainersConfModule DNS DNSOption DNSSearch Environment File ForceRM GlobalArgs GroupAdd ImageTag Label " +
      "Network PodmanArgs Pull Secret SetWorkingDirectory TLSVerify Target Variant Volume",
    Container: "LogOpt NetworkAlias StopSignal",
    Kube: "LogOpt",
    Pod: "NetworkAlias",
  },
  "5.3": {
    Build: "ServiceName",
    Container: "AddHost CgroupsMode HealthLogDestination HealthMaxLogCount HealthMaxLogSize ServiceName StartWithPod",
    Image: "ServiceName",
    Kube: "ServiceName",
    Network: "ServiceName",
    Pod: "AddHost DNS DNSOption DNSSearch GIDMap IP IP6 RemapGid RemapUid RemapUidSize RemapUsers ServiceName SubGIDMap SubUIDMap UIDMap UserNS",
    Volume: "ServiceName",
  },
  "5.4": { Pod: "ShmSize" },
  "5.5": {
    Build: "Retry RetryDelay",
    Container: "Memory ReloadCmd ReloadSignal Retry RetryDelay",
    Image: "Retry RetryDelay",
    Network: "NetworkDeleteOnStop",
    Pod: "HostName",
  },
  "5.6": { Image: "Policy", Network: "InterfaceName", Pod: "ExitPolicy Label" },
  "5.7": {
    Artifact:
      "Artifact AuthFile CertDir ContainersConfModule Creds DecryptionKey GlobalArgs PodmanArgs Quiet Retry RetryDelay ServiceName TLSVerify",
    Build: "BuildArg IgnoreFile",
    Container: "HttpProxy",
    Pod: "StopTimeout",
  },
  "5.8": { Container: "AppArmor" },
};

/** `needs Podman 5.5, and here it is 5.4.2`; undefined where this one is new enough, or nobody knows. `podman`: the version at hand. */
export function tooOldFor(key: { readonly section: string; readonly key: string }, podman: string | undefined): string | undefined {
  return lack(
    Object.keys(added).find((version) => added[version]?.[key.section]?.split(" ").includes(key.key)),
    podman,
  );
}

/** The same of a kind, by its section. Quadlet passes over a file of a kind that it does not know, without a word. */
export function tooOldForKind(section: string, podman: string | undefined): string | undefined {
  const isNew = section === "Build" || section === "Artifact";
  return isNew
    ? lack(
        Object.keys(added).find((version) => added[version]?.[section] !== undefined),
        podman,
      )
    : undefined;
}

function lack(since: string | undefined, podman: string | undefined): string | undefined {
  const here = /^(\d+)\.(\d+)/.exec(podman ?? "");
  if (since === undefined || here === null) return undefined;
  const [major = 0, minor = 0] = since.split(".").map(Number);
  const [ownMajor, ownMinor] = [Number(here[1]), Number(here[2])];
  return ownMajor > major || (ownMajor === major && ownMinor >= minor)
    ? undefined
    : `needs Podman ${since}, and here it is ${String(podman)}`;
}

/** The sections and the usual keys of systemd's units, for a did-you-mean; systemd alone judges (systemd.unit(5) and its like, systemd 257). */

import { closest } from "./closest.ts";

const lists = {
  Unit:
    "Description Documentation Wants Requires Requisite BindsTo PartOf Upholds Conflicts Before After OnFailure OnSuccess " +
    "RequiresMountsFor WantsMountsFor StopWhenUnneeded RefuseManualStart RefuseManualStop DefaultDependencies StartLimitIntervalSec " +
    "StartLimitBurst JobTimeoutSec SourcePath ConditionPathExists ConditionPathIsDirectory ConditionHost ConditionFileNotEmpty AssertPathExists",
  Install: "Alias WantedBy RequiredBy UpheldBy Also DefaultInstance",
  Service:
    "Type ExecStart ExecStartPre ExecStartPost ExecCondition ExecReload ExecStop ExecStopPost Restart RestartSec RestartSteps TimeoutStartSec " +
    "TimeoutStopSec TimeoutSec RuntimeMaxSec RemainAfterExit PIDFile BusName NotifyAccess SuccessExitStatus WatchdogSec User Group " +
    "SupplementaryGroups DynamicUser WorkingDirectory RootDirectory Environment EnvironmentFile PassEnvironment UMask StandardInput " +
    "StandardOutput StandardError SyslogIdentifier RuntimeDirectory StateDirectory CacheDirectory LogsDirectory ConfigurationDirectory " +
    "LimitNOFILE LimitNPROC LimitMEMLOCK LimitCORE Nice IOSchedulingClass CPUWeight CPUQuota MemoryHigh MemoryMax TasksMax IOWeight Slice " +
    "Delegate KillMode KillSignal SendSIGKILL OOMPolicy OOMScoreAdjust CapabilityBoundingSet AmbientCapabilities NoNewPrivileges " +
    "ProtectSystem ProtectHome PrivateTmp PrivateDevices PrivateNetwork ReadWritePaths ReadOnlyPaths LoadCredential SystemCallFilter",
  Timer:
    "OnActiveSec OnBootSec OnStartupSec OnUnitActiveSec OnUnitInactiveSec OnCalendar AccuracySec RandomizedDelaySec FixedRandomDelay " +
    "OnClockChange OnTimezoneChange Unit Persistent WakeSystem RemainAfterElapse",
  Socket:
    "ListenStream ListenDatagram ListenSequentialPacket ListenFIFO ListenNetlink BindIPv6Only Backlog BindToDevice SocketUser SocketGroup " +
    "SocketMode DirectoryMode Accept MaxConnections KeepAlive NoDelay FreeBind Transparent ReusePort FileDescriptorName Service Symlinks RemoveOnStop",
  Path: "PathExists PathExistsGlob PathChanged PathModified DirectoryNotEmpty Unit MakeDirectory DirectoryMode TriggerLimitIntervalSec TriggerLimitBurst",
  Mount: "What Where Type Options SloppyOptions LazyUnmount ReadWriteOnly ForceUnmount DirectoryMode TimeoutSec",
  Automount: "Where ExtraOptions DirectoryMode TimeoutIdleSec",
  Swap: "What Priority Options TimeoutSec",
  Slice: "CPUWeight CPUQuota MemoryHigh MemoryMax TasksMax IOWeight AllowedCPUs ConcurrencySoftMax ConcurrencyHardMax",
};

/** Put behind a message about an unknown key or section; empty where it is about something else, or nothing near is known. */
export function adviseOnUnit(message: string): string {
  const [, key, section = ""] = /^Unknown key '([^']+)' in section \[([^\]]+)\]/.exec(message) ?? [];
  const unknown = /^Unknown section '([^']+)'/.exec(message)?.[1];
  const known =
    Object.entries(lists)
      .find(([name]) => name === section)?.[1]
      .split(" ") ?? [];
  const meant = key !== undefined ? closest(key, known) : unknown !== undefined ? closest(unknown, Object.keys(lists)) : undefined;
  return meant === undefined ? "" : ` (did you mean ${meant}?)`;
}

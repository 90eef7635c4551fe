/** What the disposable test host needs of this machine. `node scripts/needs.ts` says in one line what is missing, and ends with 2 then. */

import { accessSync, constants, readFileSync, statfsSync } from "node:fs";
import { dirname, join } from "node:path";

/** What is known of the machine. */
export interface Machine {
  readonly platform: string;
  readonly uid: number | undefined;
  /** The effective capabilities of this process, as /proc/self/status has them. */
  readonly capabilities: bigint;
  /** Which of these programs PATH has. */
  readonly programs: ReadonlySet<string>;
  readonly mounts: string;
  /** Where the hosts' disks are to be, and the type of the file system there (statfs(2)). */
  readonly disks: string;
  readonly diskType: number | undefined;
}

const programs = ["apt-get", "dpkg", "npm", "git"];
const sysAdmin = 1n << 21n;
const overlay = 0x794c7630;

/** The first thing that is missing, with what to do about it; undefined where nothing is. */
export function missing(machine: Machine): string | undefined {
  const { platform, uid, capabilities, mounts, disks, diskType } = machine;
  if (platform !== "linux") return `the test host needs Linux, and this is ${platform}: use a Debian-like virtual machine`;
  if (uid !== 0) return "the test host needs root, for namespaces, mounts and cgroups: run it with sudo, on a machine where that is fine";
  const absent = programs.find((program) => !machine.programs.has(program));
  if (absent === "apt-get" || absent === "dpkg") return `the test host needs ${absent}: use Debian, Ubuntu or the like`;
  if (absent !== undefined) return `the test host needs ${absent}: apt-get install ${absent}`;
  if ((capabilities & sysAdmin) === 0n) return "the test host needs CAP_SYS_ADMIN: in a container, start that one with --privileged";
  if (!mounts.includes(" - cgroup2 "))
    return "the test host needs cgroup2, which is mounted nowhere: boot with systemd.unified_cgroup_hierarchy=1";
  if (diskType === overlay)
    return `the test host can't keep its disks in ${disks}, which is on an overlay file system: name another directory in PGO_TEST_HOSTS`;
  return undefined;
}

export function thisMachine(): Machine {
  const { PGO_TEST_HOSTS: disks = "/var/tmp/pgo-test-hosts", PATH: path = "" } = process.env;
  const linux = process.platform === "linux";
  const status = linux ? readFileSync("/proc/self/status", "utf8") : "";
  return {
    platform: process.platform,
    uid: process.getuid?.(),
    capabilities: BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`),
    programs: new Set(programs.filter((program) => path.split(":").some((directory) => isExecutable(join(directory, program))))),
    mounts: linux ? readFileSync("/proc/self/mountinfo", "utf8") : "",
    disks,
    diskType: fileSystemOf(disks),
  };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Of the directory, or of the one that it will be made in. */
function fileSystemOf(path: string): number | undefined {
  try {
    return statfsSync(path).type;
  } catch {
    return path === dirname(path) ? undefined : fileSystemOf(dirname(path));
  }
}

if (import.meta.main) {
  const reason = missing(thisMachine());
  if (reason !== undefined) {
    console.error(reason);
    process.exitCode = 2;
  }
}

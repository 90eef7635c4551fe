/** What `npm test` and `npm run demo` say on a machine that can't boot a test host. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { missing, thisMachine, type Machine } from "../scripts/needs.ts";

const fit: Machine = {
  platform: "linux",
  uid: 0,
  capabilities: 0x1ffffffffffn,
  programs: new Set(["apt-get", "dpkg", "npm", "git"]),
  mounts: "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
  disks: "/var/tmp/pgo-test-hosts",
  diskType: 0xef53,
};

test("a machine that has everything lacks nothing", () => {
  assert.equal(missing(fit), undefined);
});

test("each thing that a machine lacks is named, with what to do about it", () => {
  const lacking: readonly [Partial<Machine>, RegExp][] = [
    [{ platform: "darwin", uid: 501 }, /needs Linux, and this is darwin/],
    [{ uid: 1000 }, /needs root.*sudo/],
    [{ programs: new Set(["npm", "git"]) }, /needs apt-get: use Debian, Ubuntu or the like/],
    [{ programs: new Set(["apt-get", "dpkg", "npm"]) }, /needs git: apt-get install git/],
    // What a container has by default.
    [{ capabilities: 0xa80425fbn }, /CAP_SYS_ADMIN.*--privileged/],
    [{ mounts: "29 23 0:26 / /sys/fs/cgroup rw - cgroup cgroup rw,memory" }, /cgroup2.*systemd.unified_cgroup_hierarchy=1/],
    [{ diskType: 0x794c7630 }, /\/var\/tmp\/pgo-test-hosts.*overlay.*PGO_TEST_HOSTS/],
  ];
  for (const [lack, said] of lacking) assert.match(missing({ ...fit, ...lack }) ?? "nothing", said);
});

for (const script of ["needs.ts", "demo.ts"])
  test(
    `${script} ends with 2 and one line for whoever is not root`,
    { skip: process.getuid?.() !== 0 && "needs root, to be nobody" },
    () => {
      const path = fileURLToPath(new URL(`../scripts/${script}`, import.meta.url));
      // Nobody in a user namespace, and still the owner of the checkout.
      const { status, stdout, stderr } = spawnSync("unshare", ["--user", process.execPath, path], { encoding: "utf8" });
      assert.deepEqual({ status, stdout, lines: stderr.split("\n").length }, { status: 2, stdout: "", lines: 2 });
      assert.match(stderr, /needs root/);
    },
  );

test("this machine is looked at, not assumed", () => {
  const machine = thisMachine();
  assert.equal(machine.platform, process.platform);
  assert.equal(machine.uid, process.getuid?.());
  assert.ok(machine.programs.has("git"));
});

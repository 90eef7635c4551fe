// The disposable test host itself: two at once, rootful and rootless, power off and on, and nothing left behind.
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { TestHost } from "./test-host.ts";

const web = (tag: string, more = "PublishPort=8080:8080"): string =>
  `[Container]\nImage=localhost/test/web:${tag}\n${more}\n[Install]\nWantedBy=default.target\n`;

function traces(name: string): string[] {
  const processes = readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => {
      try {
        const cgroup = readFileSync(`/proc/${entry}/cgroup`, "utf8");
        // A dead process that its parent has not collected yet is in a deleted one.
        return cgroup.includes(`pgo-host-${name}/`) && !cgroup.includes("(deleted)");
      } catch {
        return false;
      }
    });
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const cgroups = mounts.filter((line) => line.includes(" - cgroup2 ")).map((line) => `${line.split(" ")[4]}/pgo-host-${name}`);
  const directory = `${process.env["PGO_TEST_HOSTS"] ?? "/var/tmp/pgo-test-hosts"}/${name}`;
  return [...processes, ...mounts.filter((line) => line.includes(name)), ...[...cgroups, directory].filter((path) => existsSync(path))];
}

/** The file behind a loop device, if it is one in use. */
function backing(device: string): string {
  const path = `/sys/block/${device}/loop/backing_file`;
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

test("two hosts at once run rootful and rootless quadlets, each on the same port, and leave nothing", async (t) => {
  const names: string[] = [];
  await t.test("up", async (t) => {
    const hosts = await Promise.all([TestHost.up(t, { images: true }), TestHost.up(t, { images: true, user: "edge" })]);
    names.push(...hosts.map((host) => host.name));
    assert.ok(hosts.every((host) => traces(host.name).length > 0));
    for (const host of hosts) {
      await host.write(`${host.quadlets}/shop/web.container`, web("good"));
      await host.write(`${host.quadlets}/shop/plain.container`, web("v2", "Network=host\nEnvironment=PORT=8081"));
      await host.systemctl(["daemon-reload"]);
      await host.systemctl(["start", "web.service", "plain.service"]);
      assert.deepEqual(
        await host.waitFor("web", async () => (await host.get("http://127.0.0.1:8080/")).status && host.get("http://127.0.0.1:8080/")),
        { status: 200, body: "good\n" },
      );
      await host.waitFor("the host's network", async () => (await host.get("http://127.0.0.1:8081/")).body === "v2\n");
    }
  });
  assert.deepEqual(names.flatMap(traces), []);
});

for (const user of ["root", "edge"] as const) {
  test(`${user}: a host that lost its power boots on the same disk, with its services`, async (t) => {
    const host = await TestHost.up(t, { images: true, user });
    await host.write(`${host.quadlets}/shop/web.container`, web("good"));
    await host.write(`${host.home}/note`, "kept", 0o600);
    await host.kill();
    assert.equal(existsSync(`/proc/${host.pid}`), false);
    await host.boot();
    assert.equal(await host.sh(`stat -c '%a %U' ~/note; cat ~/note`), `600 ${user}\nkept`);
    await host.waitFor("web", async () => (await host.get("http://127.0.0.1:8080/ready")).status === 200);
    assert.equal((await host.journal("web.service")).match(/Started web.service/g)?.length, 1);
  });

  test(`${user}: a power cut takes what was not synced, and only that`, async (t) => {
    const names: string[] = [];
    await t.test("cut", async (t) => {
      const host = await TestHost.up(t, { images: true, user, powerCut: true });
      names.push(host.name);
      const repository = await host.repo("fleet");
      for (const name of ["overwritten", "renamed", "synced"]) await host.write(`${host.home}/${name}`, "old\n");
      await host.sync();
      await host.sh(`cd; echo new >overwritten; echo new >unsynced
        echo new >renamed.tmp; mv renamed.tmp renamed
        echo new >synced.tmp; sync synced.tmp; mv synced.tmp synced; sync .`);
      const commit = await repository.commit({ note: "another machine's" });
      await host.sh("cd; podman create --quiet --name made localhost/test/web:good");
      await host.kill();
      assert.equal(existsSync(`/proc/${host.pid}`), false);
      await host.boot();
      assert.equal(await host.sh("cat ~/synced"), "new", "a file that was synced, and its directory too, is whole");
      const rest = await host.sh("cd; head -v -c9 overwritten renamed unsynced 2>&1 || true");
      assert.doesNotMatch(rest, /new/, "what was in memory alone is lost");
      assert.equal(await repository.head(), commit, "the Git server stands for another machine");
      assert.match(await host.sh("podman run --rm localhost/test/busybox echo runs"), /^runs/);
    });
    assert.deepEqual(names.flatMap(traces), []);
    assert.deepEqual(
      names.filter((name) => readdirSync("/sys/block").some((device) => backing(device).includes(name))),
      [],
    );
  });

  test(`${user}: Git over SSH, with commits of every kind`, async (t) => {
    const host = await TestHost.up(t, { user });
    const repository = await host.repo("fleet");
    const first = await repository.commit(
      { "shop/web.container": web("good"), "a b/ä.txt": "ä", bin: new Uint8Array([0, 255, 10]) },
      "Grüße",
    );
    const second = await repository.commit({
      "a b/ä.txt": null,
      "shop/run": { executable: "#!/bin/sh\n" },
      link: { symlink: "shop" },
      "new.container": { renamedFrom: "shop/web.container" },
    });
    const clone = `GIT_SSH_COMMAND='ssh -i ${host.sshKey} -o UserKnownHostsFile=${host.knownHosts} -o StrictHostKeyChecking=yes' git clone --quiet ${repository.url} /tmp/clone`;
    await host.sh(clone);
    assert.equal(await host.sh("git -C /tmp/clone log --reverse --format='%H %s'"), `${first} Grüße\n${second} change`);
    assert.equal(
      await host.sh("cd /tmp/clone; git ls-files -s | cut -c1-6,50-; od -An -tx1 bin"),
      "100644\tbin\n120000\tlink\n100644\tnew.container\n100755\tshop/run\n 00 ff 0a",
    );
    await repository.reset(first);
    assert.equal(await repository.head(), first);
    await host.serveGitByHttp();
    assert.match(await host.sh(`git ls-remote ${repository.httpUrl} main`), new RegExp(`^${first}\t`));
    assert.equal((await host.get(`${repository.httpUrl.replace("3080/", "3080/private/")}/info/refs?service=git-upload-pack`)).status, 401);
    assert.match(await host.sh(`git ls-remote http://git:secret@127.0.0.1:3080/private/fleet.git main`), new RegExp(`^${first}\t`));
  });
}

test("commands pass input, output, exit codes and a clean environment", async (t) => {
  const host = await TestHost.up(t, { user: "edge" });
  assert.deepEqual(await host.exec(["sh", "-c", "cat; echo no >&2; exit 7"], { input: "in", check: false }), {
    code: 7,
    stdout: "in",
    stderr: "no\n",
  });
  assert.equal(
    await host.sh("id -un; pwd; echo $XDG_RUNTIME_DIR; systemctl --user is-system-running"),
    "edge\n/home/edge\n/run/user/1000\nrunning",
  );
  await assert.rejects(host.sh("echo told; false"), /exit 1: bash .*\ntold/s);
  await assert.rejects(host.exec(["sleep", "60"], { timeout: 100 }), /killed after 100 ms/);
  await assert.rejects(
    host.waitFor("a miracle", () => false, 100),
    /waited 100 ms in vain for a miracle/,
  );
  assert.equal((await host.get("http://127.0.0.1:9/")).status, 0);
  assert.equal(await host.exists("/etc/nothing"), false);
});

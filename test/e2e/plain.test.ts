/** Plain systemd units are judged by the host's own systemd before anything is touched: what it would pass over or refuse is told with file and line. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { Installed, web } from "./installed.ts";

const tidy = {
  "tidy/tidy.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
  "tidy/tidy.timer": "[Timer]\nOnCalendar=daily\n\n[Install]\nWantedBy=timers.target\n",
};

for (const user of ["root", "edge"] as const)
  suite(`${user}: plain units`, () => {
    test("a bad one is refused with file and line, the host is untouched, and a good one goes through", async (t) => {
      const files = {
        ...tidy,
        "web/web.container": web("good", 8081),
        "web/web.service.d/10-restart.conf": "[Service]\nRestartSec=3s\n",
        // It needs a service that only the generator makes.
        "after/after.service":
          "[Unit]\nRequires=web.service\nAfter=web.service\n\n[Service]\nExecStart=/bin/sleep infinity\n\n[Install]\nWantedBy=default.target\n",
        // The program comes with it, and is placed with it.
        "own/own.service": "[Service]\nExecStart=/bin/true\n",
      };
      const pgo = await Installed.up(t, { user, files });
      await pgo.deployed("tidy", "web", "after", "own");
      assert.equal(await pgo.isActive("tidy.timer"), true);
      assert.equal(await pgo.isActive("after.service"), true);
      const directory = user === "root" ? "/etc/systemd/system" : `${pgo.host.home}/.config/systemd/user`;
      const placed = () => pgo.host.sh(`find ${directory} -type f -exec sha256sum {} + | sort; find ${directory} -type l | sort`);
      const before = { fingerprint: await pgo.fingerprint(), placed: await placed(), reloads: await pgo.reloads() };

      const bad = await pgo.repository.commit({
        "tidy/tidy.timer": "[Timer]\nOnCalendar=dayly\n\n[Install]\nWantedBy=timers.target\n",
        "web/web.service.d/10-restart.conf": "[Service]\nRestartSec=soon\n",
        "after/after.service": "[Service]\nExecStart=/bin/sleep infinity\nRestart=alwys\n\n[Install]\nWantedBy=default.target\n",
        "own/own.service": "[Service]\nExecStart=/usr/bin/not-on-this-host --now\n",
        "half/half.socket": "[Socket]\nListenStrem=127.0.0.1:8111\nService=web.service\n",
      });
      const problems = {
        tidy: "tidy/tidy.timer:2: Failed to parse calendar specification, ignoring: dayly",
        web: "web/web.service.d/10-restart.conf:2: Failed to parse RestartSec=soon, ignoring: Invalid argument",
        after: "after/after.service:3: Failed to parse Restart=alwys, ignoring: Invalid argument",
        own: "own/own.service:2: Command /usr/bin/not-on-this-host is not executable: No such file or directory",
        half: "half/half.socket:2: Unknown key 'ListenStrem' in section [Socket], ignoring. (did you mean ListenStream?); half/half.socket: Unit has no Listen setting (ListenStream=, ListenDatagram=, ListenFIFO=, ...). Refusing.",
      };
      for (const [name, message] of Object.entries(problems)) assert.equal((await pgo.outcome(name, bad, "rejected")).message, message);
      assert.equal(await placed(), before.placed);
      assert.equal(await pgo.fingerprint(), before.fingerprint);
      assert.equal(await pgo.reloads(), before.reloads);

      const good = await pgo.repository.commit({
        "tidy/tidy.timer": "[Timer]\nOnCalendar=weekly\nFrobnicate=1\n\n[Install]\nWantedBy=timers.target\n",
        "web/web.service.d/10-restart.conf": "[Service]\nRestartSec=4s\n",
        "after/after.service": files["after/after.service"],
        "own/own.service": `[Service]\nType=oneshot\nExecStart=${pgo.placed}/own/run.sh\n\n[Install]\nWantedBy=default.target\n`,
        "own/run.sh": { executable: "#!/bin/sh\nexit 0\n" },
        "half/half.socket": null,
      });
      for (const name of ["tidy", "web", "own"]) await pgo.outcome(name, good, "deployed");
      const told = (await pgo.log()).filter((line) => line.includes("Frobnicate"));
      assert.equal(told.length, 1, "what systemd only passes over is told once, as a warning");
    });
  });

test("where systemd-analyze is gone or crashes, plain units are placed all the same, with a warning", async (t) => {
  const pgo = await Installed.boot(t, { files: tidy });
  await pgo.host.sh("mv /usr/bin/systemd-analyze /usr/bin/systemd-analyze.away");
  await pgo.configure('[quadlet]\ndrift_interval = "1h"\n[health]\ndeadline = "20s"\nmin_healthy_time = "1s"\n');
  await pgo.install(pgo.repository.url);
  await pgo.deployed("tidy");
  const warned = async () => (await pgo.log()).filter((line) => line.includes("systemd-analyze verify could not look at it"));
  assert.equal((await warned()).length, 1);
  assert.match((await warned())[0] ?? "", /systemd-analyze is not on the host/);

  await pgo.host.write("/usr/bin/systemd-analyze", "#!/bin/sh\nkill -SEGV $$\n", 0o755);
  await pgo.repository.commit({ "tidy/tidy.timer": "[Timer]\nOnCalendar=weekly\n\n[Install]\nWantedBy=timers.target\n" });
  await pgo.deployed("tidy");
  assert.equal((await warned()).length, 2);
  await pgo.polls(2);
  assert.equal((await warned()).length, 2, "once for each rollout, not at each poll");
});

/** A host that was set up with cp and systemctl: five services are taken over as they run, and given back when it does not work. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { Installed, web } from "./installed.ts";

const config = `
[quadlet]
drift_interval = "3s"
adopt = true
[health]
deadline = "15s"
interval = "500ms"
min_healthy_time = "1s"
`;

/** By path below the quadlet directory, or systemd's. */
const quadlets: Readonly<Record<string, string>> = {
  "app.network": "[Network]\nInternal=false\n",
  "store.volume": "[Volume]\n",
  "web.container": `# The shop's front.\n${web("good", 8091, "Network=app.network", "Volume=store.volume:/store")}`,
  "api.container": web("good", 8092, "HealthCmd=healthy"),
  "api.container.d/10-say.conf": "[Container]\nEnvironment=SAY=by-hand\n",
  "page.container": web("good", 8093, "Volume=/srv/page:/page:ro"),
  "idle.container":
    "[Container]\nImage=localhost/test/busybox\nExec=sleep infinity\nEnvironmentFile=idle.env\n[Service]\nTimeoutStopSec=1\n[Install]\nWantedBy=default.target\n",
};
/** Stays where it is: pgo renders its own of what Git has, which says the same. */
const env = { byHand: "# by hand\nSHARED=one two\nGREETING='hello'\n", inGit: "GREETING='hello'\nSHARED=one two\n" };
const units: Readonly<Record<string, string>> = {
  "tidy.timer": "[Timer]\nOnCalendar=04:00:00\n[Install]\nWantedBy=timers.target\n",
  "tidy.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
};
const services = [
  ...["app-network.service", "store-volume.service", "web.service", "api.service", "page.service", "idle.service"],
  "tidy.timer",
];

for (const user of ["root", "edge"] as const)
  suite(`${user}: five services that a person set up by hand`, () => {
    test("are given back when one does not get healthy, else taken over without a restart", async (t) => {
      const pgo = await Installed.boot(t, { user });
      const { host, repository } = pgo;
      const unitDirectory = user === "root" ? "/etc/systemd/system" : `${host.home}/.config/systemd/user`;
      const byHand = [
        ...Object.entries(quadlets).map(([path, text]) => [`${host.quadlets}/${path}`, text] as const),
        ...Object.entries(units).map(([path, text]) => [`${unitDirectory}/${path}`, text] as const),
      ];
      await host.exec(["mkdir", "-p", "/srv/page"], { user: "root" });
      for (const [path, text] of byHand) await host.write(path, text, path.endsWith("idle.container") ? 0o600 : 0o640);
      await host.write(`${host.quadlets}/idle.env`, env.byHand, 0o640);
      await host.systemctl(["daemon-reload"]);
      await host.systemctl(["enable", "--now", "tidy.timer"]);
      for (const name of ["web", "api", "page", "idle"]) await host.systemctl(["start", `${name}.service`]);

      const containers = async () => (await host.sh("podman ps --no-trunc --format '{{.Names}} {{.ID}}' | grep -v '^pgo ' | sort")).trim();
      const starts = async () => {
        const shown = await pgo.services(...services);
        return Object.fromEntries(services.map((name) => [name, `${String(shown[name]?.active)} ${String(shown[name]?.invocation)}`]));
      };
      const files = async () =>
        (await host.sh(`for f in ${byHand.map(([path]) => path).join(" ")}; do stat -c '%n %a %U' $f; sha256sum $f; done 2>&1`)).trim();
      const [before, running, asPlaced] = [await starts(), await containers(), await files()];
      for (const state of Object.values(before)) assert.match(state, /^active /);
      const inGit = Object.fromEntries(Object.entries({ ...quadlets, ...units }).map(([path, text]) => [`shop/${path}`, text]));
      inGit["shop/idle.env"] = env.inGit;

      await t.test("one that differs and does not get healthy: everything is back as it was", async () => {
        const bad = await repository.commit({
          ...inGit,
          "shop/api.container": web("never-healthy", 8092, "HealthCmd=healthy"),
          "shop/pgo.toml": '[health.api]\nfailure_threshold = 2\ndeadline = "6s"\n',
        });
        await pgo.configure(config);
        await pgo.install(repository.url);
        const { message } = await pgo.outcome("shop", bad, "failed");
        assert.match(message ?? "", /^api\.service .*; it was taken away again, and what was there before it is back/);
        assert.equal(await files(), asPlaced);
        assert.equal(await host.exists(`${pgo.placed}/shop`), false);
        const { "api.service": api, ...others } = await starts();
        const { "api.service": old, ...rest } = before;
        assert.deepEqual(others, rest, "what did not differ has run on");
        assert.match(api ?? "", /^active /);
        assert.notEqual(api, old);
        assert.equal(await pgo.page(8092), "by-hand");
        assert.equal((await host.systemctl(["is-enabled", "tidy.timer"])).stdout.trim(), "enabled");
      });

      await t.test("the same as in Git: taken over with no restart, and the old files are in the backup", async () => {
        const [now, nowRunning] = [await starts(), await containers()];
        await repository.commit({
          ...inGit,
          "shop/web.container": quadlets["web.container"]?.replace(/^# .*\n/, "") ?? "",
          "shop/pgo.toml": null,
        });
        await pgo.deployed("shop");
        assert.deepEqual(await starts(), now);
        assert.equal(await containers(), nowRunning);
        const differing = (list: string) => list.split("\n").filter((line) => !line.startsWith("systemd-api "));
        assert.deepEqual(differing(nowRunning), differing(running));
        assert.equal((await pgo.application("shop"))?.health, "healthy");
        const [last] = await pgo.history("shop");
        const adopted = last?.reasons.flatMap((reason) => /^adopt (\S+):/.exec(reason)?.[1] ?? []) ?? [];
        assert.deepEqual([...adopted].sort(), byHand.map(([path]) => path).sort());

        const state = user === "root" ? "/var/lib/pgo" : `${host.home}/.local/share/pgo`;
        const [backup] = (await host.sh(`ls -d ${state}/backups/adopted/*-${String(last?.id)}`)).trim().split("\n");
        for (const [path, text] of byHand) {
          assert.equal(await host.read(`${String(backup)}${path}`), text);
          assert.equal((await host.sh(`stat -c %a ${String(backup)}${path}`)).trim(), "600");
        }
        assert.equal((await host.sh(`find ${state}/backups -type d ! -perm 700`)).trim(), "");
        const left = (await host.sh(`find ${host.quadlets} -mindepth 1 -maxdepth 1 ! -name users -printf '%f\\n' | sort`)).trim();
        assert.equal(left, "idle.env\npgo\npgo-self");
        assert.deepEqual((await pgo.services("web.service"))["web.service"]?.load, "loaded");
        const source = await host.systemctl(["show", "--property=SourcePath", "--value", "web.service"]);
        assert.equal(source.stdout.trim(), `${pgo.placed}/shop/web.container`);
      });

      await t.test("one whose env file pgo renders now finds the same in it when it starts again", async () => {
        const shown = async () =>
          (await host.exec(["podman", "exec", "systemd-idle", "env"])).stdout
            .split("\n")
            .filter((line) => /^(?:GREETING|SHARED)=/.test(line))
            .sort();
        const seen = await shown();
        assert.deepEqual(seen, ["GREETING='hello'", "SHARED=one two"]);
        await host.systemctl(["restart", "idle.service"]);
        assert.deepEqual(await shown(), seen);
        const started = (await host.systemctl(["show", "--property=ExecStart", "--value", "idle.service"])).stdout;
        assert.match(started, /--env-file \S*\/pgo\/env\/\S*idle\.env /);
      });

      await t.test("a changed one restarts afterwards, alone", async () => {
        const now = await starts();
        await repository.commit({ "shop/page.container": web("v2", 8093, "Volume=/srv/page:/page:ro") });
        await pgo.deployed("shop");
        const after = await starts();
        assert.deepEqual(
          services.filter((name) => now[name] !== after[name]),
          ["page.service"],
        );
        assert.equal(await pgo.page(8093), "v2");
      });
    });
  });

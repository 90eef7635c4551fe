/** One command puts pgo on a host, again it changes nothing, and another takes it away; with and without the script. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Installed, quick, web } from "./installed.ts";

const installation = readFileSync(new URL("../../docs/installation.md", import.meta.url), "utf8");
const example = "http://127.0.0.1:8080/";

for (const user of ["root", "edge"] as const) {
  test(`${user}: install.sh alone puts pgo and its example on a fresh host, again it changes nothing, and --uninstall leaves nothing`, async (t) => {
    const pgo = await Installed.boot(t, { user });
    const { host } = pgo;
    const before = await traces(pgo);

    await t.test("the page answers, and status says healthy", async () => {
      const { stdout, stderr } = await pgo.install();
      assert.equal(stderr, "");
      assert.match(stdout, new RegExp(`^wrote ${pgo.settings}/pgo\\.toml\nstarting pgo\\.service …\n\\S+: healthy `));
      assert.match(stdout, /^ {2}hello +healthy +deployed /m);
      assert.match((await host.get(example)).body, /Hello from Git\./);
      const { code, stdout: status } = await pgo.ctl("status");
      assert.equal(code, 0);
      assert.match(status, /^\S+: healthy /);
      assert.equal((await pgo.status()).healthy, true);
      assert.equal(
        (await host.exec(["podman", "exec", "pgo", "pgo", "config", "check"])).stdout,
        `${pgo.settings}/pgo.toml is right: sources example\n`,
      );
    });

    await t.test("pgo runs with no privilege that it does not need", async () => {
      const [container] = JSON.parse((await host.exec(["podman", "inspect", "pgo"])).stdout) as readonly Inspected[];
      const { HostConfig: settings, EffectiveCaps, BoundingCaps, Config } = container ?? assert.fail("podman inspect pgo says nothing");
      assert.deepEqual(
        {
          privileged: settings.Privileged,
          pids: settings.PidMode,
          readOnly: settings.ReadonlyRootfs,
          caps: [EffectiveCaps ?? [], BoundingCaps ?? []],
        },
        { privileged: false, pids: "private", readOnly: true, caps: [[], []] },
      );
      assert.ok(settings.SecurityOpt.some((option) => option.startsWith("no-new-privileges")));
      assert.equal(Config.Labels["io.containers.autoupdate"], undefined);
    });

    await t.test("again it changes nothing", async () => {
      const all = async () => [
        await pgo.fingerprint(),
        await host.sh(`stat -c '%n %Y %i %a' ${pgo.settings}/*`),
        await pgo.reloads(),
        await pgo.history(),
      ];
      const was = await all();
      const { stdout, stderr } = await pgo.install();
      assert.equal(stderr, "");
      assert.match(stdout, /^\S+: healthy /, "nothing is written or started, there is only the status");
      assert.deepEqual(await all(), was);
    });

    await t.test("a pgo.toml that is there is left as it is, and that a repository is not in it is said", async () => {
      await host.sh(`echo '# ours' >>${pgo.settings}/pgo.toml`);
      const was = await host.read(`${pgo.settings}/pgo.toml`);
      const { stderr } = await pgo.install(pgo.repository.url);
      assert.equal(
        stderr,
        `${pgo.settings}/pgo.toml is there already and is left as it is: it has no source with url = "${pgo.repository.url}", add one to deploy it too\n`,
      );
      assert.equal(await host.read(`${pgo.settings}/pgo.toml`), was);
    });

    await t.test("taken away with --keep-running and put back, it goes on with what runs", async () => {
      const hello = await pgo.services("hello.service");
      const { stdout } = await pgo.install("--uninstall", "--keep-running");
      assert.match(stdout, /^pgo is gone; the applications go on as they are\. /);
      assert.equal((await pgo.services("pgo.service"))["pgo.service"]?.load, "not-found");
      assert.match((await host.get(example)).body, /Hello from Git\./);
      const again = await pgo.install();
      assert.match(again.stdout, /^starting pgo\.service …\n\S+: healthy /);
      assert.deepEqual(await pgo.services("hello.service"), hello);
    });

    await t.test("--uninstall leaves the host as it was, and twice is once", async () => {
      const { stdout, stderr } = await pgo.install("--uninstall");
      assert.equal(stdout, "removed example/hello\npgo and its applications are gone; volumes are kept\n");
      assert.equal(stderr, "");
      assert.deepEqual(await changes(pgo, before), []);
      assert.equal((await host.get(example)).status, 0);
      const again = await pgo.install("--uninstall");
      assert.deepEqual(
        { ...again },
        { code: 0, stdout: "", stderr: `install.sh: pgo is not installed here: there is no ${pgo.settings}/pgo.toml\n` },
      );
    });
  });

  test(`${user}: the commands of docs/installation.md put pgo on a host without the script`, async (t) => {
    const pgo = await Installed.boot(t, { user, files: { "shop/shop.container": web("good", 8081) } });
    const { host, settings } = pgo;
    const key = `--ssh-key ${settings}/id_ed25519 --known-hosts ${settings}/known_hosts`;
    const commands = [...installation.matchAll(/^```sh\n([^`]*podman run [^`]*bootstrap [^`]*)```$/gm)]
      .map(([, text = ""]) => text)
      .filter((text) => text.includes("--userns keep-id") === (user === "edge"));
    assert.equal(commands.length, 1, "docs/installation.md has the commands");
    const [script = ""] = commands;
    await host.sh(
      `mkdir -p ${settings} && install -m 600 ${host.sshKey} ${settings}/id_ed25519 && cp ${host.knownHosts} ${settings}/known_hosts`,
    );
    const output = await host.sh(
      script.replace(/(?:ssh|https):\/\/\S+fleet\.git/, user === "root" ? pgo.repository.url : `${pgo.repository.url} ${key}`),
    );
    assert.match(output, /: healthy /);
    assert.match(output, /^ {2}shop +healthy +deployed /m);
    assert.equal((await host.get("http://127.0.0.1:8081/")).body, "good\n");
    assert.equal((await pgo.status()).healthy, true);

    await t.test("the script finds it there, and has nothing to change", async () => {
      const was = await pgo.fingerprint();
      assert.equal((await pgo.install(pgo.repository.url)).stderr, "");
      assert.equal(await pgo.fingerprint(), was);
    });
  });

  test(`${user}: what is missing is said in one line with the command that helps, and nothing is done before`, async (t) => {
    const pgo = await Installed.boot(t, { user });
    const { host } = pgo;
    const before = await traces(pgo);
    const refused = async (environment = "PATH=$PATH", ...words: readonly string[]) => {
      const command = `env ${environment} sh /opt/pgo/quadlet/install.sh ${words.join(" ")}`;
      const { code, stdout, stderr } = await host.exec(["bash", "-c", command], { check: false, timeout: 300_000 });
      assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
      assert.deepEqual(await changes(pgo, before), []);
      return stderr;
    };
    const scope = user === "root" ? "" : "--user ";
    // logind answers only to who is of the host's own making.
    const linger = (verb: string) => host.sh(`systemd-run --quiet --wait loginctl ${verb}-linger edge`, { user: "root" });

    await t.test("no Podman, or one that is too old", async () => {
      await host.sh(
        "mkdir -p /tmp/none /tmp/old && for tool in sh id dirname systemctl loginctl env; do ln -sf $(command -v $tool) /tmp/none/; done",
      );
      assert.equal(await refused("PATH=/tmp/none"), "install.sh: Podman is not installed: apt install podman, or dnf install podman\n");
      await host.write("/tmp/old/podman", "#!/bin/sh\necho 4.9.3\n", 0o755);
      assert.equal(
        await refused("PATH=/tmp/old:$PATH"),
        "install.sh: Podman 4.9.3 is too old, 5.0 or newer is needed: a newer release of the distribution has it\n",
      );
    });

    await t.test("podman.socket is stopped", async () => {
      await host.systemctl(["stop", "podman.socket", "podman.service"]);
      const said = await refused();
      assert.equal(said, `install.sh: podman.socket is not running: systemctl ${scope}enable --now podman.socket\n`);
      await obey(pgo, said);
    });

    if (user === "edge")
      await t.test("lingering is off", async () => {
        await linger("disable");
        // With it go the user's systemd, its bus and its runtime directory.
        await host.waitFor("the end of edge's systemd", async () => !(await host.exists("/run/user/1000/bus")));
        const { code, stdout, stderr } = await pgo.tryInstall();
        assert.deepEqual(
          { code, stdout, stderr },
          {
            code: 1,
            stdout: "",
            stderr: "install.sh: without lingering, services of edge end when edge logs out: loginctl enable-linger edge\n",
          },
        );
        await linger("enable");
        await host.waitFor("edge's systemd", () => pgo.isActive("podman.socket"));
        assert.deepEqual(await changes(pgo, before), []);
      });

    await t.test("an image that can't be had", async () => {
      assert.match(
        await refused("PATH=$PATH", "--image", "localhost/pgo:nowhere"),
        /^install\.sh: localhost\/pgo:nowhere can't be pulled: Error: [^\n]*\n$/,
      );
    });

    await t.test("words that mean nothing", async () => {
      for (const [words, message] of [
        [["--brnach", "main"], "unknown option --brnach"],
        [["--ssh-key", "/nowhere"], "there is no file /nowhere"],
        [["--keep-running"], "--keep-running goes with --uninstall"],
      ] as const) {
        const { code, stdout, stderr } = await pgo.tryInstall(...words);
        assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
        assert.ok(stderr.startsWith(`install.sh: ${message}\n`), stderr);
        assert.deepEqual(await changes(pgo, before), []);
      }
    });

    await t.test("then it installs", async () => {
      assert.match((await pgo.install()).stdout, /: healthy /);
    });
  });
}

test("--uninstall keeps volumes with their data, secrets, and what is not pgo's", async (t) => {
  const pgo = await Installed.up(t, {
    files: {
      "shop/shop.container": web("stubborn", 8081, "Volume=shop.volume:/data", "Network=shop.network", "StopTimeout=1"),
      "shop/shop.volume": "[Volume]\n",
      "shop/shop.network": "[Network]\n",
      // It uses another application's network.
      "blog/blog.container": web("good", 8082, "Network=shop.network"),
    },
  });
  const { host } = pgo;
  await pgo.outcome("shop", await pgo.repository.head(), "deployed");
  await host.exec(["podman", "exec", "systemd-shop", "sh", "-c", "echo kept >/data/page"]);
  await host.write(`${host.quadlets}/mine.container`, web("good", 8083));
  await host.sh("systemctl daemon-reload && systemctl start mine.service");
  const mine = await pgo.services("mine.service");
  const created = await pgo.ctl("backup", "create");
  assert.equal(created.code, 0, created.stderr);
  const [archive = ""] = created.stdout.split(" ");
  await host.sh(`cp ${archive} /root/pgo.tar`);

  const { stdout } = await pgo.install("--uninstall");
  assert.equal(stdout, "removed fleet/blog\nremoved fleet/shop\npgo and its applications are gone; volumes are kept\n");
  assert.equal(await host.sh(`ls -A ${pgo.settings}`), "id\nknown_hosts");
  assert.equal(await host.sh(`ls -A ${host.quadlets}`), "mine.container\nusers");
  assert.deepEqual(await pgo.services("mine.service"), mine);
  assert.equal(
    await host.sh("podman volume ls --format '{{.Name}}'; podman network ls --format '{{.Name}}'; podman ps -a --format '{{.Names}}'"),
    "systemd-shop\npodman\nsystemd-mine",
  );
  assert.equal(await host.sh("podman run --rm --volume systemd-shop:/data localhost/test/busybox cat /data/page"), "kept");
  assert.equal(await host.sh("systemctl list-units --failed --plain --no-legend"), "");

  await t.test("a backup of all of pgo's state makes an empty host run what it ran, with Git out of reach", async () => {
    await host.sh("podman volume rm systemd-shop; rm -rf /var/lib/pgo; mkdir -m 700 /var/lib/pgo");
    await pgo.configure(quick);
    await host.sh(`sed -i 's/^url = .*/url = "ssh:\\/\\/127.0.0.1:9\\/fleet.git"/' ${pgo.settings}/pgo.toml`);
    const restore = () =>
      host.exec(
        [
          "podman",
          "run",
          "--rm",
          "--security-opt",
          "label=disable",
          "-v",
          "/var/lib/pgo:/var/lib/pgo",
          "-v",
          "/root/pgo.tar:/pgo.tar:ro",
          "localhost/pgo:latest",
          "backup",
          "restore",
          "/pgo.tar",
        ],
        { check: false },
      );
    const done = await restore();
    assert.deepEqual(
      [done.code, done.stdout],
      [
        0,
        "put back into /var/lib/pgo: fleet/blog, fleet/shop\nstart pgo now, and it makes the host run them: systemctl start pgo.service\n",
      ],
      done.stderr,
    );
    assert.match((await restore()).stderr, /state\.db is there already, and is left as it is/);
    await pgo.tryInstall();
    await host.waitFor("what it ran", async () => {
      const [shop, blog] = await Promise.all([pgo.application("shop"), pgo.application("blog")]);
      return shop?.health === "healthy" && blog?.health === "healthy";
    });
    assert.equal((await host.get("http://127.0.0.1:8082/")).body, "good\n");
    assert.match(JSON.stringify((await pgo.status()).sources), /"state":"failed"/);
  });
});

test("a pgo.toml that names other directories is followed, by pgo's mounts and by --uninstall", async (t) => {
  const pgo = await Installed.boot(t, { files: { "shop/shop.container": web("good", 8081) } });
  const { host } = pgo;
  const before = await traces(pgo);
  await pgo.configure(
    '[state]\ndirectory = "/srv/pgo-state"\ndatabase = "/srv/pgo-db/state.db"\n[quadlet]\ndirectory = "/etc/containers/systemd/mine"\n',
  );
  const { stdout } = await pgo.install();
  assert.match(stdout, /^\S+: healthy /m);
  assert.equal(await host.sh("ls /etc/containers/systemd/mine/fleet/shop"), "shop.container");
  assert.equal(await host.sh("stat -c %a /srv/pgo-state /srv/pgo-db"), "700\n700");
  assert.match((await pgo.ctl("status")).stdout, /^\S+: healthy /);
  assert.equal(await host.sh("ls -A /var/lib/pgo"), "");

  assert.equal((await pgo.install("--uninstall")).stdout, "removed fleet/shop\npgo and its applications are gone; volumes are kept\n");
  assert.deepEqual(await changes(pgo, before), [`+ ${pgo.settings}`, `+ ${pgo.settings}/id`, `+ ${pgo.settings}/known_hosts`]);
});

interface Inspected {
  readonly HostConfig: {
    readonly Privileged: boolean;
    readonly PidMode: string;
    readonly ReadonlyRootfs: boolean;
    readonly SecurityOpt: readonly string[];
  };
  readonly EffectiveCaps: readonly string[] | null;
  readonly BoundingCaps: readonly string[] | null;
  readonly Config: { readonly Labels: Readonly<Record<string, string>> };
}

/** Everything that pgo could have left: files outside Podman's own storage, units, containers, networks, volumes. */
async function traces({ host }: Installed): Promise<readonly string[]> {
  const files = await host.sh(
    "find / -xdev \\( -path /proc -o -path /sys -o -path '*/containers/storage' -o -path /var/log -o -path '*/containers/cache' \\) -prune -o -print | sort",
    { user: "root" },
  );
  const said = [
    (await host.systemctl(["list-units", "--all", "--plain", "--no-legend", "pgo*", "hello*"])).stdout,
    (await host.systemctl(["list-units", "--failed", "--plain", "--no-legend"])).stdout,
    ...(await Promise.all(
      ["ps --all", "network ls", "volume ls"].map((what) =>
        host.sh(`podman ${what} --format '{{.Name${what.startsWith("ps") ? "s" : ""}}}'`),
      ),
    )),
  ];
  return [files, ...said].flatMap((text) => text.split("\n")).filter((line) => line !== "");
}

/** What is there that was not, and the other way round. */
async function changes(pgo: Installed, before: readonly string[]): Promise<readonly string[]> {
  const now = await traces(pgo);
  return [
    ...now.filter((line) => !before.includes(line)).map((line) => `+ ${line}`),
    ...before.filter((line) => !now.includes(line)).map((line) => `- ${line}`),
  ];
}

/** Does what a message advises: the command behind the last colon. */
async function obey({ host }: Installed, said: string): Promise<void> {
  await host.sh(said.slice(said.lastIndexOf(": ") + 2));
}

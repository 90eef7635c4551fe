/** Four repositories as strangers have them, written for `cp` and `systemctl`: followed at once as they are, changed, and made smaller, with every restart counted. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fileURLToPath } from "node:url";

import type { Repository } from "../host/test-host.ts";
import { Installed } from "./installed.ts";
import { changed, textOf, tree, type Tree } from "./tree.ts";

/**
 * homelab: all files at the top. services: a directory for each. fleet: what all hosts have, and what this one has beside it. shop: the
 * code of a shop, with quadlets in a subdirectory.
 */
const names = ["homelab", "services", "fleet", "shop"] as const;
type Name = (typeof names)[number];

/** What runs once all is well. */
const running: Readonly<Record<Name, readonly string[]>> = {
  homelab: [
    ...["web-network", "caddy-data-volume", "postgres-data-volume", "caddy", "whoami", "postgres", "miniflux", "redis", "node-exporter"],
    ...["gotify", "uptime.kuma", "vaultwarden", "homepage", "worker@feeds", "worker@mail"],
  ],
  services: [
    ...["gitea-network", "gitea-db-volume", "gitea-data-volume", "gitea-db", "gitea", "blog", "pihole", "searxng", "restic-cache-volume"],
    ...["nextcloud-pod", "nextcloud-app", "nextcloud-redis", "nextcloud-cron"],
    ...["monitoring-network", "prometheus-volume", "prometheus", "grafana", "alertmanager"],
  ],
  fleet: ["proxy", "node.exporter", "cadvisor", "positions-volume", "promtail", "camera-network", "frigate", "go2rtc"],
  shop: ["shop-network", "api-db-volume", "api-db", "api", "web", "mailer@1", "mailer@2"],
};
const started = names.flatMap((name) => running[name].map((service) => `${service}.service`));

/** What each repository loses in the end, and what goes with it. */
const removals: Readonly<Record<Name, { readonly files: readonly string[]; readonly services: readonly string[] }>> = {
  homelab: {
    files: ["worker@.container", "worker@feeds.container", "worker@mail.container", "backup.container", "backup.timer", "gotify.container"],
    services: ["worker@feeds", "worker@mail", "gotify"],
  },
  services: {
    files: ["monitoring", "nextcloud"],
    services: [
      ...["monitoring-network", "prometheus-volume", "prometheus", "grafana", "alertmanager"],
      ...["nextcloud-pod", "nextcloud-app", "nextcloud-redis", "nextcloud-cron"],
    ],
  },
  fleet: { files: ["hosts/HOST/camera"], services: ["camera-network", "frigate", "go2rtc"] },
  shop: { files: ["deploy/quadlets/jobs"], services: ["mailer@1", "mailer@2"] },
};
const gone = names.flatMap((name) => removals[name].services.map((service) => `${service}.service`));

for (const release of ["trixie", "forky"] as const)
  suite(`${release}: repositories of strangers`, () => {
    test("run as they are, restart what a change is about and no more, and leave nothing behind", async (t) => {
      const { pgo, files, push } = await followed(t, { suite: release }, names);
      const { host } = pgo;
      const inspect = async (container: string, format: string) =>
        (await host.sh(`podman inspect ${container} --format '${format}'`)).trim();

      await t.test("all of it is deployed and healthy", async () => {
        const { applications, sources, healthy } = await pgo.status();
        const not = applications.filter(({ outcome, health }) => outcome !== "deployed" || health !== "healthy");
        assert.deepEqual(not, []);
        assert.deepEqual([healthy, sources.length, applications.length], [true, 4, 15]);
        const quadlets = Number(
          await host.sh(`grep -lr '^\\[' ${host.quadlets}/pgo | grep -c '\\.\\(container\\|pod\\|volume\\|network\\|kube\\|build\\)$'`),
        );
        assert.ok(quadlets >= 50, `${quadlets} quadlets`);
      });

      await t.test("every unit runs as its repository means", async () => {
        for (const [service, { active }] of Object.entries(await pgo.services(...started)))
          assert.equal(`${service} ${active}`, `${service} active`);
        const pages = [8201, 8203, 8204, 8205, 8206, 8207, 8211, 8213, 8214, 8215, 8221, 8231, 8232];
        const said = Object.fromEntries(
          await Promise.all(pages.map(async (port): Promise<[number, string]> => [port, await pgo.page(port)])),
        );
        const own = { 8214: "<h1>It works</h1>", 8215: "pihole", 8221: "box", 8231: "shop 1.0", 8232: "<title>The shop</title>" };
        assert.deepEqual(said, { ...Object.fromEntries(pages.map((port) => [port, "good"])), ...own });
      });

      await t.test("what a timer starts has not run, and runs when the timer says so", async () => {
        const timers = ["backup.timer", "restic.timer", "nightly.timer"];
        assert.equal(await host.sh(`systemctl is-enabled ${timers.join(" ")}`), "enabled\nenabled\nenabled");
        assert.equal(await host.sh(`systemctl is-active ${timers.join(" ")}`), "active\nactive\nactive");
        assert.deepEqual((await host.sh("podman ps --all --format '{{.Names}}' | grep -E 'backup|restic|nightly' || true")).trim(), "");
        const before = await pgo.services("backup.service", "restic.service", "nightly.service");
        for (const { active, invocation } of Object.values(before)) assert.deepEqual([active, invocation], ["inactive", ""]);
        await host.sh("systemctl start restic.service");
        assert.match(await host.sh("cat $(podman volume inspect systemd-restic-cache --format '{{.Mountpoint}}')/log"), /^backed up at/);
      });

      await t.test("files are where their containers look for them, byte for byte", async () => {
        const inside = async (container: string, path: string) => (await host.exec(["podman", "exec", container, "cat", path])).stdout;
        assert.equal(await inside("homepage", "/app/config/services.yaml"), files.homelab["homepage.yaml"]);
        assert.equal(await inside("searxng", "/etc/searxng/settings.yml"), "use_default_settings: true\n");
        assert.equal(await inside("nextcloud-app", "/usr/local/etc/php/conf.d/zz my limits.ini"), "upload_max_filesize = 16G\n");
        assert.equal(await inside("gitea", "/etc/gitea/app.ini"), files.services["gitea/app.ini"]);
        assert.equal(await inside("proxy", "/etc/nginx/conf.d/site.conf"), "server_name box.example.org;\n");
        assert.equal(await inside("proxy", "/etc/nginx/conf.d/gzip.conf"), "gzip on;\n");
        assert.equal(await inside("shop-web", "/etc/nginx/nginx.conf"), files.shop["deploy/nginx/nginx.conf"]);
      });

      await t.test("environments, labels and commands are as written", async () => {
        const has = async (container: string, format: string, ...wanted: readonly string[]) => {
          const shown = JSON.parse(await inspect(container, `{{json ${format}}}`)) as unknown;
          const flat = Array.isArray(shown) ? shown : Object.entries(shown as object).map(([key, value]) => `${key}=${String(value)}`);
          for (const one of wanted) assert.ok(flat.includes(one), `${container}: no ${one} in ${JSON.stringify(shown)}`);
        };
        await has("postgres", ".Config.Env", "POSTGRES_USER=homelab", "PGDATA=/var/lib/postgresql/data/pgdata");
        await has("miniflux", ".Config.Env", "BASE_URL=https://feeds.example.org/");
        await has("homepage", ".Config.Env", "HOMEPAGE_ALLOWED_HOSTS=home.example.org");
        await has("systemd-gotify", ".Config.Env", "GOTIFY_DEFAULTUSER_NAME=the admin");
        await has("nextcloud-app", ".Config.Env", "NEXTCLOUD_TRUSTED_DOMAINS=cloud.example.org box");
        await has("grafana", ".Config.Env", "GF_SERVER_ROOT_URL=%(protocol)s://%(domain)s/grafana/");
        await has("alertmanager", ".Config.Env", "SUBJECT=It's down: {{ .Status }} $labels");
        await has("worker-mail", ".Config.Env", "QUEUE=mail");
        await has("frigate", ".Config.Env", "FRIGATE_RTSP_USER=viewer");
        await has("frigate", ".Config.Labels", "fleet=ours");
        await has("whoami", ".Config.Labels", "traefik.http.routers.whoami.rule=Host(`whoami.example.org`) && PathPrefix(`/`)");
        await has("whoami", ".Config.Labels", "homepage.group=Network & Security", "homepage.name=Whoami");
        await has("prometheus", ".Config.Cmd", "--storage.tsdb.retention.time=30d", "--web.enable-lifecycle");
        await has("redis", ".Config.Cmd", "--save", "60 1", "--appendonly", "no");
        await has("uptime.kuma", ".Config.Cmd", "/bin/sh", "-c", "/bin/web");
        assert.equal(await host.sh("podman exec vaultwarden sh -c 'echo $ADMIN_TOKEN'"), "hunter2");
        await has("caddy", ".Config.Labels", "io.containers.autoupdate=registry");
      });

      await t.test("what is for people and for other hosts is not there", async () => {
        const placed = (await host.sh(`find ${host.quadlets}/pgo -printf '%P\\n'`)).split("\n");
        const stray = placed.filter((path) =>
          /README|LICENSE|\.git|ansible|renovate|example\.container|broken|cups|attic|Makefile$/.test(path),
        );
        assert.deepEqual(stray, []);
        assert.equal((await pgo.services("cups.service"))["cups.service"]?.load, "not-found");
      });

      await t.test("one change in each restarts what it is about", async () => {
        const restarted = await push({
          homelab: { ...changed(files.homelab, "miniflux.env", "15", "30"), "README.md": "# my homelab\n" },
          services: {
            ...changed(files.services, "nextcloud/nextcloud-app.container", "web:good", "web:v2"),
            ...changed(files.services, "monitoring/prometheus/rules/box.yml", "Down", "Gone"),
            ...changed(files.services, "scripts/deploy.sh", "-a", "-av"),
          },
          fleet: {
            // The host has a file of its own over the first, and the last is another host's.
            ...changed(files.fleet, "common/proxy/conf/site.conf", "_", "nobody"),
            ...changed(files.fleet, "common/logs/promtail.yaml", "/positions/", "/positions//"),
            "hosts/attic/printer/cups.container": "[Container]\nImage=localhost/test/web:v2\n",
          },
          shop: {
            ...changed(files.shop, "api/app.sh", "1.0", "1.1"),
            ...changed(files.shop, "tests/test_api.sh", "-n", "-nv"),
            ...changed(files.shop, "web/package.json", "1.0.0", "1.1.0"),
          },
        });
        assert.deepEqual(
          restarted,
          ["miniflux", "nextcloud-app", "prometheus", "promtail", "api"].map((name) => `${name}.service`),
        );
        assert.equal(await pgo.page(8213), "v2");
        assert.equal(await pgo.page(8231), "shop 1.1");
        assert.match(await host.sh("podman exec miniflux sh -c 'echo $POLLING_FREQUENCY'"), /^30$/);
      });

      await t.test("a directory less in each: its services are gone, with units, containers, networks and files", async () => {
        const removed = (name: Name) => Object.fromEntries(removals[name].files.map((path) => [path.replace("HOST", pgo.host.name), null]));
        const restarted = await push(Object.fromEntries(names.map((name) => [name, removed(name)])));
        assert.deepEqual(restarted, []);
        const left = started.filter((service) => !gone.includes(service));
        for (const [service, { load, active }] of Object.entries(await pgo.services(...started)))
          assert.equal(`${service} ${load} ${active}`, `${service} ${left.includes(service) ? "loaded active" : "not-found inactive"}`);
        assert.equal(await host.sh("systemctl list-units --failed --plain --no-legend"), "");
        assert.equal(
          (await host.sh("systemctl list-unit-files --no-legend 'nightly*' 'backup*' 'mailer*' 'worker*' 'frigate*' || true")).trim(),
          "",
        );
        const containers = (await host.sh("podman ps --all --format '{{.Names}}'")).split("\n").sort();
        const expected = [
          "pgo",
          "caddy",
          "whoami",
          "postgres",
          "miniflux",
          "redis",
          "node-exporter",
          "uptime.kuma",
          "vaultwarden",
          "homepage",
        ];
        expected.push("gitea", "gitea-db", "systemd-blog", "pihole-web", "searxng", "proxy", "node.exporter", "cadvisor", "promtail");
        expected.push("shop-api", "shop-db", "shop-web");
        assert.deepEqual(
          containers.filter((name) => !/-infra$|-service$/.test(name)),
          expected.sort(),
        );
        assert.deepEqual((await host.sh("podman pod ls --format '{{.Name}}'")).trim(), "pihole");
        const networks = (await host.sh("podman network ls --format '{{.Name}}'")).split("\n").sort();
        assert.deepEqual(networks, ["podman", "podman-default-kube-network", "shop", "systemd-gitea", "web"]);
        const directories = await host.sh(`cd ${host.quadlets}/pgo && find . -mindepth 2 -maxdepth 2 -type d | sort | tr '\\n' ' '`);
        assert.equal(
          directories.trim(),
          "./fleet/logs ./fleet/metrics ./fleet/proxy ./homelab/homelab ./services/backup ./services/blog ./services/dns ./services/gitea ./services/search ./shop/api ./shop/web",
        );
        assert.equal((await pgo.status()).healthy, true);
        assert.equal((await host.sh("podman volume ls --format '{{.Name}}'")).includes("nextcloud-html"), true, "data stays");
      });
    });
  });

test("edge: a repository that was written for a rootless host runs there as it is", async (t) => {
  const { pgo, files, push } = await followed(t, { user: "edge" }, ["homelab"]);
  const { host } = pgo;
  const { applications, healthy } = await pgo.status();
  assert.deepEqual([healthy, applications.map(({ outcome, health }) => `${outcome} ${health}`)], [true, ["deployed healthy"]]);
  const services = running.homelab.map((name) => `${name}.service`);
  for (const [service, { active }] of Object.entries(await pgo.services(...services)))
    assert.equal(`${service} ${active}`, `${service} active`);
  for (const port of [8201, 8203, 8204, 8205, 8206, 8207]) assert.equal(await pgo.page(port), "good", String(port));
  assert.equal((await host.sh("podman exec homepage cat /app/config/services.yaml")).trim(), textOf(files.homelab["homepage.yaml"]).trim());
  assert.equal(await host.exists(`${host.home}/gotify`), true);
  assert.equal((await pgo.services("backup.service"))["backup.service"]?.active, "inactive");

  assert.deepEqual(await push({ homelab: changed(files.homelab, "homepage.yaml", "Whoami", "Who am I") }), ["homepage.service"]);
  const removed = Object.fromEntries(removals.homelab.files.map((path) => [path, null]));
  assert.deepEqual(await push({ homelab: removed }), []);
  for (const [service, { load, active }] of Object.entries(await pgo.services(...services)))
    assert.equal(`${service} ${load} ${active}`, `${service} ${gone.includes(service) ? "not-found inactive" : "loaded active"}`);
  assert.doesNotMatch(await host.sh("podman ps --all --format '{{.Names}}'"), /worker|gotify|backup/);
});

/** A host that follows some of them, after the first look at each. */
async function followed(t: Parameters<typeof Installed.boot>[0], where: Parameters<typeof Installed.boot>[1], which: readonly Name[]) {
  const pgo = await Installed.boot(t, where);
  const { host } = pgo;
  const directory = fileURLToPath(new URL("strangers", import.meta.url));
  const files = Object.fromEntries(
    names.map((name) => [
      name,
      // The host's own directory is called after it.
      Object.fromEntries(
        Object.entries(tree(`${directory}/${name}`)).map(([path, file]) => [path.replace("hosts/HOST/", `hosts/${host.name}/`), file]),
      ),
    ]),
  ) as Readonly<Record<Name, Tree>>;
  const repositories = new Map<Name, Repository>();
  for (const name of which) repositories.set(name, name === "fleet" ? pgo.repository : await host.repo(name));
  for (const [name, repository] of repositories) await repository.commit(files[name]);
  const source = (name: Name, more = "") =>
    `[[source]]\nurl = "${String(repositories.get(name)?.url)}"\ninterval = "1h"\nauth = { ssh_key = "${pgo.settings}/id", known_hosts = "${pgo.settings}/known_hosts" }\n${more}`;
  await pgo.configure(
    [
      which.includes("fleet") ? 'paths = ["common", "hosts/${PGO_HOSTNAME}"]' : "",
      ...which.filter((name) => name !== "fleet").map((name) => source(name, name === "shop" ? 'paths = ["deploy/quadlets"]\n' : "")),
      '[quadlet]\ndrift_interval = "1h"',
      '[health]\ndeadline = "60s"\ninterval = "500ms"\nmin_healthy_time = "1s"\n',
    ].join("\n"),
    "1h",
  );
  // As their READMEs say.
  await host.sh("printf hunter2 | podman secret create vaultwarden_admin_token -");
  await pgo.install(pgo.repository.url);
  await synced(pgo);

  /** Commits to several, waits for what comes of it, and answers which services were started anew. */
  const push = async (changes: Partial<Readonly<Record<Name, Tree>>>): Promise<readonly string[]> => {
    const before = await pgo.services(...started);
    for (const [name, change] of Object.entries(changes)) await repositories.get(name as Name)?.commit(change);
    await synced(pgo);
    const after = await pgo.services(...started);
    return started.filter((name) => before[name]?.invocation !== after[name]?.invocation && after[name]?.active !== "inactive");
  };
  return { pgo, files, push };
}

async function synced(pgo: Installed): Promise<void> {
  const { code, stdout, stderr } = await pgo.ctl("sync", "--wait");
  assert.equal(code, 0, stdout + stderr);
}

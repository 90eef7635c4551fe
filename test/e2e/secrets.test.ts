/** Variables, templates and secrets on a real host: the container sees each value exactly, and nobody else sees any. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";

import { writeEnvText } from "../../src/core/env-text.ts";
import { planted } from "../planted.ts";
import { Installed, web } from "./installed.ts";

const config =
  '[quadlet]\ndrift_interval = "3s"\n[health]\ndeadline = "30s"\ninterval = "500ms"\nmin_healthy_time = "500ms"\n[secrets]\nage_key = { file = "age.key" }\n[vars]\nTAG = "good"\n';

/** Those that dotenv's syntax can carry, by name. */
const secrets: Readonly<Record<string, string>> = Object.fromEntries(
  planted.map((value, index): [string, string] => [`PLANTED_${index}`, value]).filter((one) => writeEnvText(new Map([one])).ok),
);

/** A container with Podman secrets of its application: half of the planted ones as variables, half as files, one for its health, one that nobody uses. */
function keysApplication(): Readonly<Record<string, string>> {
  const names = Object.keys(secrets);
  const lines = names.map((name, index) => (index % 2 === 0 ? `Secret=${name},type=env,target=${name}` : `Secret=${name}`));
  return {
    "keys/keys.container": web(
      "good",
      8085,
      ...lines,
      "Secret=gate",
      "Secret=token,target=/token",
      "HealthCmd=grep -q first /run/secrets/gate",
      "HealthInterval=1s",
      "HealthRetries=1",
    ),
    "keys/pgo.toml": [
      '[health.keys]\ndeadline = "8s"\n[secrets.podman]',
      'gate = { env = "GATE" }',
      'token = { file = "token.age" }',
      'unused = { env = "PLANTED_1" }',
      ...names.map((name) => `${name} = { env = "${name}" }`),
      "",
    ].join("\n"),
  };
}

for (const user of ["root", "edge"] as const)
  suite(`${user}: values that differ between hosts`, () => {
    test("are filled in from pgo.toml, the host and its secrets, and a secret that changes restarts what uses it, without a commit", async (t) => {
      const names = Object.keys(secrets);
      const pgo = await Installed.boot(t, {
        user,
        files: {
          "shop/shop.container": web("${TAG}", 8081, "EnvironmentFile=shop.env", "Environment=ON=${PGO_HOSTNAME} KEEP=$HOME"),
          "shop/shop.env": [...names.map((name) => `${name}=\${${name}}`), "PASSWORD=$DB_PASSWORD", ""].join("\n"),
          "blog/blog.container.liquid":
            '[Container]\nImage=localhost/test/web:{{ TAG }}\n{% if PGO_MODE == "rootful" %}PublishPort=8082:8080{% else %}PublishPort=8083:8080{% endif %}\n',
        },
      });
      const { host } = pgo;
      await pgo.configure(config);
      const written = writeEnvText(new Map(Object.entries(secrets)));
      assert.ok(written.ok);
      await host.sh(`mkdir -p -m 700 ${pgo.settings}/secrets && umask 077 && cat >${pgo.settings}/secrets/all.env`, {
        input: written.value,
      });
      await pgo.install(pgo.repository.url);

      const waiting = await pgo.application("shop");
      assert.equal(waiting?.outcome, "held");
      assert.match(waiting.message ?? "", /^shop\/shop\.env:\d+: .*DB_PASSWORD/);
      assert.equal(await pgo.page(user === "root" ? 8082 : 8083), "good");

      await t.test("a value that is given by ctl is seen, and the rollout goes on", async () => {
        const set = await host.exec(["podman", "exec", "-i", "pgo", "ctl", "secret", "set", "SHOP_DB_PASSWORD"], {
          input: "pl4nted-first",
        });
        assert.equal(set.stdout.includes("pl4nted"), false);
        await host.waitFor("shop to be deployed", async () => (await pgo.application("shop"))?.outcome === "deployed", 60_000);
        assert.equal(await pgo.page(8081), "good");
        const seen = await environmentOf(pgo, "systemd-shop");
        assert.equal(seen.get("PASSWORD"), "pl4nted-first", "the prefixed name wins");
        for (const name of names) assert.equal(seen.get(name), secrets[name], name);
        assert.equal(seen.get("ON"), (await host.sh("hostname")).trim());
        assert.equal(seen.get("KEEP"), "$HOME");
      });

      await t.test("one that changes restarts its user alone", async () => {
        const before = await pgo.services("shop.service", "blog.service");
        await host.exec(["podman", "exec", "-i", "pgo", "ctl", "secret", "set", "SHOP_DB_PASSWORD"], { input: "pl4nted-second" });
        await host.waitFor(
          "the restart",
          async () => (await pgo.services("shop.service"))["shop.service"]?.invocation !== before["shop.service"]?.invocation,
          60_000,
        );
        await host.waitFor("shop to be deployed", async () => (await pgo.application("shop"))?.phase === null, 60_000);
        assert.equal((await environmentOf(pgo, "systemd-shop")).get("PASSWORD"), "pl4nted-second");
        assert.equal((await pgo.services("blog.service"))["blog.service"]?.invocation, before["blog.service"]?.invocation);
      });

      await t.test("files that are encrypted in Git are there in plain, for the container alone", async () => {
        const fixture = (name: string) => readFileSync(new URL(`../adapters/encrypted/${name}`, import.meta.url));
        await host.sh(`umask 077 && cat >${pgo.settings}/secrets/age.key`, { input: fixture("ours.key").toString() });
        await pgo.repository.commit({
          "vault/vault.container": web("good", 8084, "EnvironmentFile=app.env", "Volume=./token:/token:ro"),
          "vault/app.env": fixture("app.env"),
          "vault/token.age": fixture("token.age"),
        });
        assert.equal((await pgo.ctl("sync", "--wait")).code, 0);
        const seen = await environmentOf(pgo, "systemd-vault");
        assert.equal(seen.get("OPEN_unencrypted"), "open");
        // Podman takes the quotes of an env file as they stand.
        assert.equal(seen.get("PASSWORD"), `"s3cr'et #1 $HOME ä"`);
        const token = (await host.exec(["podman", "exec", "systemd-vault", "cat", "/token"])).stdout;
        assert.equal(token, 's3cret of age: "quotes" $X #\nsecond line\n');
        assert.equal(await host.sh(`cat ${pgo.state}/state.db* | grep -ca s3cr || true`), "0");
        const file = `${host.quadlets}/pgo/fleet/vault/token`;
        assert.equal(await host.sh(`stat -c %a ${file}`), "600");
        const other = await host.sh(`runuser -u nobody -- cat ${file} 2>&1 || true`, { user: "root" });
        assert.match(other, /Permission denied/);
      });

      await t.test("Podman secrets are made, the container sees each value exactly, and one that nobody uses is there too", async () => {
        await host.exec(["podman", "exec", "-i", "pgo", "ctl", "secret", "set", "GATE"], { input: "pl4nted-first-gate" });
        await pgo.repository.commit({
          ...keysApplication(),
          "keys/token.age": readFileSync(new URL("../adapters/encrypted/token.age", import.meta.url)),
        });
        const synced = await pgo.ctl("sync", "--wait");
        assert.equal(synced.code, 0, synced.stdout + synced.stderr);
        const environment = await environmentOf(pgo, "systemd-keys");
        for (const [index, name] of names.entries())
          assert.equal(index % 2 === 0 ? environment.get(name) : await fileOf(pgo, `/run/secrets/${name}`), secrets[name], name);
        assert.equal(await fileOf(pgo, "/token"), 's3cret of age: "quotes" $X #\nsecond line\n');
        assert.match(await host.sh("podman secret ls --format '{{.Name}}'"), /^unused$/m);
        const [plan, history] = [await pgo.ctl("plan"), await pgo.ctl("history", "keys", "--json")];
        assert.equal(plan.code, 0, plan.stdout);
        assert.match(history.stdout, /Podman secret gate/);
      });

      await t.test("a Podman secret whose new value makes its user unhealthy is as it was, and one that is better goes live", async () => {
        const set = (value: string) => host.exec(["podman", "exec", "-i", "pgo", "ctl", "secret", "set", "KEYS_GATE"], { input: value });
        await set("pl4nted-bad-gate");
        await host.waitFor("the rollback", async () => (await pgo.application("keys"))?.outcome === "rolled-back", 60_000);
        assert.equal(await fileOf(pgo, "/run/secrets/gate"), "pl4nted-first-gate");
        const before = await pgo.services("keys.service", "vault.service");
        await set("pl4nted-first-but-new");
        await host.waitFor("the rotation", async () => (await pgo.application("keys"))?.outcome === "deployed", 60_000);
        assert.equal(await fileOf(pgo, "/run/secrets/gate"), "pl4nted-first-but-new");
        const after = await pgo.services("keys.service", "vault.service");
        assert.notEqual(after["keys.service"]?.invocation, before["keys.service"]?.invocation);
        assert.equal(after["vault.service"]?.invocation, before["vault.service"]?.invocation);
      });

      await t.test("no value is anywhere but in the files that are there for it", async () => {
        await pgo.ctl("plan");
        const outputs = [
          ...(await Promise.all(["status", "history", "events", "plan"].map(async (what) => (await pgo.ctl(what, "--json")).stdout))),
          (await pgo.log()).join("\n"),
          (await host.exec(["curl", "--silent", "http://127.0.0.1:9180/metrics"])).stdout,
          (await host.exec(["journalctl", "--quiet", "--no-pager", "--output=cat"], { user: "root" })).stdout,
        ];
        for (const output of outputs) assert.equal(/pl4nted|MIIBVgIBADANBg19/.test(output), false, output.slice(0, 2000));
        const found = await host.sh(`grep -rlaE 'pl4nted|MIIBVgIBADANBg19' ${pgo.state} ${host.quadlets} /tmp 2>/dev/null || true`);
        const allowed = [`${pgo.state}/env/`, `${pgo.state}/sealed/`, `${pgo.state}/secrets/`];
        for (const file of found.split("\n").filter((line) => line !== ""))
          assert.ok(
            allowed.some((directory) => file.startsWith(directory)),
            file,
          );
        const modes = await host.sh(`find ${allowed.join(" ")} -type f ! -perm 600 -o -type d ! -perm 700`);
        assert.equal(modes.trim(), "");
      });

      await t.test("with the application its values go", async () => {
        await host.sh("printf theirs | podman secret create theirs -");
        const gone = await pgo.repository.commit({ shop: null, keys: null });
        await host.waitFor(
          "shop and keys to go",
          async () => (await pgo.status()).sources[0]?.revision === gone && (await pgo.status()).applications.length === 2,
          60_000,
        );
        assert.equal((await host.sh("podman secret ls --format '{{.Name}}'")).trim(), "theirs");
        assert.equal(await host.sh(`ls ${pgo.state}/env/fleet`), "vault");
      });
    });
  });

/** A file of the container `systemd-keys`, as it stands. */
async function fileOf({ host }: Installed, path: string): Promise<string> {
  return (await host.exec(["podman", "exec", "systemd-keys", "cat", path])).stdout;
}

/** As the container's first process has it. */
async function environmentOf(pgo: Installed, container: string): Promise<ReadonlyMap<string, string>> {
  const { stdout } = await pgo.host.exec(["podman", "exec", container, "sh", "-c", "cat /proc/1/environ"]);
  return new Map(
    stdout.split("\0").map((entry): [string, string] => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );
}

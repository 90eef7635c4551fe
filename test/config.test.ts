import assert from "node:assert/strict";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { loadConfig } from "../src/config.ts";
import { placesOf } from "../src/places.ts";
import { withReference } from "../scripts/config-reference.ts";

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "pgo-config-"));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

async function problems(file: string): Promise<string[]> {
  const config = await loadConfig({ PGO_CONFIG: file });
  return config.ok ? [] : config.trouble.map(({ file, line, message }) => `${file}:${String(line ?? "")}: ${message}`);
}

test("root's paths and another user's differ", () => {
  assert.deepEqual(placesOf({}, 0), {
    mode: "rootful",
    config: "/etc/pgo/pgo.toml",
    directories: {
      quadlet: "/etc/containers/systemd/pgo",
      units: "/etc/systemd/system",
      secrets: "/etc/pgo/secrets",
      state: "/var/lib/pgo",
    },
  });
  assert.deepEqual(placesOf({ HOME: "/home/edge" }, 1000), {
    mode: "rootless",
    config: "/home/edge/.config/pgo/pgo.toml",
    directories: {
      quadlet: "/home/edge/.config/containers/systemd/pgo",
      units: "/home/edge/.config/systemd/user",
      secrets: "/home/edge/.config/pgo/secrets",
      state: "/home/edge/.local/share/pgo",
    },
  });
});

test("in a container the quadlet says which user's paths are meant", () => {
  const { config, directories } = placesOf({ PGO_MODE: "rootless", PGO_HOME: "/home/edge", HOME: "/root" }, 0);
  assert.equal(config, "/home/edge/.config/pgo/pgo.toml");
  assert.equal(directories.state, "/home/edge/.local/share/pgo");
  assert.equal(placesOf({ PGO_CONFIG: "/x.toml" }, 0).config, "/x.toml");
  assert.throws(() => placesOf({ PGO_MODE: "root" }, 0), /PGO_MODE must be "rootful" or "rootless"/);
});

test("a file that is not there is a problem that says how to get one", async (t) => {
  const file = join(await directory(t), "pgo.toml");
  assert.deepEqual(await problems(file), [`${file}:: does not exist: pgo config init writes one`]);
});

test("a key file that is missing, or that others can read, is a problem with its line", async (t) => {
  const here = await directory(t);
  const [file, key, open] = [join(here, "pgo.toml"), join(here, "key"), join(here, "open")];
  await writeFile(key, "key", { mode: 0o600 });
  await writeFile(open, "key");
  await chmod(open, 0o644);
  await writeFile(
    file,
    `[secrets]
directory = "${here}"
[[source]]
url = "a"
auth = { ssh_key = "${key}", known_hosts = "${open}" }
[[source]]
url = "b"
[source.auth]
ssh_key = "${open}"
known_hosts = "${here}/none"
[[source]]
url = "c"
auth = { password = { file = "token" } }
[[source]]
url = "d"
auth = { ssh_key = "${here}" }
`,
  );
  const absent = "does not exist (pgo's container only sees what is mounted: keep it beside pgo.toml)";
  assert.deepEqual(await problems(file), [
    `${file}:9: ssh_key: ${open} can be read by others: chmod 600 ${open}`,
    `${file}:10: known_hosts: ${here}/none ${absent}`,
    `${file}:13: password: ${here}/token ${absent}`,
    `${file}:16: ssh_key: ${here} is not a file`,
  ]);
  await writeFile(file, `[[source]]\nurl = "a/fleet"\nauth = { ssh_key = "${key}", known_hosts = "${open}" }\n`);
  const config = await loadConfig({ PGO_CONFIG: file });
  assert.ok(config.ok);
  assert.equal(config.value.sources[0]?.name, "fleet");
});

test("the configuration reference in docs/ is what scripts/config-reference.ts makes of the schemas", async () => {
  const page = await readFile(new URL("../docs/configuration.md", import.meta.url), "utf8");
  assert.equal(page, withReference(page), "stale: run `node scripts/config-reference.ts`");
});

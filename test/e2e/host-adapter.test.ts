/** The host adapter against real systemd and the real generator: its tests run on a test host, as root and as a rootless user. */

import assert from "node:assert/strict";
import { chmod, cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import { TestHost } from "../host/test-host.ts";

const checkout = fileURLToPath(new URL("../..", import.meta.url));
const installed = "/opt/pgo";

for (const user of ["root", "edge"] as const) {
  test(`the host adapter works on a real host as ${user}`, { timeout: 300_000 }, async (t) => {
    const host = await TestHost.up(t, { user, images: true });
    await bring(t, host);
    await runInside(t, host, "host-adapter.ts");
  });
}

test("the host adapter survives a restart of the bus", { timeout: 300_000 }, async (t) => {
  const host = await TestHost.up(t);
  await bring(t, host);
  await runInside(t, host, "bus-restart.ts");
});

async function runInside(t: TestContext, host: TestHost, file: string): Promise<void> {
  const command = [`${installed}/bin/node`, "--test", `${installed}/test/e2e/inside/${file}`];
  const { code, stdout, stderr } = await host.exec(command, { check: false, timeout: 240_000 });
  t.diagnostic(
    stdout
      .split("\n")
      .filter((line) => /^ℹ (?:tests|pass|fail) /.test(line))
      .join(", "),
  );
  assert.equal(code, 0, `${stdout}${stderr}`);
  assert.match(stdout, /^ℹ pass [1-9]/m);
}

/** Node, the sources and the libraries that they need; the host has none of them. */
async function bring(t: TestContext, host: TestHost): Promise<void> {
  const bundle = await mkdtemp(join(tmpdir(), "pgo-inside-"));
  t.after(() => rm(bundle, { recursive: true, force: true }));
  for (const library of await closure("ignore", new Set(await closure("dbus-next")))) {
    const path = join("node_modules", library);
    await mkdir(dirname(join(bundle, path)), { recursive: true });
    await cp(join(checkout, path), join(bundle, path), { recursive: true });
  }
  for (const path of ["src", "test/e2e/inside", "package.json"]) await cp(join(checkout, path), join(bundle, path), { recursive: true });
  await chmod(bundle, 0o755);
  await host.copy(bundle, installed);
  await host.copy(process.execPath, `${installed}/bin/node`);
}

/** A library with all that it depends on. */
async function closure(library: string, known = new Set<string>()): Promise<ReadonlySet<string>> {
  if (known.has(library)) return known;
  known.add(library);
  const text = await readFile(join(checkout, "node_modules", library, "package.json"), "utf8");
  const { dependencies = {} } = JSON.parse(text) as { readonly dependencies?: Readonly<Record<string, string>> };
  for (const dependency of Object.keys(dependencies)) await closure(dependency, known);
  return known;
}

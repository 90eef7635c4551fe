/** A real registry on a test host: Debian's docker-registry. */

import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import type { TestHost } from "../host/test-host.ts";

/** Debian's docker-registry, which the host has, or which is brought in from the machine's package source. */
export async function registryProgram(host: TestHost): Promise<string> {
  const installed = await host.exec(["which", "docker-registry"], { user: "root", check: false });
  if (installed.code === 0) return installed.stdout.trim();
  const directory = await mkdtemp(join(tmpdir(), "registry-"));
  try {
    await promisify(execFile)("apt-get", ["download", "docker-registry"], { cwd: directory });
    const [deb = ""] = await readdir(directory);
    await host.copy(join(directory, deb), "/root/registry.deb");
    await host.exec(["dpkg-deb", "--extract", "/root/registry.deb", "/opt/registry"], { user: "root" });
    return "/opt/registry/usr/bin/docker-registry";
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Starts one that serves plain HTTP to everybody, on a port of the host's; its unit is `registry.service`. */
export async function startRegistry(host: TestHost, port: number): Promise<void> {
  await host.write(
    "/etc/test-registry/open.yml",
    `version: 0.1\nlog: {accesslog: {disabled: false}}\nstorage: {filesystem: {rootdirectory: /var/lib/test-registry}}\nhttp: {addr: "127.0.0.1:${port}"}\n`,
    0o644,
    "root",
  );
  const program = await registryProgram(host);
  await host.write(
    "/etc/systemd/system/registry.service",
    `[Service]\nExecStart=${program} serve /etc/test-registry/open.yml\n`,
    0o644,
    "root",
  );
  await host.exec(["sh", "-c", "systemctl daemon-reload && systemctl start registry"], { user: "root" });
  await host.waitFor("the registry", async () => (await host.get(`http://127.0.0.1:${port}/v2/`)).status === 200);
}

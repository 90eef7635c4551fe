/** All that may be seen of pgo's work on a host, as text to be compared. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { request } from "node:http";

import type { StatusReport } from "../../src/core/report.ts";
import type { TestHost } from "../host/test-host.ts";
import { ours } from "./world.ts";

/** Everything that may be seen of pgo's work, with what differs from one commit to the next left out. */
export async function look(host: TestHost): Promise<string> {
  const [disk, running] = await Promise.all([diskOf(host), containersOf(rootOf(host))]);
  assert.match(disk, /^== database\nok\n/m, "the database is whole");
  const { applications } = (await askPgo(host, "/status")) as StatusReport;
  // What is not on the host, since it failed, has nothing to be seen.
  const here = applications.filter(({ units }) => units.length > 0);
  const told = here.flatMap(({ name, health, phase, held, units }) => [
    `${name}: ${health} ${String(phase)} ${JSON.stringify(held)}`,
    ...units.map((one) => `${name}: ${one.unit} ${one.service} ${one.active} ${one.health}`),
  ]);
  return [disk, "== containers", ...running, "== status", ...told].join("\n");
}

/** What each container was started from, and sees; and how many versions of an application run at once: one. */
async function containersOf(root: string): Promise<readonly string[]> {
  const podman = (path: string) => ask(`${root}/run/podman/podman.sock`, `/v5.0.0/libpod${path}`);
  const [all, networks, volumes, images] = (await Promise.all(
    ["/containers/json?all=true", "/networks/json", "/volumes/json", "/images/json"].map(podman),
  )) as [
    readonly { readonly Id: string; readonly Names: readonly string[] }[],
    readonly { readonly name: string; readonly labels?: unknown }[],
    readonly { readonly Name: string; readonly Labels?: unknown }[],
    readonly { readonly RepoTags?: readonly string[] }[],
  ];
  const marks = new Set<string>();
  const neutral = (text: string) => {
    for (const [mark] of text.matchAll(/@@\d+@@/g)) marks.add(mark);
    return text.replaceAll(/@@\d+@@/g, "@@");
  };
  const containers = await Promise.all(
    all.map(async ({ Id, Names }) => {
      const one = (await podman(`/containers/${Id}/json`)) as Inspected;
      if (Names[0] === "pgo") return `pgo ${one.State.Status}`;
      const env = one.Config.Env.filter((entry) => /^(?:SAY|TOKEN|MORE)=/.test(entry)).sort();
      const mounted = `${root}/proc/${String(one.State.Pid)}/root/conf/a`;
      const sees = existsSync(mounted) ? readFileSync(mounted, "utf8").trim() : "nothing";
      const networks = Object.keys(one.NetworkSettings.Networks ?? {});
      return `${Names.join()} ${one.ImageName} ${one.State.Status} on ${networks.join()} ${neutral([...env, "sees", sees].join(" "))}`;
    }),
  );
  return [
    ...containers.sort(),
    ...networks.map(({ name, labels }) => `network ${name} ${neutral(JSON.stringify(labels ?? {}))}`).sort(),
    ...volumes.map(({ Name, Labels }) => `volume ${Name} ${neutral(JSON.stringify(Labels ?? {}))}`).sort(),
    ...images.flatMap(({ RepoTags = [] }) => RepoTags.map((tag) => `image ${tag}`)).sort(),
    `versions that run: ${marks.size}`,
  ];
}

/** Which version has begun the data of the shop's volume; undefined where there is none. */
export async function dataOf(host: TestHost): Promise<string | undefined> {
  const file = "/var/lib/containers/storage/volumes/systemd-data/_data/born";
  return (await host.exists(file)) ? host.read(file) : undefined;
}

async function diskOf(host: TestHost): Promise<string> {
  return await host.sh(
    `
      shopt -s nullglob extglob; set +e +o pipefail
      neutral() { sed -E 's/@@[0-9]+@@/@@/g'; }
      echo "== files"
      for file in $(find /etc/containers/systemd/!(pgo-self) /etc/systemd/system /var/lib/pgo/env -regextype egrep \\( -type f -o -type l \\) -not -path '*/pgo-self/*' 2>/dev/null | grep -E '/etc/containers|/env/|/${ours}\\.' | sort); do
        printf '%s %s %s\\n' "$file" "$(stat -c '%a %U' "$file")" "$([ -L "$file" ] && readlink "$file" || neutral <"$file" | sha256sum)"
      done
      echo "== marks in files"; grep -rhoE '@@[0-9]+@@' /etc/containers/systemd/pgo/*/shop /etc/containers/systemd/pgo/*/legacy /var/lib/pgo/env 2>/dev/null | sort -u | wc -l
      echo "== left over"
      find /etc/containers/systemd /etc/systemd/system /var/lib/pgo -name '.pgo-*'
      find /var/lib/pgo/staging /var/lib/pgo/runs -mindepth 1
      systemctl list-units --all --plain --no-legend 'pgo-*' | grep -v '^pgo.service' || true
      echo "== units"
      systemctl list-units --all --plain --no-legend | awk '{print $1, $2, $3, $4}' | grep -E '^${ours}\\.' | sort
      systemctl list-units --all --plain --no-legend --failed
      echo "== database"
      sqlite3 -readonly /var/lib/pgo/state.db 'PRAGMA integrity_check; PRAGMA foreign_key_check;
        SELECT application, path FROM inventory ORDER BY 1, 2; SELECT count(*) FROM rollouts; SELECT * FROM adoptions;
        SELECT application, revision IS desired_revision, health FROM applications ORDER BY 1;'
      sqlite3 -readonly /var/lib/pgo/state.db 'SELECT service FROM started ORDER BY 1'
    `,
    { timeout: 60_000 },
  );
}

/** What Podman says of a container, as far as it is looked at. */
interface Inspected {
  readonly ImageName: string;
  readonly State: { readonly Status: string; readonly Pid: number };
  readonly Config: { readonly Env: readonly string[] };
  readonly NetworkSettings: { readonly Networks?: Readonly<Record<string, unknown>> };
}

/** The host's root, as the machine sees it. */
function rootOf(host: TestHost): string {
  return `/proc/${host.pid}/root`;
}

/** pgo's answer over its control socket. */
export function askPgo(host: TestHost, path: string, body?: unknown): Promise<unknown> {
  return ask(`${rootOf(host)}/var/lib/pgo/pgo.sock`, `/v1${path}`, body);
}

/** JSON over a unix socket: by its path in the host's own /proc, without a process of its own in the host. */
function ask(socketPath: string, path: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? "GET" : "POST";
    const asked = request(
      { socketPath, path, method, agent: false, timeout: 20_000, headers: { host: "d", "content-type": "application/json" } },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        response.on("error", reject).on("end", () => {
          if (response.statusCode === 200) resolve(JSON.parse(text));
          else reject(new Error(`${path}: ${String(response.statusCode)} ${text}`));
        });
      },
    );
    asked.on("timeout", () => asked.destroy(new Error(`${path}: no answer`)));
    asked.on("error", reject).end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Lines that only one of them has. */
export function differing(now: string, wanted: string): readonly string[] {
  const [here, there] = [now.split("\n"), wanted.split("\n")];
  return [
    ...here.filter((line) => !there.includes(line)).map((line) => `+ ${line}`),
    ...there.filter((line) => !here.includes(line)).map((line) => `- ${line}`),
  ];
}

/** `pgo validate` in the image, with no host: what it says, how it ends, and that it says what the live generator and the live pgo say. */

import assert from "node:assert/strict";
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import type { ValidationReport } from "../../src/core/validation.ts";
import { TestHost, type Result } from "../host/test-host.ts";
import { allCases, type Case, type Content, type Verdict } from "./validate/table.ts";

const checkout = fileURLToPath(new URL("../..", import.meta.url));
const image = "localhost/pgo:latest";
const generator = "/usr/lib/systemd/system-generators/podman-system-generator";

/** As a pre-commit hook would: no network, nothing writable, no capability. */
function validate(host: TestHost, directory: string, ...words: readonly string[]): Promise<Result> {
  const confined = ["--network", "none", "--read-only", "--cap-drop", "all"];
  return host.exec(["podman", "run", "--rm", ...confined, "--volume", `${directory}:/repo:ro`, image, "validate", "/repo", ...words], {
    check: false,
  });
}

const good = {
  "shop/web.container": "[Container]\nImage=localhost/web:1\nNetwork=shop.network\n",
  "shop/shop.network": "[Network]\n",
  "docs/notes.txt": "words\n",
};

for (const user of ["root", "edge"] as const)
  test(`a repository is judged without a host, as ${user}`, { timeout: 600_000 }, async (t) => {
    const host = await TestHost.up(t, { user, pgo: true });
    const directory = `${host.home}/repo`;
    await place(t, host, directory, good);

    await t.test("what is right is exit code 0", async () => {
      const { code, stdout, stderr } = await validate(host, directory);
      assert.match(stdout, /^valid: 1 application, 2 units, 0 problems, 0 warnings \(judged by the generator of Podman \d+\.\d+\.\d+\)\n$/);
      assert.equal(stderr, "");
      assert.equal(code, 0);
    });

    await t.test("each fault is told with its file and line, one does not hide another, and it is exit code 3", async () => {
      await place(t, host, directory, {
        "torn/torn.container": "[Container]\nImage=localhost/web:1\nthis is no line of a quadlet\n",
        "key/key.container": "[Container]\nImage=localhost/web:1\nPublishPorts=80:80\n",
        "needy/needy.container": "[Container]\nImage=localhost/web:1\nNetwork=nowhere.network\n",
        "settings/web2.container": "[Container]\nImage=localhost/web:1\n",
        "settings/pgo.toml": '[health.web2]\nhtpp = { url = "http://127.0.0.1/" }\n',
        "late/late.container": "[Container]\nImage=nginx\n",
      });
      const { code, stdout } = await validate(host, directory);
      const lines = stdout.trimEnd().split("\n");
      assert.deepEqual(
        lines
          .slice(0, -1)
          .map((line) => line.replace(/(fully qualified image name).*/, "$1").replace(/(settings\/pgo.toml:2:1: error: ).*/, "$1")),
        [
          "key/key.container:3:1: error: unsupported key 'PublishPorts' in group 'Container' (did you mean PublishPort?)",
          'late/late.container: warning: specifies the image "nginx" which not a fully qualified image name',
          "needy/needy.container:3:1: error: requested Quadlet unit nowhere.network was not found",
          "settings/pgo.toml:2:1: error: ",
          "torn/torn.container:3: error: “this is no line of a quadlet” which is not a key-value pair, group, or comment",
        ],
      );
      assert.match(lines.at(-1) ?? "", /^not valid: 6 applications, 7 units, 4 problems, 1 warning /);
      assert.equal(code, 3);
    });

    await t.test("a GitHub workflow gets annotations without asking for them", async () => {
      const command = [
        "podman",
        "run",
        "--rm",
        "--env",
        "GITHUB_ACTIONS=true",
        "--volume",
        `${directory}:/repo:ro`,
        image,
        "validate",
        "/repo",
      ];
      const { code, stdout } = await host.exec(command, { check: false });
      assert.ok(
        stdout.includes("::error file=key/key.container,line=3,col=1,title=pgo%3A key/key.container%3A3::unsupported key 'PublishPorts'"),
        stdout,
      );
      assert.equal(code, 3);
    });

    await t.test("of a Git work tree what is ignored is not looked at, whoever owns it", async () => {
      await place(t, host, directory, { ".gitignore": "/torn\n/key\n/needy\n/settings\n/late\n" });
      await host.sh(`cd ${directory} && git init --quiet && git add . && chown -R 12345 .`, { user: "root" });
      const { code, stdout, stderr } = await validate(host, directory);
      assert.match(stdout, /^valid: 1 application, 2 units, /);
      assert.equal(`${String(code)} ${stderr}`, "0 ");
    });

    await t.test("warnings fail when asked to", async () => {
      await place(t, host, directory, { ".gitignore": "/torn\n/key\n/needy\n/settings\n" });
      assert.equal((await validate(host, directory)).code, 0);
      assert.equal((await validate(host, directory, "--strict")).code, 3);
    });

    await t.test("what can't be judged is exit code 2, with the reason", async () => {
      const cases: readonly (readonly [words: readonly string[], reason: RegExp])[] = [
        [["--path", "nowhere"], /^pgo: \/repo\/nowhere is not there\n$/],
        [["--path", "docs"], /^pgo: \/repo holds no application: no directory below docs has a quadlet/],
        [["--generator", "/nowhere"], /^pgo: there is no quadlet generator at \/nowhere: install podman/],
        [["--generator", "/usr/bin/env"], /^pgo: \/usr\/bin\/env is no quadlet generator/],
        [["--source", "../x"], /^pgo: --source: /],
        [["--format", "xml"], /Allowed choices are text, json, sarif, github/],
      ];
      for (const [words, reason] of cases) {
        const { code, stdout, stderr } = await validate(host, directory, ...words);
        assert.match(stderr, reason);
        assert.equal(`${String(code)} ${stdout}`, "2 ", words.join(" "));
      }
    });
  });

test("for files of all kinds, pgo validate, the live pgo and the live generator say the same", { timeout: 600_000 }, async (t) => {
  const cases = allCases();
  assert.ok(cases.length >= 150);
  const host = await TestHost.up(t, { pgo: true });
  await place(
    t,
    host,
    "/opt/table",
    Object.fromEntries(cases.flatMap(({ name, files }) => Object.entries(files).map(([path, content]) => [`${name}/${path}`, content]))),
  );
  const version = (await host.sh(`${generator} --version`)).trim();

  const { code, stdout, stderr } = await validate(host, "/opt/table", "--json");
  assert.equal(code, 3, stderr);
  const report = JSON.parse(stdout) as ValidationReport;
  const told = new Map(report.applications.map((one) => [one.name, one]));
  const verdictOf = ({ name }: Case): Verdict => {
    const one = told.get(name);
    assert.ok(one, `nothing is said of ${name}`);
    return one.problems.length === 0 && one.blocked === null ? "valid" : "invalid";
  };
  const sayingOf = ({ name }: Case): string =>
    [...(told.get(name)?.problems ?? []), ...(told.get(name)?.warnings ?? [])]
      .map(({ file, line, message }) => `${file}:${String(line)}: ${message}`)
      .join("\n");

  await t.test("the table says what the live generator says of each file alone", async () => {
    const alone = await generatorAlone(host, cases);
    const shown = cases.map((one) => `${one.what}: ${verdictIn(version, one)}`);
    assert.deepEqual(
      cases.map((one) => `${one.what}: ${alone.get(one.name) ?? "nothing"}`),
      shown,
    );
  });

  await t.test("the live pgo judges alike", async () => {
    const live = await livePgo(t, host);
    assert.deepEqual(
      cases.map((one) => `${one.what}: ${live[one.name] ?? "nothing"}`),
      cases.map((one) => `${one.what}: ${verdictOf(one)}`),
    );
  });

  // What a version of pgo does not place yet, it refuses whatever the generator thinks of it.
  const handled = cases.filter((one) => !sayingOf(one).includes("not handled by this version"));
  await t.test("pgo goes by the generator, and where it is stricter it means to be", () => {
    assert.deepEqual(
      handled.map((one) => `${one.what}: ${verdictOf(one)}`),
      handled.map((one) => `${one.what}: ${one.pgo ?? verdictIn(version, one)}`),
    );
  });

  await t.test("and says why, with the file", () => {
    for (const one of handled) {
      if (one.says !== undefined && one.since === undefined) assert.ok(sayingOf(one).includes(one.says), `${one.what}: ${sayingOf(one)}`);
      if (verdictOf(one) === "invalid")
        for (const { file } of told.get(one.name)?.problems ?? [])
          assert.ok(Object.keys(one.files).includes(file.slice(one.name.length + 1)), file);
    }
  });
});

/** What the table says for a generator of this version. */
function verdictIn(version: string, { verdict, since }: Case): Verdict {
  const number = (text: string) =>
    text
      .split(".")
      .slice(0, 2)
      .reduce((sum, part) => sum * 1000 + Number(part), 0);
  return since !== undefined && number(version) < number(since) ? "invalid" : verdict;
}

/** Each case by itself; by the words that refuse, or by the services that don't come of it. */
async function generatorAlone(host: TestHost, cases: readonly Case[]): Promise<ReadonlyMap<string, Verdict>> {
  const script = `
    for directory in /opt/table/*; do
      printf '\\n=== %s\\n' "\${directory##*/}"
      QUADLET_UNIT_DIRS=$directory ${generator} --dryrun 2>&1 || true
    done`;
  const said = new Map(
    (await host.sh(script))
      .split("\n=== ")
      .map((text): [string, string] => [text.slice(0, text.indexOf("\n")), text.slice(text.indexOf("\n"))]),
  );
  return new Map(
    cases.map(({ name, services }) => {
      const text = said.get(name) ?? "";
      const made = [...text.matchAll(/^---\S+---$/gm)].length;
      return [name, /error loading "|converting "/.test(text) || made < services ? "invalid" : "valid"];
    }),
  );
}

/** In a container as pgo's own quadlet has it, with the sources of this checkout. */
async function livePgo(t: TestContext, host: TestHost): Promise<Readonly<Record<string, Verdict>>> {
  const bundle = await mkdtemp(join(tmpdir(), "pgo-judge-"));
  t.after(() => rm(bundle, { recursive: true, force: true }));
  for (const path of ["src", "package.json", "test/e2e/inside/judge.ts", "test/core/renderings.ts", "test/e2e/validate"])
    await cp(join(checkout, path), join(bundle, path), { recursive: true });
  await symlink("/app/node_modules", join(bundle, "node_modules"));
  await host.copy(bundle, "/opt/pgo");
  const places = ["/etc/containers/systemd", "/var/lib/pgo"];
  await host.exec(["mkdir", "-p", ...places]);
  const volumes = [...places, "/run/dbus", "/opt/pgo"].flatMap((path) => ["--volume", `${path}:${path}`]);
  const command = [
    "podman",
    "run",
    "--rm",
    "--network",
    "host",
    ...volumes,
    "--entrypoint",
    "node",
    image,
    "/opt/pgo/test/e2e/inside/judge.ts",
  ];
  return JSON.parse((await host.exec(command)).stdout) as Readonly<Record<string, Verdict>>;
}

/** Files and symbolic links on the host, beside what is there. */
async function place(t: TestContext, host: TestHost, directory: string, files: Readonly<Record<string, Content>>): Promise<void> {
  const made = await mkdtemp(join(tmpdir(), "pgo-files-"));
  t.after(() => rm(made, { recursive: true, force: true }));
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(made, path)), { recursive: true });
    if (typeof content === "string") await writeFile(join(made, path), content);
    else await symlink(content.symlink, join(made, path));
  }
  await chmod(made, 0o755);
  await host.copy(made, directory);
}

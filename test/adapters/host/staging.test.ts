/** Staged files together or apart: the same words come back. The generator itself is in test/e2e/host-adapter.test.ts. */

import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { test, type TestContext } from "node:test";

import { openGenerator } from "../../../src/adapters/host/generator.ts";
import type { Ran, Run } from "../../../src/adapters/host/run.ts";
import { together, type Staged } from "../../../src/adapters/host/staging.ts";
import { fileDigest } from "../../../src/core/files.ts";
import { applicationId, applicationName, relativePath, sourceName } from "../../../src/core/names.ts";

const root = "/var/lib/pgo.d/staging/1a/1/pgo";
const never = new AbortController().signal;

function staged(applications: Readonly<Record<string, readonly string[]>>): Staged {
  return new Map(
    Object.entries(applications).map(([name, paths]) => [
      applicationId(sourceName("fleet"), applicationName(name)),
      paths.map((path) => {
        const content = Buffer.from(path);
        return { path: relativePath(path), mode: 0o644, content, digest: fileDigest(0o644, content) };
      }),
    ]),
  );
}

function told(output: string, applications: Readonly<Record<string, readonly string[]>>): string | undefined {
  return together(staged(applications))?.told(output, root);
}

const fleet = {
  shop: ["web.container", "web.container.d/10-env.conf", "site/index.html"],
  blog: ["deep/down/blog.container", "data.volume"],
};

test("together, quadlets lie in one directory and drop-ins beside them, without assets", () => {
  const paths = [...(together(staged(fleet))?.files.keys() ?? [])];
  assert.deepEqual(paths, ["web.container", "web.container.d/10-env.conf", "blog.container", "data.volume"]);
});

for (const [what, applications] of [
  ["quadlets of one name", { shop: ["web.container"], blog: ["deep/web.container"] }],
  ["drop-ins of one unit and name", { shop: ["web.container.d/10.conf"], blog: ["web.container.d/10.conf"] }],
  ["drop-ins for all containers", { shop: ["container.d/10.conf"], blog: ["container.d/10.conf"] }],
] as const)
  test(`two ${what} can't lie together`, () => {
    assert.equal(together(staged(applications)), undefined);
  });

test("a unit's paths are told as those of its own directory, and no other unit's", () => {
  const unit = (name: string, path: string, directory: string) =>
    `---${name}.service---\n[Service]\nWorkingDirectory=${directory}\nExecStart=podman run -v ${directory}/conf:/conf -v ${directory}:/all x\n\n[Unit]\nSourcePath=${path}\n\n`;
  const elsewhere = unit("pgo", `${root}-self/pgo.container`, `${root}-self`);
  const output = unit("web", `${root}/web.container`, root) + elsewhere + unit("blog", `${root}/blog.container`, root);
  const expected =
    unit("web", `${root}/fleet/shop/web.container`, `${root}/fleet/shop`) +
    elsewhere +
    unit("blog", `${root}/fleet/blog/deep/down/blog.container`, `${root}/fleet/blog/deep/down`);
  assert.equal(told(output, fleet), expected);
});

test("each message is told of the file's own path", () => {
  const lines = (paths: readonly string[]) =>
    [
      `quadlet-generator[7]: Loading source unit file ${paths[0] ?? ""}`,
      `quadlet-generator[7]: Loading source drop-in file ${paths[1] ?? ""}`,
      `converting "blog.container": unsupported key 'X' in group 'Container' in ${paths[2] ?? ""}`,
      `"${paths[3] ?? ""}": odd words`,
      `Warning: web.container specifies the image "x"`,
    ].join("\n");
  const flat = ["web.container", "web.container.d/10-env.conf", "blog.container", "data.volume"];
  const own = ["shop/web.container", "shop/web.container.d/10-env.conf", "blog/deep/down/blog.container", "blog/data.volume"];
  assert.equal(told(lines(flat.map((path) => `${root}/${path}`)), fleet), lines(own.map((path) => `${root}/fleet/${path}`)));
});

/** The directories that staged files lay in, one line for each run; `answer` as the generator would. */
async function runs(t: TestContext, applications: Parameters<typeof staged>[0], answer: (pgo: string) => string) {
  const base = await mkdtemp(join(tmpdir(), "pgo-staging-"));
  t.after(() => rm(base, { recursive: true }));
  const seen: string[] = [];
  const run: Run = async (_argv, { environment }): Promise<Ran> => {
    const [directory = ""] = (environment?.["QUADLET_UNIT_DIRS"] ?? "").split(":");
    const pgo = join(directory, "pgo");
    const files = (await readdir(pgo, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    seen.push([...new Set(files.map(({ parentPath }) => relative(pgo, parentPath)))].sort().join(" "));
    return { code: 0, stdout: "", stderr: seen.length === 1 ? answer(pgo) : "" };
  };
  const options = { searchPath: [base], quadletDirectory: join(base, "pgo"), mode: "rootful" as const, generator: undefined };
  await openGenerator(options, join(base, "state"), run).dryRun(staged(applications), new Set(), never);
  return seen;
}

test("one run is enough, but where a staged file can't be parsed they are run apart", async (t) => {
  assert.deepEqual(await runs(t, fleet, () => `error loading "/etc/containers/systemd/foreign.container"`), [" web.container.d"]);
  const apart = "fleet/blog fleet/blog/deep/down fleet/shop fleet/shop/web.container.d";
  assert.deepEqual(await runs(t, fleet, (pgo) => `error loading "${pgo}/data.volume", path:1`), [" web.container.d", apart]);
});

test("what can't lie together is run apart at once", async (t) => {
  const twins = { shop: ["web.container"], blog: ["web.container"] };
  assert.deepEqual(await runs(t, twins, () => ""), ["fleet/blog fleet/shop"]);
});

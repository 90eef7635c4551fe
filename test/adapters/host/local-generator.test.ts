/** A generator as a child process: a shell script stands for it here, the real one is in test/e2e/validate.test.ts. */

import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

import { openLocalGenerator } from "../../../src/adapters/host/local-generator.ts";
import type { BundleFile } from "../../../src/core/bundle.ts";
import { fileDigest } from "../../../src/core/files.ts";
import { applicationId, applicationName, relativePath, sourceName } from "../../../src/core/names.ts";

const never = new AbortController().signal;
const shop = applicationId(sourceName("fleet"), applicationName("shop"));

async function script(t: TestContext, text: string, mode = 0o755): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "pgo-generator-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "quadlet");
  await writeFile(path, `#!/bin/sh\n[ "$1" != --version ] || { echo 5.4.2; exit; }\n${text}\n`);
  await chmod(path, mode);
  return path;
}

function file(path: string, text: string): BundleFile {
  const content = Buffer.from(text);
  return { path: relativePath(path), mode: 0o644, content, digest: fileDigest(0o644, content) };
}

async function opened(generator: string, mode: "rootful" | "rootless" = "rootful") {
  const found = await openLocalGenerator({ mode, generator }, never);
  assert.ok(found.ok, JSON.stringify(found));
  return found.value;
}

test("it is asked over the quadlets alone, with nothing of this process's environment, and leaves nothing", async (t) => {
  const generator = await script(
    t,
    'echo "$*"; env | grep -v "^\\(PWD\\|SHLVL\\|_\\)=" | cut -d= -f1; cd "$QUADLET_UNIT_DIRS" && find . -type f; pwd >&2; exit 1',
  );
  const before = await readdir(tmpdir());
  for (const [mode, words] of [
    ["rootful", "--dryrun"],
    ["rootless", "--user --dryrun"],
  ] as const) {
    await using one = await opened(generator, mode);
    const files = [file("web.container", "x"), file("conf/site.conf", "x")];
    const { stdout, stderr, root } = await one.dryRun(new Map([[shop, files]]), new Set(), never);
    assert.deepEqual(stdout.trimEnd().split("\n"), [words, "QUADLET_UNIT_DIRS", "./web.container"]);
    assert.equal(stderr.trim(), root);
    assert.equal(one.version, "5.4.2");
  }
  const left = (await readdir(tmpdir())).filter((name) => name.startsWith("pgo-validate-") && !before.includes(name));
  assert.deepEqual(left, []);
});

test("where there is none, or none that can be run, the trouble says so", async (t) => {
  const trouble = async (generator: string) => {
    const found = await openLocalGenerator({ mode: "rootful", generator }, never);
    return found.ok ? "" : found.trouble;
  };
  assert.match(await trouble("/nowhere/quadlet"), /^there is no quadlet generator at \/nowhere\/quadlet: install podman, or name/);
  const elsewhere = await script(t, "");
  await writeFile(elsewhere, "#!/nowhere/sh\n");
  assert.match(await trouble(elsewhere), /can't be run: run .*quadlet: spawn /);
  await writeFile(elsewhere, "#!/bin/sh\necho hello\n");
  assert.equal(await trouble(elsewhere), `${elsewhere} is no quadlet generator: --version says "hello"`);
});

test("one that is waited for ends with the signal", async (t) => {
  await using one = await opened(await script(t, "exec sleep 60"));
  const stop = new AbortController();
  const run = one.dryRun(new Map(), new Set(), stop.signal);
  stop.abort(new Error("enough"));
  await assert.rejects(run, ({ cause }: Error) => String(cause).includes("enough"));
});

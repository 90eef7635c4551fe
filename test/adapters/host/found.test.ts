/** What lies on the host of a source's applications, read with its content. */

import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";

import { openFound } from "../../../src/adapters/host/found.ts";
import { sourceName } from "../../../src/core/names.ts";

const never = new AbortController().signal;

test("units, env files and what Git names are read; data, links and other sources are not", async (t) => {
  const base = await mkdtemp(join(tmpdir(), "pgo-found-"));
  t.after(() => rm(base, { recursive: true }));
  const put = async (path: string, mode = 0o644) => {
    await mkdir(dirname(join(base, path)), { recursive: true });
    await writeFile(join(base, path), path);
    await chmod(join(base, path), mode);
  };
  await put("pgo/fleet/shop/web.container");
  await put("pgo/fleet/shop/deep/web.container.d/10.conf");
  await put("pgo/fleet/shop/conf/site.conf", 0o755);
  await put("pgo/fleet/shop/data/orders.db");
  await put("pgo/fleet/shop/.pgo-0123456789abcdef01234567.tmp");
  await put("pgo/other/blog/blog.container");
  await put("pgo/fleet/stray.container");
  await put("state/env/fleet/shop/web.service/web.env", 0o600);
  await symlink(join(base, "pgo/other/blog"), join(base, "pgo/fleet/shop/linked"));
  await symlink(join(base, "pgo/other/blog/blog.container"), join(base, "pgo/fleet/shop/blog.container"));
  const { found } = openFound({ quadletDirectory: join(base, "pgo"), stateDirectory: join(base, "state") });
  const seen = await found(sourceName("fleet"), (_application, path) => path === "conf/site.conf", never);
  assert.deepEqual(
    [...seen].map(([application, files]) => [
      application,
      [...files].map(([path, { mode, content }]) => [path, mode.toString(8), Buffer.from(content).toString()]).sort(),
    ]),
    [
      [
        "fleet/shop",
        [
          ["//env/web.service/web.env", "600", "state/env/fleet/shop/web.service/web.env"],
          ["conf/site.conf", "755", "pgo/fleet/shop/conf/site.conf"],
          ["deep/web.container.d/10.conf", "644", "pgo/fleet/shop/deep/web.container.d/10.conf"],
          ["web.container", "644", "pgo/fleet/shop/web.container"],
        ],
      ],
    ],
  );
  assert.deepEqual([...(await found(sourceName("nobody"), () => true, never))], []);
});

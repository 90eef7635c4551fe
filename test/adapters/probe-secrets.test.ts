/** What a header of a probe gets for the secret that it names. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { openProbeSecrets } from "../../src/adapters/probes/secrets.ts";
import { digestOf } from "../../src/core/names.ts";
import { success, trouble } from "../../src/core/result.ts";
import type { Secrets } from "../../src/ports.ts";

const secrets: Secrets = {
  snapshot: () =>
    Promise.resolve({ values: new Map([["SHOP_TOKEN", "shop's"]]), problems: [], warnings: [], fingerprint: digestOf("values") }),
  fingerprint: () => Promise.resolve(digestOf("values")),
};
const read = () => Promise.resolve(success("of a file"));
const signal = new AbortController().signal;

test("the first of the names that has a value", async () => {
  const ask = openProbeSecrets({ secrets, read, missing: "error" });
  assert.deepEqual(await ask({ names: ["WEB_TOKEN", "SHOP_TOKEN", "TOKEN"] }, signal), success("shop's"));
  assert.deepEqual(await ask({ file: "/etc/token" }, signal), success("of a file"));
});

test("without a value the probe can't ask, unless [secrets] missing lets what is nowhere be empty", async () => {
  const ask = (missing: "error" | "warn" | "empty") => openProbeSecrets({ secrets, read, missing })({ names: ["TOKEN"] }, signal);
  assert.deepEqual(await ask("error"), trouble("secret TOKEN is nowhere on this host: set it with ctl secret set TOKEN"));
  assert.deepEqual([await ask("warn"), await ask("empty")], [success(""), success("")]);
});

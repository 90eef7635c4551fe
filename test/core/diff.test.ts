/** What a plan shows of the files that it changes: texts as diffs, and of env files only that they differ. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { diffOf } from "../../src/core/diff.ts";
import { bundleOf, World } from "./model.ts";

const files = {
  "web.container": "[Container]\nImage=localhost/web:1\nEnvironmentFile=web.env\n",
  "web.env": "PASSWORD=old-value\n",
  "conf/a": "blue\n",
};

function diff(before: Readonly<Record<string, string>> | undefined, after: Readonly<Record<string, string>> | undefined): string {
  const world = new World();
  const live = before === undefined ? undefined : bundleOf(before);
  if (live !== undefined) world.pass(live);
  return diffOf(world.pass(after === undefined ? undefined : bundleOf(after)), live);
}

test("a changed text is shown as a unified diff", () => {
  const shown = diff(files, { ...files, "conf/a": "red\n", "web.container": files["web.container"].replace(":1", ":2") });
  for (const line of ["--- a/conf/a", "+++ b/conf/a", "-blue", "+red", "-Image=localhost/web:1", "+Image=localhost/web:2"])
    assert.ok(shown.includes(line), shown);
});

for (const [what, before, after, said] of [
  ["differs", files, { ...files, "web.env": "PASSWORD=new-value\n" }, "Values of web.env differ, and are not shown\n"],
  ["is new", undefined, files, "Values of web.env are new, and are not shown\n"],
  ["goes", files, undefined, "Values of web.env go away, and are not shown\n"],
] as const)
  test(`of an env file that ${what} no value is shown`, () => {
    const shown = diff(before, after);
    assert.ok(shown.includes(said), shown);
    assert.doesNotMatch(shown, /-value/);
  });

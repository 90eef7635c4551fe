/** What a person is told of a key or a kind that is newer than the Podman at hand. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { tooOldFor, tooOldForKind } from "../../src/core/podman-versions.ts";

test("a key needs the Podman that brought it, in its section", () => {
  const table: readonly (readonly [section: string, key: string, podman: string, since: string | undefined])[] = [
    ["Container", "AppArmor", "5.7.1", "5.8"],
    ["Container", "AppArmor", "5.8.0", undefined],
    ["Container", "HttpProxy", "5.4.2", "5.7"],
    ["Container", "ReloadSignal", "5.4.2", "5.5"],
    ["Container", "StopTimeout", "5.4.2", undefined],
    ["Pod", "StopTimeout", "5.4.2", "5.7"],
    ["Network", "InterfaceName", "5.5.2", "5.6"],
    ["Volume", "ServiceName", "5.2.5", "5.3"],
    ["Container", "Image", "4.4.0", undefined],
    ["Container", "Memory", "unknown", undefined],
  ];
  for (const [section, key, podman, since] of table)
    assert.equal(
      tooOldFor({ section, key }, podman),
      since === undefined ? undefined : `needs Podman ${since}, and here it is ${podman}`,
      `[${section}] ${key}= on ${podman}`,
    );
});

test("so does a kind", () => {
  assert.equal(tooOldForKind("Artifact", "5.6.2"), "needs Podman 5.7, and here it is 5.6.2");
  assert.equal(tooOldForKind("Build", "5.1.0"), "needs Podman 5.2, and here it is 5.1.0");
  assert.deepEqual(
    [tooOldForKind("Artifact", "5.7.0"), tooOldForKind("Build", "5.2.0"), tooOldForKind("Pod", "5.0.0"), tooOldForKind("Network", "5.0.0")],
    [undefined, undefined, undefined, undefined],
  );
});

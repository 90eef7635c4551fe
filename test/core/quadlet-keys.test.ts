/** What is added to the generator's own words. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { adviseOn } from "../../src/core/quadlet-keys.ts";

const text = "[Unit]\nDescription=Web\n\n[Container]\nImage=web\n  PublishPorts=80:80\nMemory=1g\nUtterly=strange\n";
const told = (said: string, podman?: string) => {
  const { entry, message } = adviseOn(said, text, podman);
  return { line: entry?.line, column: entry?.column, message };
};
const unsupported = (key: string) => `unsupported key '${key}' in group 'Container'`;
const about = (key: string, podman?: string) => told(unsupported(key), podman);

test("a misspelt key is found in the file, and what was meant is guessed", () => {
  assert.deepEqual(about("PublishPorts"), { line: 6, column: 3, message: `${unsupported("PublishPorts")} (did you mean PublishPort?)` });
});

test("a key that only a newer Podman takes is not taken for a misspelt one", () => {
  const place = { line: 7, column: 1 };
  const lack = `needs Podman 5.5, and here it is 5.4.2: ${unsupported("Memory")}`;
  assert.deepEqual(about("Memory", "5.4.2"), { ...place, message: lack });
  // Nobody knows the version, or it should know the key.
  const newer = `${unsupported("Memory")} (a newer Podman knows it, this one does not)`;
  for (const podman of [undefined, "0", "5.5.1", "5.10.0", "6.0.0-rc1"])
    assert.deepEqual(about("Memory", podman), { ...place, message: newer });
});

test("the line that names a missing unit is found, as a value or as a part of one", () => {
  const units =
    "[Unit]\nAfter=db.container cache.container\n[Container]\nNetwork=app.network:ip=10.0.0.2\nMount=type=volume,source=app.volume,dst=/x\n";
  const lineOf = (unit: string) => adviseOn(`requested Quadlet unit ${unit} was not found`, units, undefined).entry?.line;
  assert.deepEqual(["cache.container", "app.network", "app.volume", "p.network"].map(lineOf), [2, 4, 5, undefined]);
  assert.equal(adviseOn("quadlet pod unit web.pod does not exist", "[Container]\nImage=web\nPod=web.pod\n", undefined).entry?.line, 3);
  assert.equal(adviseOn("cannot get the resource name of app.network", units, undefined).entry?.line, 4);
});

test("nothing is guessed of a key that is like no other, nor of a message about something else", () => {
  assert.deepEqual(about("Utterly"), { line: 8, column: 1, message: unsupported("Utterly") });
  assert.deepEqual(told("no Image or Rootfs key specified"), {
    line: undefined,
    column: undefined,
    message: "no Image or Rootfs key specified",
  });
});

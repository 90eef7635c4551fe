/** What is added to the generator's own words. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { adviseOn } from "../../src/core/quadlet-keys.ts";

const text = "[Unit]\nDescription=Web\n\n[Container]\nImage=web\n  PublishPorts=80:80\nMemory=1g\nUtterly=strange\n";
const told = (message: string, of = text) => {
  const { entry, advice } = adviseOn(message, of);
  return { line: entry?.line, column: entry?.column, advice };
};
const about = (key: string) => told(`unsupported key '${key}' in group 'Container'`);

test("a misspelt key is found in the file, and what was meant is guessed", () => {
  assert.deepEqual(about("PublishPorts"), { line: 6, column: 3, advice: " (did you mean PublishPort?)" });
});

test("a key that only a newer Podman takes is not taken for a misspelt one", () => {
  assert.deepEqual(about("Memory"), { line: 7, column: 1, advice: " (a newer Podman knows it, this one does not)" });
});

test("the line that names a missing unit is found, as a value or as a part of one", () => {
  const units =
    "[Unit]\nAfter=db.container cache.container\n[Container]\nNetwork=app.network:ip=10.0.0.2\nMount=type=volume,source=app.volume,dst=/x\n";
  const lineOf = (unit: string) => adviseOn(`requested Quadlet unit ${unit} was not found`, units).entry?.line;
  assert.deepEqual(["cache.container", "app.network", "app.volume", "p.network"].map(lineOf), [2, 4, 5, undefined]);
  assert.equal(adviseOn("quadlet pod unit web.pod does not exist", "[Container]\nImage=web\nPod=web.pod\n").entry?.line, 3);
  assert.equal(adviseOn("cannot get the resource name of app.network", units).entry?.line, 4);
});

test("nothing is guessed of a key that is like no other, nor of a message about something else", () => {
  assert.deepEqual(about("Utterly"), { line: 8, column: 1, advice: "" });
  assert.deepEqual(told("no Image or Rootfs key specified"), { line: undefined, column: undefined, advice: "" });
});

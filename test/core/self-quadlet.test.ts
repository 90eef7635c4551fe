/** pgo's own quadlet, made from those that the image carries. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";

import { selfQuadlet, type SelfQuadlet } from "../../src/core/self-quadlet.ts";
import { parseUnit, values } from "../../src/core/unit-text.ts";

const carried = (name: string) => readFileSync(new URL(`../../quadlet/${name}`, import.meta.url), "utf8");
const rootful: SelfQuadlet = { image: "localhost/pgo:2", directories: [], specifiers: undefined };

function made(name: string, changes: Partial<SelfQuadlet>) {
  const entries = parseUnit(selfQuadlet(carried(name), { ...rootful, ...changes }));
  return (key: string) => values(entries, "Container", key).map(({ value }) => value);
}

suite("rootful", () => {
  const before = parseUnit(carried("pgo.container"));
  const mounts = values(before, "Container", "Volume").map(({ value }) => value);

  test("the image is put in, all else stays", () => {
    const text = selfQuadlet(carried("pgo.container"), rootful);
    assert.equal(text, carried("pgo.container").replace(/^Image=.*$/m, "Image=localhost/pgo:2"));
  });

  test("a directory that a mount covers gets none of its own, another gets one, each once", () => {
    const volume = made("pgo.container", {
      directories: ["/var/lib/pgo", "/var/lib/pgo/git", "/etc/containers/systemd/pgo", "/srv/pgo", "/srv/pgo", "/var/lib/pgo2"],
    })("Volume");
    assert.deepEqual(volume, [...mounts, "/srv/pgo:/srv/pgo", "/var/lib/pgo2:/var/lib/pgo2"]);
  });
});

suite("rootless", () => {
  test("what the user's home and runtime directory cover is mounted already", () => {
    const specifiers = { home: "/home/edge", runtime: "/run/user/1000" };
    const mounts = made("pgo-rootless.container", { specifiers })("Volume");
    const more = made("pgo-rootless.container", {
      specifiers,
      directories: ["/home/edge/.local/share/pgo", "/home/edge/.config/containers/systemd/pgo", "/run/user/1000/podman", "/data/pgo"],
    })("Volume");
    assert.deepEqual(more, [...mounts, "/data/pgo:/data/pgo"]);
  });
});

/** What a quadlet says: its service, its object, what it names and which files it is made of. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { isQuadlet, kindOf, type UnitKind } from "../../src/core/kinds.ts";
import { NameError, unitName } from "../../src/core/names.ts";
import { isInert, unitFacts, type UnitFacts } from "../../src/core/quadlet.ts";
import { parseUnit } from "../../src/core/unit-text.ts";

function facts(name: string, text: string): UnitFacts {
  const kind = name.slice(name.lastIndexOf(".") + 1) as UnitKind;
  return unitFacts(unitName(name), kind, parseUnit(text));
}

const container = (keys: string) => facts("web.container", `[Container]\nImage=localhost/web:1\n${keys}`);

suite("which service and which Podman object come of a quadlet", () => {
  for (const [name, text, service, object] of [
    ["web.container", "[Container]\n", "web.service", "systemd-web"],
    ["app.network", "[Network]\n", "app-network.service", "systemd-app"],
    ["data.volume", "[Volume]\n", "data-volume.service", "systemd-data"],
    ["web.container", "[Container]\nContainerName=shop\nServiceName=front\n", "front.service", "shop"],
    ["app.network", "[Network]\nNetworkName=inner\nServiceName=net\n", "net.service", "inner"],
    ["data.volume", "[Volume]\nVolumeName=files\n", "data-volume.service", "files"],
    ["a.b.container", "[Container]\n", "a.b.service", "systemd-a.b"],
  ] as const)
    test(`${name} with ${JSON.stringify(text)}: ${service}, ${object}`, () => {
      const found = facts(name, text);
      assert.deepEqual([found.service, found.object], [service, object]);
    });

  test("a key counts in its own section only", () => {
    assert.equal(facts("web.container", "[Network]\nServiceName=x\n[Container]\n").service, "web.service");
  });

  test("a service name that systemd would not take is refused", () => {
    assert.throws(() => container("ServiceName=a b\n"), NameError);
  });
});

suite("which other units a quadlet names", () => {
  for (const [keys, uses] of [
    ["Network=app.network\n", ["app.network"]],
    ["Network=app.network:ip=10.0.0.2\nNetwork=host\n", ["app.network"]],
    ["Network=other.container\n", ["other.container"]],
    ["Volume=data.volume:/data:Z\nVolume=/srv:/srv\nVolume=./conf.volume/x:/x\n", ["data.volume"]],
    ["Mount=type=volume,source=data.volume,destination=/data\n", ["data.volume"]],
    ["Mount=type=volume, src=data.volume ,dst=/data\n", ["data.volume"]],
    ["Pod=shop.pod\n", ["shop.pod"]],
    ["Network=a.network\nNetwork=\nNetwork=b.network\n", ["b.network"]],
    ["[Unit]\nAfter=db.container app.network\nRequires=db.container\n", ["db.container", "app.network"]],
    ["[Unit]\nAfter=%N.container\n", []],
  ] as const)
    test(JSON.stringify(keys), () => {
      assert.deepEqual([...container(keys).uses].sort(), [...uses].sort());
    });

  test("services that it comes after or needs are kept by name, each once", () => {
    const { after } = container("[Unit]\nAfter=db.service network-online.target\nRequires=db.service\nBindsTo=x.service\n");
    assert.deepEqual(after, ["db.service", "x.service"]);
  });

  test("an image that is itself a unit is a use, not an image to pull", () => {
    const found = facts("web.container", "[Container]\nImage=web.image\n");
    assert.deepEqual([found.image, found.uses], [undefined, ["web.image"]]);
  });

  test("only a container's image is pulled", () => {
    assert.equal(facts("data.volume", "[Volume]\nImage=localhost/x\nDriver=image\n").image, undefined);
    assert.equal(container("").image, "localhost/web:1");
  });
});

suite("which files a quadlet is made of", () => {
  for (const [keys, paths] of [
    ["EnvironmentFile=web.env\n", ["web.env"]],
    ["EnvironmentFile=-env/web.env\n", ["env/web.env"]],
    ["EnvironmentFile=/etc/web.env\n", ["/etc/web.env"]],
    ["EnvironmentFile=%h/web.env\n", []],
    ["Volume=./conf:/etc/web:ro\nVolume=../shared:/s\nVolume=/srv:/srv\nVolume=data.volume:/d\n", ["./conf", "../shared"]],
    ["Mount=type=bind,source=./conf,destination=/c\n", ["./conf"]],
    ["Volume=./a:/a\nVolume=./a:/b\n", ["./a"]],
  ] as const)
    test(JSON.stringify(keys), () => {
      assert.deepEqual(container(keys).paths, paths);
    });
});

test("a health command is one unless it is none", () => {
  assert.equal(container("HealthCmd=curl -f localhost\n").healthCmd, true);
  assert.equal(container("HealthCmd=none\n").healthCmd, false);
  assert.equal(container("HealthCmd=\n").healthCmd, false);
  assert.equal(container("").healthCmd, false);
});

test("a oneshot is one by its type", () => {
  assert.equal(container("[Service]\nType=oneshot\n").oneshot, true);
  assert.equal(container("").oneshot, false);
});

test("only [Install], [X-…] and descriptions change nothing in a running service", () => {
  const inert = (text: string) => parseUnit(text).map(isInert);
  assert.deepEqual(inert("[Install]\nWantedBy=a\n[X-Note]\nA=b\n[Unit]\nDescription=x\nDocumentation=y\n"), [true, true, true, true]);
  assert.deepEqual(inert("[Unit]\nAfter=a\n[Container]\nDescription=x\n[Service]\nRestart=always\n"), [false, false, false]);
});

test("a quadlet is known by its suffix, a file that is nothing but a suffix is none", () => {
  assert.equal(kindOf("a/web.container"), "container");
  assert.equal(kindOf("tick.timer"), "timer");
  assert.ok(isQuadlet("shop.quadlets") && kindOf("shop.quadlets") === undefined);
  for (const path of ["web.containers", ".container", "a/.network", "container", "web.container.d/x.conf", ""])
    assert.equal(kindOf(path), undefined, path);
});

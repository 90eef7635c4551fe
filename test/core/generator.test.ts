/** What the quadlet generator says, read from the real output of two Podman versions (generator-output/, made with QUADLET_UNIT_DIRS=/mnt/trial). */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";

import fc from "fast-check";

import { isLack, readGenerator } from "../../src/core/generator.ts";
import type { ServiceName } from "../../src/core/names.ts";

const output = (name: string) => readFileSync(new URL(`generator-output/${name}`, import.meta.url), "utf8");

const common = [
  "error /mnt/trial/pgo/fleet/dropin/garbled.container.d/10.conf:1: “garbage” which is not a key-value pair, group, or comment",
  "error /mnt/trial/pgo/fleet/unparsable/torn.container:3: “Publish” which is not a key-value pair, group, or comment",
  "error imageless.container: no Image or Rootfs key specified",
  "error lone.container: requested Quadlet unit shared.network was not found",
  "error odd.network: unsupported key 'Sub' in group 'Network'",
  "error unknown.container: unsupported key 'PublishPorts' in group 'Container'",
];
const needy = "error needy.container: unable to translate dependency for absent.container";
const short =
  'warning short.container: specifies the image "nginx" which not a fully qualified image name. This is not ideal for performance and security reasons. See the podman-pull manpage discussion of short-name-aliases.conf for details.';

for (const { version, errors, services } of [
  { version: "5.4", errors: common, services: ["app-network", "garbled", "needy", "short", "web"] },
  // Podman 5.8 looks at After= too, where 5.4 leaves an unknown quadlet's name as it is.
  { version: "5.8", errors: [...common, needy], services: ["app-network", "garbled", "short", "web"] },
])
  suite(`Podman ${version}`, () => {
    test("every complaint is found, with its file, its line and its words, and nothing is taken for one that is none", () => {
      const { findings, unread } = readGenerator(output(`trial-podman-${version}.out`), output(`trial-podman-${version}.err`));
      const told = findings.map(
        ({ severity, file, line, message }) => `${severity} ${file}${line === undefined ? "" : `:${line}`}: ${message}`,
      );
      assert.deepEqual(told.sort(), [...errors, short].sort());
      assert.deepEqual(unread, []);
    });

    test("the services are those that would come of it: none of a directory with an unparsable file, one of a quadlet whose drop-in is", () => {
      const report = readGenerator(output(`trial-podman-${version}.out`), output(`trial-podman-${version}.err`));
      assert.deepEqual(
        [...report.services].sort(),
        services.map((name) => `${name}.service`),
      );
    });

    test("each service names the quadlet that it would come of", () => {
      const { services, sources } = readGenerator(output(`trial-podman-${version}.out`), "");
      assert.deepEqual([...sources.keys()].sort(), [...services].sort());
      assert.deepEqual(sources.get("app-network.service" as ServiceName), ["/mnt/trial/pgo/fleet/good/app.network"]);
      assert.deepEqual(sources.get("web.service" as ServiceName), ["/mnt/trial/pgo/fleet/good/web.container"]);
    });

    test("a broken file alone is named, though nothing was parsed", () => {
      const { findings, services } = readGenerator("", output(`lone-podman-${version}.err`));
      assert.deepEqual(
        findings.map(({ file, line }) => ({ file, line })),
        [{ file: "/mnt/lone/pgo/fleet/only/torn.container", line: 1 }],
      );
      assert.equal(services.size, 0);
    });
  });

test("what no version is known to say is kept for the log and judges nothing", () => {
  const { findings, unread } = readGenerator("", "quadlet-generator[1]: the moon is full\n");
  assert.deepEqual(findings, []);
  assert.deepEqual(unread, ["the moon is full"]);
});

test("what may only be hidden by another unit's fault is told from a fault of its own", () => {
  const lack = (message: string) => isLack({ file: "web.container", line: undefined, message, severity: "error" });
  const lacks = [
    "requested Quadlet unit shared.network was not found",
    "requested Quadlet source data.volume was not found",
    "requested Quadlet image web.build was not found",
    "quadlet pod unit web.pod does not exist",
    "cannot get the resource name of shared.network",
    "unable to translate dependency for db.container",
  ];
  assert.deepEqual(lacks.filter(lack), lacks);
  assert.deepEqual(["no Image or Rootfs key specified", "pod web is not Quadlet based"].filter(lack), []);
});

test("whatever a generator prints, reading it never throws", () => {
  const piece = fc.oneof(
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.constantFrom("\n", "---", "error loading ", '"', "converting ", "Warning: ", "quadlet-generator[1]: ", ", file contains line 3: "),
  );
  const anything = fc.array(piece, { maxLength: 30 }).map((parts) => parts.join(""));
  fc.assert(
    fc.property(anything, anything, (stdout, stderr) => {
      for (const { line } of readGenerator(stdout, stderr).findings) assert.ok(line === undefined || line >= 0);
    }),
  );
});

/** Which names of images can move, how one is held by its digest, and when that is needed. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { assemble } from "../../src/core/assemble.ts";
import { differsByPins, hasRegistry, isFloating, keptName, movedTo, referenceOf, type Pin } from "../../src/core/images.ts";
import { applicationId, applicationName, relativePath, sourceName } from "../../src/core/names.ts";
import { nothingEncrypted, freshRendering } from "../../src/core/rendering.ts";
import { differences } from "../../src/core/starts.ts";

const digest = `sha256:${"ab".repeat(32)}`;
const id = "c".repeat(64);

for (const [name, floats] of [
  ["nginx", true],
  ["nginx:1.27", true],
  ["docker.io/library/nginx:latest", true],
  ["localhost/shop:1", true],
  ["127.0.0.1:5000/team/app:1", true],
  ["registry:5000/app", true],
  ["docker://docker.io/library/nginx", true],
  [`docker.io/library/nginx@${digest}`, false],
  [`docker.io/library/nginx:1@${digest}`, false],
  [id, false],
  ["web.image", false],
  ["web.build", false],
  ["docker-archive:/srv/web.tar", false],
  ["oci:/srv/web:1", false],
  ["dir:/srv/web", false],
  ["registry.example.com/%i:1", false],
  ["", false],
] as const)
  test(`"${name}" ${floats ? "can" : "can't"} stand for another image tomorrow`, () => {
    assert.equal(isFloating(name), floats);
  });

test("an image that is made on the host has no registry to be asked", () => {
  assert.equal(hasRegistry({ name: "localhost/shop:1" }), false);
  assert.equal(hasRegistry({ name: "registry.example.com/shop:1" }), true);
});

for (const [name, repoDigests, reference] of [
  ["docker.io/library/nginx:1", [`docker.io/library/nginx@${digest}`], `docker.io/library/nginx@${digest}`],
  // Podman's short names: registries.conf says which registry.
  ["nginx", [`quay.io/other@${digest}`, `docker.io/library/nginx@${digest}`], `docker.io/library/nginx@${digest}`],
  ["team/app:1", [`127.0.0.1:5000/team/app@${digest}`], `127.0.0.1:5000/team/app@${digest}`],
  ["127.0.0.1:5000/app:1", [], `127.0.0.1:5000/app@${digest}`],
  ["docker://quay.io/app", [`quay.io/app@${digest}`], `quay.io/app@${digest}`],
  [`quay.io/app@sha256:${"00".repeat(32)}`, [], `quay.io/app@${digest}`],
] as const)
  test(`${name} is named for good by ${reference.slice(0, 45)}…`, () => {
    assert.equal(referenceOf(name, { id, digest, repoDigests }), reference);
  });

test("an image that is held gets a name in its own repository, by which Podman finds it", () => {
  assert.deepEqual(keptName(`127.0.0.1:5000/team/app@${digest}`), { repository: "127.0.0.1:5000/team/app", tag: "pgo-abababababab" });
});

const now = { id: "new", digest, repoDigests: [] };
const one = { id: "old", reference: "x@sha256:0" };
for (const [what, asked, moves] of [
  ["what runs", { now: { ...now, id: "old" }, running: ["old"], tracked: undefined, tried: [] }, false],
  ["another one than what runs", { now, running: ["old"], tracked: undefined, tried: [] }, true],
  ["what it has moved to before", { now, running: ["old"], tracked: { ...one, id: "new" }, tried: [] }, false],
  ["what was tried and undone", { now, running: ["old"], tracked: undefined, tried: ["new"] }, false],
  [
    "still another one than what was undone",
    { now: { ...now, id: "newer" }, running: ["old"], tracked: now.id === "new" ? { ...one, id: "new" } : undefined, tried: ["new"] },
    true,
  ],
  [
    "what runs, after another one that failed",
    { now: { ...now, id: "old" }, running: ["old"], tracked: { ...one, id: "new" }, tried: ["new"] },
    true,
  ],
] as const)
  test(`a name that stands for ${what} ${moves ? "has moved" : "has not moved"}`, () => {
    assert.equal(movedTo("x:1", asked) !== undefined, moves);
  });

// ---- in a bundle ----

const application = applicationId(sourceName("fleet"), applicationName("shop"));
const facts = {
  PGO_HOSTNAME: "pi4",
  PGO_ARCH: "",
  PGO_OS: "",
  PGO_OS_VERSION: "",
  PGO_PODMAN_VERSION: "",
  PGO_MODE: "",
  PGO_SOURCE: "",
  PGO_APPLICATION: "",
};

function bundle(files: Readonly<Record<string, string>>, pins: Readonly<Record<string, Pin>> = {}) {
  const rendering = freshRendering({
    ...{ application: applicationName("shop"), facts, hostApplication: undefined, host: undefined },
    ...{ envDirectory: "/env", secrets: new Map<string, string>(), template: undefined, decrypted: nothingEncrypted, self: undefined },
  });
  const draft = {
    application,
    files: new Map(
      Object.entries(files).map(([path, text]) => [
        relativePath(path),
        { entry: { kind: "file" as const, executable: false, content: Buffer.from(text) }, origin: `shop/${path}` },
      ]),
    ),
    problems: [],
  };
  const made = assemble(draft, { ...rendering, pin: (path) => pins[path] });
  assert.ok(made.ok, made.ok ? "" : JSON.stringify(made.trouble));
  return made.value;
}

const moved: Pin = { reference: `quay.io/app@${digest}`, why: "moved" };
const textOf = (made: ReturnType<typeof bundle>, path: string) =>
  made.files.filter((file) => file.path === relativePath(path)).map(({ content }) => Buffer.from(content).toString())[0];

const inputsOf = ({ units }: ReturnType<typeof bundle>) => units.flatMap(({ inputs }) => inputs);

test("a pin is a drop-in of the unit, another bundle, and the reason for the restart in words", () => {
  const files = { "web.container": "[Container]\nImage=quay.io/app:1\nPull=always\n" };
  const [free, held] = [bundle(files), bundle(files, { "web.container": moved })];
  assert.equal(
    textOf(held, "web.container.d/zz-pgo-image.conf"),
    `# Written by pgo: quay.io/app:1 by its digest, see docs/images.md.\n[Container]\nImage=quay.io/app@${digest}\nPull=missing\n`,
  );
  assert.notEqual(held.digest, free.digest);
  assert.equal(held.units[0]?.image, `quay.io/app@${digest}`);
  assert.deepEqual(differences(inputsOf(free), inputsOf(held)), ["Image= quay.io/app:1 moved to sha256:abababababab…"]);
  assert.deepEqual(held.images, [{ ...free.images[0], pin: `quay.io/app@${digest}` }]);
  assert.equal(free.images[0]?.pullsAnew, true);
});

test("only more pins make two bundles differ by pins", () => {
  const files = { "web.container": "[Container]\nImage=quay.io/app:1\n" };
  const [free, held] = [bundle(files), bundle(files, { "web.container": moved })];
  const other = bundle({ ...files, "more.txt": "x" }, { "web.container": moved });
  assert.equal(differsByPins(free, held), true);
  assert.equal(differsByPins(held, free), false);
  assert.equal(differsByPins(held, held), false);
  assert.equal(differsByPins(free, other), false);
  assert.equal(differsByPins(undefined, held), false);
});

test("a pin comes behind the unit's own drop-ins, whatever they are called", () => {
  const files = {
    "web.container": "[Container]\nImage=quay.io/app:1\n",
    "web.container.d/zzz.conf": "[Container]\nImage=quay.io/app:2\n",
  };
  const held = bundle(files, { "web.container": moved });
  assert.equal(held.units[0]?.image, `quay.io/app@${digest}`);
  assert.equal(held.images[0]?.name, "quay.io/app:2");
  assert.ok(held.files.some(({ path }) => path === relativePath("web.container.d/zzz_pgo-image.conf")));
});

test("an .image unit is held for all that use it", () => {
  const files = { "app.image": "[Image]\nImage=quay.io/app:1\nAuthFile=/a.json\n", "web.container": "[Container]\nImage=app.image\n" };
  const held = bundle(files, { "app.image": moved });
  assert.equal(textOf(held, "app.image.d/zz-pgo-image.conf")?.split("\n").slice(1).join("\n"), `[Image]\nImage=quay.io/app@${digest}\n`);
  assert.deepEqual(
    held.images.map(({ path, services, authFile }) => [path as string, services as readonly string[], authFile]),
    [["app.image", ["web.service"], "/a.json"]],
  );
});

test("what is built, named by its digest, an archive, or a template is not held", () => {
  const made = bundle({
    "a.container": `[Container]\nImage=quay.io/app@${digest}\n`,
    "b.container": "[Container]\nImage=b.build\n",
    "b.build": "[Build]\nImageTag=localhost/b\nFile=./Containerfile\nSetWorkingDirectory=unit\n",
    Containerfile: "FROM scratch\n",
    "c.image": "[Image]\nImage=docker-archive:/srv/c.tar\nImageTag=localhost/c:1\n",
    "d@.container": "[Container]\nImage=quay.io/app:1\n",
  });
  assert.deepEqual(made.images, []);
});

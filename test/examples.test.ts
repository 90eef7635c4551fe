/** Every directory of examples/ is an application without a problem, and every host.toml there is a pgo.toml. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { hostConfig } from "../src/core/config.ts";
import { assemble } from "../src/core/assemble.ts";
import type { TreeEntry } from "../src/core/bundle.ts";
import { layout } from "../src/core/layout.ts";
import { partsOf, sourceName } from "../src/core/names.ts";
import { freshRendering, nothingEncrypted } from "../src/core/rendering.ts";
import { rendered } from "../src/core/template.ts";
import { readToml } from "../src/core/toml.ts";
import { placesOf } from "../src/places.ts";
import { noFacts } from "./core/renderings.ts";
import { textOf, tree } from "./e2e/tree.ts";

const files = tree(fileURLToPath(new URL("../examples", import.meta.url)));
const entries = new Map(
  Object.entries(files).map(([path, file]): [string, TreeEntry] =>
    typeof file === "object" && file !== null && "symlink" in file
      ? [path, { kind: "symlink", target: file.symlink }]
      : [path, { kind: "file", executable: false, content: Buffer.from(textOf(file)) }],
  ),
);

for (const paths of [["hello"], ["kinds"], ["features"], ["features/contained"], ["features/overlay/common", "features/overlay/hosts/pi4"]])
  test(`examples: ${paths.join(" and ")}`, () => {
    const drafts = layout(sourceName("examples"), paths, entries).filter(
      ({ application }) => !/\/(?:overlay|contained)$/.test(application),
    );
    assert.notEqual(drafts.length, 0);
    for (const draft of drafts) {
      const rendering = freshRendering({
        application: partsOf(draft.application).application,
        facts: { ...noFacts, PGO_HOSTNAME: "pi4", PGO_MODE: "rootful" },
        hostApplication: undefined,
        host: { TAG: "1.37" },
        envDirectory: "/var/lib/pgo/env",
        secrets: new Map(["DB_PASSWORD", "TOKEN"].map((name) => [name, "x"])),
        template: rendered,
        decrypted: nothingEncrypted,
        self: undefined,
      });
      const bundle = assemble(draft, rendering);
      assert.deepEqual(bundle.ok ? bundle.value.missing : bundle.trouble, [], draft.application);
      assert.deepEqual(bundle.ok ? bundle.value.warnings : [], [], draft.application);
    }
  });

for (const [path, file] of Object.entries(files).filter(([path]) => path.endsWith("/host.toml")))
  test(`examples: ${path}`, () => {
    const text = textOf(file);
    const source = text.includes("[[source]]") ? "" : '[[source]]\nname = "fleet"\nurl = "https://git.example.com/ops/fleet.git"\n';
    const { directories } = placesOf({}, 0);
    const read = readToml(source + text, path, hostConfig(directories));
    assert.ok(read.ok, JSON.stringify(read));
  });

/** Which images that pgo has pulled may go. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import type { KnownImage } from "../../src/core/images.ts";
import { fateOf, type Fate, type ImageSight, type PulledImage } from "../../src/core/superseded.ts";

const name = "quay.io/acme/web:1.4";
const image = (id: string, ...repoDigests: readonly string[]): KnownImage => ({ id, digest: `sha256:${id}`, repoDigests });
const old = image("old", "quay.io/acme/web@sha256:old");
const pulled: PulledImage = { name, id: "old", wasNeeded: true };
const there: ImageSight = { image: old, named: old, isUsed: false };
const moved: ImageSight = { image: image("old"), named: image("new"), isUsed: false };

suite("an image that pgo has pulled", () => {
  const table: readonly (readonly [string, PulledImage, { texts?: readonly string[]; ran?: readonly string[] }, ImageSight, Fate])[] = [
    ["goes when nothing needs it", pulled, {}, there, { do: "remove", image: name }],
    ["stays while a version names it", pulled, { texts: ["[Container]\nImage=quay.io/acme/web:1.4\n"] }, there, { do: "keep" }],
    ["stays while a version names it by its digest", pulled, { texts: ["Image=quay.io/acme/web@sha256:old"] }, there, { do: "keep" }],
    ["stays while another file mentions it", pulled, { texts: ["FROM quay.io/acme/web:1.4 AS base"] }, there, { do: "keep" }],
    ["stays while a version that ran it can be gone back to", pulled, { ran: ["old"] }, there, { do: "keep" }],
    ["stays while a container uses it", pulled, {}, { ...there, isUsed: true }, { do: "keep" }],
    ["stays when no version has needed it yet", { ...pulled, wasNeeded: false }, {}, there, { do: "keep" }],
    ["is known to have been needed once it is", { ...pulled, wasNeeded: false }, { texts: [name] }, there, { do: "note" }],
    ["is forgotten when it is gone", pulled, {}, { ...there, image: undefined }, { do: "forget" }],
    ["is forgotten when it is gone, though its name is there", pulled, { texts: [name] }, { ...moved, image: undefined }, { do: "forget" }],
    // Its name stands for another image now.
    ["goes by its id when its name has moved on", pulled, { texts: [name] }, moved, { do: "remove", image: "old" }],
    ["stays when its name has moved on and a version ran it", pulled, { texts: [name], ran: ["old"] }, moved, { do: "keep" }],
    ["stays when its name has moved on and it is held", pulled, { texts: ["Image=quay.io/acme/web@sha256:old"] }, moved, { do: "keep" }],
    ["stays when its name has moved on and it has another one", pulled, {}, { ...moved, image: old }, { do: "keep" }],
    ["stays when its name has moved on and a container uses it", pulled, {}, { ...moved, isUsed: true }, { do: "keep" }],
    ["goes by its id when its name is gone", pulled, {}, { ...moved, named: undefined }, { do: "remove", image: "old" }],
  ];
  for (const [what, one, { texts = [], ran = [] }, sight, expected] of table)
    test(what, () => {
      assert.deepEqual(fateOf(one, { texts, ran: new Set(ran) }, sight), expected);
    });
});

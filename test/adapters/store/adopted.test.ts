/** What is being taken over, saved before the first file moves: read back as it was, and forgotten at the end. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { openStore } from "../../../src/adapters/store/store.ts";
import type { Adoption } from "../../../src/core/adopt.ts";
import { digestOf, relativePath, serviceName, unitName } from "../../../src/core/names.ts";
import { marked } from "../../../src/core/placing.ts";
import { blog, shop } from "./samples.ts";

const adoption = (name: string, changes: Partial<Adoption> = {}): Adoption => ({
  service: serviceName(`${name}.service`),
  unit: unitName(`${name}.container`),
  from: `/etc/containers/systemd/${name}.container`,
  files: [{ path: `/etc/containers/systemd/${name}.container`, mode: 0o640, digest: digestOf(name), target: undefined, as: undefined }],
  before: { invocation: "i1", up: true, enabled: false },
  differs: undefined,
  backup: "20260101T061502Z-1",
  ...changes,
});

test("an adoption is read back as it was saved, and the last one of a service counts", async () => {
  await using store = openStore(":memory:");
  const link = {
    path: "/etc/systemd/system/x.timer",
    mode: 0o777,
    digest: digestOf("x"),
    target: "/srv/x.timer",
    as: marked("unit", "x.timer"),
  };
  const own = { ...link, target: undefined, as: relativePath("web.container") };
  const web = adoption("web", { differs: "Image= differs", files: [link, own] });
  store.saveAdoption(shop, adoption("web"));
  store.saveAdoption(shop, web);
  store.saveAdoption(shop, adoption("api"));
  store.saveAdoption(blog, adoption("blog"));
  assert.deepEqual(store.adoptions(shop), [adoption("api"), web]);
  store.forgetAdoptions(shop);
  assert.deepEqual(store.adoptions(shop), []);
  store.forgetApplication(blog);
  assert.deepEqual(store.adoptions(blog), []);
});

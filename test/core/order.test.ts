/** The order of dependencies. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import fc from "fast-check";

import { dependsOn, inOrder, startOrder } from "../../src/core/order.ts";
import { bundleOf } from "./model.ts";

suite("units start in an order", () => {
  const order = (texts: Readonly<Record<string, string>>) => startOrder(bundleOf(texts).units).map((unit) => unit.name);

  test("by name where nothing else decides", () => {
    assert.deepEqual(order({ "c.container": "", "a.container": "", "b.container": "" }), ["a.container", "b.container", "c.container"]);
  });

  test("what is used before its users", () => {
    const texts = { "a.container": "[Container]\nNetwork=z.network\nVolume=y.volume:/y\n", "z.network": "", "y.volume": "" };
    assert.deepEqual(order(texts), ["y.volume", "z.network", "a.container"]);
  });

  test("what is named as a service or as a quadlet alike", () => {
    assert.deepEqual(
      order({ "a.container": "[Unit]\nAfter=b.service\n", "b.container": "[Unit]\nRequires=c.container\n", "c.container": "" }),
      ["c.container", "b.container", "a.container"],
    );
  });

  test("and a circle is cut rather than walked for ever", () => {
    assert.deepEqual(order({ "a.container": "[Unit]\nAfter=b.service\n", "b.container": "[Unit]\nAfter=a.service\n" }), [
      "b.container",
      "a.container",
    ]);
  });
});

test("a unit depends on what it names, by any name", () => {
  const { units } = bundleOf({ "a.container": "[Unit]\nAfter=front.service\n", "b.container": "[Container]\nServiceName=front\n" });
  const [a, b] = units;
  assert.ok(a !== undefined && b !== undefined);
  assert.deepEqual([dependsOn(a, b), dependsOn(b, a)], [true, false]);
});

test("whatever depends on what, everything is there once, and without a circle all comes after what it needs", () => {
  const edges = fc.array(fc.tuple(fc.nat({ max: 7 }), fc.nat({ max: 7 })), { maxLength: 20 });
  fc.assert(
    fc.property(edges, fc.boolean(), (all, acyclic) => {
      const needs = all.filter(([user, used]) => user !== used && (!acyclic || used < user));
      const items = [0, 1, 2, 3, 4, 5, 6, 7];
      const sorted = inOrder(items, String, (item) => needs.filter(([user]) => user === item).map(([, used]) => used));
      assert.deepEqual([...sorted].sort(), items);
      if (acyclic) for (const [user, used] of needs) assert.ok(sorted.indexOf(used) < sorted.indexOf(user), `${user} before ${used}`);
    }),
  );
});

/** What a unit uses, and when that is too much. */

import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { excess, lacks, usageOf, usageText, type ContainerFigures, type Limits, type Usage } from "../../src/core/resources.ts";

const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1) + seconds * 1000);
const figures = (more: Partial<ContainerFigures> = {}): ContainerFigures => ({ memory: 10e6, memoryLimit: 100e6, cpuSeconds: 1, ...more });
const nothing = { memoryMax: undefined, oomKills: undefined };

function sampled(seconds: number, containers: Readonly<Record<string, ContainerFigures>>, before?: Usage, service: object = {}): Usage {
  const found = usageOf(
    { at: at(seconds), containers: new Map(Object.entries(containers)), service: { ...nothing, ...service }, restarts: 0 },
    before,
  );
  assert.ok(found);
  return found;
}

suite("what a unit uses", () => {
  test("is the sum of its containers, and its limit the smaller of Podman's and systemd's", () => {
    const two = { a: figures(), b: figures({ memory: 5e6 }) };
    assert.deepEqual([sampled(0, two).memory, sampled(0, two).memoryLimit], [15e6, 200e6]);
    assert.equal(sampled(0, two, undefined, { memoryMax: 50e6 }).memoryLimit, 50e6);
  });

  test("has no figure where one of the containers has none, and says why", () => {
    const found = sampled(0, { a: figures(), b: figures({ memory: undefined }) });
    assert.equal(found.memory, undefined);
    assert.deepEqual(lacks(found), ["memory, OOM kills: no figure, the kernel's memory controller is not enabled for containers"]);
    assert.equal(usageText(found), "0 restarts");
    assert.deepEqual(lacks(sampled(0, { a: figures({ cpuSeconds: undefined }) })), [
      "CPU: no figure, the kernel gives none for containers",
      "OOM kills: no figure, the host's journal can't be read",
    ]);
  });

  test("of CPU is what was spent since the sample before, in the same containers", () => {
    const first = sampled(0, { a: figures({ cpuSeconds: 10 }) });
    assert.equal(first.cpu, undefined);
    assert.equal(sampled(20, { a: figures({ cpuSeconds: 40 }) }, first).cpu, 1.5);
    assert.equal(sampled(20, { b: figures({ cpuSeconds: 40 }) }, first).cpu, undefined, "another container");
    assert.equal(sampled(20, { a: figures({ cpuSeconds: 2 }) }, first).cpu, undefined, "started again");
    assert.equal(sampled(0, { a: figures({ cpuSeconds: 40 }) }, first).cpu, undefined, "no time has gone by, or the clock has jumped");
  });

  test("is nothing where nothing runs", () => {
    assert.equal(usageOf({ at: at(0), containers: new Map(), service: nothing, restarts: 0 }, undefined), undefined);
  });
});

suite("too much", () => {
  const busy = sampled(10, { a: figures({ memory: 95e6, cpuSeconds: 10 }) }, sampled(0, { a: figures({ cpuSeconds: 1 }) }));
  const unlimited = { ...busy, memoryLimit: undefined };
  const blind = { ...busy, memory: undefined, cpu: undefined };
  for (const [what, usage, limits, expected] of [
    ["a part of the limit", busy, { memory: { part: 0.9 } }, "it uses 95 MB of memory, more than 90 % of 100 MB"],
    ["a part that is not reached", busy, { memory: { part: 0.96 } }, undefined],
    ["a size", busy, { memory: { bytes: 94e6 } }, "it uses 95 MB of memory, more than 94 MB"],
    ["a size where there is no limit", unlimited, { memory: { bytes: 94e6 } }, "it uses 95 MB of memory, more than 94 MB"],
    ["a part of no limit", unlimited, { memory: { part: 0.1 } }, undefined],
    ["CPU", busy, { cpu: 0.8 }, "it used 90 % of a core since the look before, more than 80 %"],
    ["CPU that is not reached", busy, { cpu: 0.9 }, undefined],
    ["what there is no figure of", blind, { memory: { bytes: 1 }, cpu: 0.01 }, undefined],
  ] as const)
    test(`${what}: ${expected ?? "is not"}`, () => {
      const wanted: Limits = { memory: undefined, cpu: undefined, ...limits };
      assert.equal(excess(usage, wanted), expected);
    });
});

/** Arbitrary records to store, for properties. */

import fc from "fast-check";

import type { TreeEntry } from "../../../src/core/bundle.ts";
import { healths, type UnitHealth } from "../../../src/core/health.ts";
import { applicationId, applicationName, digestOf, relativePath, revision, serviceName, sourceName } from "../../../src/core/names.ts";
import { causes, outcomes, type Rollout, type Target } from "../../../src/core/rollout.ts";
import type { ApplicationRecord, Quarantine, SourceRecord, Started, StoredBundle } from "../../../src/ports.ts";
import { blog, shop } from "./samples.ts";
import { marked } from "../../../src/core/placing.ts";

const record = <Value>(fields: { readonly [Key in keyof Value]: fc.Arbitrary<Value[Key]> }): fc.Arbitrary<Value> =>
  fc.record<Value>(fields, { noNullPrototype: true });
const words = fc.string({ unit: "binary", maxLength: 40 }).filter((text) => text.isWellFormed());
const maybe = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { nil: undefined });
const times = fc.date({ min: new Date("1970-01-01T00:00:00Z"), max: new Date("2999-12-31T23:59:59Z"), noInvalidDate: true });
const digests = fc.integer({ min: 0, max: 5 }).map((number) => digestOf(String(number)));
const revisions = fc
  .constantFrom(40, 64)
  .chain((length) =>
    fc.string({ unit: fc.integer({ min: 0, max: 15 }).map((digit) => digit.toString(16)), minLength: length, maxLength: length }),
  )
  .map(revision);
const paths = fc.constantFrom("web.container", "web.container.d/10-env.conf", "conf/näh.html", "a b").map(relativePath);
const targets: fc.Arbitrary<Target> = fc.oneof(digests, fc.constant("absent" as const));

export const names = fc.constantFrom("fleet", "edge").map(sourceName);
export const ids = fc.constantFrom(shop, blog, applicationId(sourceName("edge"), applicationName("shop")));
export const services = fc.constantFrom("web.service", "db.service", "web@1.service").map(serviceName);

export const sources: fc.Arbitrary<SourceRecord> = record({
  name: names,
  revision: maybe(revisions),
  tag: maybe(words),
  checkedAt: maybe(times),
  state: fc.constantFrom("ok" as const, "failed" as const),
  message: maybe(words),
  failures: fc.nat(),
});

export const applications: fc.Arbitrary<ApplicationRecord> = record({
  id: ids,
  revision: maybe(revisions),
  lastGood: maybe(digests),
  desired: maybe(record({ revision: revisions, digest: maybe(digests) })),
  outcome: fc.constantFrom(...outcomes),
  since: times,
  message: maybe(words),
  health: fc.constantFrom(...healths),
  held: maybe(record({ why: words, until: maybe(times), tries: fc.nat() })),
  suspended: maybe(record({ until: maybe(times) })),
  pinnedAgainst: maybe(digests),
  seen: maybe(
    record({ content: targets, seen: times, chance: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), urgent: fc.boolean() }),
  ),
});

export const quarantines: fc.Arbitrary<Quarantine> = record({ application: ids, digest: digests, reason: words, since: times });

export const inventories = fc.array(fc.tuple(paths, digests)).map((files) => new Map(files));

export const starts: fc.Arbitrary<Started> = record({
  digest: digests,
  inputs: fc.array(record({ label: words, within: maybe(words), digest: digests }), { maxLength: 4 }),
  invocation: words,
});

export const unitHealths: fc.Arbitrary<readonly UnitHealth[]> = fc.uniqueArray(
  record({
    service: services,
    health: fc.constantFrom(...healths),
    checkedBy: fc.constantFrom("http" as const, "tcp" as const, "podman" as const, "process" as const, "unit" as const),
    message: maybe(words),
  }),
  { selector: (unit) => unit.service },
);

const entries: fc.Arbitrary<TreeEntry> = fc.oneof(
  record({
    kind: fc.constant("file" as const),
    executable: fc.boolean(),
    content: fc.uint8Array({ maxLength: 200 }).map((bytes) => new Uint8Array(bytes)),
  }),
  record({ kind: fc.constant("symlink" as const), target: words }),
  record({ kind: fc.constant("other" as const), what: words }),
);

export const bundles: fc.Arbitrary<StoredBundle> = fc
  .record({
    application: ids,
    revision: revisions,
    vars: fc.array(fc.tuple(words, fc.option(words, { nil: undefined }))).map((all) => new Map(all)),
    sealed: fc
      .array(fc.tuple(paths, words))
      .map((all) => new Map(all.map(([path, text]) => [marked("env", path), { sealed: digestOf(text), digest: digestOf("file", text) }]))),
    pins: fc.array(fc.tuple(paths, words)).map((all) => new Map(all)),
    entries: fc.array(fc.tuple(paths, entries)).map((all) => new Map(all)),
  })
  .map((parts) => ({ ...parts, digest: digestOf(parts.application, JSON.stringify([...parts.entries])) }));

export const phases = fc.oneof(
  record({ phase: fc.constant("applying" as const) }),
  record({ phase: fc.constant("verifying" as const), since: times }),
  record({ phase: fc.constant("reverting" as const), because: words, blameless: fc.boolean() }),
);

/** `deployment` is filled in by whoever saves it: it must exist. */
export const rollouts: fc.Arbitrary<Rollout> = fc
  .tuple(
    record({
      deployment: fc.constant(0),
      application: ids,
      revision: revisions,
      cause: fc.constantFrom(...causes),
      goal: targets,
      fallback: targets,
      startedAt: times,
      recoveries: fc.nat(),
    }),
    phases,
  )
  .map(([known, phase]) => ({ ...known, ...phase }));

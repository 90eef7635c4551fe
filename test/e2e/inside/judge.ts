/** The live pgo's judgement of the table (validate/table.ts), by the generator of the host that it runs on: run in pgo's container, prints JSON. */

import { openHost, quadletSearchPath } from "../../../src/adapters/host/host.ts";
import { judge, type Witnesses } from "../../../src/controller/judge.ts";
import type { TreeEntry } from "../../../src/core/bundle.ts";
import { layout } from "../../../src/core/layout.ts";
import { partsOf, sourceName } from "../../../src/core/names.ts";
import { plainly } from "../../core/renderings.ts";
import { allCases, type Verdict } from "../validate/table.ts";

const signal = new AbortController().signal;
await using host = await openHost(
  {
    mode: "rootful",
    quadletDirectory: "/etc/containers/systemd/pgo",
    unitDirectory: "/etc/systemd/system",
    stateDirectory: "/var/lib/pgo",
    busAddress: "unix:path=/run/dbus/system_bus_socket",
    searchPath: quadletSearchPath({ mode: "rootful" }),
    generator: undefined,
    clock: {
      now: () => new Date(),
      monotonic: () => performance.now(),
      sleep: () => Promise.reject(new Error("the host adapter does not sleep")),
      chance: () => 0,
    },
  },
  signal,
);

const entries = new Map(
  allCases().flatMap(({ name, files }) =>
    Object.entries(files).map(([path, content]): [string, TreeEntry] => [
      `${name}/${path}`,
      typeof content === "string"
        ? { kind: "file", executable: false, content: Buffer.from(content) }
        : { kind: "symlink", target: content.symlink },
    ]),
  ),
);
const drafts = layout(sourceName("table"), ["."], entries);
const witnesses: Witnesses = {
  dryRun: (staged, without, inner) => host.dryRun(staged, without, inner),
  generatorWarnings: "report",
  elsewhere: {
    foreign: (isPlaced, inner) => host.foreign(isPlaced, inner),
    services: (names, inner) => host.services(names, inner),
    isOurs: () => false,
    mayAdopt: () => "never",
  },
};
const verdicts: Record<string, Verdict> = {};
for (const [application, candidate] of await judge({ drafts, live: new Map(), ...plainly }, witnesses, signal))
  verdicts[partsOf(application).application] = candidate.kind === "bundle" ? "valid" : "invalid";
process.stdout.write(JSON.stringify(verdicts));

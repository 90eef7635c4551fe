/**
 * What `systemd-analyze verify` says, read from the real output of two versions (unit-verify-output/, made over /mnt/verify with
 * SYSTEMD_LOG_TARGET=console-prefixed), and what it means for those who bring plain units.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";

import type { TreeEntry } from "../../src/core/bundle.ts";
import { openCourt } from "../../src/core/judgement.ts";
import { layout } from "../../src/core/layout.ts";
import { partsOf, sourceName } from "../../src/core/names.ts";
import { readVerifier, stageOf, weighUnits, type UnitVerification } from "../../src/core/unit-verify.ts";
import { plainly } from "./renderings.ts";

const output = (version: string) => readFileSync(new URL(`unit-verify-output/systemd-${version}.err`, import.meta.url), "utf8");
const told = (text: string) =>
  readVerifier({ output: text, root: "/mnt/verify" }).findings.map(
    ({ severity, file, unit, line, message }) => `${severity} ${file ?? unit ?? ""}${line === undefined ? "" : `:${line}`}: ${message}`,
  );

for (const version of ["257", "262"])
  suite(`systemd ${version}`, () => {
    const findings = told(output(version));
    for (const [what, expected] of Object.entries({
      "a bad value is an error, though systemd ignores it": [
        "error bad.timer:2: Failed to parse calendar specification, ignoring: dayly",
        "error badslice.slice:2: Invalid memory limit 'lots', ignoring: Invalid argument",
        "error badsock.socket:2: Failed to parse address value in 'foo:bar:baz', ignoring: Invalid argument",
        "error badvalue.service:4: Failed to parse Type=sipmle, ignoring: Invalid argument",
        "error badvalue.service:9: Failed to parse LimitNOFILE=many, ignoring: Invalid argument",
        "error relpath.path:2: PathExists= path is not absolute, ignoring: relative",
        "error spec.service:3: Failed to resolve specifiers in A=%Z, ignoring: Invalid slot",
      ],
      "a value of several lines is named by its last": [
        "error longcont.service:6: Failed to parse RestartSec=zzz, ignoring: Invalid argument",
      ],
      "one in a drop-in is the drop-in's, of a template's instance and of a generated service too": [
        "error dropped.service.d/10-x.conf:2: Failed to parse RestartSec=nope, ignoring: Invalid argument",
        "error web.service.d/10-limits.conf:2: Failed to parse LimitNOFILE=many, ignoring: Invalid argument",
        "error w@red.service.d/a.conf:2: Failed to parse RestartSec=never, ignoring: Invalid argument",
      ],
      "an unknown key or section is a warning": [
        "warning badvalue.service:2: Unknown key 'Descripton' in section [Unit], ignoring.",
        "warning unknownsection.service:3: Unknown section 'Servce'. Ignoring.",
        "warning badinstall.service:5: Unknown key 'Foo' in section [Install], ignoring.",
      ],
      "what is old-fashioned, or for people only, is a warning": [
        "warning deprecated.service:4: Standard output type syslog is obsolete, automatically updating to journal. Please update your unit file, and consider removing the setting altogether.",
        "warning documentation.service:2: Invalid URL, ignoring: foo",
      ],
      "what is no assignment is an error": [
        "error garbage.service:3: Missing '=', ignoring line.",
        "error outside.service:1: Assignment outside of section. Ignoring.",
      ],
      "a unit that would not load is an error": [
        "error noexec.service: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.",
        "error nowants.service:5: WorkingDirectory= path is not absolute: relative",
        "error quote.service: it has a bad unit file setting.",
        "error wrong-name.mount: Where= setting doesn't match unit name. Refusing.",
        "error empty.service: it is masked.",
      ],
      "a program that is not there is an error, a template's too": [
        "error missingexe.service: Command /usr/bin/nothing-there is not executable: No such file or directory",
        "error notexec.service: Command /etc/passwd is not executable: Permission denied",
        "error inst@.service: Command /usr/bin/missing-inst is not executable: No such file or directory",
      ],
      "a socket without its service is an error": ["error nosock.socket: service nosock.service not loaded, socket cannot be started."],
    }))
      test(what, () => {
        for (const one of expected) assert.ok(findings.includes(one), `no "${one}" in\n${findings.join("\n")}`);
      });

    test("good ones are not spoken of, nor is what only the generator made", () => {
      const named = findings.map((line) => /^\w+ ([^:]+)/.exec(line)?.[1]);
      for (const good of [
        "good.service",
        "good.timer",
        "lone.timer",
        "srv-x.mount",
        "srv-x.automount",
        "t.target",
        "prefix.service",
        "web.service",
      ])
        assert.ok(!named.includes(good), good);
      assert.deepEqual(readVerifier({ output: output(version), root: "/mnt/verify" }).unread, []);
    });
  });

test("the word of a removed key differs between the versions, and is a warning in both", () => {
  assert.ok(told(output("257")).some((line) => line.startsWith("warning deprecated.service:5: Unit uses CPUShares=")));
  assert.ok(
    told(output("262")).some((line) => line.startsWith("warning deprecated.service:5: Support for option CPUShares= has been removed")),
  );
});

const directory = "/etc/containers/systemd/pgo";
const service = "[Service]\nExecStart=/bin/true\n";

/** Of each application what becomes of it when the verifier says this, with /stage for the staging directory. */
function judged(files: Readonly<Record<string, string | TreeEntry>>, said: Partial<UnitVerification>) {
  const entries = new Map(
    Object.entries(files).map(([path, one]): [string, TreeEntry] => [
      path,
      typeof one === "string" ? { kind: "file", executable: false, content: Buffer.from(one) } : one,
    ]),
  );
  const court = openCourt({ drafts: layout(sourceName("fleet"), ["."], entries), live: new Map(), ...plainly });
  const fell = weighUnits(court, { code: 1, output: "", root: "/stage", ...said }, directory);
  const verdicts = [...court.verdicts()].map(([id, one]): [string, readonly string[] | string] => {
    const lines = one.kind === "rejected" ? one.problems : one.kind === "bundle" ? (one.warnings ?? []) : [];
    const text = lines.map(({ file, line, message }) => `${file}${line === undefined ? "" : `:${line}`}: ${message}`);
    return [partsOf(id).application, one.kind === "rejected" ? text : text.length > 0 ? `warned: ${text.join("; ")}` : "well"];
  });
  return { fell, verdicts: Object.fromEntries(verdicts) };
}

suite("whoever brings a plain unit", () => {
  test("is refused by its errors, where the file lies in Git; others are not", () => {
    const { fell, verdicts } = judged(
      { "shop/timers/a.timer": "[Timer]\nOnCalendar=x\n", "shop/a.service": service, "blog/b.service": service },
      {
        output:
          "<28>/stage/units/a.timer:2: Failed to parse calendar specification, ignoring: x\n<27>Unit a.timer has a bad unit file setting.\n",
      },
    );
    assert.equal(fell, true);
    assert.deepEqual(verdicts, {
      blog: "well",
      shop: ["shop/timers/a.timer:2: Failed to parse calendar specification, ignoring: x"],
    });
  });

  test("is only warned of an unknown key, with a guess at what was meant", () => {
    const { fell, verdicts } = judged(
      { "shop/a.service": service },
      { output: "<28>/stage/units/a.service:2: Unknown key 'Enviroment' in section [Service], ignoring.\n", code: 0 },
    );
    assert.equal(fell, false);
    assert.deepEqual(verdicts, {
      shop: "warned: a.service:2: Unknown key 'Enviroment' in section [Service], ignoring. (did you mean Environment?)",
    });
  });

  test("is told of an unknown key beside the error that comes of it", () => {
    const { verdicts } = judged(
      { "shop/a.service": "[Service]\nExecStrat=/bin/true\n" },
      {
        output:
          "<28>/stage/units/a.service:2: Unknown key 'ExecStrat' in section [Service], ignoring.\n<27>a.service: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.\n<27>Unit a.service has a bad unit file setting.\n",
      },
    );
    assert.deepEqual(verdicts["shop"], [
      "shop/a.service:2: Unknown key 'ExecStrat' in section [Service], ignoring. (did you mean ExecStart?)",
      "shop/a.service: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.",
    ]);
  });

  test("is told the line of the program or key that a message names, in a drop-in too", () => {
    const { verdicts } = judged(
      {
        "shop/a.service": service,
        "shop/a.service.d/10.conf": "[Service]\nExecStartPre=/bin/nope -x\n",
        "blog/x.mount": "[Mount]\nWhat=a\nWhere=/b\n",
      },
      {
        output:
          "<27>a.service: Command /bin/nope is not executable: No such file or directory\n<27>x.mount: Where= setting doesn't match unit name. Refusing.\n",
      },
    );
    assert.deepEqual(verdicts, {
      shop: ["shop/a.service.d/10.conf:2: Command /bin/nope is not executable: No such file or directory"],
      blog: ["blog/x.mount:3: Where= setting doesn't match unit name. Refusing."],
    });
  });

  const program = (name: string) => `<27>a.service: Command ${directory}/fleet/shop/${name} is not executable: No such file or directory\n`;
  const run: TreeEntry = { kind: "file", executable: true, content: Buffer.from("#!/bin/sh\n") };
  test("may bring the program along, which is not on the host yet", () => {
    assert.deepEqual(judged({ "shop/a.service": service, "shop/run.sh": run }, { output: program("run.sh") }).verdicts, { shop: "well" });
  });
  test("is told so where Git does not have that program as executable", () => {
    const { verdicts } = judged({ "shop/a.service": service, "shop/run.sh": "#!/bin/sh\n" }, { output: program("run.sh") });
    assert.deepEqual(verdicts["shop"], [
      `shop/a.service: Command ${directory}/fleet/shop/run.sh is not executable in Git: git update-index --chmod=+x, or chmod +x and commit`,
    ]);
  });

  for (const [what, said, why] of [
    ["is not on the host", { code: undefined, output: "systemd-analyze is not on the host" }, "systemd-analyze is not on the host"],
    ["crashes", { code: 139, output: "" }, "exit code 139"],
    ["does not know an option", { output: "systemd-analyze: unrecognized option '--x'\n" }, "systemd-analyze: unrecognized option '--x'"],
  ] as const)
    test(`is warned, not refused, where the verifier ${what}`, () => {
      const { fell, verdicts } = judged({ "shop/a.service": service, "web/web.container": "[Container]\nImage=x\n" }, said);
      assert.equal(fell, false);
      assert.deepEqual(verdicts, {
        web: "well",
        shop: `warned: a.service: systemd-analyze verify could not look at it (${why}): a bad value shows only when the unit is started`,
      });
    });

  test("has nothing to do with what the verifier says of the host's own units", () => {
    const said = { output: "<28>/etc/systemd/system/foreign.service:2: Failed to parse Type=x, ignoring: Invalid argument\n" };
    assert.equal(judged({ "shop/a.service": service }, { ...said, code: 0 }).fell, false);
  });
});

suite("the stage", () => {
  const stage = (files: Readonly<Record<string, string>>) => {
    const entries = new Map(
      Object.entries(files).map(([path, text]): [string, TreeEntry] => [
        path,
        { kind: "file", executable: false, content: Buffer.from(text) },
      ]),
    );
    const court = openCourt({ drafts: layout(sourceName("fleet"), ["."], entries), live: new Map(), ...plainly });
    return stageOf(court, "---web.service---\n[Service]\nExecStart=/usr/bin/podman run x\n");
  };
  const container = { "shop/web.container": "[Container]\nImage=x\n" };

  test("is not set where nobody brings a plain unit", () => {
    assert.equal(stage(container), undefined);
  });
  test("has the plain units, their drop-ins and what the generator makes; asked for is what is brought, also by its drop-in alone", () => {
    const made = stage({
      ...container,
      "shop/web.service.d/1.conf": "[Service]\nNice=1\n",
      "blog/t/b.timer": "[Timer]\nOnCalendar=daily\n",
    });
    assert.deepEqual([...(made?.units.keys() ?? [])].sort(), ["b.timer", "web.service.d/1.conf"]);
    assert.deepEqual([...(made?.made.keys() ?? [])], ["web.service"]);
    assert.deepEqual(made?.names, ["b.timer", "web.service"]);
  });
});

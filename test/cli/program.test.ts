import assert from "node:assert/strict";
import { test } from "node:test";

import { runProgram, type Actions } from "../../src/cli/program.ts";
import { captured } from "./terminal.ts";

/** Runs the program with actions that only write down what they got, and answer 0. */
async function run(words: string, name = "pgo", overrides: Partial<Actions> = {}) {
  const asked: unknown[] = [];
  const note = (action: string) => (options: unknown) => {
    asked.push(options instanceof AbortSignal ? [action] : [action, options]);
    return Promise.resolve(0);
  };
  const actions: Actions = {
    run: note("run"),
    healthcheck: note("healthcheck"),
    bootstrap: note("bootstrap"),
    uninstall: note("uninstall"),
    handover: note("handover"),
    validate: note("validate"),
    configCheck: note("config check"),
    configDirectories: note("config directories"),
    configInit: note("config init"),
    ctl: (command, options) => {
      asked.push(options.socket === undefined ? command : [command, options.socket]);
      return Promise.resolve(0);
    },
    secret: note("secret"),
    restoreBackup: note("restoreBackup"),
    ...overrides,
  };
  const terminal = captured();
  const code = await runProgram(
    { name, words: words.split(" ").filter((word) => word !== ""), version: "0.1.0" },
    { actions, terminal },
    new AbortController().signal,
  );
  return { code, asked, out: terminal.text.out, err: terminal.text.err };
}

test("each command reaches its action with its options", async () => {
  const cases: readonly (readonly [string, unknown])[] = [
    ["run", ["run"]],
    ["healthcheck", ["healthcheck"]],
    [
      "bootstrap ssh://git@x/fleet.git --branch main --path a --path b --ssh-key /k --known-hosts /h --image i",
      ["bootstrap", { repository: "ssh://git@x/fleet.git", branch: "main", paths: ["a", "b"], sshKey: "/k", knownHosts: "/h", image: "i" }],
    ],
    [
      "bootstrap",
      ["bootstrap", { repository: undefined, branch: undefined, paths: [], sshKey: undefined, knownHosts: undefined, image: undefined }],
    ],
    ["uninstall --keep-running", ["uninstall", { keepRunning: true }]],
    ["uninstall", ["uninstall", { keepRunning: false }]],
    [
      "validate /repo",
      [
        "validate",
        { directory: "/repo", paths: [], source: undefined, format: undefined, rootless: false, generator: undefined, strict: false },
      ],
    ],
    [
      "validate . --path a --path b --source fleet --format sarif --rootless --generator /g --strict",
      ["validate", { directory: ".", paths: ["a", "b"], source: "fleet", format: "sarif", rootless: true, generator: "/g", strict: true }],
    ],
    [
      "validate . --json",
      ["validate", { directory: ".", paths: [], source: undefined, format: "json", rootless: false, generator: undefined, strict: false }],
    ],
    ["config check", ["config check"]],
    ["config directories", ["config directories"]],
    ["config init --output /x", ["config init", { output: "/x" }]],
    ["ctl status", { name: "status", json: false }],
    ["ctl status --json", { name: "status", json: true }],
    ["ctl plan", { name: "plan", target: undefined, json: false }],
    ["ctl plan shop", { name: "plan", target: "shop", json: false }],
    ["ctl sync shop --now", { name: "sync", target: "shop", wait: false, now: true, json: false }],
    ["ctl suspend --for 2h", { name: "suspend", target: undefined, forMs: 7_200_000, json: false }],
    ["ctl resume", { name: "resume", target: undefined, json: false }],
    ["ctl sync --wait", { name: "sync", target: undefined, wait: true, json: false }],
    ["ctl sync fleet", { name: "sync", target: "fleet", wait: false, json: false }],
    ["ctl history shop --limit 5", { name: "history", target: "shop", limit: 5, json: false }],
    ["ctl history", { name: "history", target: undefined, limit: 20, json: false }],
    ["ctl show 41", { name: "show", id: 41, json: false }],
    ["ctl rollback shop --to 3", { name: "rollback", target: "shop", to: 3, json: false }],
    ["ctl rollback shop", { name: "rollback", target: "shop", to: undefined, json: false }],
    ["ctl retry fleet/shop", { name: "retry", target: "fleet/shop", json: false }],
    ["ctl suspend shop --for 1h", { name: "suspend", target: "shop", forMs: 3_600_000, json: false }],
    ["ctl suspend shop", { name: "suspend", target: "shop", forMs: undefined, json: false }],
    ["ctl resume shop", { name: "resume", target: "shop", json: false }],
    ["ctl events --follow --limit 3", { name: "events", limit: 3, follow: true, json: false }],
    ["ctl secret set DB_PASSWORD", ["secret", { name: "set", secret: "DB_PASSWORD", file: "ctl.env" }]],
    ["ctl secret set DB_PASSWORD --file shop.env", ["secret", { name: "set", secret: "DB_PASSWORD", file: "shop.env" }]],
    ["ctl secret list", ["secret", { name: "list", json: false }]],
    ["ctl secret list --json", ["secret", { name: "list", json: true }]],
    ["ctl backup list shop", { name: "backups", target: "shop", json: false }],
    ["ctl backup create --json", { name: "backup", json: true }],
    ["ctl backup restore 12", { name: "restore", id: 12, json: false }],
    ["backup restore /root/pgo.tar", ["restoreBackup", { file: "/root/pgo.tar" }]],
    ["ctl secret remove DB_PASSWORD", ["secret", { name: "remove", secret: "DB_PASSWORD" }]],
    ["ctl version --json", { name: "version", json: true }],
    ["ctl --socket /s version", [{ name: "version", json: false }, "/s"]],
  ];
  for (const [words, expected] of cases) {
    const { code, asked, err } = await run(words);
    assert.deepEqual(asked, [expected], words + err);
    assert.equal(code, 0);
  }
});

test("called by the name ctl it takes ctl's commands", async () => {
  assert.deepEqual((await run("status --json", "ctl")).asked, [{ name: "status", json: true }]);
  assert.match((await run("--help", "ctl")).out, /^Usage: ctl \[options\] \[command\]/);
});

test("wrong usage is exit code 2, with what is wrong and where help is", async () => {
  for (const words of [
    "",
    "rnu",
    "run now",
    "ctl",
    "ctl statsu",
    "ctl show",
    "ctl show x",
    "ctl rollback",
    "ctl history --limit 0",
    "ctl suspend a --for soon",
    "ctl secret",
    "ctl secret set",
    "ctl secret set A value",
    "run --json",
    "config",
    "bootstrap a b",
    "validate",
    "validate a b",
    "validate a --format xml",
    "validate a --json --format text",
  ]) {
    const { code, asked, err, out } = await run(words);
    assert.equal(code, 2, words);
    assert.deepEqual(asked, [], words);
    assert.ok(err.length > 0 && out === "", words);
  }
  assert.match((await run("ctl statsu")).err, /unknown command 'statsu'\n\(Did you mean status\?\)/);
  assert.match((await run("ctl suspend a --for soon")).err, /Write it like "90s", "30m" or "1h30m"\.\n.*--help/);
});

test("help and version are no mistakes", async () => {
  assert.deepEqual((await run("--version")).out, "pgo 0.1.0\n");
  const { code, out } = await run("--help");
  assert.equal(code, 0);
  for (const command of ["run", "bootstrap", "uninstall", "config", "ctl"]) assert.match(out, new RegExp(`^  ${command}\\b`, "m"));
  assert.match((await run("ctl --help")).out, /Exit codes: 0 done or in sync, 1 failed/);
});

test("an action's exit code is the program's, and its surprise is not swallowed", async () => {
  assert.equal((await run("run", "pgo", { run: () => Promise.resolve(1) })).code, 1);
  await assert.rejects(run("run", "pgo", { run: () => Promise.reject(new Error("surprise")) }), /surprise/);
});

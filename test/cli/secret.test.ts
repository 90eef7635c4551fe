/** `ctl secret`, with real files, and its prompt on a real terminal. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";

import { parse } from "dotenv";

import { openOwnSecrets } from "../../src/adapters/sealed/own-secrets.ts";
import { secret, type SecretCommand, type SecretEdge } from "../../src/cli/secret.ts";
import { success, trouble } from "../../src/core/result.ts";
import { directory } from "../adapters/git-repository.ts";
import { assertSilent, planted } from "../planted.ts";
import { captured } from "./terminal.ts";

interface Scene {
  readonly etc: string;
  readonly own: string;
  readonly run: (command: SecretCommand, value?: string, more?: Partial<SecretEdge>) => Promise<{ code: number; out: string; err: string }>;
}

async function scene(t: TestContext): Promise<Scene> {
  const root = await directory(t);
  const [etc, own] = [join(root, "etc"), join(root, "own")];
  await mkdir(etc);
  return {
    etc,
    own,
    async run(command, value, more = {}) {
      const terminal = captured();
      const ask = () => Promise.resolve(value === undefined ? trouble("nothing was entered, and nothing is changed") : success(value));
      const edge = { store: openOwnSecrets(own, [etc]), directory: own, ask, environment: {}, ...more };
      const code = await secret(command, edge, terminal);
      return { code, ...terminal.text };
    },
  };
}

const set = (name: string, file = "ctl.env"): SecretCommand => ({ name: "set", secret: name, file });

test("a value that is given is kept, and said to be, but not shown", async (t) => {
  const { own, run } = await scene(t);
  for (const value of planted) {
    const said = await run(set("DB_PASSWORD"), value);
    assert.deepEqual(said, {
      code: 0,
      out: `DB_PASSWORD is set in ${own}/ctl.env; pgo finds it at its next poll (now: ctl sync)\n`,
      err: "",
    });
    assert.deepEqual(parse(await readFile(join(own, "ctl.env"), "utf8")), { DB_PASSWORD: value });
  }
});

test("a value that can't be kept, and no value at all, change nothing and are exit codes 1 and 2", async (t) => {
  const { run } = await scene(t);
  const refused = await run(set("A"), "pl4nted '\"`#");
  assert.equal(refused.code, 1);
  assert.match(refused.err, /^the value of A can't be written in dotenv's syntax/);
  assertSilent(refused);
  assert.deepEqual(await run(set("A")), { code: 2, out: "", err: "nothing was entered, and nothing is changed\n" });
  assert.deepEqual(await run({ name: "list", json: true }), { code: 0, out: "[]\n", err: "" });
});

test("a wrong name is refused before the value is asked for, and not repeated", async (t) => {
  const { run } = await scene(t);
  const ask = () => assert.fail("asked");
  for (const name of ["A-B", "1A", "A=pl4nted", "pl4nted $1", ""]) {
    const said = await run(set(name), undefined, { ask });
    assert.equal(said.code, 2, name);
    assert.match(said.err, /^a name has letters, digits and "_"/);
    assertSilent(said);
  }
  for (const file of ["../x.env", "x", "a/b.env", ".env", "-x.env"])
    assert.equal((await run(set("A", file), undefined, { ask })).code, 2, file);
});

test("a value that another place wins over is said to be", async (t) => {
  const { own, run } = await scene(t);
  await run(set("A", "z.env"), "1");
  assert.equal(
    (await run(set("A"), "2")).err,
    `A stands in ${own}/z.env too, and that one wins: set it there (--file), or remove it first\n`,
  );
  const said = await run(set("A", "z.env"), "3", { environment: { A: "4" } });
  assert.equal(said.err, "A is in pgo's own environment too, and that one wins: take it out of pgo.container\n");
});

test("the list has names and files, also of broken ones, and no values", async (t) => {
  const { etc, own, run } = await scene(t);
  await writeFile(join(etc, "10.env"), "SHOP_DB=pl4nted\nA=pl4nted\n");
  await run(set("A"), planted[0]);
  assert.deepEqual(await run({ name: "list", json: false }), {
    code: 0,
    out: `A        ${etc}/10.env  (another file wins)\nA        ${own}/ctl.env\nSHOP_DB  ${etc}/10.env\n`,
    err: "",
  });
  await writeFile(join(etc, "20.env"), "pl4nted\n");
  const said = await run({ name: "list", json: true });
  assert.deepEqual(JSON.parse(said.out), [
    { name: "A", file: join(etc, "10.env"), used: false },
    { name: "A", file: join(own, "ctl.env"), used: true },
    { name: "SHOP_DB", file: join(etc, "10.env"), used: true },
  ]);
  assert.match(said.err, /20\.env:1: is no NAME=value/);
  assert.equal(said.code, 1);
  assertSilent(said);
});

test("a value is removed from ctl's files, and left in those of the administrator", async (t) => {
  const { etc, own, run } = await scene(t);
  await writeFile(join(etc, "10.env"), "A=1\n");
  const left = `A stands in ${etc}/10.env, which ctl does not change: remove it there\n`;
  await run(set("A"), "2");
  assert.deepEqual(await run({ name: "remove", secret: "A" }), { code: 0, out: `A is removed from ${own}/ctl.env\n`, err: left });
  assert.deepEqual(await run({ name: "remove", secret: "A" }), { code: 1, out: "", err: left });
  assert.deepEqual(await run({ name: "remove", secret: "B" }), { code: 1, out: "", err: "there is no value of B: see ctl secret list\n" });
});

// ---- where the value comes from ----

const program = `
  const { readValue } = await import(${JSON.stringify(fileURLToPath(new URL("../../src/cli/prompt.ts", import.meta.url)))});
  const err = (text) => void process.stderr.write(text);
  const value = await readValue(process.stdin, { question: "Value of A: ", err }, new AbortController().signal).catch((error) => error.message);
  (await import("node:fs")).writeFileSync(process.env.ANSWER, JSON.stringify(value));`;

interface Answer {
  /** What readValue answered. */
  readonly value: unknown;
  /** All that a person would have seen. */
  readonly seen: string;
}

/** util-linux's script(1) gives the program a terminal of its own; `keys` are pressed once the question is there. */
async function atTerminal(t: TestContext, keys: string): Promise<Answer> {
  const answer = join(await directory(t), "answer");
  const command = `${process.execPath} --input-type=module --eval "$PROGRAM"`;
  const child = spawn("script", ["--quiet", "--return", "--command", command, "/dev/null"], {
    env: { ...process.env, PROGRAM: program, ANSWER: answer, NODE_NO_WARNINGS: "1" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  let seen = "";
  let pressed = false;
  for await (const piece of child.stdout.setEncoding("utf8") as AsyncIterable<string>) {
    seen += piece;
    if (pressed || !seen.includes("Value of A: ")) continue;
    pressed = true;
    child.stdin.write(keys);
  }
  return { value: JSON.parse(await readFile(answer, "utf8")) as unknown, seen };
}

async function onStdin(t: TestContext, input: string | Uint8Array): Promise<unknown> {
  const answer = join(await directory(t), "answer");
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    env: { ...process.env, ANSWER: answer },
    stdio: ["pipe", "ignore", "pipe"],
  });
  child.stdin.end(input);
  let seen = "";
  for await (const piece of child.stderr.setEncoding("utf8") as AsyncIterable<string>) seen += piece;
  assert.equal(seen, "", "nobody is asked");
  return JSON.parse(await readFile(answer, "utf8")) as unknown;
}

test("on a terminal the value is typed and not shown, with corrections", async (t) => {
  const cases: readonly (readonly [string, unknown])[] = [
    ["pl4nted '\"$#ü€😀\r", success("pl4nted '\"$#ü€😀")],
    ["wrong\u0015pl4nx\u007fted€\u007f\x1b[D\r", success("pl4nted")],
    ["\r", trouble("nothing was entered, and nothing is changed")],
    ["pl4nted\u0003", "interrupted, and nothing is changed"],
    ["pl4nted 1\rpl4nted 2\r", trouble("more than one line was pasted, and nothing is changed: give it on standard input instead")],
  ];
  for (const [keys, expected] of cases) {
    const { value, seen } = await atTerminal(t, keys);
    assert.deepEqual(value, expected, JSON.stringify(keys));
    assertSilent(seen);
  }
});

test("from standard input it is all of it, without the line break at its end, and text", async (t) => {
  for (const value of planted) assert.deepEqual(await onStdin(t, `${value}\n`), success(value));
  assert.deepEqual(await onStdin(t, "x\r\n"), success("x"));
  const refused = async (input: string | Uint8Array) => {
    const answer = (await onStdin(t, input)) as { ok: boolean; trouble: string };
    assert.ok(!answer.ok);
    return answer.trouble;
  };
  assert.match(await refused(""), /^nothing came on standard input.*podman exec -it/);
  assert.match(await refused("\n"), /^nothing came on standard input/);
  assert.match(await refused(Buffer.from([0xff, 0x41])), /is not UTF-8 text/);
  assert.match(await refused("a\0b"), /has a zero byte/);
  assert.match(await refused("x".repeat(1024 * 1024 + 1)), /^more than 1 MiB/);
});

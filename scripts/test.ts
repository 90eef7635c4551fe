/** All tests: the checks, while what test hosts are made of is made beside them, and then the tests on hosts. */

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { missing, thisMachine } from "./needs.ts";

const checkout = fileURLToPath(new URL("..", import.meta.url));

/** Answers the exit code of the first that fails; 0 where none does. */
async function test(): Promise<number> {
  const lacks = missing(thisMachine());
  if (lacks !== undefined) {
    console.error(lacks);
    return 2;
  }
  // Most of a minute on a machine that has never done it, and much of that is waiting for a mirror. A failure is for the first host to tell.
  const preparing = start("test/host/host", ["prepare"]);
  const checked = await ended(start("npm", ["run", "check"]));
  await ended(preparing);
  return checked === 0 ? ended(start("npm", ["run", "test:e2e"])) : checked;
}

function start(command: string, words: readonly string[]): ChildProcess {
  return spawn(command, words, { cwd: checkout, stdio: "inherit" });
}

async function ended(child: ChildProcess): Promise<number> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode ?? 1;
}

process.exitCode = await test();

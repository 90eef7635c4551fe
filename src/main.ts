#!/usr/bin/env node
/** argv and signals: what was asked for is loaded when it is asked for, so that `ctl` and the health command start quickly. */

import { basename } from "node:path";

import { placesOf } from "./places.ts";

process.exitCode = await main(process.argv.slice(1), process.env);

async function main([script = "", ...words]: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
    process.once(name, () => {
      stop.abort(new Error(`ended by ${name}`));
    });
  const [{ terminalOf }, { actions }] = await Promise.all([import("./cli/terminal.ts"), import("./actions.ts")]);
  const terminal = terminalOf(process, environment);
  try {
    const what = actions(placesOf(environment), environment, terminal);
    if (words[0] === "healthcheck") return await what.healthcheck(stop.signal);
    const [{ runProgram }, { versionOf }] = await Promise.all([import("./cli/program.ts"), import("./version.ts")]);
    const name = basename(script).startsWith("ctl") ? "ctl" : "pgo";
    return await runProgram({ name, words, version: versionOf() }, { actions: what, terminal }, stop.signal);
  } catch (error) {
    const { reasonOf } = await import("./core/result.ts");
    terminal.err(`pgo: ${reasonOf(error)}\n`);
    return 1;
  }
}

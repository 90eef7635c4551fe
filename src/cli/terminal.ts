/** The streams of a process as the terminal that cli/ writes to. */

import type { WriteStream } from "node:tty";

import type { Terminal } from "./ctl.ts";

type Stream = NodeJS.WriteStream | WriteStream;

/** Colours only on a terminal without NO_COLOR (no-color.org: set and not empty) that is not `dumb`. */
export function terminalOf(streams: { readonly stdout: Stream; readonly stderr: Stream }, environment: NodeJS.ProcessEnv): Terminal {
  const { stdout, stderr } = streams;
  // Who reads may stop early (`ctl history | head`): that is no fault.
  for (const stream of [stdout, stderr])
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  return {
    out: (text) => void stdout.write(text),
    err: (text) => void stderr.write(text),
    colour: stdout.isTTY && !environment["NO_COLOR"] && environment["TERM"] !== "dumb",
    columns: stdout.isTTY ? Math.max(stdout.columns, 40) : Infinity,
    now: () => new Date(),
  };
}

/** A terminal that keeps what is written to it. */

import type { Terminal } from "../../src/cli/ctl.ts";

export interface Captured extends Terminal {
  readonly text: { out: string; err: string };
}

export function captured(): Captured {
  const text = { out: "", err: "" };
  return {
    text,
    out: (more) => void (text.out += more),
    err: (more) => void (text.err += more),
    colour: false,
    columns: Infinity,
    now: () => new Date("2026-01-01T00:01:00.000Z"),
  };
}

/** Twenty secrets that no message, log line or file of pgo's may show: with quotes, `$`, `#`, line breaks, and letters beyond ASCII. */

import assert from "node:assert/strict";

export const planted: readonly string[] = [
  "pl4nted-plain-0",
  "pl4nted 'single' 1",
  'pl4nted "double" 2',
  "pl4nted `back` 3",
  "pl4nted '\" both 4",
  "pl4nted $HOME ${X} $$ 5",
  "pl4nted # hash 6",
  "#pl4nted-first 7",
  "pl4nted\nof\nlines 8",
  "pl4nted\n# '$X'\n\"end\" 9\n",
  "pl4nted-ü€😀-10",
  " pl4nted blank ends 11 ",
  "pl4nted\\n\\t\\ backslashes 12\\",
  "pl4nted=a=b&c 13",
  "pl4nted;x|y>z<w 14",
  "'pl4nted' 15'",
  "pl4nted\ttab 16",
  "%pl4nted%20 17",
  "{pl4nted}[0]*? 18",
  "-----BEGIN pl4nted-----\nMIIBVgIBADANBg19\n-----END pl4nted-----\n",
];

/** That none of them, nor a part of one, is in what was said. */
export function assertSilent(said: unknown): void {
  const text =
    typeof said === "string"
      ? said
      : JSON.stringify(said, (_, value: unknown) => (value instanceof Error ? `${value.message} ${String(value.cause)}` : value));
  for (const part of ["pl4nted", "MIIBVgIBADANBg19", ...planted]) assert.ok(!text.includes(part), `a planted secret is in: ${text}`);
}

/** Durations as people write them: "90s", "1h30m"; apart from the schemas, so that `ctl` need not load those. */

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of a duration: whole or decimal numbers, each with a unit (`ms`, `s`, `m`, `h`, `d`); undefined if it is none. */
export function milliseconds(text: string): number | undefined {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text) return undefined;
  return parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * units[unit as keyof typeof units], 0);
}

/** The shortest way to write a duration in whole units: 90000 is "90s", 5400000 is "90m". */
export function durationText(ms: number): string {
  if (ms === 0) return "0s";
  const unit = (["d", "h", "m", "s"] as const).find((one) => ms % units[one] === 0 && ms / units[one] > 1) ?? "ms";
  return unit === "ms" && ms % 1000 === 0 ? `${String(ms / 1000)}s` : `${String(ms / units[unit])}${unit}`;
}

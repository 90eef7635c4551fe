/** Sizes as people write them: "500MB", "2GB". */

const units = { B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KIB: 2 ** 10, MIB: 2 ** 20, GIB: 2 ** 30, TIB: 2 ** 40 } as const;

/** Bytes of a size: a whole or decimal number with a unit (`B`, `kB`, `MB`, `MiB`, …), or "0"; undefined if it is none. */
export function bytes(text: string): number | undefined {
  if (text === "0") return 0;
  const match = /^(\d+(?:\.\d+)?) ?([KMGT]?I?B)$/.exec(text.toUpperCase());
  const unit = match?.[2] ?? "";
  return match === null || !Object.hasOwn(units, unit) ? undefined : Math.floor(Number(match[1]) * units[unit as keyof typeof units]);
}

/** In the largest unit that leaves a whole, with one decimal place: `1.5 GB`. */
export function bytesText(size: number): string {
  const unit = (["TB", "GB", "MB", "KB"] as const).find((one) => size >= units[one]) ?? "B";
  return `${String(Math.floor((size / units[unit]) * 10) / 10)} ${unit === "KB" ? "kB" : unit}`;
}

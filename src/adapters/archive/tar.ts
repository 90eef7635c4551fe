/** The little of tar that pgo's own archives need: plain files with short names (pax(1), "ustar Interchange Format"). */

import type { FileHandle } from "node:fs/promises";

import { success, trouble, type Result } from "../../core/result.ts";

export const block = 512;
/** Two blocks of zeros. */
export const ending = Buffer.alloc(2 * block);

export interface Entry {
  readonly name: string;
  readonly size: number;
  /** Where its content begins. */
  readonly at: number;
}

/** Of a file for its owner alone. */
export function header(name: string, size: number): Buffer {
  const made = Buffer.alloc(block);
  made.write(name, 0, 100, "latin1");
  for (const [value, at, length] of [
    [0o600, 100, 8],
    [0, 108, 8],
    [0, 116, 8],
    [size, 124, 12],
    [0, 136, 12],
  ] as const)
    made.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
  made.write("0", 156, "latin1");
  made.write("ustar\u000000", 257, "latin1");
  made.write(`${checksumOf(made).toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return made;
}

/** All entries; the trouble says that it is no tar archive, or not whole. */
export async function entriesOf(file: FileHandle): Promise<Result<readonly Entry[], string>> {
  const { size: length } = await file.stat();
  const entries: Entry[] = [];
  for (let at = 0; at + block <= length;) {
    const { buffer } = await file.read(Buffer.alloc(block), 0, block, at);
    if (buffer.every((byte) => byte === 0)) return success(entries);
    if (parseInt(textAt(buffer, 148, 8), 8) !== checksumOf(buffer)) return trouble(at === 0 ? "it is no tar archive" : "it is damaged");
    const size = parseInt(textAt(buffer, 124, 12), 8);
    const kind = textAt(buffer, 156, 1);
    if (Number.isNaN(size) || (kind !== "0" && kind !== "")) return trouble("it is no backup of pgo's");
    entries.push({ name: textAt(buffer, 0, 100), size, at: at + block });
    at += block + Math.ceil(size / block) * block;
  }
  return trouble(entries.length === 0 ? "it is no tar archive" : "it ends in the middle");
}

function textAt(buffer: Buffer, at: number, length: number): string {
  return (
    buffer
      .toString("latin1", at, at + length)
      .split("\0")[0]
      ?.trim() ?? ""
  );
}

/** Its own field counts as spaces. */
function checksumOf(buffer: Buffer): number {
  return buffer.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 32 : byte), 0);
}

/** Tar archives as `podman volume export` writes them: whether one is whole, and the entry that pgo adds for the volume's own directory. */

import type { FileHandle } from "node:fs/promises";

const block = 512;

/** A directory's owner and mode, in the numbers of Podman's user namespace. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

export interface Walked {
  /** Where the last entry ends, and two blocks of zeros begin. */
  readonly end: number;
  /** Of the entry `./`, if there is one. */
  readonly root: Owner | undefined;
}

/** Reads all headers; throws where the archive is damaged or ends in the middle (pax(1), "ustar Interchange Format"). */
export async function walk(file: FileHandle): Promise<Walked> {
  let root: Owner | undefined;
  let next: number | undefined;
  for (let at = 0; ;) {
    const header = await exactly(file, at, block);
    if (header.every((byte) => byte === 0)) {
      if (!(await exactly(file, at + block, block)).every((byte) => byte === 0)) throw new Error("it is damaged");
      return { end: at, root };
    }
    if (numberAt(header, 148, 8) !== checksumOf(header)) throw new Error("it is damaged");
    const size = next ?? numberAt(header, 124, 12);
    next = undefined;
    const kind = String.fromCharCode(header[156] ?? 0);
    // A size that has no room in its field stands in the extended header before it.
    if (kind === "x") next = sizeIn(await exactly(file, at + block, size));
    if (textAt(header, 0, 100) === "./")
      root = { uid: numberAt(header, 108, 8), gid: numberAt(header, 116, 8), mode: numberAt(header, 100, 8) };
    at += block + Math.ceil(size / block) * block;
  }
}

/** The archive's new end: an entry for its root, which Podman leaves out, and the two blocks of zeros. */
export function ending({ uid, gid, mode }: Owner): Buffer {
  const header = Buffer.alloc(block * 3);
  header.write("./", 0);
  writeNumber(header, mode & 0o7777, 100, 8);
  writeNumber(header, uid, 108, 8);
  writeNumber(header, gid, 116, 8);
  writeNumber(header, 0, 124, 12);
  writeNumber(header, 0, 136, 12);
  header.write("5", 156);
  header.write("ustar\u000000", 257);
  header.write(`${checksumOf(header.subarray(0, block)).toString(8).padStart(6, "0")}\u0000 `, 148);
  return header;
}

async function exactly(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, at);
  if (bytesRead < length) throw new Error("it ends in the middle");
  return buffer;
}

/** Octal, or binary with the first bit set where that is too small. */
function numberAt(header: Buffer, at: number, length: number): number {
  const first = header[at] ?? 0;
  if (first >= 0x80) return header.subarray(at + 1, at + length).reduce((value, byte) => value * 256 + byte, first & 0x7f);
  return parseInt(textAt(header, at, length).trim() || "0", 8);
}

function writeNumber(header: Buffer, value: number, at: number, length: number): void {
  const octal = value.toString(8).padStart(length - 1, "0");
  if (octal.length < length) {
    header.write(`${octal}\u0000`, at);
    return;
  }
  header.writeUIntBE(value, at + length - 6, 6);
  header[at] = 0x80;
}

function textAt(header: Buffer, at: number, length: number): string {
  const text = header.toString("latin1", at, at + length);
  return text.split("\u0000")[0] ?? "";
}

function checksumOf(header: Buffer): number {
  // Its own field counts as spaces.
  return header.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 32 : byte), 0);
}

/** Records `LENGTH size=NUMBER\n` of a pax header. */
function sizeIn(records: Buffer): number | undefined {
  const found = /(?:^|\n)\d+ size=(\d+)\n/.exec(records.toString("latin1"))?.[1];
  return found === undefined ? undefined : Number(found);
}

/** The digest of a file, the same wherever the file lies: in a bundle, in the inventory, on the host. */

import { createHash } from "node:crypto";

import { digestOf, type Digest } from "./names.ts";

/** Of mode and content; only the permission bits of `mode` count. */
export function fileDigest(mode: number, content: Uint8Array): Digest {
  return digestOf(octal(mode), content);
}

/** `fileDigest` of a file too large to hold, piece by piece: `size` is the length of all pieces together, in bytes. */
export function fileDigester(mode: number, size: number): { add(piece: Uint8Array): void; digest(): Digest } {
  const permissions = octal(mode);
  // As digestOf writes it: each part with its length before it.
  const hash = createHash("sha256").update(`${String(permissions.length)}:${permissions}${String(size)}:`);
  return {
    add: (piece) => void hash.update(piece),
    digest: () => hash.digest("hex") as Digest,
  };
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8);
}

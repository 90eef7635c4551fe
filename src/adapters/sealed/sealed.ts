/** Contents that others must not see, below the state directory, each in a file named by its digest; and a digest that tells nothing of what it is of. */

import { createHmac, randomBytes } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";

import { digestOf, type Digest } from "../../core/names.ts";
import type { Sealed } from "../../ports.ts";
import { codeOf, makePrivate, privateDirectory, removed, sweep, syncDirectory, writeDurably } from "../durable.ts";

/**
 * Opens `directory` (0700, made if it is missing; its files are 0600) and removes what a crash left. One process at a time may have it
 * open. A digest is `digestOf` of the content; a short secret could be guessed from it, so it is not for people to see.
 */
export async function openSealed(directory: string): Promise<Sealed> {
  await privateDirectory(directory);
  await makePrivate(directory);
  await sweep(directory);

  const read = async (digest: Digest): Promise<Uint8Array | undefined> => {
    try {
      const content = await readFile(join(directory, digest));
      return digestOf(content) === digest ? content : undefined;
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw new Error(`read sealed file ${join(directory, digest)}`, { cause: error });
    }
  };

  return {
    async put(content, signal) {
      signal.throwIfAborted();
      const digest = digestOf(content);
      try {
        // One that was damaged is written anew; of one that is whole its name may not be on the disk yet.
        if ((await read(digest)) === undefined) await writeDurably(join(directory, digest), content);
        else await syncDirectory(directory);
      } catch (error) {
        throw new Error(`write sealed file ${join(directory, digest)}`, { cause: error });
      }
      return digest;
    },

    get(digest, signal) {
      signal.throwIfAborted();
      return read(digest);
    },

    async keep(digests, signal) {
      let gone = 0;
      for (const name of await readdir(directory)) {
        signal.throwIfAborted();
        if (!/^[0-9a-f]{64}$/.test(name) || digests.has(name as Digest)) continue;
        await removed(join(directory, name));
        gone++;
      }
      if (gone > 0) await syncDirectory(directory);
    },
  };
}

/**
 * A digest with a key of this host's, kept in `file` (0600) and made when it is missing: for what others may see, such as the label of a
 * Podman secret. A key that was lost makes all digests differ, and what is compared by them is done once more.
 */
export async function openKeyedDigest(file: string, signal: AbortSignal): Promise<(content: Uint8Array | string) => string> {
  signal.throwIfAborted();
  const key = (await presentKey(file)) ?? (await newKey(file));
  return (content) => createHmac("sha256", key).update(content).digest("hex");
}

const keyLength = 32;

async function presentKey(file: string): Promise<Buffer | undefined> {
  try {
    const key = await readFile(file);
    return key.length === keyLength ? key : undefined;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new Error(`read the key of digests ${file}`, { cause: error });
  }
}

async function newKey(file: string): Promise<Buffer> {
  const key = randomBytes(keyLength);
  try {
    await privateDirectory(join(file, ".."));
    await writeDurably(file, key);
  } catch (error) {
    throw new Error(`write the key of digests ${file}`, { cause: error });
  }
  return key;
}

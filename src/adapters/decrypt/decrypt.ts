/** Decrypts files of Git with age keys of this host: age's own and those of SOPS. Nothing of a file or a key is ever in a message. */

import { readFile, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";

import { encryptionOf, sopsFormatOf } from "../../core/encrypted.ts";
import { success, trouble, type Result } from "../../core/result.ts";
import type { AgeKey } from "../../core/secrets-config.ts";
import type { Decrypter } from "../../ports.ts";
import { openSops } from "./sops.ts";

export interface DecrypterSettings {
  /** `[secrets] age_key`; undefined: there is none, and encrypted files are a trouble. */
  readonly key: AgeKey | undefined;
  /** `[secrets] directory`: a relative key file is below it. */
  readonly directory: string;
  /** pgo's own, for CREDENTIALS_DIRECTORY (systemd.exec(5), LoadCredential=). */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * The key is read anew for each file, so that one that was replaced counts; age's code is loaded with the first. A file that is not
 * encrypted comes back as it is.
 *
 * Formats: age, binary or armored, for X25519 and hybrid recipients (`age1…`, `age1pq…`): no passphrases, SSH keys or plugins. SOPS with
 * age keys, as YAML, JSON, dotenv, INI and binary by the file's name; its MAC is always checked.
 */
export function openDecrypter(settings: DecrypterSettings): Decrypter {
  return {
    async decrypt({ path, content }, signal) {
      const encryption = encryptionOf(path, content);
      if (encryption === undefined) return success(content);
      if (settings.key === undefined)
        return trouble(`is encrypted with ${encryption}, and pgo has no key: set age_key below [secrets] in pgo.toml`);
      const keys = await keysOf(settings, signal);
      if (!keys.ok) return trouble(`is encrypted with ${encryption}: ${keys.trouble}`);
      const opener = await openerOf(keys.value);
      signal.throwIfAborted();
      return encryption === "age" ? opener(content) : await openSops(content, sopsFormatOf(path), opener);
    },
  };
}

/** Where the key's file is, if it may be told: to watch it for changes. */
export function ageKeyFile({ key, directory, environment }: DecrypterSettings): string | undefined {
  if (key === undefined) return undefined;
  if ("file" in key) return isAbsolute(key.file) ? key.file : join(directory, key.file);
  const credentials = environment["CREDENTIALS_DIRECTORY"];
  return credentials === undefined || !/^[^/]+$/.test(key.credential) || /^\.\.?$/.test(key.credential)
    ? undefined
    : join(credentials, key.credential);
}

/** Decrypts what age has encrypted, armored or not. */
export type Opener = (encrypted: Uint8Array) => Promise<Result<Uint8Array, string>>;

interface Keys {
  readonly identities: readonly string[];
  /** "the 2 keys of /etc/pgo/age.key". */
  readonly called: string;
}

async function keysOf(settings: DecrypterSettings, signal: AbortSignal): Promise<Result<Keys, string>> {
  const file = ageKeyFile(settings);
  const named =
    settings.key !== undefined && "credential" in settings.key ? `credential "${settings.key.credential}"` : `key file ${file ?? ""}`;
  if (file === undefined)
    return trouble(`${named} is not there: add LoadCredential= to pgo's unit, and CREDENTIALS_DIRECTORY to its container`);
  let text: string;
  try {
    const { mode, uid } = await stat(file);
    // As ssh(1) has it with private keys: only where the file is the user's own, since elsewhere it can't be put right.
    if (uid === process.getuid?.() && (mode & 0o077) !== 0) return trouble(`${named} can be read by others: chmod 600 ${file}`);
    text = await readFile(file, { encoding: "utf8", signal });
  } catch (error) {
    signal.throwIfAborted();
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
    if (code === "ENOENT" || code === "ENOTDIR")
      return trouble(`${named} is not there (pgo's container sees what is mounted: keep it beside pgo.toml)`);
    return trouble(`${named} can't be read (${code}): check its owner and mode`);
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const odd = lines.findIndex((line) => line !== "" && !line.startsWith("#") && !/^AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]+$/.test(line));
  if (odd >= 0) return trouble(`${named} has in line ${String(odd + 1)} no secret key of age: age-keygen makes such files`);
  const identities = lines.filter((line) => line.startsWith("AGE-SECRET-KEY-"));
  if (identities.length === 0) return trouble(`${named} holds no key: age-keygen makes one`);
  return success({ identities, called: `${identities.length === 1 ? "the key" : `the ${String(identities.length)} keys`} of ${named}` });
}

async function openerOf({ identities, called }: Keys): Promise<Opener> {
  const age = await import("age-encryption");
  const recipients = async (): Promise<string> => {
    const public_ = await Promise.all(identities.map((one) => age.identityToRecipient(one)));
    // A hybrid recipient has 2,000 characters.
    return public_.map((one) => (one.length > 80 ? `${one.slice(0, 40)}…` : one)).join(", ");
  };
  return async (encrypted) => {
    const decrypter = new age.Decrypter();
    try {
      for (const one of identities) decrypter.addIdentity(one);
    } catch {
      return trouble(`can't be decrypted: ${called} can't be used: it is cut off or mistyped`);
    }
    try {
      return success(await decrypter.decrypt(armored(encrypted) ? age.armor.decode(Buffer.from(encrypted).toString("latin1")) : encrypted));
    } catch (error) {
      // Only told apart, never repeated.
      if (error instanceof Error && error.message.includes("no identity matched"))
        return trouble(`can't be decrypted: ${called} is none of its recipients: encrypt it for ${await recipients()} too`);
      return trouble("can't be decrypted: it is damaged, or is no file of age");
    }
  };
}

const armored = (content: Uint8Array): boolean =>
  /^\s*-----BEGIN AGE ENCRYPTED FILE-----/.test(Buffer.from(content.subarray(0, 200)).toString("latin1"));

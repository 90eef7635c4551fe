/** SOPS: the data key, the values and the MAC over them, after the rules of getsops/sops (sops.go, aes/cipher.go, stores/). */

import { createDecipheriv, createHash, timingSafeEqual } from "node:crypto";

import { z } from "zod";

import type { SopsFormat } from "../../core/encrypted.ts";
import { success, trouble, type Result } from "../../core/result.ts";
import type { Opener } from "./decrypt.ts";
import { Damaged, type Decrypted, type Leaf, type Plain, type SopsDocument } from "./document.ts";
import { dotenvDocument } from "./dotenv.ts";
import { iniDocument } from "./ini.ts";
import { binaryDocument, jsonDocument } from "./json.ts";

/** The plain file. The trouble fits behind the file's name. */
export async function openSops(content: Uint8Array, format: SopsFormat, opener: Opener): Promise<Result<Uint8Array, string>> {
  try {
    const document = await documentOf(Buffer.from(content).toString("utf8"), format);
    const metadata = metadataOf(document);
    const key = await dataKey(metadata, opener);
    if (!key.ok) return key;
    const mac = decryptLeaves(document, metadata, key.value);
    return isRightMac(mac, metadata, key.value)
      ? success(document.content())
      : trouble("was changed without sops: its values don't fit its MAC; edit it with sops, also to resolve a merge");
  } catch (error) {
    if (error instanceof Damaged) return trouble(`can't be decrypted: ${error.message}`);
    throw error;
  }
}

async function documentOf(text: string, format: SopsFormat): Promise<SopsDocument> {
  switch (format) {
    case "yaml":
      return (await import("./yaml.ts")).yamlDocument(text);
    case "json":
      return jsonDocument(text);
    case "dotenv":
      return dotenvDocument(text);
    case "ini":
      return iniDocument(text);
    case "binary":
      return binaryDocument(text);
  }
}

// ---- metadata ----

const optional = z.string().nullish();

const shape = z.object({
  age: z.array(z.object({ recipient: z.string(), enc: z.string() })).nullish(),
  lastmodified: z.string(),
  mac: z.string(),
  unencrypted_suffix: optional,
  encrypted_suffix: optional,
  unencrypted_regex: optional,
  encrypted_regex: optional,
  unencrypted_comment_regex: optional,
  encrypted_comment_regex: optional,
  mac_only_encrypted: z.union([z.boolean(), z.stringbool()]).nullish(),
  key_groups: z.array(z.unknown()).nullish(),
});
type Metadata = z.infer<typeof shape>;

function metadataOf(document: SopsDocument): Metadata {
  const { success: right, data } = shape.safeParse(document.metadata);
  if (!right) throw new Damaged("what sops wrote about it is damaged");
  if ((data.key_groups ?? []).length > 0) throw new Damaged("it needs keys of several groups (Shamir's sharing), which pgo does not do");
  if (data.mac_only_encrypted === true && (data.encrypted_comment_regex ?? data.unencrypted_comment_regex ?? "") !== "")
    throw new Damaged("it has rules by comments together with mac_only_encrypted, which pgo does not do");
  return data;
}

async function dataKey({ age }: Metadata, opener: Opener): Promise<Result<Uint8Array, string>> {
  let last: Result<Uint8Array, string> = trouble("can't be decrypted: it is for no age key: add one with sops updatekeys");
  for (const { enc } of age ?? []) {
    last = await opener(Buffer.from(enc));
    if (last.ok) return last.value.length === 32 ? last : trouble("can't be decrypted: its data key is damaged");
  }
  return last;
}

/** Which values are encrypted, by the keys on the way to them: at most one rule, and without one the suffix (stores.go, ToInternal). */
function ruleOf(metadata: Metadata): (leaf: Leaf) => boolean {
  const given = (text: string | null | undefined): text is string => text !== undefined && text !== null && text !== "";
  const some = (leaf: Leaf, test: (key: string) => boolean): boolean => (leaf.paths[0] ?? []).some(test);
  const { encrypted_suffix, encrypted_regex, unencrypted_regex, unencrypted_suffix } = metadata;
  if (given(encrypted_suffix)) return (leaf) => some(leaf, (key) => key.endsWith(encrypted_suffix));
  if (given(encrypted_regex)) {
    const expression = expressionOf(encrypted_regex);
    return (leaf) => some(leaf, (key) => expression.test(key));
  }
  if (given(unencrypted_regex)) {
    const expression = expressionOf(unencrypted_regex);
    return (leaf) => !some(leaf, (key) => expression.test(key));
  }
  // By comments: told by the look of the value, which can't do harm, since the MAC is over all of them.
  if (given(metadata.encrypted_comment_regex) || given(metadata.unencrypted_comment_regex)) return ({ value }) => isEncrypted(value);
  const suffix = given(unencrypted_suffix) ? unencrypted_suffix : "_unencrypted";
  return (leaf) => !some(leaf, (key) => key.endsWith(suffix));
}

/** Go's expressions and JavaScript's agree in what such rules use, but for flags at the beginning. */
function expressionOf(source: string): RegExp {
  try {
    const flags = /^\(\?([ims]+)\)/.exec(source);
    return new RegExp(source.slice(flags?.[0].length ?? 0), `u${flags?.[1] ?? ""}`);
  } catch {
    throw new Damaged("its rule of what is encrypted is an expression that pgo can't read");
  }
}

// ---- values ----

const pattern = /^ENC\[AES256_GCM,data:(.+),iv:(.+),tag:(.+),type:(.+)\]$/s;

function isEncrypted(value: Plain): value is string {
  return typeof value === "string" && pattern.test(value);
}

/** Decrypts them in place; gives the MAC of what they were. */
function decryptLeaves(document: SopsDocument, metadata: Metadata, key: Uint8Array): Buffer {
  const hash = createHash("sha512");
  const only = metadata.mac_only_encrypted === true;
  // So that such a MAC can never be one of the other kind (sops.go, MACOnlyEncryptedInitialization).
  if (only) hash.update(createHash("sha256").update("sops").digest());
  const shouldBeEncrypted = ruleOf(metadata);
  for (const leaf of document.leaves) {
    const { value, comment, paths } = leaf;
    if (value === null) continue;
    if (comment) {
      // sops leaves one as it is that it can't decrypt: it may never have been encrypted.
      const open = isEncrypted(value)
        ? paths.map((path) => decrypted(value, key, additional(path))).find((one) => one !== undefined)
        : undefined;
      if (open !== undefined) leaf.write(open);
      continue;
    }
    const encrypted = shouldBeEncrypted(leaf);
    if (!encrypted) {
      if (!only) hash.update(bytesOf(value));
      continue;
    }
    // An empty value stays as it is.
    if (value === "") continue;
    const open = isEncrypted(value) ? decrypted(value, key, additional(paths[0] ?? [])) : undefined;
    const where = (paths[0] ?? []).join(".");
    if (open === undefined)
      throw new Damaged(
        isEncrypted(value)
          ? `its value at ${where} is damaged, or was moved there`
          : `its value at ${where} is not encrypted: edit it with sops`,
      );
    leaf.write(open);
    if (open.kind !== "comment") hash.update(open.bytes);
  }
  return hash.digest();
}

const additional = (path: readonly string[]): string => `${path.join(":")}:`;

function isRightMac(mac: Buffer, metadata: Metadata, key: Uint8Array): boolean {
  const kept = decrypted(metadata.mac, key, metadata.lastmodified);
  const expected = Buffer.from(mac.toString("hex").toUpperCase());
  return kept?.bytes.length === expected.length && timingSafeEqual(kept.bytes, expected);
}

const kinds: readonly Decrypted["kind"][] = ["str", "int", "float", "bool", "time", "comment"];

/** Undefined where key or additional text don't fit, or the value is damaged. */
function decrypted(value: string, key: Uint8Array, authenticated: string): Decrypted | undefined {
  const [, text = "", iv = "", tag = "", type = ""] = pattern.exec(value) ?? [];
  const kind = type === "bytes" ? "str" : kinds.find((one) => one === type);
  const tagBytes = Buffer.from(tag, "base64");
  // A shorter tag would be easier to forge.
  if (kind === undefined || tagBytes.length !== 16) return undefined;
  try {
    const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(iv, "base64"), { authTagLength: 16 });
    decipher.setAAD(Buffer.from(authenticated)).setAuthTag(tagBytes);
    return { kind, bytes: Buffer.concat([decipher.update(Buffer.from(text, "base64")), decipher.final()]) };
  } catch {
    return undefined;
  }
}

/** As Go prints them (sops.go, ToBytes). */
function bytesOf(value: string | number | bigint | boolean): string {
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "number" ? withoutExponent(value) : String(value);
}

/** strconv.FormatFloat(value, 'f', -1, 64): the shortest digits, as JavaScript has them too, but never with an exponent. */
function withoutExponent(value: number): string {
  const [, sign = "", whole = "", part = "", exponent] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value)) ?? [];
  if (exponent === undefined) return String(value);
  const digits = whole + part;
  const point = whole.length + Number(exponent);
  if (point <= 0) return `${sign}0.${"0".repeat(-point)}${digits}`;
  return sign + (point >= digits.length ? digits.padEnd(point, "0") : `${digits.slice(0, point)}.${digits.slice(point)}`);
}

/** Which files of Git are encrypted, with what, and what the plain file is called. */

export type Encryption = "age" | "sops";
export type SopsFormat = "yaml" | "json" | "dotenv" | "ini" | "binary";

/** Encrypted is a file named `*.age`, and any file in which sops has left its marks for that file's format. */
export function encryptionOf(path: string, content: Uint8Array): Encryption | undefined {
  if (path.endsWith(".age")) return "age";
  // Each file that sops writes has this word; most others end here.
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  return bytes.includes("sops") && marks[sopsFormatOf(path)].every((mark) => mark.test(bytes.toString("utf8"))) ? "sops" : undefined;
}

/** Without `.age`; a file that sops has encrypted keeps its name. */
export function plainName(path: string, encryption: Encryption | undefined): string {
  return encryption === "age" ? path.replace(/\.age$/, "") : path;
}

/** As sops itself goes by the name (cmd/sops/formats). */
export function sopsFormatOf(path: string): SopsFormat {
  if (/\.ya?ml$/.test(path)) return "yaml";
  if (path.endsWith(".json")) return "json";
  if (path.endsWith(".env")) return "dotenv";
  return path.endsWith(".ini") ? "ini" : "binary";
}

const json = [/"sops"\s*:\s*\{/, /"mac"\s*:\s*"ENC\[AES256_GCM,/];

const marks: Readonly<Record<SopsFormat, readonly RegExp[]>> = {
  yaml: [/^sops:[ \t]*$/m, /^[ \t]+["']?mac["']?:\s*["']?ENC\[AES256_GCM,/m],
  json,
  dotenv: [/^sops_mac=ENC\[AES256_GCM,/m],
  ini: [/^\[sops\]\s*$/m, /^mac\s*=\s*ENC\[AES256_GCM,/m],
  binary: json,
};

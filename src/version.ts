/** The version of this pgo, as package.json says it. */

import { readFileSync } from "node:fs";

/** Read when asked, once for each start. */
export function versionOf(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed === "object" && parsed !== null && "version" in parsed && typeof parsed.version === "string") return parsed.version;
  throw new Error("read package.json: it has no version");
}

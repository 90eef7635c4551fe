/** Takes out of a text what this host must keep to itself, as far as pgo knows it. */

import type { Bundle } from "../core/bundle.ts";
import { secretValues } from "../core/secret-values.ts";
import { redactor } from "../core/redact.ts";
import type { Context } from "./context.ts";

/**
 * All secrets of the host as they are now, and what the applications' processed and decrypted files hold, as they were when these were
 * rendered. Throws where the secrets can't be read: better no text than one with a secret in it.
 */
export async function redaction(bundles: readonly Bundle[], context: Context, signal: AbortSignal): Promise<(text: string) => string> {
  const { secrets, sealed, store } = context;
  const values = [...(await secrets.snapshot(signal)).values.values()];
  for (const { digest } of bundles) {
    const stored = store.bundle(digest);
    if (stored === undefined) continue;
    const open = [...stored.entries.values()].flatMap((entry) => (entry.kind === "file" ? [Buffer.from(entry.content).toString()] : []));
    for (const one of new Set([...stored.sealed.values()].map((file) => file.sealed))) {
      const content = await sealed.get(one, signal);
      if (content !== undefined) values.push(...secretValues(Buffer.from(content).toString(), open));
    }
  }
  return redactor(values);
}

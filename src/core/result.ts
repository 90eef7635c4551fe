/** Expected trouble as a value: what a caller must look at, where an exception would be a surprise. */

export type Result<Value, Trouble> = { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly trouble: Trouble };

export const success = <Value>(value: Value): { readonly ok: true; readonly value: Value } => ({ ok: true, value });
export const trouble = <Trouble>(trouble: Trouble): { readonly ok: false; readonly trouble: Trouble } => ({ ok: false, trouble });

/** The one line that an unexpected error is told in, its causes included. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${reasonOf(error.cause)}`;
}

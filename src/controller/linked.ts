/** A signal of one's own that ends with an outer one, without leaving anything behind in the outer one. */

/**
 * Gives `work` a controller that is aborted when `signal` is. AbortSignal.any would do the same, but leaks a few kilobytes into a
 * long-lived signal with each call where Node's http and net listen to it (seen with Node 24.21), and pgo's lives for months.
 */
export async function linked<Value>(signal: AbortSignal, work: (inner: AbortController) => Promise<Value>): Promise<Value> {
  signal.throwIfAborted();
  const inner = new AbortController();
  const end = () => {
    inner.abort(signal.reason);
  };
  signal.addEventListener("abort", end, { once: true });
  try {
    return await work(inner);
  } finally {
    signal.removeEventListener("abort", end);
    inner.abort(new Error("over"));
  }
}

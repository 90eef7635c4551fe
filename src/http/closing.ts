/** Ending an HTTP server in bounded time: what is asked may finish quickly, what does not is cut off. */

import type { Server } from "node:http";

/** Until open requests are cut off, in milliseconds; the whole of closing takes less than a second. */
const grace = 700;

/** Takes no more connections, ends idle ones now and busy ones after a moment; resolves when all are gone. Twice is once. */
export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeIdleConnections();
  const cut = setTimeout(() => {
    server.closeAllConnections();
  }, grace);
  await closed;
  clearTimeout(cut);
}

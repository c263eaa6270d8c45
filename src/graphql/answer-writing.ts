import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';

/**
 * Writes pieces one by one, each made when the one before it is on its way, so that no answer is in memory as a whole; between two of them others get
 * their turn. Ends where the client has gone.
 */
export async function writePieces(response: ServerResponse, pieces: Iterable<string>): Promise<void> {
  for (const piece of pieces) {
    if (response.destroyed) return;
    if (response.write(piece)) await setImmediate();
    else await drained(response);
  }
}

/** Waits until what was written has gone out, or the client has. */
export async function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed || !response.writableNeedDrain) return;
  const over = new AbortController();
  const { signal } = over;
  await Promise.race([once(response, 'drain', { signal }), once(response, 'close', { signal })]).catch(() => undefined);
  over.abort();
}

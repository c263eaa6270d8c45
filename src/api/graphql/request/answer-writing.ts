import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { createTurns } from '../../../ledger/turns.ts';

/** One piece of all large answers of this process is made in a turn of the event loop, so that small requests get on between two of them. */
const turns = createTurns(1);

/** The next piece of an answer, when it is its owner's turn; `undefined` after the last. */
export function nextPiece(owner: string, pieces: Iterator<string>): Promise<string | undefined> {
  return turns.take(owner, async () => {
    await setImmediate();
    const { value, done } = pieces.next();
    return done ? undefined : value;
  });
}

/** Writes pieces one by one, each made when the one before it is on its way: no answer is in memory as a whole. Ends where the client has gone. */
export async function writePieces(response: ServerResponse, pieces: Iterable<string>, owner: string): Promise<void> {
  const iterator = pieces[Symbol.iterator]();
  while (!response.destroyed) {
    const piece = await nextPiece(owner, iterator);
    if (piece === undefined) return;
    if (!response.write(piece)) await drained(response);
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

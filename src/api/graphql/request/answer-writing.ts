import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { GraphQLContext } from '../schema/builder.ts';

/** What gives out turns of the event loop. */
export type Turning = Pick<GraphQLContext['load'], 'turn'>;

/** What a piece of an answer takes the event loop for, about: its length. */
const PIECE_BYTES = 64 * 1024;

/** The next piece of a large answer, when it is its owner's turn; `undefined` after the last. Small requests get on between two of them. */
export async function nextPiece(load: Turning, pieces: Iterator<string>): Promise<string | undefined> {
  await load.turn(PIECE_BYTES);
  const { value, done } = pieces.next();
  return done ? undefined : value;
}

/** Writes pieces one by one, each made when the one before it is on its way: no answer is in memory as a whole. Ends where the client has gone. */
export async function writePieces(response: ServerResponse, pieces: Iterable<string>, load: Turning): Promise<void> {
  const iterator = pieces[Symbol.iterator]();
  while (!response.destroyed) {
    const piece = await nextPiece(load, iterator);
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

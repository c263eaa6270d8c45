import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { PIECE_LENGTH } from './answer-text.ts';
import type { GraphQLContext } from './builder.ts';

/**
 * Writes pieces one by one, each made when the one before it is on its way and it is this owner's turn, so that no answer is in memory as a whole and others get to
 * the event loop between two of them. Ends where the client has gone.
 */
export async function writePieces(
  response: ServerResponse,
  pieces: Iterable<string>,
  load: Pick<GraphQLContext['load'], 'turn'>,
): Promise<void> {
  const rest = pieces[Symbol.iterator]();
  while (!response.destroyed) {
    await load.turn(PIECE_LENGTH);
    const piece = rest.next();
    if (piece.done === true) return;
    response.write(piece.value);
    await drained(response);
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

import { setTimeout as sleep, setImmediate as untilNextRound } from 'node:timers/promises';
import { createTurns } from '../ledger/turns.ts';

/** Bytes of JSON or of results from which on they hold the event loop long enough to be noticed: some ten milliseconds. */
const HEAVY_BYTES = 1024 * 1024;

/** The most that the event loop is left to others between two heavy pieces. */
const REST_MS_MAX = 100;

/** Pieces of work that hold the event loop, parsing and writing of what is large: one at a time, owner by owner. */
export interface HeavyTurns {
  /** Resolves when it is this owner's turn, which is what follows without waiting again; `undefined` where so few bytes need none. */
  enter(owner: string, bytes: number): Promise<void> | undefined;
}

export function createHeavyTurns(): HeavyTurns {
  const turns = createTurns(1);
  return {
    enter(owner, bytes) {
      if (bytes < HEAVY_BYTES) return undefined;
      return new Promise((resolve) => {
        void turns.take(owner, async () => {
          const startedAt = performance.now();
          resolve();
          // What the promise's owner does without waiting is done by then.
          await untilNextRound();
          // An ordinary request takes several rounds of the event loop: each would wait for one heavy piece.
          if (turns.waiting() > 0) await sleep(Math.min(REST_MS_MAX, performance.now() - startedAt));
        });
      });
    },
  };
}

import { setTimeout as sleep, setImmediate as untilNextRound } from 'node:timers/promises';
import { createFairQueue } from '../../ledger/fair-queue.ts';

/** Bytes of JSON from which on they take longer than all else about a request; a crowd of such requests is noticed. */
const HEAVY_BYTES = 16 * 1024;

/** Larger work has a queue of its own: a large answer that is written in hundreds of pieces would wait as often for a long one, and for the rest after it. */
const PIECE_BYTES_MAX = 64 * 1024;

/** After a piece that took so long others are given as much time, up to a bound: an ordinary request takes several rounds of the event loop. */
const LONG_MS = 20;
const REST_MS_MAX = 1_000;

/** Pieces of work that hold the event loop, parsing and writing of what is large: one at a time, owner by owner. */
export interface HeavyWork {
  /** Resolves when it is this owner's turn, which is what follows without waiting again; `undefined` where so few bytes need none. */
  enter(owner: string, bytes: number): Promise<void> | undefined;
}

export function createHeavyWork(): HeavyWork {
  const pieces = createFairQueue(1);
  const wholes = createFairQueue(1);
  return {
    enter(owner, bytes) {
      if (bytes < HEAVY_BYTES) return undefined;
      const queue = bytes <= PIECE_BYTES_MAX ? pieces : wholes;
      return new Promise((resolve) => {
        void queue.run(owner, async () => {
          const startedAt = performance.now();
          resolve();
          // What the promise's owner does without waiting is done by then.
          await untilNextRound();
          const tookMs = performance.now() - startedAt;
          if (queue === wholes && tookMs > LONG_MS && queue.waiting() > 0) await sleep(Math.min(REST_MS_MAX, tookMs));
        });
      });
    },
  };
}

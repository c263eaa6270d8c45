import { type Holding, hasRoom, isFull, refusal, type StoreRoom } from '../room.ts';
import type { Tally } from '../tally.ts';

/** The room of the one process that fills it: counted exactly, and where an owner's share is used up, its own oldest results go. */
export interface MemoryRoom extends StoreRoom {
  /** Throws `StoreFull` where the owner has no result left that could make room. */
  make(owner: string, bytes: number): void;
}

/** `evict` lets go of an owner's oldest result; `false` where there is none. */
export function createMemoryRoom(tally: Tally, max: number, evict: (owner: string) => boolean): MemoryRoom {
  const holdingOf = (owner: string): Holding => ({ held: tally.of(owner), used: tally.total, max });

  function make(owner: string, bytes: number): void {
    while (!hasRoom(holdingOf(owner), bytes)) {
      if (!evict(owner)) throw refusal(holdingOf(owner), bytes);
    }
  }

  return {
    make,
    // Nothing is held for what comes next: inputs and results are counted by themselves, before they are kept.
    async take(owner, bytes) {
      make(owner, bytes);
      return () => undefined;
    },
    level: () => ({ bytes: tally.total, limit: max, isFull: isFull({ used: tally.total, max }) }),
  };
}

import type { Holding } from '../room.ts';
import { Tally } from '../tally.ts';
import type { RedisMemory } from './redis-memory.ts';
import type { Usage } from './redis-usage.ts';

/** What one look at Redis found. */
export interface Found extends Usage {
  memory: RedisMemory | undefined;
}

interface Reading extends Found {
  /** When it began, by `performance.now()`. */
  at: number;
  /** Bytes on their way to Redis at the time: not counted there, but their memory may be in use. */
  underWay: number;
}

/** What each owner holds: what was read last, and what this process has written since. */
export interface RedisHoldings {
  /** The last reading; `undefined` before the first. */
  last(): Reading | undefined;
  /** Reads anew; where that fails, all stays as it was. */
  read(look: () => Promise<Found>): Promise<void>;
  of(owner: string): Holding;
  /** Counts in what is about to be written; returns the function to call when it was. */
  take(owner: string, bytes: number): () => void;
}

export function createRedisHoldings(): RedisHoldings {
  let last: Reading | undefined;
  /** Taken, and perhaps not in the last reading. */
  const pending = new Tally();
  /** Of that, what was written before the next reading begins: that one sees it. */
  let written = new Tally();
  /** Taken since the last reading began, which therefore has none of it. */
  let fresh = new Tally();

  return {
    last: () => last,
    async read(look) {
      const at = performance.now();
      const [seen, before] = [written, fresh];
      written = new Tally();
      fresh = new Tally();
      try {
        const found = await look();
        for (const [owner, bytes] of seen.entries()) pending.add(owner, -bytes);
        last = { ...found, at, underWay: pending.total };
      } catch (error) {
        for (const [owner, bytes] of seen.entries()) written.add(owner, bytes);
        for (const [owner, bytes] of before.entries()) fresh.add(owner, bytes);
        throw error;
      }
    },
    of(owner) {
      const counted = last?.bytes.total ?? 0;
      // What the reading may have seen already counts twice for its owner only: nobody else is refused for it.
      const used = counted + fresh.total - fresh.of(owner) + pending.of(owner);
      const held = (last?.bytes.of(owner) ?? 0) + pending.of(owner);
      const { memory, underWay = 0 } = last ?? {};
      // What else is in that Redis, or was counted as less than it takes, leaves less room.
      const max = memory ? Math.min(memory.limit, counted + underWay + memory.free) : Number.POSITIVE_INFINITY;
      return { held, used, max };
    },
    take(owner, bytes) {
      pending.add(owner, bytes);
      fresh.add(owner, bytes);
      return () => written.add(owner, bytes);
    },
  };
}

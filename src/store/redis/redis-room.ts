import { createReading } from '../../async/reading.ts';
import { within } from '../../async/within.ts';
import type { Log } from '../../process/log.ts';
import type { RedisConnection } from '../../redis/connection.ts';
import { hasRoom, isFull, refusal, type StoreRoom } from '../room.ts';
import { createRedisHoldings } from './redis-holdings.ts';
import { readMemory } from './redis-memory.ts';
import { readUsage } from './redis-usage.ts';

/** How often what is counted is read, and only while something is written: before a refusal, where more than half is taken, and else. */
const READING_MS = { refusing: 50, near: 250, far: 1_000 } as const;

/** A figure this old says nothing about a store that others fill as well. */
const READING_OLD_MS = 2_000;

/** Nobody waits longer for a reading: a refusal has to come within a second. */
const READING_WAIT_MS = 500;

/** What is on its way takes as much again, in the buffers of the connection that it comes by. */
const ON_ITS_WAY = 2;

/** The least and the most that is said of when to come back, when the first of the owner's results expire. A task that ends makes room sooner. */
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 60_000;

/** The room of a Redis that several processes fill. */
export function createRedisRoom({ commands, log }: { commands: RedisConnection; log: Log }): StoreRoom {
  const holdings = createRedisHoldings();
  const look = async () => {
    const [usage, memory] = await Promise.all([readUsage(commands), readMemory(commands, log)]);
    return { ...usage, memory };
  };
  // Nobody may be waiting for this, and whatever is written next says what is wrong.
  const read = createReading(() =>
    holdings.read(look).catch((err: unknown) => log.debug({ err }, 'store usage not read')),
  );
  const readSoon = () => {
    const { used, max } = holdings.of('');
    return read(used > max / 2 ? READING_MS.near : READING_MS.far);
  };

  /** Whether a submission should rather wait for the figure that is being read. */
  function mayDecideWrongly(bytes: number): boolean {
    const last = holdings.last();
    const { used, max } = holdings.of('');
    if (!last) return true;
    if (max === Number.POSITIVE_INFINITY) return false;
    return used + bytes > max / 2 || performance.now() - last.at > READING_OLD_MS;
  }

  function retryAfterMs(owner: string): number | undefined {
    const freeAt = holdings.last()?.freeAt.get(owner);
    return freeAt && Math.min(Math.max(freeAt - Date.now(), RETRY_MS_MIN), RETRY_MS_MAX);
  }

  return {
    async take(owner, bytes) {
      const due = readSoon();
      if (mayDecideWrongly(bytes)) await within(READING_WAIT_MS, due);
      const taken = ON_ITS_WAY * bytes;
      if (!hasRoom(holdings.of(owner), taken)) await within(READING_WAIT_MS, read(READING_MS.refusing));
      const holding = holdings.of(owner);
      if (!hasRoom(holding, taken)) throw refusal(holding, bytes, retryAfterMs(owner));
      return holdings.take(owner, taken);
    },
    level() {
      void readSoon();
      const { used, max } = holdings.of('');
      return { bytes: used, limit: max === Number.POSITIVE_INFINITY ? undefined : max, isFull: isFull({ used, max }) };
    },
  };
}

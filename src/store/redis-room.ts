import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../log.ts';
import type { RedisConnection } from './redis-connection.ts';
import { type RedisMemory, readMemory } from './redis-memory.ts';
import { readUsage, type Usage } from './redis-usage.ts';
import { type Holding, hasRoom, isFull, refusal, type StoreRoom } from './room.ts';
import { Tally } from './tally.ts';

/** How often what is counted is read, and only while something is written: where more than half is taken, and else. */
const READING_MS = { near: 250, far: 1_000 } as const;

/** A figure this old says nothing about a store that others fill as well. */
const READING_OLD_MS = 2_000;

/** Nobody waits longer for a reading: a refusal has to come within a second. */
const READING_WAIT_MS = 500;

/** The least and the most that is said of when to come back, when the first of the owner's results expire. A task that ends makes room sooner. */
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 60_000;

interface Reading extends Usage {
  /** When it began, by `performance.now()`. */
  at: number;
  memory: RedisMemory | undefined;
  /** Bytes on their way to Redis at the time: not counted there, but their memory may be in use. */
  underWay: number;
}

/** The room of a Redis that several processes fill: what was read last, and what this process has written since. */
export function createRedisRoom({ commands, log }: { commands: RedisConnection; log: Log }): StoreRoom {
  let last: Reading | undefined;
  let reading: Promise<void> | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  /** Taken, and perhaps not in the last reading. */
  const pending = new Tally();
  /** Of that, what was written before the next reading begins: that one sees it. */
  let written = new Tally();

  async function read(): Promise<void> {
    const at = performance.now();
    const seen = written;
    written = new Tally();
    try {
      const [usage, memory] = await Promise.all([readUsage(commands), readMemory(commands, log)]);
      for (const [owner, bytes] of seen.entries()) pending.add(owner, -bytes);
      last = { ...usage, at, memory, underWay: pending.total };
    } catch (err) {
      // Nobody may be waiting for this, and whatever is written next says what is wrong.
      for (const [owner, bytes] of seen.entries()) written.add(owner, bytes);
      log.debug({ err }, 'store usage not read');
    }
  }

  /** The reading in flight, if one is due. */
  function refresh(): Promise<void> | undefined {
    if (!reading && performance.now() - readAt >= everyMs()) {
      readAt = performance.now();
      reading = read().finally(() => {
        reading = undefined;
      });
    }
    return reading;
  }

  function everyMs(): number {
    const { used, max } = holdingOf('');
    return used > max / 2 ? READING_MS.near : READING_MS.far;
  }

  function holdingOf(owner: string): Holding {
    const counted = last?.bytes.total ?? 0;
    const used = counted + pending.total;
    const held = (last?.bytes.of(owner) ?? 0) + pending.of(owner);
    const { memory, underWay = 0 } = last ?? {};
    // What else is in that Redis, or was counted as less than it takes, leaves less room.
    const max = memory ? Math.min(memory.limit, counted + underWay + memory.free) : Number.POSITIVE_INFINITY;
    return { held, used, max };
  }

  /** Whether a submission should rather wait for the figure that is being read. */
  function mayDecideWrongly(bytes: number): boolean {
    const { used, max } = holdingOf('');
    if (!last) return true;
    if (max === Number.POSITIVE_INFINITY) return false;
    return used + bytes > max / 2 || performance.now() - last.at > READING_OLD_MS;
  }

  function retryAfterMs(owner: string): number | undefined {
    const freeAt = last?.freeAt.get(owner);
    return freeAt && Math.min(Math.max(freeAt - Date.now(), RETRY_MS_MIN), RETRY_MS_MAX);
  }

  return {
    async take(owner, bytes) {
      const due = refresh();
      if (due && mayDecideWrongly(bytes)) await inTime(due);
      const holding = holdingOf(owner);
      if (!hasRoom(holding, bytes)) throw refusal(holding, bytes, retryAfterMs(owner));
      pending.add(owner, bytes);
      return () => written.add(owner, bytes);
    },
    level() {
      void refresh();
      const { used, max } = holdingOf('');
      return { bytes: used, limit: max === Number.POSITIVE_INFINITY ? undefined : max, isFull: isFull({ used, max }) };
    },
  };
}

async function inTime(reading: Promise<void>): Promise<void> {
  const waited = new AbortController();
  const late = sleep(READING_WAIT_MS, undefined, { signal: waited.signal }).catch(() => undefined);
  await Promise.race([reading, late]);
  waited.abort();
}

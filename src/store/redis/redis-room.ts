import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../process/log.ts';
import type { RedisConnection } from '../../redis/connection.ts';
import { type Holding, hasRoom, isFull, refusal, type StoreRoom } from '../room.ts';
import { Tally } from '../tally.ts';
import { type RedisMemory, readMemory } from './redis-memory.ts';
import { readUsage, type Usage } from './redis-usage.ts';

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
  /** Taken since the last reading began, which therefore has none of it. */
  let fresh = new Tally();

  async function read(): Promise<void> {
    const at = performance.now();
    const seen = written;
    written = new Tally();
    const before = fresh;
    fresh = new Tally();
    try {
      const [usage, memory] = await Promise.all([readUsage(commands), readMemory(commands, log)]);
      for (const [owner, bytes] of seen.entries()) pending.add(owner, -bytes);
      last = { ...usage, at, memory, underWay: pending.total };
    } catch (err) {
      // Nobody may be waiting for this, and whatever is written next says what is wrong.
      for (const [owner, bytes] of seen.entries()) written.add(owner, bytes);
      for (const [owner, bytes] of before.entries()) fresh.add(owner, bytes);
      log.debug({ err }, 'store usage not read');
    }
  }

  /** The reading in flight, if one is due. */
  function refresh(agedMs = everyMs()): Promise<void> | undefined {
    if (!reading && performance.now() - readAt >= agedMs) {
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
    // What the reading may have seen already counts twice for its owner only: nobody else is refused for it.
    const used = counted + fresh.total - fresh.of(owner) + pending.of(owner);
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
      if (mayDecideWrongly(bytes)) await inTime(due);
      const taken = ON_ITS_WAY * bytes;
      if (!hasRoom(holdingOf(owner), taken)) await inTime(refresh(READING_MS.refusing));
      const holding = holdingOf(owner);
      if (!hasRoom(holding, taken)) throw refusal(holding, bytes, retryAfterMs(owner));
      pending.add(owner, taken);
      fresh.add(owner, taken);
      return () => written.add(owner, taken);
    },
    level() {
      void refresh();
      const { used, max } = holdingOf('');
      return { bytes: used, limit: max === Number.POSITIVE_INFINITY ? undefined : max, isFull: isFull({ used, max }) };
    },
  };
}

async function inTime(reading: Promise<void> | undefined): Promise<void> {
  if (!reading) return;
  const waited = new AbortController();
  const late = sleep(READING_WAIT_MS, undefined, { signal: waited.signal }).catch(() => undefined);
  await Promise.race([reading, late]);
  waited.abort();
}

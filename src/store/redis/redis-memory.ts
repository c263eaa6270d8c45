import type { Log } from '../../process/log.ts';
import type { RedisConnection } from '../../redis/connection.ts';
import { fieldIn } from '../../redis/server-settings.ts';

/** The part of `maxmemory` that tasks may take; the rest is for connections, the registry, and what Redis needs besides. */
const TASKS_PART = 0.75;

/** The part of `maxmemory` that may be in use, whatever it is used for but connections' buffers. Redis refuses at all of it, and accepted tasks have to end. */
const USED_PART = 0.9;

/** What a Redis that bounds its memory has. */
export interface RedisMemory {
  /** The most that tasks may take. */
  limit: number;
  /** What is left until no more is accepted, whoever uses it. */
  free: number;
}

/** `undefined` where Redis bounds nothing, or does not say. */
export async function readMemory(commands: RedisConnection, log: Log): Promise<RedisMemory | undefined> {
  try {
    const text = await commands.run((redis) => redis.info('memory'));
    const [used, max] = [figureIn(text, 'used_memory'), figureIn(text, 'maxmemory')];
    if (!used || !max) return undefined;
    // What is on its way in a connection is there for a moment, and would have one owner's upload refuse another's.
    const kept = used - figureIn(text, 'mem_clients_normal');
    return { limit: Math.floor(TASKS_PART * max), free: Math.max(0, Math.floor(USED_PART * max - kept)) };
  } catch (err) {
    // A user may not be allowed INFO; an outage is met by whatever is asked next.
    log.debug({ err }, 'redis memory not readable');
    return undefined;
  }
}

function figureIn(info: string, name: string): number {
  return Number(fieldIn(info, name) ?? 0);
}

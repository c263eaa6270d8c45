import type { Redis } from 'ioredis';

/** All changes; or, for a process that makes most of them itself, those alone by which a task ends without a result. */
export type Hears = 'changes' | 'stops';

/**
 * Where changes are announced, each message a JSON array of events. Redis's channels are the same in all of its databases, and so are the ids that idempotency
 * keys give: each database has channels of its own, or the end of another's task would be told as that of ours.
 */
export function channelOf(redis: Redis, hears: Hears): string {
  const { db = 0 } = redis.options;
  const channel = db === 0 ? 'foretell:tasks' : `foretell:tasks:${db}`;
  return hears === 'changes' ? channel : `${channel}:stopped`;
}

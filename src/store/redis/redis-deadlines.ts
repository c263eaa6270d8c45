import type { RedisConnection } from '../../redis/connection.ts';
import type { Deadlines } from '../deadlines.ts';

/** One sorted set for all tasks: ids by the moment that they expire. */
const KEY = 'foretell:deadlines';

/** Deadlines in Redis, where every API finds those of the others: one that dies leaves nothing unexpired. */
export function createRedisDeadlines(commands: RedisConnection): Deadlines {
  return {
    async add(deadlines) {
      if (deadlines.length === 0) return;
      const scores = deadlines.flatMap(({ id, expiresAt }) => [expiresAt, id]);
      await commands.run((redis) => redis.zadd(KEY, ...scores));
    },
    due: (now, limit) => commands.run((redis) => redis.zrangebyscore(KEY, '-inf', now, 'LIMIT', 0, limit)),
    async remove(ids) {
      if (ids.length === 0) return;
      await commands.run((redis) => redis.zrem(KEY, ...ids));
    },
  };
}

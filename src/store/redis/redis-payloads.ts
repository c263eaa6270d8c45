import assert from 'node:assert/strict';
import type { RedisConnection } from '../../redis/connection.ts';
import { recordStateSchema, UNFINISHED_TTL_MS } from '../../task/record.ts';
import { isTerminal } from '../../task/task.ts';
import type { Payloads } from '../payloads.ts';
import { allocatedBytes } from '../room.ts';
import { inputsKeyOf, taskKeyOf } from './redis-keys.ts';
import { countInputs } from './redis-usage.ts';

/** Inputs in Redis, a string each, on a connection of their own: the small commands of others do not wait behind them. */
export function createRedisPayloads(connection: RedisConnection): Payloads {
  return {
    async put(of, payload) {
      const key = inputsKeyOf(of.id);
      const counted = allocatedBytes(payload.byteLength);
      // No script: it would copy the bytes once more, and hold up everybody for as long.
      const replies = await connection.run((redis) => {
        const commands = redis
          .multi()
          .set(key, Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength), 'PX', UNFINISHED_TTL_MS, 'NX')
          .pexpire(key, UNFINISHED_TTL_MS)
          .strlen(key)
          .hget(taskKeyOf(of.id), 'state');
        return countInputs(commands, of, counted).exec();
      });
      const [isKept, , bytes, state] = (replies ?? []).map(([error, reply]) => {
        if (error) throw error;
        return reply;
      });
      assert(typeof bytes === 'number');
      const hasEnded = state !== null && isTerminal(recordStateSchema.parse(state));
      if (!hasEnded && isKept !== null) return bytes;
      // Those that were kept before are counted already, and what is late is not kept.
      await connection.run((redis) => {
        const commands = hasEnded ? redis.multi().unlink(key) : redis.multi();
        return countInputs(commands, of, -counted).exec();
      });
      return hasEnded ? undefined : bytes;
    },
    async get(id) {
      return (await connection.run((redis) => redis.getBuffer(inputsKeyOf(id)))) ?? undefined;
    },
  };
}

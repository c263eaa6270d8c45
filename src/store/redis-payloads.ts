import assert from 'node:assert/strict';
import { isTerminal } from '../task.ts';
import type { Payloads } from './payloads.ts';
import { recordStateSchema, UNFINISHED_TTL_MS } from './record.ts';
import type { RedisConnection } from './redis-connection.ts';
import { inputsKeyOf, keyOf } from './redis-keys.ts';

/** Inputs in Redis, a string each, on a connection of their own: the small commands of others do not wait behind them. */
export function createRedisPayloads(connection: RedisConnection): Payloads {
  return {
    async put(id, payload) {
      const key = inputsKeyOf(id);
      // No script: it would copy the bytes once more, and hold up everybody for as long.
      const replies = await connection.run((redis) =>
        redis
          .multi()
          .set(key, Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength), 'PX', UNFINISHED_TTL_MS, 'NX')
          .pexpire(key, UNFINISHED_TTL_MS)
          .strlen(key)
          .hget(keyOf(id), 'state')
          .exec(),
      );
      const [, , bytes, state] = (replies ?? []).map(([error, reply]) => {
        if (error) throw error;
        return reply;
      });
      assert(typeof bytes === 'number');
      if (state === null || !isTerminal(recordStateSchema.parse(state))) return bytes;
      await connection.run((redis) => redis.unlink(key));
      return undefined;
    },
    async get(id) {
      return (await connection.run((redis) => redis.getBuffer(inputsKeyOf(id)))) ?? undefined;
    },
  };
}

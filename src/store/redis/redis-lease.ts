import { randomUUID } from 'node:crypto';
import { inBackground } from '../../async/in-background.ts';
import { oneAtATime } from '../../async/one-at-a-time.ts';
import { ifUnavailable } from '../../errors.ts';
import type { Log } from '../../process/log.ts';
import type { RedisConnection } from '../../redis/connection.ts';
import type { OpenLease } from '../lease.ts';

/** How long a lease lasts that is not renewed, and how often it is: two renewals may fail. */
const LEASE_MS = 15_000;
const RENEW_MS = 5_000;

/** KEYS[1]: the lease; ARGV: who asks, how long it lasts. 1 if it is theirs now. */
const TAKE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0`;

const GIVE = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`;

/** Leases that are keys in Redis, which expire by themselves. */
export function createRedisLeases(commands: RedisConnection, log: Log): OpenLease {
  return (name) => {
    const key = `foretell:lease:${name}`;
    const id = randomUUID();
    let heldUntil = 0;
    let closed = false;
    const renew = oneAtATime(async () => {
      if (closed) return;
      // By this process's own clock, and from before it asked: never longer than Redis keeps the key.
      const askedAt = performance.now();
      const isOurs = (await commands.run((redis) => redis.eval(TAKE, 1, key, id, LEASE_MS))) === 1;
      heldUntil = isOurs ? askedAt + LEASE_MS : 0;
    });
    const renewSoon = inBackground(renew, log);
    const timer = setInterval(renewSoon, RENEW_MS).unref();
    commands.onReady(renewSoon);
    renewSoon();
    return {
      isHeld: () => !closed && performance.now() < heldUntil,
      async close() {
        closed = true;
        clearInterval(timer);
        await commands.run((redis) => redis.eval(GIVE, 1, key, id)).catch(ifUnavailable(undefined));
      },
    };
  };
}

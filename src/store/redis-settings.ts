import type { Log } from '../log.ts';
import type { RedisConnection } from './redis-connection.ts';

/** Warns, once it is first connected, of settings under which Redis may lose what it has confirmed. */
export function warnOfDataLoss(connection: RedisConnection, log: Log): void {
  let looked = false;
  connection.onReady(() => {
    if (looked) return;
    looked = true;
    void lookForDataLoss(connection, log);
  });
}

async function lookForDataLoss(connection: RedisConnection, log: Log): Promise<void> {
  try {
    // One by one: several parameters in one CONFIG GET are new in Redis 7.
    const [policy, maxmemory, appendonly] = await Promise.all([
      readSetting(connection, 'maxmemory-policy'),
      readSetting(connection, 'maxmemory'),
      readSetting(connection, 'appendonly'),
    ]);
    if (policy !== undefined && policy !== 'noeviction' && maxmemory !== '0') {
      const effect = 'tasks disappear when memory is short';
      log.warn({ setting: 'maxmemory-policy', value: policy, expected: 'noeviction', effect }, 'redis may lose data');
    }
    if (appendonly === 'no') {
      const effect = 'a crash loses what was written since the last snapshot';
      log.warn({ setting: 'appendonly', value: 'no', expected: 'yes', effect }, 'redis may lose data');
    }
  } catch (err) {
    // Managed services forbid CONFIG; what cannot be seen cannot be warned of.
    log.debug({ err }, 'redis settings not readable');
  }
}

async function readSetting(connection: RedisConnection, name: string): Promise<string | undefined> {
  const reply: unknown = await connection.run((redis) => redis.config('GET', name));
  return Array.isArray(reply) && typeof reply[1] === 'string' ? reply[1] : undefined;
}

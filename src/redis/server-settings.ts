import type { Log } from '../process/log.ts';
import type { RedisConnection } from './connection.ts';

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
    // Managed services forbid CONFIG; INFO says as much.
    const memory = await connection.run((redis) => redis.info('memory'));
    const [policy, maxmemory] = [fieldIn(memory, 'maxmemory_policy'), fieldIn(memory, 'maxmemory')];
    if (policy !== undefined && policy !== 'noeviction' && maxmemory !== '0') {
      const effect = 'tasks disappear when memory is short';
      log.warn({ setting: 'maxmemory-policy', value: policy, expected: 'noeviction', effect }, 'redis may lose data');
    }
    const persistence = await connection.run((redis) => redis.info('persistence'));
    if (fieldIn(persistence, 'aof_enabled') === '0') {
      const effect = 'a crash loses what was written since the last snapshot';
      log.warn({ setting: 'appendonly', value: 'no', expected: 'yes', effect }, 'redis may lose data');
    }
  } catch (err) {
    // A user may not be allowed INFO; what cannot be seen cannot be warned of.
    log.debug({ err }, 'redis settings not readable');
  }
}

/** What INFO says of one thing. */
export function fieldIn(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1];
}

import type { Log } from '../log.ts';
import { openRedisConnection, type RedisConnection } from './redis-connection.ts';
import { openRedisEvents, type RedisEvents } from './redis-events.ts';
import { warnOfDataLoss } from './redis-settings.ts';

export interface RedisLinkOptions {
  /** `redis://` or `rediss://`, with user, password and database where there are any. */
  url: string;
  log: Log;
  /** Milliseconds between two looks whether an idle connection's peer is still there. @default 10_000 */
  heartbeatMs?: number;
}

/** What a process has of Redis, for its store and its registry alike: one connection for commands, one for messages. */
export interface RedisLink {
  commands: RedisConnection;
  events: RedisEvents;
  close(): Promise<void>;
}

/** Returns at once and connects in the background: Redis need not be there yet. */
export function openRedisLink({ url, log, heartbeatMs }: RedisLinkOptions): RedisLink {
  const commands = openRedisConnection({ url, name: 'commands', log, heartbeatMs });
  const subscriber = openRedisConnection({ url, name: 'subscriber', log, heartbeatMs });
  const events = openRedisEvents(subscriber, commands, log);
  warnOfDataLoss(commands, log);
  return {
    commands,
    events,
    async close() {
      events.close();
      await Promise.all([commands.close(), subscriber.close()]);
    },
  };
}

import type { Log } from '../process/log.ts';
import { openRedisConnection, type RedisConnection, type RedisConnectionName } from './connection.ts';
import { openRedisEvents, type RedisEvents } from './events.ts';
import { warnOfDataLoss } from './server-settings.ts';

export interface RedisLinkOptions {
  /** `redis://` or `rediss://`, with user, password and database where there are any. */
  url: string;
  log: Log;
  /** Milliseconds between two looks whether an idle connection's peer is still there. @default 10_000 */
  heartbeatMs?: number;
  /** Called when a connection that had been lost is there again. */
  onReconnect?: ((connection: RedisConnectionName) => void) | undefined;
}

/** What a process has of Redis, for its store and its registry alike: one connection for commands, one for large values, one for messages. */
export interface RedisLink {
  commands: RedisConnection;
  large: RedisConnection;
  events: RedisEvents;
  close(): Promise<void>;
}

/** Returns at once and connects in the background: Redis need not be there yet. */
export function openRedisLink({ url, log, heartbeatMs, onReconnect }: RedisLinkOptions): RedisLink {
  const open = (name: RedisConnectionName) => {
    const connection = openRedisConnection({ url, name, log, heartbeatMs });
    let wasReady = false;
    connection.onReady(() => {
      if (wasReady) onReconnect?.(name);
      wasReady = true;
    });
    return connection;
  };
  const [commands, large, subscriber] = [open('commands'), open('large'), open('subscriber')];
  const events = openRedisEvents(subscriber, commands, log);
  warnOfDataLoss(commands, log);
  return {
    commands,
    large,
    events,
    async close() {
      events.close();
      await Promise.all([commands, large, subscriber].map((connection) => connection.close()));
    },
  };
}

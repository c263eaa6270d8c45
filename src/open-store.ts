import type { Log } from './process/log.ts';
import type { RedisConnectionName } from './redis/connection.ts';
import { openRedisLink } from './redis/link.ts';
import { createMemoryRegistry } from './registry/memory-registry.ts';
import { createRedisRegistry } from './registry/redis-registry.ts';
import type { ModelRegistry } from './registry/registry.ts';
import type { Deadlines } from './store/deadlines.ts';
import { type OpenLease, openMemoryLease } from './store/lease.ts';
import { createMemoryDeadlines } from './store/memory/memory-deadlines.ts';
import { createMemoryStore } from './store/memory/memory-store.ts';
import type { Payloads } from './store/payloads.ts';
import type { SubscribedTo } from './store/redis/redis-channels.ts';
import { createRedisDeadlines } from './store/redis/redis-deadlines.ts';
import { createRedisLeases } from './store/redis/redis-lease.ts';
import { createRedisPayloads } from './store/redis/redis-payloads.ts';
import { createRedisRoom } from './store/redis/redis-room.ts';
import { createRedisStore } from './store/redis/redis-store.ts';
import type { StoreRoom } from './store/room.ts';
import type { TaskStore } from './store/store.ts';

export interface StoreConfig {
  /** `memory:`, or the `redis://` or `rediss://` URL of a Redis. */
  storeUrl: string;
  /** Milliseconds that a task is kept from its terminal state on. */
  resultTtlMs: number;
  /** The events that the store subscribes to in Redis; with `'stops'`, `watch` is refused. @default 'changes' */
  subscribedTo?: SubscribedTo;
  /** Called when a connection to Redis that had been lost is there again. */
  onReconnect?: ((connection: RedisConnectionName) => void) | undefined;
}

/** Where a process keeps its tasks, their deadlines and their large inputs, how much room there is, and where it looks up the models. */
export interface OpenedStore {
  store: TaskStore;
  deadlines: Deadlines;
  payloads: Payloads;
  room: StoreRoom;
  registry: ModelRegistry;
  openLease: OpenLease;
  close(): Promise<void>;
}

/** Resolves at once also where Redis is not there yet; `isReady` says when it is. */
export async function openStore(
  { storeUrl, resultTtlMs, subscribedTo, onReconnect }: StoreConfig,
  log: Log,
): Promise<OpenedStore> {
  if (storeUrl === 'memory:') {
    const store = createMemoryStore({ resultTtlMs, log });
    const registry = createMemoryRegistry({ log });
    const { payloads, room } = store;
    const deadlines = createMemoryDeadlines();
    const close = () => closeAll([registry, store]);
    return { store, deadlines, payloads, room, registry, openLease: openMemoryLease, close };
  }
  checkRedisUrl(storeUrl);
  const link = openRedisLink({ url: storeUrl, log, onReconnect });
  const room = createRedisRoom({ commands: link.commands, log });
  const store = createRedisStore({ link, room, resultTtlMs, subscribedTo, log });
  const registry = createRedisRegistry({ link, resultTtlMs, log });
  const deadlines = createRedisDeadlines(link.commands);
  const payloads = createRedisPayloads(link.large);
  const openLease = createRedisLeases(link.commands, log);
  return { store, deadlines, payloads, room, registry, openLease, close: () => closeAll([registry, store, link]) };
}

/** Says what is wrong without saying the URL itself, which may hold a password. */
function checkRedisUrl(text: string): void {
  const protocol = URL.canParse(text) ? new URL(text).protocol : 'no URL';
  if (protocol === 'redis:' || protocol === 'rediss:') return;
  throw new Error(`STORE_URL: expected memory:, redis://… or rediss://…, got ${protocol}`);
}

async function closeAll(closables: { close(): Promise<void> }[]): Promise<void> {
  for (const closable of closables) await closable.close();
}

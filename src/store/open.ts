import type { Log } from '../log.ts';
import type { ModelRegistry } from '../models/registry.ts';
import type { Deadlines } from './deadlines.ts';
import { type OpenLease, openMemoryLease } from './lease.ts';
import { createMemoryStore } from './memory.ts';
import { createMemoryDeadlines } from './memory-deadlines.ts';
import { createMemoryRegistry } from './memory-registry.ts';
import type { Payloads } from './payloads.ts';
import { createRedisStore } from './redis.ts';
import type { Hears } from './redis-channels.ts';
import type { RedisConnectionName } from './redis-connection.ts';
import { createRedisDeadlines } from './redis-deadlines.ts';
import { createRedisLeases } from './redis-lease.ts';
import { openRedisLink } from './redis-link.ts';
import { createRedisPayloads } from './redis-payloads.ts';
import { createRedisRegistry } from './redis-registry.ts';
import { createRedisRoom } from './redis-room.ts';
import type { StoreRoom } from './room.ts';
import type { TaskStore } from './store.ts';

export interface StoreConfig {
  /** `memory:`, or the `redis://` or `rediss://` URL of a Redis. */
  storeUrl: string;
  /** Milliseconds that a task is kept from its terminal state on. */
  resultTtlMs: number;
  /** What watchers of tasks have to be told of. (In one process they hear of all that happens.) @default 'changes' */
  hears?: Hears;
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
  { storeUrl, resultTtlMs, hears, onReconnect }: StoreConfig,
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
  const store = createRedisStore({ link, room, resultTtlMs, hears, log });
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

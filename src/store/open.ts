import type { Log } from '../log.ts';
import type { ModelRegistry } from '../models/registry.ts';
import { createMemoryStore } from './memory.ts';
import { createMemoryRegistry } from './memory-registry.ts';
import { createRedisStore } from './redis.ts';
import { openRedisLink } from './redis-link.ts';
import { createRedisRegistry } from './redis-registry.ts';
import type { TaskStore } from './store.ts';

export interface StoreConfig {
  /** `memory:`, or the `redis://` or `rediss://` URL of a Redis. */
  storeUrl: string;
  /** Milliseconds that a task is kept from its terminal state on. */
  resultTtlMs: number;
}

/** Where a process keeps its tasks and looks up the models. */
export interface OpenedStore {
  store: TaskStore;
  registry: ModelRegistry;
  close(): Promise<void>;
}

/** Resolves at once also where Redis is not there yet; `isReady` says when it is. */
export async function openStore({ storeUrl, resultTtlMs }: StoreConfig, log: Log): Promise<OpenedStore> {
  if (storeUrl === 'memory:') {
    const store = createMemoryStore({ resultTtlMs, log });
    const registry = createMemoryRegistry({ log });
    return { store, registry, close: () => closeAll([registry, store]) };
  }
  checkRedisUrl(storeUrl);
  const link = openRedisLink({ url: storeUrl, log });
  const store = createRedisStore({ link, resultTtlMs, log });
  const registry = createRedisRegistry({ link, resultTtlMs, log });
  return { store, registry, close: () => closeAll([registry, store, link]) };
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

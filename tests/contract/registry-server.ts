import { onTestFinished } from 'vitest';
import { openStore } from '../../src/open-store.ts';
import type { ModelRegistry } from '../../src/registry/registry.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { createTestLog, type TestLog } from '../support/test-log.ts';

export const RESULT_TTL_MS = 3_600_000;

/** Closed when the test has finished, as is what is opened on it. */
export async function startServer(): Promise<RedisServer> {
  const redis = await startRedis();
  onTestFinished(() => redis.close());
  return redis;
}

export async function openRegistry(redis: RedisServer, log: TestLog = createTestLog()): Promise<ModelRegistry> {
  const opened = await openStore({ storeUrl: redis.url, resultTtlMs: RESULT_TTL_MS }, log);
  onTestFinished(() => opened.close());
  return opened.registry;
}

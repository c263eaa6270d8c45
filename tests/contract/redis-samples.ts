import { expect, onTestFinished } from 'vitest';
import { type OpenedStore, openStore } from '../../src/open-store.ts';
import type { SubscribedTo } from '../../src/store/redis/redis-channels.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { createTestLog, type TestLog } from '../support/test-log.ts';
import { HOUR_MS } from './store-samples.ts';

/** No command may take longer than this, whatever has become of Redis. */
const REJECTED_WITHIN_MS = 3_000;

/** A Redis for one test. */
export async function startServer(options?: { appendonly: boolean }): Promise<RedisServer> {
  const redis = await startRedis(options);
  onTestFinished(() => redis.close());
  return redis;
}

/** A store for one test. */
export async function openForTest(
  storeUrl: string,
  log: TestLog = createTestLog(),
  subscribedTo: SubscribedTo = 'changes',
): Promise<OpenedStore> {
  const opened = await openStore({ storeUrl, resultTtlMs: HOUR_MS, subscribedTo }, log);
  onTestFinished(() => opened.close());
  return opened;
}

/** Rejects if it takes too long: a command that hangs is what these tests look for. */
export async function outcomeOf(command: Promise<unknown>): Promise<unknown> {
  const begun = Date.now();
  const outcome = await command.catch((error: unknown) => error);
  expect(Date.now() - begun).toBeLessThan(REJECTED_WITHIN_MS);
  return outcome;
}

import { afterAll, beforeAll, expect, test } from 'vitest';
import { createMemoryStore } from '../../src/store/memory.ts';
import { openStore } from '../../src/store/open.ts';
import type { Tensor } from '../../src/tensor.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { createTestLog } from '../support/test-log.ts';
import { storeContract } from './store.ts';
import { newSubmission } from './store-samples.ts';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

storeContract('memory', async ({ resultTtlMs }) => createMemoryStore({ resultTtlMs, log: createTestLog() }));

storeContract('redis', async ({ resultTtlMs }) => {
  const opened = await openStore({ storeUrl: redis.url, resultTtlMs }, createTestLog());
  return { ...opened.store, close: opened.close };
});

test('the memory store lets the oldest results go when all of them take too much, and nothing unfinished', async () => {
  const store = createMemoryStore({ resultTtlMs: 3_600_000, resultBytesMax: 100_000, log: createTestLog() });
  const submissions = Array.from({ length: 6 }, () => newSubmission());
  const ids = submissions.map(({ id }) => id);
  await store.create(submissions);
  for (const submission of submissions.slice(1)) {
    const outputs: Tensor[] = [{ name: 'y', datatype: 'UINT8', shape: [30_000], data: new Uint8Array(30_000) }];
    const result = { outputs, runMs: 1, batchSize: 1 };
    await store.transition(submission.id, { to: 'SUCCEEDED', at: 1, submission, result });
  }
  const states = (await store.heads(ids)).map((head) => head?.state);
  expect(states).toEqual(['QUEUED', undefined, undefined, 'SUCCEEDED', 'SUCCEEDED', 'SUCCEEDED']);
  await store.close();
});

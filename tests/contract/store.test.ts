import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { StoreFull } from '../../src/errors.ts';
import { openStore } from '../../src/open-store.ts';
import { openRedisConnection } from '../../src/redis/connection.ts';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import { readUsage } from '../../src/store/redis/redis-usage.ts';
import { RECORD_BYTES } from '../../src/store/room.ts';
import type { TaskStore } from '../../src/store/store.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { createTestLog } from '../support/test-log.ts';
import { storeContract } from './store.ts';
import { created, failed, HOUR_MS, newSubmission, succeeded } from './store-samples.ts';
import { storeUsage } from './store-usage.ts';

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

storeContract('memory', async ({ resultTtlMs }) => createMemoryStore({ resultTtlMs, log: createTestLog() }));
storeUsage('memory', async () => {
  const opened = await openStore({ storeUrl: 'memory:', resultTtlMs: HOUR_MS }, createTestLog());
  return { ...opened, stored: async () => opened.room.level().bytes };
});

storeContract('redis', async ({ resultTtlMs }) => {
  const opened = await openStore({ storeUrl: redis.url, resultTtlMs }, createTestLog());
  return { ...opened.store, close: opened.close };
});
storeUsage('redis', async () => {
  const log = createTestLog();
  const opened = await openStore({ storeUrl: redis.url, resultTtlMs: HOUR_MS }, log);
  const connection = openRedisConnection({ url: redis.url, name: 'commands', log });
  return {
    ...opened,
    stored: async (owner) => (await readUsage(connection)).bytes.of(owner),
    close: () => Promise.all([opened.close(), connection.close()]).then(() => undefined),
  };
});

describe('a memory store whose room is used up', () => {
  const openSmall = () => {
    const store = createMemoryStore({ resultTtlMs: HOUR_MS, bytesMax: 400_000, log: createTestLog() });
    onTestFinished(() => store.close());
    return store;
  };
  const outputs: Tensor[] = [{ name: 'y', datatype: 'UINT8', shape: [100_000], data: new Uint8Array(100_000) }];

  /** Submits a task and ends it with 100 kB. */
  async function finish(store: ReturnType<typeof openSmall>, owner: string): Promise<string> {
    const submission = newSubmission({ owner });
    (await store.room.take(owner, RECORD_BYTES))();
    await store.create([submission]);
    await store.transition(submission.id, succeeded(submission, outputs));
    return submission.id;
  }
  const statesOf = async (store: TaskStore, ids: string[]) => (await store.heads(ids)).map((head) => head?.state);

  test("lets the same owner's oldest results go, never another's and nothing unfinished", async () => {
    const store = openSmall();
    const other = await finish(store, 'bob');
    const waiting = await created(store);
    const ids: string[] = [];
    for (let i = 0; i < 13; i++) ids.push(await finish(store, 'alice'));
    const [last = ''] = ids.slice(-1);
    expect(await statesOf(store, [other, waiting.id, last])).toEqual(['SUCCEEDED', 'QUEUED', 'SUCCEEDED']);
    expect(await statesOf(store, ids.slice(0, 11))).toEqual(Array(11).fill(undefined));
    expect(store.room.level().bytes).toBeLessThan(400_000);
    // Whoever comes next finds room, and takes it from nobody.
    const { id } = await created(store, { owner: 'carol' });
    expect(await store.payloads.put({ id, owner: 'carol', submittedAt: 1 }, Buffer.alloc(30_000))).toBe(30_000);
    expect(await statesOf(store, [other, last])).toEqual(['SUCCEEDED', 'SUCCEEDED']);
  });

  test('refuses what an owner has no results to give up for, and says whose limit it was', async () => {
    const store = openSmall();
    for (const size of [150_000, 150_000]) {
      await store.payloads.put(await created(store), Buffer.alloc(size));
    }
    const refused = await store.room.take('alice', 100_000).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'STORE_FULL', retryable: true });
    expect(`${refused}`).toContain('you hold 329728 (an owner may hold at most nine times what is free)');
    const submission = await created(store);
    await expect(store.transition(submission.id, succeeded(submission, outputs))).rejects.toThrow(StoreFull);
    expect(await statesOf(store, [submission.id])).toEqual(['QUEUED']);
    expect(await store.transition(submission.id, failed(submission))).toBe(0);
    await store.room.take('bob', 30_000);
    expect(`${await store.room.take('bob', 70_000).catch((error: unknown) => error)}`).toContain('others hold');
  });
});

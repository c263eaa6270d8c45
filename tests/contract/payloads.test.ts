import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StoreFull } from '../../src/errors.ts';
import { type OpenedStore, openStore } from '../../src/open-store.ts';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import type { Change, Submission } from '../../src/task/task.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { createTestLog } from '../support/test-log.ts';
import { created, failed, HOUR_MS, newSubmission, running, succeeded } from './store-samples.ts';

type Opened = Pick<OpenedStore, 'store' | 'payloads' | 'close'>;

payloadsContract('memory', () => openStore({ storeUrl: 'memory:', resultTtlMs: HOUR_MS }, createTestLog()));

payloadsContract('redis', async () => {
  const redis = await startRedis();
  const opened = await openStore({ storeUrl: redis.url, resultTtlMs: HOUR_MS }, createTestLog());
  return { ...opened, close: () => opened.close().then(redis.close) };
});

const ENDS: [string, (submission: Submission) => Change][] = [
  ['SUCCEEDED', (submission) => succeeded(submission)],
  ['FAILED', (submission) => failed(submission)],
  ['CANCELLED', () => ({ to: 'CANCELLED', at: 30 })],
  ['EXPIRED', () => ({ to: 'EXPIRED', at: 30 })],
  ['WITHDRAWN', () => ({ to: 'WITHDRAWN', at: 30 })],
];

/** What a keeper of large inputs promises. */
function payloadsContract(name: string, open: () => Promise<Opened>): void {
  describe(`payloads: ${name}`, () => {
    let opened: Opened;
    beforeAll(async () => {
      opened = await open();
    });
    afterAll(() => opened.close());

    test('what was put is got, as often as one asks, to the last byte', async () => {
      const { store, payloads } = opened;
      const submission = await created(store);
      const { id } = submission;
      const payload = randomBytes(32 * 2 ** 20);
      expect(await payloads.put(submission, payload)).toBe(payload.length);
      for (const _ of [1, 2]) expect(payload.equals((await payloads.get(id)) ?? Buffer.alloc(0))).toBe(true);
      expect(await payloads.get(randomUUID())).toBeUndefined();
    });

    test('of several submissions of one task, the first one counts', async () => {
      const { store, payloads } = opened;
      const submission = await created(store);
      const { id } = submission;
      expect(await payloads.put(submission, Buffer.from('first'))).toBe(5);
      expect(await payloads.put(submission, Buffer.from('another'))).toBe(5);
      expect(Buffer.from((await payloads.get(id)) ?? []).toString()).toBe('first');
    });

    test('they may be there before the record, which a store may have lost', async () => {
      const { payloads } = opened;
      const submission = newSubmission();
      expect(await payloads.put(submission, Buffer.from('early'))).toBe(5);
    });

    test('a task that is claimed, and waits for its next attempt, keeps its inputs', async () => {
      const { store, payloads } = opened;
      const submission = await created(store);
      const { id } = submission;
      await payloads.put(submission, Buffer.from('kept'));
      await store.transition(id, running(submission));
      await store.transition(id, { to: 'QUEUED', at: 25, submission, attemptsBefore: 1 });
      expect(Buffer.from((await payloads.get(id)) ?? []).toString()).toBe('kept');
    });

    test.each(ENDS)('a task that is %s has none, and takes none any more', async (_state, ending) => {
      const { store, payloads } = opened;
      const submission = await created(store);
      const { id } = submission;
      await payloads.put(submission, Buffer.from('before'));
      expect(await store.transition(id, ending(submission))).toBe(0);
      expect(await payloads.get(id)).toBeUndefined();
      expect(await payloads.put(submission, Buffer.from('too late'))).toBeUndefined();
      expect(await payloads.get(id)).toBeUndefined();
    });
  });
}

test('the memory store takes no more inputs than it has room for, until some task has ended', async () => {
  const store = createMemoryStore({ resultTtlMs: HOUR_MS, bytesMax: 100_000, log: createTestLog() });
  const [first, second] = [await created(store), await created(store)];
  expect(await store.payloads.put(first, Buffer.alloc(60_000))).toBe(60_000);
  await expect(store.payloads.put(second, Buffer.alloc(60_000))).rejects.toThrow(StoreFull);
  await store.transition(first.id, { to: 'CANCELLED', at: 30 });
  expect(await store.payloads.put(second, Buffer.alloc(60_000))).toBe(60_000);
  await store.close();
});

describe('in Redis', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.close());

  test('inputs live as long as their unfinished record, from its last change on', async () => {
    const { store, payloads, close } = await openStore({ storeUrl: redis.url, resultTtlMs: HOUR_MS }, createTestLog());
    const submission = await created(store);
    const key = `foretell:{${submission.id}}:inputs`;
    await payloads.put(submission, Buffer.from('x'));
    const ttl = async () => Number(await redis.cli('PTTL', key));
    expect(await ttl()).toBeGreaterThan(6.9 * 24 * HOUR_MS);
    await redis.cli('PEXPIRE', key, '60000');
    await store.transition(submission.id, running(submission));
    expect(await ttl()).toBeGreaterThan(6.9 * 24 * HOUR_MS);
    await close();
  });
});

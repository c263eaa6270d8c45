import { expect, test } from 'vitest';
import { StoreFull } from '../../src/errors.ts';
import type { OpenedStore } from '../../src/open-store.ts';
import { allocatedBytes, RECORD_BYTES } from '../../src/store/room.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import type { RedisServer } from '../support/redis.ts';
import { openForTest, outcomeOf, startServer } from './redis-samples.ts';
import { eventsArrived, failed, HOUR_MS, newSubmission, running, succeeded } from './store-samples.ts';

const MIB = 2 ** 20;

const newTask = (owner = 'alice') => newSubmission({ owner, submittedAt: Date.now() });

function outputs(bytes: number): Tensor[] {
  return [{ name: 'y', datatype: 'UINT8', shape: [bytes], data: new Uint8Array(bytes) }];
}

async function keysOf(redis: RedisServer): Promise<string[]> {
  return (await redis.cli('KEYS', '*')).split('\n').filter((key) => key !== '');
}

/** What its owner has submitted, with inputs of so many bytes; counted before it is written, as submissions are. */
async function submit({ store, payloads, room }: OpenedStore, owner: string, bytes: number) {
  const submission = newTask(owner);
  const release = await room.take(owner, RECORD_BYTES + allocatedBytes(bytes));
  await store.create([submission]);
  await payloads.put(submission, Buffer.alloc(bytes));
  release();
  return submission;
}

test('a Redis that is out of memory takes no new task, and what was accepted goes on to its end', async () => {
  const redis = await startServer();
  const { store, payloads } = await openForTest(redis.url);
  const [claimed, small, medium, large] = [newTask(), newTask(), newTask(), newTask()] as const;
  await store.create([claimed, small, medium, large]);
  await eventsArrived(store);
  await redis.cli('CONFIG', 'SET', 'maxmemory', '1');
  const keys = await keysOf(redis);

  const fresh = Array.from({ length: 250 }, () => newTask());
  const refused = await outcomeOf(store.create(fresh));
  expect(refused).toBeInstanceOf(StoreFull);
  expect(refused).toMatchObject({ code: 'STORE_FULL', retryable: true });
  expect(await outcomeOf(payloads.put(claimed, Buffer.alloc(2 * MIB)))).toBeInstanceOf(StoreFull);
  // All of them in one turn of the event loop: none fails along with another.
  const outcomes = await Promise.allSettled([
    store.transition(claimed.id, running(claimed)),
    store.transition(medium.id, succeeded(medium, outputs(100_000))),
    store.transition(small.id, succeeded(small, outputs(100))),
    store.transition(large.id, succeeded(large, outputs(MIB))),
  ]);
  expect(outcomes.map((each) => (each.status === 'fulfilled' ? each.value : each.reason.code))).toEqual([
    1,
    'STORE_FULL',
    0,
    'STORE_FULL',
  ]);
  for (const each of [medium, large]) expect(await store.transition(each.id, failed(each))).toBe(0);
  expect((await keysOf(redis)).filter((key) => !keys.includes(key) && !key.startsWith('foretell:stored:'))).toEqual([]);

  await redis.cli('CONFIG', 'SET', 'maxmemory', '0');
  await store.create(fresh);
  expect((await store.heads(fresh.map(({ id }) => id))).every((head) => head?.state === 'QUEUED')).toBe(true);
});

test('an owner is refused what would leave others too little of three quarters of maxmemory, and others are not', async () => {
  const redis = await startServer();
  await redis.cli('CONFIG', 'SET', 'maxmemory', '100mb');
  const opened = await openForTest(redis.url);
  const elsewhere = await openForTest(redis.url);
  const { store, room } = opened;
  const first = await submit(opened, 'alice', 8 * MIB);
  const another = () => submit(opened, 'alice', 8 * MIB).catch((error: unknown) => error);
  let accepted = 1;
  const fill = async () => {
    if (!((await another()) instanceof StoreFull)) accepted += 1;
    return accepted;
  };
  // Each takes 10 MiB, and twice that while it is on its way; nine tenths of 75 are for one owner alone.
  await expect.poll(fill, { timeout: 10_000 }).toBe(5);
  const refused = await another();
  expect(refused).toMatchObject({ code: 'STORE_FULL', retryAfterMs: expect.any(Number) });
  expect(`${refused}`).toMatch(/you hold \d+ \(an owner may hold at most nine times what is free\)/);
  // Another process has read it, too.
  expect(await submit(elsewhere, 'alice', 8 * MIB).catch((error: unknown) => error)).toBeInstanceOf(StoreFull);
  expect(room.level()).toMatchObject({ limit: 0.75 * 100 * MIB, isFull: false });
  const bobs = await submit(elsewhere, 'bob', 4 * MIB);

  // A result counts as well: refused where there is no room, let in where the task's own inputs make it.
  const [tiny] = [await submit(opened, 'alice', 1)];
  await expect(store.transition(tiny.id, succeeded(tiny, outputs(9 * MIB)))).rejects.toThrow(StoreFull);
  expect(await store.transition(tiny.id, failed(tiny))).toBe(0);
  expect(await store.transition(first.id, succeeded(first, outputs(8 * MIB)))).toBe(0);
  expect(await store.transition(bobs.id, succeeded(bobs, outputs(4 * MIB)))).toBe(0);

  await redis.cli('CONFIG', 'SET', 'maxmemory', '200mb');
  await expect
    .poll(
      () =>
        submit(opened, 'alice', 8 * MIB).then(
          () => true,
          () => false,
        ),
      { timeout: 5_000 },
    )
    .toBe(true);
});

test('what others keep in the same Redis leaves less room, and none near its maxmemory', async () => {
  const redis = await startServer();
  await redis.cli('CONFIG', 'SET', 'maxmemory', '50mb');
  const { room } = await openForTest(redis.url);
  await redis.cli('EVAL', "redis.call('SET', 'theirs', string.rep('x', tonumber(ARGV[1])))", '0', `${30 * MIB}`);
  // Until a reading has seen it.
  const take = (bytes: number) => outcomeOf(room.take('alice', bytes).then((release) => release()));
  await expect.poll(() => take(20 * MIB), { timeout: 5_000 }).toBeInstanceOf(StoreFull);
  expect(await take(4 * MIB)).toBeUndefined();
  await redis.cli('EVAL', "redis.call('SET', 'more', string.rep('x', tonumber(ARGV[1])))", '0', `${15 * MIB}`);
  await expect.poll(() => room.level().isFull, { timeout: 5_000 }).toBe(true);
  expect(await take(1024)).toBeInstanceOf(StoreFull);
  await redis.cli('DEL', 'theirs', 'more');
  await expect.poll(() => room.level().isFull, { timeout: 5_000 }).toBe(false);
});

test('what is counted expires with what it counts', async () => {
  const redis = await startServer();
  const { store, payloads } = await openForTest(redis.url);
  const tasks = [newTask('alice'), newTask('bob')];
  await store.create(tasks);
  for (const each of tasks) await payloads.put(each, Buffer.alloc(10));
  for (const each of tasks) await store.transition(each.id, succeeded(each));
  const buckets = (await keysOf(redis)).filter((key) => key.startsWith('foretell:stored:'));
  const ttls = await Promise.all(buckets.map(async (key) => Number(await redis.cli('PTTL', key))));
  const [finished = 0, unfinished = 0, ...more] = ttls.sort((a, b) => a - b);
  expect(more).toEqual([]);
  expect(finished).toBeGreaterThan(0.99 * HOUR_MS);
  expect(finished).toBeLessThan(1.07 * HOUR_MS);
  expect(unfinished).toBeGreaterThan(7 * 24 * HOUR_MS - 60_000);
  expect(unfinished).toBeLessThan(7.5 * 24 * HOUR_MS);
  expect(Number(await redis.cli('PTTL', 'foretell:stored'))).toBeGreaterThan(unfinished);
});

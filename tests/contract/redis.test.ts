import { expect, onTestFinished, test } from 'vitest';
import { StoreUnavailable } from '../../src/errors.ts';
import { openStore } from '../../src/open-store.ts';
import { openRedisConnection } from '../../src/redis/connection.ts';
import type { Submission } from '../../src/task/task.ts';
import { createTestLog } from '../support/test-log.ts';
import { openForTest, outcomeOf, startServer } from './redis-samples.ts';
import { eventsArrived, HOUR_MS, newSubmission, running, succeeded } from './store-samples.ts';

type Four = [Submission, Submission, Submission, Submission];

test('what one process changes, another is told of and reads', async () => {
  const redis = await startServer();
  const [api, worker] = [await openForTest(redis.url), await openForTest(redis.url)];
  const submission = newSubmission();
  await api.store.create([submission]);
  await eventsArrived(api.store);
  const told = Promise.withResolvers<unknown>();
  const unwatch = api.store.watch(submission.id, (event) => event !== 'reread' && told.resolve(event));
  await worker.store.transition(submission.id, running(submission));
  expect(await told.promise).toEqual({ id: submission.id, state: 'RUNNING', attempts: 1, revision: 2, at: 20 });
  expect(await api.store.heads([submission.id])).toMatchObject([{ owner: 'alice', state: 'RUNNING', attempts: 1 }]);
  unwatch();
});

test.each(['changes', 'stops'] as const)(
  'two databases of one Redis are told nothing of each other (%s)',
  async (subscribedTo) => {
    const redis = await startServer();
    const { store } = await openForTest(redis.url, createTestLog(), subscribedTo);
    const other = await openForTest(`${redis.url}/1`, createTestLog(), subscribedTo);
    // As the same idempotency key gives it in both.
    const submission = newSubmission();
    await store.create([submission]);
    await other.store.create([submission]);
    const told: unknown[] = [];
    await expect.poll(() => store.isReady() && other.store.isReady()).toBe(true);
    store.watchStops(submission.id, (event) => event !== 'reread' && told.push(['ours', event.state]));
    other.store.watchStops(submission.id, (event) => event !== 'reread' && told.push(['theirs', event.state]));
    await other.store.transition(submission.id, { to: 'CANCELLED', at: 30 });
    const error = { code: 'MODEL_ERROR', message: 'no' } as const;
    await store.transition(submission.id, { to: 'FAILED', at: 31, submission, error });
    await expect.poll(() => told).toHaveLength(2);
    expect(told).toEqual(
      expect.arrayContaining([
        ['theirs', 'CANCELLED'],
        ['ours', 'FAILED'],
      ]),
    );
  },
);

test('a store that is opened for stops alone hears of them, and refuses to watch for more', async () => {
  const redis = await startServer();
  const { store } = await openForTest(redis.url);
  const worker = await openForTest(redis.url, createTestLog(), 'stops');
  const [cancelled, failed, expired, done] = [1, 2, 3, 4].map(() => newSubmission()) as Four;
  await store.create([cancelled, failed, expired, done]);
  await eventsArrived(store);
  await expect.poll(worker.store.isReady).toBe(true);
  expect(() => worker.store.watch(done.id, () => undefined)).toThrow('opened for stops alone');
  const told: unknown[] = [];
  for (const { id } of [cancelled, failed, expired, done]) {
    worker.store.watchStops(id, (event) => event !== 'reread' && told.push([event.id, event.state]));
  }
  await store.transition(done.id, running(done));
  await store.transition(done.id, succeeded(done, []));
  await store.transition(cancelled.id, running(cancelled));
  await store.transition(cancelled.id, { to: 'CANCELLED', at: 30 });
  const error = { code: 'MODEL_ERROR', message: 'no' } as const;
  await store.transition(failed.id, { to: 'FAILED', at: 31, submission: failed, error });
  await store.transition(expired.id, { to: 'EXPIRED', at: 32 });
  await expect.poll(() => told).toHaveLength(3);
  expect(told).toEqual([
    [cancelled.id, 'CANCELLED'],
    [failed.id, 'FAILED'],
    [expired.id, 'EXPIRED'],
  ]);
});

test('a foreign message on the channel harms nobody', async () => {
  const redis = await startServer();
  const { store } = await openForTest(redis.url);
  await eventsArrived(store);
  for (const message of ['', 'no json', 'null', '{"id":7}', '[]'])
    await redis.cli('PUBLISH', 'foretell:tasks', message);
  await eventsArrived(store);
});

test('a record that is no record is a bug, not an outage', async () => {
  const redis = await startServer();
  const { store } = await openForTest(redis.url);
  const foreign = newSubmission();
  await redis.cli('SET', `foretell:{${foreign.id}}`, 'not a hash');
  const fault = await outcomeOf(store.transition(foreign.id, running(foreign)));
  expect(fault).toBeInstanceOf(Error);
  expect(fault).not.toBeInstanceOf(StoreUnavailable);
  expect(fault).toMatchObject({ message: expect.stringContaining('WRONGTYPE') });
});

test('records are few fields under one key that carries the id as hash tag, with a time to live', async () => {
  const redis = await startServer();
  const { store } = await openForTest(redis.url);
  const submission = newSubmission();
  const key = `foretell:{${submission.id}}`;
  const weekMs = 7 * 24 * HOUR_MS;
  await store.create([submission]);
  expect(Number(await redis.cli('PTTL', key))).toBeGreaterThan(weekMs - 60_000);
  await store.transition(submission.id, { to: 'CANCELLED', at: 2 });
  expect(Number(await redis.cli('PTTL', key))).toBeLessThanOrEqual(HOUR_MS);
  const withdrawn = newSubmission();
  await store.transition(withdrawn.id, { to: 'WITHDRAWN', at: 2 });
  expect(Number(await redis.cli('PTTL', `foretell:{${withdrawn.id}}`))).toBeGreaterThan(weekMs - 60_000);
  const keys = (await redis.cli('KEYS', '*')).split('\n').filter((each) => !each.startsWith('foretell:stored'));
  expect(keys.sort()).toEqual([key, `foretell:{${withdrawn.id}}`].sort());
});

test('settings that lose data are named in the log, once', async () => {
  const redis = await startServer();
  await redis.cli('CONFIG', 'SET', 'maxmemory', '100mb');
  await redis.cli('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  const log = createTestLog();
  await openForTest(redis.url, log);
  const warnings = () => log.lines().filter(({ message }) => message === 'redis may lose data');
  await expect
    .poll(() => warnings().map(({ fields }) => fields['setting']))
    .toEqual(['maxmemory-policy', 'appendonly']);
});

test('user, password and database in the URL are used, and the password is never logged', async () => {
  const redis = await startServer();
  await redis.cli('ACL', 'SETUSER', 'foretell', 'on', '>s3cret', '~*', '&*', '+@all', '-info');
  const log = createTestLog();
  const right = await openForTest(redis.url.replace('//', '//foretell:s3cret@').concat('/5'), log);
  const submission = newSubmission();
  await right.store.create([submission]);
  expect(await redis.cli('-n', '5', 'EXISTS', `foretell:{${submission.id}}`)).toBe('1');
  await expect.poll(() => log.lines().map(({ message }) => message)).toContain('redis settings not readable');

  const wrong = await openForTest(redis.url.replace('//', '//foretell:wr0ng@'), log);
  const outcome = await outcomeOf(wrong.store.create([submission]));
  expect(outcome).toBeInstanceOf(StoreUnavailable);
  expect(JSON.stringify(log.lines())).toContain('WRONGPASS');
  expect(JSON.stringify([log.lines(), `${outcome}`])).not.toMatch(/s3cret|wr0ng/);
});

test('a URL that is no store is refused without saying it', async () => {
  const log = createTestLog();
  for (const storeUrl of ['http://user:s3cret@localhost', 's3cret', '']) {
    const refused = await openStore({ storeUrl, resultTtlMs: 1 }, log).catch((error: unknown) => error);
    expect(`${refused}`).toMatch(/^Error: STORE_URL: expected memory:, redis:/);
    expect(`${refused}`).not.toContain('s3cret');
  }
});

test('a command that is too long to be written is refused by its promise, and nothing else', async () => {
  const redis = await startServer();
  const connection = openRedisConnection({ url: redis.url, name: 'commands', log: createTestLog() });
  onTestFinished(connection.close);
  await expect.poll(connection.isReady).toBe(true);
  // More text altogether than a string may hold. Had it been thrown, ioredis' timer of the command would reject a promise that nobody has.
  const keys = Array<string>(100).fill('A'.repeat(5_400_000));
  const sent: Promise<unknown> = connection.redis.mget(keys);
  await expect(sent).rejects.toThrow('Invalid string length');
  await expect(connection.run((commands) => commands.mget(keys))).rejects.toThrow(StoreUnavailable);
  expect(await connection.run((commands) => commands.mget('A'))).toEqual([null]);
});

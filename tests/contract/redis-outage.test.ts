import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { StoreUnavailable } from '../../src/errors.ts';
import { openRedisLink } from '../../src/redis/link.ts';
import { createRedisRoom } from '../../src/store/redis/redis-room.ts';
import { createRedisStore } from '../../src/store/redis/redis-store.ts';
import type { TaskStore } from '../../src/store/store.ts';
import { freePort } from '../support/free-port.ts';
import { startProxy } from '../support/proxy.ts';
import { createTestLog, type TestLog } from '../support/test-log.ts';
import { openForTest, outcomeOf, startServer } from './redis-samples.ts';
import { eventsArrived, HOUR_MS, newSubmission, running } from './store-samples.ts';

/** A store whose connections are looked at often. */
function openWatchful(url: string, log: TestLog): TaskStore {
  const link = openRedisLink({ url, log, heartbeatMs: 200 });
  const room = createRedisRoom({ commands: link.commands, log });
  const store = createRedisStore({ link, room, resultTtlMs: HOUR_MS, log });
  onTestFinished(() => link.close());
  onTestFinished(() => store.close());
  return store;
}

const isReady = (store: TaskStore) => expect.poll(store.isReady, { timeout: 10_000 });
const count = (log: TestLog, message: string, connection: string) =>
  log.lines().filter((entry) => entry.message === message && entry.fields['connection'] === connection).length;

/** Counts how often a task's listener is told to read again. */
function countRereads(store: TaskStore, id: string): () => number {
  let rereads = 0;
  store.watch(id, (event) => {
    if (event === 'reread') rereads += 1;
  });
  return () => rereads;
}

test('while Redis is away commands reject in time; after its return they work, and watchers read again', async () => {
  const redis = await startServer({ appendonly: true });
  const log = createTestLog();
  const { store } = await openForTest(redis.url, log);
  const submission = newSubmission();
  await store.create([submission]);
  await eventsArrived(store);
  const rereads = countRereads(store, submission.id);

  await redis.kill();
  await isReady(store).toBe(false);
  await expect.poll(() => count(log, 'redis connection lost', 'commands')).toBe(1);
  const commands = [store.get([submission.id]), store.heads([submission.id]), store.create([newSubmission()])];
  for (const outcome of await Promise.all(commands.map(outcomeOf))) expect(outcome).toBeInstanceOf(StoreUnavailable);
  // By now it has been away for long: nothing waits any more.
  const begun = performance.now();
  expect(await outcomeOf(store.transition(submission.id, running(submission)))).toBeInstanceOf(StoreUnavailable);
  expect(performance.now() - begun).toBeLessThan(100);

  const before = rereads();
  await redis.start();
  await isReady(store).toBe(true);
  // Much sooner than listeners read again anyway.
  await expect.poll(rereads, { timeout: 2_000 }).toBeGreaterThan(before);
  expect(await store.transition(submission.id, running(submission))).toBe(1);
  for (const connection of ['commands', 'subscriber']) {
    await expect.poll(() => count(log, 'redis connection restored', connection)).toBe(1);
    expect(count(log, 'redis connection lost', connection)).toBe(1);
  }
});

test('a command that finds Redis restarting waits for it instead of failing', async () => {
  const redis = await startServer({ appendonly: true });
  const log = createTestLog();
  const { store } = await openForTest(redis.url, log);
  const submission = newSubmission();
  await store.create([submission]);
  await redis.kill();
  await expect.poll(() => count(log, 'redis connection lost', 'commands')).toBe(1);
  const [head] = await Promise.all([store.heads([submission.id]), redis.start()]);
  expect(head).toMatchObject([{ owner: 'alice', state: 'QUEUED', attempts: 0 }]);
});

test('a claim whose answer was lost with the connection rejects, and is not sent again', async () => {
  const redis = await startServer();
  const proxy = await startProxy(redis.port);
  onTestFinished(() => proxy.close());
  const { store } = await openForTest(`redis://127.0.0.1:${proxy.port}`);
  const submissions = Array.from({ length: 20 }, () => newSubmission());
  await store.create(submissions);
  proxy.loseAnswers();
  const claims = submissions.map((each) => outcomeOf(store.transition(each.id, running(each))));
  const keys = submissions.map(({ id }) => `foretell:{${id}}`);
  await expect.poll(() => redis.cli('HGET', keys.at(-1) ?? '', 'attempts')).toBe('1');
  proxy.cut();
  for (const outcome of await Promise.all(claims)) expect(outcome).toBeInstanceOf(StoreUnavailable);
  await isReady(store).toBe(true);
  const tasks = await store.get(submissions.map(({ id }) => id));
  expect(tasks.map((task) => task?.attempts)).toEqual(submissions.map(() => 1));
});

test('a store opened before its Redis is there becomes ready when it is', async () => {
  const redis = await startServer();
  await redis.stop();
  const log = createTestLog();
  const { store, registry } = await openForTest(redis.url, log);
  expect(store.isReady()).toBe(false);
  expect(registry.isReady()).toBe(false);
  const submission = newSubmission();
  expect(await outcomeOf(store.create([submission]))).toBeInstanceOf(StoreUnavailable);
  await redis.start();
  await isReady(store).toBe(true);
  await expect.poll(registry.isReady).toBe(true);
  await store.create([submission]);
  await eventsArrived(store);
  expect(count(log, 'redis not reachable yet', 'commands')).toBe(1);
});

test('a Redis that stopped answering is noticed on both idle connections, and found again', {
  timeout: 20_000,
}, async () => {
  const redis = await startServer();
  const log = createTestLog();
  const store = openWatchful(redis.url, log);
  const submission = newSubmission();
  await store.create([submission]);
  await eventsArrived(store);
  const rereads = countRereads(store, submission.id);

  redis.pause();
  for (const connection of ['commands', 'subscriber']) {
    await expect.poll(() => count(log, 'redis connection lost', connection), { timeout: 6_000 }).toBe(1);
  }
  expect(store.isReady()).toBe(false);
  const before = rereads();
  redis.resume();
  await isReady(store).toBe(true);
  await expect.poll(rereads, { timeout: 2_000 }).toBeGreaterThan(before);
  await eventsArrived(store);
});

test('a command that Redis does not answer rejects in time and brings the connection under suspicion', async () => {
  const redis = await startServer();
  const { store } = await openForTest(redis.url);
  await store.create([newSubmission()]);
  await isReady(store).toBe(true);
  redis.pause();
  // Many at once and one after another: those behind an unanswered pipeline reject in time as well.
  const first = Array.from({ length: 50 }, () => outcomeOf(store.create([newSubmission()])));
  await new Promise(setImmediate);
  const later = Array.from({ length: 50 }, () => outcomeOf(store.heads([newSubmission().id])));
  for (const outcome of await Promise.all([...first, ...later])) expect(outcome).toBeInstanceOf(StoreUnavailable);
  expect(store.isReady()).toBe(false);
  redis.resume();
  await isReady(store).toBe(true);
});

test('a store closes at once whatever has become of Redis, watchers and commands included', async () => {
  const redis = await startServer();
  const there = await openForTest(redis.url);
  const gone = await openForTest(redis.url);
  const silent = await openForTest(redis.url);
  const never = await openForTest(`redis://127.0.0.1:${await freePort()}`);
  for (const { store } of [there, gone, silent]) {
    await eventsArrived(store);
    store.watch(newSubmission().id, () => undefined);
  }
  await there.close();
  redis.pause();
  const pending = outcomeOf(silent.store.create([newSubmission()]));
  await silent.close();
  redis.resume();
  await redis.kill();
  const waiting = outcomeOf(gone.store.create([newSubmission()]));
  await gone.close();
  await never.close();
  expect(await pending).toBeInstanceOf(StoreUnavailable);
  expect(await waiting).toBeInstanceOf(StoreUnavailable);
});

test('a process whose stores are closed, or whose Redis never came, ends by itself', async () => {
  const redis = await startServer();
  const program = `
    import { openStore } from ${JSON.stringify(fileURLToPath(new URL('../../src/open-store.ts', import.meta.url)))};
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    for (const storeUrl of ['memory:', '${redis.url}', 'redis://127.0.0.1:${await freePort()}']) {
      const { store, close } = await openStore({ storeUrl, resultTtlMs: 1000 }, log);
      store.watch('some task', () => {});
      await store.get(['some task']).catch(() => undefined);
      await close();
    }
    console.log('closed');
  `;
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '--unhandled-rejections=strict', '-e', program],
    { timeout: 10_000 },
  );
  expect({ stdout, stderr }).toEqual({ stdout: 'closed\n', stderr: '' });
});

test('a subscription that Redis refuses is tried again until it is allowed', async () => {
  const redis = await startServer();
  await redis.cli('ACL', 'SETUSER', 'default', 'resetchannels');
  const log = createTestLog();
  const { store } = await openForTest(redis.url, log);
  await expect.poll(() => log.lines().map(({ message }) => message)).toContain('redis subscription failed');
  await redis.cli('ACL', 'SETUSER', 'default', 'allchannels');
  await eventsArrived(store);
});

test('a Redis that forgot its scripts is given them again', async () => {
  const redis = await startServer();
  const { store } = await openForTest(redis.url);
  const submissions = Array.from({ length: 50 }, () => newSubmission());
  await store.create(submissions);
  await redis.cli('SCRIPT', 'FLUSH');
  const claims = await Promise.all(submissions.map((each) => store.transition(each.id, running(each))));
  expect(new Set(claims)).toEqual(new Set([1]));
});

test('a Redis that has lost everything is as good as a new one', async () => {
  const redis = await startServer();
  const { store } = await openForTest(redis.url);
  const submission = newSubmission();
  await store.create([submission]);
  await redis.cli('FLUSHALL');
  expect(await store.get([submission.id])).toEqual([undefined]);
  expect(await store.transition(submission.id, running(submission))).toBe(1);
});

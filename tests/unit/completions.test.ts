import { randomUUID } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { Completions } from '../../src/api/predictions/completions.ts';
import { Updates } from '../../src/api/predictions/updates.ts';
import { AppError, Overloaded } from '../../src/errors.ts';
import { Bound } from '../../src/ledger/bound.ts';
import { createLog } from '../../src/process/log.ts';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import type { TaskListener, TaskStore } from '../../src/store/store.ts';
import type { Change, Submission } from '../../src/task/task.ts';
import { tensor } from '../support/tensors.ts';

const OWNER = 'ann';
const submissionOf = (): Submission => ({
  id: randomUUID(),
  owner: OWNER,
  model: { name: 'm', version: '1', fingerprint: 'f' },
  door: 'typed',
  submittedAt: Date.now(),
});

/** An end that is too large to be told, and has to be read. */
function largeEnd(submission: Submission): Change {
  const outputs = [tensor('x', 'FP32', new Array<number>(300).fill(0))];
  return { to: 'SUCCEEDED', at: Date.now(), submission, result: { outputs, runMs: 1, batchSize: 1 } };
}

function openStore(resultTtlMs: number) {
  const store = createMemoryStore({ resultTtlMs, log: createLog('silent', 'test') });
  onTestFinished(() => store.close());
  return store;
}

test('a task that expired before a slow client read it is said to be unknown, after all the others were told', async () => {
  const store = openStore(1);
  const [lost, cancelled] = [submissionOf(), submissionOf()];
  await store.create([lost, cancelled]);
  const stream = await Completions.open(store, [lost.id, cancelled.id], OWNER);
  await store.transition(lost.id, largeEnd(lost));
  await expect.poll(() => store.heads([lost.id]), { interval: 1 }).toEqual([undefined]);

  const next = stream.next();
  await store.transition(cancelled.id, { to: 'CANCELLED', at: Date.now() });
  const items = [(await next).value, (await stream.next()).value];
  const errors = items.filter((item) => item instanceof AppError);
  expect(errors).toMatchObject([{ code: 'UNKNOWN_TASK', message: expect.stringContaining(lost.id) }]);
  expect((await stream.next()).done ?? true).toBe(true);
  expect(store.watching()).toBe(0);
});

test('a stream that is ended while it waits ends at once, and leaves no listener', async () => {
  const store = openStore(60_000);
  const submission = submissionOf();
  await store.create([submission]);
  const stream = await Completions.open(store, [submission.id], OWNER);
  const waiting = stream.next();
  await stream.return();
  expect(await waiting).toEqual({ value: undefined, done: true });
  expect(await stream.return()).toEqual({ value: undefined, done: true });
  expect(store.watching()).toBe(0);
});

test('a stream whose store fails for another reason than an outage passes it on, and leaves no listener', async () => {
  const store = openStore(60_000);
  const submissions = [submissionOf(), submissionOf()];
  await store.create(submissions);
  const ids = submissions.map(({ id }) => id);
  for (const id of ids) await store.transition(id, { to: 'CANCELLED', at: Date.now() });
  const broken = { ...store, get: () => Promise.reject(new Error('a bug')) };
  const stream = await Completions.open(broken, ids, OWNER);
  await expect(stream.next()).rejects.toThrow('a bug');
  await expect(Completions.open(broken, ids.slice(0, 1), OWNER)).rejects.toThrow('a bug');
  expect(store.watching()).toBe(0);
});

test('updates of a task that expired before its end was read say so, end, and leave no listener', async () => {
  const store = openStore(1);
  const submission = submissionOf();
  await store.create([submission]);
  const stream = await Updates.open(store, submission.id, OWNER);
  expect((await stream.next()).value).toMatchObject({ state: 'QUEUED' });
  await store.transition(submission.id, largeEnd(submission));
  await expect.poll(() => store.heads([submission.id]), { interval: 1 }).toEqual([undefined]);
  expect((await stream.next()).value).toMatchObject({ code: 'UNKNOWN_TASK' });
  expect((await stream.next()).done ?? true).toBe(true);
  expect(store.watching()).toBe(0);
});

test('an end that was told is known also where its record has expired', async () => {
  const store = openStore(1);
  const submission = submissionOf();
  await store.create([submission]);
  const completions = await Completions.open(store, [submission.id], OWNER);
  const updates = await Updates.open(store, submission.id, OWNER);
  expect((await updates.next()).value).toMatchObject({ state: 'QUEUED' });
  await store.transition(submission.id, { to: 'CANCELLED', at: Date.now() });
  await expect.poll(() => store.heads([submission.id]), { interval: 1 }).toEqual([undefined]);
  for (const stream of [completions, updates]) {
    expect((await stream.next()).value).toMatchObject({ id: submission.id, state: 'CANCELLED' });
    expect((await stream.next()).done ?? true).toBe(true);
  }
  expect(store.watching()).toBe(0);
});

test('a task that is told of while it is read is given out once', async () => {
  const store = openStore(60_000);
  const submission = submissionOf();
  await store.create([submission]);
  const listeners: TaskListener[] = [];
  let read = Promise.resolve();
  const slow: TaskStore = {
    ...store,
    get: async (ids) => {
      const tasks = await store.get(ids);
      await read;
      return tasks;
    },
    watch(id, listener) {
      listeners.push(listener);
      return store.watch(id, listener);
    },
  };
  const stream = await Completions.open(slow, [submission.id], OWNER);
  const told = Promise.withResolvers<void>();
  read = told.promise;
  store.watch(submission.id, () => told.resolve());
  const cancelled = store.transition(submission.id, { to: 'CANCELLED', at: Date.now() });
  // It is read before the event is told, and the answer comes after it.
  for (const listener of listeners) listener('reread');
  const next = stream.next();
  await cancelled;
  expect((await next).value).toMatchObject({ state: 'CANCELLED' });
  expect((await stream.next()).done ?? true).toBe(true);
});

test('a client that reads slowly has no more ends kept for it than are read at a time', async () => {
  const store = openStore(60_000);
  const submissions = Array.from({ length: 300 }, submissionOf);
  await store.create(submissions);
  const reads: number[] = [];
  const counting: TaskStore = {
    ...store,
    get: (ids) => {
      reads.push(ids.length);
      return store.get(ids);
    },
  };
  const ids = submissions.map(({ id }) => id);
  const stream = await Completions.open(counting, ids, OWNER);
  for (const id of ids) await store.transition(id, { to: 'CANCELLED', at: Date.now() });
  const told: string[] = [];
  for await (const task of stream) if (!(task instanceof AppError)) told.push(task.id);
  expect(told.toSorted()).toEqual(ids.toSorted());
  expect(reads).toEqual([100, 100]);
});

/** Counts what a stream holds, up to so much. */
function room(bytesMax: number) {
  const seen: number[] = [];
  const hold = (bytes: number) => {
    if (bytes > bytesMax) throw new Overloaded(`no room for ${bytes}`);
    seen.push(bytes);
  };
  return { seen, hold };
}

test('a stream keeps no more results than there is room for, and tells each of them in its turn', async () => {
  const store = openStore(60_000);
  const submissions = Array.from({ length: 5 }, submissionOf);
  for (const submission of submissions) await store.transition(submission.id, largeEnd(submission));
  const ids = submissions.map(({ id }) => id);
  const { seen, hold } = room(2 * 1_200);
  const stream = await Completions.open(store, ids, OWNER, { payer: OWNER, hold });
  const told: unknown[] = [];
  for await (const item of stream) told.push(item instanceof AppError ? item : item.id);
  expect(told.toSorted()).toEqual(ids.toSorted());
  expect(Math.max(...seen)).toBe(2_400);
  expect(seen.at(-1)).toBe(0);
});

test('a result that there is no room for has an error in its place, which names the task', async () => {
  const store = openStore(60_000);
  const submission = submissionOf();
  await store.transition(submission.id, largeEnd(submission));
  const { hold } = room(1_000);
  const expected = { code: 'RATE_LIMITED', message: expect.stringContaining(submission.id) };
  for (const stream of [
    await Completions.open(store, [submission.id], OWNER, { payer: OWNER, hold }),
    await Completions.open(store, [submission.id, submission.id], OWNER, { payer: OWNER, hold }),
    await Updates.open(store, submission.id, OWNER, { payer: OWNER, hold }),
  ]) {
    expect((await stream.next()).value).toMatchObject(expected);
    expect(await stream.next()).toEqual({ value: undefined, done: true });
  }
});

test('listeners are of their payer’s share, which is whole again when the tasks have ended or the stream has', async () => {
  const store = openStore(60_000);
  const bound = new Bound({ what: 'tasks that streams wait for', max: 10 });
  const share = { bound, payer: 'from 192.0.2.1' };
  const submissions = Array.from({ length: 8 }, submissionOf);
  const ids = submissions.map(({ id }) => id);
  await store.create(submissions);
  const first = await Completions.open(store, ids, OWNER, share);
  expect(bound.heldBy(share.payer)).toBe(8);
  await expect(Completions.open(store, ids.slice(0, 2), OWNER, share)).rejects.toMatchObject({ code: 'RATE_LIMITED' });
  await expect(Updates.open(store, randomUUID(), OWNER, share)).rejects.toMatchObject({ code: 'UNKNOWN_TASK' });
  const other = await Updates.open(store, ids[0] ?? '', OWNER, { bound, payer: 'from 192.0.2.2' });
  expect(bound.used).toBe(9);
  await store.transition(ids[0] ?? '', { to: 'CANCELLED', at: Date.now() });
  expect((await first.next()).value).toMatchObject({ id: ids[0] });
  expect(bound.heldBy(share.payer)).toBe(7);
  await Promise.all([first.return(), other.return()]);
  expect([bound.used, store.watching()]).toEqual([0, 0]);
});

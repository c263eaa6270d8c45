import { expect, test } from 'vitest';
import { StoreUnavailable } from '../../src/errors.ts';
import type { TaskStore } from '../../src/store/store.ts';
import { endedBy } from '../../src/task/record.ts';
import { type Change, isEnded, type Submission, type TaskEnded, type TaskEvent } from '../../src/task/task.ts';
import { tensor } from '../support/tensors.ts';
import {
  created,
  eventsArrived,
  failed,
  HOUR_MS,
  newSubmission,
  type OpenStore,
  running,
  succeeded,
} from './store-samples.ts';

type Four = [Submission, Submission, Submission, Submission];

export function watchTests(use: () => TaskStore): void {
  test('watchers are told of each change in order, and of no other task', async () => {
    const [watched, other] = [await created(use()), await created(use())];
    const told: (TaskEvent | 'reread')[] = [];
    const ended = Promise.withResolvers<void>();
    const unwatch = await settledWatch(use(), watched.id, (event) => {
      told.push(event);
      if (event !== 'reread' && event.state === 'SUCCEEDED') ended.resolve();
    });
    await use().transition(watched.id, running(watched, 0, 20));
    await use().transition(other.id, running(other));
    await use().transition(watched.id, succeeded(watched, [], 30));
    await ended.promise;
    expect(told.filter((event) => event !== 'reread')).toEqual([
      { id: watched.id, state: 'RUNNING', attempts: 1, revision: 2, at: 20 },
      expect.objectContaining({ id: watched.id, state: 'SUCCEEDED', attempts: 1, revision: 3, at: 30 }),
    ]);
    unwatch();
  });

  const ends: [string, (submission: Submission) => Change[]][] = [
    ['a success', (submission) => [running(submission, 0, 20), succeeded(submission, [tensor('x', 'FP32', [1.5])])]],
    ['a success whose record was lost', (submission) => [succeeded(submission, [tensor('s', 'STRING', ['ä "b" \n'])])]],
    ['a failure at the second attempt', (submission) => [running(submission, 1, 21), failed(submission)]],
    ['a cancel of a run', (submission) => [running(submission), { to: 'CANCELLED', at: 31 }]],
    ['a cancel before it', () => [{ to: 'CANCELLED', at: 31 }]],
    ['an expiry', (submission) => [{ to: 'EXPIRED', at: 32, submission }]],
  ];
  test.for(ends)('what watchers are told of %s is what its record says', async ([, changesOf]) => {
    const submission = await created(use());
    const [before] = await use().get([submission.id]);
    const told = Promise.withResolvers<TaskEnded>();
    const unwatch = await settledWatch(use(), submission.id, (event) => {
      if (event !== 'reread' && isEnded(event)) told.resolve(event);
    });
    for (const change of changesOf(submission)) await use().transition(submission.id, change);
    const [after] = await use().get([submission.id]);
    expect(before && endedBy(await told.promise, before)).toEqual(after);
    unwatch();
  });

  test('of a result that is not small watchers are told that it is there', async () => {
    const submission = await created(use());
    const [before] = await use().get([submission.id]);
    const told = Promise.withResolvers<TaskEnded>();
    const unwatch = await settledWatch(use(), submission.id, (event) => {
      if (event !== 'reread' && isEnded(event)) told.resolve(event);
    });
    const large = tensor('x', 'FP32', new Array<number>(300).fill(0));
    await use().transition(submission.id, succeeded(submission, [large]));
    expect(before && endedBy(await told.promise, before)).toBeUndefined();
    unwatch();
  });

  test('a watcher of stops is told when a task ends without a result, and of nothing else', async () => {
    const [cancelled, refused, expired, done] = [1, 2, 3, 4].map(() => newSubmission()) as Four;
    await use().create([cancelled, refused, expired, done]);
    await eventsArrived(use());
    const told: unknown[] = [];
    const ends = [cancelled, refused, expired, done].map(({ id }) =>
      use().watchStops(id, (event) => event !== 'reread' && told.push([event.id, event.state])),
    );
    await use().transition(done.id, running(done));
    await use().transition(done.id, succeeded(done, []));
    await use().transition(cancelled.id, running(cancelled));
    await use().transition(cancelled.id, { to: 'CANCELLED', at: 30 });
    await use().transition(refused.id, failed(refused));
    await use().transition(expired.id, { to: 'EXPIRED', at: 32 });
    await eventsArrived(use());
    expect(told).toEqual([
      [cancelled.id, 'CANCELLED'],
      [refused.id, 'FAILED'],
      [expired.id, 'EXPIRED'],
    ]);
    for (const end of ends) end();
  });

  test('a listener that throws harms neither the change nor the other listeners', async () => {
    const submission = await created(use());
    const told = Promise.withResolvers<unknown>();
    const ends = [
      use().watch(submission.id, () => {
        throw new Error('a bug of the listener');
      }),
      await settledWatch(use(), submission.id, (event) => event !== 'reread' && told.resolve(event)),
    ];
    expect(await use().transition(submission.id, { to: 'CANCELLED', at: 40 })).toBe(0);
    expect(await told.promise).toMatchObject({ state: 'CANCELLED' });
    for (const end of ends) end();
  });

  test('neither a creation nor a withdrawal nor a refused change is published', async () => {
    const submission = newSubmission();
    const told: unknown[] = [];
    const unwatch = await settledWatch(use(), submission.id, (event) => event !== 'reread' && told.push(event));
    await use().create([submission]);
    await use().transition(submission.id, { to: 'WITHDRAWN', at: 2 });
    await use().transition(submission.id, running(submission));
    await eventsArrived(use());
    expect(told).toEqual([]);
    unwatch();
  });

  test('a listener that has ended is told nothing more, and is not counted', async () => {
    const submission = await created(use());
    const before = use().watching();
    const told: unknown[] = [];
    const unwatch = use().watch(submission.id, (event) => told.push(event));
    use().watch(submission.id, () => undefined)();
    expect(use().watching()).toBe(before + 1);
    unwatch();
    unwatch();
    expect(use().watching()).toBe(before);
    await use().transition(submission.id, running(submission));
    await eventsArrived(use());
    expect(told).toEqual([]);
  });
}

export function lifetimeTests(open: OpenStore): void {
  test('a finished task goes when its time is up, one that is unfinished stays', async () => {
    const store = await open({ resultTtlMs: 30 });
    const [finished, unfinished] = [await created(store), await created(store)];
    await store.transition(unfinished.id, running(unfinished));
    await store.transition(finished.id, succeeded(finished));
    await expect.poll(async () => (await store.get([finished.id]))[0]).toBeUndefined();
    expect(await store.heads([finished.id, unfinished.id])).toMatchObject([
      undefined,
      { owner: 'alice', state: 'RUNNING', attempts: 1 },
    ]);
    await store.close();
  });

  test('a closed store is not ready, rejects, and tells nobody anything', async () => {
    const store = await open({ resultTtlMs: HOUR_MS });
    const submission = await created(store);
    await expect.poll(store.isReady).toBe(true);
    const told: unknown[] = [];
    store.watch(submission.id, (event) => told.push(event));
    await store.transition(submission.id, { to: 'CANCELLED', at: 1 });
    await store.close();
    const heard = told.length;
    expect(store.isReady()).toBe(false);
    expect(store.watching()).toBe(0);
    await expect(store.get([submission.id])).rejects.toThrow(StoreUnavailable);
    await expect(store.create([newSubmission()])).rejects.toThrow(StoreUnavailable);
    expect(told.length).toBe(heard);
  });
}

async function settledWatch(store: TaskStore, id: string, listener: (event: TaskEvent | 'reread') => unknown) {
  await eventsArrived(store);
  return store.watch(id, (event) => void listener(event));
}

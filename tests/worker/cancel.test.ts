import { describe, expect, test } from 'vitest';
import { predictionQueue } from '../../src/broker/topology.ts';
import type { TaskListener, TaskStore } from '../../src/store/store.ts';
import type { Submission } from '../../src/task/task.ts';
import { FOR_EVER, identity, slow } from '../support/onnx-models.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker, type TestWorker } from '../support/worker.ts';

const rounds = (count: number) => [tensor('rounds', 'INT64', [BigInt(count)])];
const row = (...elements: number[]) => [tensor('x', 'FP32', elements, [1, elements.length])];

const cancel = ({ store }: TestWorker, { id }: Submission) => store.transition(id, { to: 'CANCELLED', at: Date.now() });

async function running({ worker }: TestWorker, tasks: number): Promise<void> {
  const count = () => worker.observed.tasksInHand().find(({ state }) => state === 'RUNNING')?.tasks;
  await expect.poll(count, { timeout: 30_000, interval: 5 }).toBe(tasks);
}

/** Publishes tasks that share a run which never ends, and waits until it has begun. */
async function startEndless(one: TestWorker, count: number): Promise<Submission[]> {
  const submissions = Array.from({ length: count }, () => one.submissionOf('slow'));
  for (const submission of submissions) await one.publish(submission, rounds(FOR_EVER));
  await running(one, count);
  return submissions;
}

describe('a cancel', () => {
  test('of a waiting task takes it out: it is acked and never runs', async () => {
    const one = await startTestWorker({ models: { slow: { onnx: slow(), manifest: { maxBatch: 1 } } } });
    const [endless] = await startEndless(one, 1);
    const waiting = one.submissionOf('slow');
    await one.store.create([waiting]);
    await one.publish(waiting, rounds(1));
    await expect.poll(() => one.worker.stats().waiting).toBe(1);
    await cancel(one, waiting);
    await expect.poll(() => one.worker.stats().waiting).toBe(0);
    await expect.poll(() => one.worker.observed.heldDeliveries()).toBe(1);
    expect(one.store.watching()).toBe(1);
    if (endless) await cancel(one, endless);
    expect(await one.store.heads([waiting.id])).toMatchObject([{ state: 'CANCELLED', attempts: 0 }]);
    expect(one.worker.stats().tasks).toBe(1);
  });

  test('of every task of a run ends the run at once, and charges nobody', async () => {
    const one = await startTestWorker({ models: { slow: { onnx: slow() } } });
    const submissions = await startEndless(one, 3);
    const pids = one.pool.pids();
    for (const submission of submissions) await cancel(one, submission);
    await expect.poll(() => one.worker.observed.heldDeliveries(), { timeout: 10_000 }).toBe(0);
    for (const { id } of submissions) {
      expect(await one.store.heads([id])).toMatchObject([{ state: 'CANCELLED', attempts: 1 }]);
    }
    const next = one.submissionOf('slow');
    await one.publish(next, rounds(1));
    expect(await one.ended(next.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
    expect(one.pool.pids()).not.toEqual(pids);
    await expect.poll(() => one.store.watching()).toBe(0);
  });

  test('of one of several leaves its neighbours to run to the end, and its own result is refused', async () => {
    const one = await startTestWorker({ models: { slow: { onnx: slow() } } });
    const submissions = [one.submissionOf('slow'), one.submissionOf('slow'), one.submissionOf('slow')] as const;
    for (const submission of submissions) await one.publish(submission, rounds(500_000));
    await running(one, 3);
    await cancel(one, submissions[0]);
    const [cancelled, ...others] = await Promise.all(submissions.map(({ id }) => one.ended(id)));
    expect(cancelled).toMatchObject({ state: 'CANCELLED' });
    expect(cancelled?.result).toBeUndefined();
    for (const task of others)
      expect(task).toMatchObject({ state: 'SUCCEEDED', attempts: 1, result: { batchSize: 3 } });
    expect(one.pool.restarts()).toBe(0);
    await expect.poll(() => one.store.watching()).toBe(0);
  });

  test('that was not heard is found out by the next reading', async () => {
    let reread: (() => void) | undefined;
    const deaf = (store: TaskStore): TaskStore => ({
      ...store,
      watchStops: (id, listener) => {
        reread = () => listener('reread');
        return store.watchStops(id, () => undefined);
      },
    });
    const one = await startTestWorker({ models: { slow: { onnx: slow() } }, disturb: deaf });
    const [submission] = await startEndless(one, 1);
    if (submission) await cancel(one, submission);
    expect(one.worker.observed.heldDeliveries()).toBe(1);
    reread?.();
    await expect.poll(() => one.worker.observed.heldDeliveries(), { timeout: 10_000 }).toBe(0);
  });

  test('of which the store has lost the record, as the claim finds out, is forgotten: the task runs', async () => {
    const listeners: TaskListener[] = [];
    const one = await startTestWorker({
      models: { echo: { onnx: identity('FP32') } },
      disturb: (store) => ({
        ...store,
        watchStops: (id, listener) => {
          listeners.push(listener);
          return store.watchStops(id, listener);
        },
        transition: async (id, change) => {
          const event = { id, state: 'CANCELLED', attempts: 0, revision: 2, at: change.at } as const;
          if (change.to === 'RUNNING' && listeners.length === 1) listeners[0]?.(event);
          return store.transition(id, change);
        },
      }),
    });
    const submission = one.submissionOf('echo');
    await one.publish(submission, row(1, 2, 3, 4));
    expect(await one.ended(submission.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
  });

  test('between the claim and the run keeps it from running', async () => {
    let cancelled: Submission | undefined;
    const one: TestWorker = await startTestWorker({
      models: { echo: { onnx: identity('FP32') } },
      disturb: (store) => ({
        ...store,
        transition: async (id, change) => {
          const answer = await store.transition(id, change);
          if (change.to !== 'RUNNING' || id !== cancelled?.id) return answer;
          await store.transition(id, { to: 'CANCELLED', at: Date.now() });
          // The event is a microtask away.
          await Promise.resolve();
          return answer;
        },
      }),
    });
    cancelled = one.submissionOf('echo');
    await one.publish(cancelled, row(1, 2, 3, 4));
    await one.ended(cancelled.id);
    await expect.poll(() => one.worker.observed.heldDeliveries()).toBe(0);
    expect(one.worker.stats().tasks).toBe(0);
  });
});

describe('a deadline', () => {
  test('that has passed ends a task which was never begun as EXPIRED', async () => {
    const one = await startTestWorker({ models: { echo: { onnx: identity('FP32') } } });
    const [known, lost] = [one.submissionOf('echo'), one.submissionOf('echo')];
    await one.store.create([{ ...known, expiresAt: Date.now() - 1 }]);
    // Of the other the store has lost the record.
    for (const each of [known, lost]) await one.publish({ ...each, expiresAt: Date.now() - 1 }, row(1, 2, 3, 4));
    for (const { id } of [known, lost]) expect(await one.ended(id)).toMatchObject({ state: 'EXPIRED', attempts: 0 });
    await expect.poll(() => one.worker.observed.heldDeliveries()).toBe(0);
    expect(one.worker.stats().tasks).toBe(0);
  });

  test('that passes while a task waits here is seen when its turn comes', async () => {
    const one = await startTestWorker({ models: { slow: { onnx: slow(), manifest: { maxBatch: 1 } } } });
    const [first, late] = [one.submissionOf('slow'), one.submissionOf('slow')];
    await one.publish(first, rounds(500_000));
    await running(one, 1);
    await one.publish({ ...late, expiresAt: Date.now() + 50 }, rounds(1));
    expect(await one.ended(late.id)).toMatchObject({ state: 'EXPIRED', attempts: 0 });
    expect(await one.ended(first.id)).toMatchObject({ state: 'SUCCEEDED' });
  });

  test('that passes while the store keeps a claim waiting ends the task, which is not run', async () => {
    const expiresAt = Date.now() + 200;
    const one = await startTestWorker({
      models: { echo: { onnx: identity('FP32') } },
      disturb: (store) => ({
        ...store,
        async transition(id, change) {
          const answer = await store.transition(id, change);
          if (change.to === 'RUNNING') await expect.poll(() => Date.now()).toBeGreaterThan(expiresAt);
          return answer;
        },
      }),
    });
    const submission = { ...one.submissionOf('echo'), expiresAt };
    await one.store.create([submission]);
    await one.publish(submission, row(1, 2, 3, 4));
    expect(await one.ended(submission.id)).toMatchObject({ state: 'EXPIRED', attempts: 0 });
    await expect.poll(() => one.worker.observed.heldDeliveries()).toBe(0);
    expect(one.worker.stats().runs).toBe(0);
  });

  test('comes too late for a task that was begun: its retry runs', async () => {
    const one = await startTestWorker({ models: { echo: { onnx: identity('FP32') } } });
    const submission = { ...one.submissionOf('echo'), expiresAt: Date.now() - 1 };
    await one.publish(submission, row(1, 2, 3, 4), { attemptsBefore: 1 });
    expect(await one.ended(submission.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 2 });
    // Also where only the store knows of the attempt.
    const begun = { ...one.submissionOf('echo'), expiresAt: Date.now() - 1 };
    const claim = { to: 'RUNNING', at: Date.now(), attemptsBefore: 0, claim: 'c', takeOver: false } as const;
    await one.store.transition(begun.id, { ...claim, submission: begun });
    await one.store.transition(begun.id, { to: 'QUEUED', at: Date.now(), submission: begun, attemptsBefore: 1 });
    await one.publish(begun, row(1, 2, 3, 4));
    expect(await one.ended(begun.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 2 });
    expect(await one.broker.depth(predictionQueue('echo', 'normal'))).toBe(0);
  });
});

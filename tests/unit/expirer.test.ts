import { randomUUID } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { openExpirer } from '../../src/api/predictions/expirer.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import { createLog } from '../../src/process/log.ts';
import { createMemoryDeadlines } from '../../src/store/memory/memory-deadlines.ts';
import { createMemoryStore } from '../../src/store/memory/memory-store.ts';
import type { Submission } from '../../src/task/task.ts';
import { NO_METRICS } from '../../src/telemetry/no-metrics.ts';

const log = createLog('silent', 'test');

function open() {
  const store = createMemoryStore({ resultTtlMs: 60_000, log });
  const deadlines = createMemoryDeadlines();
  const expirer = openExpirer({ store, deadlines, metrics: NO_METRICS, log });
  onTestFinished(async () => {
    await expirer.close();
    await store.close();
  });
  /** A queued task whose deadline has passed. */
  const overdue = async (): Promise<Submission> => {
    const expiresAt = Date.now();
    const model = { name: 'm', version: '1', fingerprint: 'f' };
    const submission: Submission = { id: randomUUID(), owner: 'ann', model, door: 'typed', submittedAt: 0, expiresAt };
    await store.create([submission]);
    await deadlines.add([{ id: submission.id, expiresAt }]);
    return submission;
  };
  const due = () => deadlines.due(Date.now(), 1_000);
  const stateOf = async ({ id }: Submission) => (await store.heads([id]))[0]?.state;
  return { store, deadlines, expirer, overdue, due, stateOf };
}

test('a task that has begun does not expire, and its deadline is forgotten', async () => {
  const { store, overdue, due, stateOf } = open();
  const begun = await overdue();
  const claim = { submission: begun, attemptsBefore: 0, claim: 'c', takeOver: false };
  await store.transition(begun.id, { to: 'RUNNING', at: Date.now(), ...claim });
  const waiting = await overdue();
  await expect.poll(due, { interval: 10 }).toEqual([]);
  expect([await stateOf(begun), await stateOf(waiting)]).toEqual(['RUNNING', 'EXPIRED']);
});

test('a deadline whose record the store has lost is forgotten: its message tells the worker', async () => {
  const { deadlines, store, due } = open();
  const id = randomUUID();
  await deadlines.add([{ id, expiresAt: Date.now() }]);
  await expect.poll(due, { interval: 10 }).toEqual([]);
  expect(await store.heads([id])).toEqual([undefined]);
});

test('what is due while the store is away expires when it is back', async () => {
  const { store, overdue, due, stateOf } = open();
  const { transition } = store;
  const task = await overdue();
  const refusals: string[] = [];
  store.transition = async (id) => {
    refusals.push(id);
    throw new StoreUnavailable('away');
  };
  await expect.poll(() => refusals.length, { interval: 10, timeout: 5_000 }).toBeGreaterThan(1);
  expect(await due()).toEqual([task.id]);
  store.transition = transition;
  await expect.poll(() => stateOf(task), { interval: 10, timeout: 5_000 }).toBe('EXPIRED');
});

test('a record that nobody can read is given up, and keeps no other from its end', async () => {
  const { store, deadlines, overdue, due, stateOf } = open();
  const { heads } = store;
  const unreadable = randomUUID();
  store.heads = async (ids) => {
    if (ids.includes(unreadable)) throw new Error('expected a record');
    return heads(ids);
  };
  await deadlines.add([{ id: unreadable, expiresAt: 0 }]);
  const task = await overdue();
  await expect.poll(() => stateOf(task), { interval: 10, timeout: 5_000 }).toBe('EXPIRED');
  await expect.poll(due, { interval: 10 }).toEqual([]);
});

test('closed, it waits for what it has begun and begins nothing more', async () => {
  const { store, expirer, overdue, stateOf } = open();
  const { transition } = store;
  const entered = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  store.transition = async (id, change) => {
    entered.resolve();
    await go.promise;
    return transition(id, change);
  };
  const task = await overdue();
  await entered.promise;
  const closed = expirer.close();
  go.resolve();
  await closed;
  expect(await stateOf(task)).toBe('EXPIRED');
});

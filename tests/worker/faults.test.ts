import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { StoreUnavailable } from '../../src/errors.ts';
import type { TaskStore } from '../../src/store/store.ts';
import { FOR_EVER, identity, quotient, slow } from '../support/onnx-models.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker } from '../support/worker.ts';

const row = (...elements: number[]) => [tensor('x', 'FP32', elements, [1, elements.length])];
const rounds = (count: number) => [tensor('rounds', 'INT64', [BigInt(count)])];

describe('a run that takes too long', () => {
  test('ends the task with a clear error after its attempts, and the next task runs', async () => {
    const manifest = { timeoutMs: 100, maxAttempts: 2 };
    const { predict, pool } = await startTestWorker({ models: { slow: { manifest, onnx: slow() } } });
    const task = await predict('slow', rounds(FOR_EVER));
    expect(task).toMatchObject({
      state: 'FAILED',
      attempts: 2,
      error: { code: 'TIMEOUT', message: 'the run took longer than 100 ms (attempt 2 of 2)' },
    });
    expect(await predict('slow', rounds(1))).toMatchObject({ state: 'SUCCEEDED' });
    expect(pool.restarts()).toBe(2);
  });

  test('leaves a slot to the other models', async () => {
    const manifest = { timeoutMs: 1_000, maxAttempts: 1 };
    const { predict, submissionOf, publish, ended, store } = await startTestWorker({
      models: { slow: { manifest, onnx: slow() }, echo: { onnx: identity('FP32') } },
      slots: 2,
    });
    const stuck = [submissionOf('slow'), submissionOf('slow')] as const;
    const begun = new Promise((resolve) => store.watch(stuck[0].id, resolve));
    // Two shapes, so that they cannot share a run.
    await publish(stuck[0], rounds(FOR_EVER));
    await publish(stuck[1], [tensor('rounds', 'INT64', [1n, BigInt(FOR_EVER)])]);
    await begun;
    expect(await predict('echo', row(1, 2, 3, 4))).toMatchObject({ state: 'SUCCEEDED' });
    expect(await store.heads([stuck[0].id])).toMatchObject([{ state: 'RUNNING' }]);
    for (const { id } of stuck) expect(await ended(id)).toMatchObject({ state: 'FAILED', error: { code: 'TIMEOUT' } });
  });
});

describe('an owner', () => {
  const parts = (x: bigint, d: bigint) => [tensor('x', 'INT64', [x]), tensor('d', 'INT64', [d])];
  const CASES = [
    { title: 'hang', model: 'slow', hostile: rounds(FOR_EVER), ordinary: rounds(1) },
    { title: 'crash', model: 'quotient', hostile: parts(-(2n ** 63n), -1n), ordinary: parts(7n, 2n) },
  ];

  test.for(CASES)("whose tasks $title waits with the rest of them for another's", async (of) => {
    const manifest = { timeoutMs: 500, maxAttempts: 1 };
    const { submissionOf, publish, ended, store } = await startTestWorker({
      models: { slow: { manifest, onnx: slow() }, quotient: { manifest, onnx: quotient() } },
    });
    const hostile = Array.from({ length: 4 }, () => submissionOf(of.model, 'tensors', 'a'));
    const begun = Promise.race(hostile.map(({ id }) => new Promise((resolve) => store.watch(id, resolve))));
    for (const submission of hostile) await publish(submission, of.hostile);
    await begun;
    const ordinary = submissionOf(of.model, 'tensors', 'b');
    await publish(ordinary, of.ordinary);
    expect(await ended(ordinary.id)).toMatchObject({ state: 'SUCCEEDED' });
    const heads = await store.heads(hostile.map(({ id }) => id));
    // At most the one whose end was the first that was heard of its owner.
    expect(heads.filter((head) => head?.state === 'FAILED').length).toBeLessThanOrEqual(1);
    for (const { id } of hostile) expect(await ended(id)).toMatchObject({ state: 'FAILED' });
  });
});

test('a task whose process dies is tried again, and succeeds', async () => {
  const { submissionOf, publish, ended, store, pool } = await startTestWorker({ models: { slow: { onnx: slow() } } });
  const submission = submissionOf('slow');
  const begun = new Promise<void>((resolve) => {
    store.watch(submission.id, (event) => {
      if (event !== 'reread' && event.state === 'RUNNING' && event.attempts === 1) resolve();
    });
  });
  await publish(submission, rounds(300_000));
  await begun;
  // From the claim to the process it is no further than this.
  await setImmediate();
  for (const pid of pool.pids()) process.kill(pid, 'SIGKILL');
  expect(await ended(submission.id)).toMatchObject({ state: 'SUCCEEDED', attempts: 2 });
});

/** A store that cannot be reached while `away` says so. */
function outage() {
  let refused: (() => void) | undefined;
  const state = { away: undefined as string | undefined };
  return {
    /** Resolves at the next change that could not be made. */
    refusal: () => new Promise<void>((resolve) => (refused = resolve)),
    begin: (to: string) => (state.away = to),
    end: () => (state.away = undefined),
    disturb: (store: TaskStore): TaskStore => ({
      ...store,
      transition: async (id, change) => {
        if (state.away !== change.to) return store.transition(id, change);
        refused?.();
        throw new StoreUnavailable('the store is away');
      },
    }),
  };
}

/** A store that carries out the first change to this state, and whose answer is then lost. */
const losesAnswer =
  (to: string) =>
  (store: TaskStore): TaskStore => {
    let lost = false;
    return {
      ...store,
      transition: async (id, change) => {
        const attempts = await store.transition(id, change);
        if (lost || change.to !== to) return attempts;
        lost = true;
        throw new StoreUnavailable('the answer was lost');
      },
    };
  };

describe('a change that the store carried out, and whose answer was lost,', () => {
  test.each(['RUNNING', 'SUCCEEDED'])('to %s is made once', async (to) => {
    const { predict, worker } = await startTestWorker({
      models: { echo: { onnx: identity('FP32'), manifest: { maxAttempts: 1 } } },
      disturb: losesAnswer(to),
    });
    expect(await predict('echo', row(1, 2, 3, 4))).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
    expect(worker.stats().tasks).toBe(1);
  });

  test('to QUEUED does not end the retry', async () => {
    const { predict } = await startTestWorker({
      models: { slow: { onnx: slow(), manifest: { timeoutMs: 100, maxAttempts: 2 } } },
      disturb: losesAnswer('QUEUED'),
    });
    expect(await predict('slow', rounds(FOR_EVER))).toMatchObject({
      state: 'FAILED',
      attempts: 2,
      error: { code: 'TIMEOUT' },
    });
  });
});

describe('a store outage', () => {
  test.each(['RUNNING', 'SUCCEEDED'])('at the change to %s is waited out, and is nobody’s attempt', async (to) => {
    const { begin, end, refusal, disturb } = outage();
    const { predict, worker } = await startTestWorker({ models: { echo: { onnx: identity('FP32') } }, disturb });
    begin(to);
    const refused = refusal();
    const tasks = Promise.all(Array.from({ length: 10 }, () => predict('echo', row(1, 2, 3, 4))));
    await refused;
    end();
    for (const task of await tasks) expect(task).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
    expect(worker.stats().tasks).toBe(10);
  });

  test('is no time to begin anything new', async () => {
    const { begin, end, refusal, disturb } = outage();
    const { submissionOf, publish, predict, ended, worker } = await startTestWorker({
      models: { echo: { onnx: identity('FP32') } },
      disturb,
    });
    begin('SUCCEEDED');
    const refused = refusal();
    const first = predict('echo', row(1, 2, 3, 4));
    await refused;
    const second = submissionOf('echo');
    await publish(second, row(1, 2, 3, 4));
    await setImmediate();
    await setImmediate();
    expect(worker.stats()).toMatchObject({ tasks: 1, waiting: 1 });
    end();
    expect(await Promise.all([first, ended(second.id)])).toMatchObject([
      { state: 'SUCCEEDED' },
      { state: 'SUCCEEDED' },
    ]);
  });

  test('does not keep a worker from closing: its tasks stay with the broker', async () => {
    const { begin, end, refusal, disturb } = outage();
    const { submissionOf, publish, store, worker } = await startTestWorker({
      models: { echo: { onnx: identity('FP32') } },
      disturb,
    });
    begin('RUNNING');
    const submission = submissionOf('echo');
    await store.create([submission]);
    const refused = refusal();
    await publish(submission, row(1, 2, 3, 4));
    await refused;
    await worker.close();
    end();
    expect(await store.heads([submission.id])).toMatchObject([{ state: 'QUEUED' }]);
  });
});

test('when its deliveries are the broker’s again, a worker finishes what it has begun, and drops the rest', async () => {
  const { submissionOf, publish, ended, store, broker, worker } = await startTestWorker({
    models: { slow: { onnx: slow() } },
  });
  const [begun, waiting] = [submissionOf('slow'), submissionOf('slow')];
  await store.create([begun, waiting]);
  const running = new Promise((resolve) => store.watch(begun.id, resolve));
  await publish(begun, rounds(200_000));
  await running;
  await publish(waiting, rounds(1));
  await setImmediate();
  expect(worker.stats().waiting).toBe(1);
  await broker.close();
  expect(worker.stats().waiting).toBe(0);
  expect(await ended(begun.id)).toMatchObject({ state: 'SUCCEEDED' });
  expect(await store.heads([waiting.id])).toMatchObject([{ state: 'QUEUED' }]);
});

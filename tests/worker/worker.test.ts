import { describe, expect, test } from 'vitest';
import { DEAD_LETTER_QUEUE, predictionQueue } from '../../src/broker/topology.ts';
import type { Task } from '../../src/task/task.ts';
import { RETURNS_MAX } from '../../workers/tasks/absent-model.ts';
import { identity, mixesRows, signs, squares, unary } from '../support/onnx-models.ts';
import { DEPENDENT } from '../support/sharing-models.ts';
import { contents, tensor } from '../support/tensors.ts';
import { startTestWorker } from '../support/worker.ts';

const row = (...elements: number[]) => [tensor('x', 'FP32', elements, [1, elements.length])];
const index = (i: number) => [tensor('x', 'INT64', [BigInt(i)])];
const outputsOf = ({ result }: Task) => contents(result?.outputs ?? []);

test('a task runs, and its result is stored with how it ran', async () => {
  const { predict } = await startTestWorker({ models: { echo: { onnx: identity('FP32') } } });
  const task = await predict('echo', row(1, 2, 3, 4));
  expect(task).toMatchObject({ state: 'SUCCEEDED', attempts: 1, result: { batchSize: 1 } });
  expect(outputsOf(task)).toEqual({ y: { shape: [1, 4], elements: [1, 2, 3, 4] } });
  expect(task.result?.runMs).toBeGreaterThan(0);
});

test('tasks that gather while the process is busy share runs, and each gets its own rows back', async () => {
  const { predict, worker } = await startTestWorker({ models: { echo: { onnx: identity('FP32', ['batch', 2]) } } });
  const tasks = await Promise.all(Array.from({ length: 200 }, (_, i) => predict('echo', row(i, -i))));
  expect(tasks.map(outputsOf)).toEqual(
    Array.from({ length: 200 }, (_, i) => ({ y: { shape: [1, 2], elements: [i, -i] } })),
  );
  const { runs, tasks: ran } = worker.stats();
  expect(ran).toBe(200);
  expect(ran / runs).toBeGreaterThan(4);
  expect(Math.max(...tasks.map(({ result }) => result?.batchSize ?? 0))).toBeLessThanOrEqual(64);
});

test('tasks of a model whose rows depend on each other run alone, however many wait', async () => {
  const { cumulated = Buffer.alloc(0) } = DEPENDENT;
  const { predict } = await startTestWorker({ models: { sums: { onnx: cumulated, manifest: { maxDelayMs: 20 } } } });
  const tasks = await Promise.all(Array.from({ length: 16 }, (_, i) => predict('sums', row(i, 2 * i, 1, 0))));
  expect(tasks.map((task) => [outputsOf(task)['y']?.elements, task.result?.batchSize])).toEqual(
    tasks.map((_, i) => [[i, 2 * i, 1, 0], 1]),
  );
});

test('maxDelayMs fills a batch that would have gone alone', async () => {
  const manifest = { maxBatch: 3, maxDelayMs: 10_000 };
  const { predict } = await startTestWorker({ models: { echo: { manifest, onnx: identity('FP32', ['batch']) } } });
  const one = (i: number) => predict('echo', [tensor('x', 'FP32', [i])]);
  const tasks = await Promise.all([one(1), one(2), one(3)]);
  expect(tasks.map(({ result }) => result?.batchSize)).toEqual([3, 3, 3]);
});

test('maxDelayMs ends a wait that nobody comes to share', async () => {
  const manifest = { maxDelayMs: 20 };
  const { predict } = await startTestWorker({ models: { echo: { manifest, onnx: identity('FP32', ['batch']) } } });
  expect(await predict('echo', [tensor('x', 'FP32', [1])])).toMatchObject({ result: { batchSize: 1 } });
});

test('the high lane is served as well', async () => {
  const { submissionOf, publish, ended } = await startTestWorker({ models: { echo: { onnx: identity('FP32') } } });
  const submission = submissionOf('echo');
  await publish(submission, row(1, 2, 3, 4), { lane: 'high' });
  expect(await ended(submission.id)).toMatchObject({ state: 'SUCCEEDED' });
});

test('a store that has lost the record gets it back from the message', async () => {
  const { submissionOf, publish, ended } = await startTestWorker({ models: { echo: { onnx: identity('FP32') } } });
  const submission = submissionOf('echo');
  await publish(submission, row(1, 2, 3, 4));
  expect(await ended(submission.id)).toMatchObject({ ...submission, state: 'SUCCEEDED' });
});

describe('a batch that fails', () => {
  test('charges nobody: its members run alone, and the one that is to blame fails', async () => {
    const { predict, worker } = await startTestWorker({ models: { squares: { onnx: squares() } } });
    const tasks = await Promise.all(Array.from({ length: 11 }, (_, i) => predict('squares', index(i))));
    const [culprit] = tasks.splice(10);
    expect(culprit).toMatchObject({ state: 'FAILED', attempts: 1, error: { code: 'MODEL_ERROR' } });
    expect(culprit?.error?.message).toContain('idx=10');
    for (const [i, task] of tasks.entries()) {
      expect(task).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
      expect(outputsOf(task)).toEqual({ y: { shape: [1], elements: [i * i] } });
    }
    expect(worker.stats().tasks).toBeGreaterThan(11);
  });

  test('because the model mixes its rows: each task alone succeeds', async () => {
    const { predict } = await startTestWorker({ models: { sum: { onnx: mixesRows() } } });
    const tasks = await Promise.all(Array.from({ length: 5 }, (_, i) => predict('sum', row(i, i, i, i), 'typed')));
    for (const [i, task] of tasks.entries()) {
      expect(task).toMatchObject({ state: 'SUCCEEDED', result: { batchSize: 1 } });
      expect(outputsOf(task)).toEqual({ y: { shape: [1, 4], elements: [i, i, i, i] } });
    }
  });
});

describe('a task that is not to be run', () => {
  test('because it was cancelled in the queue is dropped', async () => {
    const { submissionOf, publish, predict, ended, store, broker, worker } = await startTestWorker({
      models: { echo: { onnx: identity('FP32') } },
    });
    const cancelled = submissionOf('echo');
    await store.create([cancelled]);
    await store.transition(cancelled.id, { to: 'CANCELLED', at: Date.now() });
    await publish(cancelled, row(1, 2, 3, 4));
    await predict('echo', row(1, 2, 3, 4));
    expect(await ended(cancelled.id)).toMatchObject({ state: 'CANCELLED', attempts: 0 });
    expect(worker.stats()).toMatchObject({ tasks: 1, waiting: 0 });
    expect(await broker.depth(predictionQueue('echo', 'normal'))).toBe(0);
  });

  test.each([
    ['another shape', [tensor('x', 'FP32', [1, 2], [1, 2])], 'input "x": expected FP32 [?, 4], got FP32 [1, 2]'],
    [
      'another datatype',
      [tensor('x', 'INT32', [1, 2, 3, 4], [1, 4])],
      'input "x": expected FP32 [?, 4], got INT32 [1, 4]',
    ],
    ['another name', [tensor('z', 'FP32', [1, 2, 3, 4], [1, 4])], 'input "x": expected FP32 [?, 4], got none'],
    ['one too many', [...row(1, 2, 3, 4), tensor('z', 'FP32', [1])], 'input "z": unexpected, or given twice'],
  ])('because its input has %s fails by itself', async (_, inputs, message) => {
    const { predict } = await startTestWorker({ models: { echo: { onnx: identity('FP32') } } });
    const [task, neighbour] = await Promise.all([predict('echo', inputs), predict('echo', row(1, 2, 3, 4))]);
    expect(task).toMatchObject({ state: 'FAILED', error: { code: 'MODEL_ERROR', message } });
    expect(neighbour).toMatchObject({ state: 'SUCCEEDED' });
  });

  test('because its version is not here waits for a worker that has it, and holds up nobody', async () => {
    const { broker, store, submissionOf, publish, predict } = await startTestWorker({
      models: { echo: { onnx: identity('FP32') } },
    });
    const task = submissionOf('echo');
    const absent = { ...task, model: { ...task.model, version: '7' } };
    await store.create([absent]);
    await publish(absent, row(1, 2, 3, 4), { returnsBefore: RETURNS_MAX - 1 });
    expect(await predict('echo', row(1, 2, 3, 4))).toMatchObject({ state: 'SUCCEEDED' });
    expect(await broker.depth(predictionQueue('echo', 'normal'))).toBe(0);
    expect(await broker.depth(DEAD_LETTER_QUEUE)).toBe(0);
    expect(await store.get([task.id])).toMatchObject([{ state: 'QUEUED', attempts: 0 }]);
  });

  test('because its version is not here yet comes again within seconds: the next worker may be about to have it', async () => {
    const { log, store, submissionOf, publish } = await startTestWorker({
      models: { echo: { onnx: identity('FP32') } },
    });
    const task = submissionOf('echo');
    const absent = { ...task, model: { ...task.model, version: '7' } };
    await store.create([absent]);
    await publish(absent, row(1, 2, 3, 4));
    const returns = () => log.lines('warn').map(({ fields }) => fields['returnsBefore']);
    await expect.poll(returns, { timeout: 10_000 }).toEqual([0, 1]);
  });

  test('because no worker ever has its version ends, and says which', async () => {
    const { submissionOf, publish, ended } = await startTestWorker({ models: { echo: { onnx: identity('FP32') } } });
    const task = submissionOf('echo');
    const absent = { ...task, model: { ...task.model, version: '7' } };
    await publish(absent, row(1, 2, 3, 4), { returnsBefore: RETURNS_MAX });
    const message = 'no worker here has version 7 of model "echo" (asked 21 times)';
    expect(await ended(task.id)).toMatchObject({
      state: 'FAILED',
      attempts: 0,
      error: { code: 'MODEL_ERROR', message },
    });
  });
});

describe('an output that the API could not give out', () => {
  test('NaN by the typed API is INVALID_OUTPUT; in tensors it is a value like any other', async () => {
    const { predict } = await startTestWorker({ models: { log: { onnx: unary('Log', 'FP32', ['batch', 2]) } } });
    const [typed, tensors, well] = await Promise.all([
      predict('log', row(1, -1), 'typed'),
      predict('log', row(1, -1), 'tensors'),
      predict('log', row(1, 1), 'typed'),
    ]);
    const message = 'output "y": expected finite numbers, got NaN at index 1';
    expect(typed).toMatchObject({ state: 'FAILED', attempts: 1, error: { code: 'INVALID_OUTPUT', message } });
    expect(outputsOf(tensors)).toEqual({ y: { shape: [1, 2], elements: [0, Number.NaN] } });
    expect(well).toMatchObject({ state: 'SUCCEEDED' });
  });

  test('a class without a label is INVALID_OUTPUT', async () => {
    const manifest = { outputs: { y: { labels: ['minus', 'zero'] } } };
    const { predict } = await startTestWorker({ models: { signs: { manifest, onnx: signs() } } });
    const task = await predict('signs', [tensor('x', 'FP32', [5])], 'typed');
    const message = 'output "y": expected a label from 0 to 1, got 2 at index 0';
    expect(task).toMatchObject({ state: 'FAILED', error: { code: 'INVALID_OUTPUT', message } });
  });
});

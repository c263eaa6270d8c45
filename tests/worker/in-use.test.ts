import { describe, expect, test } from 'vitest';
import type { Task } from '../../src/task/task.ts';
import { NO_METRICS } from '../../src/telemetry/no-metrics.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { elementsOf } from '../../src/tensor/tensor-values.ts';
import type { ModelSource } from '../../workers/repository/model-repository.ts';
import type { WorkerObserver } from '../../workers/tasks/worker-observer.ts';
import { int64s } from '../support/onnx.ts';
import { betrayed, dropping, identity, MAGIC } from '../support/onnx-models.ts';
import { op, rows } from '../support/onnx-rows.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker } from '../support/worker.ts';

const ENDED = 'tasks of the model no longer share runs';

/** Tasks that wait for the process together, so that they share a run. */
async function together(one: Awaited<ReturnType<typeof startTestWorker>>, model: string, inputs: Tensor[][]) {
  return Promise.all(inputs.map((each) => one.predict(model, each)));
}

const valuesOf = ({ result }: Task) => result?.outputs.flatMap((output) => elementsOf(output).map(Number));
const sizesOf = (tasks: readonly Task[]) => tasks.map(({ result }) => result?.batchSize);
const row = (value: number) => [tensor('x', 'FP32', [value])];
const gathering = { maxDelayMs: 100 };

describe('tasks that shared a run which mixed them', () => {
  test.each(['FP32', 'INT64'] as const)('get what they get alone, and share none afterwards: %s', async (datatype) => {
    const counted = { checks: 0, ended: 0 };
    const observer: WorkerObserver = {
      ...NO_METRICS,
      sharingChecked: () => {
        counted.checks += 1;
      },
      sharingEnded: () => {
        counted.ended += 1;
      },
    };
    const models = { betrayed: { onnx: betrayed(datatype), manifest: gathering } };
    const one = await startTestWorker({ models, observer });
    const of = (...values: number[]) => values.map((value) => [tensor('x', datatype, [value])]);
    const well = await together(one, 'betrayed', of(1, 2, 3));
    expect([well.map(valuesOf), sizesOf(well)]).toEqual([
      [[1], [2], [3]],
      [3, 3, 3],
    ]);
    expect(one.log.lines('warn')).toEqual([]);
    expect(counted).toEqual({ checks: 1, ended: 0 });
    const mixed = await together(one, 'betrayed', of(4, MAGIC, 5, 6));
    expect([mixed.map(valuesOf), sizesOf(mixed)]).toEqual([
      [[4], [MAGIC], [5], [6]],
      [1, 1, 1, 1],
    ]);
    expect(mixed.map(({ attempts }) => attempts)).toEqual([1, 1, 1, 1]);
    expect(sizesOf(await together(one, 'betrayed', of(7, 8)))).toEqual([1, 1]);
    const ends = one.log.lines('warn').filter(({ message }) => message === ENDED);
    const reason = expect.stringContaining(`${datatype} output "y"`);
    expect(ends).toMatchObject([{ fields: { model: 'betrayed', version: '1', reason } }]);
    expect(counted).toEqual({ checks: 2, ended: 1 });
  });

  test('share none afterwards where nobody could tell whose rows are whose', async () => {
    const one = await startTestWorker({ models: { dropping: { onnx: dropping(), manifest: gathering } } });
    const tasks = await together(one, 'dropping', [row(1), row(MAGIC), row(2)]);
    expect([tasks.map(valuesOf), sizesOf(tasks)]).toEqual([
      [[1], [], [2]],
      [1, 1, 1],
    ]);
    expect(one.log.lines('warn')).toContainEqual(expect.objectContaining({ message: ENDED }));
  });

  test('keep what they got where the operator says that they may share it', async () => {
    const manifest = { ...gathering, batched: true };
    const one = await startTestWorker({ models: { betrayed: { onnx: betrayed(), manifest } } });
    const mixed = await together(one, 'betrayed', [row(1), row(MAGIC)]);
    expect([mixed.map(valuesOf), sizesOf(mixed)]).toEqual([
      [[2], [MAGIC + 1]],
      [2, 2],
    ]);
  });
});

test('a task without rows runs alone, and its failure does not end sharing', async () => {
  const flattened = rows({
    nodes: [op('Reshape', 'x all', 'y')],
    initializers: [int64s('all', [0, -1])],
  });
  const one = await startTestWorker({ models: { flattened: { onnx: flattened, manifest: gathering } } });
  const ofFour = (count: number) => [tensor('x', 'FP32', Array<number>(4 * count).fill(count), [count, 4])];
  const [none, ...others] = await together(one, 'flattened', [0, 1, 2].map(ofFour));
  expect(none).toMatchObject({ state: 'FAILED', error: { code: 'MODEL_ERROR' } });
  expect(sizesOf(others)).toEqual([2, 2]);
  expect(one.log.lines('warn').filter(({ message }) => message === ENDED)).toEqual([]);
});

test('tasks whose run goes on while sharing ends elsewhere run alone', async () => {
  let shares = true;
  const disturbModels = (models: ModelSource): ModelSource => ({
    ...models,
    find: (reference) => {
      const model = models.find(reference);
      return model && Object.assign(model, { shares: () => shares });
    },
  });
  const observer = {
    ...NO_METRICS,
    ran: () => {
      shares = false;
    },
  };
  const one = await startTestWorker({
    models: { echo: { onnx: identity('FP32', ['batch']), manifest: gathering } },
    disturbModels,
    observer,
  });
  const tasks = await together(one, 'echo', [row(1), row(2)]);
  expect([tasks.map(valuesOf), sizesOf(tasks)]).toEqual([
    [[1], [2]],
    [1, 1],
  ]);
  // One run of both, and one of each.
  expect(one.worker.stats()).toMatchObject({ runs: 3, tasks: 4 });
});

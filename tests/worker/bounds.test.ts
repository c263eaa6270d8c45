import { describe, expect, test } from 'vitest';
import type { Broker } from '../../src/broker/broker.ts';
import { createMemoryBroker } from '../../src/broker/memory/memory-broker.ts';
import { manifestSchema } from '../../src/models/manifest.ts';
import { OUTPUT_BYTES_MAX } from '../../src/models/outputs.ts';
import type { Log } from '../../src/process/log.ts';
import { isOutgrown, nextPace, type Pace, prefetchAt, prefetchMax } from '../../workers/scheduling/prefetch.ts';
import { createHeldBytes } from '../../workers/tasks/held-bytes.ts';
import { IRIS } from '../support/models.ts';
import { int64s, onnxModel, value } from '../support/onnx.ts';
import { identity } from '../support/onnx-models.ts';
import { tensor } from '../support/tensors.ts';
import { startTestWorker, type TestWorker } from '../support/worker.ts';

/** `y UINT8 [length]`, each element `x UINT8 [1]`. */
function repeated(length: number): Buffer {
  return onnxModel({
    inputs: [value('x', 'UINT8', [1])],
    outputs: [value('y', 'UINT8', [length])],
    nodes: [{ op: 'Expand', inputs: ['x', 'shape'], outputs: ['y'] }],
    initializers: [int64s('shape', [length])],
  });
}

test('a result as large as one may be is kept; one that is larger ends its task, and says how large it is', async () => {
  const tooMany = OUTPUT_BYTES_MAX + 1;
  const { predict } = await startTestWorker({
    models: { most: { onnx: repeated(OUTPUT_BYTES_MAX) }, more: { onnx: repeated(tooMany) } },
  });
  const input = [tensor('x', 'UINT8', [7])];
  expect(await predict('most', input)).toMatchObject({ state: 'SUCCEEDED' });
  const message = `outputs: expected at most ${OUTPUT_BYTES_MAX} bytes, got ${tooMany} ("y" ${tooMany})`;
  expect(await predict('more', input)).toMatchObject({ state: 'FAILED', error: { code: 'INVALID_OUTPUT', message } });
});

test.each([
  ['by default: a batch in each slot and one that gathers', {}, 4, 5],
  ['where the model may take one slot', { concurrency: 1 }, 4, 2],
  ['of a fast model that may take one slot', { concurrency: 1, timeoutMs: 1_000 }, 4, 5],
  ['in one slot', {}, 1, 2],
  ['where a run may take 20 minutes: what runs, and nothing that waits', { timeoutMs: 1_200_000 }, 4, 3],
  ['where more concurrency is allowed than there are slots', { timeoutMs: 1_200_000, concurrency: 9 }, 4, 4],
])('no more is taken from a queue than should be through in 25 minutes, %s', (_, manifest, slots, batches) => {
  const model = { manifest: manifestSchema.parse(manifest), served: IRIS, shares: () => true };
  expect(prefetchMax(model, slots)).toBe(batches * IRIS.maxBatch);
});

const { maxBatch } = IRIS;
test.each([
  ['before the first run a batch for each slot it may take', undefined, 3 * maxBatch],
  ['of a fast model all that may be', { runMs: 10, batchSize: 32 }, 5 * maxBatch],
  [
    'of a slow one whose batches are full a batch for each slot it may take, and one',
    { runMs: 5_000, batchSize: 64 },
    4 * maxBatch,
  ],
  [
    'of a slow one whose tasks run alone twice that, so that they may begin to share',
    { runMs: 5_000, batchSize: 1 },
    8,
  ],
  ['of tasks of 300 ms, alone, two seconds of work', { runMs: 300, batchSize: 1 }, 42],
])('%s is taken at once', (_, pace, prefetch) => {
  const model = { manifest: manifestSchema.parse({}), served: IRIS, shares: () => true };
  expect(prefetchAt(pace, model, 4)).toBe(prefetch);
});

test('a slow model whose runs take as long however many tasks share them has large batches after a while', () => {
  for (const slots of [1, 2, 4, 16]) {
    const model = { manifest: manifestSchema.parse({}), served: IRIS, shares: () => true };
    let pace: Pace = { runMs: 5_000, batchSize: 1 };
    let prefetch = prefetchAt(pace, model, slots);
    // What is taken is in equal parts in the runs and in the batch that gathers.
    const batchSize = () => Math.min(maxBatch, Math.floor(prefetch / (Math.max(1, slots - 1) + 1)));
    let runs = 0;
    for (; batchSize() < 0.8 * maxBatch && runs < 1_000; runs += 1) {
      pace = nextPace(pace, { runMs: 5_000, batchSize: batchSize() });
      const wanted = prefetchAt(pace, model, slots);
      if (isOutgrown(prefetch, wanted)) prefetch = wanted;
    }
    expect(runs).toBeLessThan(50);
  }
});

describe('the bytes that a worker holds', () => {
  const heldBytes = (max: number) => {
    const paused = new Map<string, boolean>();
    const held = createHeldBytes({ max });
    held.onChange(() => {
      for (const model of ['a', 'b', 'c']) paused.set(model, held.isPaused(model));
    });
    return { ...held, paused };
  };

  test('have a bound of which one model takes half: it alone is paused, and resumed when it holds half as much', () => {
    const { take, give, paused, isPaused } = heldBytes(800);
    expect([take('a', 200), paused.size, take('a', 100)]).toEqual([true, 0, true]);
    expect(paused).toEqual(
      new Map([
        ['a', true],
        ['b', false],
        ['c', false],
      ]),
    );
    // What was on its way is kept while there is room.
    expect([take('a', 100), take('a', 1)]).toEqual([true, false]);
    expect(take('b', 10)).toBe(true);
    give('a', 200);
    expect(isPaused('a')).toBe(true);
    give('a', 1);
    expect([isPaused('a'), paused.get('a')]).toEqual([false, false]);
  });

  test('of all models together pause all', () => {
    const { take, give, isPaused, total, deliveries } = heldBytes(800);
    for (const model of ['a', 'b', 'c']) take(model, 200);
    expect(['a', 'b', 'c'].map(isPaused)).toEqual([true, true, true]);
    expect([take('a', 200), take('b', 1), total(), deliveries()]).toEqual([true, false, 800, 4]);
    for (const model of ['a', 'a', 'b']) give(model, 200);
    expect(['a', 'b', 'c'].map(isPaused)).toEqual([false, false, false]);
  });

  test('of one that is larger than all that may be held fit where nothing else is', () => {
    const { take, isPaused, give } = heldBytes(100);
    expect([take('a', 500), isPaused('b')]).toEqual([true, true]);
    give('a', 500);
    expect(isPaused('b')).toBe(false);
  });
});

test('a worker holds no more bytes than it may, and every task succeeds', async () => {
  const body = 4 * 100_000;
  const heldBytesMax = 10 * body;
  let most = 0;
  const openBroker = (log: Log): Broker => {
    const broker = createMemoryBroker(log);
    const consume: Broker['consume'] = (options, handler) =>
      broker.consume(options, (delivery) => {
        const verdict = handler(delivery);
        most = Math.max(most, one?.worker.observed.heldBytes() ?? 0);
        return verdict;
      });
    return { ...broker, consume };
  };
  let one: TestWorker | undefined;
  one = await startTestWorker({
    models: { echo: { onnx: identity('FP32', ['batch', 100_000]) } },
    openBroker,
    heldBytesMax,
  });
  const input = [tensor('x', 'FP32', Array<number>(100_000).fill(1), [1, 100_000])];
  const tasks = await Promise.all(Array.from({ length: 60 }, () => one.predict('echo', input)));
  for (const task of tasks) expect(task).toMatchObject({ state: 'SUCCEEDED', attempts: 1 });
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(heldBytesMax / 2);
  await expect.poll(() => one.worker.observed.heldBytes()).toBe(0);
});

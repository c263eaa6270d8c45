import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Tensor } from '../../src/tensor.ts';
import { batchKey, rowsOf } from '../../workers/batch-tensors.ts';
import { BATCH_BYTES_MAX, type BatchItem, type BatchLimits, createBatcher } from '../../workers/batcher.ts';
import { tensor } from '../support/tensors.ts';

type Item = BatchItem<string>;

const LIMITS: BatchLimits = { batched: true, maxBatch: 4, maxDelayMs: 0, concurrency: 2 };

let clock = 0;

function item(model: string, { rows = 1, width = 1, alone = false, arrivedAt = clock++ } = {}): Item {
  const inputs = [tensor('x', 'UINT8', Array<number>(rows * width).fill(0), [rows, width])];
  return { model, inputs, alone, arrivedAt };
}

function batcherOf(limits: Partial<BatchLimits>, items: Item[]) {
  const batcher = createBatcher<string, Item>(() => ({ ...LIMITS, ...limits }));
  for (const each of items) batcher.add(each);
  return batcher;
}

test('all that fits goes at once, in the order it came', () => {
  const items = [item('m'), item('m'), item('m'), item('m'), item('m')];
  const batcher = batcherOf({}, items);
  expect(batcher.take(clock)?.items).toEqual(items.slice(0, 4));
  expect(batcher.take(clock)?.items).toEqual(items.slice(4));
  expect(batcher.take(clock)).toBeUndefined();
});

test('rows are counted, not tasks; more rows than a batch holds run alone', () => {
  const [three, two, nine] = [item('m', { rows: 3 }), item('m', { rows: 2 }), item('m', { rows: 9 })];
  const batcher = batcherOf({ concurrency: 9 }, [three, two, nine]);
  expect(batcher.take(clock)?.items).toEqual([three]);
  expect(batcher.take(clock)?.items).toEqual([two]);
  expect(batcher.take(clock)?.items).toEqual([nine]);
});

test('large inputs make small batches, and one that is too large for any batch runs alone', () => {
  const large = (bytes: number): Item => {
    const data = new Uint8Array(bytes);
    const inputs: Tensor[] = [{ name: 'x', datatype: 'UINT8', shape: [1, BATCH_BYTES_MAX], data }];
    return { model: 'm', inputs, alone: false, arrivedAt: clock++ };
  };
  const half = BATCH_BYTES_MAX / 2;
  const items = [large(half), large(half), large(1), large(BATCH_BYTES_MAX + 1), large(1)] as const;
  const batcher = batcherOf({ concurrency: 9, maxDelayMs: 0 }, [...items]);
  const batches = [batcher.take(clock), batcher.take(clock), batcher.take(clock), batcher.take(clock)];
  expect(batches.map((batch) => batch?.items)).toEqual([[items[0], items[1]], [items[2]], [items[3]], [items[4]]]);
});

test('tasks without rows have a bound as well', () => {
  const batcher = batcherOf(
    {},
    Array.from({ length: 6 }, () => item('m', { rows: 0 })),
  );
  expect(batcher.take(clock)?.items).toHaveLength(4);
});

test('tasks that differ in more than dimension 0 do not share a run', () => {
  const [wide, narrow, wideAgain] = [item('m', { width: 3 }), item('m', { width: 2 }), item('m', { width: 3 })];
  const batcher = batcherOf({}, [wide, narrow, wideAgain]);
  expect(batcher.take(clock)?.items).toEqual([wide, wideAgain]);
  expect(batcher.take(clock)?.items).toEqual([narrow]);
});

test('a task that was tried before runs alone, and so does each task of a model that is not batched', () => {
  const items = [item('m', { alone: true }), item('m'), item('m')];
  const batcher = batcherOf({}, items);
  expect(batcher.take(clock)?.items).toEqual(items.slice(0, 1));
  expect(batcher.take(clock)?.items).toEqual(items.slice(1));
  expect(batcherOf({ batched: false }, items).take(clock)?.items).toEqual(items.slice(0, 1));
});

test('inputs that do not agree in their rows run alone: no batch could be split again', () => {
  const odd = { ...item('m'), inputs: [tensor('a', 'UINT8', [1]), tensor('b', 'UINT8', [1, 2])] };
  const also = { ...odd, arrivedAt: clock++ };
  expect(batcherOf({}, [odd, also]).take(clock)?.items).toEqual([odd]);
});

test('a task that comes back after a failed batch goes before those that came later', () => {
  const [first, second, third] = [item('m'), item('m'), item('m')];
  const batcher = batcherOf({ maxBatch: 1 }, [second, third]);
  batcher.add(first);
  expect(batcher.take(clock)?.items).toEqual([first]);
});

describe('with maxDelayMs', () => {
  const delayed = { maxDelayMs: 10, maxBatch: 2 };

  test('a partial batch is held until its oldest task has waited that long', () => {
    const waits = item('m', { arrivedAt: 100 });
    const batcher = batcherOf(delayed, [waits]);
    expect(batcher.take(109)).toBeUndefined();
    expect(batcher.dueAt()).toBe(110);
    expect(batcher.take(110)?.items).toEqual([waits]);
    expect(batcher.dueAt()).toBeUndefined();
  });

  test('a full batch goes at once, also past an older one that is held', () => {
    const held = item('m', { width: 2, arrivedAt: 100 });
    const full = [item('m', { arrivedAt: 101 }), item('m', { arrivedAt: 102 })];
    const batcher = batcherOf(delayed, [held, ...full]);
    expect(batcher.take(103)?.items).toEqual(full);
    expect(batcher.take(103)).toBeUndefined();
    expect(batcher.dueAt()).toBe(110);
  });

  test('a batch that the next task does not fit into is full', () => {
    const [one, two] = [item('m', { arrivedAt: 100 }), item('m', { rows: 2, arrivedAt: 101 })];
    expect(batcherOf(delayed, [one, two]).take(101)?.items).toEqual([one]);
  });

  test('a task that runs alone waits for nobody', () => {
    const alone = item('m', { alone: true, arrivedAt: 100 });
    expect(batcherOf(delayed, [alone]).take(100)?.items).toEqual([alone]);
  });

  test('nothing falls due of a model that may not run more', () => {
    const batcher = batcherOf({ ...delayed, concurrency: 1 }, [item('m', { arrivedAt: 100 })]);
    expect(batcher.take(110)).toBeDefined();
    batcher.add(item('m', { arrivedAt: 111 }));
    expect(batcher.dueAt()).toBeUndefined();
    batcher.ended('m');
    expect(batcher.dueAt()).toBe(121);
  });
});

// Whatever is added, taken back, taken and ended in whatever order, held against a plain list of what waits.

const MODELS: Record<string, BatchLimits> = {
  shared: { ...LIMITS, concurrency: 1 },
  large: { ...LIMITS, maxBatch: 16, concurrency: 3 },
  single: { ...LIMITS, batched: false, maxBatch: 1 },
};

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      model: fc.constantFrom(...Object.keys(MODELS)),
      rows: fc.integer({ min: 0, max: 6 }),
      width: fc.integer({ min: 1, max: 2 }),
      alone: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('take' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('end' as const, 'remove' as const), pick: fc.nat() }) },
);

type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

test('no task is lost or run twice, no limit is passed, and the oldest that may run always goes first', async () => {
  await fc.assert(fc.property(fc.array(step, { maxLength: 80 }), replay));
});

function replay(steps: readonly Step[]): void {
  const batcher = createBatcher<string, Item>(limitsOf);
  let waiting: Item[] = [];
  const running: string[] = [];
  const mayRun = ({ model }: Item) => running.filter((each) => each === model).length < limitsOf(model).concurrency;
  for (const each of steps) {
    if (each.do === 'add') {
      const added = item(each.model, each);
      batcher.add(added);
      waiting.push(added);
    } else if (each.do === 'take') {
      const batch = batcher.take(clock);
      expect(batch?.items[0]).toBe(waiting.find(mayRun));
      if (!batch) continue;
      expectFits(batch.items, limitsOf(batch.model));
      expect(batch.items.every((taken) => taken.model === batch.model && waiting.includes(taken))).toBe(true);
      waiting = waiting.filter((left) => !batch.items.includes(left));
      running.push(batch.model);
    } else if (each.do === 'end') {
      const [model] = running.splice(each.pick % (running.length || 1), 1);
      if (model !== undefined) batcher.ended(model);
    } else {
      const [removed] = waiting.splice(each.pick % (waiting.length || 1), 1);
      if (removed) expect([batcher.remove(removed), batcher.remove(removed)]).toEqual([true, false]);
    }
    expect(batcher.waiting()).toBe(waiting.length);
  }
}

function limitsOf(model: string): BatchLimits {
  const limits = MODELS[model];
  if (!limits) throw new Error(`no model ${model}`);
  return limits;
}

function expectFits(items: readonly Item[], { maxBatch, batched }: BatchLimits): void {
  if (items.length === 1) return;
  expect(batched && items.every(({ alone }) => !alone)).toBe(true);
  expect(new Set(items.map(({ inputs }: { inputs: readonly Tensor[] }) => batchKey(inputs))).size).toBe(1);
  expect(items.reduce((rows, { inputs }) => rows + (rowsOf(inputs) ?? Number.NaN), 0)).toBeLessThanOrEqual(maxBatch);
  expect(items.length).toBeLessThanOrEqual(maxBatch);
  expect(items.map(({ arrivedAt }) => arrivedAt)).toEqual(
    items.map(({ arrivedAt }) => arrivedAt).sort((a, b) => a - b),
  );
}

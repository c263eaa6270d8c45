import { describe, expect, test } from 'vitest';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { BATCH_BYTES_MAX } from '../../workers/batching/joined-tasks.ts';
import { NORMAL_SHARE } from '../../workers/batching/next-batch.ts';
import { batcherOf, type Item, type ItemOptions, item, now } from '../support/batch-items.ts';
import { tensor } from '../support/tensors.ts';

test('all that fits goes at once, in the order it came', () => {
  const items = [item('m'), item('m'), item('m'), item('m'), item('m')];
  const batcher = batcherOf({}, items);
  expect(batcher.take(now())?.items).toEqual(items.slice(0, 4));
  expect(batcher.take(now())?.items).toEqual(items.slice(4));
  expect(batcher.take(now())).toBeUndefined();
});

test('rows are counted, not tasks; more rows than a batch holds run alone', () => {
  const [three, two, nine] = [item('m', { rows: 3 }), item('m', { rows: 2 }), item('m', { rows: 9 })];
  const batcher = batcherOf({ concurrency: 9 }, [three, two, nine]);
  expect(batcher.take(now())?.items).toEqual([three]);
  expect(batcher.take(now())?.items).toEqual([two]);
  expect(batcher.take(now())?.items).toEqual([nine]);
});

test('large inputs make small batches, and one that is too large for any batch runs alone', () => {
  const large = (bytes: number): Item => {
    const data = new Uint8Array(bytes);
    const inputs: Tensor[] = [{ name: 'x', datatype: 'UINT8', shape: [1, BATCH_BYTES_MAX], data }];
    return { owner: 'anybody', model: 'm', inputs, lane: 'normal', alone: false, arrivedAt: item('m').arrivedAt };
  };
  const half = BATCH_BYTES_MAX / 2;
  const items = [large(half), large(half), large(1), large(BATCH_BYTES_MAX + 1), large(1)] as const;
  const batcher = batcherOf({ concurrency: 9, maxDelayMs: 0 }, [...items]);
  const batches = [batcher.take(now()), batcher.take(now()), batcher.take(now()), batcher.take(now())];
  expect(batches.map((batch) => batch?.items)).toEqual([[items[0], items[1]], [items[2]], [items[3]], [items[4]]]);
});

test('a task without rows runs alone', () => {
  const items = [item('m'), item('m', { rows: 0 }), item('m')];
  const batcher = batcherOf({}, items);
  expect(batcher.take(now())?.items).toEqual([items[0], items[2]]);
  expect(batcher.take(now())?.items).toEqual([items[1]]);
});

test('tasks that differ in more than dimension 0 do not share a run', () => {
  const [wide, narrow, wideAgain] = [item('m', { width: 3 }), item('m', { width: 2 }), item('m', { width: 3 })];
  const batcher = batcherOf({}, [wide, narrow, wideAgain]);
  expect(batcher.take(now())?.items).toEqual([wide, wideAgain]);
  expect(batcher.take(now())?.items).toEqual([narrow]);
});

test('a task that was tried before runs alone, and so does each task of a model that may not share, also once it is waiting', () => {
  const items = [item('m', { alone: true }), item('m'), item('m')];
  const batcher = batcherOf({}, items);
  expect(batcher.take(now())?.items).toEqual(items.slice(0, 1));
  expect(batcher.take(now())?.items).toEqual(items.slice(1));
  expect(batcherOf({ shares: () => false }, items).take(now())?.items).toEqual(items.slice(0, 1));
});

test('tasks that came while their model shared runs go alone once it does not, and wait for nobody', () => {
  let shares = true;
  const items = [item('m'), item('m'), item('m', { alone: true })];
  const batcher = batcherOf({ shares: () => shares, maxDelayMs: 1_000, concurrency: 9 }, items);
  expect(batcher.take(now())?.items).toEqual(items.slice(2));
  expect(batcher.take(now())).toBeUndefined();
  shares = false;
  expect([batcher.take(now()), batcher.take(now())].map((batch) => batch?.items)).toEqual([[items[0]], [items[1]]]);
});

test('inputs that do not agree in their rows run alone: no batch could be split again', () => {
  const odd = { ...item('m'), inputs: [tensor('a', 'UINT8', [1]), tensor('b', 'UINT8', [1, 2])] };
  const also = { ...odd, arrivedAt: item('m').arrivedAt };
  expect(batcherOf({}, [odd, also]).take(now())?.items).toEqual([odd]);
});

test('a task that comes back after a failed batch goes before those that came later', () => {
  const [first, second, third] = [item('m'), item('m'), item('m')];
  const batcher = batcherOf({ maxBatch: 1 }, [second, third]);
  batcher.add(first);
  expect(batcher.take(now())?.items).toEqual([first]);
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
    batcher.ended({ model: 'm', standing: 'ordinary' });
    expect(batcher.dueAt()).toBe(121);
  });
});

describe('between the lanes', () => {
  const high = (model: string, options: ItemOptions = {}) => item(model, { ...options, lane: 'high' });
  const first = (batcher: ReturnType<typeof batcherOf>) => batcher.take(now())?.items[0];

  test('high goes before normal, whatever model is whose', () => {
    const [old, oldToo, urgent] = [item('m'), item('n'), high('n')];
    const batcher = batcherOf({ maxBatch: 1 }, [old, oldToo, urgent]);
    expect([first(batcher), first(batcher), first(batcher)]).toEqual([urgent, old, oldToo]);
  });

  test('a run is filled up from the other lane', () => {
    const [one, two, three, urgent] = [item('m'), item('m'), item('m'), high('m')];
    expect(batcherOf({ maxBatch: 3 }, [one, two, three, urgent]).take(now())?.items).toEqual([urgent, one, two]);
  });

  test('in the turn of the normal lane its tasks fill the run: their share is one of tasks', () => {
    const normal = Array.from({ length: 4 }, () => item('m'));
    const batcher = batcherOf({ maxBatch: 2, concurrency: 99 }, [
      ...normal,
      ...Array.from({ length: 20 }, () => high('m')),
    ]);
    const runs = Array.from({ length: 8 }, () =>
      batcher
        .take(now())
        ?.items.map(({ lane }) => lane)
        .join(),
    );
    const four = ['high,high', 'high,high', 'high,high', 'normal,normal'];
    expect(runs).toEqual([...four, ...four]);
  });

  test('while both wait one run in four begins with the oldest normal task', () => {
    const normal = [item('m'), item('m'), item('m')];
    const urgent = Array.from({ length: 9 }, () => high('m'));
    const batcher = batcherOf({ maxBatch: 1, concurrency: 99 }, [...normal, ...urgent]);
    const lanes = Array.from({ length: 12 }, () => first(batcher)?.lane);
    const four = ['high', 'high', 'high', 'normal'];
    expect(lanes).toEqual([...four, ...four, ...four]);
  });

  test('a normal task that may not run has nothing passed over', () => {
    const batcher = batcherOf({ maxBatch: 1, concurrency: 1 }, [item('busy')]);
    batcher.take(now());
    batcher.add(item('busy'));
    for (let i = 0; i < NORMAL_SHARE; i += 1) {
      batcher.add(high('m'));
      expect(first(batcher)?.lane).toBe('high');
      batcher.ended({ model: 'm', standing: 'ordinary' });
    }
    batcher.add(high('m'));
    batcher.ended({ model: 'busy', standing: 'ordinary' });
    expect(first(batcher)?.lane).toBe('high');
  });
});
